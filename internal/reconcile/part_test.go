package reconcile

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// test that a part keeps the order of what is left, also through what is left out
func TestPartOfAPlan(t *testing.T) {
	p := Plan{Apps: []AppPlan{{App: &App{ID: "lnd"}, Verdict: Verdict{Counted: true}}, {App: &App{ID: "web"}}}, Ops: []Operation{
		{N: 1, Kind: PullImage, App: "lnd"},
		{N: 2, Kind: WriteSecret, App: "lnd", After: []int{1}},
		{N: 3, Kind: SetSecret, App: "lnd", After: []int{2}},
		{N: 4, Kind: WriteFile, App: "lnd", After: []int{3}},
		{N: 5, Kind: Start, App: "web", After: []int{4}},
	}}
	part := p.Part(WriteSecret, WriteFile)
	if len(part.Ops) != 2 || len(part.Ops[0].After) != 0 || fmt.Sprint(part.Ops[1].After) != "[1]" || part.Ops[1].N != 2 {
		t.Errorf("part:\n%s", part)
	}
	if len(part.Apps) != 1 || part.Apps[0].ID != "lnd" || part.Apps[0].Counted {
		t.Errorf("apps of the part %+v", part.Apps)
	}
}

// taken is an engine on whose node some subnets are in use.
type taken struct {
	Engine
	used  string
	asked []string
}

func (e *taken) CreateNetwork(_ context.Context, n podman.Network) error {
	e.asked = append(e.asked, n.Subnet+" "+n.Gateway)
	if strings.Contains(e.used, n.Subnet) {
		return fmt.Errorf("subnet %s is already used on the host or by another config", n.Subnet)
	}
	return nil
}

func TestTakenSubnetMovesToTheNext(t *testing.T) {
	e := &taken{used: "10.89.0.0/24 10.89.2.0/24"}
	if err := createBridge(t.Context(), e, Bridges()[0]); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(e.asked, ", "), "10.89.0.0/24 10.89.0.1, 10.89.2.0/24 10.89.2.1, 10.89.3.0/24 10.89.3.1"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
}
