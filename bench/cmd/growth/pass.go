package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// engine plays podman. A pass with nothing to do may list, and nothing else: any other call ends the program.
type engine struct {
	reconcile.Engine
	answers answers
}

func (e engine) List(context.Context) ([]podman.Container, error) { return e.answers.Containers, nil }
func (e engine) Secrets(context.Context) ([]podman.Secret, error) { return e.answers.Secrets, nil }
func (e engine) Version(context.Context) (string, error)          { return "5.4.2", nil }

// errDoubt ends a pass that looks closer at something.
var errDoubt = errors.New("there is something to do: the pass asks for images and networks")

func (e engine) Images(context.Context) (map[string]podman.Image, error) { return nil, errDoubt }
func (e engine) Networks(context.Context) ([]podman.Network, error)      { return nil, errDoubt }

// manager is the embedded interface under a name that is no method's.
type manager = reconcile.Units

// units plays the user manager: every service is active.
type units struct{ manager }

func (units) Units(_ context.Context, names []string) (map[string]systemd.Unit, error) {
	out := make(map[string]systemd.Unit, len(names))
	for _, name := range names {
		out[name] = systemd.Unit{Name: name, LoadState: "loaded", ActiveState: "active", SubState: "running"}
	}
	return out, nil
}

func (units) Detail(_ context.Context, name string) (systemd.Detail, error) {
	return systemd.Detail{Unit: systemd.Unit{Name: name, LoadState: "loaded", ActiveState: "active", SubState: "running"}}, nil
}

// pass makes one pass as the command does.
func pass(ctx context.Context, dir string) error {
	a, err := readAnswers(dir)
	if err != nil {
		return err
	}
	o, l, err := observer(dir, engine{answers: a})
	if err != nil {
		return err
	}
	store, locks := state.New(l), state.NewLocks(l)
	p := &reconcile.Pass{Observer: *o, Locks: locks, Intent: store,
		Applier: reconcile.Applier{Engine: o.Engine, Units: o.Units, Disk: reconcile.NodeDisk{Layout: l, Facts: o.Facts, Now: o.Now}, Locks: locks, Records: store, Now: o.Now}}
	planned := 0
	p.Planned = func(_ *reconcile.World, plan reconcile.Plan) {
		planned = len(plan.Ops)
		if planned > 0 {
			fmt.Fprint(os.Stderr, plan)
		}
	}
	result, err := p.Run(ctx)
	if err == nil && (planned > 0 || result.ExitCode != 0) {
		err = fmt.Errorf("there was something to do: %s", result.Line())
	}
	if err == nil {
		fmt.Println(result.Line())
	}
	return err
}
