package chaos

import (
	"context"
	"syscall"
	"time"
)

// containerKilled: the payload, its monitor, or both die by kill -9, and systemd brings them back without archy. The kernel's
// own kill for memory needs the memory controller, which a node of namespaces does not have: that part is for a virtual machine.
var containerKilled = Scenario{
	Number: 2, Name: "container-killed", Limit: killedLimit,
	Faults: []Fault{
		{"payload", func(ctx context.Context, r *Round) error { return killSome(r, true, false) }},
		{"conmon", func(ctx context.Context, r *Round) error { return killSome(r, false, true) }},
		{"payload and conmon", func(ctx context.Context, r *Round) error { return killSome(r, true, true) }},
	},
}

// killedLimit is the table's row: it counts until the app answers.
func killedLimit(a App) time.Duration {
	switch a.ID {
	case "bitcoin-knots", "bitcoin-core", "electrumx":
		return 120 * time.Second
	case "lnd":
		return 90 * time.Second
	case "immich":
		return 240 * time.Second
	}
	if a.Tier == 0 {
		return 60 * time.Second
	}
	return 30 * time.Second
}

func killSome(r *Round, payload, monitor bool) error {
	r.Hit(r.Few(r.Fleet)...)
	r.Struck()
	for _, c := range r.sampler.look() {
		if a, ours := r.Fleet.Get(c.Name); !ours || !r.isHit(a) {
			continue
		}
		if payload {
			_ = syscall.Kill(c.Payload, syscall.SIGKILL)
		}
		if monitor && c.Monitor != 0 {
			_ = syscall.Kill(c.Monitor, syscall.SIGKILL)
		}
	}
	return nil
}
