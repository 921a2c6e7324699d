// Package watch makes passes when something has happened, and each interval in any case.
//
// What happens only says that it is time to look: what is to be done each pass finds out by looking at everything, so an
// event that is lost costs an interval and nothing else.
package watch

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// Pace is how a loop spaces its passes. All times are of the monotonic clock: a clock that is set changes nothing.
type Pace struct {
	// Interval is the pause after a pass when nothing happens.
	Interval time.Duration
	// Quiet is how long nothing must happen before a pass is made for what has, Most how long it may be put off by more.
	Quiet, Most time.Duration
	// Storm is the most that Quiet grows to, doubling at each pass that follows another within Calm of it.
	Storm, Calm time.Duration
}

// DefaultPace is that of reconcile --watch.
func DefaultPace(interval time.Duration) Pace {
	return Pace{Interval: interval, Quiet: 500 * time.Millisecond, Most: 5 * time.Second, Storm: 8 * time.Second, Calm: time.Minute}
}

// Loop makes passes.
type Loop struct {
	Pace Pace
	// Sources tell that something has happened. One that ends is run again.
	Sources []Source
	// Pass makes one pass because of something. It heeds ctx. What happens meanwhile, its own changes included, is followed by
	// one pass more: a pass with nothing to do makes nothing happen, so that is the last. It gives how long after it something
	// is due that nothing will tell, such as the next try of an app that backs off; 0 is nothing.
	Pass func(ctx context.Context, because string) (due time.Duration)
	// Before is called before each pass, once the sources listen; it may be nil.
	Before func()
	// Beat tells the loop's progress to whoever supervises it.
	Beat *Beat
	// Log gets a line for what goes wrong with a source; it may be nil.
	Log func(format string, args ...any)
}

// causesKept is how many causes of one pass are told.
const causesKept = 3

// Run makes passes until ctx ends. When it returns, nothing of it runs any more.
func (l *Loop) Run(ctx context.Context) {
	bell := &bell{ring: make(chan struct{}, 1)}
	ctx, end := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer end()
	ready := newReady(len(l.Sources))
	for _, s := range l.Sources {
		first := ready.one()
		all.Go(func() { l.keepRunning(ctx, s, bell, first) })
	}
	ready.wait(ctx)
	because := "started"
	for quiet := l.Pace.Quiet; ctx.Err() == nil; {
		due := l.pass(ctx, because)
		began := time.Now()
		if because = l.sleep(ctx, bell, quiet, l.pause(due)); because == "" {
			because, quiet = "interval", l.Pace.Quiet
			if l.pause(due) < l.Pace.Interval {
				because = "a try is due"
			}
			continue
		}
		if time.Since(began) < l.Pace.Calm {
			quiet = min(2*quiet, max(l.Pace.Storm, l.Pace.Quiet))
		} else {
			quiet = l.Pace.Quiet
		}
	}
}

// pass makes a pass and keeps the supervisor quiet as long as that has progress.
func (l *Loop) pass(ctx context.Context, because string) (due time.Duration) {
	if l.Before != nil {
		l.Before()
	}
	done := make(chan struct{})
	l.Beat.Begin(because)
	go func() {
		defer close(done)
		due = l.Pass(ctx, because)
	}()
	l.Beat.Until(done)
	return due
}

// leastPause is what a pass is followed by in any case when nothing happens.
const leastPause = time.Second

// pause is the sleep after a pass when nothing happens.
func (l *Loop) pause(due time.Duration) time.Duration {
	if due <= 0 {
		return l.Pace.Interval
	}
	return min(max(due, leastPause), l.Pace.Interval)
}

// sleep waits for the pause to be over, which is "", or for something to have happened and the time after it to be
// quiet, which gives what happened.
func (l *Loop) sleep(ctx context.Context, b *bell, quiet, pause time.Duration) string {
	over := time.NewTimer(pause)
	defer over.Stop()
	var calm, most <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return ""
		case <-over.C:
			return b.heard()
		case <-l.Beat.Tick():
			l.Beat.Ping()
		case <-b.ring:
			calm = time.After(quiet)
			if most == nil {
				most = time.After(max(l.Pace.Most, quiet))
			}
		case <-calm:
			return b.heard()
		case <-most:
			return b.heard()
		}
	}
}

// bell gathers what happened until somebody asks.
type bell struct {
	ring   chan struct{}
	mu     sync.Mutex
	causes []string
	more   bool
}

func (b *bell) tell(cause string) {
	b.mu.Lock()
	switch {
	case slices.Contains(b.causes, cause):
	case len(b.causes) < causesKept:
		b.causes = append(b.causes, cause)
	default:
		b.more = true
	}
	b.mu.Unlock()
	select {
	case b.ring <- struct{}{}:
	default:
	}
}

func (b *bell) heard() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := strings.Join(b.causes, ", ")
	if b.more {
		text += " ..."
	}
	b.causes, b.more = nil, false
	return text
}
