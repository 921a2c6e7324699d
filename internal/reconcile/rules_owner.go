package reconcile

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// The rules that a command of the owner adds to those of a pass.

// urged tells that neither breaker nor back-off holds the app: somebody has asked for it by name.
func (a *App) urged() bool { return a.Force || a.Asked }

// triesAgain tells that a held spec is tried once more: by --force, a start, an installation or an upgrade. A stop must not put it in the place
// of the unit that works, nor --force while the app is to be stopped: nothing is started then that could be undone. A restart is of what runs.
func (a *App) triesAgain() bool {
	return a.Upgrading || a.Want == WantRunning && (a.Force || a.Asked && !a.Anew)
}

// stopping tells that the owner waits for the end of an app that is being stopped already.
func stopping(a *App) bool {
	return a.Asked && (a.C != nil && a.C.State == "stopping" || a.C == nil && a.Service.ActiveState == "deactivating")
}

// anew: the owner asks for a restart of an app that runs as it should.
func anew(a *App, w *World, o Options) *Verdict {
	if !a.Anew || !a.Running() {
		return nil
	}
	return bringUp(a, w, o, act(rowOf(a, w), Restarted, "", "restart asked for", stepPrepare, stepUnit, stepRestart)).drifted(a.unitChanges())
}

// notStarted: an app that the owner wants stopped is installed or gets another image all the same. Everything is made
// ready, the image first, and nothing is started.
func notStarted(a *App, w *World, o Options) *Verdict {
	const by = "stopped by the owner"
	switch {
	case !a.New && !a.Upgrading:
		return nil
	case a.Legacy():
		return failed("21", "stopped", "adopted", by+"; an adopted container is upgraded by moving it to a unit, which starts it", "first: archy start "+a.ID)
	case a.Fault != nil:
		return unknowable(a, w, o)
	case a.Upgrading && !a.unitDiffers():
		return nil
	case a.New:
		return bringReady(a, w, o, act(rowOf(a, w), Installed, "stopped", "installed and not started", stepPrepare, stepUnit))
	}
	return bringReady(a, w, o, act("20", Updated, "stopped", cause(by, words(a.unitChanges())), stepPrepare, stepUnit)).drifted(a.unitChanges())
}

// bringReady asks what bringUp asks, except for what only a start needs.
func bringReady(a *App, w *World, o Options, v *Verdict) *Verdict {
	switch {
	case a.LeftBehind != nil:
		return human(a.leftRow(v.Row), "stopped", a.LeftBehind.Code, a.LeftBehind.Text, a.LeftBehind.Hint)
	case a.Guard != "":
		return human("31", "stopped", "data-format", a.Guard, guardHint(a))
	case a.NoSpace != "":
		return failed("-", "stopped", "space", a.NoSpace, "make room below the data directory")
	case w.noImage(a, o):
		return imageMissing(a, o, "stopped", false)
	}
	return v
}

// notThere: who asks for an app by name gets an answer also when there is none. Row 17.
func notThere(a *App, w *World, o Options) *Verdict {
	switch {
	case a.Asked:
		return &Verdict{Row: rowOf(a, w), Action: NoOp, State: "absent", Cause: "not installed", Class: ClassOK}
	case slices.Contains(o.Only, a.ID):
		return left("17", "absent", "not installed; archy install "+a.ID+" installs it", ClassOK)
	}
	return nil
}

// needed: nothing is taken away that an installed app needs, also if that app was installed a moment ago.
func needed(a *App, w *World, _ Options) *Verdict {
	if !a.Removing {
		return nil
	}
	if list := dependants(w, a, func(b *App) bool { return b.installed() && !b.Removing }); len(list) > 0 {
		return failed("-", observedState(a), "needed", "needed by "+strings.Join(list, ", "), "archy remove "+a.ID+" --cascade, or remove them first")
	}
	return nil
}

// onlyInItself: a removal keeps data, and those that an adopted container has in itself would go with it.
func onlyInItself(a *App, w *World, _ Options) *Verdict {
	if !a.Removing || a.InItself == nil {
		return nil
	}
	return human(rowOf(a, w), observedState(a), a.InItself.Code, "the container has data in itself that would go with it: "+a.InItself.Text,
		fmt.Sprintf("copy them, or take the container away yourself: archy stop %[1]s; podman rm %[2]s; then: archy remove %[1]s", a.ID, a.liveName()))
}

// installed tells that the app is on the node, whether it runs or not.
func (a *App) installed() bool { return !a.Nowhere && (a.Want == WantRunning || a.Want == WantStopped) }

// dependants are the ids of the apps that directly need this one and for which ok holds, in the order of starts.
func dependants(w *World, a *App, ok func(*App) bool) []string {
	var list []string
	for _, b := range w.Apps {
		if b.ID != a.ID && ok(b) && slices.ContainsFunc(b.Needs, func(n Need) bool { return n.App == a.ID }) {
			list = append(list, b.ID)
		}
	}
	return list
}

// takeAway removes an app, or says that it is not there.
func takeAway(a *App, w *World) *Verdict {
	const by = "removed by the owner"
	v := act(rowOf(a, w), Removed, "absent", by)
	switch {
	case a.remembered() || a.C != nil || a.Unit != nil || a.ghost() || len(a.podmanSecrets(w)) > 0:
		v.Steps = append(v.Steps, stepRemove)
	case len(a.Data) == 0:
		return &Verdict{Row: rowOf(a, w), Action: NoOp, State: "absent", Cause: cause("not installed", a.sharedNote(), a.leftNote()), Class: ClassOK}
	}
	if len(a.Data) > 0 {
		v.Steps = append(v.Steps, stepPurge)
	}
	v.Cause = cause(v.Cause, a.sharedNote(), a.leftNote())
	return v
}

// ghost tells that systemd still has the service of a unit that is gone: a removal was cut off before its daemon-reload.
func (a *App) ghost() bool {
	return a.Unit == nil && a.Service.LoadState == "loaded" && path.Base(a.Service.SourcePath) == a.Container+".container"
}

func (a *App) sharedNote() string {
	if len(a.Shared) == 0 {
		return ""
	}
	return strings.Join(a.Shared, ", ") + " stays: another app has its data there too"
}

func (a *App) leftNote() string {
	if len(a.DataLeft) == 0 {
		return ""
	}
	return "data that stay: " + strings.Join(a.DataLeft, ", ")
}

// remembered tells that the app would come back if its removal were not written down.
func (a *App) remembered() bool {
	if a.Record != nil && !a.Record.Installed && !a.Record.RemovedAt.IsZero() {
		return false
	}
	return a.Record != nil && a.Record.Installed || a.Manifest != nil && !a.Manifest.Optional
}

// podmanSecrets are the secrets that archy has given podman for the app.
func (a *App) podmanSecrets(w *World) []string {
	var list []string
	for _, name := range sortedKeys(w.Secrets) {
		if strings.HasPrefix(name, "archy."+a.ID+".") && w.Secrets[name] != "" {
			list = append(list, name)
		}
	}
	return list
}
