// Package clock is what the stopwatch is told to run, what it measured, and what that comes to.
package clock

import (
	"slices"
	"time"
)

// Plan is what to measure. Each round runs every command once, so that a busy moment of the machine hits all alike.
type Plan struct {
	Warmup   int       `json:"warmup"`
	Rounds   int       `json:"rounds"`
	Commands []Command `json:"commands"`
}

// Command is one command to measure.
type Command struct {
	Args []string `json:"args"`
	// Before is run first and not measured; then comes a pause.
	Before  []string `json:"before,omitempty"`
	PauseMS int      `json:"pause_ms,omitempty"`
}

// Sample is one run of a command: its time, the time that it had a processor, and the most memory that it had, in bytes.
type Sample struct {
	Wall time.Duration `json:"wall"`
	CPU  time.Duration `json:"cpu"`
	RSS  int64         `json:"rss"`
}

// Samples are the runs of one command.
type Samples []Sample

// Wall is the median of the times.
func (s Samples) Wall() time.Duration {
	return median(s, func(s Sample) time.Duration { return s.Wall })
}

// RSS is the median of the memory, MaxRSS the most that any run had.
func (s Samples) RSS() int64 { return median(s, func(s Sample) int64 { return s.RSS }) }

// MaxRSS is the most memory that any run had.
func (s Samples) MaxRSS() int64 {
	var most int64
	for _, x := range s {
		most = max(most, x.RSS)
	}
	return most
}

func median[T int64 | time.Duration](s Samples, of func(Sample) T) T {
	if len(s) == 0 {
		return 0
	}
	list := make([]T, len(s))
	for i, x := range s {
		list[i] = of(x)
	}
	slices.Sort(list)
	middle := len(list) / 2
	if len(list)%2 == 1 {
		return list[middle]
	}
	return (list[middle-1] + list[middle]) / 2
}
