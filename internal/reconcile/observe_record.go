package reconcile

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// restore makes up the records that are lost, or cut short, from the units that archy wrote for their apps: an app with a unit of
// archy's is installed. What a newer archy wrote, and what cannot be opened, may be whole: it is left to an owner who installs the app. Nothing is
// known to be lost in a directory that cannot be listed.
func (ob *observation) restore(problems []state.Problem) {
	ob.lost, ob.unread = map[string]bool{}, map[string]state.Problem{}
	for _, p := range problems {
		if p.App == "" {
			return
		}
		ob.unread[p.App] = p
	}
	for id, app := range ob.Set.Apps {
		_, found := ob.records[id]
		_, asked := ob.Options.Install[id]
		if p, unread := ob.unread[id]; found || unread && !p.Damaged() && !asked {
			continue
		}
		if r, ok := ob.recordOf(app); ok {
			ob.records[id], ob.lost[id] = r, true
		}
	}
}

// recordOf is what an app's unit says that its record said.
func (ob *observation) recordOf(app *manifest.App) (state.Record, bool) {
	unit := ob.unitText(app)
	info, err := os.Stat(ob.Layout.Host(ob.Layout.Unit(app.Unit())))
	if unit == nil || err != nil {
		return state.Record{}, false
	}
	r := state.Record{Schema: state.Schema, App: app.ID, Container: app.Unit(), Owner: state.Quadlet, Installed: true, By: state.ByAdopt,
		InstalledAt: info.ModTime().UTC(), UnitDigests: []string{digest(unit)}, SpecHash: labelIn(unit, spec.LabelSpecHash), Disks: assertedDisks(unit)}
	if app.Container.Image != "" {
		r.Image = unitValue(unit, "Image")
	}
	r.Pinned = state.Pinned{Volumes: unitVolumes(app, unit), ExtraPorts: unitPorts(app, unit), Env: databaseNames(app, unitEnv(unit))}
	if user := unitValue(unit, "User"); user != app.Security.User {
		r.Pinned.User = user
	}
	return r, true
}

// unitValues are the values of a directive that archy writes as one word.
func unitValues(unit []byte, key string) (list []string) {
	for line := range strings.Lines(string(unit)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			list = append(list, value)
		}
	}
	return list
}

func unitValue(unit []byte, key string) string {
	if list := unitValues(unit, key); len(list) > 0 {
		return list[0]
	}
	return ""
}

// unitEnv are the variables of the container with simple values, as the names of databases are.
func unitEnv(unit []byte) map[string]string {
	env := map[string]string{}
	for _, value := range unitValues(unit, "Environment") {
		name, text, ok := strings.Cut(strings.Trim(value, `"`), "=")
		if ok && !strings.ContainsAny(text, ` "'\%$`) {
			env[name] = text
		}
	}
	return env
}

// unitPorts are the ports that a unit publishes and the manifest does not.
func unitPorts(app *manifest.App, unit []byte) (list []state.PinnedPort) {
	for _, value := range unitValues(unit, "PublishPort") {
		text, protocol, named := strings.Cut(value, "/")
		if !named {
			protocol = "tcp"
		}
		rest, container, ok1 := cutLast(text, ":")
		ip, host, ok2 := cutLast(rest, ":")
		if !ok2 {
			ip, host = "", rest
		}
		h, err1 := strconv.Atoi(host)
		c, err2 := strconv.Atoi(container)
		if !ok1 || err1 != nil || err2 != nil || slices.ContainsFunc(app.Ports, func(p manifest.Port) bool { return p.Host == h && p.Protocol == protocol }) {
			continue
		}
		list = append(list, state.PinnedPort{HostIP: strings.Trim(ip, "[]"), Host: h, Container: c, Protocol: protocol})
	}
	return list
}

func cutLast(text, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(text, sep); i >= 0 {
		return text[:i], text[i+len(sep):], true
	}
	return text, "", false
}

// recorded puts the writing of a lost record before what a verdict does.
func recorded(a *App, v *Verdict) *Verdict {
	if v == nil || !a.RecordLost || !a.installed() {
		return v
	}
	v.Steps = append([]step{stepAdopt}, v.Steps...)
	if v.Class == ClassOK && v.Action == NoOp {
		v.Action, v.Cause = Adopted, lostRecord
	}
	return v
}

const lostRecord = "its record was lost, and is made anew from its unit"

func adoptionCause(a *App) string {
	if a.RecordLost {
		return lostRecord
	}
	return "made by something else, claimed by its name"
}
