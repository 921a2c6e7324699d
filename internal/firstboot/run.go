package firstboot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

// Runner is a first boot.
type Runner struct {
	Host      *Host
	Selection Selection
	// Apps does the service user's steps.
	Apps AppsStage
	// Again ignores the marker, and writes it anew.
	Again   bool
	Version string
	RunID   string
	// Report hears everything that happens, in order.
	Report func(Event)

	progress Progress
}

// rounds is how often a step is checked and done until nothing is left to do: what a change uncovers is done too, and
// the last check verifies all.
const rounds = 4

// Run makes the first boot. The error is fatal to it, ErrInterrupted when the context ended; nothing but the progress is
// written then. Failed apps are no error: they stand in the progress.
func (r *Runner) Run(ctx context.Context) (Progress, error) {
	if err := node.CheckVolume(r.Host.Layout); err != nil {
		return Progress{}, err // nothing is written where the data volume should be
	}
	r.begin()
	err := r.steps(ctx)
	if err != nil && ctx.Err() != nil {
		err = ErrInterrupted
	}
	r.end(err)
	return r.progress, err
}

// begin starts the progress and says what became of the run before.
func (r *Runner) begin() {
	var before Progress
	found, err := r.Host.State.ReadFirstBoot(&before)
	r.progress = NewProgress(r.RunID, r.Selection.Profile, r.Host.Now())
	if err != nil {
		err = errors.Join(err, r.Host.State.KeepFirstBootAside(err))
		r.note("", fmt.Sprintf("how far the run before came cannot be read: %v", err))
	}
	r.report(Event{Kind: RunEvent, Text: fmt.Sprintf("first boot, profile %s: %s", r.Selection.Profile, strings.Join(r.Selection.Apps, ", "))})
	if step := before.Unfinished(); found && step != "" {
		r.note("resuming after an interrupted run at step "+step, "")
	} else if found && before.Result == ResultFailed {
		r.note("trying again after a run that failed at step "+before.Step, "")
	}
	for _, text := range r.Selection.Notes {
		r.note(text, "")
	}
}

func (r *Runner) steps(ctx context.Context) error {
	tasks := r.tasks()
	for _, s := range Steps {
		var err error
		switch {
		case ctx.Err() != nil:
			return ErrInterrupted
		case s.Name == Networks:
			err = r.child(ctx)
		case s.Child:
		case r.Host.skips(s.Name):
			r.report(Event{Kind: StepEvent, Step: s.Name, State: Skipped})
		default:
			err = r.step(ctx, s, tasks[s.Name])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tasks are root's steps by their names.
func (r *Runner) tasks() map[string]Task {
	h := r.Host
	list := []Task{{Preflight, h.preflight}, {Rootless, h.rootless}, {Directories, h.directories}, {Secrets, h.secrets}, {Tor, h.tor},
		{WireGuard, h.wireguard}, {Firewall, h.firewall}, {Nostr, h.nostr}, {Record, h.record}, {Marker, r.marker}}
	byName := map[string]Task{}
	for _, t := range list {
		byName[t.Name] = t
	}
	return byName
}

// skips tells that a step is left out, by a flag or by the configuration.
func (h *Host) skips(step string) bool {
	switch {
	case slices.Contains(h.Skip, step):
		return true
	case step == WireGuard:
		return !h.Config.WireGuard.Enabled
	case step == Firewall:
		return !h.Config.Firewall.Manage
	}
	return false
}

// step does one step. A failure of one that is not fatal is a warning.
func (r *Runner) step(ctx context.Context, s Step, t Task) error {
	r.report(Event{Kind: StepEvent, Step: s.Name, State: Running})
	warnings, err := r.do(ctx, t)
	for _, w := range warnings {
		r.note("", s.Name+": "+w)
	}
	switch {
	case ctx.Err() != nil:
		return ErrInterrupted
	case err == nil:
		r.report(Event{Kind: StepEvent, Step: s.Name, State: Done})
		return nil
	}
	r.report(Event{Kind: StepEvent, Step: s.Name, State: Failed, Error: err.Error()})
	if s.Fatal {
		return fmt.Errorf("step %s: %w", s.Name, err)
	}
	r.note("", s.Name+": "+err.Error())
	return nil
}

// do is settle with each change reported.
func (r *Runner) do(ctx context.Context, t Task) (warnings []string, err error) {
	r.Host.Tell = func(text string) { r.report(Event{Kind: StepEvent, Step: t.Name, State: Running, Text: text}) }
	return settle(ctx, t, r.Host.Tell)
}

// settle checks and changes until a check finds nothing to do, and tells each change before it is made.
func settle(ctx context.Context, t Task, tell func(text string)) (warnings []string, err error) {
	var p Plan
	for range rounds {
		p = Plan{}
		if err := t.Check(ctx, &p); err != nil {
			return p.Warnings, err
		}
		if len(p.Changes) == 0 {
			return p.Warnings, nil
		}
		for _, c := range p.Changes {
			if ctx.Err() != nil {
				return p.Warnings, ErrInterrupted
			}
			tell(c.Text)
			if err := c.Apply(ctx); err != nil {
				return p.Warnings, err
			}
		}
	}
	return p.Warnings, fmt.Errorf("it does not hold: %s", p.Changes[0].Text)
}

// child has the service user's steps done.
func (r *Runner) child(ctx context.Context) error {
	job := AppsJob{Apps: r.Selection.Apps, SkipImages: slices.Contains(r.Host.Skip, Images)}
	err := r.Apps.Run(ctx, job, r.report)
	for i, s := range Steps {
		if s.Child && unfinished(r.progress.Steps[i].State) {
			r.childStep(s, job, r.progress.Steps[i].State, err)
		}
	}
	if err != nil {
		return fmt.Errorf("making the apps: %w", err)
	}
	return nil
}

func unfinished(s StepState) bool { return s == Pending || s == Running }

// childStep ends a step that the child left open.
func (r *Runner) childStep(s Step, job AppsJob, was StepState, err error) {
	ev := Event{Kind: StepEvent, Step: s.Name, State: Done}
	switch {
	case err != nil && was == Running:
		ev.State, ev.Error = Failed, err.Error()
	case err != nil:
		return
	case s.Name == Images && job.SkipImages:
		ev.State = Skipped
	}
	r.report(ev)
}

// marker is the last step: from then on the node is one.
func (r *Runner) marker(_ context.Context, p *Plan) error {
	_, found, err := r.Host.stat(r.Host.Layout.FirstBootDone())
	if err != nil || found && (!r.Again || r.progress.Result != "") {
		return err
	}
	p.add(does(func() error {
		r.progress.Result = ResultOK
		if len(r.progress.Failed()) > 0 {
			r.progress.Result = ResultPartial
		}
		return r.Host.writeMarker(MarkerContent{r.Version, r.Host.Now().UTC(), r.Selection.Profile, r.progress.Result})
	}), "write the marker %s", r.Host.Layout.FirstBootDone())
	return nil
}

// end writes how the run ended.
func (r *Runner) end(err error) {
	ev := Event{Kind: RunEvent, Percent: r.progress.Percent}
	switch {
	case err == nil && r.progress.Result == ResultPartial:
		ev.Text = "done, some apps failed: " + strings.Join(r.progress.Failed(), ", ")
	case err == nil:
		r.progress.Result, ev.Text = ResultOK, "done"
	case errors.Is(err, ErrInterrupted):
		r.progress.Result, ev.Error = ResultInterrupted, err.Error()
	default:
		r.progress.Result, ev.Error = ResultFailed, err.Error()
	}
	r.progress.FinishedAt = r.Host.Now().UTC()
	r.write()
	r.report(ev)
}

// note tells something that an operator should know; a warning has its own text.
func (r *Runner) note(text, warning string) {
	r.report(Event{Kind: NoteEvent, Text: text, Error: warning})
}

// report keeps what happened, and tells it.
func (r *Runner) report(ev Event) {
	if ev.At.IsZero() {
		ev.At = r.Host.Now().UTC()
	}
	if r.progress.Add(&ev) {
		r.write()
	}
	r.Report(ev)
}

// write keeps the progress. A disk that does not take it does not stop a first boot, and is told once.
func (r *Runner) write() {
	err := r.Host.State.WriteFirstBoot(r.progress)
	if err == nil || slices.ContainsFunc(r.progress.Warnings, func(w string) bool { return strings.HasPrefix(w, notKept) }) {
		return
	}
	r.progress.Warnings = append(r.progress.Warnings, notKept+err.Error())
	r.Report(Event{At: r.Host.Now().UTC(), Kind: NoteEvent, Percent: r.progress.Percent, Error: notKept + err.Error()})
}

const notKept = "the progress cannot be written: "

// StepPlan is what a step would do.
type StepPlan struct {
	Step     string   `json:"step"`
	Skipped  bool     `json:"skipped,omitempty"`
	Todo     []string `json:"todo"`
	Warnings []string `json:"warnings,omitempty"`
}

// Check tells what Run would do and changes nothing. The error is what would end the run.
func (r *Runner) Check(ctx context.Context) ([]StepPlan, error) {
	tasks, said := r.tasks(), map[string]bool{}
	var list []StepPlan
	for _, s := range Steps {
		var one StepPlan
		var err error
		switch {
		case s.Child && s.Name != Containers:
			continue
		case s.Child:
			one, err = r.checkApps(ctx, len(list) > 0 && pending(list, Rootless))
		case r.Host.skips(s.Name):
			one = StepPlan{Step: s.Name, Skipped: true, Todo: []string{}}
		default:
			one, err = checkTask(ctx, s, tasks[s.Name])
		}
		if err != nil {
			return list, err
		}
		// What a step would find done by one before it is told once.
		one.Todo = slices.DeleteFunc(one.Todo, func(line string) bool { again := said[line]; said[line] = true; return again })
		list = append(list, one)
	}
	return list, nil
}

func pending(list []StepPlan, step string) bool {
	return slices.ContainsFunc(list, func(p StepPlan) bool { return p.Step == step && len(p.Todo) > 0 })
}

func checkTask(ctx context.Context, s Step, t Task) (StepPlan, error) {
	var p Plan
	err := t.Check(ctx, &p)
	one := StepPlan{Step: s.Name, Todo: []string{}, Warnings: p.Warnings}
	for _, c := range p.Changes {
		one.Todo = append(one.Todo, c.Text)
	}
	switch {
	case err != nil && s.Fatal:
		return one, fmt.Errorf("step %s: %w", s.Name, err)
	case err != nil:
		one.Warnings = append(one.Warnings, err.Error())
	}
	return one, nil
}

// checkApps asks the child; before podman is set up there is nothing that it could look at.
func (r *Runner) checkApps(ctx context.Context, bare bool) (StepPlan, error) {
	one := StepPlan{Step: Containers, Todo: []string{}}
	if bare {
		for _, id := range r.Selection.Apps {
			one.Todo = append(one.Todo, "make "+id)
		}
		return one, nil
	}
	todo, err := r.Apps.Check(ctx, AppsJob{Apps: r.Selection.Apps, SkipImages: slices.Contains(r.Host.Skip, Images), Check: true})
	one.Todo = append(one.Todo, todo...)
	return one, err
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
