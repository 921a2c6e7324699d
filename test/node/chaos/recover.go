package chaos

import (
	"context"
	"slices"
	"sync"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node"
)

// Passes of the timer while a node recovers: on a node they are further apart, and the report says so.
const timerPeriod = 3 * time.Second

// probes is how many apps are asked at the same time.
const probes = 3

// settledFor is how long an app without a probe must run to count as healthy.
const settledFor = 5 * time.Second

// recover waits until every app that was hit, and who stands on it, answers, and notes when.
func (r *Round) recover(ctx context.Context) {
	waiting := r.affected()
	limit := r.began.Add(r.longest(waiting))
	ctx, cancel := context.WithDeadline(ctx, limit.Add(2*time.Minute)) // a late one is measured, too
	defer cancel()
	stop := r.timer(ctx)
	defer stop()
	since := map[string]time.Time{}
	for len(waiting) > 0 && ctx.Err() == nil {
		ready := r.ready(waiting, since)
		back := r.ask(ctx, ready)
		waiting = slices.DeleteFunc(waiting, func(a App) bool { return slices.Contains(back, a.ID) })
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	for _, a := range waiting {
		r.Fail("%s is not back after %s", a.ID, time.Since(r.began).Round(time.Second))
	}
	for _, a := range r.hit {
		if took, limit := r.times[a.ID], r.limit(a); took > limit {
			r.Late("%s was back after %.1f s, the limit is %s", a.ID, took.Seconds(), limit)
		}
	}
}

// affected are those who were hit and those who stand on them.
func (r *Round) affected() []App {
	names := r.Fleet.Downstream(r.hit...)
	var out []App
	for _, a := range r.Fleet {
		if slices.Contains(names, a.Container) {
			out = append(out, a)
		}
	}
	return out
}

func (r *Round) limit(a App) time.Duration { return r.Scenario.limit(r.Fault.Name, a) }

func (r *Round) longest(apps []App) time.Duration {
	var longest time.Duration
	for _, a := range apps {
		longest = max(longest, r.limit(a))
	}
	return longest
}

// ready are the apps whose container lives with its monitor, long enough for those without a probe.
func (r *Round) ready(waiting []App, since map[string]time.Time) []App {
	alive := map[string]bool{}
	for _, c := range r.sampler.look() {
		alive[c.Name] = alive[c.Name] || c.Monitor != 0
	}
	var out []App
	for _, a := range waiting {
		switch {
		case !alive[a.Container], r.once && r.sampler.started(a.Container) < 2:
			delete(since, a.ID)
			continue
		case since[a.ID].IsZero():
			since[a.ID] = time.Now()
		}
		if a.Probe || time.Since(since[a.ID]) >= settledFor {
			out = append(out, a)
		}
	}
	return out
}

// ask probes these apps and gives those that answer.
func (r *Round) ask(ctx context.Context, apps []App) []string {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var back []string
	slots := make(chan struct{}, probes)
	for _, a := range apps {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if a.Probe && !r.answers(ctx, a) {
				return
			}
			if r.Scenario.Opens && !r.opened(ctx, a) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			back = append(back, a.ID)
			r.times[a.ID] = time.Since(r.began)
		})
	}
	wg.Wait()
	return back
}

// answers runs podman's probe of the app. One that hangs must not hold up those of the others.
func (r *Round) answers(ctx context.Context, a App) bool {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	res := r.user(ctx, "podman healthcheck run "+a.Container)
	if ctx.Err() != nil {
		r.keep(res)
	}
	return res.Code == 0
}

// opened is opens, and what it says when it is not is kept.
func (r *Round) opened(ctx context.Context, a App) bool {
	err := r.opens(ctx, a)
	if err != nil {
		r.keep(node.Result{Args: []string{"open", a.ID}, Code: 1, Stderr: err.Error() + "\n"})
	}
	return err == nil
}

// timer makes pass after pass until it is stopped, when the scenario has one.
func (r *Round) timer(ctx context.Context) (stop func()) {
	if !r.Scenario.Timer {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for first := true; ctx.Err() == nil; first = false {
			r.pass(context.WithoutCancel(ctx), first)
			if first && r.once {
				r.onceEach()
			}
			select {
			case <-ctx.Done():
			case <-time.After(timerPeriod):
			}
		}
	}()
	return func() { cancel(); <-done }
}

// pass is one pass of the timer.
func (r *Round) pass(ctx context.Context, first bool) {
	if r.Scenario.Heals {
		res := r.Archy(ctx, "podman", "heal")
		if first && r.healedOnce != nil {
			r.healedOnce(res)
		}
	}
	r.Archy(ctx, "reconcile")
}
