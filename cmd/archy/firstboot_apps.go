package main

import (
	"context"

	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// passStage makes the apps of a first boot in one pass.
type passStage struct{ e *env }

func newAppsStage(e *env) (firstboot.AppsStage, error) { return passStage{e}, nil }

func (s passStage) pass(ctx context.Context, job firstboot.AppsJob, report func(firstboot.Event)) (reconcile.Result, error) {
	c, err := s.e.connect(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	defer c.close()
	o := reconcile.Options{Install: map[string]string{}, CheckOnly: job.Check, NoPull: job.SkipImages}
	for _, id := range job.Apps {
		o.Install[id] = state.ByFirstBoot
	}
	pass := c.pass(o)
	pass.Held = true
	pass.Applier.Report = func(ev reconcile.Event) {
		if phase := phaseOf(ev.Op.Kind); phase != "" && ev.Op.App != "" && !ev.Done && ev.Text == "" {
			report(firstboot.Event{Kind: firstboot.AppEvent, App: ev.Op.App, Phase: phase, Percent: phasePercent[phase], Text: ev.Op.Object})
		}
	}
	return pass.Run(ctx)
}

// Check implements firstboot.AppsStage.
func (s passStage) Check(ctx context.Context, job firstboot.AppsJob) ([]string, error) {
	result, err := s.pass(ctx, job, func(firstboot.Event) {})
	return result.Plan, err
}

// Run implements firstboot.AppsStage.
func (s passStage) Run(ctx context.Context, job firstboot.AppsJob, report func(firstboot.Event)) error {
	step := func(name string, state firstboot.StepState) {
		report(firstboot.Event{Kind: firstboot.StepEvent, Step: name, State: state})
	}
	steps := []string{firstboot.Networks, firstboot.Files, firstboot.Images, firstboot.Containers, firstboot.Post}
	for _, name := range steps {
		step(name, firstboot.Running)
	}
	result, err := s.pass(ctx, job, report)
	if err != nil {
		return err
	}
	for _, a := range result.Apps {
		if _, wanted := indexOf(job.Apps, a.App); wanted {
			report(appEnd(a))
		}
	}
	for _, name := range steps {
		step(name, firstboot.Done)
	}
	return ctx.Err()
}

func indexOf(list []string, name string) (int, bool) {
	for i, n := range list {
		if n == name {
			return i, true
		}
	}
	return 0, false
}

// appEnd is how an app came out of the pass.
func appEnd(a reconcile.AppResult) firstboot.Event {
	ev := firstboot.Event{Kind: firstboot.AppEvent, App: a.App, Phase: firstboot.PhaseDone, Percent: 100, Text: a.Summary()}
	switch a.Class {
	case reconcile.ClassFailed, reconcile.ClassNeedsHuman:
		ev.Phase, ev.Percent, ev.Error = firstboot.PhaseFailed, 0, "failed"
		if a.Error != nil {
			ev.Error = a.Error.Message
		}
	case reconcile.ClassWaiting:
		ev.Phase, ev.Percent = firstboot.PhaseStillBegin, phasePercent[firstboot.PhaseWaiting]
	case reconcile.ClassNeedsConfig:
		ev.Phase = firstboot.PhaseNeeds
	case reconcile.ClassBlocked:
		ev.Phase = firstboot.PhaseBlocked
	}
	return ev
}

var phasePercent = map[string]int{firstboot.PhasePreparing: 5, firstboot.PhasePulling: 20, firstboot.PhaseCreating: 70,
	firstboot.PhaseStarting: 80, firstboot.PhaseWaiting: 88, firstboot.PhasePost: 95}

func phaseOf(k reconcile.Kind) string {
	switch k {
	case reconcile.WriteSecret, reconcile.SetSecret, reconcile.MakeDirectory, reconcile.WriteFile:
		return firstboot.PhasePreparing
	case reconcile.PullImage, reconcile.BuildImage:
		return firstboot.PhasePulling
	case reconcile.WriteUnit:
		return firstboot.PhaseCreating
	case reconcile.Start, reconcile.Restart, reconcile.Replace:
		return firstboot.PhaseStarting
	case reconcile.Wait:
		return firstboot.PhaseWaiting
	case reconcile.RunHooks:
		return firstboot.PhasePost
	}
	return ""
}
