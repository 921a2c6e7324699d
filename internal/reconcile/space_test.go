package reconcile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// TestFullDisk (incident 23; a disk that fills up during a pass: TestIncident23EnospcEveryWrite): nothing is restarted or written for the apps, the reserve is given up and the journal cut once, exit code 6
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
	if r := n.pass(); r.ExitCode != ExitNeedsHuman || n.runs("api") || n.fullSince().IsZero() {
		t.Errorf("it is forgotten too early: exit %d", r.ExitCode)
	}
	n.facts.DataFree = 3 << 30
	if r := n.pass(); r.ExitCode != ExitOK || n.result(r, "web").Action != Started {
		t.Errorf("with room again: exit %d, %+v", r.ExitCode, n.result(r, "web"))
	}
	if info, err := os.Stat(reserve); err != nil || info.Size() != state.ReserveSize || !n.fullSince().IsZero() {
		t.Errorf("the reserve: %v, %v; full since %s", info, err, n.fullSince())
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

// With less than 2 GiB no image comes, and no app is upgraded or replaced; what runs goes on, and is started when it is down.
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
	n.images["docker.io/example/solo:v2.0"] = podman.Image{ID: "image-v2", Names: []string{"docker.io/example/solo:v2.0"}}
	apps["web"], apps["api"] = changedTo(apps["web"]), changedTo(apps["api"])
	n.load(apps)
	n.down("web", 0)
	n.calls = nil
	if r := n.pass(func(o *Options) { o.Force, o.Only = true, []string{"solo"} }); n.result(r, "solo").Action != Failed {
		t.Errorf("an upgrade whose image is there: %+v", n.result(r, "solo"))
	}
	r = n.pass()
	if got := n.result(r, "api"); got.Action != Failed || got.Error.Code != "space" {
		t.Errorf("a replacement of what runs: %+v", got)
	}
	if got := n.result(r, "web"); got.Action != Recreated {
		t.Errorf("a replacement of what is down: %+v", got)
	}
	equal(t, "touched", n.touched(), []string{"restart web"})
}

// The room that a manifest asks for is filled by the app's own data later, so an app that was removed comes back over them.
func TestRoomForAFirstStart(t *testing.T) {
	t.Parallel()
	n := newNode(t, map[string]string{"base": manifestOf("base", 1, "  dependencies:\n    - storage: 500Gi\n")}).firstBootDone()
	n.facts.DataFree = 400 << 30
	if got := n.result(n.pass(), "base"); got.Action != Failed || got.Error.Code != "space" || !strings.Contains(got.Cause, "500") {
		t.Errorf("the first start: %+v", got)
	}
	n.facts.DataFree = 600 << 30
	n.pass()
	n.converged()
	chain := filepath.Join(n.layout.Host(n.layout.Data("base")), "blocks")
	if err := errors.Join(os.MkdirAll(filepath.Dir(chain), 0o755), os.WriteFile(chain, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	n.facts.DataFree = 400 << 30
	n.mustVerb(ExitOK, Request{Verb: VerbRemove, Apps: []string{"base"}})
	n.mustVerb(ExitOK, Request{Verb: VerbInstall, Apps: []string{"base"}})
	n.converged()
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

func (n *fakeNode) fullSince() time.Time {
	since, _ := n.store.DiskFullSince()
	return since
}

// A breaker that opened before the disk was full stays open.
func TestFullDiskForgivesNothingOlder(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	n.down("solo", 1)
	h := state.History{App: "solo"}
	h.Open(n.peek(), n.bootID, "too many failures in 30 minutes")
	if err := n.store.WriteHistory(h); err != nil {
		t.Fatal(err)
	}
	n.later(time.Minute)
	n.facts.DataFree = 12 << 20
	n.pass()
	n.facts.DataFree = 3 << 30
	if got := n.result(n.pass(), "solo"); got.Row != "25" || !n.history("solo").IsOpen() {
		t.Errorf("%+v, breaker %+v", got, n.history("solo"))
	}
}

// Without inodes a disk is full, whatever space it has.
func TestNoInodes(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	n.facts.DataFree, n.facts.FewInodes = 500<<30, true
	n.down("solo", 1)
	r := n.pass()
	if got := n.result(r, "solo"); r.ExitCode != ExitNeedsHuman || got.Error == nil || got.Error.Code != "disk-full" || !strings.Contains(got.Cause, "fewer than 1000 inodes are free") {
		t.Errorf("exit %d, %+v", r.ExitCode, got)
	}
	n.facts.FewInodes = false
	if r := n.pass(); r.ExitCode != ExitOK || n.result(r, "solo").Action != Started || !n.fullSince().IsZero() {
		t.Errorf("with inodes again: exit %d, %+v", r.ExitCode, n.result(r, "solo"))
	}
	n.converged()
}

// A write that finds no room on a disk that has space by its figures, for a quota, say: the pass ends with 6 and names the file system, and
// the breaker that opens for it is closed half an hour later. What an app says of its own files is no such thing.
func TestNoRoomOnADiskWithSpace(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	n.facts.DataFree = 500 << 30
	image := "docker.io/example/solo:v1.0"
	n.behave[image] = behaviour{dies: 1, says: "could not resize /dev/shm: No space left on device"}
	n.down("solo", 1)
	if r := n.pass(); r.ExitCode == ExitNeedsHuman || !n.fullSince().IsZero() || n.result(r, "solo").Error == nil {
		t.Errorf("an app's own words: exit %d, %+v", r.ExitCode, n.result(r, "solo"))
	}
	n.behave[image] = behaviour{dies: 125, says: "Error: mkdir /var/lib/archipelago/containers/overlay/x: disk quota exceeded"}
	leave := func() { // systemd leaves it to archy
		n.services["solo.service"].ActiveState, n.services["solo.service"].SubState = "failed", "failed"
	}
	for range 40 {
		leave()
		n.later(30 * time.Second)
		r := n.pass()
		if n.result(r, "solo").Error == nil {
			continue // backing off
		}
		if r.Podman.State != string(heal.DiskFull) || r.ExitCode != ExitNeedsHuman || !strings.Contains(r.Podman.Evidence, "512000 MiB are free on "+n.layout.DataDir) ||
			!strings.Contains(r.Podman.Evidence, "solo: Error: mkdir") {
			t.Fatalf("exit %d, %+v, %+v", r.ExitCode, r.Podman, n.result(r, "solo"))
		}
		if n.history("solo").IsOpen() {
			break
		}
	}
	leave()
	n.later(time.Minute)
	if got := n.result(n.pass(), "solo"); got.Row != "25" || n.fullSince().IsZero() {
		t.Fatalf("the breaker holds it back as any other: %+v, %+v", got, n.history("solo"))
	}
	delete(n.behave, image)
	n.later(30 * time.Minute)
	if got := n.result(n.pass(), "solo"); got.Action != Started || n.history("solo").IsOpen() || !n.fullSince().IsZero() {
		t.Errorf("%+v, %+v, full since %s", got, n.history("solo"), n.fullSince())
	}
	n.converged()
}

// The kernel gives a user a quota of keyrings too, and crun's word for it is that of a disk. It is the app's failure as any other.
func TestNoKeyringIsNoFullDisk(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	n.facts.DataFree = 500 << 30
	n.behave["docker.io/example/solo:v1.0"] = behaviour{dies: 125, says: "Error: OCI runtime error: crun: create keyring `0e25`: Disk quota exceeded"}
	n.down("solo", 1)
	if r := n.pass(); r.ExitCode == ExitNeedsHuman || !n.fullSince().IsZero() || n.result(r, "solo").Error == nil {
		t.Errorf("exit %d, %+v", r.ExitCode, n.result(r, "solo"))
	}
}
