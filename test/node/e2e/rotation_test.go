package e2e_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/test/node"
)

// TestIncident3EverySecretRotated: of all secrets of a node with all apps, each is either given to its readers by the next
// pass, which restarts them once and nobody else, or it is refused with what to do instead, and nothing is changed.
func TestIncident3EverySecretRotated(t *testing.T) {
	t.Parallel()
	all := slices.DeleteFunc(apps.IDs(), func(id string) bool { return id == "bitcoin-core" })
	n := blank(t, node.Options{Apps: all})
	n.must(t, 0, "secrets", "gen")
	n.user(t, "umask 077; for s in fmcd-invite-code tailscale-authkey; do printf fed1 >"+dataDir+"/secrets/$s; done")
	n.must(t, 0, "reconcile", "--create-missing", "--wait", "--timeout", "4m")
	names := n.containerNames(t)
	if len(names) != len(all) {
		t.Fatalf("%d of %d apps have a container", len(names), len(all))
	}
	given := 0
	for _, s := range n.secrets(t) {
		if ok, _ := secrets.RotationRule(s.Name); !ok {
			n.notRotated(t, s.Name)
			continue
		}
		given++
		t.Run(s.Name, func(t *testing.T) { n.rotated(t, s, names) })
	}
	if given < 6 {
		t.Errorf("%d secrets can be rotated", given)
	}
}

// secrets lists those of the node that are there, without what earlier rotations have kept and without the plain texts of hashes.
func (n *machine) secrets(t *testing.T) []secrets.Info {
	t.Helper()
	var list struct{ Secrets []secrets.Info }
	if err := json.Unmarshal([]byte(n.must(t, 0, "secrets", "list", "--json").Stdout), &list); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list.Secrets, func(s secrets.Info) bool {
		return !s.Present || s.Backup || strings.HasSuffix(s.Name, secrets.PlainSuffix)
	})
}

// containerNames are those of the apps that have a container, by app.
func (n *machine) containerNames(t *testing.T) map[string]string {
	t.Helper()
	var status struct {
		Apps []struct{ App, Container string }
	}
	if err := json.Unmarshal([]byte(n.must(t, 0, "status", "--json").Stdout), &status); err != nil {
		t.Fatal(err)
	}
	running := n.containers(t)
	names := map[string]string{}
	for _, a := range status.Apps {
		if _, ok := running[a.Container]; ok {
			names[a.App] = a.Container
		}
	}
	return names
}

func (n *machine) notRotated(t *testing.T, name string) {
	t.Helper()
	before := forget(n.files(t), "/run/archy")
	if res := n.archy("secrets", "rotate", name); res.Code != 2 || !strings.Contains(res.Stderr, name) {
		t.Errorf("secrets rotate %s ended with %d: %s", name, res.Code, res.Stderr)
	}
	if d := difference(before, forget(n.files(t), "/run/archy")); d != "" {
		t.Errorf("a rotation of %s that was refused has changed:\n%s", name, d)
	}
}

func (n *machine) rotated(t *testing.T, s secrets.Info, names map[string]string) {
	before, old := n.containers(t), n.secret(t, s.Name)
	n.must(t, 0, "secrets", "rotate", s.Name)
	now := n.secret(t, s.Name)
	if now == old || n.read(t, dataDir+"/secrets/"+n.backup(t, s.Name)) == now {
		t.Fatal("the value is the old one, or the old one is not kept")
	}
	r := n.pass(t, 0)
	readers := slices.DeleteFunc(slices.Clone(s.Readers), func(id string) bool { return names[id] == "" })
	if changed := slices.Sorted(maps.Keys(actions(r))); !slices.Equal(changed, readers) {
		t.Errorf("changed: %v, and its readers are %v", changed, readers)
	}
	var theirs []string
	for _, id := range readers {
		theirs = append(theirs, names[id])
		if a := app(t, r, id); a.Cause == "" {
			t.Errorf("%s: no cause", id)
		}
	}
	onlyChanged(t, before, n.containers(t), theirs...)
	n.startedOnce(t, r, names)
	n.must(t, 0, "reconcile", "--wait", "--timeout", "4m") // who must learn an address
	if r := n.pass(t, 0, "--check-only", "--exit-code"); len(r.Plan) > 0 {
		t.Errorf("something is left to do:\n%s", strings.Join(r.Plan, "\n"))
	}
	if where := n.whoHas(t, old, names); len(where) > 0 {
		t.Errorf("%v have the old value", where)
	}
	if s.Name != "bitcoin-rpc-password" { // of which bitcoin has a hash, and lnd and the page have files
		if where := n.whoHas(t, now, names); !slices.Equal(where, readers) {
			t.Errorf("%v have the new value, its readers are %v", where, readers)
		}
	}
}

func (n *machine) secret(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(n.read(t, dataDir+"/secrets/"+name))
}

// backup is the file that has kept the value before the last rotation.
func (n *machine) backup(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(n.sh(t, "cd "+dataDir+"/secrets; ls "+name+".bak-* | tail -n 1"))
}

// whoHas are the apps in the environment of whose process the value stands.
func (n *machine) whoHas(t *testing.T, value string, names map[string]string) []string {
	t.Helper()
	var ids []string
	list := n.containers(t)
	for _, id := range slices.Sorted(maps.Keys(names)) {
		env := n.sh(t, "tr '\\0' '\\n' </proc/"+list[names[id]].PID+"/environ")
		if strings.Contains(env, value) {
			ids = append(ids, id)
		}
	}
	return ids
}
