package podman_test

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// writeFile runs the inner half as the archy program would.
func writeFile(path, content string, mode fs.FileMode) error {
	return podman.InternalWriteFile(podman.InternalWriteFileArgs(path, mode, len(content))[2:], strings.NewReader(content))
}

func wantFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		t.Errorf("%s holds %q, error %v; want %q", path, got, err, content)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != mode {
		t.Errorf("%s has mode %v, error %v; want %v", path, info.Mode(), err, mode)
	}
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), ".archy-") {
			t.Errorf("%s was left behind", n.Name())
		}
	}
}

func TestWriteFileNewAndOld(t *testing.T) {
	for _, umask := range []int{0o022, 0o077} {
		old := syscall.Umask(umask)
		path := filepath.Join(t.TempDir(), "lnd.conf")
		if err := writeFile(path, "one", 0o640); err != nil {
			t.Fatal(err)
		}
		wantFile(t, path, "one", 0o640)
		if err := writeFile(path, "two", 0o600); err != nil {
			t.Fatal(err)
		}
		wantFile(t, path, "two", 0o600)
		syscall.Umask(old)
	}
}

// test that owners stay: of the file if there is one, else that of the directory (incident 13)
func TestWriteFileKeepsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("changing owners needs root")
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 100101, 100102); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "bitcoin.conf")
	for _, want := range []int{100101, 100999} {
		if err := writeFile(path, "x", 0o600); err != nil {
			t.Fatal(err)
		}
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil || int(st.Uid) != want {
			t.Errorf("owner %d, error %v; want %d", st.Uid, err, want)
		}
		if err := os.Chown(path, 100999, 100999); err != nil {
			t.Fatal(err)
		}
	}
}

// test that a container which plants a symbolic link in its own directory does not get another file overwritten
func TestWriteFileFollowsNoPlantedLink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "lnd.conf")
	if err := os.Symlink(victim, path); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(path, "new", 0o600); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("error %v", err)
	}
	wantFile(t, victim, "precious", 0o600)
}

// test that what a power cut left behind does not stay: it may hold a secret
func TestWriteFileRemovesLeftovers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".archy-lnd.conf.0123456789abcdef", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "lnd.conf")
	if err := writeFile(path, "whole", 0o600); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "whole", 0o600)
	if _, err := os.Stat(filepath.Join(dir, "other")); err != nil {
		t.Errorf("a file of somebody else is gone: %v", err)
	}
}

// test that content which ends early, because archy was killed while it sent it, changes nothing
func TestWriteFileBrokenContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lnd.conf")
	if err := writeFile(path, "old", 0o600); err != nil {
		t.Fatal(err)
	}
	args := podman.InternalWriteFileArgs(path, 0o600, 8)[2:]
	for name, content := range map[string]io.Reader{"broken": broken{}, "short": strings.NewReader("new"), "long": strings.NewReader("new and more")} {
		if err := podman.InternalWriteFile(args, content); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", name, err)
		}
		wantFile(t, path, "old", 0o600)
	}
}

type broken struct{}

func (broken) Read(p []byte) (int, error) { return 0, fs.ErrInvalid }

func TestWriteFileArguments(t *testing.T) {
	for _, args := range [][]string{
		nil, {"--path", "relative", "--mode", "0600", "--size", "0"}, {"--path", "/x/y", "--mode", "rw", "--size", "0"},
		{"--path", "/x/y", "--mode", "17777", "--size", "0"}, {"--path", "/x/y", "--mode", "0600", "--size", "much"},
		{"--path", filepath.Join(t.TempDir(), "absent", "f"), "--mode", "0600", "--size", "0"},
	} {
		if err := podman.InternalWriteFile(args, strings.NewReader("")); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
