package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/wait"
)

// outcome is how a gate ended: reached, or dead with the reason, or neither when the limit came first. starting tells of an app that
// lives and is not healthy that it may still get there.
type outcome struct {
	reached  bool
	starting bool
	dead     error
	err      error
}

// good tells that a change may stay: the app is healthy, or an app that may take its time, of tier 1 or 2, is still starting.
func (o outcome) good(c *change) bool {
	return o.dead == nil && (o.reached || o.starting && (c.Tier == 1 || c.Tier == 2))
}

func reason(o outcome) string {
	if o.dead != nil {
		return o.dead.Error()
	}
	return "did not become healthy in time"
}

// healthEvery is the pace at which a gate runs the app's own check, which podman would run every 30 s only; it begins
// faster.
const healthEvery = 2 * time.Second

// firstHealth is how long a gate leaves the first check to podman, which runs one as soon as the container is up.
const firstHealth = time.Second

// gate watches an app that was started until it is in the gate's condition, is dead, or the limit is over. window is how
// long it must live in any case.
func (r *run) gate(ctx context.Context, c *change, g Gate, window time.Duration) outcome {
	deadline := r.Now().Add(g.Limit)
	start := r.Now()
	watch := watcher{run: r, c: c, name: c.Container}
	if c.record.Owner == state.Legacy && c.record.Op == nil || c.undoing() {
		watch.name = c.liveName()
	}
	for {
		watch.last = r.Now().After(deadline) // the verdict is about now, not about the look before the limit
		out := watch.look(ctx, g)
		lived := r.Now().Sub(start) >= window
		switch {
		case out.err != nil || out.dead != nil:
			return out
		case out.reached && lived:
			c.proved = true
			return out
		case watch.last:
			return outcome{starting: out.starting}
		}
		if wait.For(r.ending, r.timing.Poll) != nil {
			return outcome{err: r.ending.Err()}
		}
	}
}

// waited is the gate of an app that is only waited for: a pass with --wait waits for all of them together until its time-out. What a change
// is judged by keeps its own limit.
func (r *run) waited(g Gate) Gate {
	if !r.deadline.IsZero() {
		g.Limit = min(g.Limit, max(0, r.deadline.Sub(r.Now())))
	}
	return g
}

// undoing tells that a migration is being undone: the old container is the one to watch.
func (c *change) undoing() bool {
	return c.record.Op != nil && c.record.Op.Kind == state.OpMigrate && c.record.Op.Rollback
}

// watcher looks at one app again and again.
type watcher struct {
	*run
	c          *change
	name       string
	id         string
	absent     int
	nextHealth time.Time
	pace       time.Duration
	// last is the look after which there is none: the app's own check is asked, whatever its pace.
	last bool
}

func (w *watcher) look(ctx context.Context, g Gate) outcome {
	got, err := w.Engine.Inspect(ctx, w.name)
	if errors.Is(err, podman.ErrNotFound) {
		return w.missing(ctx, g)
	}
	if err != nil {
		return outcome{err: err}
	}
	w.absent = 0
	if w.id == "" {
		w.id = got.ID
	}
	switch {
	case got.ID != w.id:
		return outcome{dead: errors.New("it died and systemd started it again")}
	case got.State.Status == podman.StateExited || got.State.Status == podman.StateStopped:
		return outcome{dead: errors.New(exitWords(got.State.ExitCode, oom(got.State.OOMKilled)))}
	case !got.State.Running:
		return outcome{}
	}
	return w.reached(ctx, g, got)
}

func oom(killed bool) string {
	if killed {
		return "oom-kill"
	}
	return ""
}

// missing: a container of a unit is gone as soon as it ends. One look may fall into the moment before it is made.
func (w *watcher) missing(ctx context.Context, g Gate) outcome {
	w.absent++
	if w.absent < 2 && w.id == "" {
		return outcome{}
	}
	d, err := w.Units.Detail(ctx, w.c.Container+".service")
	if err != nil {
		return outcome{err: err}
	}
	a := App{Service: d}
	switch {
	case activating(&a) && (!autoRestarting(&a) || g.Restarting && w.id == ""):
		return outcome{}
	case d.ActiveState == "active" && w.absent < 10:
		return outcome{}
	}
	return outcome{dead: fmt.Errorf("it ended%s", noteOr(exitNote(&a), "; service is "+d.ActiveState))}
}

func noteOr(note, other string) string {
	if note != "" {
		return note
	}
	return other
}

func (w *watcher) reached(ctx context.Context, g Gate, got podman.Inspect) outcome {
	if h := w.c.Spec.Health; h != nil && h.HostHTTP != "" && g.Condition != manifest.Started {
		return outcome{reached: w.AskHost != nil && w.AskHost(ctx, h), starting: w.mayStillStart(got)}
	}
	if g.Condition == manifest.Started || got.Healthcheck == nil || len(got.Healthcheck.Test) == 0 {
		return outcome{reached: true}
	}
	if got.Health != nil && got.Health.Status == podman.HealthHealthy {
		return outcome{reached: true}
	}
	if w.nextHealth.IsZero() && !checked(got.Health) {
		w.nextHealth = w.Now().Add(firstHealth)
	}
	starting := got.Health == nil || got.Health.Status != podman.HealthUnhealthy || w.mayStillStart(got)
	if !w.last && w.Now().Before(w.nextHealth) {
		return outcome{starting: starting}
	}
	w.pace = min(max(2*w.pace, healthEvery/8), healthEvery)
	w.nextHealth = w.Now().Add(w.pace)
	status, err := w.Engine.Healthcheck(ctx, w.name)
	// A check that cannot be run says nothing: the next look decides.
	return outcome{reached: err == nil && status == podman.HealthHealthy, starting: starting}
}

// mayStillStart tells that podman, which begins to count failing checks after the start period, could not have seen enough of them yet. A
// gate runs more checks than podman, and podman counts those too.
func (w *watcher) mayStillStart(got podman.Inspect) bool {
	h := w.c.Spec.Health
	return h != nil && age(got.State.StartedAt, w.Now()) < time.Duration(h.StartPeriod+h.Retries*h.Interval)*time.Second
}

// checked tells that podman has run the check at least once.
func checked(h *podman.Health) bool { return h != nil && len(h.Log) > 0 }

// needsMet asks, at the moment of a start, whether the apps that this one needs are in the conditions it wants.
func (r *run) needsMet(ctx context.Context, c *change, op Operation) error {
	for _, n := range op.Needs {
		d := r.w.app(n.App)
		if d == nil || d.C == nil && r.apps[n.App] == nil {
			return r.waitFor(c, n.App, "absent")
		}
		ok, st := r.awaitNeed(ctx, d, n.Condition)
		if !ok {
			return r.waitFor(c, n.App, st)
		}
	}
	return nil
}

func (r *run) waitFor(c *change, app, st string) error {
	c.result.Action, c.result.Class, c.result.State = Waiting, ClassWaiting, "waiting"
	c.result.Cause = fmt.Sprintf("dependency %s is %s", app, st)
	c.result.Row, c.result.Error = "24", nil
	if c.Asked {
		c.result.Action, c.result.Class = Failed, ClassFailed
		c.result.Error = &AppError{Code: "dependency", Message: c.result.Cause, Hint: unmetHint(c.ID, app, st)}
	}
	return errStop
}

// inspectNow finds an app's container as it is now. An adopted one may bear a name that older releases gave it, until this pass moves it to a
// unit.
func (r *run) inspectNow(ctx context.Context, d *App) (podman.Inspect, error) {
	got, err := r.Engine.Inspect(ctx, d.Container)
	if name := d.liveName(); name != d.Container && errors.Is(err, podman.ErrNotFound) {
		return r.Engine.Inspect(ctx, name)
	}
	return got, err
}

// nowSatisfied looks at a dependency as it is now, and at what this pass has found out about it.
func (r *run) nowSatisfied(ctx context.Context, d *App, condition string) (bool, string) {
	r.mu.Lock()
	provider := r.apps[d.ID]
	failed := provider != nil && provider.ended != nil
	r.mu.Unlock()
	if failed {
		return false, "not up"
	}
	got, err := r.inspectNow(ctx, d)
	if err != nil {
		return false, "absent"
	}
	now := *d
	now.Dead = false
	now.C = &podman.Container{ID: got.ID, State: got.State.Status, StartedAt: got.State.StartedAt, Labels: got.Labels}
	if got.Health != nil {
		now.C.Health = got.Health.Status
	}
	if condition == manifest.Unlocked && r.Stage != nil {
		now.Stage = r.Stage(ctx, &now)
	}
	// A gate has just seen it live for long enough.
	if provider != nil && provider.proved && condition == manifest.Started {
		return now.Running(), observedState(&now)
	}
	return satisfied(&now, condition, r.Now()), observedState(&now)
}
