package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// test that an open breaker is an error line when it opens and once an hour, not twice a minute
func TestOpenBreakerIsToldHourly(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	h := state.History{App: "lnd"}
	h.Open(start, "boot", "too many failures in 30 minutes")
	told := 0
	for d := time.Duration(0); d < 2*time.Hour+time.Minute; d += 30 * time.Second {
		c := &change{history: h, result: AppResult{Error: &AppError{Code: "breaker-open"}}}
		(&run{}).reportBreaker(c, start.Add(d))
		h = c.history
		if !c.result.Repeated {
			told++
		}
	}
	if told != 3 {
		t.Errorf("told %d times in two hours, want 3", told)
	}
}

// An image of the owner's keeps data where the manifest mounts nothing: podman's volume for them goes with the container at every stop, which is told. Of a shipped
// app such a path is left on purpose.
func TestWhatGoesWithTheContainerIsTold(t *testing.T) {
	t.Parallel()
	n := newNode(t, map[string]string{"solo": manifestOf("solo", 3, fmt.Sprintf(dataOf, "solo"))}).firstBootDone()
	n.pass()
	n.containers["solo"].Mounts = []podman.Mount{
		{Type: "bind", Source: n.layout.Data("solo"), Target: "/data"}, {Type: "volume", Name: strings.Repeat("ab", 32), Target: "/keep"}}
	told := func() []string { return n.result(n.pass(), "solo").NotKept }
	if got := told(); len(got) > 0 {
		t.Errorf("shipped: %q", got)
	}
	solo := n.set.Apps["solo"]
	if solo.Local = true; !slices.Equal(told(), []string{"/keep"}) {
		t.Errorf("an owner's manifest: %q", told())
	}
	if r := n.pass(func(o *Options) { o.CheckOnly = true }); !slices.Equal(n.result(r, "solo").NotKept, []string{"/keep"}) {
		t.Errorf("a look: %+v", n.result(r, "solo"))
	}
	solo.Local, n.containers["solo"].Image = false, "docker.io/example/solo:v1.1"
	if got := told(); !slices.Equal(got, []string{"/keep"}) {
		t.Errorf("an owner's image: %q", got)
	}
}

// The owner's manifest is older than the shipped one by now: it is told, and nothing is done.
func TestShippedHasMovedOn(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	solo := n.set.Apps["solo"]
	solo.Local = true
	for shipped, want := range map[string]string{"docker.io/example/solo:v1.1": "docker.io/example/solo:v1.1", "docker.io/example/solo:v1.0": "", "docker.io/example/solo:v0.9": "", "docker.io/other/solo:v2.0": "", "": ""} {
		solo.Shipped = shipped
		r := n.pass()
		if got := n.result(r, "solo"); got.UpgradeShipped != want || got.UpgradeAvailable != "" || got.Action != NoOp || len(n.touched()) > 0 {
			t.Errorf("%s: %+v", shipped, got)
		}
	}
}
