package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// Plan is what a pass will do: the verdict on every app, and the operations in order. Making it changes nothing.
type Plan struct {
	Apps []AppPlan
	Ops  []Operation
}

// AppPlan is an app with its verdict.
type AppPlan struct {
	*App
	Verdict
	// Lacks is what the app cannot run without and does not have as observed: what it fails at meanwhile is not its own failure.
	Lacks string
}

// Empty tells that there is nothing to do.
func (p Plan) Empty() bool { return len(p.Ops) == 0 }

// lines are the operations as an operator reads them; nil when there are none.
func (p Plan) lines() (list []string) {
	for _, op := range p.Ops {
		list = append(list, op.String())
	}
	return list
}

// String is the numbered list that --check-only prints.
func (p Plan) String() string {
	var b strings.Builder
	for _, op := range p.Ops {
		fmt.Fprintln(&b, op)
	}
	return b.String()
}

// MakePlan decides on every selected app and lays the operations out. It is pure: the same world and the same options
// give the same plan.
func MakePlan(w *World, o Options) Plan {
	p := newPlanner(w, o)
	for _, a := range w.Apps {
		p.dependencies(a)
	}
	for _, a := range w.Apps {
		p.prepare(a)
	}
	p.sharedReload()
	for _, a := range w.Apps {
		p.change(a)
		p.expire(a)
	}
	p.staleNames()
	p.stopOrder()
	return p.plan()
}

// rolls tells that an app is moved over: podman has lost it while it lives. That is done to one app at a time (incident 5).
func (p *planner) rolls(a *App) bool {
	v := p.verdicts[a.ID]
	return v != nil && a.Conmon != 0 && slices.Contains(v.Steps, stepRestart)
}

// staleNames lets the name server forget containers that are gone, after everything else: podman that has lost a container
// does not take its name back when it ends.
func (p *planner) staleNames() {
	var after []int
	for _, a := range p.w.Apps {
		if a.Conmon != 0 && p.has(a, stepRestart, stepStop, stepRemove) {
			after = append(after, p.last[a.ID])
		}
	}
	switch {
	case len(p.w.StaleNames) == 0 && len(after) == 0, len(p.o.Only) > 0:
	case len(after) > 0:
		p.add(Operation{Kind: DropNames, Object: nameServer, Cause: "podman had lost what answered there"}, after...)
	default:
		p.add(Operation{Kind: DropNames, Object: nameServer, Cause: "it answers for containers that are gone: " + strings.Join(p.w.StaleNames, ", ")})
	}
}

// newPlanner decides on every selected app.
func newPlanner(w *World, o Options) *planner {
	p := &planner{w: w, o: o, verdicts: map[string]*Verdict{}, last: map[string]int{}, secrets: map[string]int{}, networks: map[string]int{}}
	for _, a := range w.Apps {
		hold(a)
		diedEarly(a, w)
		if a.Freed = false; a.Selected {
			p.judge(a)
		}
	}
	return p
}

// modeRefused says what the owner asks of the chain in vain, once there is nothing to do for the app: it is started and
// repaired all the same.
func modeRefused(a *App, v *Verdict) *Verdict {
	if v == nil || a.ModeRefused == "" || a.Want != WantRunning || a.Asked || v.Action != NoOp || len(v.Steps) > 0 {
		return v
	}
	return human(v.Row, v.State, "chain", a.ModeRefused, "nothing was changed; set bitcoin.prune back to what the chain has, or to auto").drifted(v.Drift)
}

func (p *planner) judge(a *App) {
	p.verdicts[a.ID] = walletStep(a, p.narrow(a, recorded(a, modeRefused(a, decide(a, p.w, p.o)))))
	p.verdicts[a.ID] = p.spare(a, p.verdicts[a.ID])
	p.uncounted(a)
}

// ImagePlan fetches what is absent for every app that is to be brought up, also for one whose dependencies will not be
// up in time: its turn comes later, and then it need not wait for a registry.
func ImagePlan(w *World, o Options) Plan {
	p := newPlanner(w, o)
	for _, a := range w.Apps {
		if p.has(a, stepPrepare, stepMigrate) && p.imageAbsent(a) {
			p.image(a)
		}
	}
	return p.plan().Part(PullImage, BuildImage)
}

// uncounted: the breaker counts no command of the owner.
func (p *planner) uncounted(a *App) {
	if v := p.verdicts[a.ID]; v != nil && a.Asked {
		v.Counted = false
	}
}

// narrow leaves of a verdict what the caller asked for: adopt claims, or moves what is adopted, and does nothing else.
func (p *planner) narrow(a *App, v *Verdict) *Verdict {
	switch {
	case v == nil || !p.o.AdoptOnly && !p.o.Migrate:
		return v
	case !a.Legacy() && !slices.Contains(v.Steps, stepMigrate) && !slices.Contains(v.Steps, stepRollBack):
		return nil
	case p.o.AdoptOnly:
		v.Steps = slices.DeleteFunc(v.Steps, func(s step) bool { return s != stepAdopt })
		v.Action, v.Class = NoOp, ClassOK
		if len(v.Steps) > 0 {
			v.Action = Adopted
		}
		v.Cause, v.Counted = adoptedCause(a.Drift), false
	}
	return v
}

// oneByOne tells that apps are changed one after the other, each with all that belongs to it.
func (p *planner) oneByOne() bool { return p.o.Force || p.o.Migrate || len(p.o.Upgrade) > 0 }

// hold keeps the previous unit of an app whose wanted spec has failed (row 35).
func hold(a *App) {
	if a.Manifest == nil || a.Record == nil || a.triesAgain() || a.Record.FailedHash == "" || a.Record.FailedHash != a.Hash {
		return
	}
	previous := a.Prev
	if previous == nil && a.Unit != nil && a.specOnDisk() != a.Hash {
		previous = a.Unit.Content
	}
	if previous == nil {
		return // nothing to go back to: the failed spec is all there is
	}
	a.Held, a.UnitText, a.Hash = true, previous, labelIn(previous, "io.archipelago.spec-hash")
}

// diedEarly counts the end of an app that archy started a short while before, when it was watched no more. What systemd
// starts again it counts itself; what lacks something, or was stopped through systemd, does not die of itself.
func diedEarly(a *App, w *World) {
	h := &a.History
	if h.StartedAt.IsZero() || a.Running() || activating(a) || a.Service.ActiveState == "deactivating" {
		return // in the last case systemd has not decided yet whether it starts the app again
	}
	end := a.Service.StateChanged
	if a.C != nil {
		end = a.C.ExitedAt
	}
	unseen := a.C == nil && a.Service.ActiveState == "active" // systemd has not noticed, and does not know when
	if unseen || a.Service.Stopped || a.Want != WantRunning || a.Service.NRestarts > 0 || w.lacks(a) != "" || h.Lacked != "" {
		end = time.Time{}
	}
	h.Ended(w.Now, end)
}

type planner struct {
	w        *World
	o        Options
	verdicts map[string]*Verdict
	ops      []Operation
	// last is the number of an app's latest operation; reload the shared daemon-reload; chain the latest operation of
	// the app before, when apps are changed one at a time.
	last     map[string]int
	secrets  map[string]int
	networks map[string]int
	reload   int
	chain    int
}

func (p *planner) plan() Plan {
	out := Plan{Ops: p.ops}
	for _, a := range p.w.Apps {
		if v := p.verdicts[a.ID]; v != nil {
			out.Apps = append(out.Apps, AppPlan{App: a, Verdict: *v, Lacks: p.w.lacks(a)})
		}
	}
	return out
}

// add appends an operation that follows the app's latest one and those given.
func (p *planner) add(op Operation, after ...int) int {
	op.N = len(p.ops) + 1
	if n := p.last[op.App]; n > 0 && op.App != "" {
		after = append(after, n)
	}
	slices.Sort(after)
	for _, n := range slices.Compact(after) {
		if n > 0 {
			op.After = append(op.After, n)
		}
	}
	p.ops = append(p.ops, op)
	if op.App != "" {
		p.last[op.App] = op.N
	}
	return op.N
}

func (p *planner) has(a *App, steps ...step) bool {
	v := p.verdicts[a.ID]
	return v != nil && slices.ContainsFunc(v.Steps, func(s step) bool { return slices.Contains(steps, s) })
}

var starting = []step{stepStart, stepRestart, stepReplace, stepLegacy, stepMigrate, stepUnpause}

// dependencies, row 24: an app whose needs cannot be met in this pass waits; one whose needs may be met makes the pass
// wait for them. What an app failed at while it lacked something counts no more when that is back.
func (p *planner) dependencies(a *App) {
	v := p.verdicts[a.ID]
	switch {
	case v == nil || a.Want != WantRunning || p.o.AdoptOnly:
		return
	case a.Running():
		p.sickWithout(a)
		return
	case !p.has(a, starting...) && !heldBack(a, v):
		return
	}
	for _, n := range a.Needs {
		d, st := p.w.app(n.App), p.w.unmet(n)
		switch {
		case st == "" && !p.has(d, starting...):
			continue
		case d == nil || d.Want != WantRunning:
		case p.has(d, starting...) || p.has(d, stepWait, stepGate, stepWallet):
			continue
		case p.onItsWay(d):
			p.awaitApp(d, a.ID)
			continue
		default:
			st = p.stateOf(d)
		}
		p.verdicts[a.ID] = unmet(a, n.App, st)
		if a.canTurnBack() && slices.Contains(v.Steps, stepMigrate) {
			p.verdicts[a.ID] = turnBack(a, p.verdicts[a.ID].Cause)
		}
		p.verdicts[a.ID].Drift = v.Drift
		return
	}
	if a.Freed = a.History.Lacked != "" || p.w.lacks(a) != ""; a.Freed && heldBack(a, v) {
		p.judge(a)
	}
}

// heldBack tells that an app which is down is left to systemd, or held by the breaker or the back-off.
func heldBack(a *App, v *Verdict) bool {
	return v.Row == "13" && autoRestarting(a) || v.Row == "14" || v.Row == "25" || v.Row == "7" && v.Action == Waiting
}

// sickWithout: an app that runs and is unhealthy without what it needs waits for it. A restart would not help.
func (p *planner) sickWithout(a *App) {
	v := p.verdicts[a.ID]
	if a.Tier < 3 || a.C.Health != podman.HealthUnhealthy || v.Row != "4" && v.Row != "25" {
		return
	}
	for _, n := range a.Needs {
		if st := p.w.unmet(n); st != "" {
			p.verdicts[a.ID] = waiting("24", "unhealthy", fmt.Sprintf("dependency %s is %s; health check fails", n.App, st)).drifted(v.Drift)
			return
		}
	}
}

// unmet: an app waits for what it needs. Who asked for it by name is told that it was not started.
func unmet(a *App, need, st string) *Verdict {
	text := fmt.Sprintf("dependency %s is %s", need, st)
	if !a.Asked {
		return waiting("24", observedState(a), text)
	}
	return failed("24", observedState(a), "dependency", text, unmetHint(a.ID, need, st))
}

func unmetHint(app, need, st string) string {
	switch st {
	case "not installed", "not known", "absent":
		return "archy install " + need
	case "stopped by the owner":
		return "archy start " + need + ", or: archy start --with-deps " + app
	}
	return "look at: archy status " + need
}

func (p *planner) stateOf(d *App) string {
	if v := p.verdicts[d.ID]; v != nil && v.State != "" {
		return v.State
	}
	return observedState(d)
}

// onItsWay tells that an app was started a short while ago and may still pass its gate.
func (p *planner) onItsWay(d *App) bool {
	if v := p.verdicts[d.ID]; v != nil && v.Class == ClassNeedsConfig {
		return false // it waits for its owner
	}
	if activating(d) {
		return d.Service.NRestarts <= 1
	}
	return d.Running() && age(d.C.StartedAt, p.w.Now) < gateLimit(d)
}

func (p *planner) awaitApp(d *App, dependant string) {
	v := p.verdicts[d.ID]
	if v == nil { // not selected: checked, not repaired
		return
	}
	v.Steps = append(v.Steps, stepWait)
	if v.Cause == "" {
		v.Cause = dependant + " needs it"
	}
}

// satisfied tells that an app is in a condition as observed.
func satisfied(d *App, condition string, now time.Time) bool {
	if !d.Running() {
		return false
	}
	healthy := d.C.Health == podman.HealthHealthy || (d.C.Health == "" && age(d.C.StartedAt, now) >= 5*time.Second)
	switch condition {
	case manifest.Started:
		return age(d.C.StartedAt, now) >= aliveFor || d.C.Health == podman.HealthHealthy
	case manifest.Archival:
		return healthy && d.Archival
	case manifest.Unlocked:
		return healthy && d.Stage.Ready
	}
	return healthy
}

// ownReload: an app that waits for an image, or is changed by force one at a time, does not hold up the others.
func (p *planner) ownReload(a *App) bool { return p.oneByOne() || p.imageAbsent(a) }

func (p *planner) imageAbsent(a *App) bool {
	if a.Manifest == nil || p.w.Images == nil {
		return false
	}
	again := a.Manifest.Container.PullPolicy == "always" && a.Spec.Build == nil && !p.o.NoPull && p.has(a, stepStart, stepReplace, stepMigrate)
	return p.w.Images[a.Spec.Image] == "" || again
}

// prepare lays out everything that touches no container: secrets, directories, files, images, units.
func (p *planner) prepare(a *App) {
	v := p.verdicts[a.ID]
	if v == nil {
		return
	}
	if p.oneByOne() {
		// One at a time: what belongs to an app is laid out together with its change.
		return
	}
	p.prepareSteps(a, v)
}

func (p *planner) prepareSteps(a *App, v *Verdict) {
	for _, s := range v.Steps {
		switch s {
		case stepAdopt:
			p.add(Operation{Kind: Adopt, App: a.ID, Object: a.Container, Cause: adoptionCause(a)})
		case stepPrepare:
			p.inputs(a)
		case stepFiles:
			p.files(a)
		case stepUnit:
			p.unit(a)
		case stepMigrate:
			p.inputs(a)
		}
	}
}

// inputs are what must be there before the unit: the image first, so that a change whose image cannot be had
// changes nothing else.
func (p *planner) inputs(a *App) {
	if p.imageAbsent(a) {
		p.image(a)
	}
	for _, s := range a.Fresh {
		p.freshSecret(a, s)
	}
	for _, d := range a.Dirs {
		p.add(Operation{Kind: MakeDirectory, App: a.ID, Object: d.Path, Cause: d.Cause, Path: d.Path, Owner: d.Owner, Mode: 0o750})
	}
	p.files(a)
	if a.Network != nil && p.w.Networks != nil && (!p.w.Networks[a.Network.Name] || a.Network.Stale) {
		p.network(a)
	}
	for _, s := range a.staleSecrets(p.w) {
		p.add(Operation{Kind: SetSecret, App: a.ID, Object: s.Name, Cause: p.secretCause(s), Secret: s})
	}
}

func (p *planner) image(a *App) {
	kind := PullImage
	if a.Spec.Build != nil {
		kind = BuildImage
	}
	p.add(Operation{Kind: kind, App: a.ID, Object: a.Spec.Image, Cause: p.imageCause(a)})
}

func (p *planner) imageCause(a *App) string {
	if p.w.Images[a.Spec.Image] != "" {
		return "pull_policy is always"
	}
	return "image is absent"
}

// freshSecret writes a secret once, however many apps read it.
func (p *planner) freshSecret(a *App, s Secret) {
	if n, ok := p.secrets[s.Name]; ok {
		if n != p.last[a.ID] {
			p.add(Operation{Kind: Wait, App: a.ID, Object: "secret " + s.Name, Cause: "written for another app"}, n)
		}
		return
	}
	p.secrets[s.Name] = p.add(Operation{Kind: WriteSecret, App: a.ID, Object: s.Name, Cause: s.cause(), Secret: s})
}

func (s Secret) cause() string {
	if s.Take {
		return "the container's value is taken"
	}
	return "secret is missing"
}

func (p *planner) secretCause(s Secret) string {
	if _, ok := p.w.Secrets[s.Name]; ok {
		return "its value differs from the secret file"
	}
	return "absent"
}

func (p *planner) network(a *App) {
	if n, ok := p.networks[a.Network.Name]; ok {
		p.add(Operation{Kind: Wait, App: a.ID, Object: "network " + a.Network.Name, Cause: "created for another app"}, n)
		return
	}
	p.networks[a.Network.Name] = p.add(Operation{Kind: CreateNetwork, App: a.ID, Object: a.Network.Name, Cause: p.networkCause(a.Network), Network: *a.Network})
}

func (p *planner) networkCause(n *Network) string {
	if p.w.Networks[n.Name] {
		return "its unit is missing or differs"
	}
	return "network is absent"
}

func (p *planner) files(a *App) {
	for _, f := range a.Files {
		if f.CompareOnly || !f.differs() {
			continue
		}
		p.add(Operation{Kind: WriteFile, App: a.ID, Object: f.Name, Cause: f.Cause, Path: f.Path, Content: f.Content, Mode: f.Mode, Owner: f.Owner, KeepOld: f.KeepOld})
	}
}

func (p *planner) unit(a *App) {
	if !a.unitDiffers() && !a.New {
		return
	}
	text := "unit is missing"
	if a.Unit != nil {
		text = cmp.Or(words(a.unitChanges()), "installed again")
	}
	p.add(Operation{Kind: WriteUnit, App: a.ID, Object: a.Container + ".container", Cause: text, Content: a.UnitText})
}

// sharedReload is the one daemon-reload after all units that were written at once.
func (p *planner) sharedReload() {
	var after []int
	for _, op := range p.ops {
		if op.Kind == WriteUnit && !p.ownReload(p.w.app(op.App)) {
			after = append(after, op.N)
		}
	}
	if len(after) > 0 {
		p.reload = p.add(Operation{Kind: Reload, Object: everyContainer, Cause: "units changed"}, after...)
	}
}

// change lays out what touches the container.
func (p *planner) change(a *App) {
	v := p.verdicts[a.ID]
	if v == nil || len(v.Steps) == 0 {
		return
	}
	chained := (p.oneByOne() || p.rolls(a)) && !p.has(a, stepStop, stepRemove) // stops have an order of their own
	if n := p.chain; chained && n > 0 {
		p.last[a.ID] = max(p.last[a.ID], n)
	}
	if p.oneByOne() {
		p.prepareSteps(a, v)
	}
	loaded := p.loaded(a)
	for _, s := range v.Steps {
		p.changeStep(a, v, s, loaded)
	}
	if chained {
		p.chain = p.last[a.ID]
	}
}

// loaded is the daemon-reload that the app's start must follow, 0 when its unit did not change.
func (p *planner) loaded(a *App) int {
	wrote := slices.ContainsFunc(p.ops, func(op Operation) bool { return op.App == a.ID && op.Kind == WriteUnit })
	starts := a.Unit != nil && p.has(a, starting...) && !wrote
	switch {
	case starts && a.Service.LoadState == "not-found":
		return p.add(Operation{Kind: Reload, App: a.ID, Object: everyContainer, Cause: "systemd does not know the service"})
	case starts && a.Service.NeedReload:
		return p.add(Operation{Kind: Reload, App: a.ID, Object: everyContainer, Cause: "systemd has an older unit"})
	case !wrote:
		return 0
	case p.ownReload(a):
		return p.add(Operation{Kind: Reload, App: a.ID, Object: everyContainer, Cause: "unit changed"})
	}
	return p.reload
}

func (p *planner) changeStep(a *App, v *Verdict, s step, loaded int) {
	service := a.Container + ".service"
	op := Operation{App: a.ID, Object: service, Cause: v.Cause}
	after := []int{loaded}
	switch s {
	case stepStart:
		op.Kind, op.Needs, op.Gate = Start, a.Needs, p.gate(a)
		after = append(after, p.providers(a)...)
	case stepRestart:
		op.Kind, op.Needs, op.Gate = Restart, p.restartNeeds(a), p.gate(a)
		if p.rolls(a) {
			op.Rolling, op.Gate = true, &Gate{Condition: manifest.Healthy, Limit: gateLimit(a)}
		}
		after = append(after, p.providers(a)...)
	case stepReplace:
		op.Kind, op.Needs, op.Gate = Replace, p.restartNeeds(a), &Gate{Condition: manifest.Healthy, Limit: gateLimit(a)}
		after = append(after, p.providers(a)...)
	case stepStop:
		op.Kind = Stop
	case stepUnpause:
		op.Kind, op.Object = Unpause, a.Container
	case stepLegacy:
		op.Kind, op.Object, op.Needs, op.Gate = StartLegacy, a.Container, a.Needs, p.gate(a)
		after = append(after, p.providers(a)...)
	case stepMigrate:
		op.Kind, op.Object, op.Needs, op.Gate = Migrate, a.Container, p.restartNeeds(a), &Gate{Condition: manifest.Healthy, Limit: gateLimit(a)}
		op.Content = a.UnitText
		after = append(after, p.providers(a)...)
	case stepWait:
		op.Kind, op.Gate = Wait, p.waitGate(a)
	case stepGate:
		op.Kind, op.Gate = Wait, &Gate{Condition: manifest.Healthy, Limit: gateLimit(a)}
	case stepRollBack:
		op.Kind = RollBack
	case stepHooks:
		op.Kind, op.Object = RunHooks, a.Container
	case stepWallet:
		op.Kind, op.Object, op.Cause = OpenWallet, "wallet", walletCause(a)
	case stepDropUnit:
		p.add(Operation{Kind: RemoveUnit, App: a.ID, Object: a.Container + ".container", Cause: "somebody else made the container"})
		op.Kind, op.Object, op.Cause = Reload, everyContainer, "unit removed"
	case stepRemove:
		p.remove(a, v)
		return
	case stepPurge:
		p.purge(a)
		return
	default:
		return
	}
	p.add(op, after...)
}

// remove ends an app that the owner removed: the unit goes before the container, so that nothing brings it back
// (incident 9). Data and secrets stay.
func (p *planner) remove(a *App, v *Verdict) {
	if a.Removing && a.remembered() {
		// First of all: whatever happens after this, the next pass goes on with the removal.
		p.add(Operation{Kind: WriteRecord, App: a.ID, Object: "state/apps/" + a.ID + ".json", Cause: v.Cause})
	}
	if a.C == nil && a.Unit == nil && !a.ghost() && a.Service.ActiveState != "active" && !activating(a) {
		p.dropSecrets(a, v)
		return
	}
	if a.C != nil && a.C.State == podman.StatePaused {
		p.add(Operation{Kind: Unpause, App: a.ID, Object: a.liveName(), Cause: v.Cause})
	}
	p.add(Operation{Kind: Stop, App: a.ID, Object: a.Container + ".service", Cause: v.Cause})
	if a.Unit != nil {
		p.add(Operation{Kind: RemoveUnit, App: a.ID, Object: a.Container + ".container", Cause: v.Cause})
	}
	if a.Unit != nil || a.ghost() {
		p.add(Operation{Kind: Reload, App: a.ID, Object: everyContainer, Cause: "unit removed"})
	}
	if a.C != nil {
		p.add(Operation{Kind: RemoveOld, App: a.ID, Object: a.liveName(), Cause: v.Cause})
	}
	p.dropSecrets(a, v)
}

// dropSecrets takes podman's copies away; the secret files stay.
func (p *planner) dropSecrets(a *App, v *Verdict) {
	for _, name := range a.podmanSecrets(p.w) {
		p.add(Operation{Kind: RemoveSecret, App: a.ID, Object: name, Cause: v.Cause})
	}
}

// purge moves the app's own directories to the trash.
func (p *planner) purge(a *App) {
	for _, dir := range a.Data {
		dest := trashOf(dir, p.w.Now)
		p.add(Operation{Kind: MoveData, App: a.ID, Object: dir, Cause: "to state/trash, kept for 7 days", Path: dir, Dest: dest})
	}
}

// oldKept is how long a container that a migration set aside is kept.
const oldKept = 24 * time.Hour

// expire removes containers that migrations set aside a day ago, once the app is healthy without them.
func (p *planner) expire(a *App) {
	if a.Record == nil || !a.Selected || p.o.AdoptOnly || !a.Managed() || !satisfied(a, manifest.Healthy, p.w.Now) {
		return
	}
	for _, old := range a.Record.OldContainers {
		if p.w.Now.Sub(old.RenamedAt) < oldKept {
			continue
		}
		p.add(Operation{Kind: RemoveOld, App: a.ID, Object: old.Name, Cause: "replaced by a unit more than 24 h ago"})
	}
}

// gate is what a start must reach before the pass goes on: what those wait for that need it, else only life.
func (p *planner) gate(a *App) *Gate {
	g := &Gate{Condition: manifest.Started, Limit: gateLimit(a)}
	for _, condition := range p.dueFor(a) {
		switch {
		case condition != manifest.Started:
			g.Condition = manifest.Healthy
		default:
			g.Alive = true
		}
	}
	if p.o.Wait || p.o.Boot {
		g.Condition, g.Limit = manifest.Healthy, cmpLimit(p.o.Timeout, g.Limit)
	}
	return g
}

// waitGate is the gate of an app that is on its way: health, unless it is only waited for by apps that need less.
func (p *planner) waitGate(a *App) *Gate {
	g := p.gate(a)
	if len(p.dueFor(a)) == 0 || autoRestarting(a) {
		g.Condition = manifest.Healthy
	}
	g.Limit, g.Restarting = gateLimit(a), true
	return g
}

// dueFor are the conditions in which the apps need this one that are started in this pass.
func (p *planner) dueFor(a *App) []string {
	var list []string
	for _, b := range p.w.Apps {
		for _, n := range b.Needs {
			if n.App == a.ID && p.has(b, starting...) {
				list = append(list, n.Condition)
			}
		}
	}
	return list
}

func cmpLimit(timeout, limit time.Duration) time.Duration {
	if timeout > 0 {
		return timeout
	}
	return limit
}

// restartNeeds: an app that runs is restarted whatever its dependencies do, but after them.
func (p *planner) restartNeeds(a *App) []Need {
	if a.Running() {
		return nil
	}
	return a.Needs
}

// providers are the last operations of the apps that must be ready first. They are laid out before a, because apps come
// in the order of starts.
func (p *planner) providers(a *App) []int {
	var list []int
	for _, n := range a.Needs {
		if p.has(p.w.app(n.App), append([]step{stepWait, stepGate, stepWallet}, starting...)...) {
			list = append(list, p.last[n.App])
		}
	}
	return list
}

// stopOrder makes stops wait for the stops of the apps that need them.
func (p *planner) stopOrder() {
	stops := map[string]int{}
	for _, op := range p.ops {
		if op.Kind == Stop {
			stops[op.App] = op.N
		}
	}
	for app := range stops {
		for _, n := range p.w.app(app).Needs {
			if d, ok := stops[n.App]; ok && d < stops[app] {
				p.swapAfter(d, stops[app])
			}
		}
	}
	for i := range p.ops {
		slices.Sort(p.ops[i].After)
	}
}

func (p *planner) swapAfter(first, then int) {
	op := &p.ops[first-1]
	if !slices.Contains(op.After, then) {
		op.After = append(op.After, then)
	}
}

// The limits of health gates by tier (first boot and reconcile share them).
func gateLimit(a *App) time.Duration {
	switch a.Tier {
	case 0:
		return 180 * time.Second
	case 1, 2:
		return 300 * time.Second
	}
	limit := 120 * time.Second
	if a.Spec.Health != nil {
		limit = max(limit, time.Duration(a.Spec.Health.StartPeriod+60)*time.Second)
	}
	return limit
}

// isLegacyRecord tells that the app's container was not made by archy.
func isLegacyRecord(a *App) bool { return a.Record != nil && a.Record.Owner == state.Legacy }
