// Package story tells what became of an app and why, from what archy has written down, what it sees now, and what the app
// said. It reads nothing itself.
package story

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// Input is what is known about an app.
type Input struct {
	App string
	Now time.Time
	// Seen is how the app is; nil: nobody has looked yet. SeenAt is when, and NotNow why that was not now.
	Seen   *reconcile.AppResult
	SeenAt time.Time
	NotNow error
	// Diary is what archy did, oldest first, since Since. Back-off and breaker are in Restarts.
	Diary    []state.Entry
	Since    time.Time
	Restarts state.History
	// Removed is when its owner removed the app.
	Removed time.Time
	// Problems are the files that could not be read.
	Problems []error
}

// See takes the app out of the result of a pass. An app that is not installed (row 17) has nothing to see.
func (in *Input) See(r reconcile.Result) {
	for _, a := range r.Apps {
		if a.App == in.App && !(a.Row == "17" && a.Action == reconcile.Left) {
			in.Seen = &a
		}
	}
}

// Story is the answer to why an app is as it is; its JSON form is the contract of archy why --json.
type Story struct {
	Schema    int    `json:"schema"`
	App       string `json:"app"`
	Container string `json:"container,omitempty"`
	// State, Class and Cause are how the app is. SeenAt is when it was looked at; NotNow says why that was not now.
	State  string    `json:"state"`
	Class  string    `json:"class,omitempty"`
	Cause  string    `json:"cause,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	SeenAt time.Time `json:"seen_at,omitzero"`
	NotNow string    `json:"not_now,omitempty"`
	// WaitsFor is what must come before archy does anything; NextTry is when it will, and NextWords say so.
	WaitsFor  string    `json:"waits_for,omitempty"`
	NextTry   time.Time `json:"next_try,omitzero"`
	NextWords string    `json:"next"`
	Breaker   Breaker   `json:"breaker"`
	Hint      string    `json:"hint,omitempty"`
	// LastFailure is the youngest entry of Did that failed.
	LastFailure *Failure      `json:"last_failure,omitempty"`
	Did         []state.Entry `json:"did"`
	Problems    []string      `json:"problems,omitempty"`
}

// Breaker is how often the app has failed lately, and whether archy has given up.
type Breaker struct {
	Open   bool          `json:"open"`
	Since  time.Time     `json:"since,omitzero"`
	Reason string        `json:"reason,omitempty"`
	Count  int           `json:"count"`
	Opens  int           `json:"opens_at"`
	Events []state.Event `json:"events,omitempty"`
}

// Failure is when an app failed last, with what it said then.
type Failure struct {
	At     time.Time `json:"at"`
	Action string    `json:"action"`
	Cause  string    `json:"cause"`
	Hint   string    `json:"hint,omitempty"`
	// Over tells that the app is as it should be since.
	Over bool     `json:"over"`
	Log  []string `json:"log"`
}

// killedForMemory is how systemd tells that the kernel has killed a process of a unit because the unit's memory was used up.
const killedForMemory = "has been killed by the OOM killer"

// Said keeps what was said up to the failure. That the kernel killed for memory stands there alone: the exit code is 137, like that of any
// kill, and is forgotten when systemd has started the app again.
func (f *Failure) Said(lines []string) {
	f.Log = lines
	if slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, killedForMemory) }) {
		f.Cause += "; the kernel had killed it, out of memory"
	}
}

// Tell puts the story together.
func Tell(in Input) Story {
	s := Story{Schema: 1, App: in.App, State: "unknown", SeenAt: in.SeenAt, Did: []state.Entry{},
		Breaker: Breaker{Open: in.Restarts.IsOpen(), Since: in.Restarts.OpenSince, Reason: in.Restarts.Reason,
			Count: in.Restarts.Attempts(in.Now), Opens: state.BreakerEvents, Events: in.Restarts.Events}}
	if in.NotNow != nil {
		s.NotNow = in.NotNow.Error()
	}
	for _, p := range in.Problems {
		s.Problems = append(s.Problems, p.Error())
	}
	s.seen(in)
	s.next(in)
	for _, e := range in.Diary {
		if !e.At.Before(in.Since) {
			s.Did = append(s.Did, e)
		}
	}
	s.LastFailure = lastFailure(s.Did)
	return s
}

func (s *Story) seen(in Input) {
	a := in.Seen
	switch {
	case a == nil && !in.Removed.IsZero():
		s.State, s.Cause = "absent", "removed by the owner at "+stamp(in.Removed)
		return
	case a == nil && in.NotNow == nil:
		s.State, s.Cause = "absent", "not installed"
		return
	case a == nil:
		return
	}
	s.Container, s.State, s.Class, s.Cause, s.Since = a.Container, a.State, string(a.Class), a.Summary(), a.Since
	if a.Class == reconcile.ClassWaiting {
		s.WaitsFor = a.Summary()
	}
	if a.Error != nil {
		s.Hint = a.Error.Hint
	}
}

// next says when archy will do something by itself.
func (s *Story) next(in Input) {
	a := in.Seen
	switch {
	case a == nil && s.State == "unknown":
		s.NextWords = "not known before somebody has looked"
	case a == nil:
		s.NextWords = "nothing will be done by itself"
	case a.Row == "24" && a.Class == reconcile.ClassWaiting:
		s.NextWords = "as soon as what it needs is there"
	case a.Desired == reconcile.WantStopped:
		s.NextWords = "not before its owner starts it: archy start " + s.App
	case s.Breaker.Open:
		s.NextWords = "not by itself, but for once after the next boot: the breaker is open since " + stamp(s.Breaker.Since) + " (" + s.Breaker.Reason + "); archy start " + s.App + " closes it"
	case a.Class == reconcile.ClassNeedsHuman:
		s.NextWords = "not before a person has decided"
	case a.Class == reconcile.ClassNeedsConfig:
		s.NextWords = "as soon as it is configured"
	case a.Class == reconcile.ClassBlocked:
		s.NextWords = "not as long as that is so"
	case in.Restarts.Next(in.Now).After(in.Now) && a.Class != reconcile.ClassOK:
		s.NextTry = in.Restarts.Next(in.Now).UTC()
		if a.Row == "38" { // no failure
			s.NextWords = "in " + s.NextTry.Sub(in.Now).Round(time.Second).String()
			break
		}
		s.NextWords = fmt.Sprintf("in %s, after failure %d of the %d within %s that open the breaker", s.NextTry.Sub(in.Now).Round(time.Second),
			s.Breaker.Count, s.Breaker.Opens, shortly(state.BreakerWindow))
	case a.Class == reconcile.ClassOK:
		s.NextWords = "there is nothing to do"
	default:
		s.NextWords = "with the next pass"
	}
}

// lastFailure is the youngest entry that failed, with whether a good one followed.
func lastFailure(list []state.Entry) *Failure {
	over := false
	for i := len(list) - 1; i >= 0; i-- {
		e := list[i]
		over = over || e.Result == string(reconcile.ClassOK)
		if e.Bad() || e.Action == string(reconcile.AutoRestarted) {
			f := &Failure{At: e.At, Action: e.Action, Cause: e.Cause, Hint: e.Hint, Over: over, Log: []string{}}
			if e.Error != "" {
				f.Cause = e.Error
			}
			return f
		}
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func shortly(d time.Duration) string { return fmt.Sprintf("%d min", int(d.Minutes())) }
