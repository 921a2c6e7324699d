package watch

import (
	"context"
	"errors"
	"sync"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/wait"
)

// Source tells what happens until ctx ends or it cannot go on. It calls listening when nothing is missed any more, and
// happened for each thing that a pass should look at.
type Source struct {
	Name string
	Run  func(ctx context.Context, listening func(), happened func(cause string)) error
}

// The pauses before a source that has ended is run again.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
	// soundAfter is how long a source must have listened for its pauses to begin anew.
	soundAfter = time.Minute
)

// keepRunning runs a source again and again. What happened while it did not listen nobody knows, so a pass follows each
// time that it listens again; until then there is the interval.
func (l *Loop) keepRunning(ctx context.Context, s Source, b *bell, first func()) {
	defer first()
	pause, silent := firstPause, false
	for again := false; ctx.Err() == nil; again = true {
		var since time.Time
		err := s.Run(ctx, func() {
			since = time.Now()
			first()
			if again {
				l.logf("%s: listening again", s.Name)
				b.tell(s.Name + " is back")
			}
			silent = false
		}, b.tell)
		first()
		if ctx.Err() != nil {
			return
		}
		if !since.IsZero() && time.Since(since) > soundAfter {
			pause = firstPause
		}
		if !silent {
			l.logf("%s: %v; looking each %s until it listens again", s.Name, errors.Join(err), l.Pace.Interval)
		}
		silent = true
		if wait.For(ctx, pause) != nil {
			return
		}
		pause = min(2*pause, lastPause)
	}
}

func (l *Loop) logf(format string, args ...any) {
	if l.Log != nil {
		l.Log(format, args...)
	}
}

// readyWithin bounds how long the first pass waits for the sources to listen.
const readyWithin = 5 * time.Second

// ready is when all sources listen, or have failed once.
type ready struct {
	mu   sync.Mutex
	left int
	all  chan struct{}
}

func newReady(n int) *ready {
	r := &ready{left: n, all: make(chan struct{})}
	if n == 0 {
		close(r.all)
	}
	return r
}

// one gives the function of one source, which counts once.
func (r *ready) one() func() {
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.left--; r.left == 0 {
			close(r.all)
		}
	})
}

func (r *ready) wait(ctx context.Context) {
	t := time.NewTimer(readyWithin)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-r.all:
	}
}
