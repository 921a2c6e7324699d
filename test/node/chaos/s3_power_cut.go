package chaos

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// powerCut: everything ends at the same instant, and nobody logs in afterwards. The page cache is this machine's and survives,
// so what was written and not yet synced is lost on a real one only; the e2e tests of every write's order stand for that.
var powerCut = Scenario{
	Number: 3, Name: "power-cut", Whole: true, Timer: true,
	Limit: func(a App) time.Duration {
		if a.Tier == 1 || a.Tier == 2 {
			return 600 * time.Second
		}
		return 300 * time.Second
	},
	Faults: []Fault{
		{"while nothing happens", func(ctx context.Context, r *Round) error { return cutDuring(ctx, r) }},
		{"during a restart", func(ctx context.Context, r *Round) error {
			return cutDuring(ctx, r, append([]string{"restart"}, ids(r.Some(r.Fleet))...)...)
		}},
		{"during a pass that repairs", cutDuringRepair},
		{"during an upgrade", cutDuringUpgrade},
		{"with an app that its owner stopped", cutWithStopped},
	},
}

func ids(apps []App) []string { return Fleet(apps).IDs() }

// cutDuring cuts the power at a random moment of a command of archy.
func cutDuring(ctx context.Context, r *Round, args ...string) error {
	r.HitAll()
	if len(args) > 0 {
		p, err := r.UserStart(ctx, append([]string{"archy"}, args...)...)
		if err != nil {
			return err
		}
		defer func() { r.note(p.Wait()) }()
	}
	time.Sleep(time.Duration(r.rand.Int64N(int64(4 * time.Second))))
	r.Cut()
	if err := r.Boot(ctx); err != nil {
		return err
	}
	r.Struck()
	return nil
}

// cutDuringRepair: some containers are gone and some units are edited when the pass begins.
func cutDuringRepair(ctx context.Context, r *Round) error {
	r.HitAll()
	var script strings.Builder
	for _, a := range r.Some(r.Fleet) {
		fmt.Fprintf(&script, "rm -f %s/%s.container; podman rm -f -t 0 %[2]s >/dev/null\n", unitDir, a.Container)
	}
	if err := r.user(ctx, script.String()).Error(); err != nil {
		return err
	}
	return cutDuring(ctx, r, "reconcile")
}

// cutDuringUpgrade: afterwards the app has the old image or the new one, and is taken back to the old one.
func cutDuringUpgrade(ctx context.Context, r *Round) error {
	a := r.leaf()
	if err := cutDuring(ctx, r, "upgrade", a.ID, "--to", a.Image+"-next"); err != nil {
		return err
	}
	r.Want(ctx, []int{0}, "reconcile")
	r.Want(ctx, []int{0}, "upgrade", a.ID, "--to", a.Image, "--allow-downgrade")
	return nil
}

// cutWithStopped: what its owner stopped is still stopped after the boot and after the passes.
func cutWithStopped(ctx context.Context, r *Round) error {
	r.HitAll()
	a := r.leaf()
	r.Want(ctx, []int{0}, "stop", a.ID)
	if err := cutDuring(ctx, r); err != nil {
		return err
	}
	r.Want(ctx, []int{0}, "reconcile")
	for _, c := range r.sampler.look() {
		if c.Name == a.Container {
			r.Fail("%s was stopped by its owner and runs after a power cut", a.ID)
		}
	}
	r.Want(ctx, []int{0}, "start", a.ID)
	return nil
}
