package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/images"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/nearest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/stage"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
	"git.tx1138.com/lfg2025/archy/internal/wallet"
)

// connected is a node whose podman and user manager answer.
type connected struct {
	*env
	Engine  *ahead
	Systemd *systemd.Manager
}

// connect asks for the user bus, unless that was done ahead; podman is asked by the first call of a pass.
func (e *env) connect(ctx context.Context) (*connected, error) {
	a := e.asked
	if a == nil {
		a = e.askLater(ctx)
	}
	units, err := a.units()
	if errors.Is(err, systemd.ErrNoUserBus) {
		return nil, &exitError{exitFailed, "user-bus-unreachable", err, "loginctl enable-linger " + e.User.Name + "; systemctl start user@" + fmt.Sprint(e.User.UID)}
	}
	if err != nil {
		return nil, err
	}
	return &connected{e, a, units}, nil
}

func (c *connected) close() { c.Engine.close() }

// pass puts a pass together from the node.
func (c *connected) pass(o reconcile.Options) *reconcile.Pass {
	store := c.secrets()
	cli := c.cliOfPodman()
	prober := stage.Prober{Password: func() (secrets.Value, error) { return store.Read("bitcoin-rpc-password") }}
	stages := c.stages(prober, cli)
	if o.MaxParallel == 0 {
		o.MaxParallel = c.Config.Reconcile.MaxParallel
	}
	disk := reconcile.NodeDisk{Layout: c.Layout, Facts: c.Facts, Mapped: cli, Runner: command.Exec{}, Contexts: c.buildContext, Now: time.Now}
	return &reconcile.Pass{
		Version: version, Locks: c.Locks, Intent: c.State,
		Room: c.State, Vacuum: vacuumJournal, Sound: c.sound, Renew: c.renew, Modes: store, Last: c.lastPass,
		Diary: state.Diary{Store: c.State, Locks: c.Locks, Command: c.command, Now: time.Now},
		Observer: reconcile.Observer{Engine: c.Engine, Units: c.Systemd, State: c.State, Secrets: store, Mapped: cli, Set: c.Set,
			Layout: c.Layout, Config: c.Config, Facts: c.Facts, Options: o, Contexts: c.buildContext, Stage: stages, AskHost: askHost, Random: rand.Reader, Now: time.Now},
		Applier: reconcile.Applier{Engine: c.Engine, Units: c.Systemd, Disk: disk, Legacy: cli, Secrets: reconcile.SecretStore{Store: store},
			Locks: c.Locks, Records: c.State, Mirrors: c.mirrors(), Offline: c.Layout.Host(c.Config.Images.OfflineDir), Free: c.dataFree, Stage: stages, Wallets: c.wallets(prober, cli), AskHost: askHost, Names: c.nameServer(), Now: time.Now, Options: o, Report: c.reported},
	}
}

// stages asks the apps how far they are. An lnd that is ready has its admin.macaroon too: what needs it unlocked reads that
// file at its start.
func (e *env) stages(prober stage.Prober, mapped wallet.Mapped) func(context.Context, *reconcile.App) reconcile.Stage {
	reader := wallet.Reader{Mapped: mapped, Runner: command.Exec{}}
	return func(ctx context.Context, a *reconcile.App) reconcile.Stage {
		s := prober.Probe(ctx, a.ID, published(a))
		if a.ID == lndApp && s.Ready && !wallet.HasMacaroon(ctx, reader, e.Layout.Host(a.DataDir(e.Layout.DataDir))) {
			return reconcile.Stage{Text: "without admin.macaroon"}
		}
		return reconcile.Stage{Text: s.Text, Ready: s.Ready}
	}
}

// vacuumJournal makes room on a full disk.
func vacuumJournal(ctx context.Context) error {
	_, err := command.Exec{}.Run(ctx, command.Cmd{Argv: []string{"sudo", "-n", "journalctl", "--vacuum-size=100M"}, Limit: 30 * time.Second})
	return err
}

// nameServer lets the name server of podman's networks forget what is gone.
func (e *env) nameServer() reconcile.Names {
	h, _ := e.healer()
	return h
}

// pauseFile holds the pid of the process that keeps podman's user namespace.
func (e *env) pauseFile() string {
	return filepath.Join(e.Layout.Host(e.Layout.RuntimeDir), "libpod/tmp/pause.pid")
}

// cliOfPodman runs the podman commands that its API does not have.
func (c *connected) cliOfPodman() podman.CLI {
	return podman.CLI{Runner: command.Exec{}, Pause: c.pauseFile()}
}

// published maps the ports of an app's container to those of the host.
func published(a *reconcile.App) map[int]int {
	ports := map[int]int{}
	if a.C != nil {
		for _, p := range a.C.Ports {
			ports[p.ContainerPort] = p.HostPort
		}
	}
	return ports
}

func askHost(ctx context.Context, h *spec.Health) bool {
	return stage.AskHost(ctx, h.HostHTTP, h.Status)
}

func (c *connected) mirrors() []images.Mirror {
	var list []images.Mirror
	for _, m := range c.Config.Images.Mirrors {
		list = append(list, images.Mirror{Location: m.Location, Flat: m.Layout == "flat",
			Insecure: images.Listed(m.Location, c.Config.Images.InsecureMirrors)})
	}
	return list
}

// dataFree is the free space below the data directory now, if it can be told.
func (c *connected) dataFree() (free int64, known bool) {
	free, err := node.FreeSpace(c.Layout.Host(c.Layout.DataDir))
	return free, err == nil
}

// buildContext is the context of an app that is built on the node: the directory that its manifest names, else the one
// in the binary.
func (e *env) buildContext(app *manifest.App) (fs.FS, error) {
	dir := app.Container.Build.Context
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(app.Dir, dir)
	}
	if _, err := os.Stat(e.Layout.Host(dir)); err == nil {
		return os.DirFS(e.Layout.Host(dir)), nil
	}
	return apps.Context(app.ID)
}

// reported tells a person what a pass is doing, and whoever supervises this process that it has progress.
func (c *connected) reported(ev reconcile.Event) {
	tellBeat(c.beat, ev)
	c.progress(ev)
}

// progress says on stderr what a pass is doing, a line an operation.
func (c *connected) progress(ev reconcile.Event) {
	op := ev.Op
	switch {
	case c.quiet || ev.Moment != "" || ev.Ended != nil || op.Kind == reconcile.Wait && op.Gate == nil:
	case ev.Text != "" && !c.verbose:
	case ev.Text != "":
		fmt.Fprintf(c.err, "%s: %s\n", op.App, strings.TrimSpace(ev.Text))
	case !ev.Done && op.App == "":
		fmt.Fprintf(c.err, "%s: %s (%s)\n", op.Kind, op.Object, op.Cause)
	case !ev.Done:
		fmt.Fprintf(c.err, "%s: %s %s (%s)\n", op.App, op.Kind, op.Object, op.Cause)
	}
}

// ids turns container names and app ids into app ids.
func (e *env) ids(names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		id := e.idOf(name)
		if id == "" {
			return nil, usage(e.meant(name), "no app or container is called %q", name)
		}
		out = append(out, id)
	}
	return out, nil
}

// meant is the hint after a name that does not exist.
func (e *env) meant(name string) string {
	known := append(e.Set.Order(), sortedKeys(e.Set.Broken)...)
	for _, app := range e.Set.Apps {
		known = append(known, app.Unit())
	}
	if best := nearest.Name(name, known); best != "" {
		return "did you mean " + best + "? See: archy apps list"
	}
	return "archy apps list"
}

func (e *env) idOf(name string) string {
	if _, ok := e.Set.Apps[name]; ok {
		return name
	}
	if _, ok := e.Set.Broken[name]; ok {
		return name
	}
	for id, app := range e.Set.Apps {
		if app.Unit() == name {
			return id
		}
	}
	for id, older := range reconcile.OlderNames(e.Set) {
		if slices.Contains(older, name) {
			return id
		}
	}
	return ""
}

// warnFindings shows what is wrong with the manifests; the apps without a finding go on.
func (e *env) warnFindings() {
	for _, f := range e.Findings {
		if f.Severity == manifest.Error || e.verbose {
			fmt.Fprintln(e.err, f.String())
		}
	}
	missing := e.Facts.Delegated.Missing()
	if len(missing) > 0 && !e.quiet {
		fmt.Fprintf(e.err, "warning: cgroup controllers not delegated to %s: %s; apps run without these limits\n", e.User.Name, strings.Join(missing, ", "))
	}
}

// requireSecrets refuses to change a node without its secrets directory: it may be a data disk that is not mounted, and
// new secrets would lock the apps out of their data.
func (e *env) requireSecrets() error {
	if _, err := os.Stat(e.Layout.Host(e.Layout.Secrets())); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	hint := "if the data disk is mounted and this node is new, run: archy secrets gen"
	if e.firstBootDone() {
		hint = bootAgain // secrets are not all that is missing
	}
	return &exitError{exitHuman, "no-secrets", fmt.Errorf("%s is missing; nothing was changed", e.Layout.Secrets()), hint}
}
