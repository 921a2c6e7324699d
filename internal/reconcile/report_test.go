package reconcile

import (
	"testing"
	"time"

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
