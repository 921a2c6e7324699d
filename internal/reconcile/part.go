package reconcile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/quadlet"
	"git.tx1138.com/lfg2025/archy/internal/spec"
)

// Part is the part of a plan that does things of these kinds, in the same order, numbered anew. What one operation
// waits for through others that are left out it still waits for. It decides nothing: what it leaves is left to the next
// plan.
func (p Plan) Part(kinds ...Kind) Plan {
	var out Plan
	number := map[int]int{}
	before := map[int][]int{} // of an operation that is left out: what it waited for
	inPart := map[string]bool{}
	for _, op := range p.Ops {
		var after []int
		for _, n := range op.After {
			if kept, ok := number[n]; ok {
				after = append(after, kept)
			} else {
				after = append(after, before[n]...)
			}
		}
		slices.Sort(after)
		after = slices.Compact(after)
		edge := op.Kind == Wait && op.Gate == nil
		if !slices.Contains(kinds, op.Kind) && !edge {
			before[op.N] = after
			continue
		}
		number[op.N] = len(out.Ops) + 1
		op.N, op.After = number[op.N], after
		out.Ops = append(out.Ops, op)
		inPart[op.App] = true
	}
	for _, a := range p.Apps {
		if inPart[a.ID] {
			a.Counted = false
			out.Apps = append(out.Apps, a)
		}
	}
	return out
}

// RunPart observes, plans, and does the operations of these kinds. Its results say which apps failed at them. The caller
// holds the locks of a pass.
func (p *Pass) RunPart(ctx context.Context, kinds ...Kind) ([]AppResult, error) {
	return p.runPlan(ctx, func(w *World, o Options) Plan { return MakePlan(w, o).Part(kinds...) })
}

// RunImages fetches every image that is absent and wanted.
func (p *Pass) RunImages(ctx context.Context) ([]AppResult, error) { return p.runPlan(ctx, ImagePlan) }

func (p *Pass) runPlan(ctx context.Context, make func(w *World, o Options) Plan) ([]AppResult, error) {
	if err := p.syncIntent(ctx, p.Observer.Options); err != nil {
		return nil, err
	}
	p.Applier.Disk.Sweep()
	w, err := p.observe(ctx, p.Observer.Options)
	if err != nil {
		return nil, err
	}
	plan := make(w, p.Observer.Options)
	if p.Planned != nil {
		p.Planned(w, plan)
	}
	if plan.Empty() {
		return nil, nil
	}
	return p.Applier.Apply(ctx, w, plan), nil
}

// Bridges are the networks that containers share.
func Bridges() []Network { return []Network{*network("archy-net"), *network("immich-net")} }

// MissingBridges are the bridges that are not there, or whose units are not.
func (p *Pass) MissingBridges(ctx context.Context) ([]Network, error) {
	list, err := p.Applier.Engine.Networks(ctx)
	if err != nil {
		return nil, err
	}
	var missing []Network
	for _, n := range Bridges() {
		n.Stale = staleNetworkUnit(p.Observer.Layout, &n)
		there := slices.ContainsFunc(list, func(have podman.Network) bool { return have.Name == n.Name })
		if !there || n.Stale {
			missing = append(missing, n)
		}
	}
	return missing, nil
}

// MakeBridges makes the bridges that are missing, with their units. One that is there stays as it is.
func (p *Pass) MakeBridges(ctx context.Context) error {
	missing, err := p.MissingBridges(ctx)
	for _, n := range missing {
		if err == nil {
			err = makeBridge(ctx, p.Applier.Disk, p.Applier.Engine, n)
		}
	}
	return err
}

func makeBridge(ctx context.Context, d Disk, e Engine, n Network) error {
	if err := d.WriteNetworkUnit(n); err != nil {
		return err
	}
	return createBridge(ctx, e, n)
}

// staleNetworkUnit tells that the unit of a bridge must be written.
func staleNetworkUnit(l node.Layout, n *Network) bool {
	want, err := quadlet.RenderNetwork(n.Name, n.Subnet, n.Gateway)
	have, rerr := os.ReadFile(l.Host(path.Join(l.UnitDir(), n.Name+".network")))
	return err == nil && (rerr != nil || string(have) != string(want))
}

// createBridge creates a bridge in its subnet or, when that is taken, in the next free one. Its unit may go on naming the
// first: it leaves a network that is there alone.
func createBridge(ctx context.Context, e Engine, n Network) error {
	made := podman.Network{Name: n.Name, Subnet: n.Subnet, Gateway: n.Gateway, DNS: true, Labels: map[string]string{spec.LabelManaged: "true"}}
	for third := len(Bridges()); ; third++ {
		err := e.CreateNetwork(ctx, made)
		switch {
		case err == nil || existsAlready(err):
			return nil
		case n.Subnet == "" || third > 255 || !strings.Contains(err.Error(), "already used"):
			return err
		}
		made.Subnet, made.Gateway = subnet(third)
	}
}

func existsAlready(err error) bool { return errors.Is(err, podman.ErrConflict) }

// subnet is a bridge's address range with its gateway.
func subnet(third int) (cidr, gateway string) {
	return fmt.Sprintf("10.89.%d.0/24", third), fmt.Sprintf("10.89.%d.1", third)
}
