package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

func appsRenderCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "render APP",
		Short: "print the unit of an app, exactly as it would be written",
		Long: `render prints the Quadlet unit that a pass would write for an app on this node: with its
limits, its pinned values and the labels by which changes are found. It asks neither
podman nor systemd. Where a secret or a derived file does not exist yet, its digest is
that of a draft and differs each time.`,
		Example:           "  archy apps render lnd",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeApps,
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := openEnv(cmd)
			if err != nil {
				return err
			}
			return e.render(cmd.Context(), args[0])
		},
	}
}

func (e *env) render(ctx context.Context, id string) error {
	e.loadManifests()
	if err := e.broken(id); err != nil {
		return err
	}
	var err error
	if e.Facts, err = node.ReadFacts(e.Layout, e.User); err != nil {
		return err
	}
	app, err := e.resolve(ctx, id)
	if err != nil {
		return err
	}
	if e.json {
		return json.NewEncoder(e.out).Encode(map[string]any{
			"schema": 1, "app": app.ID, "container": app.Container, "spec_hash": app.Hash,
			"path": e.Layout.Unit(app.Container), "unit": string(app.UnitText),
		})
	}
	_, err = e.out.Write(app.UnitText)
	return err
}

// resolve computes one app as a pass does, with a podman that has nothing and a systemd that knows nothing.
func (e *env) resolve(ctx context.Context, id string) (*reconcile.App, error) {
	observer := e.observer(noEngine{}, maybeSecrets{e.secrets()}, reconcile.Options{Only: []string{id}, CreateMissing: true})
	world, err := observer.Observe(ctx)
	if err != nil {
		return nil, err
	}
	for _, app := range world.Apps {
		switch {
		case app.ID != id:
		case app.Fault != nil:
			return nil, &exitError{exitFailed, app.Fault.Code, errors.New(app.Fault.Text), app.Fault.Hint}
		default:
			return app, nil
		}
	}
	return nil, usage("archy apps list", "no app is called %q", id)
}

// observer reads the node as a pass does, but asks systemd nothing.
func (e *env) observer(engine reconcile.Engine, store reconcile.SecretReader, o reconcile.Options) *reconcile.Observer {
	return &reconcile.Observer{
		Engine: engine, Units: noUnits{}, State: e.State, Secrets: store, Mapped: e.mapped(), Set: e.Set,
		Layout: e.Layout, Config: e.Config, Facts: e.Facts, Contexts: e.buildContext, Random: rand.Reader, Now: time.Now,
		Stage:   func(context.Context, *reconcile.App) reconcile.Stage { return reconcile.Stage{} },
		Options: o,
	}
}

// mapped reads the files of containers: in the service user's session through podman, else as they lie there.
func (e *env) mapped() reconcile.MappedReader {
	if e.Layout.Root == "" && os.Geteuid() == e.User.UID {
		return podman.CLI{Runner: command.Exec{}}
	}
	return plainFiles{}
}

type plainFiles struct{}

func (plainFiles) ReadFile(_ context.Context, path string) ([]byte, error) { return os.ReadFile(path) }

func (plainFiles) Holds(_ context.Context, dir string) (bool, error) {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return len(list) > 0, err
}

func (plainFiles) Exists(_ context.Context, path string) (bool, error) {
	_, err := os.Stat(path)
	return err == nil, nil
}

// maybeSecrets takes a directory that does not exist yet for one without secrets: a unit can be looked at before
// the first boot.
type maybeSecrets struct{ *secrets.Store }

func (m maybeSecrets) Read(name string) (secrets.Value, error) {
	v, err := m.Store.Read(name)
	if errors.Is(err, secrets.Finding{Code: secrets.DirMissing}) {
		err = secrets.Finding{Code: secrets.Missing, Name: name, Path: m.Path(name)}
	}
	return v, err
}

// noEngine is a podman without any object. A question that it does not know is a fault of the program.
type noEngine struct{ reconcile.Engine }

func (noEngine) List(context.Context) ([]podman.Container, error) { return nil, nil }

func (noEngine) Secrets(context.Context) ([]podman.Secret, error) { return nil, nil }

func (noEngine) Images(context.Context) (map[string]podman.Image, error) { return nil, nil }

func (noEngine) Networks(context.Context) ([]podman.Network, error) { return nil, nil }

func (noEngine) Version(context.Context) (string, error) { return "", nil }

// userManager has another name than its method Units.
type userManager = reconcile.Units

// noUnits is a systemd without any unit.
type noUnits struct{ userManager }

func (noUnits) Units(context.Context, []string) (map[string]systemd.Unit, error) { return nil, nil }

func (noUnits) Detail(context.Context, string) (systemd.Detail, error) { return systemd.Detail{}, nil }

func (noUnits) ContainerLog(context.Context, string, time.Time, int) ([]string, error) {
	return nil, nil
}

// completeApps offers the ids of the apps to the shell, but for those that are there already. It reads the manifests and asks
// nobody.
func completeApps(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	e, err := openEnv(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	e.loadManifests()
	ids := append(e.Set.Order(), sortedKeys[[]manifest.Finding](e.Set.Broken)...)
	ids = slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(given, id) })
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// completeAppList completes the last app of a list with commas.
func completeAppList(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	before := typed[:strings.LastIndexByte(typed, ',')+1]
	ids, directive := completeApps(cmd, strings.Split(before, ","), "")
	for i := range ids {
		ids[i] = before + ids[i]
	}
	return ids, directive
}
