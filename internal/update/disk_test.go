package update

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

func newDisk(t *testing.T) (NodeDisk, func(string) string) {
	t.Helper()
	l := node.NewLayout(t.TempDir(), node.Default(), node.DefaultUser("archipelago"))
	if err := os.MkdirAll(l.Host(l.State()), 0o755); err != nil {
		t.Fatal(err)
	}
	return NodeDisk{l}, l.Host
}

func perm(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestPublishOpensADirectoryUp(t *testing.T) {
	d, host := newDisk(t)
	outside := filepath.Join(t.TempDir(), "secret")
	for path, mode := range map[string]fs.FileMode{host("/ui/a/b/c.js"): 0o600, host("/ui/a/run"): 0o750, outside: 0o600} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{os.Symlink(outside, host("/ui/a/link")), os.Chmod(host("/ui/a/b"), 0o700), os.Chmod(host("/ui"), 0o700),
		unix.Mkfifo(host("/ui/a/fifo"), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Publish("/ui"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{host("/ui"): 0o755, host("/ui/a/b"): 0o705, host("/ui/a/b/c.js"): 0o604, host("/ui/a/run"): 0o754,
		host("/ui/a/fifo"): 0o600, outside: 0o600} {
		if got := perm(t, path); got != want {
			t.Errorf("%s: %o, want %o", path, got, want)
		}
	}
}

func TestRenameNeverMergesNorReplaces(t *testing.T) {
	d, host := newDisk(t)
	for _, dir := range []string{"/a", "/b"} {
		if err := os.Mkdir(host(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// rename(2) alone would replace an empty directory
	if err := d.Rename("/a", "/b"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v", err)
	}
	if err := d.Rename("/a", "/c"); err != nil {
		t.Error(err)
	}
}

func TestInstallReplacesARunningProgram(t *testing.T) {
	d, host := newDisk(t)
	for path, text := range map[string]string{"/p.bak": "old", "/p": "new", "/.p.archy-new": "left by a power cut"} {
		if err := os.WriteFile(host(path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open, err := os.Open(host("/p"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := errors.Join(d.Keep("/p", "/p.failed"), d.Install("/p.bak", "/p")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/p": "old", "/p.bak": "old", "/p.failed": "new"} {
		if got, err := os.ReadFile(host(path)); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", path, got, err)
		}
	}
	if perm(t, host("/p")) != 0o755 {
		t.Error("not executable")
	}
	if _, err := os.Lstat(host("/.p.archy-new")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the temporary file stays")
	}
}

func TestWriteKeepsTheMode(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	d, host := newDisk(t)
	if err := os.WriteFile(host("/v"), []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(host("/v"), 0o640), d.Write("/v", []byte("2")), d.Write("/w", []byte("3"))); err != nil {
		t.Fatal(err)
	}
	if perm(t, host("/v")) != 0o640 || perm(t, host("/w")) != 0o644 {
		t.Errorf("%o %o", perm(t, host("/v")), perm(t, host("/w")))
	}
}

func TestClockIsOneOfTheBoot(t *testing.T) {
	c := SystemClock{}
	a := c.Monotonic()
	if err := c.Sleep(t.Context(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if c.Monotonic() <= a || c.Monotonic() > a+time.Hour {
		t.Error(a, c.Monotonic())
	}
	if id, err := SystemBootID(); err != nil || len(id) != 36 {
		t.Error(id, err)
	}
}
