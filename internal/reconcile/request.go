package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/state"
)

// The verbs of a Request.
const (
	VerbInstall = "install"
	VerbStart   = "start"
	VerbStop    = "stop"
	VerbRestart = "restart"
	VerbRemove  = "remove"
	VerbUpgrade = "upgrade"
)

// Request is what the owner asks for with a verb.
type Request struct {
	Verb string
	// Apps are ids, All stands for every installed app that has an upgrade.
	Apps []string
	All  bool
	// Cascade takes the apps along that need those of a stop or removal, WithDeps those that a start needs.
	Cascade, WithDeps bool
	NoStart           bool
	// DropMounts are targets of a container that is gone, or that the manifest has changed, which an installation or a start may leave out.
	DropMounts []string
	// DropDisks are mount points that the apps of an installation or a start need no more.
	DropDisks []string
	// Purge moves the data of the removed apps to the trash.
	Purge bool
	// To is the reference of an upgrade, "" for the manifest's.
	To             string
	AllowDowngrade bool
}

// Refusal is a request that cannot be meant: nothing was done.
type Refusal struct{ Text, Hint string }

func (e *Refusal) Error() string { return e.Text }

func refuse(hint, format string, args ...any) *Refusal {
	return &Refusal{fmt.Sprintf(format, args...), hint}
}

// needWait is how long a start waits for an app that is needed and still starting.
const needWait = 36 * 5 * time.Second

// Options turns the request into those of a pass over the apps that it concerns, and tells what the owner should know.
// It is pure: w is the node as it is.
func (q Request) Options(w *World) (o Options, warnings []string, err error) {
	o = Options{Owner: true, Wait: true, Await: needWait}
	r := requested{w, q}
	switch q.Verb {
	case VerbInstall:
		err = r.install(&o)
	case VerbStart:
		err = r.start(&o)
	case VerbStop:
		warnings = r.stop(&o)
	case VerbRestart:
		err = r.restart(&o)
	case VerbRemove:
		err = r.remove(&o)
	case VerbUpgrade:
		warnings, err = r.upgrade(&o)
	default:
		err = refuse("", "no verb is called %q", q.Verb)
	}
	return o, warnings, err
}

// requested is a request on a node.
type requested struct {
	w *World
	Request
}

func (r requested) app(id string) *App { return r.w.app(id) }

// installedOnly refuses apps that are not there.
func (r requested) installedOnly(ids []string) error {
	for _, id := range ids {
		if a := r.app(id); a == nil || !a.installed() {
			return refuse("archy install "+id, "%s is not installed", id)
		}
	}
	return nil
}

func (r requested) start(o *Options) error {
	if err := r.installedOnly(r.Apps); err != nil {
		return err
	}
	o.Only = slices.Clone(r.Apps)
	if r.WithDeps {
		o.Only = r.withNeeds(o.Only, func(d *App) bool { return d.Want == WantStopped || d.Want == WantRunning && !d.Running() })
	}
	o.Start, o.DropMounts, o.DropDisks = o.Only, r.DropMounts, r.DropDisks
	return nil
}

// withNeeds adds what the apps need, directly or not, as far as ok takes it.
func (r requested) withNeeds(ids []string, ok func(*App) bool) []string {
	ids = slices.Clone(ids)
	for i := 0; i < len(ids); i++ {
		for _, n := range r.app(ids[i]).Needs {
			if d := r.app(n.App); d != nil && ok(d) && !slices.Contains(ids, d.ID) {
				ids = append(ids, d.ID)
			}
		}
	}
	return ids
}

func (r requested) stop(o *Options) (warnings []string) {
	o.Only = slices.Clone(r.Apps)
	sufferers := r.withDependants(o.Only, func(b *App) bool { return b.Want == WantRunning })
	if r.Cascade {
		o.Only = sufferers
	} else if rest := sufferers[len(r.Apps):]; len(rest) > 0 {
		warnings = append(warnings, fmt.Sprintf("%s will suffer: %s without %s; --cascade stops what needs it first",
			strings.Join(rest, ", "), doOrDoes(len(rest)), strings.Join(r.Apps, ", ")))
	}
	o.Stop = o.Only
	return warnings
}

func doOrDoes(n int) string {
	if n == 1 {
		return "it does not work"
	}
	return "they do not work"
}

// withDependants adds the apps that need those, directly or not, as far as ok takes them.
func (r requested) withDependants(ids []string, ok func(*App) bool) []string {
	ids = slices.Clone(ids)
	for i := 0; i < len(ids); i++ {
		a := r.app(ids[i])
		if a == nil {
			continue
		}
		for _, id := range dependants(r.w, a, ok) {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

func (r requested) restart(o *Options) error {
	if err := r.installedOnly(r.Apps); err != nil {
		return err
	}
	for _, id := range r.Apps {
		if r.app(id).Want == WantStopped {
			return refuse("archy start "+id, "%s is stopped by the owner", id)
		}
	}
	o.Only, o.Restart = r.Apps, r.Apps
	return nil
}

// remove takes the pages of an app along: they came with it and show nothing else.
func (r requested) remove(o *Options) error {
	if err := r.refuseOrphans(); err != nil {
		return err
	}
	gone := r.withPages(r.Apps)
	all := r.withDependants(gone, (*App).installed)
	if r.Cascade {
		gone = r.withPages(all)
	} else if rest := all[len(gone):]; len(rest) > 0 {
		return refuse("archy remove --cascade "+strings.Join(r.Apps, " ")+" removes them too",
			"%s is needed by apps that are installed: %s", strings.Join(r.Apps, ", "), strings.Join(rest, ", "))
	}
	o.Only, o.Remove, o.RemoveWith = gone, gone, map[string]string{}
	for _, id := range gone {
		if whose := r.follows(r.app(id), gone); whose != "" && !slices.Contains(r.Apps, id) {
			o.RemoveWith[id] = whose
		}
	}
	if r.Purge {
		o.Purge = r.Apps
	}
	return nil
}

// withPages adds the installed companions of the apps.
func (r requested) withPages(ids []string) []string {
	ids = slices.Clone(ids)
	for _, b := range r.w.Apps {
		if b.installed() && r.follows(b, ids) != "" && !slices.Contains(ids, b.ID) {
			ids = append(ids, b.ID)
		}
	}
	return ids
}

// follows is that one of those whose page the app is, itself or as an alternative; "": of none.
func (r requested) follows(b *App, ids []string) string {
	if b.Manifest == nil || b.Manifest.Follows == "" {
		return ""
	}
	first := r.app(b.Manifest.Follows)
	for _, id := range ids {
		if a := r.app(id); a != nil && (id == b.Manifest.Follows || first != nil && excludes(a, first) && !first.installed()) {
			return id
		}
	}
	return ""
}

// mayFollow tells that a page comes with its app: it was never there, or it was removed with an app and not for itself.
func mayFollow(b *App) bool {
	return b.Want == WantNone || b.Want == WantAbsent && b.Record != nil && b.Record.RemovedWith != ""
}

// install wants the apps, what they need and does not run yet, and the pages of all that is new.
func (r requested) install(o *Options) error {
	if err := r.conflicts(); err != nil {
		return err
	}
	o.Install = map[string]string{}
	for _, id := range r.Apps {
		o.Install[id] = state.ByInstall
	}
	ids := r.newNeeds(o, r.Apps)
	for _, b := range r.w.Apps {
		if mayFollow(b) && r.follows(b, ids) != "" && o.Install[b.ID] == "" {
			o.Install[b.ID] = state.ByCompanion
			ids = append(ids, b.ID)
		}
	}
	ids = r.newNeeds(o, ids)
	o.Only, o.Start, o.DropMounts, o.DropDisks = ids, ids, r.DropMounts, r.DropDisks
	if r.NoStart {
		o.Start = nil
		o.Stop = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return r.app(id).Want == WantRunning })
	}
	return nil
}

// newNeeds adds what the apps need and is not installed; the owner's removal of such an app is forgotten.
func (r requested) newNeeds(o *Options, ids []string) []string {
	ids = r.withNeeds(ids, func(d *App) bool { return !d.installed() && !r.met(d) })
	for _, id := range ids {
		if o.Install[id] == "" {
			o.Install[id] = state.ByDependency
		}
	}
	return ids
}

// met tells that an alternative to the app is installed with the same command.
func (r requested) met(d *App) bool {
	return slices.ContainsFunc(r.Apps, func(id string) bool { return excludes(r.app(id), d) })
}

// conflicts refuses two alternatives: they never share their data.
func (r requested) conflicts() error {
	for _, id := range r.Apps {
		for _, b := range r.w.Apps {
			if (b.installed() || slices.Contains(r.Apps, b.ID)) && !r.app(id).installed() && excludes(r.app(id), b) {
				return refuse("archy remove "+b.ID, "%s and %s cannot both be installed", id, b.ID)
			}
		}
	}
	return nil
}

// upgrade pins another image: of the apps named, or of all that the manifests have a newer one for. All leaves those
// out that need a decision.
func (r requested) upgrade(o *Options) (warnings []string, err error) {
	if err := r.installedOnly(r.Apps); err != nil {
		return nil, err
	}
	o.Upgrade, o.AllowDowngrade = map[string]string{}, r.AllowDowngrade
	ids := slices.Clone(r.Apps)
	for _, a := range r.w.Apps {
		switch {
		case !r.All || a.Upgrade == "" || !a.installed():
		case a.UpgradeBlocked != "" && !(r.AllowDowngrade && strings.HasPrefix(a.UpgradeBlocked, "a lower")):
			warnings = append(warnings, fmt.Sprintf("%s is left out: %s is %s; archy upgrade %s does it", a.ID, a.Upgrade, a.UpgradeBlocked, a.ID))
		default:
			ids = append(ids, a.ID)
		}
	}
	for _, id := range ids {
		to, err := r.target(r.app(id))
		if err != nil {
			return warnings, err
		}
		o.Upgrade[id] = to
	}
	o.Only = ids
	return warnings, nil
}

// target is the reference that --to means: a whole one, or another tag of the image that the app has.
func (r requested) target(a *App) (string, error) {
	switch {
	case r.To == "":
		return "", nil
	case a.Manifest == nil || a.Manifest.Container.Image == "":
		return "", refuse("", "%s is built on this node and has no image to choose", a.ID)
	case strings.ContainsAny(r.To, "/:@"):
		return r.To, nil
	}
	have := a.Manifest.Container.Image
	if a.Record != nil && a.Record.Image != "" && a.Record.Owner == state.Quadlet {
		have = a.Record.Image
	}
	return repository(have) + ":" + r.To, nil
}
