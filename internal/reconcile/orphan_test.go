package reconcile

import (
	"errors"
	"maps"
	"os"
	"strings"
	"testing"
)

// forgets lets the node know no manifest of an app any more; named, the app is one that a command names all the same.
func (n *fakeNode) forgets(id string, named bool) {
	n.t.Helper()
	apps := five()
	delete(apps, id)
	n.load(apps)
	if named {
		n.set.Broken[id] = Orphan(id)
	}
}

// Row 37: an app whose manifest is gone is named, with its container or without, and left; its owner removes it by its name.
func TestAnOrphanIsRemovedByItsName(t *testing.T) {
	for what, lose := range map[string]func(n *fakeNode){
		"with all that is its own": func(*fakeNode) {},
		"without a record":         func(n *fakeNode) { _ = os.Remove(n.layout.Host(n.layout.State("apps", "solo.json"))) },
		"without a container":      func(n *fakeNode) { n.down("solo", 1); n.services["solo.service"].ActiveState = "failed" },
		"without a unit":           func(n *fakeNode) { _ = os.Remove(n.layout.Host(n.layout.Unit("solo"))) },
	} {
		t.Run(what, func(t *testing.T) {
			n := fiveRunning(t)
			data := n.strangers()
			lose(n)
			n.forgets("solo", false)
			n.calls = nil
			r := n.pass()
			equal(t, "orphans", r.Orphans, []string{"solo"})
			if len(n.touched()) > 0 || r.ExitCode != 0 {
				t.Errorf("exit %d, %q", r.ExitCode, n.touched())
			}
			records, _ := n.store.ReadRecords()
			list, _ := engine{n}.List(t.Context())
			for name, want := range map[string]string{"solo": "solo", "my-own": "", "nobody": ""} {
				if got := OrphanOf(n.layout, records, list, name); got != want {
					t.Errorf("%s is the app %q", name, got)
				}
			}

			n.forgets("solo", true)
			_, err := n.verb(Request{Verb: VerbRemove, Apps: []string{"solo"}, Purge: true})
			var refusal *Refusal
			if !errors.As(err, &refusal) {
				t.Errorf("its data cannot be known: %v", err)
			}
			n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"solo"}})
			n.forgets("solo", false)
			r = n.pass()
			if len(r.Orphans) > 0 || n.containers["solo"] != nil || n.unit("solo") != "" {
				t.Errorf("it is still there: %q, %q", r.Orphans, n.unit("solo"))
			}
			n.unharmed()
			if n.load(five()); !maps.Equal(n.notOurs(), data) {
				t.Errorf("what is not archy's, or data: %v", n.notOurs())
			}
		})
	}
}

// A broken manifest that cannot be read names no container: that of its unit is its own, and no orphan.
func TestABrokenAppIsNoOrphan(t *testing.T) {
	apps := five()
	apps["solo"] = strings.Replace(apps["solo"], "  container:\n", "  container_name: archy-solo\n  container:\n", 1)
	n := newNode(t, apps).firstBootDone()
	n.pass()
	if err := os.Remove(n.layout.Host(n.layout.State("apps", "solo.json"))); err != nil {
		t.Fatal(err)
	}
	apps["solo"] = "no: [manifest"
	n.loadBroken(apps)
	if r := n.pass(); len(r.Orphans) > 0 || n.result(r, "solo").Container != "archy-solo" {
		t.Errorf("%+v", r)
	}
}
