package state

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(d time.Duration) time.Time { return t0.Add(d) }

func TestDelay(t *testing.T) {
	want := []int{10, 20, 40, 80, 160, 300, 300}
	for i, seconds := range want {
		if got := Delay(i + 1); got != time.Duration(seconds)*time.Second {
			t.Errorf("delay before attempt %d: %s", i+1, got)
		}
	}
	if Delay(0) != FirstDelay || Delay(1<<20) != MaxDelay {
		t.Error(Delay(0), Delay(1<<20))
	}
}

func TestBackoff(t *testing.T) {
	var h History
	if !h.Allowed(t0, "boot") {
		t.Error("a first start must be allowed")
	}
	h.Count(t0, EventDied)
	h.Count(at(10*time.Second), EventDied)
	if h.Allowed(at(29*time.Second), "boot") || !h.Allowed(at(30*time.Second), "boot") {
		t.Errorf("second failure: next attempt %s", h.Next(t0))
	}
	if h.IsOpen() || h.ShouldOpen(at(30*time.Second)) {
		t.Error("two failures open nothing")
	}
}

func TestBreakerOpensAtFiveInThirtyMinutes(t *testing.T) {
	var h History
	for i := range 4 {
		h.Count(at(time.Duration(i)*7*time.Minute), EventDied)
	}
	if h.ShouldOpen(at(21 * time.Minute)) {
		t.Error("four events")
	}
	h.Count(at(29*time.Minute), EventRecreated)
	if !h.ShouldOpen(at(29 * time.Minute)) {
		t.Error("five events within 30 minutes")
	}
	h.Open(at(29*time.Minute), "boot", "died 5 times, exit code 1")
	if h.ShouldOpen(at(29*time.Minute)) || h.Allowed(at(9*time.Hour), "boot") {
		t.Error("an open breaker allows nothing, however long")
	}
	if got := h.String(); got != "breaker open since 2026-03-01T10:29:00Z: died 5 times, exit code 1" {
		t.Error(got)
	}
	h.Close()
	if h.IsOpen() || !h.Allowed(at(29*time.Minute), "boot") || h.Attempts(at(29*time.Minute)) != 0 {
		t.Errorf("closed: %+v", h)
	}
}

func TestBreakerForgetsOldEvents(t *testing.T) {
	var h History
	for i := range 9 {
		h.Count(at(time.Duration(i)*8*time.Minute), EventDied)
	}
	if h.ShouldOpen(at(64*time.Minute)) || len(h.Events) != 4 {
		t.Errorf("one failure every 8 minutes: %d events", len(h.Events))
	}
}

func TestBreakerNewBootHasOneAttempt(t *testing.T) {
	var h History
	h.Open(t0, "boot-1", "x")
	if h.Allowed(t0, "boot-1") || h.Allowed(t0, "") {
		t.Error("the same boot")
	}
	if !h.Allowed(t0, "boot-2") {
		t.Error("a new boot has one attempt")
	}
	h.UseBootAttempt("boot-2")
	if h.Allowed(t0, "boot-2") || !h.Allowed(t0, "boot-3") {
		t.Error("one attempt a boot")
	}
}

func TestBreakerReportsHourly(t *testing.T) {
	var h History
	var lines []time.Duration
	for minute := range 150 {
		d := time.Duration(minute) * time.Minute
		if minute == 20 {
			h.Open(at(d), "boot", "x")
		}
		if h.ReportDue(at(d)) {
			lines = append(lines, d)
			h.Reported(at(d))
		}
	}
	if !slices.Equal(lines, []time.Duration{20 * time.Minute, 80 * time.Minute, 140 * time.Minute}) {
		t.Errorf("reported at %v", lines)
	}
}

func TestTenHealthyMinutesForget(t *testing.T) {
	h := History{App: "lnd", Invocation: "i", AutoRestarts: 2}
	h.Count(t0, EventDied)
	h.Healthy(at(time.Minute))
	h.Down()
	h.Healthy(at(5 * time.Minute))
	h.Healthy(at(14*time.Minute + 59*time.Second))
	if len(h.Events) != 1 {
		t.Error("forgotten although the health was interrupted")
	}
	h.Healthy(at(15 * time.Minute))
	if len(h.Events) != 0 || h.AutoRestarts != 2 || h.App != "lnd" {
		t.Errorf("%+v", h)
	}
}

func TestHealthyAppWritesNothing(t *testing.T) {
	var h History
	h.Healthy(t0)
	if !h.empty() {
		t.Errorf("a healthy app without a past has a history: %+v", h)
	}
}

func TestUnhealthyPasses(t *testing.T) {
	var h History
	for i := range 3 {
		passes, since := h.Unhealthy(at(time.Duration(i) * 90 * time.Second))
		if passes != i+1 || since != time.Duration(i)*90*time.Second {
			t.Errorf("pass %d: %d %s", i, passes, since)
		}
	}
	h.Healthy(at(time.Hour))
	if passes, since := h.Unhealthy(at(2 * time.Hour)); passes != 1 || since != 0 {
		t.Errorf("after a healthy pass: %d %s", passes, since)
	}
}

func TestAutoRestarts(t *testing.T) {
	var h History
	for i, n := range []int{0, 2, 2, 1, 0, 1} {
		h.CountAutoRestarts(at(time.Duration(i)*time.Second), n)
	}
	// 2 of the first run, 1 after the counter began again, 1 after it began again.
	if len(h.Events) != 4 || h.AutoRestarts != 1 {
		t.Errorf("%+v", h)
	}
	h.CountAutoRestarts(at(time.Minute), 1000)
	if len(h.Events) != 9 {
		t.Errorf("a thousand restarts count as the breaker's five: %d", len(h.Events))
	}
}

func TestNotItsFault(t *testing.T) {
	var h History
	h.Count(t0, EventDied)
	h.Open(t0, "b", "x")
	h.Unhealthy(t0)
	h.NotItsFault()
	if !h.Allowed(t0, "b") || len(h.Events) != 0 || h.IsOpen() || h.UnhealthyPasses != 1 {
		t.Errorf("%+v", h)
	}
	h.Count(t0, EventPeerRestart)
	h.NotItsFault()
	if h.Due(t0) || h.Attempts(t0) != 0 {
		t.Errorf("a flapping peer: %+v", h)
	}
}

func TestEnded(t *testing.T) {
	for _, c := range []struct {
		lived   time.Duration
		counted int
	}{{-time.Second / 2, 1}, {0, 1}, {time.Minute, 1}, {61 * time.Second, 0}, {-time.Hour, 0}} {
		h := History{StartedAt: t0}
		h.Ended(at(2*time.Minute), at(c.lived))
		if len(h.Events) != c.counted || !h.StartedAt.IsZero() {
			t.Errorf("lived for %s: %+v", c.lived, h)
		}
		if c.counted > 0 && !h.NextAttempt.Equal(at(c.lived+FirstDelay)) {
			t.Errorf("lived for %s: next attempt %s", c.lived, h.NextAttempt)
		}
	}
	var h History
	if h.Ended(at(time.Minute), t0); len(h.Events) > 0 {
		t.Error("a run that archy did not start was counted")
	}
}

func TestClockJumpsBackByAYear(t *testing.T) {
	var h History
	for range 5 {
		h.Count(t0, EventDied)
	}
	past := t0.AddDate(-1, 0, 0)
	if !h.Due(past) || h.Attempts(past) != 5 {
		t.Error("times of the future count as now")
	}
	h.Count(past, EventDied)
	if h.NextAttempt.Sub(past) != MaxDelay || h.Attempts(past.Add(31*time.Minute)) != 0 {
		t.Errorf("%+v", h)
	}
	h.Open(t0, "b", "x")
	h.Reported(t0)
	if !h.ReportDue(past) {
		t.Error("no report for a year")
	}
	h = History{StartedAt: t0, UnhealthySince: t0}
	h.Count(t0, EventDied)
	h.Clamp(past)
	if h.Attempts(past.Add(31*time.Minute)) != 0 || !h.NextAttempt.Equal(past) || !h.UnhealthySince.Equal(past) || h.StartedAt.After(past) {
		t.Errorf("what was noted before grows no older: %+v", h)
	}
	var g History
	g.Count(past, EventDied)
	g.HealthySince = t0
	g.Healthy(past)
	g.Healthy(past.Add(HealthyReset))
	if len(g.Events) != 0 {
		t.Error("not healthy for a year")
	}
}

func TestHistoryInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h History
		now := t0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(-900, 900).Draw(t, "seconds")) * time.Second)
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1:
				h.Count(now, EventDied)
			case 2:
				h.Healthy(now)
			case 3:
				h.Unhealthy(now)
			case 4:
				h.Down()
			case 5:
				if h.ShouldOpen(now) {
					h.Open(now, "boot", "x")
				}
			}
			if next := h.Next(now); next.Before(now) || next.Sub(now) > MaxDelay {
				t.Fatalf("next attempt %s at %s", next, now)
			}
			if h.IsOpen() && (h.Allowed(now, "boot") || !h.Allowed(now, "other")) {
				t.Fatalf("open breaker: %+v", h)
			}
			if !h.IsOpen() && !h.Allowed(h.Next(now), "boot") {
				t.Fatalf("locked out with a closed breaker: %+v", h)
			}
		}
	})
}

func TestHistoryFile(t *testing.T) {
	s := newStore(t)
	h, err := s.ReadHistory("lnd")
	if err != nil || h.App != "lnd" {
		t.Fatal(h, err)
	}
	h.Count(t0, EventDied)
	h.Open(t0, "boot", "x")
	if err := s.WriteHistory(h); err != nil {
		t.Fatal(err)
	}
	file := s.host("state/restarts/lnd.json")
	for _, want := range []string{`"schema": 1`, `"next_attempt": "2026-03-01T10:00:10Z"`, `"open_since": "2026-03-01T10:00:00Z"`, `"reason": "x"`, `"boot_id": "boot"`} {
		if !strings.Contains(get(t, file), want) {
			t.Errorf("no %s in %s", want, get(t, file))
		}
	}
	got, err := s.ReadHistory("lnd")
	if err != nil || !got.IsOpen() || len(got.Events) != 1 || !got.NextAttempt.Equal(h.NextAttempt) {
		t.Errorf("%+v %v", got, err)
	}
	got.Close()
	if err := s.WriteHistory(got); err != nil || len(names(t, s.host("state/restarts"))) != 0 {
		t.Errorf("an empty history stays: %v", err)
	}
}

func TestUnreadableHistoryIsKept(t *testing.T) {
	s := newStore(t)
	put(t, s.host("state/restarts/lnd.json"), `{"schema":9}`)
	histories, problems := s.ReadHistories()
	h := histories["lnd"]
	if len(problems) != 1 || problems[0].App != "lnd" || h.IsOpen() {
		t.Fatal(histories, problems)
	}
	if err := s.WriteHistory(h); err != nil || get(t, s.host("state/restarts/lnd.json")) != `{"schema":9}` {
		t.Error("nothing to say, and still the file is gone", err)
	}
	h.Count(t0, EventDied)
	if err := s.WriteHistory(h); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s.host("state/restarts/lnd.json.unreadable-20260301T100000Z")); got != `{"schema":9}` {
		t.Error(got)
	}
}

// Only what failed since then is forgiven.
func TestForgive(t *testing.T) {
	full := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	h := History{App: "lnd"}
	h.Count(full.Add(-time.Minute), EventDied)
	h.Count(full.Add(time.Minute), EventDied)
	if h.Forgive(full); len(h.Events) != 1 || !h.NextAttempt.IsZero() {
		t.Errorf("%+v", h)
	}
	h.Open(full.Add(-time.Second), "boot", "too many failures")
	if h.Forgive(full); !h.IsOpen() {
		t.Error("a breaker that opened before is closed")
	}
	h.Open(full.Add(time.Second), "boot", "too many failures")
	if h.Forgive(full); h.IsOpen() || len(h.Events) > 0 {
		t.Errorf("%+v", h)
	}
}
