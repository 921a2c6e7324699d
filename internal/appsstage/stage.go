// Package appsstage makes the apps of a first boot, as the service user: networks, derived files, images, containers and
// what follows them. It decides nothing of its own: each step is a part of the plan that a pass of reconcile makes, so that
// a first boot and a later reconcile write the same bytes.
package appsstage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/wait"
)

// Session is the node, connected to its podman and its user manager.
type Session struct {
	// Pass puts a pass together; Report of its applier is the stage's.
	Pass func(o reconcile.Options) *reconcile.Pass
	// Hold takes the lock of a full pass. node.lock is root's meanwhile.
	Hold func(ctx context.Context) (release func(), err error)
	// Keep remembers the result of the pass that made the containers; nil: nowhere.
	Keep  func(r reconcile.Result) error
	Close func()
}

// Stage is the work of the service user in a first boot. It implements firstboot.AppsStage.
type Stage struct {
	Open func(ctx context.Context) (*Session, error)
	// Log is /var/log/archipelago/container-installs.log, which gets a line for each phase of an app; "": none.
	Log string
	// Pause is before the second try of what may only not be up yet: the user bus, the networks.
	Pause time.Duration
	Now   func() time.Time
}

var _ firstboot.AppsStage = (*Stage)(nil)

// run is one Run under way.
type run struct {
	*teller
	session *Session
	job     firstboot.AppsJob
	// options are those of each pass; removed apps are not in them.
	options reconcile.Options
}

// Check implements firstboot.AppsStage.
func (s *Stage) Check(ctx context.Context, job firstboot.AppsJob) ([]string, error) {
	job.Check = true
	r, err := s.open(ctx, job, func(firstboot.Event) {})
	if err != nil {
		return nil, err
	}
	defer r.session.Close()
	pass := r.pass(nil)
	missing, err := pass.MissingBridges(ctx)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, n := range missing {
		lines = append(lines, "create network "+n.Name)
	}
	result, err := pass.Run(ctx)
	return append(lines, result.Plan...), err
}

// Run implements firstboot.AppsStage.
func (s *Stage) Run(ctx context.Context, job firstboot.AppsJob, report func(firstboot.Event)) error {
	r, err := s.open(ctx, job, report)
	if err != nil {
		return err
	}
	defer r.session.Close()
	defer r.log.close()
	release, err := r.session.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	for _, step := range []struct {
		name string
		run  func(context.Context) (text string, err error)
	}{
		{firstboot.Networks, func(ctx context.Context) (string, error) { return "", s.networks(ctx, r) }},
		{firstboot.Files, r.files}, {firstboot.Images, r.images}, {firstboot.Containers, r.containers}, {firstboot.Post, r.post},
	} {
		if step.name == firstboot.Images && job.SkipImages {
			r.step(step.name, firstboot.Skipped, "", nil)
			continue
		}
		r.step(step.name, firstboot.Running, "", nil)
		text, err := step.run(ctx)
		if err = errors.Join(err, ctx.Err()); err != nil {
			r.step(step.name, firstboot.Failed, text, err)
			return fmt.Errorf("step %s: %w", step.name, err)
		}
		r.step(step.name, firstboot.Done, text, nil)
	}
	return nil
}

// open connects, once more after a pause: at the first boot of a machine the user's session may be a moment late.
func (s *Stage) open(ctx context.Context, job firstboot.AppsJob, report func(firstboot.Event)) (*run, error) {
	session, err := s.Open(ctx)
	if err != nil && wait.For(ctx, s.Pause) == nil {
		session, err = s.Open(ctx)
	}
	if err != nil {
		return nil, err
	}
	r := &run{session: session, job: job, teller: &teller{report: report, now: s.Now, percent: map[string]int{}, phase: map[string]string{}}}
	r.options = reconcile.Options{Install: map[string]string{}, Boot: true, CheckOnly: job.Check, NoPull: job.SkipImages}
	observer := session.Pass(reconcile.Options{}).Observer
	records, _ := observer.State.ReadRecords()
	for _, id := range withTheirs(observer.Set, job.Apps, records) {
		if rec := records[id]; !rec.Installed && !rec.RemovedAt.IsZero() {
			// A first boot that is repeated does not bring back what the owner removed.
			r.app(firstboot.Event{App: id, Phase: firstboot.PhaseDone, Text: "removed by the owner; to have it back: archy install " + id})
			continue
		}
		r.options.Install[id] = state.ByFirstBoot
	}
	if !job.Check {
		r.log = openLog(s.Log, r.note)
	}
	return r, nil
}

// withTheirs adds what the apps need and the pages that follow them. A pass adds these for an app that has no record yet;
// here the first of several passes writes the record. An alternative that is installed already is as good.
func withTheirs(set *manifest.Set, ids []string, records map[string]state.Record) []string {
	list := slices.Clone(ids)
	in := func(id string) bool { return slices.Contains(list, id) || records[id].Installed }
	for i := 0; i < len(list); i++ {
		for _, n := range set.Needs(list[i]) {
			if p := set.Provider(n.AppID, in); !in(p) {
				list = append(list, p)
			}
		}
		for _, id := range set.Order() {
			if follows := set.Apps[id].Follows; follows != "" && !in(id) && set.Provider(follows, in) == list[i] {
				list = append(list, id)
			}
		}
	}
	return list
}

// pass is a pass of reconcile that tells the stage what it does.
func (r *run) pass(report func(reconcile.Event)) *reconcile.Pass {
	p := r.session.Pass(r.options)
	p.Held, p.Applier.Report = true, report
	return p
}

func (s *Stage) networks(ctx context.Context, r *run) error {
	err := r.pass(nil).MakeBridges(ctx)
	if err != nil && wait.For(ctx, s.Pause) == nil {
		err = r.pass(nil).MakeBridges(ctx)
	}
	return err
}

// files writes the derived files, and what they are made of: an app whose files fail is told by the containers' pass.
func (r *run) files(ctx context.Context) (string, error) {
	results, err := r.pass(r.follow).RunPart(ctx, reconcile.WriteSecret, reconcile.MakeDirectory, reconcile.WriteFile)
	return failures(results), err
}

// images fetches what is absent, two at once. An image that cannot be had fails its app, and the others go on.
func (r *run) images(ctx context.Context) (string, error) {
	all, done := 0, 0
	pass := r.pass(func(ev reconcile.Event) {
		r.follow(ev)
		if ev.Done {
			done++
			r.progress(firstboot.Images, done, all)
		}
	})
	pass.Planned = func(_ *reconcile.World, p reconcile.Plan) { all = len(p.Ops) }
	results, err := pass.RunImages(ctx)
	r.options.Absent = map[string]string{}
	for _, a := range results {
		if a.Error != nil && a.Error.Code == "image" {
			r.options.Absent[a.Image] = a.Error.Message
		}
	}
	return failures(results), err
}

func failures(results []reconcile.AppResult) string {
	n := 0
	for _, a := range results {
		if a.Class == reconcile.ClassFailed {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d apps failed", n, len(results))
}

// containers makes a whole pass. What could not be had a moment ago is not asked for again.
func (r *run) containers(ctx context.Context) (string, error) {
	ended, all := map[string]reconcile.Class{}, 0
	pass := r.pass(func(ev reconcile.Event) {
		r.follow(ev)
		if ev.Ended != nil {
			ended[ev.Ended.App] = ev.Ended.Class
			r.end(*ev.Ended)
			r.progress(firstboot.Containers, len(ended), all)
		}
	})
	pass.Planned = func(_ *reconcile.World, p reconcile.Plan) { all = len(p.Apps) }
	result, err := pass.Run(ctx)
	if err != nil {
		return "", err
	}
	for _, a := range result.Apps {
		// What archy must remember of an app is written last, and may fail, as on a full disk.
		if class, ok := ended[a.App]; !ok || class != a.Class {
			r.end(a)
		}
	}
	for _, w := range result.Warnings {
		r.note(errors.New(w))
	}
	if r.session.Keep != nil {
		err = r.session.Keep(result)
	}
	return result.Line(), err
}

// post runs the hooks of containers that systemd has made anew since; a start has run those of its own.
func (r *run) post(ctx context.Context) (string, error) {
	results, err := r.pass(nil).RunPart(ctx, reconcile.RunHooks)
	for _, a := range results {
		if a.Detail != "" {
			r.note(fmt.Errorf("%s: %s", a.App, a.Detail))
		}
	}
	return "", err
}
