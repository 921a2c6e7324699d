package manifest

import (
	"fmt"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/nearest"
)

// crossCheck applies the rules between apps and sorts them into usable and broken.
type crossCheck struct {
	set    *Set
	docs   []*document
	closed bool
}

// run works on all documents that could be read at all, so that one pass finds everything; what is
// broken by itself keeps no other app from running.
func (x *crossCheck) run() {
	broken := map[*document]bool{}
	for _, doc := range x.docs {
		broken[doc] = doc.broken()
	}
	x.duplicates(broken)
	for i, a := range x.docs {
		for _, b := range x.docs[:i] {
			if a.app.ID != "" && a.app.ID != b.app.ID && !conflict(a.app, b.app) {
				x.compare(b, a, broken)
			}
		}
	}
	x.sortOut()
	for _, doc := range x.docs {
		x.references(doc)
	}
	x.cycles()
	x.sortOut()
	x.spread()
}

// conflict tells whether one of two apps says that they are never installed together.
func conflict(a, b *App) bool {
	return slices.Contains(a.Conflicts, b.ID) || slices.Contains(b.Conflicts, a.ID)
}

// blame says which of two clashing apps fail: the one that is broken anyway, else the owner's, because
// what was shipped was tested together, else both.
func blame(a, b *document, broken map[*document]bool) []*document {
	switch {
	case broken[a] != broken[b] && broken[a], broken[a] == broken[b] && a.local && !b.local:
		return []*document{a}
	case broken[a] != broken[b] && broken[b], broken[a] == broken[b] && b.local && !a.local:
		return []*document{b}
	}
	return []*document{a, b}
}

// duplicates finds ids that two files claim. Within a directory the folders' names keep ids apart.
func (x *crossCheck) duplicates(broken map[*document]bool) {
	first := map[string]*document{}
	for _, doc := range x.docs {
		id := doc.app.ID
		if id == "" {
			continue
		}
		other, twice := first[id]
		if !twice {
			first[id] = doc
			continue
		}
		for _, d := range blame(other, doc, broken) {
			peer := other
			if d == other {
				peer = doc
			}
			d.add(Finding{Field: "app.id", Severity: Error, Message: fmt.Sprintf("%s is also the id of %s", id, peer.file), Hint: "rename one of the two"})
		}
	}
}

// compare looks for what two apps cannot both have.
func (x *crossCheck) compare(a, b *document, broken map[*document]bool) {
	if unit := a.app.Unit(); unit != "" && unit == b.app.Unit() {
		x.clash(a, b, broken, nameField(a), nameField(b), "the container name "+unit)
	}
	for i, p := range a.app.Ports {
		for j, q := range b.app.Ports {
			if p.clashes(q) {
				x.clash(a, b, broken, fmt.Sprintf("app.ports[%d].host", i), fmt.Sprintf("app.ports[%d].host", j), "port "+p.String())
			}
		}
	}
	x.compareData(a, b, broken)
	foreignFiles(a, b)
	foreignFiles(b, a)
}

func nameField(doc *document) string {
	if doc.app.ContainerName != "" {
		return "app.container_name"
	}
	return "app.id"
}

// compareData finds a directory that two apps write to, or that lies in one that the other writes to.
// Reading another app's directory is no claim.
func (x *crossCheck) compareData(a, b *document, broken map[*document]bool) {
	for i, v := range a.app.Volumes {
		for j, w := range b.app.Volumes {
			if v.Type != Bind || w.Type != Bind || v.ReadOnly() || w.ReadOnly() || !overlap(v.Source, w.Source) {
				continue
			}
			x.clash(a, b, broken, fmt.Sprintf("app.volumes[%d].source", i), fmt.Sprintf("app.volumes[%d].source", j), "the data in "+longer(v.Source, w.Source))
		}
	}
}

// foreignFiles finds files that a would write into data of b's, which it may only read.
func foreignFiles(a, b *document) {
	for i, f := range a.app.Files {
		file, ok := a.app.HostPath(f.Path)
		if !ok || slices.ContainsFunc(a.app.Claims(), func(dir string) bool { return overlap(file, dir) }) {
			continue
		}
		if slices.ContainsFunc(b.app.Claims(), func(dir string) bool { return overlap(file, dir) }) {
			a.add(Finding{
				Field: fmt.Sprintf("app.files[%d].path", i), Severity: Error,
				Message: quote(f.Path) + " lies in the data of " + b.app.ID, Hint: "put it into a bind of the app's own",
			})
		}
	}
}

func overlap(a, b string) bool {
	return a != "" && b != "" && (a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/"))
}

func longer(a, b string) string {
	if len(a) > len(b) {
		return a
	}
	return b
}

// clash reports that two apps claim one thing.
func (x *crossCheck) clash(a, b *document, broken map[*document]bool, fieldA, fieldB, what string) {
	for _, doc := range blame(a, b, broken) {
		field, other, otherField := fieldA, b, fieldB
		if doc == b {
			field, other, otherField = fieldB, a, fieldA
		}
		doc.add(Finding{
			Field: field, Severity: Error,
			Message: fmt.Sprintf("%s is also claimed by %s (%s:%d)", what, other.app.ID, other.file, other.line(otherField)),
			Hint:    "change one of the two, or declare the conflict",
		})
	}
}

// sortOut fills the set from the documents.
func (x *crossCheck) sortOut() {
	clear(x.set.Apps)
	clear(x.set.Broken)
	for _, doc := range x.docs {
		x.set.docs[doc.id] = doc
		if doc.broken() {
			x.set.Broken[doc.id] = errorsOf(doc)
		} else {
			x.set.Apps[doc.id] = doc.app
		}
	}
}

func errorsOf(doc *document) (out []Finding) {
	for _, f := range doc.findings {
		if f.Severity == Error && !f.tolerable {
			out = append(out, f)
		}
	}
	return sortFindings(out)
}

// known tells whether an app of that id exists, usable or not.
func (x *crossCheck) known(id string) bool {
	_, ok := x.set.docs[id]
	return ok || !x.closed
}

// references checks the apps that one app names.
func (x *crossCheck) references(doc *document) {
	a := doc.app
	for i, d := range a.Dependencies {
		field := fmt.Sprintf("app.dependencies[%d]", i)
		switch {
		case d.AppID == "":
		case !x.known(d.AppID):
			x.unknownApp(doc, field, d.AppID)
		default:
			x.version(doc, field, d)
		}
	}
	if a.Follows != "" && !x.known(a.Follows) {
		x.unknownApp(doc, "app.follows", a.Follows)
	}
	for i, id := range a.Container.RestartOnPeerChange {
		if id != "" && !x.known(id) {
			x.unknownApp(doc, fmt.Sprintf("app.container.restart_on_peer_change[%d]", i), id)
		}
	}
	for i, id := range a.Conflicts {
		// A conflict with an app that a node does not have is no news, a slip of the pen is.
		if near := x.near(id); !x.known(id) && near != "" {
			doc.add(Finding{Field: fmt.Sprintf("app.conflicts[%d]", i), Severity: Warning, Message: "there is no app " + id, Hint: "did you mean " + near + "?"})
		}
	}
}

func (x *crossCheck) unknownApp(doc *document, field, id string) {
	f := Finding{Field: field, Severity: Error, Message: "there is no app " + id, Hint: "add its manifest, or remove this"}
	if near := x.near(id); near != "" {
		f.Hint = "did you mean " + near + "?"
	}
	doc.add(f)
}

func (x *crossCheck) near(id string) string {
	var ids []string
	for _, doc := range x.docs {
		ids = append(ids, doc.id)
	}
	return nearest.Name(id, ids)
}

// version compares a constraint with the version of the app, or of an alternative to it.
func (x *crossCheck) version(doc *document, field string, d Dependency) {
	if d.Version == "" || doc.failed[field+".version"] {
		return
	}
	var seen []string
	for _, id := range append([]string{d.AppID}, x.set.Alternatives(d.AppID)...) {
		other, ok := x.set.docs[id]
		if !ok || other.app.Version == "" {
			return
		}
		met, known := satisfies(other.app.Version, d.Version)
		if met {
			return
		}
		if !known {
			doc.add(Finding{Field: field + ".version", Severity: Warning, Message: fmt.Sprintf("%s cannot be compared with version %s of %s", d.Version, quote(other.app.Version), id)})
			return
		}
		seen = append(seen, id+" is "+other.app.Version)
	}
	doc.add(Finding{Field: field + ".version", Severity: Error, Message: fmt.Sprintf("%s is not met: %s", d.Version, strings.Join(seen, ", ")), Hint: "change the constraint, or the other manifest"})
}

// cycles finds apps that wait for themselves, through dependencies or through follows.
func (x *crossCheck) cycles() {
	x.cycle("app.dependencies", "depends on itself: ", func(doc *document) []string {
		var ids []string
		for _, d := range doc.app.Dependencies {
			ids = append(ids, d.AppID)
			ids = append(ids, x.set.Alternatives(d.AppID)...)
		}
		return ids
	})
	x.cycle("app.follows", "follows itself: ", func(doc *document) []string { return []string{doc.app.Follows} })
}

// cycle reports, for every app on one, the shortest way back to itself.
func (x *crossCheck) cycle(field, what string, next func(*document) []string) {
	for _, doc := range x.docs {
		if way := x.wayBack(doc, next); way != nil {
			f := Finding{Field: field, Severity: Error, Message: what + strings.Join(way, " -> "), Hint: "remove one of these steps"}
			f.Line = x.lineOfEdge(doc, field, way[1])
			doc.add(f)
		}
	}
}

// lineOfEdge is where doc names the next app of a cycle.
func (x *crossCheck) lineOfEdge(doc *document, field, next string) int {
	for i, d := range doc.app.Dependencies {
		if field == "app.dependencies" && (d.AppID == next || slices.Contains(x.set.Alternatives(d.AppID), next)) {
			return doc.line(fmt.Sprintf("%s[%d]", field, i))
		}
	}
	return doc.line(field)
}

// wayBack searches breadth first from an app to itself.
func (x *crossCheck) wayBack(start *document, next func(*document) []string) []string {
	from := map[string]string{}
	queue := []string{start.id}
	for len(queue) > 0 {
		id := queue[0]
		queue = queue[1:]
		doc, ok := x.set.docs[id]
		if !ok {
			continue
		}
		for _, n := range next(doc) {
			if n == start.id {
				return wayTo(from, start.id, id)
			}
			if _, seen := from[n]; !seen && n != "" {
				from[n] = id
				queue = append(queue, n)
			}
		}
	}
	return nil
}

// wayTo is start -> ... -> last -> start.
func wayTo(from map[string]string, start, last string) []string {
	way := []string{start}
	for id := last; id != start; id = from[id] {
		way = append(way, id)
	}
	way = append(way, start)
	slices.Reverse(way)
	return way
}

// spread breaks the apps that need a broken one, until nothing changes. A dependency that has a usable
// alternative still stands. An app that is broken anyway is told as well; on a cycle all are, and were told.
func (x *crossCheck) spread() {
	for changed := true; changed; {
		changed = false
		for _, doc := range x.docs {
			if doc.failed["app.dependencies"] || !x.brokenBy(doc) {
				continue
			}
			_, usable := x.set.Apps[doc.id]
			changed = changed || usable
			delete(x.set.Apps, doc.id)
			x.set.Broken[doc.id] = errorsOf(doc)
		}
	}
}

func (x *crossCheck) brokenBy(doc *document) (broken bool) {
	for i, d := range doc.app.Dependencies {
		if d.AppID == "" || x.anyUsable(d.AppID) || x.set.docs[d.AppID] == nil {
			continue
		}
		broken = true
		doc.add(Finding{
			Field: fmt.Sprintf("app.dependencies[%d]", i), Severity: Error,
			Message: fmt.Sprintf("needs %s, whose manifest is broken", d.AppID),
			Hint:    "correct " + x.set.docs[d.AppID].file,
		})
	}
	return broken
}

func (x *crossCheck) anyUsable(id string) bool {
	for _, one := range append([]string{id}, x.set.Alternatives(id)...) {
		if _, ok := x.set.Apps[one]; ok {
			return true
		}
	}
	return false
}
