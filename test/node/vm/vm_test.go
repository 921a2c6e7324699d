package vm_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
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
	text := os.Getenv("ARCHY_ROUNDS")
	if text == "" {
		t.Log("power cuts are for `make vm`: each boot of an emulated machine takes a minute")
		return
	}
	rounds, err := strconv.Atoi(text)
	if err != nil || rounds < 1 {
		t.Fatalf("ARCHY_ROUNDS=%s is no number of rounds", text)
	}
	for n := 2; n <= rounds; n++ {
		t.Run(fmt.Sprintf("out of memory %d", n), m.outOfMemory)
	}
	m.plant()
	t.Run("power cut of a stopped app", m.cutStopped)
	for n := 1; n <= rounds; n++ {
		kind := cuts[n%len(cuts)]
		t.Run(fmt.Sprintf("power cut %d during %s", n, kind.name), func(t *testing.T) { m.cutDuring(t, kind.prepare, kind.args...) })
	}
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
	m.forgive()
	before, kills := m.container(), m.kills()
	group := strings.TrimSpace(m.user(0, "podman", "inspect", "--format", "{{.State.CgroupPath}}", "filebrowser").Stdout)
	m.root("echo 1M >/sys/fs/cgroup" + group + "/memory.max || true")
	m.until(t, "another container runs", func() (bool, string) { now := m.container(); return now != "" && now != before, now })
	if m.kills() == kills {
		t.Error("the kernel did not kill for memory")
	}
	m.user(0, "archy", "reconcile", "--wait")
	if says := m.user(0, "archy", "why", "filebrowser").Stdout; !strings.Contains(says, "out of memory") {
		t.Errorf("archy why says:\n%s", says)
	}
}

// kills counts what the kernel has killed for memory since the boot.
func (m machine) kills() string {
	return m.root("journalctl -k --no-pager | grep -ci oom-kill || true")
}

// forgive makes the rounds lie more than an hour apart for whoever counts failures, as those of chaos do.
func (m machine) forgive() {
	m.user(0, "sh", "-c", "systemctl --user reset-failed; rm -f /var/lib/archipelago/state/restarts/*.json")
}

func (m machine) container() string {
	res := m.User(m.t.Context(), "podman", "ps", "--no-trunc", "--filter", "name=^filebrowser$", "--format", "{{.ID}}")
	return strings.TrimSpace(res.Stdout)
}

// plant puts a file into the app's data and flushes it.
func (m machine) plant() {
	m.root("echo planted >/var/lib/archipelago/filebrowser/planted && sync -f /var/lib/archipelago/filebrowser/planted")
}

// cutStopped: what its owner stopped stays stopped.
func (m machine) cutStopped(t *testing.T) {
	m.t = t
	m.user(0, "archy", "stop", "filebrowser")
	m.cut(t)
	if state := m.user(0, "archy", "reconcile", "--wait").Stdout; m.container() != "" {
		t.Errorf("what was stopped runs again:\n%s", state)
	}
	m.user(0, "archy", "start", "filebrowser")
}

// cuts are what archy is at when the power goes.
var cuts = []struct {
	name, prepare string
	args          []string
}{
	{"a start after a removal", "archy remove filebrowser", []string{"install", "filebrowser"}},
	{"a restart", "", []string{"restart", "filebrowser"}},
	{"a forced replacement", "", []string{"reconcile", "--container=filebrowser", "--force"}},
	{"a repairing pass", "rm ~/.config/containers/systemd/filebrowser.container", []string{"reconcile"}},
}

// cutDuring: at a moment of its own choice the disk loses what was not flushed. What archy wrote is whole, podman's view is mended if it must
// be, and the app comes back once, with its data.
func (m machine) cutDuring(t *testing.T, prepare string, args ...string) {
	m.t = t
	if prepare != "" {
		m.user(0, "sh", "-c", prepare)
	}
	argv := append([]string{"archy"}, args...)
	after := time.Second + rand.N(20*time.Second)
	t.Logf("after %s", after.Round(time.Millisecond))
	done := make(chan node.Result, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- m.User(ctx, argv...) }()
	time.Sleep(after)
	m.cut(t)
	cancel()
	<-done
	if torn := m.root("find /var/lib/archipelago/state /var/lib/archipelago/secrets /home/archipelago/.config/containers -type f -size 0 ! -name '*.lock'"); torn != "" {
		t.Errorf("empty files: %s", torn)
	}
	var last node.Result
	for range 20 {
		if m.Panicked() {
			t.Log("the kernel panicked, which is the emulator's doing; the machine is switched on again")
			m.cut(t)
		}
		if last = m.User(t.Context(), "archy", "reconcile", "--wait"); last.Code == 0 && m.container() != "" {
			break
		}
		if args[0] == "install" {
			last = m.User(t.Context(), argv...) // its owner asks again
		}
		m.User(t.Context(), "archy", "podman", "heal")
	}
	if m.container() == "" {
		t.Fatalf("the app is not back: %s%s%v", last.Stdout, last.Stderr, last.Err)
	}
	m.user(0, "archy", "reconcile", "--check-only", "--exit-code")
	if planted := m.root("cat /var/lib/archipelago/filebrowser/planted"); planted != "planted" {
		t.Errorf("the app's data: %q", planted)
	}
	if n := m.root("pgrep -c conmon"); n != "1" {
		t.Errorf("%s containers run", n)
	}
}

// cut cuts the power and switches the machine on again.
func (m machine) cut(t *testing.T) {
	t.Helper()
	m.Cut()
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	if err := m.Boot(ctx); err != nil {
		t.Fatal(err)
	}
}
