package reconcile

import (
	"context"
	"errors"
	"sync"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/spec"
)

// The answers of a probe beside podman's words for health.
const (
	ProbeStopped = "stopped" // the owner stopped the app
	ProbeDown    = "down"    // it does not run, and should
	ProbeAbsent  = "not installed"
)

// Probed is what one app's health check said when it was run just now.
type Probed struct {
	App       string `json:"app"`
	Container string `json:"container"`
	// Health is healthy, starting, unhealthy, stopped, down or not installed.
	Health     string `json:"health"`
	Stage      string `json:"stage,omitempty"`
	Message    string `json:"message,omitempty"`
	DurationMS int64  `json:"duration_ms"`
}

// OK tells that the app is well, or on its way.
func (p Probed) OK() bool {
	return p.Health == podman.HealthHealthy || p.Health == podman.HealthStarting
}

// Prober runs health checks.
type Prober struct {
	Check   func(ctx context.Context, container string) (podman.Check, error)
	AskHost func(ctx context.Context, h *spec.Health) bool
	Now     func() time.Time
}

// probesAtOnce is how many checks run side by side.
const probesAtOnce = 4

// Probe runs the checks of the selected apps now. named tells that somebody named them: then those that are stopped or
// not installed are answered for too.
func (p Prober) Probe(ctx context.Context, w *World, named bool) []Probed {
	var apps []*App
	for _, a := range w.Apps {
		if a.Selected && (named || a.Want == WantRunning) {
			apps = append(apps, a)
		}
	}
	out := make([]Probed, len(apps))
	slots := make(chan struct{}, probesAtOnce)
	var all sync.WaitGroup
	for i, a := range apps {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			out[i] = p.one(ctx, a, w.Now)
		})
	}
	all.Wait()
	return out
}

func (p Prober) one(ctx context.Context, a *App, now time.Time) Probed {
	began := p.Now()
	r := Probed{App: a.ID, Container: a.liveName(), Stage: a.Stage.Text}
	switch {
	case !a.installed():
		r.Health = ProbeAbsent
	case a.Running():
		r.Health, r.Message = p.ask(ctx, a, now)
	case a.Want == WantStopped:
		r.Health, r.Message = ProbeStopped, "stopped by the owner"
	default:
		r.Health, r.Message = ProbeDown, observedState(a)+exitNote(a)
	}
	r.DurationMS = p.Now().Sub(began).Milliseconds()
	if lines := mask(a, []string{r.Message}); r.Message != "" {
		r.Message = lines[0]
	}
	return r
}

// ask runs the check of a running app. One that fails in its start period is starting.
func (p Prober) ask(ctx context.Context, a *App, now time.Time) (health, message string) {
	var passed bool
	if h := a.Spec.Health; h != nil && h.HostHTTP != "" && !a.Legacy() {
		passed, message = p.AskHost(ctx, h), "asked from the host: "+h.HostHTTP
	} else {
		check, err := p.Check(ctx, a.liveName())
		switch {
		case errors.Is(err, podman.ErrConflict):
			return withoutProbe(a, now)
		case err != nil:
			return podman.HealthUnhealthy, err.Error()
		}
		passed, message = check.Passed, check.Output
	}
	switch {
	case passed:
		return podman.HealthHealthy, ""
	case inStartPeriod(a, now):
		return podman.HealthStarting, message
	}
	return podman.HealthUnhealthy, message
}

// withoutProbe: an app without a check is healthy when it runs for 5 s.
func withoutProbe(a *App, now time.Time) (health, message string) {
	if age(a.C.StartedAt, now) < 5*time.Second {
		return podman.HealthStarting, "it has no check, and runs for less than 5 s"
	}
	return podman.HealthHealthy, "it has no check, and runs"
}
