package reconcile

import (
	"context"
	"maps"
	"sync"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// guess resolves the apps while podman is still being asked, as if every installed app ran in a container of archy's: on
// nearly every pass that is so, and podman takes as long as all the rest. It asks nobody.
func (ob *observation) guess(ctx context.Context) *observation {
	g := &observation{Observer: ob.Observer, drafts: map[string]Secret{}, networks: map[string]*Network{}, containers: map[string]podman.Container{},
		records: ob.records, lost: ob.lost, unread: ob.unread, histories: ob.histories, intent: ob.intent, disks: ob.disks,
		w: &World{Now: ob.w.Now, BootID: ob.w.BootID, Free: ob.w.Free}}
	for id, r := range ob.records {
		if r.Installed && r.Owner == state.Quadlet && !ob.stopped(id, r.Container) {
			g.containers[r.Container] = podman.Container{Name: r.Container, State: podman.StateRunning, Labels: map[string]string{spec.LabelManaged: "true"}}
		}
	}
	g.wants = g.decideWants()
	g.findBitcoin(ctx)
	g.resolveAll(ctx)
	return g
}

// take makes the guess what was observed, unless podman says something else: then everything is done again.
func (ob *observation) take(g *observation) bool {
	if !maps.Equal(g.wants, ob.wants) || len(g.drafts) > 0 {
		return false
	}
	for id := range ob.Set.Broken {
		if g.brokenAndHere(id) != ob.brokenAndHere(id) {
			return false
		}
	}
	for _, a := range g.w.Apps {
		if a.Fault != nil || !ob.asGuessed(a) {
			return false
		}
	}
	for _, a := range g.w.Apps {
		if c, ok := ob.containers[a.Container]; ok {
			a.C = &c
		}
	}
	ob.bitcoin, ob.mode, ob.w.Apps = g.bitcoin, g.mode, g.w.Apps
	ob.w.Warnings, ob.w.Partial = append(ob.w.Warnings, g.w.Warnings...), ob.w.Partial || g.w.Partial
	return true
}

// asGuessed tells that the app's container is as it was supposed to be: one of ours that runs, or none of any name.
func (ob *observation) asGuessed(a *App) bool {
	found := App{ID: a.ID, Container: a.Container, Manifest: a.Manifest}
	ob.attach(&found)
	if a.C == nil {
		return found.C == nil
	}
	if a.Wallet != nil && a.Wallet.Kind == lndWallet && startedLately(&found, ob.w.Now) {
		return false // its log has to be looked at
	}
	return found.Managed() && found.Running()
}

// heardStage is an app's word, and the ports of the container that it was asked at.
type heardStage struct {
	stage Stage
	ports map[int]int
}

// listen asks the apps that are supposed to run how far they are, at the ports that they should have.
func (ob *observation) listen(ctx context.Context) map[string]heardStage {
	if ob.Stage == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	heard := make([]heardStage, len(ob.w.Apps))
	var wg sync.WaitGroup
	for i, a := range ob.w.Apps {
		if !a.Running() || a.Want != WantRunning {
			continue
		}
		for _, p := range a.Spec.Ports {
			a.C.Ports = append(a.C.Ports, podman.Port{HostIP: p.HostIP, HostPort: p.Host, ContainerPort: p.Container, Protocol: p.Protocol})
		}
		wg.Go(func() { heard[i] = heardStage{ob.Stage(ctx, a), hostPorts(a)} })
	}
	wg.Wait()
	out := map[string]heardStage{}
	for i, a := range ob.w.Apps {
		if heard[i].ports != nil {
			out[a.ID] = heard[i]
		}
	}
	return out
}

// hear gives the app's word, which was asked for already when the container has the ports that it should have.
func (ob *observation) hear(ctx context.Context, a *App) Stage {
	if h, ok := ob.heard[a.ID]; ok && maps.Equal(h.ports, hostPorts(a)) {
		return h.stage
	}
	return ob.Stage(ctx, a)
}

// hostPorts maps the ports of the app's container to those of the host.
func hostPorts(a *App) map[int]int {
	ports := map[int]int{}
	for _, p := range a.C.Ports {
		ports[p.ContainerPort] = p.HostPort
	}
	return ports
}
