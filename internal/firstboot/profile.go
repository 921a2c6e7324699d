package firstboot

import (
	"fmt"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
)

// Selection is what a first boot is to make.
type Selection struct {
	// Profile is core, full or apps.
	Profile string
	// Apps are all of them, each after those that it needs; those beside the profile that they need are among them.
	Apps []string
	// Notes say what was left out, and why.
	Notes []string
}

// Chooser resolves a profile, or a list of apps, into the apps to make.
type Chooser struct {
	Set *manifest.Set
	// Present tells that an app is on the node already: by its record or its container.
	Present func(id string) bool
	// Removed tells that the owner removed the app.
	Removed func(id string) bool
	// Archival tells that the node keeps, or will keep, the whole chain.
	Archival bool
}

// ProfileApps is the profile of an explicit list.
const ProfileApps = "apps"

// Choose resolves the list, or without one the profile. The ids of the list are known ones.
func (c Chooser) Choose(profile string, list []string) (Selection, error) {
	s := Selection{Profile: profile}
	chosen := map[string]bool{}
	if len(list) > 0 {
		s.Profile = ProfileApps
		for _, id := range list {
			chosen[id] = true
		}
	} else {
		c.profile(&s, chosen)
	}
	c.complete(chosen)
	if err := c.conflicts(chosen); err != nil {
		return Selection{}, err
	}
	c.prune(&s, chosen)
	for _, id := range c.Set.Order() {
		if chosen[id] {
			s.Apps = append(s.Apps, id)
		}
	}
	return s, nil
}

func (c Chooser) profile(s *Selection, chosen map[string]bool) {
	for id, app := range c.Set.Apps {
		if !slices.Contains(app.Profiles, s.Profile) {
			continue
		}
		switch other := c.alternative(id); {
		case other != "":
			chosen[other] = true
			s.Notes = append(s.Notes, fmt.Sprintf("%s is kept in place of %s", other, id))
		case c.Removed(id):
			s.Notes = append(s.Notes, fmt.Sprintf("%s was removed by the owner and stays away; archy install %s brings it back", id, id))
		default:
			chosen[id] = true
		}
	}
	slices.Sort(s.Notes)
}

// alternative is the app that is on the node in place of one that is not.
func (c Chooser) alternative(id string) string {
	if c.Present(id) {
		return ""
	}
	for _, other := range c.Set.Alternatives(id) {
		if _, usable := c.Set.Apps[other]; usable && c.Present(other) {
			return other
		}
	}
	return ""
}

// complete adds what the chosen apps need.
func (c Chooser) complete(chosen map[string]bool) {
	for grown := true; grown; {
		grown = false
		for id := range chosen {
			for _, d := range c.Set.Needs(id) {
				provider := c.Set.Provider(d.AppID, func(id string) bool { return chosen[id] || c.Present(id) })
				if _, known := c.Set.Apps[provider]; known && !chosen[provider] {
					chosen[provider], grown = true, true
				}
			}
		}
	}
}

func (c Chooser) conflicts(chosen map[string]bool) error {
	ids := c.Set.Order()
	for i, a := range ids {
		for _, b := range ids[i+1:] {
			if chosen[a] && chosen[b] && c.Set.InConflict(a, b) {
				return fmt.Errorf("%s and %s cannot be on one node", a, b)
			}
		}
	}
	return nil
}

// prune leaves out what a pruned chain cannot serve, what stands on that, and the databases that nobody is left for.
func (c Chooser) prune(s *Selection, chosen map[string]bool) {
	if c.Archival {
		return
	}
	out := map[string]bool{}
	for _, id := range c.Set.Order() { // needs come before those that have them
		if chosen[id] && slices.ContainsFunc(c.Set.Needs(id), func(d manifest.Dependency) bool {
			return d.Condition == manifest.Archival || out[d.AppID]
		}) {
			out[id] = true
			delete(chosen, id)
		}
	}
	for _, id := range c.Set.Order() {
		if chosen[id] && c.Set.Apps[id].Tier() == 0 && c.onlyFor(id, out, chosen) {
			out[id] = true
			delete(chosen, id)
		}
	}
	if len(out) > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("left out, they need the whole chain and this node prunes it: %s", strings.Join(sorted(out), ", ")))
	}
}

// onlyFor tells that an app serves some that are left out and none that is chosen.
func (c Chooser) onlyFor(id string, out, chosen map[string]bool) bool {
	serves := false
	for _, d := range c.Set.Dependents(id) {
		if chosen[d] {
			return false
		}
		serves = serves || out[d]
	}
	return serves
}

func sorted(set map[string]bool) []string {
	var list []string
	for id := range set {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}
