package reconcile

import (
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// The clock is set back by some hours: nothing is restarted for it, and nothing waits for it to catch up.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	h := state.History{App: "solo"}
	h.Count(n.peek(), state.EventDied)
	if err := n.store.WriteHistory(h); err != nil {
		t.Fatal(err)
	}
	n.later(-5 * time.Hour)
	if r := n.pass(); len(n.touched()) > 0 || r.ExitCode != 0 {
		t.Errorf("exit %d, %q", r.ExitCode, n.touched())
	}
	if got := n.history("solo").Attempts(n.peek().Add(state.BreakerWindow)); got != 0 {
		t.Errorf("what failed before counts until the clock has caught up: %d", got)
	}
	n.mu.Lock()
	n.containers["web"].Health.Status = podman.HealthUnhealthy
	n.behave[n.containers["web"].Image] = behaviour{sick: true}
	n.mu.Unlock()
	for range 4 {
		n.later(90 * time.Second)
		n.pass()
	}
	if h := n.history("web"); h.Attempts(n.peek()) == 0 {
		t.Errorf("an unhealthy app waits for the clock: %q, %+v", n.touched(), h)
	}
}

// An app that has been up since before the clock was set back is as good as one that has been up for long.
func TestAStartInTheFuture(t *testing.T) {
	t.Parallel()
	a := healthyApp("app")
	a.C.Health = ""
	for ahead, want := range map[time.Duration]bool{5 * time.Hour: true, 5 * time.Second: false, -time.Minute: true} {
		a.C.StartedAt = noon.Add(ahead)
		health, _ := withoutProbe(a, noon)
		if satisfied(a, manifest.Started, noon) != want || satisfied(a, manifest.Healthy, noon) != want || (health == podman.HealthHealthy) != want {
			t.Errorf("started %s ahead of the clock: not %v", ahead, want)
		}
		if startedLately(a, noon) == (ahead == 5*time.Hour) {
			t.Errorf("started %s ahead of the clock: lately %v", ahead, startedLately(a, noon))
		}
	}
}

// What somebody else has made under the name of an app that was removed is left also when the clock has been set back since.
func TestRemovedInTheFuture(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"solo"}})
	n.later(-5 * time.Hour)
	n.script("solo", "docker.io/example/solo:v1.0")
	n.calls = nil
	if got := n.result(n.pass(), "solo"); got.Action != Left || n.containers["solo"] == nil || len(n.touched()) > 0 {
		t.Errorf("%+v, %q", got, n.touched())
	}
}

// A write that found no room, as noted before the clock was set back, holds nothing up any more.
func TestDiskFullInTheFuture(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	n.facts.DataFree = 500 << 30
	if _, err := n.store.DiskFull(n.peek().Add(5*time.Hour), false); err != nil {
		t.Fatal(err)
	}
	h := state.History{App: "solo"}
	h.Open(n.peek(), n.bootID, "too many failures in 30 minutes")
	if err := n.store.WriteHistory(h); err != nil {
		t.Fatal(err)
	}
	n.down("solo", 1)
	n.pass()
	if !n.fullSince().IsZero() || !n.runs("solo") {
		t.Errorf("full since %s, %+v", n.fullSince(), n.history("solo"))
	}
}
