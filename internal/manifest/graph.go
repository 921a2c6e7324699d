package manifest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Alternatives lists the apps that stand in for id: those that declare the conflict with it, as it does
// with them, and that write to the same data. A dependency on one is met by the other.
func (s *Set) Alternatives(id string) []string {
	doc, ok := s.docs[id]
	if !ok {
		return nil
	}
	var out []string
	for _, other := range doc.app.Conflicts {
		peer, ok := s.docs[other]
		if ok && other != id && slices.Contains(peer.app.Conflicts, id) && shareData(doc.app, peer.app) && !slices.Contains(out, other) {
			out = append(out, other)
		}
	}
	slices.Sort(out)
	return out
}

func shareData(a, b *App) bool {
	for _, mine := range a.Claims() {
		for _, theirs := range b.Claims() {
			if overlap(mine, theirs) {
				return true
			}
		}
	}
	return false
}

// Meets tells whether an app satisfies a dependency on need: it is that app or an alternative to it.
func (s *Set) Meets(id, need string) bool {
	return id == need || slices.Contains(s.Alternatives(need), id)
}

// StandsFor tells whether an app, which may be broken, meets a dependency on need or rules need out: of a manifest that cannot be
// read, what the other one says of the two must do.
func (s *Set) StandsFor(id, need string) bool {
	if s.Meets(id, need) {
		return true
	}
	app, ok := s.Apps[need]
	return ok && slices.Contains(app.Conflicts, id)
}

// Provider is the app that meets a dependency on need: need itself when it is chosen, else the first
// alternative that is, else need. chosen tells which apps are installed, or are to be.
func (s *Set) Provider(need string, chosen func(id string) bool) string {
	for _, id := range append([]string{need}, s.Alternatives(need)...) {
		if chosen(id) {
			return id
		}
	}
	return need
}

// InConflict tells whether two apps are never installed together.
func (s *Set) InConflict(a, b string) bool {
	one, ok1 := s.Apps[a]
	two, ok2 := s.Apps[b]
	return ok1 && ok2 && conflict(one, two)
}

// Needs lists the apps that an app depends on, in the order of its manifest, which may be broken; storage is left out.
func (s *Set) Needs(id string) []Dependency {
	doc, ok := s.docs[id]
	if !ok {
		return nil
	}
	var out []Dependency
	for _, d := range doc.app.Dependencies {
		if d.AppID != "" {
			out = append(out, d)
		}
	}
	return out
}

// Dependents lists the apps that directly depend on an app or on an alternative to it, sorted.
func (s *Set) Dependents(id string) []string {
	var out []string
	for _, other := range s.ids() {
		if slices.ContainsFunc(s.Needs(other), func(d Dependency) bool { return s.Meets(id, d.AppID) }) {
			out = append(out, other)
		}
	}
	return out
}

// Levels orders apps so that each stands on a later level than those among ids that it depends on. Within
// a level the order is by tier, then by id. Ids that are not usable are left out.
func (s *Set) Levels(ids []string) [][]string {
	wait := s.waits(ids)
	var levels [][]string
	for len(wait) > 0 {
		level := ready(wait)
		if len(level) == 0 { // a cycle, which loading has refused
			level = slices.Collect(maps.Keys(wait))
		}
		for _, id := range level {
			delete(wait, id)
		}
		slices.SortFunc(level, s.compare)
		levels = append(levels, level)
	}
	return levels
}

// Order lists all usable apps, each after those that it depends on, and otherwise by tier, then by id.
func (s *Set) Order() []string {
	wait := s.waits(s.ids())
	order := make([]string, 0, len(wait))
	for len(wait) > 0 {
		next := ready(wait)
		if len(next) == 0 {
			next = slices.Collect(maps.Keys(wait))
		}
		first := slices.MinFunc(next, s.compare)
		delete(wait, first)
		order = append(order, first)
	}
	return order
}

// waits maps each usable id to those among ids that must stand before it.
func (s *Set) waits(ids []string) map[string][]string {
	wait := make(map[string][]string, len(ids))
	for _, id := range ids {
		if _, ok := s.Apps[id]; !ok {
			continue
		}
		wait[id] = nil
		for _, d := range s.Needs(id) {
			wait[id] = append(wait[id], d.AppID)
			wait[id] = append(wait[id], s.Alternatives(d.AppID)...)
		}
	}
	return wait
}

// ready lists the ids that wait for none of the others.
func ready(wait map[string][]string) []string {
	var out []string
	for id, before := range wait {
		blocked := slices.ContainsFunc(before, func(b string) bool { _, waits := wait[b]; return waits })
		if !blocked {
			out = append(out, id)
		}
	}
	return out
}

func (s *Set) compare(a, b string) int {
	return cmp.Or(cmp.Compare(s.Apps[a].Tier(), s.Apps[b].Tier()), strings.Compare(a, b))
}
