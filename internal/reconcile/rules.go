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

// Options are the choices of a caller.
type Options struct {
	// Only are the apps to act on, all when empty.
	Only          []string
	Force         bool
	CreateMissing bool
	// Install are apps that are wanted although no record says so yet, each with what installs it (state.ByInstall,
	// state.ByFirstBoot). What they need comes with them; an app that the owner removed comes back.
	Install map[string]string
	// Owner tells that the apps in Only are named in a command of their owner: their breakers close, and neither back-off
	// nor a held spec stands in the way. What cannot be done is a failure then, not something to wait for.
	Owner bool
	// Stop and Start change the owner's list of stopped apps before anything else is done.
	Stop, Start []string
	// Restart are apps that are started anew if they run.
	Restart []string
	// Remove are apps that are taken away; the data of those in Purge go to the trash.
	Remove, Purge []string
	// RemoveWith are those in Remove that go because they are the page of another one there, by id.
	RemoveWith map[string]string
	// Upgrade are apps that get another image: a reference, or "" for the manifest's. AllowDowngrade lets it be an older one.
	Upgrade        map[string]string
	AllowDowngrade bool
	// Await is how long a start waits for an app that is needed and on its way.
	Await     time.Duration
	CheckOnly bool
	NoPull    bool
	// Absent are images that were just asked for in vain, by reference, with why: they are not asked for again.
	Absent map[string]string
	// Wait makes the pass wait until every touched app is healthy, at most Timeout in all.
	Wait    bool
	Timeout time.Duration
	// MaxParallel is how many apps are changed side by side.
	MaxParallel int
	// Boot makes a pass that of a first boot: each app up to its gate, begun in the order of the tiers, and an app that is only
	// watched keeps nobody from being started who does not need it.
	Boot bool
	// Migrate moves adopted containers to units without --force.
	Migrate bool
	// AdoptOnly claims containers and does nothing else.
	AdoptOnly bool
	// KeepGoing goes on after a migration that could neither be done nor undone.
	KeepGoing bool
	// DropMounts are targets that may be left out: of a legacy container by a migration, of a unit whose manifest has changed.
	DropMounts []string
	// DropDisks are mount points that the apps in Only need no more: their data lie elsewhere now.
	DropDisks []string
	// TakeContainerSecret lets a migration take a secret's value from the container where the file differs.
	TakeContainerSecret bool
	// Timing holds the waits of gates; zero values mean the defaults.
	Timing Timing
}

// rule is one or more rows of the state table; nil means that it does not apply.
type rule func(a *App, w *World, o Options) *Verdict

// The rules in the order in which they are asked; the first verdict counts.
var (
	goneRules    = []rule{notInstalled, needed, lostTrack, settling, onlyInItself, gone, notThere}
	stoppedRules = []rule{lostTrack, settling, stopRunning, unusable, notStarted, keepStopped}
	wantedRules  = []rule{unusable, diskMissing, resume, conflict, lostTrack, settling, claim, unknowable, legacyContainer,
		deadProcess, paused, created, forced, drifted, anew, textOnly, peerMoved, running, down}
)

// decide finds the verdict on one app. An app that is not wanted and not there has none.
func decide(a *App, w *World, o Options) *Verdict {
	rules := wantedRules
	switch a.Want {
	case WantStopped:
		rules = stoppedRules
	case WantAbsent, WantNone:
		rules = goneRules
	}
	for _, r := range rules {
		if v := r(a, w, o); v != nil {
			return v
		}
	}
	return nil
}

// unusable: the manifest has errors, or one that the app needs has.
func unusable(a *App, _ *World, _ Options) *Verdict {
	if a.Manifest != nil && len(a.Broken) == 0 {
		return nil
	}
	v := failed("-", observedState(a), "manifest", "the manifest has errors", "run: archy apps lint")
	if len(a.Broken) > 0 {
		v.Cause = a.Broken[0].String()
	}
	return v
}

// notInstalled, rows 1 to 4 for apps that nobody asked for: named when a container is there, and left.
func notInstalled(a *App, w *World, _ Options) *Verdict {
	if a.Want != WantNone || a.C == nil {
		return nil
	}
	if a.Record != nil && !a.Record.RemovedAt.IsZero() {
		return left(rowOf(a, w), observedState(a), "removed by the owner, and made anew by something else; archy adopt claims it", ClassOK)
	}
	if a.Unread != nil {
		return left(rowOf(a, w), observedState(a), fmt.Sprintf("its record is %v; archy install %s keeps it aside and makes another from its unit", a.Unread, a.ID), ClassOK)
	}
	return left(rowOf(a, w), observedState(a), "not installed", ClassOK)
}

// gone, rows 1 to 18 for apps that the owner removed.
func gone(a *App, w *World, _ Options) *Verdict {
	switch {
	case a.Removing:
		return takeAway(a, w)
	case a.Want == WantNone || a.C == nil && a.Unit == nil && !a.ghost():
		return nil // row 17: an app that is not installed makes no noise
	case a.C == nil:
		return act(rowOf(a, w), Removed, "absent", "removed by the owner, its unit is still there", stepRemove)
	}
	return act(rowOf(a, w), Removed, "absent", "removed by the owner", stepRemove)
}

// rowOf is the row of the table that names how an app is observed, whatever is wanted of it.
func rowOf(a *App, w *World) string {
	switch {
	case a.C == nil && activating(a):
		return "13"
	case a.C == nil && startLimitHit(a):
		return "14"
	case a.C == nil && a.Unit == nil && a.Record == nil:
		return "16"
	case a.C == nil && a.Unit == nil:
		return "15"
	case a.C == nil:
		return "12"
	case a.Dead:
		return "5"
	case a.Managed() && a.Unit == nil:
		return "18"
	}
	return containerRow(a, w)
}

func containerRow(a *App, w *World) string {
	switch a.C.State {
	case podman.StateRunning:
		return healthRow(a, w)
	case podman.StateCreated, podman.StateInitialized:
		return "8"
	case podman.StatePaused:
		return "9"
	case podman.StateStopping:
		return "10"
	case podman.StateUnknown, podman.StateRemoving:
		return "11"
	}
	if a.C.ExitCode != 0 {
		return "7"
	}
	return "6"
}

func healthRow(a *App, w *World) string {
	switch {
	case a.C.Health == podman.HealthStarting:
		return "2"
	case a.C.Health == podman.HealthUnhealthy && inStartPeriod(a, w.Now):
		return "3"
	case a.C.Health == podman.HealthUnhealthy:
		return "4"
	}
	return "1"
}

// lostTrack, row 12a: a second copy of a live app is never started.
func lostTrack(a *App, w *World, _ Options) *Verdict {
	if a.Conmon == 0 || a.Want == WantNone {
		return nil
	}
	cause := fmt.Sprintf("podman lost track of it, its monitor lives (pid %d)", a.Conmon)
	switch {
	case a.Service.MainPID == a.Conmon && a.Want == WantAbsent:
		return act("12a", Removed, "lost-track", cause, stepRemove)
	case a.Service.MainPID == a.Conmon && a.Want == WantStopped:
		return act("12a", Stopped, "lost-track", cause, stepStop)
	case a.Service.MainPID == a.Conmon && !a.urged() && !changed(a) && !a.History.Allowed(w.Now, w.BootID):
		return lostAgain(a, w, cause)
	case a.Service.MainPID == a.Conmon:
		return act("12a", Restarted, "lost-track", cause, restartSteps(a)...).counted()
	}
	return human("12a", "lost-track", "lost-track", cause,
		fmt.Sprintf("no second copy is started; stop the container's own process first (see: ps -p %d), then run: archy reconcile", a.Conmon))
}

// lostAgain: an app that podman loses again and again serves on, and is not restarted each time.
func lostAgain(a *App, w *World, cause string) *Verdict {
	if a.History.IsOpen() {
		return &Verdict{Row: "12a", Action: Left, State: "lost-track", Class: ClassFailed, Code: "breaker-open", Cause: cause + "; " + a.History.String(),
			Hint: "find out what takes podman's database or runtime directory away; then: archy restart " + a.ID}
	}
	return waiting("12a", "lost-track", fmt.Sprintf("%s; restarted next in %s", cause, a.History.Next(w.Now).Sub(w.Now).Round(time.Second)))
}

// settling, rows 10 and 11: what is on its way is given time.
func settling(a *App, w *World, _ Options) *Verdict {
	if a.C == nil || a.Want == WantNone {
		return nil
	}
	switch a.C.State {
	case podman.StateStopping:
		if a.Asked && a.Want != WantRunning {
			return nil // the owner waits for its end
		}
		if overran(a, w.Now) {
			return failed("10", "stopping", "stop-overran", "stop overran its grace", "see: journalctl --user -u "+a.Container)
		}
		return waiting("10", "stopping", "stopping")
	case podman.StateRemoving, podman.StateUnknown:
		if a.History.UnhealthyPasses > 0 || a.Want == WantAbsent {
			return nil // seen for more than one pass: handled as created
		}
		return waiting("11", a.C.State, "being removed")
	}
	return nil
}

// overran measures from the pass that first saw the container stopping: a stop by hand is no change of its service.
func overran(a *App, now time.Time) bool {
	since := a.History.StoppingSince
	limit := time.Duration(a.Spec.StopGrace)*time.Second + stopMargin
	thisOne := since.After(a.C.StartedAt) || a.C.StartedAt.After(now)
	return !since.IsZero() && thisOne && now.Sub(since) > limit
}

// stopRunning, rows 1 to 13 of the stopped column.
func stopRunning(a *App, w *World, _ Options) *Verdict {
	var v *Verdict
	switch {
	case a.C != nil && a.C.State == podman.StatePaused:
		v = act("9", Stopped, "stopped", "stopped by the owner", stepUnpause, stepStop)
	case a.C != nil && a.Dead:
		v = act("5", Stopped, "stopped", "its process is gone; stopped by the owner", stepStop)
	case a.Running(), !a.Legacy() && activating(a), stopping(a):
		v = act(rowOf(a, w), Stopped, "stopped", "stopped by the owner", stepStop)
	default:
		return nil
	}
	if a.Managed() && a.Guard == "" && keepsUnit(a) && a.unitDiffers() {
		v.Steps = append([]step{stepFiles, stepUnit}, v.Steps...)
	}
	return claimed(a, v)
}

// keepsUnit tells that the unit of a stopped app can be kept right: nothing that its text depends on is missing. A
// secret that is missing is made when the app is started.
func keepsUnit(a *App) bool {
	return a.Fault == nil && a.LeftBehind == nil && len(a.Fresh) == 0 && len(a.UnitText) > 0
}

// keepStopped, rows 6 to 28 of the stopped column: unit and files are kept right, nothing is started.
func keepStopped(a *App, w *World, _ Options) *Verdict {
	const by = "stopped by the owner"
	switch {
	case a.Legacy():
		return claimed(a, &Verdict{Row: rowOf(a, w), Action: NoOp, State: "stopped", Cause: by, Class: ClassOK, Drift: a.Drift})
	case a.Guard != "" && (a.unitDiffers() || a.filesDiffer()):
		return &Verdict{Row: "31", Action: NoOp, State: "stopped", Cause: by + "; " + a.Guard, Class: ClassOK}
	case a.Fault != nil:
		return left(faultRow(a.Fault), "stopped", by+"; "+a.Fault.Text, ClassOK)
	case a.LeftBehind != nil:
		return left(a.leftRow(unitRow(a)), "stopped", by+"; "+a.LeftBehind.Text, ClassOK)
	case !keepsUnit(a):
		return left("27", "stopped", by+"; "+a.Fresh[0].Name+" is made when it is started", ClassOK)
	case a.unitDiffers():
		return act(unitRow(a), Updated, "stopped", by+"; "+unitCause(a), stepFiles, stepUnit)
	case a.filesDiffer():
		return act("23", Updated, "stopped", by+"; "+fileCause(a), stepFiles)
	}
	return &Verdict{Row: rowOf(a, w), Action: NoOp, State: "stopped", Cause: by, Class: ClassOK}
}

// unitRow is the row that says why the unit of a stopped app is written.
func unitRow(a *App) string {
	switch {
	case a.C == nil && isLegacyRecord(a):
		return "22"
	case a.Unit == nil && a.Record == nil:
		return "16"
	case a.Unit == nil:
		return "15"
	case a.specOnDisk() == a.Hash:
		return "19"
	}
	return "20"
}

func unitCause(a *App) string {
	if a.Unit == nil {
		return "unit is missing"
	}
	return "unit differs: " + words(a.unitChanges())
}

// resume goes on with what a killed run left: the tables "killed at".
func resume(a *App, w *World, _ Options) *Verdict {
	if a.Record == nil || a.Record.Op == nil {
		return nil
	}
	op := a.Record.Op
	switch {
	case op.Rollback && op.Kind == state.OpReplace && (a.Force || a.Upgrading):
		return nil // the owner wants it tried again
	case op.Rollback && op.Kind == state.OpReplace && a.correctedSince(op):
		return nil // something else is wanted by now, and what was undone is no way to it
	case op.Rollback:
		return rollBackAgain(a, w)
	case a.canTurnBack() && hindered(a, w) != "":
		return turnBack(a, hindered(a, w))
	case op.Kind == state.OpMigrate:
		return act("op", Migrated, observedState(a), "an interrupted migration goes on", stepMigrate)
	case a.Running() && a.inSync() && !a.unitDiffers(), a.comesUpAs(op):
		return act("op", Recreated, observedState(a), "an interrupted replacement is verified", stepGate)
	case a.makesWayFor(op, w.Now):
		return act("op", Recreated, observedState(a), "an interrupted replacement goes on", stepPrepare, stepUnit, stepReplace)
	}
	return nil // nothing irreversible happened: the rules start over
}

// correctedSince tells that the app is described neither as the change that failed nor as what it is to go back to.
func (a *App) correctedSince(op *state.Op) bool {
	return a.Fault == nil && a.Hash != "" && a.Hash != op.NewHash && a.Hash != op.PreviousHash
}

// hasUnitOf tells that the change's unit is on the disk, and still wanted.
func (a *App) hasUnitOf(op *state.Op) bool {
	return a.Unit != nil && a.specOnDisk() == op.NewHash && op.NewHash == a.Hash
}

// makesWayFor tells that the previous container is gone or, by a restart of its service that a killed run has asked for, about to go.
func (a *App) makesWayFor(op *state.Op, now time.Time) bool {
	switch {
	case !a.hasUnitOf(op):
		return false
	case a.C == nil:
		return a.Conmon == 0
	}
	return op.Step >= 7 && a.C.State == podman.StateStopping && a.Service.ActiveState == "deactivating" && !overran(a, now)
}

// comesUpAs tells that systemd is just starting the app as the change wants it. A start that systemd tries again by itself is no
// start of the change's any more, and one of a unit that it has not read yet brings the previous version.
func (a *App) comesUpAs(op *state.Op) bool {
	return a.hasUnitOf(op) && !a.unitDiffers() && !a.Running() && activating(a) && !autoRestarting(a) && !a.Service.NeedReload
}

// canTurnBack tells that a migration was cut off before the old container was set aside: it may be stopped, and all that is needed to have
// it back is its start.
func (a *App) canTurnBack() bool {
	return a.Legacy() && a.Record != nil && a.Record.Op != nil && a.Record.Op.Kind == state.OpMigrate && !a.Record.Op.Rollback
}

// hindered is which of the checks of a migration does not pass any more.
func hindered(a *App, w *World) string {
	switch {
	case a.MigrationFault != nil:
		return a.MigrationFault.Text
	case a.Fault != nil:
		return a.Fault.Text
	case a.Guard != "":
		return a.Guard
	case a.PortHolder != "":
		return a.PortHolder
	case w.Short:
		return w.freeWords()
	case w.Images != nil && w.Images[a.Spec.Image] == "":
		return "image " + a.Spec.Image + " is absent"
	}
	return ""
}

const cannotGoOn = "an interrupted migration cannot go on: "

// turnBack starts the old container again.
func turnBack(a *App, why string) *Verdict {
	return act("op", RolledBack, observedState(a), cannotGoOn+why, stepRollBack)
}

// rollBackAgain goes on with a roll-back. One that has failed is tried again within the back-off, and a person is told
// in between.
func rollBackAgain(a *App, w *World) *Verdict {
	op := a.Record.Op
	if a.Fault == nil && a.Hash == op.PreviousHash && len(a.staleSecrets(w)) > 0 {
		// The secret that made the change fail is what it was before: podman has the other one still, of which the previous version died too.
		return act("op", RolledBack, observedState(a), "the secret is right again; the roll-back goes on: "+op.Reason, stepPrepare, stepRollBack)
	}
	open := a.History.IsOpen() && !a.History.BootAttempt(w.BootID)
	if a.urged() || !open && (a.History.IsOpen() || a.History.Due(w.Now)) {
		return act("op", RolledBack, observedState(a), "an interrupted roll-back goes on: "+op.Reason, stepRollBack)
	}
	text := fmt.Sprintf("%s, and going back failed too; next try in %s", op.Reason, a.History.Next(w.Now).Sub(w.Now).Round(time.Second))
	if open {
		text = op.Reason + ", and going back failed too; " + a.History.String()
	}
	return human("op", observedState(a), "rollback-failed", text, rollbackHint(a))
}

// rollbackHint are the commands that are left when a change could neither be made nor undone.
func rollbackHint(a *App) string {
	retry := "archy reconcile --force --container=" + a.Container
	if a.Record != nil && a.Record.Op != nil && a.Record.Op.Kind == state.OpMigrate {
		op := a.Record.Op
		retry += fmt.Sprintf(", or by hand: podman rename %s %s; podman start %s", op.OldName, op.FirstName, op.FirstName)
	}
	return fmt.Sprintf("no data was touched; look at journalctl --user -u %s, then: %s", a.Container, retry)
}

// conflict, row 33: two alternatives never share a data directory.
func conflict(a *App, w *World, _ Options) *Verdict {
	for _, other := range w.Apps {
		if !excludes(a, other) || !(other.Running() || other.installed()) {
			continue
		}
		hint := fmt.Sprintf("stop one of them: archy stop %s, or archy stop %s", a.ID, other.ID)
		switch {
		case a.Running() && other.Running():
			return human("33", "conflict", "conflict", "runs beside "+other.ID+", which shares its data", hint)
		case other.Running(), !a.Running() && other.Want == WantRunning && installedBefore(other, a), !a.Running() && isNew(a) && !isNew(other):
			return left("33", "conflict", "conflict with "+other.ID, ClassOK)
		}
	}
	return nil
}

// excludes tells that one of two apps names the other as its alternative.
func excludes(a, b *App) bool {
	names := func(x, y *App) bool { return x.Manifest != nil && slices.Contains(x.Manifest.Conflicts, y.ID) }
	return a.ID != b.ID && (names(a, b) || names(b, a))
}

// isNew tells that the app is wanted for the first time, or again. One whose manifest is broken is not.
func isNew(a *App) bool { return a.Manifest != nil && (a.Record == nil || !a.Record.Installed) }

// installedBefore orders two alternatives of which none runs: the one with a record, then the older record.
func installedBefore(a, b *App) bool {
	at := func(x *App) (time.Time, bool) {
		if x.Record == nil || !x.Record.Installed {
			return time.Time{}, false
		}
		return x.Record.InstalledAt, true
	}
	atA, hasA := at(a)
	atB, hasB := at(b)
	switch {
	case hasA != hasB:
		return hasA
	case !atA.Equal(atB):
		return atA.Before(atB)
	}
	return a.ID < b.ID
}

// claim: a container of that name without our label is adopted before anything else happens to it.
func claim(a *App, w *World, o Options) *Verdict {
	if !unclaimed(a) {
		return nil
	}
	return claimed(a, legacyContainer(a, w, o))
}

func unclaimed(a *App) bool {
	return a.Legacy() && !(isLegacyRecord(a) && a.Record.Installed)
}

// claimed puts the adoption before what a verdict does.
func claimed(a *App, v *Verdict) *Verdict {
	if !unclaimed(a) {
		return v
	}
	v.Steps = append([]step{stepAdopt}, v.Steps...)
	if v.Class == ClassOK && (v.Action == NoOp || v.Action == Left) {
		v.Action = Adopted
	}
	return v
}

// unknowable, rows 27 and 28: without its secrets the wanted container cannot be known.
func unknowable(a *App, _ *World, _ Options) *Verdict {
	if a.Fault == nil || a.Legacy() {
		return nil // an adopted container has all that it was made with
	}
	f := a.Fault
	st := f.State
	if a.Running() {
		st = observedState(a)
	}
	return &Verdict{Row: faultRow(f), Action: f.Action, State: st, Cause: f.Text, Class: f.Class, Code: f.Code, Hint: f.Hint}
}

func faultRow(f *Fault) string {
	switch f.Code {
	case "needs-config":
		return "28"
	case "secret-missing", "secret":
		return "27"
	}
	return "-"
}

// deadProcess, row 5: podman says running, the process is gone.
func deadProcess(a *App, _ *World, _ Options) *Verdict {
	if a.C == nil || !a.Dead {
		return nil
	}
	return act("5", Recreated, "dead", "podman says running, its process is gone", restartSteps(a)...).counted()
}

// restartSteps restart an app that is to come back whatever it is like, with its wanted unit unless that would not find its data.
func restartSteps(a *App) []step {
	if a.LeftBehind != nil {
		return []step{stepRestart}
	}
	return []step{stepPrepare, stepUnit, stepRestart}
}

// paused, row 9. What differs is changed at the same time, as soon as the app can be stopped in an orderly way.
func paused(a *App, w *World, o Options) *Verdict {
	if a.C == nil || a.C.State != podman.StatePaused {
		return nil
	}
	v := act("9", Unpaused, "paused", "paused", stepUnpause)
	awake, c := *a, *a.C
	c.State, awake.C = podman.StateRunning, &c
	if d := cmp.Or(forced(&awake, w, o), drifted(&awake, w, o), anew(&awake, w, o), textOnly(&awake, w, o)); d != nil && len(d.Steps) > 0 {
		v.Cause, v.Steps = cause(v.Cause, d.Cause), append(v.Steps, d.Steps...)
	}
	return v
}

// created, rows 8 and 11 for units: made and never run, as after a power cut. What systemd is just starting, or will, is left to it.
func created(a *App, w *World, o Options) *Verdict {
	switch {
	case a.C == nil || a.Running():
		return nil
	case activating(a):
		return waitedFor(waiting(rowOf(a, w), a.C.State, "its start is under way"), o)
	}
	switch a.C.State {
	case podman.StateCreated, podman.StateInitialized, podman.StateUnknown, podman.StateRemoving:
		return bringUp(a, w, o, act("8", Recreated, "created", "created but never started", stepPrepare, stepUnit, againStep(a)).counted())
	case podman.StateExited, podman.StateStopped:
		return bringUp(a, w, o, act(rowOf(a, w), Started, "exited", exitCause(a), stepPrepare, stepUnit, againStep(a)))
	}
	return nil
}

// againStep is how an app that is down is started: with a way back when its spec changes at the same time.
func againStep(a *App) step {
	if a.Unit != nil && a.specOnDisk() != a.Hash && a.Record != nil && a.Record.SpecHash != "" {
		return stepReplace
	}
	return stepRestart
}

// forced: --force recreates even if nothing differs.
func forced(a *App, w *World, o Options) *Verdict {
	if !a.Force || !a.Running() {
		return nil
	}
	return bringUp(a, w, o, act("20", Recreated, "", cause("forced", cmp.Or(words(a.unitChanges()), upgradeCause(a))), stepPrepare, stepUnit, stepReplace))
}

// drifted, rows 20, 23 and 35: the container that runs is not the one wanted.
func drifted(a *App, w *World, o Options) *Verdict {
	if !a.Running() || a.Held {
		return nil
	}
	switch {
	case !a.inSync() && onlyConfig(a):
		return bringUp(a, w, o, act("23", Restarted, "", fileCause(a), stepPrepare, stepUnit, stepReplace)).drifted(a.unitChanges())
	case !a.inSync():
		return bringUp(a, w, o, act("20", Recreated, "", cause(words(a.unitChanges()), orElse(a.unitChanges(), "made from an older unit")), stepPrepare, stepUnit, stepReplace).countedIf(!changed(a))).drifted(a.unitChanges())
	case a.filesDiffer() || pendingRestart(a):
		return bringUp(a, w, o, act("23", Restarted, "", fileCause(a), stepPrepare, stepUnit, stepRestart)).drifted(a.unitChanges())
	case a.editedUnit(w.Now):
		return bringUp(a, w, o, act("20", Recreated, "", "the container was started from a unit that somebody edited: "+words(a.unitChanges()), stepPrepare, stepUnit, stepReplace)).drifted(a.unitChanges())
	}
	return nil
}

// textOnly, rows 18 and 19: the unit is rewritten, nothing restarts. The same for a podman secret that was replaced
// or removed by hand while the container goes on with the right value.
func textOnly(a *App, w *World, _ Options) *Verdict {
	if !a.Running() {
		return nil
	}
	switch {
	case a.Unit == nil:
		return act("18", Updated, observedState(a), "unit file is gone", stepPrepare, stepUnit)
	case a.unitDiffers():
		return act("19", Updated, observedState(a), "unit text differs: "+words(a.unitChanges()), stepPrepare, stepUnit).drifted(a.unitChanges())
	case a.staleNetwork():
		return act("19", Updated, observedState(a), "unit of network "+a.Network.Name+" is missing or differs", stepPrepare)
	case len(a.staleSecrets(w)) > 0:
		return act("19", Updated, observedState(a), "podman secret differs from its file", stepPrepare)
	}
	return nil
}

// peerMoved, row 38: the app keeps the address of a peer that has another one now. A peer that flaps makes the pauses longer; the
// breaker does not count it.
func peerMoved(a *App, w *World, o Options) *Verdict {
	if !a.Running() || a.PeersChanged == "" {
		return nil
	}
	text := "the address of " + a.PeersChanged + " changed"
	if next := a.History.Next(w.Now); next.After(w.Now) && !a.History.IsOpen() && !a.unheld() {
		return waiting("38", observedState(a), fmt.Sprintf("%s; restarted next in %s", text, next.Sub(w.Now).Round(time.Second)))
	}
	return bringUp(a, w, o, act("38", Restarted, "", text, stepRestart).counted())
}

// waitedFor makes a pass with --wait wait for an app that is on its way.
func waitedFor(v *Verdict, o Options) *Verdict {
	if o.Wait || o.Boot {
		v.Steps = append(v.Steps, stepWait)
	}
	return v
}

// running, rows 1 to 4: the wanted container runs.
func running(a *App, w *World, o Options) *Verdict {
	if !a.Running() {
		return nil
	}
	if v := walletDue(a, w); v != nil {
		return v
	}
	st := observedState(a)
	switch {
	case a.C.Health == podman.HealthUnhealthy && !inStartPeriod(a, w.Now):
		return unhealthy(a, w)
	case a.C.Health == podman.HealthStarting || a.C.Health == podman.HealthUnhealthy:
		return waitedFor(waiting(rowOf(a, w), "starting", startingCause(a)), o)
	case a.Held:
		return &Verdict{Row: "35", Action: Left, State: st, Class: ClassFailed, Code: "failed-spec-held",
			Cause: "failed spec held: the changed app did not come up, the previous unit keeps running",
			Hint:  "correct the manifest, or try again: archy reconcile --force --container=" + a.Container}
	}
	v := &Verdict{Row: "1", Action: NoOp, State: st, Class: ClassOK, Cause: upgradeNote(a)}
	if hooksDue(a) {
		v.Steps = []step{stepHooks}
	}
	if bitcoinWalletDue(a) {
		v.Steps = append(v.Steps, stepWallet)
	}
	return v
}

// The patience with a failing health check of a running app, row 4.
const (
	unhealthyPasses = 3
	unhealthyFor    = 3 * time.Minute
)

func unhealthy(a *App, w *World) *Verdict {
	passes, since := a.History.UnhealthyPasses+1, time.Duration(0)
	if !a.History.UnhealthySince.IsZero() {
		since = w.Now.Sub(a.History.UnhealthySince)
	}
	switch {
	case passes < unhealthyPasses || since < unhealthyFor:
		return left("4", "unhealthy", fmt.Sprintf("health check fails since %s", since.Round(time.Second)), ClassFailed)
	case a.Tier < 3:
		return left("4", "unhealthy", "health check fails; an app of this tier is never restarted for health alone", ClassFailed)
	case a.History.IsOpen():
		return breakerOpen(a)
	case !a.History.Due(w.Now):
		return left("4", "unhealthy", fmt.Sprintf("health check fails; restarted next in %s", a.History.Next(w.Now).Sub(w.Now).Round(time.Second)), ClassFailed)
	}
	return act("4", Restarted, "unhealthy", "health check fails since "+since.Round(time.Second).String(), stepRestart).counted()
}

// down, rows 12 to 17 and 22: there is no container.
func down(a *App, w *World, o Options) *Verdict {
	if a.C != nil {
		return nil
	}
	wasLegacy := a.Record != nil && a.Record.Owner == state.Legacy
	switch {
	case autoRestarting(a) && a.History.IsOpen() && a.History.Reason == schemaReason && !a.urged() && !changed(a):
		v := breakerOpen(a)
		v.Steps = []step{stepStop} // systemd would go on trying
		return v
	case autoRestarting(a) && !a.Freed && !lacking(a, w):
		v := waiting("13", "restarting", "systemd restarts it"+exitNote(a))
		if a.Service.NRestarts <= 1 {
			v.Steps = []step{stepWait}
		}
		return v
	case activating(a) && !autoRestarting(a):
		return waitedFor(waiting("13", "starting", "its start is under way"), o)
	case startLimitHit(a) && !lacking(a, w) && !a.unheld() && !a.History.BootAttempt(w.BootID):
		return breakerOpen(a)
	case wasLegacy:
		return bringUp(a, w, o, act("22", Installed, "absent", "the adopted container has vanished", stepPrepare, stepUnit, stepStart))
	case a.Unit == nil && a.Record != nil:
		return bringUp(a, w, o, act("15", Installed, "absent", "container and unit are missing", stepPrepare, stepUnit, stepStart))
	case a.Unit == nil && a.By == state.ByCreateMissing:
		return bringUp(a, w, o, act("17", Installed, "absent", newCause(a), stepPrepare, stepUnit, stepStart))
	case a.Unit == nil:
		return bringUp(a, w, o, act("16", Installed, "absent", newCause(a), stepPrepare, stepUnit, stepStart))
	case againStep(a) == stepReplace:
		return bringUp(a, w, o, act("20", Recreated, "stopped", "not running, and "+words(a.unitChanges()), stepPrepare, stepUnit, stepReplace))
	}
	how := stepStart
	if a.Service.ActiveState == "active" || autoRestarting(a) {
		how = stepRestart // systemd believes in a container that is not there, or waits to try again: a start would do nothing
	}
	return bringUp(a, w, o, act("12", Started, "stopped", "not running"+exitNote(a), stepPrepare, stepUnit, how))
}

// lacking tells that a start of the app must be prepared, or that something speaks against one: systemd, which tries again with
// what is there or has given up, does not get it up (rows 13 and 14).
func lacking(a *App, w *World) bool {
	absent := a.Network != nil && w.Networks != nil && !w.Networks[a.Network.Name] || a.staleNetwork()
	unfit := a.GateUnmet != "" || a.Guard != "" || a.Twin != "" || a.PortHolder != "" || blockedBy(a, w) != ""
	return unfit || absent || a.unitDiffers() || a.filesDiffer() || w.lacksImage(a) || len(a.Dirs)+len(a.Fresh)+len(a.staleSecrets(w)) > 0
}

// bringUp asks everything that must hold before an app is touched; rows 25 to 33. A running app keeps running.
func bringUp(a *App, w *World, o Options, v *Verdict) *Verdict {
	st := observedState(a)
	up := a.Running()
	switch {
	case a.GateUnmet != "" && !up:
		return left("29", "needs-config", a.GateUnmet, ClassNeedsConfig)
	case blockedBy(a, w) != "" && !up:
		return &Verdict{Row: "30", Action: Blocked, State: "blocked", Cause: "needs an archival node", Class: ClassBlocked}
	case a.LeftBehind != nil:
		return human(v.Row, st, a.LeftBehind.Code, a.LeftBehind.Text, a.LeftBehind.Hint)
	case a.Guard != "":
		return human("31", st, "data-format", a.Guard, guardHint(a))
	case a.NoSpace != "" && !up:
		return failed("-", st, "space", a.NoSpace, "make room below the data directory, then run: archy reconcile")
	case a.Twin != "" && !up:
		return human("12a", st, "second-copy", "container "+a.Twin+" runs over its data: no second copy is started",
			"stop that container, or remove it, then run: archy reconcile")
	case a.PortHolder != "":
		return failed("32", st, "port", a.PortHolder, "stop that process or give the app another port in a local manifest")
	case a.History.IsOpen() && !a.unheld() && !a.History.BootAttempt(w.BootID):
		return breakerOpen(a)
	case !up && !a.unheld() && !a.History.IsOpen() && !a.History.Due(w.Now):
		next := a.History.Next(w.Now)
		return waiting("7", "backing off", fmt.Sprintf("next try in %s%s", next.Sub(w.Now).Round(time.Second), exitNote(a)))
	case up && v.Row == "20" && !a.urged() && !changed(a) && a.History.Attempts(w.Now) >= state.BreakerEvents:
		return left("25", st, fmt.Sprintf("recreated %d times in 30 minutes and it still differs: %s", state.BreakerEvents, v.Cause), ClassFailed)
	case w.noImage(a, o):
		return imageMissing(a, o, st, up)
	}
	return v
}

func guardHint(a *App) string {
	if a.Upgrading && !a.Downgrade && strings.Contains(a.Guard, "lower version") {
		return "nothing was changed; if the older version can read the data of the newer one, give --allow-downgrade"
	}
	return "nothing was started; restore the version that made the data, or restore data for this version"
}

// unheld tells that what failed before holds the app no more.
func (a *App) unheld() bool { return a.urged() || a.Freed || changed(a) }

// changed tells that the breaker must not hold the app: it is described in another way than the one that was tried last, or
// that it runs with.
func changed(a *App) bool {
	last := ""
	if a.Record != nil {
		last = a.Record.SpecHash
	}
	if !a.Running() {
		last = cmp.Or(a.History.Tried, last)
	}
	return last != "" && last != a.Hash && !a.Held && !a.Legacy()
}

func imageMissing(a *App, o Options, st string, up bool) *Verdict {
	text := "image " + a.Spec.Image + " is absent and must not be pulled"
	hint := "it is neither pulled with --no-pull nor with pull_policy: never"
	if why, tried := o.Absent[a.Spec.Image]; tried {
		text, hint = why, "check the reference and the network, then run: archy reconcile"
	}
	if up {
		return left("26", st, text, ClassOK)
	}
	return failed("26", st, "image", text, hint)
}

// breakerIsOpen is the code of an app that archy or systemd has given up.
const breakerIsOpen = "breaker-open"

// breakerOpen, rows 14 and 25.
func breakerOpen(a *App) *Verdict {
	row, cause := "25", a.History.String()
	if !a.History.IsOpen() {
		row, cause = "14", "systemd gave up: too many starts in 30 minutes"
	}
	return &Verdict{Row: row, Action: Left, State: "failed", Class: ClassFailed, Code: breakerIsOpen, Cause: cause + exitNote(a),
		Hint: "look at: archy logs " + a.ID + "; then: archy start " + a.ID}
}

// blockedBy names the pruned bitcoin that an archival app would need, or that something would which the app cannot do without.
func blockedBy(a *App, w *World) string {
	for _, n := range a.Needs {
		b := w.app(n.App)
		switch {
		case b == nil:
		case n.Condition == manifest.Archival && b.Mode != nil && !b.Archival:
			return b.ID
		case !b.Running():
			if id := blockedBy(b, w); id != "" {
				return id
			}
		}
	}
	return ""
}

func words(list []Drift) string {
	out := make([]string, 0, len(list))
	for _, d := range list {
		out = append(out, d.String())
	}
	return strings.Join(out, ", ")
}

// String is a drift in words: memory 268435456 -> 536870912.
func (d Drift) String() string {
	switch {
	case d.Have == "" && d.Want == "":
		return d.Dimension
	case d.Have == "":
		return d.Dimension + " +" + d.Want
	case d.Want == "":
		return d.Dimension + " -" + d.Have
	}
	return d.Dimension + " " + d.Have + " -> " + d.Want
}
