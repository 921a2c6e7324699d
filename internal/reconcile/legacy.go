package reconcile

import (
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/quadlet"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// legacyContainer decides on an adopted container: rows 5 to 9 and 21. It is kept alive and never changed for being
// different; only an explicit migration touches it.
func legacyContainer(a *App, w *World, o Options) *Verdict {
	if !a.Legacy() {
		return nil
	}
	v := legacyVerdict(a, w, o)
	if f := a.goesAtItsEnd(); f != nil && slices.Contains(v.Steps, stepLegacy) {
		v = human(v.Row, observedState(a), f.Code, cause(v.Cause, f.Text), f.Hint).drifted(a.Drift)
	}
	if a.unitInTheWay() && !slices.Contains(v.Steps, stepMigrate) {
		v.Steps = append([]step{stepDropUnit}, v.Steps...)
		v.Cause = cause(v.Cause, "archy's unit of it would take its place at its next start")
		if v.Action == NoOp && !unclaimed(a) {
			v.Action = Updated
		}
	}
	return v
}

// unitInTheWay tells that somebody has made a container in the place of a unit of archy's that is down: systemd starts that one at the next boot, or within five
// minutes where it waits to try again, and podman removes for it whatever has its name, with all that it has in itself.
func (a *App) unitInTheWay() bool {
	if a.Unit == nil || a.C.AutoRemove || a.C.Name != a.Container || a.Record != nil && a.Record.Op != nil {
		return false
	}
	id, ours := quadlet.App(a.Unit.Content)
	return ours && id == a.ID && (a.Service.ActiveState == "inactive" || a.Service.ActiveState == "failed" || autoRestarting(a))
}

func legacyVerdict(a *App, w *World, o Options) *Verdict {
	drift := a.Drift
	switch {
	case o.Migrate || a.Force || a.Upgrading:
		return migration(a, w, o)
	case (a.Dead || neverStarted(a)) && a.beyondScope(w):
		return migration(a, w, o)
	case a.Dead:
		return bringUp(a, w, o, act("5", Started, "dead", "podman says running, its process is gone", stepLegacy).counted()).drifted(drift)
	case a.C.State == podman.StatePaused && a.Anew:
		return bringUp(a, w, o, act("9", Restarted, "paused", "paused, restart asked for", stepUnpause, stepFiles, stepLegacy)).drifted(drift)
	case a.C.State == podman.StatePaused:
		return act("9", Unpaused, "paused", "paused", stepUnpause).drifted(drift)
	case neverStarted(a):
		return bringUp(a, w, o, act("8", Started, "created", "created but never started", stepLegacy)).drifted(drift)
	case !a.Running():
		return bringUp(a, w, o, act(rowOf(a, w), Started, "exited", exitCause(a), stepLegacy)).drifted(drift)
	case a.Anew:
		return bringUp(a, w, o, act(rowOf(a, w), Restarted, "", "restart asked for", stepFiles, stepLegacy)).drifted(drift)
	case a.filesDiffer() || (a.Record != nil && a.Record.PendingRestart != ""):
		return bringUp(a, w, o, act("23", Restarted, "", fileCause(a), stepFiles, stepLegacy)).drifted(drift)
	case a.C.Health == podman.HealthUnhealthy && !inStartPeriod(a, w.Now):
		return legacyUnhealthy(a, w).drifted(drift)
	}
	if v := walletDue(a, w); v != nil {
		return v.drifted(drift)
	}
	if a.C.Health != "" && a.C.Health != podman.HealthHealthy {
		return waiting(rowOf(a, w), "starting", startingCause(a)).drifted(drift)
	}
	row := "21"
	if len(drift) == 0 {
		row = "1"
	}
	return &Verdict{Row: row, Action: NoOp, State: observedState(a), Class: ClassOK, Cause: adoptedCause(drift), Drift: drift}
}

func neverStarted(a *App) bool {
	return a.C.State == podman.StateCreated || a.C.State == podman.StateInitialized
}

// beyondScope tells that podman could not start the dead or unfinished container, rows 5 and 8: nothing of it runs, so
// a unit over the same data is the way on. What speaks against a migration is left to its owner.
func (a *App) beyondScope(w *World) bool {
	return a.History.Last(w.Now) == state.EventScopeFailed && a.MigrationFault == nil && a.Fault == nil
}

func legacyUnhealthy(a *App, w *World) *Verdict {
	v := unhealthy(a, w)
	for i, s := range v.Steps {
		if s == stepRestart {
			v.Steps[i] = stepLegacy
		}
	}
	return v
}

func adoptedCause(drift []Drift) string {
	if len(drift) == 0 {
		return "adopted"
	}
	return "adopted, " + plural(len(drift), "drift")
}

// migration is planned only when everything that could go wrong has been looked at.
func migration(a *App, w *World, o Options) *Verdict {
	if a.MigrationFault != nil {
		f := a.MigrationFault
		return human("21", observedState(a), f.Code, f.Text, f.Hint).drifted(a.Drift)
	}
	if a.Fault != nil {
		f := a.Fault
		return human("27", observedState(a), f.Code, f.Text, f.Hint).drifted(a.Drift)
	}
	names := make([]string, len(a.Drift))
	for i, d := range a.Drift {
		names[i] = d.Dimension
	}
	return bringUp(a, w, o, act("21", Migrated, "", cause("to a unit", strings.Join(names, " ")), stepMigrate)).drifted(a.Drift)
}
