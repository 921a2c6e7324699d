package chaos

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/test/node"
)

// dataDir is the node's data directory.
const dataDir = "/var/lib/archipelago"

// App is one app of a group, as far as chaos needs to know it.
type App struct {
	ID, Container, Image string
	Tier                 int
	Grace                time.Duration
	// Probe: podman can ask it whether it works.
	Probe bool
	// Data is the first directory that is its own; empty when it keeps nothing.
	Data string
	// Secrets are its podman secrets, by the variable that they fill.
	Secrets []string
	// SecretFiles are the files that they are made of; Rotatable are those whose value is in nobody's data and that are no hash.
	SecretFiles, Rotatable []string
	// Ports are its TCP ports on the host, Pages what answers there over HTTP.
	Ports []int
	Pages []page
	// mountsSecret: it reads a secret as a file, from a podman secret that goes with the app.
	mountsSecret bool
	// turn is its place in the order of starts, from 1.
	turn int
	// needs are the apps of the group that it stands on or whose address it keeps.
	needs []string
}

// page is an interface of an app that speaks HTTP; one for people is its user interface.
type page struct {
	url       string
	forPeople bool
}

// Fleet is a group of apps that run together on one node.
type Fleet []App

// Groups are the sets of apps that share a node: all that do not exclude one another, the apps of a short run, one of each tier, and
// the other bitcoin with what needs only that.
func Groups() []string { return []string{"all", "ten", "five", "core"} }

// NewFleet reads the apps of a group from the shipped manifests.
func NewFleet(group string) (Fleet, error) {
	set, findings := manifest.LoadFS(apps.FS, "apps")
	if manifest.HasErrors(findings) {
		return nil, fmt.Errorf("the shipped manifests: %v", findings)
	}
	ids, err := members(set, group)
	if err != nil {
		return nil, err
	}
	in := func(id string) bool { return slices.Contains(ids, id) }
	var fleet Fleet
	for _, id := range set.Order() {
		if in(id) {
			a := newApp(set, id, in)
			a.turn = len(fleet) + 1
			fleet = append(fleet, a)
		}
	}
	return fleet, nil
}

func members(set *manifest.Set, group string) ([]string, error) {
	switch group {
	case "all":
		return slices.DeleteFunc(set.Order(), func(id string) bool { return id == "bitcoin-core" }), nil
	case "ten":
		return append(node.Ten(), "vaultwarden"), nil
	case "five":
		return []string{"archy-mempool-db", "bitcoin-knots", "lnd", "vaultwarden", "bitcoin-ui"}, nil
	case "core":
		return []string{"bitcoin-core", "lnd", "electrumx", "bitcoin-ui", "lnd-ui", "filebrowser"}, nil
	}
	return nil, fmt.Errorf("no group %q: there are %s", group, strings.Join(Groups(), ", "))
}

func newApp(set *manifest.Set, id string, in func(string) bool) App {
	m := set.Apps[id]
	a := App{ID: id, Container: m.Unit(), Image: m.Container.Image, Tier: m.Tier(), Probe: m.HealthCheck != nil,
		Grace: time.Duration(m.StopGrace()) * time.Second}
	a.readSecrets(m)
	a.readPorts(m)
	for _, path := range m.Claims() {
		if strings.HasPrefix(path, dataDir) && !strings.Contains(path, "/secrets/") && filepath.Ext(path) == "" && a.Data == "" {
			a.Data = path
		}
	}
	for _, need := range set.Needs(id) {
		a.needs = append(a.needs, set.Provider(need.AppID, in))
	}
	for _, peer := range m.Container.RestartOnPeerChange {
		a.needs = append(a.needs, set.Provider(peer, in))
	}
	return a
}

// IDs are the apps' names.
func (f Fleet) IDs() []string {
	var ids []string
	for _, a := range f {
		ids = append(ids, a.ID)
	}
	return ids
}

func (f Fleet) has(id string) bool {
	_, ok := f.Get(id)
	return ok
}

// Get is an app by its name, or by its container's.
func (f Fleet) Get(name string) (App, bool) {
	i := slices.IndexFunc(f, func(a App) bool { return a.ID == name || a.Container == name })
	if i < 0 {
		return App{}, false
	}
	return f[i], true
}

// Downstream are the containers of these apps and of all that stand on them: who may restart when these do.
func (f Fleet) Downstream(hit ...App) []string {
	var ids, names []string
	for _, a := range hit {
		ids = append(ids, a.ID)
	}
	for _, a := range f { // in the order of their starts: one sweep reaches everything
		if slices.Contains(ids, a.ID) || slices.ContainsFunc(a.needs, func(n string) bool { return slices.Contains(ids, n) }) {
			ids, names = append(ids, a.ID), append(names, a.Container)
		}
	}
	return names
}

func (a *App) readSecrets(m *manifest.App) {
	a.mountsSecret = len(m.Container.SecretMounts) > 0
	for _, s := range m.Container.SecretEnv {
		if s.Optional {
			continue
		}
		if s.Passed() {
			a.Secrets = append(a.Secrets, s.Key)
		}
		a.SecretFiles = append(a.SecretFiles, s.SecretFile)
		if !strings.Contains(s.SecretFile, "-db-") && !strings.HasSuffix(s.SecretFile, "-hash") {
			a.Rotatable = append(a.Rotatable, s.SecretFile)
		}
	}
}

func (a *App) readPorts(m *manifest.App) {
	for _, p := range m.Ports {
		if p.Protocol == "tcp" {
			a.Ports = append(a.Ports, p.Host)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Interfaces)) {
		if i := m.Interfaces[name]; i.Protocol == "http" || i.Type == "ui" {
			a.Pages = append(a.Pages, page{fmt.Sprintf("%s://127.0.0.1:%d%s", i.Protocol, i.Port, i.Path), i.Type == "ui"})
		}
	}
}
