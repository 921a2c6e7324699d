//go:build vm

package vm_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node"
	"git.tx1138.com/lfg2025/archy/test/node/vm"
)

type machine struct {
	*vm.Machine
	t *testing.T
}

// TestMachine shows what a node in namespaces cannot: limits seen from inside an app, a kernel that kills for memory, and a disk that loses
// at a power cut what was not flushed.
func TestMachine(t *testing.T) {
	node.Need(t)
	vmm, err := vm.Up(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := vmm.Remove(); err != nil {
			t.Error(err)
		}
	})
	m := machine{vmm, t}
	if err := m.Put(t.Context(), node.Archy(t), "/usr/local/bin/archy", "755"); err != nil {
		t.Fatal(err)
	}
	m.root("mkdir -p /var/lib/archipelago && touch /var/lib/archipelago/.first-boot-containers-done && chown archipelago: /var/lib/archipelago/.first-boot-containers-done")
	m.user(0, "archy", "secrets", "gen", "--quiet")
	if says := m.user(0, "archy", "install", "filebrowser"); strings.Contains(says.Stderr, "not delegated") {
		t.Errorf("the controllers reach the service user: %s", says.Stderr)
	}
	t.Run("limits", m.limits)
	t.Run("out of memory", m.outOfMemory)
	t.Run("power cut", m.powerCut)
}

func (m machine) root(script string) string {
	m.t.Helper()
	res := m.Root(m.t.Context(), script)
	if err := res.Error(); err != nil {
		m.t.Fatal(err)
	}
	return strings.TrimSpace(res.Stdout)
}

func (m machine) user(code int, args ...string) node.Result {
	m.t.Helper()
	res := m.User(m.t.Context(), args...)
	if res.Code != code || res.Err != nil {
		m.t.Fatalf("want exit code %d: %v\n%s", code, res.Error(), res.Stdout)
	}
	return res
}

// until waits for something that takes as long as it takes on an emulated machine.
func (m machine) until(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	var seen string
	for range 120 {
		var done bool
		if done, seen = ok(); done {
			return
		}
		time.Sleep(time.Second)
	}
	t.Fatalf("%s: not within two minutes: %s", what, seen)
}

// limits of the manifest are the kernel's, as the app sees them.
func (m machine) limits(t *testing.T) {
	m.t = t
	want := strings.Fields(m.user(0, "podman", "inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}", "filebrowser").Stdout)
	for i, file := range []string{"memory.max", "pids.max"} {
		if got := strings.TrimSpace(m.user(0, "podman", "exec", "filebrowser", "cat", "/sys/fs/cgroup/"+file).Stdout); got != want[i] || got == "0" {
			t.Errorf("%s is %s, want %s", file, got, want[i])
		}
	}
}

// outOfMemory: the kernel kills the app, systemd starts it again, and archy says in words what it was.
func (m machine) outOfMemory(t *testing.T) {
	m.t = t
	before := m.container()
	group := strings.TrimSpace(m.user(0, "podman", "inspect", "--format", "{{.State.CgroupPath}}", "filebrowser").Stdout)
	m.root("echo 1M >/sys/fs/cgroup" + group + "/memory.max || true")
	m.until(t, "another container runs", func() (bool, string) { now := m.container(); return now != "" && now != before, now })
	if says := m.root("journalctl -k --no-pager | grep -i 'oom-kill' | tail -1"); says == "" {
		t.Error("the kernel did not kill for memory")
	}
	m.user(0, "archy", "reconcile", "--wait")
	if says := m.user(0, "archy", "why", "filebrowser").Stdout; !strings.Contains(says, "out of memory") {
		t.Errorf("archy why says:\n%s", says)
	}
}

func (m machine) container() string {
	res := m.User(m.t.Context(), "podman", "ps", "--no-trunc", "--filter", "name=^filebrowser$", "--format", "{{.ID}}")
	return strings.TrimSpace(res.Stdout)
}

// powerCut: what archy has written is whole, what the owner stopped stays stopped, and what podman has lost comes back.
func (m machine) powerCut(t *testing.T) {
	m.t = t
	m.user(0, "archy", "stop", "filebrowser")
	m.cut(t)
	if state := m.user(0, "archy", "reconcile", "--wait").Stdout; m.container() != "" {
		t.Errorf("what was stopped runs again:\n%s", state)
	}
	m.user(0, "archy", "start", "filebrowser")
	// The disk has the unit and the records: archy flushed them. podman flushed nothing of the container's start.
	m.cut(t)
	m.until(t, "the app is back", func() (bool, string) {
		res := m.User(t.Context(), "archy", "reconcile", "--wait")
		return res.Code == 0 && m.container() != "", res.Stdout + res.Stderr
	})
	m.user(0, "archy", "reconcile", "--check-only", "--exit-code")
	if torn := m.root("find /var/lib/archipelago/state /home/archipelago/.config/containers -name '*.json' -size 0 -o -name '*.container' -size 0"); torn != "" {
		t.Errorf("empty files: %s", torn)
	}
}

// cut cuts the power and switches the machine on again.
func (m machine) cut(t *testing.T) {
	t.Helper()
	m.Cut()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	if err := m.Boot(ctx); err != nil {
		t.Fatal(err)
	}
}
