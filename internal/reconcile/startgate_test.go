package reconcile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

// TestStartGatePath: the path of a gate is relative to the app's data, or absolute inside one of its binds.
func TestStartGatePath(t *testing.T) {
	for _, path := range []string{"multi.db", "/var/lib/archipelago/solo/multi.db"} {
		n := newNode(t, map[string]string{"solo": five()["solo"] + "  volumes:\n    - {type: bind, source: /var/lib/archipelago/solo, target: /data}\n" +
			"  start_gate: [{path: " + path + "}]\n"}).firstBootDone()
		if got := n.result(n.pass(), "solo"); got.State != "needs-config" || got.Cause != "waits for /var/lib/archipelago/solo/multi.db" {
			t.Errorf("%s: %+v", path, got)
		}
		file := n.layout.Host(n.layout.Data("solo", "multi.db"))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		n.pass()
		n.converged()
	}
}

// insideOnly are files that only the user namespace sees.
type insideOnly struct {
	noMapped
	asked *[]string
}

func (m insideOnly) Exists(_ context.Context, path string) (bool, error) {
	*m.asked = append(*m.asked, path)
	return true, nil
}

// asNobody lets the file system take root for somebody else, until it is undone: root may look everywhere.
func asNobody(t *testing.T) (undo func()) {
	t.Helper()
	if os.Getuid() != 0 {
		return func() {}
	}
	runtime.LockOSThread()
	if err := syscall.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = syscall.Setfsuid(0)
		runtime.UnlockOSThread()
	}
}

// TestExistsInADirectoryOfAMappedUser: a path below a directory that the service user may not enter is asked for inside.
func TestExistsInADirectoryOfAMappedUser(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	defer asNobody(t)()
	var asked []string
	ob := &observation{Observer: &Observer{Layout: node.Layout{}, Mapped: insideOnly{asked: &asked}}}
	if file := filepath.Join(dir, "multi.db"); !ob.exists(t.Context(), file) || len(asked) != 1 || asked[0] != file {
		t.Errorf("asked %q", asked)
	}
}

// mappedWriter takes what only root of podman's user namespace may write.
type mappedWriter struct {
	Mapped
	wrote []string
}

func (m *mappedWriter) WriteFile(_ context.Context, path string, _ fs.FileMode, _ []byte) error {
	m.wrote = append(m.wrote, filepath.Base(path))
	return nil
}

// TestKeepOldInADirectoryOfAMappedUser: a file that all may read is kept beside where only its user may write.
func TestKeepOldInADirectoryOfAMappedUser(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "bitcoin.conf")
	if err := errors.Join(os.WriteFile(file, []byte("rpcuser=x\n"), 0o644), os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o555)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	defer asNobody(t)()
	m := &mappedWriter{}
	d := NodeDisk{Mapped: m, Now: time.Now}
	err := d.WriteFile(t.Context(), Operation{Path: file, Content: []byte("server=1\n"), Mode: 0o600, KeepOld: true})
	if err != nil || len(m.wrote) != 2 || !strings.HasPrefix(m.wrote[0], "bitcoin.conf.pre-archy-") || m.wrote[1] != "bitcoin.conf" {
		t.Errorf("%v, wrote %q", err, m.wrote)
	}
}
