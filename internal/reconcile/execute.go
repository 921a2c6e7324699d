package reconcile

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/images"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// execute does one operation.
func (r *run) execute(ctx context.Context, c *change, op Operation) error {
	switch op.Kind {
	case Adopt:
		return r.adopt(c)
	case MakeDirectory:
		return r.Disk.MakeDir(ctx, op.Path, op.Owner, op.Mode)
	case WriteSecret:
		return r.writeSecret(op)
	case WriteFile:
		return r.writeFile(ctx, c, op)
	case SetSecret:
		return r.setSecret(ctx, c, op)
	case CreateNetwork:
		return r.createNetwork(ctx, op)
	case PullImage, BuildImage:
		return r.image(ctx, c, op)
	case WriteUnit:
		return r.writeUnit(ctx, c, op)
	case Reload:
		return r.reload(ctx, op)
	case RemoveUnit:
		c.changed = true
		if slices.Contains(c.plan.Steps, stepDropUnit) && autoRestarting(c.App) {
			if err := r.stopNew(ctx, c); err != nil {
				return err
			}
		}
		return r.Disk.RemoveUnit(c.Container)
	case Start, Restart:
		return r.start(ctx, c, op)
	case Replace:
		return r.replace(ctx, c, op)
	case RollBack:
		if c.canTurnBack() {
			return r.abortMigration(ctx, c, errors.New(strings.TrimPrefix(op.Cause, cannotGoOn)))
		}
		return r.rollBack(ctx, c, c.record.Op.Reason)
	case Stop:
		return r.stop(ctx, c)
	case Unpause:
		return r.unpause(ctx, c)
	case StartLegacy:
		return r.startLegacy(ctx, c, op)
	case Migrate:
		return r.migrate(ctx, c, op)
	case Wait:
		return r.wait(ctx, c, op)
	case RemoveOld:
		return r.removeContainer(ctx, c, op)
	case RunHooks:
		return r.hooks(ctx, c)
	case WriteRecord:
		return r.forget(c)
	case RemoveSecret:
		return r.removeSecret(ctx, c, op)
	case MoveData:
		c.changed = true
		return r.Disk.Trash(ctx, op.Path, op.Dest)
	case OpenWallet:
		return r.openWallet(ctx, c)
	}
	return fmt.Errorf("operation %q is not known", op.Kind)
}

// adopt writes an install record and nothing else. Where the data lie is in it: a container that vanishes cannot say so any more.
func (r *run) adopt(c *change) error {
	c.changed = true
	if c.RecordLost {
		return r.Records.WriteRecord(c.record)
	}
	c.record.Owner, c.record.Installed, c.record.By = state.Legacy, true, state.ByAdopt
	c.record.InstalledAt, c.record.RemovedAt, c.record.RemovedWith = r.Now().UTC(), time.Time{}, ""
	c.record.Image, c.record.ImageID = c.C.Image, c.C.ImageID
	c.pinAdopted()
	c.record.Disks = c.Disks
	return r.Records.WriteRecord(c.record)
}

// pinAdopted keeps what the container of an adopted app says of its name, its data, its ports and its database, and nobody else.
func (c *change) pinAdopted() {
	if c.Inspect == nil {
		return
	}
	p := &c.record.Pinned
	p.Name, p.Volumes, p.Held, p.ExtraPorts, p.Env = c.Pins.Name, c.Pins.Volumes, c.Pins.Held, c.Pins.ExtraPorts, c.Pins.Env
}

// refreshAdopted keeps the record of an adopted container up to date: somebody may make it anew with other mounts, and a record that an
// older version wrote may lack them.
func (r *run) refreshAdopted(c *change) error {
	if !c.Legacy() || c.changed || !isLegacyRecord(c.App) || !c.record.Installed || c.record.Op != nil {
		return nil
	}
	c.pinAdopted()
	if c.record.Disks = c.Disks; reflect.DeepEqual(c.record, *c.Record) {
		return nil
	}
	return r.writeUnlessOvertaken(c)
}

func (r *run) writeSecret(op Operation) error {
	if op.Secret.Take {
		return r.Secrets.Take(op.Secret.Name, op.Secret.Value)
	}
	v, _, err := r.Secrets.Create(op.Secret.Name, secrets.Kind(op.Secret.Kind), op.Secret.Value, op.Secret.Plain)
	if err == nil && !v.Equal(op.Secret.Value) {
		// Somebody else was faster and everything in this plan was computed with our draft.
		return fmt.Errorf("secret %s was made by somebody else meanwhile; the next pass uses it", op.Secret.Name)
	}
	return err
}

// writeFile replaces a derived file. A consumer that keeps its label must be restarted all the same, also by the next
// run when this one is killed in between: that is what PendingRestart is for.
func (r *run) writeFile(ctx context.Context, c *change, op Operation) error {
	migrating := slices.Contains(c.plan.Steps, stepMigrate)
	if c.Running() && c.record.PendingRestart == "" && !migrating {
		c.record.PendingRestart = op.Object + " " + op.Cause
		if err := r.Records.WriteRecord(c.record); err != nil {
			return err
		}
	}
	c.changed = true
	return r.Disk.WriteFile(ctx, op)
}

func (r *run) setSecret(ctx context.Context, c *change, op Operation) error {
	c.changed = true
	labels := map[string]string{spec.LabelManaged: "true", spec.LabelApp: c.ID, spec.LabelSecretEnvHash: op.Secret.Label}
	return r.Engine.CreateSecret(ctx, op.Secret.Name, []byte(op.Secret.Value.Reveal()), labels, true)
}

func (r *run) createNetwork(ctx context.Context, op Operation) error {
	return makeBridge(ctx, r.Disk, r.Engine, op.Network)
}

// image pulls or builds what is wanted, from wherever it can be had.
func (r *run) image(ctx context.Context, c *change, op Operation) error {
	if r.Options.NoPull && c.Spec.Build == nil {
		return fmt.Errorf("image %s is absent and --no-pull is given", op.Object)
	}
	w := images.Wanted{Ref: op.Object, Digest: c.Spec.ImageDigest, Always: c.Manifest.Container.PullPolicy == "always",
		Progress: func(p podman.Progress) { r.report(Event{Op: op, Text: p.Text, Bytes: p.Bytes, Total: p.Total}) }}
	if op.Kind == BuildImage {
		w.Build = &images.Build{Context: func() (string, func(), error) { return r.Disk.Context(c.App) }, Dockerfile: c.Spec.Build.Dockerfile}
	}
	if err := r.images.Fetch(ctx, w); err != nil {
		c.result.Error = &AppError{Code: "image", Message: strings.TrimSpace(err.Error()), Hint: imageHint(op)}
		return err
	}
	id, err := r.Engine.ImageID(ctx, op.Object)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	warning, err := r.Records.AddImage(state.Image{Ref: op.Object, ID: id, App: c.ID, At: r.Now().UTC()})
	if warning != "" && r.warn != nil {
		r.warn(warning)
	}
	return err
}

func imageHint(op Operation) string {
	if op.Kind == BuildImage {
		return "look at the build context's Dockerfile, then run: archy reconcile"
	}
	return "check the reference and the network, then run: archy reconcile"
}

// writeUnit replaces a unit. What ran before is kept first, so that there is always a way back.
func (r *run) writeUnit(ctx context.Context, c *change, op Operation) error {
	if err := r.Disk.TryUnit(ctx, c.Container, op.Content); err != nil {
		return err
	}
	if err := r.install(c); err != nil {
		return err
	}
	if err := r.pinStopped(ctx, c); err != nil {
		return err
	}
	if c.plan.replaces() && c.record.Op == nil {
		if err := r.beginReplace(c); err != nil {
			return err
		}
	}
	if !c.plan.replaces() && c.Running() && c.record.Op != nil && c.record.Op.Kind == state.OpReplace {
		c.record.Op = nil // a change that was broken off before its restart, and that nobody wants any more
	}
	c.pinUser()
	c.record.Disks = c.Disks                             // the unit asserts them
	c.record.Pinned.Held, c.record.Pinned.Name = nil, "" // the unit has them, or they were given up
	c.record.UnitDigests = rememberDigest(c.record.UnitDigests, digest(op.Content))
	if err := r.Records.WriteRecord(c.record); err != nil {
		return err
	}
	c.changed = true
	return r.layUnit(c, op.Content)
}

// layUnit writes a unit, and says so when there was somebody else's.
func (r *run) layUnit(c *change, text []byte) error {
	kept, err := r.Disk.WriteUnit(c.Container, text)
	if kept != "" {
		c.result.Detail = cause(c.result.Detail, "the unit that was there is not archy's: it is kept as "+kept)
	}
	return err
}

// rememberDigest keeps the digests of the last unit texts that archy wrote: another one was edited by somebody.
func rememberDigest(list []string, d string) []string {
	list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == d })
	return append(list[max(0, len(list)-2):], d)
}

// installs tells that the app gets a unit in this pass.
func (p AppPlan) installs() bool { return slices.Contains(p.Steps, stepUnit) }

// install makes sure that an app that is about to run has its record: a run killed from here on is finished by the next.
func (r *run) install(c *change) error {
	if c.record.Installed {
		return nil
	}
	c.record.Installed, c.record.By, c.record.Owner = true, c.By, state.Quadlet
	c.record.InstalledAt, c.record.RemovedAt, c.record.RemovedWith = r.Now().UTC(), time.Time{}, ""
	c.record.Wallet.Made = false                                   // with what it had before an owner who installs it anew is not bothered
	c.record.Pinned.Volumes, c.record.Disks = c.Elsewhere, c.Disks // also of an alternative that it takes over from
	if c.record.By == "" {
		c.record.By = state.ByFirstBoot
	}
	c.record.Image = c.Spec.Image
	c.pinMode()
	return r.Records.WriteRecord(c.record)
}

// pinMode freezes how much of the chain a bitcoin keeps: another mode would delete or download it.
func (c *change) pinMode() {
	if c.Mode == nil {
		return
	}
	prune, index := int(c.Mode.PruneMiB), c.Mode.TxIndex
	c.record.Pinned.Prune, c.record.Pinned.TxIndex = &prune, &index
}

func (p AppPlan) replaces() bool { return slices.Contains(p.Steps, stepReplace) && p.Unit != nil }

// restarts tells that the app's container is ended and comes back.
func (p AppPlan) restarts() bool {
	return slices.ContainsFunc(p.Steps, func(s step) bool { return s == stepRestart || s == stepReplace || s == stepLegacy })
}

func (r *run) beginReplace(c *change) error {
	if err := r.Records.SavePrevUnit(c.Container, c.Unit.Content); err != nil {
		return err
	}
	if c.record.FailedHash == c.Hash {
		c.record.FailedHash = "" // the owner wants it tried again, and so does the next run if this one is killed
	}
	c.record.Op = &state.Op{Kind: state.OpReplace, Step: 3, PreviousImage: c.record.Image, PreviousHash: c.specOnDisk(),
		NewHash: c.Hash, StartedAt: r.Now().UTC(), StepAt: r.Now().UTC()}
	if c.Upgrading {
		c.record.Op.NewImage = c.Spec.Image
	}
	return nil
}

// reload makes systemd read the units, and checks that it knows each one that was written: a unit that Quadlet cannot
// convert would be gone without an error.
func (r *run) reload(ctx context.Context, op Operation) error {
	if err := r.daemonReload(ctx); err != nil {
		return err
	}
	if c := r.apps[op.App]; c != nil && (slices.Contains(c.plan.Steps, stepRemove) || slices.Contains(c.plan.Steps, stepDropUnit)) {
		return r.forgetFailure(ctx, c)
	}
	return r.checkLoaded(ctx, op)
}

// daemonReload looks at every unit first: one that ends podman's generator would take all services with it.
func (r *run) daemonReload(ctx context.Context) error {
	if err := r.Disk.CheckUnits(); err != nil {
		return err
	}
	return r.Units.Reload(ctx)
}

// checkLoaded fails the apps whose units systemd did not take, and only those.
func (r *run) checkLoaded(ctx context.Context, op Operation) error {
	apps := r.reloaded(op)
	if len(apps) == 0 {
		return nil
	}
	var services []string
	for _, c := range apps {
		services = append(services, c.Container+".service")
	}
	units, err := r.Units.Units(ctx, services)
	if err != nil {
		return err
	}
	for i, c := range apps {
		u := units[services[i]]
		if u.LoadState == "loaded" {
			continue
		}
		err := fmt.Errorf("%s is %s after the daemon-reload; see: /usr/lib/systemd/user-generators/podman-user-generator --user --dryrun", services[i], u.LoadState)
		if op.App != "" {
			return err
		}
		r.mu.Lock()
		c.ended = err
		c.fail(err)
		r.mu.Unlock()
	}
	return nil
}

// reloaded are the apps whose units a daemon-reload was for. Another app's unit may be written at the same time.
func (r *run) reloaded(op Operation) []*change {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.apps[op.App]; c != nil {
		return []*change{c}
	}
	var apps []*change
	for _, n := range op.After {
		if c := r.wrote[n]; c != nil {
			apps = append(apps, c)
		}
	}
	return apps
}

// start starts or restarts the service and watches it live.
func (r *run) start(ctx context.Context, c *change, op Operation) error {
	if err := r.install(c); err != nil {
		return err
	}
	limit := unitLimit(c)
	if c.Spec.Unit.NotifyHealthy {
		limit = min(limit, r.waited(*op.Gate).Limit) // its start is its gate
	}
	err := r.bringUpWithin(ctx, c, op.Kind == Restart || op.Kind == Replace, limit)
	var job *systemd.JobError
	switch {
	case errors.As(err, &job) && job.Result == systemd.ResultLimit && job.Detail.ActiveState == "activating":
		return r.stillStarting(ctx, c, limit)
	case errors.Is(err, errStop):
		return err
	case err != nil:
		return r.startFailed(ctx, c, err)
	}
	return r.pass(ctx, c, op)
}

// stillStarting: an app that lives and is not up in time has not failed. What needs it waits.
func (r *run) stillStarting(ctx context.Context, c *change, limit time.Duration) error {
	c.result.Class, c.result.Cause = ClassWaiting, cause(c.result.Cause, "still starting after "+limit.String())
	return r.succeeded(ctx, c)
}

// bringUp runs the start job of the service. An app that its owner stops meanwhile stays down, and what was begun with it is gone on with when he
// starts it.
func (r *run) bringUp(ctx context.Context, c *change, restart bool) error {
	return r.bringUpWithin(ctx, c, restart, unitLimit(c))
}

// unitLimit is how long systemd may take for a start.
func unitLimit(c *change) time.Duration {
	return time.Duration(c.Spec.Unit.TimeoutStart)*time.Second + 15*time.Second
}

func (r *run) bringUpWithin(ctx context.Context, c *change, restart bool, limit time.Duration) error {
	service := c.Container + ".service"
	if err := r.Units.ResetFailed(ctx, service); err != nil && !errors.Is(err, systemd.ErrNoUnit) {
		return err
	}
	c.changed, c.started = true, r.Now()
	c.tries()
	c.history.StartedAt = c.started
	var err error
	if restart {
		err = r.Units.Restart(ctx, service, limit+r.stopLimit(c))
	} else {
		err = r.Units.Start(ctx, service, limit)
	}
	var job *systemd.JobError
	if errors.As(err, &job) && job.Result == systemd.ResultCondition && r.stoppedMeanwhile(c) {
		return c.leaveBusy(justStopped)
	}
	return err
}

// tries notes what is about to be started. What failed before it was changed counts no more.
func (c *change) tries() {
	if c.record.Op != nil && c.record.Op.Rollback {
		return // the older one
	}
	if changed(c.App) {
		c.forgive()
	}
	c.history.Tried = c.Hash
}

// forgive closes the breaker; what systemd has tried up to now counts no more either.
func (c *change) forgive() {
	c.history.Close()
	c.history.AutoRestarts = c.Service.NRestarts
}

// stopMargin is what a stop may take beyond its grace.
const stopMargin = 15 * time.Second

func (r *run) stopLimit(c *change) time.Duration {
	return time.Duration(c.Spec.StopGrace)*time.Second + 2*stopMargin
}

// pass waits for the gate and keeps what came of it.
func (r *run) pass(ctx context.Context, c *change, op Operation) error {
	gate := r.waited(*op.Gate)
	r.report(Event{Op: op, Moment: MomentGate, Text: c.gateWords(gate)})
	c.giveWay()
	out := r.gate(ctx, c, gate, r.window(c, op))
	switch {
	case out.dead != nil:
		return r.startFailed(ctx, c, out.dead)
	case out.err != nil:
		return out.err
	case !out.reached:
		if c.New && c.Tier != 1 && c.Tier != 2 {
			return r.startFailed(ctx, c, fmt.Errorf("not healthy within %s", op.Gate.Limit))
		}
		return r.stillStarting(ctx, c, op.Gate.Limit)
	}
	return r.succeeded(ctx, c)
}

// gateWords say what is waited for, and how long.
func (c *change) gateWords(g Gate) string {
	if g.Condition == manifest.Started || c.Spec.Health == nil {
		return "looks whether it stays up"
	}
	return "waits for its health check, at most " + g.Limit.String()
}

// window is how long an app must live before it counts as started. At a first boot its own health check is the proof.
func (r *run) window(c *change, op Operation) time.Duration {
	switch {
	case c.lifeCounts(*op.Gate):
		return r.timing.Alive
	case r.Options.Boot && c.Spec.Health != nil && op.Kind != Migrate:
		return 0
	case r.Options.Boot:
		return r.timing.Settle
	}
	if op.Kind == Replace || op.Kind == Migrate || r.Options.Wait && !r.Options.Owner {
		return r.timing.Alive
	}
	return r.timing.Settle
}

// lifeCounts tells that what proves the app is only that it lives, and that another app needs it to: no less than what the condition
// started means.
func (c *change) lifeCounts(g Gate) bool {
	return g.Alive && (g.Condition == manifest.Started || c.Spec.Health == nil)
}

// succeeded writes what the app runs with now.
func (r *run) succeeded(ctx context.Context, c *change) error {
	if c.record.FailedHash == c.Hash {
		c.record.FailedHash = ""
	}
	c.pinMode()
	c.noteWallet()
	c.record.Owner, c.record.SpecHash, c.record.PendingRestart = state.Quadlet, c.Hash, ""
	if !c.Held {
		id, _ := r.Engine.ImageID(ctx, c.Spec.Image)
		c.record.Repin(c.Spec.Image, id)
	}
	c.record.Op = nil
	r.rememberPeers(ctx, c)
	if err := r.Records.WriteRecord(c.record); err != nil {
		return err
	}
	if err := r.Records.DropPrevUnit(c.Container); err != nil {
		return err
	}
	if c.result.Class == ClassFailed {
		c.result.Class = ClassOK
	}
	return r.hooks(ctx, c)
}

// startFailed explains an app that did not come up.
func (r *run) startFailed(ctx context.Context, c *change, err error) error {
	return r.failedAs(ctx, c, state.EventDied, err)
}

func (r *run) failedAs(ctx context.Context, c *change, event string, err error) error {
	c.result.Error = r.diagnose(ctx, c, err)
	if c.diedOfPassword() {
		return r.passwordRefused(c)
	}
	c.history.Count(r.Now(), event)
	c.plan.Counted = false
	return err
}

// diagnose gathers what a person needs: how it ended, and its last words without any secret.
func (r *run) diagnose(ctx context.Context, c *change, err error) *AppError {
	return &AppError{Code: "start", Message: err.Error(), Hint: "see: journalctl --user -u " + c.Container, LogTail: r.tail(ctx, c)}
}

// tail are the last words without any secret, also when the pass is being ended.
func (r *run) tail(ctx context.Context, c *change) []string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	return mask(c.App, r.lastWords(ctx, c))
}

// logTail is how many lines of a log are told.
const logTail = 20

// lastWords are the app's own last lines, or, when it never came to say anything, what systemd and podman say of it.
func (r *run) lastWords(ctx context.Context, c *change) []string {
	const n = logTail
	if lines, err := r.Units.ContainerLog(ctx, c.Container, c.started, n); err == nil && len(lines) > 0 {
		return withoutBlank(lines)
	}
	if lines, err := r.Engine.Logs(ctx, c.Container, n); err == nil && len(lines) > 0 {
		return withoutBlank(lines)
	}
	lines, _ := r.Units.Journal(ctx, c.Container+".service", "", n)
	return withoutBlank(lines)
}

func withoutBlank(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.TrimSpace(l) == "" })
}

// mask removes the app's secrets from its own log lines.
func mask(a *App, lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		for _, s := range WantedSecrets(a.Spec) {
			if v := s.Value.Reveal(); len(v) >= 4 {
				line = strings.ReplaceAll(line, v, "hidden")
			}
		}
		for _, v := range a.Masked {
			if text := v.Reveal(); len(text) >= 4 {
				line = strings.ReplaceAll(line, text, "hidden")
			}
		}
		out[i] = line
	}
	return out
}

// stop ends an app with its grace.
func (r *run) stop(ctx context.Context, c *change) error {
	c.changed = true
	if c.Legacy() {
		return r.stopOrphan(ctx, c)
	}
	err := r.Units.Stop(ctx, c.Container+".service", r.stopLimit(c))
	if errors.Is(err, systemd.ErrNoUnit) {
		return r.stopOrphan(ctx, c)
	}
	return err
}

// stopOrphan stops a container whose service systemd no longer knows.
func (r *run) stopOrphan(ctx context.Context, c *change) error {
	if c.C == nil {
		return nil
	}
	err := r.Engine.Stop(ctx, c.liveName(), time.Duration(c.Spec.StopGrace)*time.Second)
	if errors.Is(err, podman.ErrNotFound) {
		return nil
	}
	return err
}

// unpause lets an app go on; one that stays paused is restarted.
func (r *run) unpause(ctx context.Context, c *change) error {
	c.changed = true
	err := r.Engine.Unpause(ctx, c.liveName())
	got, ierr := r.Engine.Inspect(ctx, c.liveName())
	if ierr != nil || !got.State.Paused || c.Want != WantRunning {
		return err
	}
	c.result.Action = Restarted
	if !c.Legacy() {
		return r.bringUp(ctx, c, true)
	}
	if err := r.Engine.Stop(ctx, c.liveName(), time.Duration(c.Spec.StopGrace)*time.Second); err != nil {
		return err
	}
	return r.Legacy.StartInScope(ctx, c.liveName())
}

// startLegacy starts an adopted container outside archy's control group (incident 1).
func (r *run) startLegacy(ctx context.Context, c *change, op Operation) error {
	c.changed = true
	if c.Running() || c.C != nil && c.C.State == podman.StatePaused { // unpaused a moment ago
		if err := r.Engine.Stop(ctx, c.liveName(), time.Duration(c.Spec.StopGrace)*time.Second); err != nil {
			return err
		}
	}
	c.started = r.Now()
	c.history.StartedAt = c.started
	if err := r.Legacy.StartInScope(ctx, c.liveName()); err != nil {
		return r.failedAs(ctx, c, state.EventScopeFailed, err)
	}
	out := r.gate(ctx, c, r.waited(*op.Gate), r.window(c, op))
	switch {
	case out.dead != nil:
		return r.startFailed(ctx, c, out.dead)
	case out.err == nil && !out.reached:
		c.result.Class, c.result.Cause = ClassWaiting, cause(c.result.Cause, "still starting after "+op.Gate.Limit.String())
	}
	if c.record.PendingRestart != "" || !slices.Equal(c.record.Disks, c.Disks) {
		c.record.PendingRestart, c.record.Disks = "", c.Disks
		return r.Records.WriteRecord(c.record)
	}
	return out.err
}

// wait lets an app that is on its way reach its gate, or is only an edge of the plan.
func (r *run) wait(ctx context.Context, c *change, op Operation) error {
	if op.Gate == nil {
		return nil
	}
	replacing := c.record.Op != nil && c.record.Op.Kind == state.OpReplace
	gate, window := r.waited(*op.Gate), time.Duration(0)
	if replacing {
		gate = *op.Gate
	}
	if replacing || c.lifeCounts(gate) {
		window = r.timing.Alive
	}
	r.report(Event{Op: op, Moment: MomentGate, Text: c.gateWords(gate)})
	out := r.gate(ctx, c, gate, window)
	switch {
	case replacing && out.err == nil && !out.good(c):
		return r.undo(ctx, c, errors.New(reason(out)))
	case replacing && out.err == nil:
		c.changed = true
		return r.succeeded(ctx, c)
	case out.dead != nil:
		return r.startFailed(ctx, c, out.dead)
	case out.err == nil && out.reached && op.Gate.Condition != manifest.Started:
		c.result.Class = ClassOK
		if c.result.Action == Waiting { // systemd brought it up, under the eyes of this pass
			c.changed, c.result.Action = true, Started
		}
	}
	return out.err
}

func (r *run) removeContainer(ctx context.Context, c *change, op Operation) error {
	c.changed = true
	err := r.removeIfMeant(ctx, c, op.Object)
	if err != nil && !errors.Is(err, podman.ErrNotFound) {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(c.record.OldContainers), func(o state.OldContainer) bool { return o.Name == op.Object })
	if len(kept) == len(c.record.OldContainers) {
		return nil
	}
	c.record.OldContainers = kept
	return r.Records.WriteRecord(c.record)
}

// removeIfMeant removes a container unless somebody has given its name to another one meanwhile.
func (r *run) removeIfMeant(ctx context.Context, c *change, name string) error {
	meant := ""
	if c.C != nil && c.C.Name == name {
		meant = c.C.ID
	}
	for _, old := range c.record.OldContainers {
		if old.Name == name {
			meant = old.ID
		}
	}
	if got, err := r.Engine.Inspect(ctx, name); err != nil || meant != "" && got.ID != meant {
		return err
	}
	return r.Engine.Remove(ctx, name, false)
}
