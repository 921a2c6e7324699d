package heal

import (
	"context"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// Units is what healing needs of the service user's systemd.
type Units interface {
	Detail(ctx context.Context, name string) (systemd.Detail, error)
	Stop(ctx context.Context, name string, limit time.Duration) error
}

// History is where climbs are remembered, and that podman was silent.
type History interface {
	ReadLast(kind string, v any) (found bool, err error)
	WriteLastUnsynced(kind string, v any) error
	ReadHeal(v any) (found bool, err error)
	WriteHeal(v any) error
	KeepHealAside(err error) error
}

// App is what healing knows of a container that a manifest names.
type App struct {
	Name string
	// Managed tells that archy has written its unit, Installed that a record names it.
	Managed, Installed bool
	// Grace is how long it may take to end. BindsOnly tells that all its mounts are directories of the host.
	Grace     time.Duration
	BindsOnly bool
	// Targets are where it has directories of the host that it writes to.
	Targets []string
}

// Limits are the waits of a check; zero values mean the defaults.
type Limits struct {
	// Answer is how long podman may take, Fast up to when it counts as quick.
	Answer, Fast time.Duration
	// Silence is the least wait without an answer that counts towards hung.
	Silence time.Duration
	// Ping is how long the socket may take, Bus how long a user manager that was started.
	Ping, Bus time.Duration
	// Again is the pause before what looks wrong is looked at once more: a container that just starts or ends looks the same.
	Again time.Duration
	// Trigger is how long podman.socket stays stopped in rung 2.
	Trigger time.Duration
	// Probe is how long a throw-away container may live, a whole number of seconds. podman itself ends one whose archy was killed.
	Probe time.Duration
	// Waits are the pauses of rung 0.
	Waits []time.Duration
}

func (l Limits) orDefault() Limits {
	or := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	or(&l.Answer, 60*time.Second)
	or(&l.Fast, 5*time.Second)
	or(&l.Silence, 60*time.Second)
	or(&l.Ping, 5*time.Second)
	or(&l.Bus, 30*time.Second)
	or(&l.Again, 2*time.Second)
	or(&l.Trigger, 3*time.Second)
	or(&l.Probe, 2*time.Minute)
	if l.Waits == nil {
		l.Waits = []time.Duration{5 * time.Second, 15 * time.Second, 45 * time.Second}
	}
	return l
}

// Healer looks at the service user's podman, and heals it. It runs as that user.
type Healer struct {
	Layout node.Layout
	User   node.User
	Cores  int
	BootID string
	Runner command.Runner
	// Units connects to the user's systemd; it fails when the bus is not there.
	Units   func(ctx context.Context) (Units, error)
	History History
	// Apps are those that the manifests name, in the order of starts.
	Apps   []App
	Limits Limits
	// MoveOver restarts what podman has lost track of, one at a time, dependencies first, each up to its gate; and starts what is down
	// (rung 4). nil: the caller does that itself afterwards.
	MoveOver func(ctx context.Context) error
	// Probe is the program that a throw-away container runs: archy itself, which "internal pause" lets wait for its end.
	Probe string
	// Say tells a person what is being done.
	Say func(format string, args ...any)
	Now func() time.Time
}

// stampForm is the form of the time in the name of what is put aside.
const stampForm = "20060102T150405Z"

// stamp is the time of what is put aside now.
func (h *Healer) stamp() string { return h.Now().UTC().Format(stampForm) }

func (h *Healer) say(format string, args ...any) {
	if h.Say != nil {
		h.Say(format, args...)
	}
}

func (h *Healer) host(p string) string { return h.Layout.Host(p) }

func (h *Healer) proc() string { return h.host("/proc") }

// graphRoot holds podman's images, containers and its database.
func (h *Healer) graphRoot() string { return h.Layout.Data("containers/storage") }

// databases are where podman 5 and older ones keep their database.
func (h *Healer) databases() []string {
	return []string{h.graphRoot() + "/db.sql", h.graphRoot() + "/libpod/bolt_state.db"}
}

func (h *Healer) pauseFile() string { return h.Layout.RuntimeDir + "/libpod/tmp/pause.pid" }

// aliveFile is podman's mark that it has begun on this boot.
func (h *Healer) aliveFile() string { return h.Layout.RuntimeDir + "/libpod/tmp/alive" }

// nameServer is the directory of the networks' name server files.
func (h *Healer) nameServer() string {
	return h.Layout.RuntimeDir + "/containers/networks/aardvark-dns"
}

func (h *Healer) app(name string) (App, bool) {
	for _, a := range h.Apps {
		if a.Name == name {
			return a, true
		}
	}
	return App{}, false
}
