package reconcile

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/wait"
)

// PassLocks are the locks of a pass.
type PassLocks interface {
	Locker
	NodeShared(ctx context.Context, wait time.Duration) (*state.Lock, error)
	Reconcile(ctx context.Context, wait time.Duration) (*state.Lock, error)
	Intent(ctx context.Context, wait time.Duration) (*state.Lock, error)
}

// IntentSync keeps the owner's list of stopped apps, and the flag files that systemd honours in line with it.
type IntentSync interface {
	SyncFlags(apps map[string]string) (state.Intent, error)
	SetStopped(app, container string, stopped bool, apps map[string]string) error
}

// Pass is one run of observe, plan and apply.
type Pass struct {
	Observer Observer
	Applier  Applier
	Locks    PassLocks
	Intent   IntentSync
	Version  string
	// WaitLock is how long the pass waits for another one to end.
	WaitLock time.Duration
	// Held tells that the caller has the locks of a full pass, from HoldFull.
	Held     bool
	ExitCode bool
	// Room and Vacuum are for a data disk that is full; Vacuum cuts the journal.
	Room   Room
	Vacuum func(context.Context) error
	// Modes are those of the secret files; nil: not looked at.
	Modes SecretModes
	// Diary gets what the pass did and found.
	Diary state.Diary
	// Sound is asked before a plan that restarts what podman has lost track of: such an app is up, and would stay down if
	// podman, which lists its containers, could start none. Its error ends the pass before anything is changed. nil: not asked.
	Sound func(context.Context) error
	// Renew is asked before anything is looked at: podman's service may answer from a database that is gone, and would list what podman itself has
	// lost. With change it lets that service end, so that what is seen then is what podman knows. found says so, "" if there is no such service. nil: not asked.
	Renew func(ctx context.Context, change bool) (found string, err error)
	// Last is the result of the pass before, empty if there is none; it is asked for when an app does not answer. nil: nothing is remembered.
	Last func() Result
	// Planned is called with the plan before anything is changed.
	Planned func(w *World, p Plan)
}

// Run makes one pass. Its error means that nothing was done; everything else is in the result.
func (p *Pass) Run(ctx context.Context) (Result, error) {
	o := p.Observer.Options
	began := p.Observer.Now()
	release, err := p.hold(ctx, o)
	if err != nil {
		return Result{}, err
	}
	defer release()
	gone, kept := "", error(nil)
	if p.Renew != nil {
		gone, kept = p.Renew(ctx, !o.CheckOnly)
	}
	w, err := p.observe(ctx, o)
	if err != nil {
		return Result{}, err
	}
	w.renewed(gone, kept)
	roomAgain := p.room(w)
	plan := MakePlan(w, o)
	if p.Planned != nil {
		p.Planned(w, plan)
	}
	if err := p.sound(ctx, o, plan); err != nil {
		return Result{}, err
	}
	result := p.result(w, began)
	result.Podman.Evidence = gone
	p.closeSecrets(&result)
	ranOut := false
	if o.CheckOnly {
		result.Apps, result.Plan = verdicts(w, plan), plan.lines()
	} else {
		ranOut = p.act(ctx, w, plan, &result, roomAgain)
	}
	p.remember(&result)
	result.summarise(p.ExitCode, len(o.Only) > 0)
	if w.Full && len(o.Only) == 0 {
		result.Podman.Evidence, result.ExitCode = w.freeWords(), ExitNeedsHuman
	}
	if ranOut {
		result.ExitCode = ExitNeedsHuman
	}
	result.DurationMS = p.Observer.Now().Sub(began).Milliseconds()
	if errors.Is(ctx.Err(), context.Canceled) {
		result.ExitCode = ExitInterrupted
	}
	return result, nil
}

// hold takes the locks of a pass that changes something, writes the owner's will down, and removes what a killed run left.
func (p *Pass) hold(ctx context.Context, o Options) (release func(), err error) {
	if o.CheckOnly {
		return func() {}, nil
	}
	unlock, err := p.lock(ctx, o)
	if err != nil {
		return nil, err
	}
	var free func()
	if err = p.syncIntent(ctx, o); err == nil {
		free, err = p.holdApps(ctx, o)
	}
	if err != nil {
		unlock()
		return nil, err
	}
	p.Applier.Disk.Sweep()
	return func() { free(); unlock() }, nil
}

// sound asks whether podman can start anything, where the plan restarts apps that podman has lost track of.
func (p *Pass) sound(ctx context.Context, o Options, plan Plan) error {
	rolling := func(op Operation) bool { return op.Rolling }
	if o.CheckOnly || p.Sound == nil || !slices.ContainsFunc(plan.Ops, rolling) {
		return nil
	}
	return p.Sound(ctx)
}

// act carries the plan out; ranOut tells that the data disk ran full on the way. A pass with nothing to do still counts failing
// checks and good minutes, but on a full disk nothing is written that need not be.
func (p *Pass) act(ctx context.Context, w *World, plan Plan, r *Result, roomAgain bool) (ranOut bool) {
	warn := func(text string) { r.Warnings = append(r.Warnings, text) }
	p.Applier.warn = warn
	if w.Full && p.Room != nil {
		r.Warnings = append(r.Warnings, p.makeRoom(ctx, w.Now, true, w.freeWords()+": no app is restarted for it, and nothing is written but what archy must remember")...)
	}
	switch {
	case !plan.Empty():
		r.Apps = p.Applier.Apply(ctx, w, plan)
	case w.Full:
		r.Apps = verdicts(w, plan)
	default:
		r.Apps = p.Applier.Apply(context.WithoutCancel(ctx), w, plan)
	}
	ranOut = p.ranOut(ctx, w, r)
	if err := p.keepDiary(ctx, r.Apps); err != nil {
		warn(err.Error())
	}
	if roomAgain && !ranOut && len(p.Observer.Options.Only) == 0 {
		if err := p.Room.DiskRecovered(); err != nil {
			warn(err.Error())
		}
	}
	return ranOut
}

// renewed notes that podman's service answered from a database that is gone. One that could not be ended lists on what podman has lost.
func (w *World) renewed(gone string, err error) {
	if gone != "" {
		w.Warnings = append(w.Warnings, gone)
	}
	if err != nil {
		w.Warnings = append(w.Warnings, "it could not be ended, so what podman has lost is not seen: "+err.Error())
		w.Partial = true
	}
}

// transitLooks is how often a pass looks again while something is between two states: about ten seconds.
const transitLooks = 33

// observe looks at the node. What is just being stopped or made, as after a pass that was killed, is looked at again: a
// decision on half a restart would leave the other half to the next pass.
func (p *Pass) observe(ctx context.Context, o Options) (*World, error) {
	w, err := p.Observer.Observe(ctx)
	for range transitLooks {
		if err != nil || o.CheckOnly || !w.inTransit(p.Observer.Now()) || wait.For(ctx, o.Timing.orDefault().Poll) != nil {
			break
		}
		w, err = p.Observer.Observe(ctx)
	}
	return w, err
}

// inTransit tells that an app will soon be in another state, without anybody doing anything, or has come into one during this look, which
// ended just now: podman and systemd are not asked at the same instant.
func (w *World) inTransit(now time.Time) bool {
	return slices.ContainsFunc(w.Apps, func(a *App) bool {
		changed := a.Service.StateChanged
		return a.Selected && !a.Legacy() && (a.inTransit() || changed.After(w.Now) && !changed.After(now))
	})
}

func (a *App) inTransit() bool {
	active, stopping := a.Service.ActiveState == "active", a.Service.ActiveState == "deactivating"
	starting := activating(a) && !autoRestarting(a)
	switch {
	case a.C == nil, a.Dead:
		return starting || stopping
	case a.Running(): // a restart that was asked for has hardly begun: podman has not been told yet
		return stopping || a.Service.Job != ""
	case a.C.State == podman.StateCreated, a.C.State == podman.StateInitialized: // systemd hears of a start before podman has written it down
		return starting || stopping || active
	}
	return starting || stopping || a.C.State == podman.StateStopping || a.C.State == podman.StateRemoving
}

// verdicts are the results of a plan that is not carried out.
func verdicts(w *World, plan Plan) []AppResult {
	list := make([]AppResult, 0, len(plan.Apps))
	for _, a := range plan.Apps {
		list = append(list, initial(a, w.Now))
	}
	return list
}

// lock takes what a pass must hold. A pass over named apps is not a full pass and leaves that lock alone.
func (p *Pass) lock(ctx context.Context, o Options) (release func(), err error) {
	switch {
	case p.Held:
		return func() {}, nil
	case len(o.Only) == 0:
		return HoldFull(ctx, p.Locks, p.WaitLock)
	}
	shared, err := p.Locks.NodeShared(ctx, p.WaitLock)
	if err != nil {
		return nil, err
	}
	return shared.Release, nil
}

// HoldFull takes the locks of a full pass: what is read while they are held no other pass changes.
func HoldFull(ctx context.Context, locks PassLocks, wait time.Duration) (release func(), err error) {
	shared, err := locks.NodeShared(ctx, wait)
	if err != nil {
		return nil, err
	}
	full, err := locks.Reconcile(ctx, wait)
	if err != nil {
		shared.Release()
		return nil, err
	}
	return func() { full.Release(); shared.Release() }, nil
}

// WriteIntent writes down what the owner wants stopped, and does nothing else.
func (p *Pass) WriteIntent(ctx context.Context, o Options) error {
	unlock, err := p.lock(ctx, o)
	if err != nil {
		return err
	}
	defer unlock()
	return p.syncIntent(ctx, o)
}

// intentWait is the least wait for another command that writes the owner's will: that takes a moment, whatever --wait-lock says of a whole run.
const intentWait = 5 * time.Second

// syncIntent writes what the owner wants stopped before anything is stopped (incident 8): from here on the next pass and
// systemd itself honour it, whatever becomes of this one.
func (p *Pass) syncIntent(ctx context.Context, o Options) error {
	apps := p.containers()
	if len(o.Stop)+len(o.Start) > 0 {
		lock, err := p.Locks.Intent(ctx, max(p.WaitLock, intentWait))
		if err != nil {
			return err
		}
		defer lock.Release()
	}
	for _, change := range []struct {
		ids     []string
		stopped bool
	}{{o.Stop, true}, {o.Start, false}} {
		for _, id := range change.ids {
			if err := p.Intent.SetStopped(id, cmp.Or(apps[id], id), change.stopped, apps); err != nil {
				return err
			}
		}
	}
	_, err := p.Intent.SyncFlags(apps)
	return err
}

// holdApps takes the locks of the apps that a command names before it looks at them: what it decides must not be overtaken by a pass that
// is at work on them.
func (p *Pass) holdApps(ctx context.Context, o Options) (release func(), err error) {
	held := heldLocks{p.Applier.Locks, map[string]*state.Lock{}}
	release = func() {
		p.Applier.Locks = held.Locker
		for _, lock := range held.apps {
			lock.Release()
		}
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(o.Only))) {
		lock, err := p.Applier.Locks.App(ctx, id, p.WaitLock)
		if err != nil {
			release()
			return nil, err
		}
		held.apps[id] = lock
	}
	p.Applier.Locks = held
	return release, nil
}

// heldLocks hands out the locks that are held already.
type heldLocks struct {
	Locker
	apps map[string]*state.Lock
}

func (h heldLocks) App(ctx context.Context, id string, wait time.Duration) (*state.Lock, error) {
	if lock, ok := h.apps[id]; ok {
		return lock, nil
	}
	return h.Locker.App(ctx, id, wait)
}

// containers maps app ids to container names, also of the apps whose manifests are broken: what they are called their records know.
func (p *Pass) containers() map[string]string {
	out := containers(p.Observer.Set)
	for id := range p.Observer.Set.Broken {
		if r, found, err := p.Applier.Records.ReadRecord(id); found && err == nil && r.Container != "" {
			out[id] = r.Container
		}
	}
	return out
}

// containers maps app ids to container names.
func containers(set *manifest.Set) map[string]string {
	out := map[string]string{}
	for id, app := range set.Apps {
		out[id] = app.Unit()
	}
	return out
}

func (p *Pass) result(w *World, began time.Time) Result {
	return Result{Schema: 1, Version: p.Version, StartedAt: began.UTC(), CheckOnly: p.Observer.Options.CheckOnly,
		Podman:  PodmanState{Reachable: true, Version: w.Podman, State: string(w.podmanState())},
		Unknown: orEmpty(w.Unknown), Orphans: orEmpty(w.Orphans), Warnings: w.Warnings, partial: w.Partial, Apps: []AppResult{}}
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
