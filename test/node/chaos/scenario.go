// Package chaos does to a node with all apps what goes wrong on real ones, again and again, and measures how it comes back.
// A round has a converged node before, a fault, rules that hold while it lasts, a time to recover, and rules that hold
// after. Everything random in a round comes from its seed, so a round can be repeated.
package chaos

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Scenario is one way in which a node goes wrong.
type Scenario struct {
	Number int
	Name   string
	// Whole: it hits every app of the node at once; otherwise a round hits some of them and the others are witnesses.
	Whole bool
	// Timer: passes of archy follow one another until everything is back, as the node's timer would make them. Without it
	// systemd alone brings the apps back.
	Timer bool
	// Heals: each of these passes has a climb of podman's ladder of repairs before it, as the node's doctor makes one.
	Heals bool
	// SmallDisk: the data lie on a file system of their own that can be filled.
	SmallDisk bool
	// Opens: an app is back only when its page and its ports answer from the host, too.
	Opens bool
	// EachFault: each fault is a cell of its own for every app, and the report has a table of them.
	EachFault bool
	// Limit is how long an app may take to be back.
	Limit func(App) time.Duration
	// Sooner are faults, by name, after which everything must be back sooner than that.
	Sooner map[string]time.Duration
	// Faults are the ways in which it strikes; the rounds take them in turn.
	Faults []Fault
}

// Fault is one way in which a scenario strikes. Strike does it, sets the round's clock, and what must be true of the fault
// itself it asserts with Round.Fail.
type Fault struct {
	Name   string
	Strike func(ctx context.Context, r *Round) error
}

// limit is how long an app may take to be back after a fault.
func (s Scenario) limit(fault string, a App) time.Duration {
	if d, ok := s.Sooner[fault]; ok {
		return d
	}
	return s.Limit(a)
}

// Table are the scenarios.
func Table() []Scenario {
	return []Scenario{archyKilled, containerKilled, powerCut, databaseLost, runtimeWiped, drift, partition, diskFull, lifecycle}
}

// always is a limit that is the same for every app.
func always(d time.Duration) func(App) time.Duration {
	return func(App) time.Duration { return d }
}

// Choose are the scenarios of a list of numbers and names; an empty list is all of them.
func Choose(list string) ([]Scenario, error) {
	if list == "" {
		return Table(), nil
	}
	var out []Scenario
	for word := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(Table(), func(s Scenario) bool { return s.Name == word || strconv.Itoa(s.Number) == word })
		if i < 0 {
			return nil, fmt.Errorf("no scenario %q", word)
		}
		out = append(out, Table()[i])
	}
	return out, nil
}
