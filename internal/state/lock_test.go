package state

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

func locksBelow(root string) *Locks {
	return NewLocks(node.NewLayout(root, node.Default(), node.DefaultUser("archipelago")))
}

// TestHoldLock is the other process of the tests below: it takes the lock named in the environment, says
// so, and holds it until it is killed.
func TestHoldLock(t *testing.T) {
	root, name := os.Getenv("ARCHY_TEST_LOCK_ROOT"), os.Getenv("ARCHY_TEST_LOCK")
	if root == "" {
		return
	}
	l := locksBelow(root)
	take := map[string]func(context.Context, time.Duration) (*Lock, error){"shared": l.NodeShared, "exclusive": l.NodeExclusive, "reconcile": l.Reconcile}[name]
	if _, err := take(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("held\n")
	time.Sleep(time.Minute)
}

// TestAWaitIsTold: whoever waits for another run is told for whom, and a wait that is over at once is no news.
func TestAWaitIsTold(t *testing.T) {
	root := t.TempDir()
	l := locksBelow(root)
	told := make(chan string, 9)
	l.Waits = func(held ErrLocked, most time.Duration) { told <- fmt.Sprintf("%d %s", held.Holder.PID, most) }
	_, release := holdElsewhere(t, root, "exclusive")
	time.AfterFunc(100*time.Millisecond, release)
	lock, err := l.NodeShared(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	lock.Release()
	if len(told) > 0 {
		t.Errorf("a short wait is told: %s", <-told)
	}
	pid, _ := holdElsewhere(t, root, "exclusive")
	if _, err := l.NodeShared(t.Context(), tellAfter+time.Second); !errors.As(err, new(ErrLocked)) {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%d 3s", pid); len(told) != 1 || <-told != want {
		t.Errorf("told %d times, want once %q", len(told), want)
	}
}

// holdElsewhere holds a lock in another process until release.
func holdElsewhere(t *testing.T, root, name string) (pid int, release func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHoldLock$")
	cmd.Env = append(os.Environ(), "ARCHY_TEST_LOCK_ROOT="+root, "ARCHY_TEST_LOCK="+name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	t.Cleanup(release)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatal(line, err)
	}
	return cmd.Process.Pid, release
}

func TestLockedNamesTheHolder(t *testing.T) {
	root := t.TempDir()
	pid, kill := holdElsewhere(t, root, "exclusive")
	_, err := locksBelow(root).NodeShared(t.Context(), 0)
	var locked ErrLocked
	if !errors.As(err, &locked) || locked.Holder.PID != pid || locked.Path != "/run/archy/node.lock" {
		t.Fatalf("%+v, %v; holder is %d", locked, err, pid)
	}
	if !strings.Contains(err.Error(), "state.test") || strings.Contains(err.Error(), root) {
		t.Errorf("message: %v", err)
	}
	kill()
	lock, err := locksBelow(root).NodeShared(t.Context(), 0)
	if err != nil {
		t.Fatalf("the kernel must have released it: %v", err)
	}
	lock.Release()
}

func TestLockIsTakenOverWhenItGetsFree(t *testing.T) {
	root := t.TempDir()
	_, kill := holdElsewhere(t, root, "reconcile")
	time.AfterFunc(200*time.Millisecond, kill)
	start := time.Now()
	lock, err := locksBelow(root).Reconcile(t.Context(), time.Minute)
	if err != nil || time.Since(start) < 100*time.Millisecond {
		t.Fatalf("%v after %s", err, time.Since(start))
	}
	lock.Release()
	lock.Release()
}

// A machine that is busy may come to the lock only when the wait is over.
func TestAFreeLockIsTakenHoweverShortTheWait(t *testing.T) {
	locks := locksBelow(t.TempDir())
	for _, wait := range []time.Duration{-1, 0, 1} {
		lock, err := locks.Reconcile(t.Context(), wait)
		if err != nil {
			t.Fatalf("wait %d ns: %v", wait, err)
		}
		lock.Release()
	}
}

func TestLockWaitEnds(t *testing.T) {
	root := t.TempDir()
	holdElsewhere(t, root, "shared")
	l := locksBelow(root)
	both, err := l.NodeShared(t.Context(), 0)
	if err != nil {
		t.Fatalf("two shared holders: %v", err)
	}
	both.Release()
	start := time.Now()
	var locked ErrLocked
	if _, err := l.NodeExclusive(t.Context(), 150*time.Millisecond); !errors.As(err, &locked) {
		t.Errorf("got %v", err)
	}
	if waited := time.Since(start); waited < 150*time.Millisecond {
		t.Errorf("waited %s", waited)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := l.NodeExclusive(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &locked) {
		t.Errorf("an interrupted wait is not a locked node: %v", err)
	}
}

func TestAppLocksAreSeparate(t *testing.T) {
	l := locksBelow(t.TempDir())
	a, err := l.App(t.Context(), "lnd", 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.App(t.Context(), "grafana", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.App(t.Context(), "lnd", 0); err == nil {
		t.Error("the same app twice in one process")
	}
	a.Release()
	b.Release()
	if got := names(t, l.layout.Host("/run/archy")); len(got) != 2 {
		t.Errorf("lock files must stay: %v", got)
	}
}

func TestLockWithoutADirectory(t *testing.T) {
	root := t.TempDir()
	put(t, filepath.Join(root, "run"), "a file")
	_, err := locksBelow(root).Reconcile(t.Context(), 0)
	var locked ErrLocked
	if err == nil || errors.As(err, &locked) || !strings.Contains(err.Error(), "/run/archy/reconcile.lock") {
		t.Errorf("got %v", err)
	}
}

// Root takes locks in a directory of the service user, who could put a link there: what it leads to stays as it is.
func TestLockFollowsNoLink(t *testing.T) {
	root := t.TempDir()
	victim := filepath.Join(root, "etc/precious")
	put(t, victim, "precious")
	put(t, filepath.Join(root, "run/archy/other"), "")
	for name, to := range map[string]string{"node.lock": victim, "update.lock": filepath.Join(root, "etc/new")} {
		if err := os.Symlink(to, filepath.Join(root, "run/archy", name)); err != nil {
			t.Fatal(err)
		}
	}
	l := locksBelow(root)
	if _, err := l.NodeExclusive(t.Context(), 0); err == nil {
		t.Error("node.lock is a link, and was taken")
	}
	if _, err := l.Update(t.Context(), 0); err == nil {
		t.Error("update.lock is a link to nothing, and was taken")
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
		t.Errorf("the file that the link leads to: %q, %v", text, err)
	}
	if _, err := os.Lstat(filepath.Join(root, "etc/new")); err == nil {
		t.Error("a file was made through a link")
	}
}

// A directory that root makes, as archy update does where systemd-tmpfiles has not, is one that the service user can take locks in.
func TestLockDirectoryIsTheServiceUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	defer unix.Umask(unix.Umask(0o077)) // as in the units
	root := t.TempDir()
	put(t, filepath.Join(root, "var/lib/archipelago/x"), "")
	if err := os.Chown(filepath.Join(root, "var/lib/archipelago"), 1000, 1000); err != nil {
		t.Fatal(err)
	}
	lock, err := locksBelow(root).NodeExclusive(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	for path, want := range map[string]string{"run/archy": "drwxr-xr-x 1000:1000", "run/archy/node.lock": "-rw------- 1000:1000"} {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		uid, gid, _ := ownerOf(filepath.Join(root, path))
		if got := fmt.Sprintf("%v %d:%d", info.Mode(), uid, gid); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}
