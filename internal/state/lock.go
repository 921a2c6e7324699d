package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

// AppLockWait is how long a full pass waits for an app that another command works on.
const AppLockWait = 5 * time.Second

const lockPoll = 50 * time.Millisecond

// tellAfter is how long a wait may last before it is told.
const tellAfter = 2 * time.Second

// Locks are the advisory locks of a node, flock(2) on files that are never deleted; the kernel releases
// them when a process dies.
type Locks struct {
	layout node.Layout
	now    func() time.Time
	// Waits hears, once for each lock, who holds one that is waited for and how long at most; it may be nil.
	Waits func(held ErrLocked, most time.Duration)
	// Taken is called for each lock that was taken; it may be nil.
	Taken func()
}

// NewLocks returns the locks of the node with this layout. Nothing is opened.
func NewLocks(l node.Layout) *Locks { return &Locks{layout: l, now: time.Now} }

// Lock is a lock that is held.
type Lock struct{ f *flock.Flock }

// Release gives the lock back. It is safe on nil and a second time.
func (l *Lock) Release() {
	if l != nil {
		_ = l.f.Unlock()
	}
}

// Holder is who holds a lock.
type Holder struct {
	PID       int       `json:"pid"`
	Command   string    `json:"command"`
	StartedAt time.Time `json:"started_at"`
}

// ErrLocked says that the lock was not free within the wait. Holder.PID is 0 when the holder is unknown.
type ErrLocked struct {
	Path   string
	Holder Holder
}

func (e ErrLocked) Error() string {
	if e.Holder.PID == 0 {
		return e.Path + " is locked by another run"
	}
	return fmt.Sprintf("%s is locked by %q (pid %d, since %s)", e.Path, e.Holder.Command, e.Holder.PID,
		e.Holder.StartedAt.UTC().Format(time.RFC3339))
}

// NodeShared is held by every command that changes something. wait 0 tries once.
func (l *Locks) NodeShared(ctx context.Context, wait time.Duration) (*Lock, error) {
	return l.take(ctx, "node.lock", wait, shared)
}

// NodeExclusive is held by first boot, a full heal and the verification of an update.
func (l *Locks) NodeExclusive(ctx context.Context, wait time.Duration) (*Lock, error) {
	return l.take(ctx, "node.lock", wait, exclusive)
}

// Reconcile is held by a full pass.
func (l *Locks) Reconcile(ctx context.Context, wait time.Duration) (*Lock, error) {
	return l.take(ctx, "reconcile.lock", wait, exclusive)
}

// Intent is held while the owner's list of stopped apps is changed: two commands at once must not forget each other's.
func (l *Locks) Intent(ctx context.Context, wait time.Duration) (*Lock, error) {
	return l.take(ctx, "intent.lock", wait, exclusive)
}

// Diary is held while entries are added to the diaries of apps.
func (l *Locks) Diary(ctx context.Context, wait time.Duration) (*Lock, error) {
	return l.take(ctx, "history.lock", wait, exclusive)
}

// Update is held by whoever works on the marker of an update, so that no update is judged twice.
func (l *Locks) Update(ctx context.Context, wait time.Duration) (*Lock, error) {
	return l.take(ctx, "update.lock", wait, exclusive)
}

// Host is held while root's part of an installation or a removal is done: two at once would write one file of Tor's.
func (l *Locks) Host(ctx context.Context, wait time.Duration) (*Lock, error) {
	return l.take(ctx, "host.lock", wait, exclusive)
}

// App is held during any change to that app.
func (l *Locks) App(ctx context.Context, id string, wait time.Duration) (*Lock, error) {
	return l.take(ctx, "app-"+id+".lock", wait, exclusive)
}

// kind is how a lock is tried: once, and until the context ends.
type kind struct {
	once  func(*flock.Flock) (bool, error)
	until func(*flock.Flock, context.Context, time.Duration) (bool, error)
}

var (
	shared    = kind{(*flock.Flock).TryRLock, (*flock.Flock).TryRLockContext}
	exclusive = kind{(*flock.Flock).TryLock, (*flock.Flock).TryLockContext}
)

// take returns ErrLocked when the lock is not free in time, and the context's error when that ends first. It tries once whatever
// the wait: on a busy machine a short one may be over before the first look.
func (l *Locks) take(ctx context.Context, name string, wait time.Duration, k kind) (*Lock, error) {
	path := filepath.Join(l.layout.LockDir, name)
	host := l.layout.Host(path)
	if err := l.prepare(host); err != nil {
		return nil, fmt.Errorf("%s: %w; systemd-tmpfiles --create makes the directory", path, bare(err))
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	// The directory is the service user's, and root takes locks too: a link in a lock's place is not followed.
	f := flock.New(host, flock.SetFlag(os.O_RDONLY|unix.O_NOFOLLOW), flock.SetPermissions(0o644))
	ok, err := k.once(f)
	if !ok && err == nil && wait > 0 {
		limited, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		told := time.AfterFunc(tellAfter, func() {
			if l.Waits != nil && limited.Err() == nil {
				l.Waits(ErrLocked{Path: path, Holder: holder(host)}, wait)
			}
		})
		ok, err = k.until(f, limited, lockPoll)
		told.Stop()
	}
	switch {
	case ok:
		l.sign(host)
		if l.Taken != nil {
			l.Taken()
		}
		return &Lock{f}, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && !errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%s: %w", path, bare(err))
	}
	return nil, ErrLocked{Path: path, Holder: holder(host)}
}

// prepare makes the directory and the file, both for the service user even when root comes first: a lock
// file of root would keep the service user out.
func (l *Locks) prepare(path string) error {
	if err := l.makeDir(); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return inheritOwner(f, filepath.Dir(path))
}

// makeDir makes the directory of the locks, which at a boot is the work of systemd-tmpfiles. It belongs to whom the data belong.
func (l *Locks) makeDir() error {
	dir, data := l.layout.Host(l.layout.LockDir), l.layout.Host(l.layout.DataDir)
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := mkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := inheritOwner(f, data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.Chmod(0o755)
}

// sign writes who holds the lock, for the message of the next one. It does not matter to the lock itself.
func (l *Locks) sign(path string) {
	data, err := json.Marshal(Holder{PID: os.Getpid(), Command: commandLine(), StartedAt: l.now().UTC().Truncate(time.Second)})
	if err != nil {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.Write(append(data, '\n'))
}

// commandLine is the program and its verb, never the whole arguments.
func commandLine() string {
	words := []string{filepath.Base(os.Args[0])}
	for _, arg := range os.Args[1:] {
		if strings.HasPrefix(arg, "-") || len(words) == 3 {
			break
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

// holder reads who signed last, and forgets it when that process is gone (a shared lock has several).
func holder(path string) Holder {
	var h Holder
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &h) != nil {
		return Holder{}
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", h.PID)); err != nil {
		return Holder{}
	}
	return h
}
