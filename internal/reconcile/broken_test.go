package reconcile

import (
	"errors"
	"maps"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// slips are what an owner's editor leaves behind in a manifest: one whose other fields can still be read, and one of which nothing can.
var slips = map[string]func(string) string{
	"a wrong type": func(text string) string {
		return strings.Replace(text, "optional:", "optional: 7\n  stop_grace_secs: lots #", 1)
	},
	"no YAML": func(text string) string { return text + "  description: Caf\xe9\n" },
}

// loadBroken is load with manifests that have errors.
func (n *fakeNode) loadBroken(manifests map[string]string) {
	files := fstest.MapFS{}
	for id, text := range manifests {
		files[id+"/manifest.yml"] = &fstest.MapFile{Data: []byte(text)}
	}
	n.set, _ = manifest.LoadFS(files, "apps")
}

// withIndex are both bitcoins and an app that is told where the installed one is.
func withIndex() map[string]string {
	apps := bitcoins()
	for id, text := range apps {
		apps[id] = strings.Replace(text, "optional: false", "optional: true", 1)
	}
	told := "    derived_env:\n      - key: CORE_RPC_HOST\n        template: \"{{BITCOIN_HOST}}\"\n"
	apps["index"] = strings.Replace(manifestOf("index", 2, "  dependencies:\n    - app_id: bitcoin-knots\n"), "    network: archy-net\n", "    network: archy-net\n"+told, 1)
	return apps
}

// A slip in the manifest of the bitcoin that is installed is no reason to tell others of the one that is not: they are left as they are.
func TestBrokenManifestOfTheInstalledAlternative(t *testing.T) {
	for _, c := range []struct{ id, other string }{{"bitcoin-knots", "bitcoin-core"}, {"bitcoin-core", "bitcoin-knots"}} {
		for what, slip := range slips {
			t.Run(c.id+"/"+what, func(t *testing.T) {
				n := newNode(t, withIndex())
				n.wallets = &fakeWallets{n: n}
				if _, _, err := n.vault.Generate(rpcSecret, secrets.Hex16); err != nil {
					t.Fatal(err)
				}
				n.mustVerb(0, Request{Verb: VerbInstall, Apps: []string{c.id, "index"}})
				n.pass()
				before, unit := ids(n), n.unit("index")

				apps := withIndex()
				apps[c.id] = slip(apps[c.id])
				n.loadBroken(apps)
				n.calls = nil
				r := n.pass()
				if got := n.result(r, "index"); got.Action != Failed || !strings.Contains(got.Cause, c.id) {
					t.Errorf("index: %+v", got)
				}
				if len(n.touched()) > 0 || !maps.Equal(ids(n), before) || n.unit("index") != unit {
					t.Errorf("something was changed: %q\n%s", n.touched(), n.unit("index"))
				}
				n.pass(func(o *Options) { o.CreateMissing = true })
				if n.containers[c.other] != nil {
					t.Errorf("%s was made beside it", c.other)
				}
				n.refused(Request{Verb: VerbRemove, Apps: []string{c.id}}, "index")

				n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{c.id}})
				n.pass(func(o *Options) { o.CreateMissing = true })
				if n.containers[c.other] != nil {
					t.Errorf("%s was made beside it while it was stopped", c.other)
				}
				n.refused(Request{Verb: VerbInstall, Apps: []string{c.other}}, c.id)
				n.leavesOut(c.other)
				record := n.layout.Host(n.layout.State("apps", c.id+".json"))
				rename(t, record, record+".lost") // its unit tells it too
				n.leavesOut(c.other)
				rename(t, record+".lost", record)

				n.load(withIndex())
				n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{c.id}})
				n.pass() // who keeps its address is restarted
				if n.unit("index") != unit || n.plan().String() != "" {
					t.Errorf("the corrected manifest:\n%s", n.plan())
				}
				n.unharmed()
			})
		}
	}
}

// A broken manifest of an app that is not on the node is no app that needs another, and rules none out.
func TestBrokenManifestOfNoApp(t *testing.T) {
	for what, slip := range slips {
		t.Run(what, func(t *testing.T) {
			n := newNode(t, withIndex())
			n.wallets = &fakeWallets{n: n}
			apps := withIndex()
			apps["index"], apps["bitcoin-core"] = slip(apps["index"]), slip(apps["bitcoin-core"])
			n.loadBroken(apps)
			n.mustVerb(0, Request{Verb: VerbInstall, Apps: []string{"bitcoin-knots"}})
			if n.containers["bitcoin-knots"] == nil {
				t.Error("bitcoin-knots was not installed")
			}
			n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"bitcoin-knots"}})
		})
	}
}

// refused: nothing was done, and the refusal names an app.
func (n *fakeNode) refused(q Request, named string) {
	n.t.Helper()
	_, err := n.verb(q)
	var refusal *Refusal
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), named) {
		n.t.Errorf("%+v: %v", q, err)
	}
}

// leavesOut: the app is not started over the data of the other one, neither by a first boot nor by its name.
func (n *fakeNode) leavesOut(id string) {
	n.t.Helper()
	n.pass(func(o *Options) { o.Install = map[string]string{id: state.ByFirstBoot} })
	n.pass(func(o *Options) { o.CreateMissing, o.Only = true, []string{id} })
	if n.containers[id] != nil {
		n.t.Errorf("%s was started over the data of the other one", id)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func (n *fakeNode) unit(container string) string {
	text, _ := os.ReadFile(n.layout.Host(n.layout.Unit(container)))
	return string(text)
}
