package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/update"
)

// Node is what the checks look at. Every field may be what a broken node has: no service user, a configuration that does
// not load (the defaults are in its place), no manifests.
type Node struct {
	Layout node.Layout
	Config node.Config
	// ConfigErr is why Config holds the defaults, UserErr why User is only what an installer would make.
	ConfigErr error
	User      node.User
	UserErr   error
	Facts     node.Facts
	FactsErr  error

	Set      *manifest.Set
	Findings []manifest.Finding
	Wanted   []secrets.Wanted

	// Host asks the steps of a first boot.
	Host    *firstboot.Host
	State   *state.Store
	Secrets *secrets.Store
	Updates Updates
	Runner  command.Runner
	// Engine and Observe are nil for who is not the service user.
	Engine  Engine
	Observe func(ctx context.Context) (*reconcile.World, reconcile.Plan, error)
	// Podman says how podman is, by its evidence.
	Podman func(ctx context.Context) (heal.Diagnosis, error)
	// Resolve looks a name up.
	Resolve func(ctx context.Context, name string) error
	// Publish lets everybody read a directory with all that is in it.
	Publish func(dir string) error

	Version string
	Now     func() time.Time
	// Mask takes the node's secrets out of a text; nil: there are none.
	Mask func(string) string
	// Fault hears of a check that failed itself.
	Fault func(code string, stack []byte)
	// Lateness is how long a check that overran is waited for; zero is two seconds.
	Lateness time.Duration

	world struct {
		sync.Once
		done chan struct{}
		w    *reconcile.World
		plan reconcile.Plan
		err  error
	}
}

// Engine is what the checks ask of podman.
type Engine interface {
	Info(ctx context.Context) (podman.Info, error)
	List(ctx context.Context) ([]podman.Container, error)
	Networks(ctx context.Context) ([]podman.Network, error)
}

// Updates are the updates of the node's software.
type Updates interface {
	Pending() (*update.Marker, error)
	Last() (*update.Marker, error)
}

// observeLimit bounds the one observation that many checks share.
const observeLimit = 40 * time.Second

// World is what a pass would find and do. It is looked at once for all checks.
func (n *Node) World(ctx context.Context) (*reconcile.World, reconcile.Plan, error) {
	s := &n.world
	s.Do(func() {
		s.done = make(chan struct{})
		go func() {
			defer close(s.done)
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), observeLimit)
			defer cancel()
			s.w, s.plan, s.err = n.observe(limited)
		}()
	})
	select {
	case <-s.done:
		return s.w, s.plan, s.err
	case <-ctx.Done():
		return nil, reconcile.Plan{}, fmt.Errorf("podman was asked and has not answered yet: %w", ctx.Err())
	}
}

func (n *Node) observe(ctx context.Context) (w *reconcile.World, p reconcile.Plan, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("looking at the apps failed: %v", cause)
		}
	}()
	if n.Observe == nil {
		return nil, p, errors.New("nobody can ask podman here")
	}
	return n.Observe(ctx)
}

// run runs a tool of the system and gives what it printed, trimmed.
func (n *Node) run(ctx context.Context, argv ...string) (string, error) {
	res, err := n.Runner.Run(ctx, command.Cmd{Argv: argv, Env: []string{"LC_ALL=C"}, Limit: 10 * time.Second})
	return strings.TrimSpace(string(res.Stdout)), err
}

// errElsewhere is what every program answers when another root than the running node is looked at.
var errElsewhere = errors.New(elsewhere)

// Elsewhere is the Runner of another root: what it would say is about this machine.
type Elsewhere struct{}

// Run implements command.Runner.
func (Elsewhere) Run(context.Context, command.Cmd) (command.Result, error) {
	return command.Result{}, errElsewhere
}

// text is the trimmed content of a file below the root, "" when it cannot be read.
func (n *Node) text(path string) string {
	data, err := os.ReadFile(n.Layout.Host(path))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (n *Node) exists(path string) bool {
	_, err := os.Lstat(n.Layout.Host(path))
	return err == nil
}

// firstBootDone tells that this machine is a node.
func (n *Node) firstBootDone() bool { return n.exists(n.Layout.FirstBootDone()) }
