package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"git.tx1138.com/lfg2025/archy/bench/fleet"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// answers is what the played podman says when it is asked.
type answers struct {
	Containers []podman.Container
	Secrets    []podman.Secret
}

const answersFile = "podman.json"

// layout is the node below dir. It has no service user of its own: whoever runs this is the one.
func layout(dir string) (node.Layout, node.Config, node.User) {
	cfg := node.Default()
	user := node.DefaultUser(cfg.ServiceUser)
	user.UID, user.GID = os.Getuid(), os.Getgid()
	return node.NewLayout(dir, cfg, user), cfg, user
}

// empty plays a podman without containers, images and networks, as it is before the first pass.
type empty struct{ engine }

func (empty) Images(context.Context) (map[string]podman.Image, error) { return nil, nil }
func (empty) Networks(context.Context) ([]podman.Network, error)      { return nil, nil }

// observer reads the node below dir.
func observer(dir string, e reconcile.Engine) (*reconcile.Observer, node.Layout, error) {
	l, cfg, user := layout(dir)
	set, findings := manifest.LoadFrom(manifest.Source{Prefix: l.Host(l.ManifestDir)}, manifest.Source{Prefix: l.Host(l.LocalManifestDir), Local: true})
	if len(findings) > 0 {
		return nil, l, errors.New(findings[0].String())
	}
	facts := node.Facts{MemTotal: 8 << 30, DataDisk: 2e12, DataFree: 1e12, Cores: 4, UID: user.UID, GID: user.GID, TimeZone: "UTC", HostMDNS: "node.local",
		SubUID: node.SubRange{Start: 100000, Count: 65536}, SubGID: node.SubRange{Start: 100000, Count: 65536},
		Delegated: node.Controllers{CPU: true, Memory: true, Pids: true}, BootID: "boot"}
	store := &secrets.Store{Dir: l.Host(l.Secrets()), UID: user.UID, GID: user.GID}
	return &reconcile.Observer{Engine: e, Units: units{}, State: state.New(l), Secrets: store, Set: set, Layout: l,
		Config: cfg, Facts: facts, Random: rand.Reader, Now: time.Now}, l, nil
}

// makeWorld lays out a node whose apps are all as they should be: archy itself says how that is.
func makeWorld(ctx context.Context, dir string, n int) error {
	l, _, _ := layout(dir)
	list := fleet.New(n)
	if err := fleet.Write(l.Host(l.ManifestDir), list); err != nil {
		return err
	}
	for _, d := range []string{l.UnitDir(), l.Secrets(), l.State("apps"), l.LockDir, l.LocalManifestDir} {
		if err := os.MkdirAll(l.Host(d), 0o700); err != nil {
			return err
		}
	}
	for _, a := range list {
		if err := errors.Join(makeApp(l, a), os.WriteFile(filepath.Join(l.Host(l.Secrets()), a.Secret), []byte("00112233445566778899aabbccddeeff"), 0o600)); err != nil {
			return err
		}
	}
	o, _, err := observer(dir, empty{})
	if err != nil {
		return err
	}
	w, err := o.Observe(ctx)
	if err != nil {
		return err
	}
	return converge(l, w)
}

// makeApp keeps the app as installed and gives it its data directory, and a process in /proc.
func makeApp(l node.Layout, a fleet.App) error {
	record := state.Record{App: a.ID, Container: a.ID, Owner: state.Quadlet, Installed: true, InstalledAt: time.Now(), By: state.ByInstall, Image: a.Image}
	return errors.Join(state.New(l).WriteRecord(record), os.MkdirAll(l.Host(a.Data), 0o755))
}

// converge writes the units that are wanted and what podman would say of the containers that they make.
func converge(l node.Layout, w *reconcile.World) error {
	disk := reconcile.NodeDisk{Layout: l}
	var a answers
	for i, app := range w.Apps {
		if app.Fault != nil {
			return fmt.Errorf("%s: %s", app.ID, app.Fault.Text)
		}
		if err := writeUnits(disk, app); err != nil {
			return err
		}
		pid := 1000 + i
		if err := os.MkdirAll(l.Host(fmt.Sprintf("/proc/%d", pid)), 0o755); err != nil {
			return err
		}
		a.Containers = append(a.Containers, podman.Container{ID: fmt.Sprintf("%064x", i+1), Name: app.Container, Image: app.Spec.Image, State: podman.StateRunning,
			Health: podman.HealthHealthy, Pid: pid, Created: w.Now.Add(-2 * time.Hour), StartedAt: w.Now.Add(-2 * time.Hour), AutoRemove: true,
			Networks: []string{app.Spec.Network}, Labels: map[string]string{spec.LabelManaged: "true", spec.LabelApp: app.ID, spec.LabelSpecHash: app.Hash}})
		for _, s := range app.Spec.Secrets {
			label := secrets.SecretEnvHash(app.ID, map[string]secrets.Value{s.Key: s.Value})
			a.Secrets = append(a.Secrets, podman.Secret{Name: s.Secret, Labels: map[string]string{spec.LabelSecretEnvHash: label}})
		}
	}
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return os.WriteFile(l.Host("/"+answersFile), data, 0o644)
}

// writeUnits writes the app's unit and that of its network.
func writeUnits(disk reconcile.NodeDisk, app *reconcile.App) error {
	if app.Network != nil {
		if err := disk.WriteNetworkUnit(*app.Network); err != nil {
			return err
		}
	}
	_, err := disk.WriteUnit(app.Container, app.UnitText)
	return err
}

func readAnswers(dir string) (answers, error) {
	var a answers
	data, err := os.ReadFile(filepath.Join(dir, answersFile))
	if errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("%s: no node here, run: growth make", dir)
	}
	if err == nil {
		err = json.Unmarshal(data, &a)
	}
	return a, err
}
