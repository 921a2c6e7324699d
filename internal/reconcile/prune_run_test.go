package reconcile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

func (n *fakeNode) pruner() Pruner {
	pass := n.passOf()
	return Pruner{Observer: pass.Observer, Engine: engine{n}, Units: manager{n}, State: n.store, Layout: n.layout, Locks: n.locks,
		DeleteTree: func(_ context.Context, path string) error {
			return n.change("delete "+path, func() error { return os.RemoveAll(path) })
		}}
}

// littered is a node on which an app was removed whose manifest is gone too, and which has an image from long ago.
func littered(t *testing.T) *fakeNode {
	n := fiveRunning(t)
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"solo"}})
	unit := n.unitText("web")
	if err := os.WriteFile(n.layout.Host(n.layout.Unit("solo")), []byte(strings.ReplaceAll(unit, "web", "solo")), 0o644); err != nil {
		t.Fatal(err)
	}
	apps := five()
	delete(apps, "solo")
	n.load(apps)
	n.secrets["archy.solo.KEY"] = fakeSecret{Secret: podman.Secret{Name: "archy.solo.KEY", Labels: map[string]string{spec.LabelManaged: "true"}}}
	old := state.Image{Ref: "docker.io/example/web:v0.9", ID: "old", At: n.peek().Add(-8 * 24 * time.Hour)}
	n.images[old.Ref] = podman.Image{ID: old.ID}
	if _, err := n.store.AddImage(old); err != nil {
		t.Fatal(err)
	}
	trash := n.layout.Host(n.layout.State("trash", "solo-20200101T000000Z"))
	if err := os.MkdirAll(trash, 0o700); err != nil {
		t.Fatal(err)
	}
	n.calls = nil
	return n
}

func (n *fakeNode) unitText(id string) string {
	text, err := os.ReadFile(n.layout.Host(n.layout.Unit(id)))
	if err != nil {
		n.t.Fatal(err)
	}
	return string(text)
}

func TestPruneRemovesWhatItLists(t *testing.T) {
	n := littered(t)
	listed, err := n.pruner().Run(t.Context(), true)
	if err != nil || len(n.calls) > 0 {
		t.Fatalf("%v, calls %q", err, n.calls)
	}
	removed, err := n.pruner().Run(t.Context(), false)
	if err != nil || len(removed) != len(listed) {
		t.Fatalf("listed %v, removed %v, %v", listed, removed, err)
	}
	trash := n.layout.Host(n.layout.State("trash", "solo-20200101T000000Z"))
	equal(t, "calls", strings.Join(n.calls, "\n"), lines("stop solo.service", "remove secret archy.solo.KEY", "remove image docker.io/example/web:v0.9", "delete "+trash, "reload"))
	if _, err := os.Stat(n.layout.Host(n.layout.Unit("solo"))); err == nil {
		t.Error("the unit is still there")
	}
	if l, err := n.store.ReadLedger(); err != nil || slices.ContainsFunc(l.Images, func(i state.Image) bool { return strings.HasSuffix(i.Ref, ":v0.9") }) {
		t.Errorf("the ledger still has the image: %+v, %v", l, err)
	}
	if again, err := n.pruner().Run(t.Context(), false); err != nil || len(again) > 0 {
		t.Errorf("the second time: %v, %v", again, err)
	}
	n.converged()
}

// A prune that is interrupted lets systemd forget the units that it has taken away: they are no litter any more, and the next one would not.
func TestPruneInterrupted(t *testing.T) {
	n := littered(t)
	if err := (manager{n}).Reload(t.Context()); err != nil || n.services["solo.service"] == nil {
		t.Fatalf("%v, services %v", err, n.services)
	}
	n.calls = nil
	ctx, interrupt := context.WithCancel(t.Context())
	n.onCall = func(call string) {
		if call == "remove secret archy.solo.KEY" {
			interrupt()
		}
	}
	removed, err := n.pruner().Run(ctx, false)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	equal(t, "calls", strings.Join(n.calls, "\n"), lines("stop solo.service", "remove secret archy.solo.KEY", "reload"))
	if !slices.ContainsFunc(removed, func(r Pruned) bool { return r.Kind == RemoveUnit && r.Error == "" }) {
		t.Errorf("removed %+v", removed)
	}
	if s := n.services["solo.service"]; s != nil {
		t.Errorf("systemd still has the unit: %+v", s.Unit)
	}
}

// What is at work on an app keeps prune from it, and what cannot be removed does not keep it from the rest.
// The photos of another directory, bound into the one of an app that was removed, are still there after the seven days.
func TestPruneDeletesNothingThatIsMounted(t *testing.T) {
	n := littered(t)
	trash := n.layout.State("trash", "solo-20200101T000000Z")
	n.lay(trash+"/photos/one.jpg", "photo")
	n.mount()
	text := n.text("/proc/self/mountinfo")
	n.lay("/proc/self/mountinfo", text+"40 22 8:2 /photos "+trash+"/photos rw - ext4 /dev/sda2 rw\n")
	left := func() string {
		t.Helper()
		list, err := n.pruner().Run(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(p Pruned) bool { return p.Object == trash })
		return list[i].Error
	}
	if why := left(); !strings.Contains(why, trash+"/photos is a mount point") || n.text(trash+"/photos/one.jpg") == "" {
		t.Fatalf("%q, %q", why, n.text(trash+"/photos/one.jpg"))
	}
	n.lay("/proc/self/mountinfo", text)
	if why := left(); why != "" || n.text(trash+"/photos/one.jpg") != "" {
		t.Errorf("unmounted: %q", why)
	}
}

func TestPruneLeavesAnAppThatIsBusy(t *testing.T) {
	n := littered(t)
	lock, err := n.locks.App(t.Context(), "solo", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	var waited atomic.Int32
	n.locks.Waits = func(state.ErrLocked, time.Duration) { waited.Add(1) }
	p := n.pruner()
	p.WaitLock = 2500 * time.Millisecond
	removed, err := p.Run(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if n := waited.Load(); n != 1 {
		t.Errorf("the app was waited for %d times", n)
	}
	for _, p := range removed {
		if (p.Error != "") != (p.App == "solo") {
			t.Errorf("%+v", p)
		}
	}
	if _, ok := n.secrets["archy.solo.KEY"]; !ok {
		t.Error("the secret of a busy app was removed")
	}
}

// On a data disk that gets short a pass removes images, and nothing else; while podman is not asked where the ledger has none to spare.
func TestOnlyImagesGoByThemselves(t *testing.T) {
	n := littered(t)
	removed, err := n.pruner().Images(t.Context())
	if err != nil || len(removed) != 1 || removed[0].Object != "docker.io/example/web:v0.9" || removed[0].Error != "" {
		t.Fatalf("removed %v, %v", removed, err)
	}
	equal(t, "calls", strings.Join(n.calls, "\n"), lines("remove image docker.io/example/web:v0.9"))
	p := n.pruner()
	p.Engine = nil
	if again, err := p.Images(t.Context()); err != nil || len(again) > 0 {
		t.Errorf("the second time: %v, %v", again, err)
	}
}

// TestPruneWithADamagedLedger: a ledger of images that was cut short is kept aside and told, once, and keeps prune from nothing but images. A look leaves it.
func TestPruneWithADamagedLedger(t *testing.T) {
	for name, prune := range map[string]func(p Pruner) ([]Pruned, error){
		"prune":     func(p Pruner) ([]Pruned, error) { return p.Run(t.Context(), false) },
		"disk full": func(p Pruner) ([]Pruned, error) { return p.Images(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			n := littered(t)
			ledger := n.layout.State("images.json")
			cut := []byte(`{"schema": 1, "images": [{"ref": "docker.io/exam`)
			if err := os.WriteFile(n.layout.Host(ledger), cut, 0o600); err != nil {
				t.Fatal(err)
			}
			told := func(list []Pruned) bool {
				return slices.ContainsFunc(list, func(p Pruned) bool {
					return p.Kind == KeepAside && p.Object == ledger && p.Error == "" && strings.Contains(p.Cause, "the images that it named stay")
				})
			}
			listed, err := n.pruner().Run(t.Context(), true)
			if text, _ := os.ReadFile(n.layout.Host(ledger)); err != nil || !told(listed) || string(text) != string(cut) {
				t.Fatalf("a look: %v, %v, left %q", listed, err, text)
			}
			removed, err := prune(n.pruner())
			if err != nil || !told(removed) {
				t.Fatalf("%v, %v", removed, err)
			}
			if _, ok := n.secrets["archy.solo.KEY"]; ok == (name == "prune") {
				t.Error("the secret of a removed app: ", ok)
			}
			if _, ok := n.images["docker.io/example/web:v0.9"]; !ok {
				t.Error("an image was removed that no ledger names")
			}
			kept, _ := filepath.Glob(n.layout.Host(ledger) + ".unreadable-*")
			if len(kept) != 1 {
				t.Fatalf("kept aside: %q", kept)
			}
			if text, _ := os.ReadFile(kept[0]); string(text) != string(cut) {
				t.Errorf("kept aside: %q", text)
			}
			if again, err := prune(n.pruner()); err != nil || len(again) > 0 {
				t.Errorf("the second time: %v, %v", again, err)
			}
		})
	}
}

// A ledger of a newer archy may be whole, and prune writes none: it is left and told, and keeps prune from nothing but images.
func TestPruneLeavesTheLedgerOfANewerArchy(t *testing.T) {
	for name, prune := range map[string]func(p Pruner) ([]Pruned, error){
		"prune":     func(p Pruner) ([]Pruned, error) { return p.Run(t.Context(), false) },
		"disk full": func(p Pruner) ([]Pruned, error) { return p.Images(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			n := littered(t)
			ledger := n.layout.Host(n.layout.State("images.json"))
			const newer = `{"schema":9,"images":{}}`
			if err := os.WriteFile(ledger, []byte(newer), 0o600); err != nil {
				t.Fatal(err)
			}
			list, err := prune(n.pruner())
			told := slices.ContainsFunc(list, func(p Pruned) bool { return p.Kind == KeepAside && strings.Contains(p.Error, "newer archy (schema 9") })
			if err != nil || !told {
				t.Errorf("%v, %+v", err, list)
			}
			if _, ok := n.secrets["archy.solo.KEY"]; ok == (name == "prune") {
				t.Error("the secret of a removed app: ", ok)
			}
			if text, _ := os.ReadFile(ledger); string(text) != newer || n.images["docker.io/example/web:v0.9"].ID == "" {
				t.Errorf("the ledger is %q, the images %v", text, n.images)
			}
		})
	}
}
