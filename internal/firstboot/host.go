package firstboot

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// Host is the machine that the steps of root work on.
type Host struct {
	Layout node.Layout
	Config node.Config
	User   node.User
	Facts  node.Facts
	// Set are the apps that the node knows, Findings what is wrong with their manifests.
	Set      *manifest.Set
	Findings []manifest.Finding
	// Chosen are the apps of this first boot.
	Chosen []string
	// Skip are the steps that are left out.
	Skip []string

	State   *state.Store
	Secrets *secrets.Store
	Runner  command.Runner
	Engine  Engine
	// DataPresent tells whether one of the apps has data already.
	DataPresent func(apps []string) bool

	// System owns what is the system's: root.
	System Owner
	// Reserve is how many bytes are set aside for a full disk: state.ReserveSize.
	Reserve int64
	// WantUID is the number that the service user must have: the units name it.
	WantUID int
	Now     func() time.Time
	// Pause waits; false: the context ended.
	Pause func(ctx context.Context, d time.Duration) bool
	// NewID draws an identifier for the data volume.
	NewID func() string
	// Tell hears what a check waits for; it may be nil.
	Tell func(text string)
	// Impatient: the clock is looked at once and not waited for.
	Impatient bool
}

// Engine is what the steps ask of the service user's podman.
type Engine interface {
	Info(ctx context.Context) (podman.Info, error)
}

// Owner is a pair of numeric ids.
type Owner struct{ UID, GID int }

func (h *Host) service() Owner { return Owner{h.User.UID, h.User.GID} }

// Task is one of root's steps. Check says what is to be done and changes nothing; doing it is the changes' matter, and
// checking again verifies it.
type Task struct {
	Name  string
	Check func(ctx context.Context, p *Plan) error
}

// Plan is what a step would do.
type Plan struct {
	Changes  []Change
	Warnings []string
}

// Change is one thing that a step does.
type Change struct {
	Text  string
	Apply func(ctx context.Context) error
}

func (p *Plan) add(apply func(context.Context) error, format string, args ...any) {
	p.Changes = append(p.Changes, Change{fmt.Sprintf(format, args...), apply})
}

// does makes an action of what needs no context.
func does(do func() error) func(context.Context) error {
	return func(context.Context) error { return do() }
}

func (p *Plan) warn(format string, args ...any) {
	p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...))
}

// HumanError says that somebody has to decide: exit 6. Hint has the commands that would do it.
type HumanError struct{ Text, Hint string }

func (e *HumanError) Error() string { return e.Text }

// limit is the time limit of the system's own tools.
const limit = 30 * time.Second

// run runs a tool of the system and gives what it printed.
func (h *Host) run(ctx context.Context, argv ...string) (string, error) {
	res, err := h.Runner.Run(ctx, command.Cmd{Argv: argv, Env: []string{"LC_ALL=C"}, Limit: limit})
	return string(res.Stdout), err
}

// asUser runs a tool in the service user's session: root cannot talk to that user's bus.
func (h *Host) asUser(ctx context.Context, argv ...string) (string, error) {
	uid, gid := strconv.Itoa(h.User.UID), strconv.Itoa(h.User.GID)
	become := []string{"setpriv", "--reuid=" + uid, "--regid=" + gid, "--init-groups", "--",
		"env", "-i", "PATH=" + path, "LC_ALL=C", "HOME=" + h.User.Home, "USER=" + h.User.Name, "LOGNAME=" + h.User.Name,
		"XDG_RUNTIME_DIR=" + h.Layout.RuntimeDir, "DBUS_SESSION_BUS_ADDRESS=unix:path=" + h.Layout.UserBus()}
	return h.run(ctx, append(become, argv...)...)
}

const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
