package reconcile

import (
	"os"
	"path"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/quadlet"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

const orphaned = "no manifest describes it any more"

// Orphan is an app of archy's without a manifest: it can be removed like one whose manifest is broken, and nothing else.
func Orphan(id string) []manifest.Finding {
	return []manifest.Finding{{File: id, Severity: manifest.Error, Message: orphaned}}
}

// isOrphan tells that the app is named in a command although there is no manifest of it.
func (a *App) isOrphan() bool {
	return a.Manifest == nil && len(a.Broken) == 1 && a.Broken[0].Message == orphaned
}

// OrphanOf is the id of the app of archy's that has this id or container, by its unit, its container or its record; "" for a name that
// is none of these.
func OrphanOf(l node.Layout, records map[string]state.Record, list []podman.Container, name string) string {
	for container, id := range unitsOf(l, nil) {
		if name == id || name == container {
			return id
		}
	}
	for _, c := range list {
		if id := c.Labels[spec.LabelApp]; id != "" && c.Labels[spec.LabelManaged] == "true" && (name == id || name == c.Name) {
			return id
		}
	}
	for id, r := range records {
		if (name == id || name == r.Container) && r.Installed && r.Owner == state.Quadlet {
			return id
		}
	}
	return ""
}

// unitsOf are the apps of the units that archy wrote, by container; those of known containers are not read.
func unitsOf(l node.Layout, known map[string]bool) map[string]string {
	out := map[string]string{}
	files, _ := os.ReadDir(l.Host(l.UnitDir()))
	for _, f := range files {
		container, ok := strings.CutSuffix(f.Name(), ".container")
		if !ok || known[container] {
			continue
		}
		text, err := os.ReadFile(l.Host(path.Join(l.UnitDir(), f.Name())))
		if id, ours := quadlet.App(text); err == nil && ours {
			out[container] = id
		}
	}
	return out
}

// containerWithout is what the container of an app is called whose manifest cannot be read.
func (ob *observation) containerWithout(id string) string {
	if r, ok := ob.records[id]; ok && r.Container != "" {
		return r.Container
	}
	units := unitsOf(ob.Layout, nil)
	for _, container := range sortedKeys(units) {
		if units[container] == id {
			return container
		}
	}
	for _, name := range sortedKeys(ob.containers) {
		if c := ob.containers[name]; c.Labels[spec.LabelManaged] == "true" && c.Labels[spec.LabelApp] == id {
			return name
		}
	}
	return id
}

// orphanUnits adds the units of archy's that no app knows, and that have no container now.
func (ob *observation) orphanUnits(ours map[string]bool) {
	for _, container := range sortedKeys(unitsOf(ob.Layout, ours)) {
		if !slices.Contains(ob.w.Orphans, container) {
			ob.w.Orphans = append(ob.w.Orphans, container)
		}
	}
	slices.Sort(ob.w.Orphans)
}

// refuseOrphans: of an app without a manifest nobody knows which data are its own.
func (r requested) refuseOrphans() error {
	for _, id := range r.Apps {
		if a := r.app(id); a != nil && a.isOrphan() && r.Purge {
			return refuse("archy remove "+id+" leaves them where they are", "no manifest says which data are those of %s", id)
		}
	}
	return nil
}
