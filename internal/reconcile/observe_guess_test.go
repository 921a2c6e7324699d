package reconcile

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// TestGuess: a guess that podman confirms is what would have been observed without it; one that podman does not confirm
// is forgotten.
func TestGuess(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, n *fakeNode)
		taken  bool
	}{
		{"all is well", func(*testing.T, *fakeNode) {}, true},
		{"unit edited", func(t *testing.T, n *fakeNode) {
			if err := os.WriteFile(n.layout.Host(n.layout.Unit("pgdb")), []byte("[Container]\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"container removed", func(_ *testing.T, n *fakeNode) { delete(n.containers, "pgdb") }, false},
		{"container ended", func(_ *testing.T, n *fakeNode) { n.containers["pgdb"].State.Status = podman.StateExited }, false},
		{"container of somebody else", func(_ *testing.T, n *fakeNode) { n.containers["pgdb"].Labels = nil }, false},
		{"secret lost", func(t *testing.T, n *fakeNode) {
			if err := os.Remove(filepath.Join(n.vault.Dir, "db-password")); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := fiveRunning(t)
			c.change(t, n)
			guessed, observed := n.observation(), n.observation()
			if got := guessed.take(guessed.guessed); got != c.taken {
				t.Fatalf("taken: %v, want %v", got, c.taken)
			}
			if !c.taken {
				return
			}
			observed.findBitcoin(context.Background())
			observed.resolveAll(context.Background())
			if !reflect.DeepEqual(guessed.w, observed.w) || guessed.mode != observed.mode || guessed.bitcoin != observed.bitcoin {
				t.Errorf("the guess is not what is observed:\n%+v\n%+v", guessed.w, observed.w)
			}
			if len(guessed.w.Apps) != 5 || guessed.w.Apps[0].C == nil || guessed.w.Apps[0].C.ID == "" {
				t.Error("the apps of the guess do not have their containers")
			}
		})
	}
}

// observation is one that has read everything and resolved nothing.
func (n *fakeNode) observation() *observation {
	n.t.Helper()
	o := n.passOf().Observer
	ob := &observation{Observer: &o, drafts: map[string]Secret{}, networks: map[string]*Network{}, w: &World{Now: o.Now()}}
	if err := ob.read(context.Background()); err != nil {
		n.t.Fatal(err)
	}
	ob.wants = ob.decideWants()
	return ob
}

// TestHeard: an app that was asked before podman answered is not asked again, unless its container has other ports.
func TestHeard(t *testing.T) {
	n := fiveRunning(t)
	p := n.passOf()
	var mu sync.Mutex
	asked := map[string]int{}
	p.Observer.Stage = func(_ context.Context, a *App) Stage {
		mu.Lock()
		defer mu.Unlock()
		asked[a.ID]++
		return Stage{Text: "stage of " + a.ID, Ready: true}
	}
	n.containers["solo"].Ports = []podman.Port{{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"}}
	w, err := p.Observer.Observe(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"pgdb": 1, "base": 1, "api": 1, "web": 1, "solo": 2}
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("asked %v, want %v", asked, want)
	}
	for _, a := range w.Apps {
		if a.Stage.Text != "stage of "+a.ID {
			t.Errorf("%s says %q", a.ID, a.Stage.Text)
		}
	}
}
