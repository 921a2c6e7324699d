// Package update confirms a new version of the node's software, or puts the old one back.
//
// The updater leaves a marker (Mark) before it restarts the backend. Verify looks whether the node answers, and either
// commits the update or restores the backups, step by step. Every transition is on the disk before the next thing
// happens, and every step looks whether it is done: whatever kills a run, the next one goes on. An update that has been
// decided, either way, is never probed nor rolled back again.
package update

import (
	"context"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// Clock is the time. Within a boot the monotonic one counts, because the wall clock of a node without a battery jumps
// when the network comes up.
type Clock interface {
	Now() time.Time
	// Monotonic is the time since some moment of this boot.
	Monotonic() time.Duration
	// Sleep waits for d, or returns the context's error when that ends first.
	Sleep(ctx context.Context, d time.Duration) error
}

// Services are the backend and the web server.
type Services interface {
	// Invocation is the id that systemd gave the backend's last start; "" when it has none.
	Invocation(ctx context.Context) (string, error)
	// ReloadPage checks the web server's configuration and reloads it.
	ReloadPage(ctx context.Context) error
	// RestartBackend asks for a restart and does not wait for it.
	RestartBackend(ctx context.Context) error
}

// Prober looks once whether the node answers. The detail of a failure names what did not: "GET / → 500".
type Prober interface {
	Probe(ctx context.Context) (ok bool, detail string)
}

// Reporter tells the journal how an update ended.
type Reporter interface {
	Report(m *Marker) error
}

// Disk are the changes of files. Each is on the platter when it returns; paths are as the node sees them.
type Disk interface {
	// Write replaces a file, with the owner and mode that it had; a new one is the caller's, 0644.
	Write(path string, data []byte) error
	// Rename gives a file or directory a new name, which must be free.
	Rename(from, to string) error
	// Supersede is Rename onto a file that may be there.
	Supersede(from, to string) error
	// Keep gives a file a second name, or makes a copy where that cannot be.
	Keep(from, to string) error
	// Install replaces the program at to with a copy of the one at from, 0755.
	Install(from, to string) error
	// Publish lets everybody read a directory with all that is in it; its top becomes the caller's, 0755.
	Publish(dir string) error
	// Remove deletes a file or a directory with all that is in it.
	Remove(path string) error
}

// Locks keep runs apart.
type Locks interface {
	Update(ctx context.Context, wait time.Duration) (*state.Lock, error)
	NodeShared(ctx context.Context, wait time.Duration) (*state.Lock, error)
	NodeExclusive(ctx context.Context, wait time.Duration) (*state.Lock, error)
}

// Windows are the times of a verification.
type Windows struct {
	// Restart is how long to wait for the backend's restart, Settle how long to leave it alone after that.
	Restart, Settle time.Duration
	// Every is the pace of the probes, One the limit of each, Probes how long they go on.
	Every, One, Probes time.Duration
	// Deadline is the end of it all, counted from the mark.
	Deadline time.Duration
	// Stale is the age from which a marker is history and nothing is done about it.
	Stale time.Duration
	// Poll is the pace of looking for the restart.
	Poll time.Duration
}

// DefaultWindows are those of a node.
func DefaultWindows() Windows {
	return Windows{
		Restart: 45 * time.Second, Settle: 15 * time.Second,
		Every: 5 * time.Second, One: 15 * time.Second, Probes: 90 * time.Second,
		Deadline: 150 * time.Second, Stale: 10 * time.Minute, Poll: time.Second,
	}
}

// Updater works on the updates of one node. It is for one run, by one goroutine.
type Updater struct {
	Layout   node.Layout
	Disk     Disk
	Services Services
	Prober   Prober
	Reporter Reporter
	Locks    Locks
	Clock    Clock
	// BootID is this boot's.
	BootID  string
	Windows Windows
	// WaitLock is how long to wait for another run.
	WaitLock time.Duration
	// Say hears what happens, a line at a time; nil: nobody.
	Say func(format string, args ...any)

	node     *state.Lock
	warnings []string
}

// Result is what a run came to.
type Result struct {
	// Marker is the update that the run was about; nil: there was none.
	Marker *Marker
	// Warnings are what went wrong without changing the verdict.
	Warnings []string
}

func (u *Updater) say(format string, args ...any) {
	if u.Say != nil {
		u.Say(format, args...)
	}
}

// warn notes an error that does not change the verdict.
func (u *Updater) warn(what string, err error) {
	if err != nil {
		u.warnings = append(u.warnings, what+": "+err.Error())
		u.say("warning: %s: %v", what, err)
	}
}

func (u *Updater) result(m *Marker) Result { return Result{Marker: m, Warnings: u.warnings} }
