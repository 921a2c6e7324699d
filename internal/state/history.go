package state

import (
	"fmt"
	"slices"
	"time"
)

// The numbers of back-off and breaker.
const (
	// FirstDelay doubles with each counted event up to MaxDelay.
	FirstDelay = 10 * time.Second
	MaxDelay   = 300 * time.Second
	// BreakerEvents within BreakerWindow open the breaker of an app that is down.
	BreakerEvents = 5
	BreakerWindow = 30 * time.Minute
	// SchemaEvents open it when the app's log says that a newer version made its data: the next start would find the same.
	SchemaEvents = 2
	// HealthyReset is how long an app must be healthy before its count goes to zero.
	HealthyReset = 10 * time.Minute
	// DiesWithin is how soon after its start an app must end for that to count.
	DiesWithin = 60 * time.Second
	// ReportEvery is the pace of the error line of an open breaker.
	ReportEvery = time.Hour
)

// Events that count. EventPeerRestart makes the pauses longer and does not open the breaker.
const (
	EventDied          = "died"           // a start that died within 60 s, or missed its gate with a dead process
	EventRecreated     = "recreated"      // a recreate
	EventHealthRestart = "health-restart" // a restart for health alone
	EventAutoRestart   = "auto-restart"   // a restart by systemd
	EventPeerRestart   = "peer-restart"   // a restart because another app has another address
	EventScopeFailed   = "scope-failed"   // an adopted container that podman could not start
)

// Event is one counted event.
type Event struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
}

// History is the back-off and the breaker of one app, a state machine without clock or file:
// state/restarts/<id>.json. The zero value is an app without a past. All methods that take now first
// treat times in the future as now, so a clock that jumped back never locks an app out.
type History struct {
	Schema int     `json:"schema"`
	App    string  `json:"app"`
	Events []Event `json:"events,omitempty"`
	// NextAttempt is when the next automatic start may happen; zero is at once. Read it with Next.
	NextAttempt time.Time `json:"next_attempt,omitzero"`
	// OpenSince is zero while the breaker is closed; Reason says why it opened.
	OpenSince  time.Time `json:"open_since,omitzero"`
	Reason     string    `json:"reason,omitempty"`
	ReportedAt time.Time `json:"reported_at,omitzero"`
	// BootID is the boot in which the breaker opened, or whose one attempt has been used.
	BootID string `json:"boot_id,omitempty"`
	// HealthySince starts the ten minutes after which the count goes to zero.
	HealthySince time.Time `json:"healthy_since,omitzero"`
	// UnhealthySince and UnhealthyPasses describe a running app whose probe fails.
	UnhealthySince  time.Time `json:"unhealthy_since,omitzero"`
	UnhealthyPasses int       `json:"unhealthy_passes,omitempty"`
	// StoppingSince is when a pass first found the container on its way to its end, zero while it is not.
	StoppingSince time.Time `json:"stopping_since,omitzero"`
	// Invocation and AutoRestarts are systemd's invocation and restart counter at the last pass.
	Invocation   string `json:"invocation,omitempty"`
	AutoRestarts int    `json:"auto_restarts,omitempty"`
	// StartedAt is when archy started the app, until that is counted or the app has lived for DiesWithin.
	StartedAt time.Time `json:"started_at,omitzero"`
	// Lacked is what the app could not run without and did not have: what it failed at meanwhile was not its own failure.
	Lacked string `json:"lacked,omitempty"`
	// Tried is the spec hash that was started last, whether it came up or not. It is kept as long as there is something else to
	// remember.
	Tried string `json:"tried,omitempty"`
}

// Count adds a counted event, forgets those older than the window and sets the next attempt.
func (h *History) Count(now time.Time, kind string) {
	h.normalise(now)
	h.Events = append(h.Events, Event{At: now, Kind: kind})
	h.HealthySince = time.Time{}
	if kind != EventPeerRestart {
		h.StartedAt = time.Time{} // no start counts twice
	}
	h.NextAttempt = now.Add(Delay(len(h.Events)))
}

// Ended notes that the run which archy started is over, and when: one that ended soon after its start counts. The end may be told
// in whole seconds.
func (h *History) Ended(now, end time.Time) {
	lived := end.Sub(h.StartedAt)
	if !h.StartedAt.IsZero() && lived > -time.Second && lived <= DiesWithin {
		h.Count(now, EventDied)
		h.NextAttempt = end.Add(Delay(len(h.Events)))
	}
	h.StartedAt = time.Time{}
}

// Delay is the pause before attempt n, n >= 1.
func Delay(n int) time.Duration {
	d := FirstDelay
	for ; n > 1 && d < MaxDelay; n-- {
		d *= 2
	}
	return min(d, MaxDelay)
}

// CountAutoRestarts counts systemd's automatic restarts since the last pass, from the unit's restart counter
// (NRestarts). The counter starts again at zero when archy or the owner starts the unit.
func (h *History) CountAutoRestarts(now time.Time, nRestarts int) {
	for range min(h.AutoRestartsSince(nRestarts), BreakerEvents) {
		h.Count(now, EventAutoRestart)
	}
	h.AutoRestarts = nRestarts
}

// AutoRestartsSince is how many of them are new.
func (h *History) AutoRestartsSince(nRestarts int) int {
	if nRestarts < h.AutoRestarts {
		return nRestarts
	}
	return nRestarts - h.AutoRestarts
}

// Attempts is the number of events within the window that the breaker counts.
func (h *History) Attempts(now time.Time) int {
	n := 0
	for _, e := range h.Events {
		if e.Kind != EventPeerRestart && now.Sub(e.At) < BreakerWindow {
			n++
		}
	}
	return n
}

// Last is the kind of the last counted event within the window, "" without one.
func (h *History) Last(now time.Time) string {
	if n := len(h.Events); n > 0 && now.Sub(h.Events[n-1].At) < BreakerWindow {
		return h.Events[n-1].Kind
	}
	return ""
}

// Next is when the next automatic attempt may happen: now or a time at most MaxDelay ahead.
func (h *History) Next(now time.Time) time.Time {
	if h.NextAttempt.Before(now) || h.NextAttempt.Sub(now) > MaxDelay {
		return now
	}
	return h.NextAttempt
}

// Due tells whether the back-off allows an attempt now.
func (h *History) Due(now time.Time) bool { return !h.Next(now).After(now) }

// ShouldOpen tells whether an app that is down has failed often enough for the breaker.
func (h *History) ShouldOpen(now time.Time) bool {
	return !h.IsOpen() && h.Attempts(now) >= BreakerEvents
}

// Open opens the breaker in this boot.
func (h *History) Open(now time.Time, bootID, reason string) {
	h.normalise(now)
	h.OpenSince, h.Reason, h.BootID = now, reason, bootID
	h.ReportedAt = time.Time{}
}

// IsOpen tells whether the breaker is open.
func (h *History) IsOpen() bool { return !h.OpenSince.IsZero() }

// Allowed tells whether archy may act on the app by itself: the breaker is closed and the back-off is
// over, or the breaker is open and this boot's one attempt is not used yet.
func (h *History) Allowed(now time.Time, bootID string) bool {
	if h.IsOpen() {
		return h.BootAttempt(bootID)
	}
	return h.Due(now)
}

// BootAttempt tells whether the breaker is open and the one attempt of a new boot is left.
func (h *History) BootAttempt(bootID string) bool {
	return h.IsOpen() && bootID != "" && h.BootID != bootID
}

// UseBootAttempt notes that the attempt of this boot has been used.
func (h *History) UseBootAttempt(bootID string) { h.BootID = bootID }

// Close closes the breaker and forgets the past: a command of the owner, a changed spec or secret, or what the app lacked is back.
func (h *History) Close() {
	*h = History{Schema: h.Schema, App: h.App, Invocation: h.Invocation, AutoRestarts: h.AutoRestarts}
}

// Forgive forgets what has failed since then, and closes a breaker that opened since: it was no fault of the app.
func (h *History) Forgive(since time.Time) {
	if h.IsOpen() {
		if !h.OpenSince.Before(since) {
			h.Close()
		}
		return
	}
	n := len(h.Events)
	if h.Events = slices.DeleteFunc(h.Events, func(e Event) bool { return !e.At.Before(since) }); len(h.Events) < n {
		h.NextAttempt = time.Time{}
	}
}

// NotItsFault sets the count to zero and closes the breaker: what failed was something that the app lacked. The pauses between
// restarts because of a peer stay.
func (h *History) NotItsFault() {
	h.Events = slices.DeleteFunc(h.Events, func(e Event) bool { return e.Kind != EventPeerRestart })
	if len(h.Events) == 0 {
		h.Events, h.NextAttempt = nil, time.Time{}
	}
	h.OpenSince, h.Reason, h.ReportedAt = time.Time{}, "", time.Time{}
}

// Healthy notes a pass that found the app healthy. After ten minutes of it the past is forgotten.
func (h *History) Healthy(now time.Time) {
	h.UnhealthySince, h.UnhealthyPasses = time.Time{}, 0
	if len(h.Events) == 0 && !h.IsOpen() {
		h.HealthySince = time.Time{}
		return
	}
	if h.HealthySince.IsZero() || h.HealthySince.After(now) {
		h.HealthySince = now
	}
	if now.Sub(h.HealthySince) >= HealthyReset {
		h.Close()
	}
}

// Unhealthy notes a pass that found the app running with a failing probe, and returns how many in a row
// there were and for how long.
func (h *History) Unhealthy(now time.Time) (passes int, since time.Duration) {
	h.HealthySince = time.Time{}
	if h.UnhealthySince.IsZero() || h.UnhealthySince.After(now) {
		h.UnhealthySince = now
	}
	h.UnhealthyPasses++
	return h.UnhealthyPasses, now.Sub(h.UnhealthySince)
}

// Down notes a pass that found the app not running, which ends a stretch of health.
func (h *History) Down() {
	h.HealthySince, h.UnhealthySince, h.UnhealthyPasses = time.Time{}, time.Time{}, 0
}

// Stopping notes whether a pass found the container on its way to its end.
func (h *History) Stopping(now time.Time, stopping bool) {
	switch {
	case !stopping:
		h.StoppingSince = time.Time{}
	case h.StoppingSince.IsZero() || h.StoppingSince.After(now):
		h.StoppingSince = now
	}
}

// ReportDue tells whether the open breaker is to be reported as an error now, when it opened and then hourly.
func (h *History) ReportDue(now time.Time) bool {
	return h.IsOpen() && (h.ReportedAt.IsZero() || h.ReportedAt.After(now) || now.Sub(h.ReportedAt) >= ReportEvery)
}

// Reported notes the report.
func (h *History) Reported(now time.Time) { h.ReportedAt = now }

// String says why nothing happens, for the status table; "" when nothing holds the app back.
func (h *History) String() string {
	switch {
	case h.IsOpen():
		return fmt.Sprintf("breaker open since %s: %s", h.OpenSince.UTC().Format(time.RFC3339), h.Reason)
	case len(h.Events) > 0:
		return fmt.Sprintf("%d recent failures", len(h.Events))
	}
	return ""
}

// normalise drops events outside the window and moves times of the future to now.
func (h *History) normalise(now time.Time) {
	h.Clamp(now)
	h.Events = slices.DeleteFunc(h.Events, func(e Event) bool { return now.Sub(e.At) >= BreakerWindow })
}

// Clamp moves times of the future to now: the clock was set back, and what was noted before grows older from now on, and not only
// when the clock has caught up.
func (h *History) Clamp(now time.Time) {
	for i := range h.Events {
		h.Events[i].At = earlier(h.Events[i].At, now)
	}
	for _, t := range []*time.Time{&h.OpenSince, &h.ReportedAt, &h.HealthySince, &h.UnhealthySince, &h.StoppingSince, &h.StartedAt} {
		*t = earlier(*t, now)
	}
	if h.NextAttempt.After(now) {
		h.NextAttempt = h.Next(now)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// empty tells that there is nothing to remember.
func (h *History) empty() bool {
	return len(h.Events) == 0 && !h.IsOpen() && h.UnhealthyPasses == 0 && h.HealthySince.IsZero() &&
		h.AutoRestarts == 0 && h.NextAttempt.IsZero() && h.Lacked == "" && h.StartedAt.IsZero() && h.StoppingSince.IsZero()
}
