package reconcile

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
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

// slowStart is a systemd in which a start that waits for the first good check is not over in time.
type slowStart struct {
	manager
	mu     *sync.Mutex
	limits map[string]time.Duration
}

func (s slowStart) Start(ctx context.Context, name string, limit time.Duration) error {
	s.mu.Lock()
	s.limits[name] = limit
	s.mu.Unlock()
	if err := s.manager.Start(ctx, name, limit); err != nil || name != "pgdb.service" {
		return err
	}
	e := &systemd.JobError{Verb: "start", Unit: name, Result: systemd.ResultLimit, Limit: limit}
	e.Detail.ActiveState = "activating"
	return e
}

// test that a database that lives and is not healthy in time has not failed, and is waited for no longer than its gate
func TestDatabaseThatStartsSlowly(t *testing.T) {
	n := newNode(t, five()).firstBootDone()
	n.behave["docker.io/example/pgdb:v1.0"] = behaviour{sick: true}
	p := n.passOf()
	units := slowStart{manager{n}, new(sync.Mutex), map[string]time.Duration{}}
	p.Applier.Units = units
	r, err := p.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := n.result(r, "pgdb"); got.Class != ClassWaiting || !strings.Contains(got.Cause, "still starting after 3m0s") {
		t.Errorf("pgdb: %+v", got)
	}
	if got := n.result(r, "api"); got.Class != ClassWaiting || !strings.Contains(got.Cause, "dependency pgdb") {
		t.Errorf("api: %+v", got)
	}
	if units.limits["pgdb.service"] != 3*time.Minute || units.limits["solo.service"] != 135*time.Second {
		t.Errorf("limits %v", units.limits)
	}
}
