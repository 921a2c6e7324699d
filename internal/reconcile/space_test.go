package reconcile

import (
	"os"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// TestFullDisk (incident 23; a disk that fills up during a pass: TestFullFromEveryWriteOn): nothing is restarted or written for the apps, the reserve is given up and the journal cut once, exit code 6
// says how much is free; with room again the reserve is there, what is down is started, and what failed meanwhile counts for nothing.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	reserve := n.layout.Host(state.Reserve(n.layout))
	if err := os.WriteFile(reserve, make([]byte, 1<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	n.facts.DataFree = 12 << 20
	n.down("api", 1)
	n.down("web", 1)
	for range 8 {
		r := n.pass()
		if got := n.result(r, "api"); got.Action != NeedsHuman || got.Error == nil || got.Error.Code != "disk-full" || !strings.Contains(got.Cause, "12 MiB are free") {
			t.Fatalf("api: %+v", got)
		}
		if got := n.result(r, "solo"); got.Action != NoOp || r.ExitCode != ExitNeedsHuman || r.Podman.State != string(heal.DiskFull) {
			t.Fatalf("solo: %+v, exit %d, %s", got, r.ExitCode, r.Podman.State)
		}
		n.later(time.Minute)
	}
	if len(n.touched()) > 0 || n.history("api").IsOpen() {
		t.Errorf("touched %v, breaker %+v", n.touched(), n.history("api"))
	}
	if _, err := os.Stat(reserve); err == nil {
		t.Error("the reserve was not given up")
	}
	n.facts.DataFree = 1 << 30 // not enough to forget it
	if r := n.pass(); r.ExitCode != ExitNeedsHuman || n.runs("api") || n.store.DiskFullSince().IsZero() {
		t.Errorf("it is forgotten too early: exit %d", r.ExitCode)
	}
	n.facts.DataFree = 3 << 30
	if r := n.pass(); r.ExitCode != ExitOK || n.result(r, "web").Action != Started {
		t.Errorf("with room again: exit %d, %+v", r.ExitCode, n.result(r, "web"))
	}
	if info, err := os.Stat(reserve); err != nil || info.Size() != state.ReserveSize || !n.store.DiskFullSince().IsZero() {
		t.Errorf("the reserve: %v, %v; full since %s", info, err, n.store.DiskFullSince())
	}
	n.converged()
}

// A breaker that opened while the disk was full is closed when there is room again.
func TestFullDiskIsNoFaultOfAnApp(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	n.facts.DataFree = 12 << 20
	n.pass()
	n.down("solo", 1)
	h := state.History{App: "solo"}
	h.Open(n.peek(), n.bootID, "too many failures in 30 minutes")
	if err := n.store.WriteHistory(h); err != nil {
		t.Fatal(err)
	}
	n.facts.DataFree = 3 << 30
	if got := n.result(n.pass(), "solo"); got.Action != Started || n.history("solo").IsOpen() {
		t.Errorf("%+v, breaker %+v", got, n.history("solo"))
	}
	n.converged()
}

// With less than 2 GiB no image comes and no app is upgraded; what runs goes on, and is started when it is down.
func TestShortDisk(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	n.facts.DataFree = 1 << 30
	n.down("solo", 0)
	if got := n.result(n.pass(), "solo"); got.Action != Started {
		t.Errorf("a start needs no room: %+v", got)
	}
	apps := five()
	apps["solo"] = upgraded(apps["solo"], "v2.0")
	n.load(apps)
	n.calls = nil
	r := n.pass(func(o *Options) { o.Force, o.Only = true, []string{"solo"} })
	if got := n.result(r, "solo"); got.Action != Failed || got.Error.Code != "space" || !strings.Contains(got.Cause, "1024 MiB are free") || len(n.touched()) > 0 {
		t.Errorf("an upgrade: %+v, touched %v", got, n.touched())
	}
}

// down ends an app's container, which systemd does not start again.
func (n *fakeNode) down(id string, code int) {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	name := n.set.Apps[id].Unit()
	n.drop(n.containers[name])
	s := n.services[name+".service"]
	s.ActiveState, s.ExecMainStatus = "inactive", code
}

func (n *fakeNode) history(id string) *state.History {
	n.t.Helper()
	h, err := n.store.ReadHistory(id)
	if err != nil {
		n.t.Fatal(err)
	}
	return &h
}
