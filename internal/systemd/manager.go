// Package systemd talks to the service user's systemd over D-Bus.
//
// Jobs are judged by their result, never by the text of systemctl. Every call has a limit (limits.go).
package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/failpoint"
)

// Options say where the user manager is.
type Options struct {
	// Bus is the path of the user bus: /run/user/1000/bus.
	Bus string
	// CgroupRoot is where the cgroup v2 tree is mounted; empty means /sys/fs/cgroup.
	CgroupRoot string
	// UID is the user whose delegated controllers are read.
	UID int
	// Runner runs journalctl; nil means command.Exec.
	Runner command.Runner
	// Limits are DefaultLimits unless set.
	Limits Limits
}

// Manager is a connection to one user's systemd. Its methods may be called from several goroutines.
type Manager struct {
	opts    Options
	address string
	conn    *dbus.Conn
	done    context.CancelFunc
}

// Connect connects to the user bus. Failing is an ErrNoUserBus. The connection ends with Close, not with ctx.
func Connect(ctx context.Context, opts Options) (*Manager, error) {
	if opts.CgroupRoot == "" {
		opts.CgroupRoot = "/sys/fs/cgroup"
	}
	if opts.Runner == nil {
		opts.Runner = command.Exec{}
	}
	if opts.Limits == (Limits{}) {
		opts.Limits = DefaultLimits()
	}
	m := &Manager{opts: opts, address: opts.Bus}
	limited, cancel := context.WithTimeout(ctx, opts.Limits.Connect)
	defer cancel()
	err := failpoint.Do(limited, failpoint.Systemd, "connect", func() error { return m.dial(ctx, limited) })
	if err != nil {
		return nil, &BusError{Address: m.address, Cause: err}
	}
	return m, nil
}

// dial gives up with limited, after Limits.Connect. The library's own dialing can block on a bus that accepts and says nothing, so
// it runs beside, and is cut off by the life of the connection.
func (m *Manager) dial(ctx, limited context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	type result struct {
		conn *dbus.Conn
		err  error
	}
	dialed := make(chan result, 1)
	go func() {
		conn, err := dbus.NewConnection(func() (*godbus.Conn, error) { return dialBus(life, m.opts.Bus) })
		dialed <- result{conn, err}
	}()
	select {
	case r := <-dialed:
		if r.err != nil {
			end()
			return r.err
		}
		m.conn, m.done = r.conn, end
		return nil
	case <-limited.Done():
		end()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("no answer after %s: %w", m.opts.Limits.Connect, context.DeadlineExceeded)
	}
}

func dialBus(life context.Context, path string) (*godbus.Conn, error) {
	conn, err := godbus.Dial("unix:path="+path, godbus.WithContext(life))
	if err != nil {
		return nil, err
	}
	err = conn.Auth([]godbus.Auth{godbus.AuthExternal(strconv.Itoa(os.Getuid()))})
	if err == nil {
		err = conn.Hello()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// Close ends the connection.
func (m *Manager) Close() {
	m.conn.Close()
	m.done()
}

// Reload makes systemd read its units again and run the generators. A Quadlet unit that does not convert vanishes
// without an error here: look at its LoadState afterwards.
func (m *Manager) Reload(ctx context.Context) error {
	return m.call(ctx, "daemon-reload", m.opts.Limits.Reload, m.conn.ReloadContext)
}

// ResetFailed forgets that a unit failed and how often it was started. A unit that systemd does not know is fine.
func (m *Manager) ResetFailed(ctx context.Context, name string) error {
	err := m.call(ctx, "reset-failed "+name, m.opts.Limits.Query, func(ctx context.Context) error {
		return m.conn.ResetFailedUnitContext(ctx, name)
	})
	if errors.Is(err, ErrNoUnit) {
		return nil
	}
	return err
}

// DelegatedControllers returns the cgroup controllers that the user manager may use: cpu, memory, pids ...
func (m *Manager) DelegatedControllers(context.Context) ([]string, error) {
	uid := m.opts.UID
	path := fmt.Sprintf("%s/user.slice/user-%d.slice/user@%d.service/cgroup.controllers", m.opts.CgroupRoot, uid, uid)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("delegated controllers: %w; is this cgroup v2 and the user manager running?", err)
	}
	return strings.Fields(string(data)), nil
}

// Journal returns the last n lines that the user unit wrote; with an invocation only those of that run.
func (m *Manager) Journal(ctx context.Context, unit, invocation string, n int) ([]string, error) {
	argv := []string{"journalctl", "--user", "-u", unit, "-n", strconv.Itoa(n), "-o", "cat", "--no-pager", "--quiet"}
	if invocation != "" {
		argv = append(argv, "_SYSTEMD_INVOCATION_ID="+invocation)
	}
	return m.journal(ctx, unit, argv)
}

// ContainerLog returns the last n lines that the processes of a container of that name have written since a time; what
// podman and systemd say about it is left out.
func (m *Manager) ContainerLog(ctx context.Context, container string, since time.Time, n int) ([]string, error) {
	return m.journal(ctx, container, []string{"journalctl", "--user", "CONTAINER_NAME=" + container, "-n", strconv.Itoa(n),
		"--since", "@" + strconv.FormatInt(since.Unix(), 10), "-o", "cat", "--no-pager", "--quiet"})
}

func (m *Manager) journal(ctx context.Context, unit string, argv []string) ([]string, error) {
	res, err := m.opts.Runner.Run(ctx, command.Cmd{Argv: argv, Limit: m.opts.Limits.Query})
	if err != nil {
		return nil, fmt.Errorf("journal of %s: %w", unit, err)
	}
	text := strings.TrimSuffix(string(res.Stdout), "\n")
	if text == "" {
		return nil, nil
	}
	return strings.Split(text, "\n"), nil
}

// call runs one call within the limit.
func (m *Manager) call(ctx context.Context, op string, limit time.Duration, do func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := failpoint.Do(limited, failpoint.Systemd, op, func() error { return do(limited) })
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return fmt.Errorf("%s: no answer from the user manager after %s: %w", op, limit, context.DeadlineExceeded)
	}
	return m.explain(op, err)
}

// microseconds reads a time of systemd; 0 is "never".
func microseconds(us uint64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(us)).UTC()
}
