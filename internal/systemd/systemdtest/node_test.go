package systemdtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// unitFiles are the units of Contract for a real systemd.
var unitFiles = map[Kind]string{
	Runs:     "[Service]\nType=exec\nExecStart=/bin/sh -c 'echo ready; exec sleep 1000'\n",
	Breaks:   "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 7'\n",
	Loops:    "[Unit]\nStartLimitBurst=3\nStartLimitIntervalSec=600\n[Service]\nRestart=on-failure\nRestartSec=50ms\nExecStart=/bin/sh -c 'exit 7'\n",
	Slow:     "[Service]\nType=exec\nExecStartPre=/bin/sleep 60\nExecStart=/bin/sleep 1000\n",
	Unwanted: "[Unit]\nConditionPathExists=!/\n[Service]\nExecStart=/bin/sleep 1000\n",
	Invalid:  "[Service]\nType=exec\n",
}

// real is the user manager of the node that the test runs in.
type real struct {
	manager *systemd.Manager
	dir     string
}

// newReal skips a test that needs a user manager and runs outside of a node. test/node compiles these tests and runs
// them in a node as the service user, with ARCHY_IN_NODE set.
func newReal(t testing.TB) World {
	if os.Getenv("ARCHY_IN_NODE") == "" {
		t.Skip("needs the user manager of a test node: go test ./test/node -run Engine")
	}
	m, err := systemd.Connect(context.Background(), systemd.Options{Bus: filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "bus"), UID: os.Getuid()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, ".config", "systemd", "user")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return real{manager: m, dir: dir}
}

func (r real) User() User { return r.manager }

func (r real) Write(t testing.TB, name string, kind Kind) {
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(unitFiles[kind]), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r real) Delete(t testing.TB, name string) {
	if err := os.Remove(filepath.Join(r.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestRealKeepsContract(t *testing.T) {
	Contract(t, newReal)
}

// test that systemd notices a changed file, and that its restarts are counted
func TestRealDetail(t *testing.T) {
	const name = "contract-detail.service"
	w := newReal(t).(real)
	ctx := context.Background()
	loaded(t, w, name, Runs)
	// systemd forgets a unit that does not run, and reads its file again.
	ok(t, w.manager.Start(ctx, name, jobLimit))
	restarting := "[Service]\nRestart=on-failure\nRestartSec=100ms\nExecStart=/bin/sh -c 'exit 3'\n"
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(restarting), 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := w.manager.Detail(ctx, name)
	if err != nil || !d.NeedReload {
		t.Errorf("after a change of the file: %+v, error %v", d, err)
	}
	ok(t, w.manager.Reload(ctx))
	_ = w.manager.Restart(ctx, name, jobLimit)
	for range 50 {
		if d, err = w.manager.Detail(ctx, name); err != nil || d.NRestarts >= 2 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil || d.NRestarts < 2 || d.NeedReload {
		t.Errorf("restarting unit: %+v, error %v", d, err)
	}
	stoppedOrEnded(t, w)
}

// stoppedOrEnded: systemd tells a unit that was stopped from one that ended by itself, both with success. Like those of the apps they are
// wanted by default.target, or systemd would forget them.
func stoppedOrEnded(t *testing.T, w real) {
	ctx := context.Background()
	wants := filepath.Join(w.dir, "default.target.wants")
	ok(t, os.MkdirAll(wants, 0o755))
	for name, command := range map[string]string{"contract-stopped.service": "/bin/sleep 1000", "contract-ended.service": "/bin/sleep 1"} {
		file, link := filepath.Join(w.dir, name), filepath.Join(wants, name)
		ok(t, os.WriteFile(file, []byte("[Service]\nType=exec\nExecStart="+command+"\n"), 0o644))
		ok(t, os.Symlink(file, link))
		defer func() { _, _ = os.Remove(link), os.Remove(file) }()
	}
	ok(t, w.manager.Reload(ctx))
	ok(t, w.manager.Start(ctx, "contract-ended.service", jobLimit))
	ok(t, w.manager.Start(ctx, "contract-stopped.service", jobLimit))
	ok(t, w.manager.Stop(ctx, "contract-stopped.service", jobLimit))
	stopped, err := w.manager.Detail(ctx, "contract-stopped.service")
	if err != nil || !stopped.Stopped || stopped.Result != "success" {
		t.Errorf("stopped: %+v, %v", stopped, err)
	}
	ended := detailWhen(t, w.manager, "contract-ended.service", func(d systemd.Detail) bool { return d.ActiveState == "inactive" })
	if ended.Stopped || ended.Result != "success" {
		t.Errorf("ended by itself: %+v", ended)
	}
}

// BenchmarkUnits measures the one question that a pass asks about 33 units.
func BenchmarkUnits(b *testing.B) {
	u := newReal(b).User()
	names := []string{"podman.socket"}
	for i := range 32 {
		names = append(names, "bench-"+string(rune('a'+i%26))+string(rune('a'+i/26))+".service")
	}
	for b.Loop() {
		units, err := u.Units(context.Background(), names)
		if err != nil || len(units) != len(names) || units["podman.socket"].ActiveState != "active" {
			b.Fatalf("%v, error %v", units, err)
		}
	}
}
