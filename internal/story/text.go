package story

import (
	"fmt"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/state"
)

// shown is how many of the last entries are printed, one line each.
const shown = 20

// Headline says how the app is, in one line.
func (s Story) Headline() string {
	line := s.App + ": " + s.State
	if !s.Since.IsZero() {
		line += " since " + stamp(s.Since)
	}
	if s.NotNow != "" && !s.SeenAt.IsZero() {
		line += ", at " + stamp(s.SeenAt)
	}
	return line
}

// Facts are what is said below the headline, each with its name.
func (s Story) Facts() [][2]string {
	var list [][2]string
	add := func(name, text string) {
		if text != "" {
			list = append(list, [2]string{name, text})
		}
	}
	if s.WaitsFor == "" {
		add("because", s.Cause)
	}
	add("waits for", s.WaitsFor)
	add("next try", s.NextWords)
	if s.Breaker.Count > 0 && !s.Breaker.Open {
		add("failures", fmt.Sprintf("%d within the last %s, the last %s", s.Breaker.Count, shortly(state.BreakerWindow), s.Breaker.last()))
	}
	add("do", s.Hint)
	add("not asked", s.NotNow)
	return list
}

// last is the last event that the breaker counts.
func (b Breaker) last() string {
	var e state.Event
	for _, one := range b.Events {
		if one.Kind != state.EventPeerRestart {
			e = one
		}
	}
	return strings.ReplaceAll(e.Kind, "-", " ") + " at " + stamp(e.At)
}

// Head says when and how it failed.
func (f Failure) Head() string {
	over := ""
	if f.Over {
		over = " (it has been well since)"
	}
	return "last failure " + stamp(f.At) + over + ": " + f.Action + ", " + f.Cause
}

// Rows are the last things that archy did, oldest first, and how many older ones there are.
func (s Story) Rows() (rows [][]string, older int) {
	older = max(0, len(s.Did)-shown)
	for _, e := range s.Did[older:] {
		rows = append(rows, []string{stamp(e.At), e.Command, e.Action, result(e), because(e)})
	}
	return rows, older
}

func result(e state.Entry) string {
	if e.State == "" || e.Result != "ok" {
		return strings.ReplaceAll(e.Result, "_", " ")
	}
	return e.State
}

func because(e state.Entry) string {
	text := e.Cause
	if e.Error != "" && e.Error != e.Cause {
		text = strings.TrimPrefix(text+": "+e.Error, ": ")
	}
	if d := time.Duration(e.DurationMS) * time.Millisecond; d >= time.Second {
		text += fmt.Sprintf(" (%s)", d.Round(time.Second))
	}
	return text
}
