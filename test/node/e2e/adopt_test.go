package e2e_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

// TestContainersOfAScript: ten containers that an older release's script made are adopted as they are, and move to units
// only when they are told to.
func TestContainersOfAScript(t *testing.T) {
	t.Parallel()
	n := legacy(t)
	born := n.born(t)
	t.Run("a look at them touches nothing", func(t *testing.T) { looksOnly(t, n) })
	t.Run("adopt and two passes leave each as it is", func(t *testing.T) { adopted(t, n) })
	t.Run("an adopted container that ended is started, not made anew", func(t *testing.T) { adoptedAndEnded(t, n) })
	t.Run("a migration that fails leaves the old container running", func(t *testing.T) { migrationFails(t, n) })
	t.Run("migrated one by one", func(t *testing.T) { migrated(t, n) })
	if now := n.born(t); now != born {
		t.Errorf("data were lost:\n%s", difference(born, now))
	}
}

// legacy is a node with ten containers as the old first-boot script made them.
func legacy(t *testing.T) *machine {
	t.Helper()
	n := fresh(t)
	for _, id := range []string{"bitcoin-ui", "lnd-ui", "electrs-ui"} {
		if err := n.CopyFS("/opt/archipelago/docker/"+id, os.DirFS(filepath.Join(repository, "apps", id, "docker"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Put("testdata/legacy.sh", "/usr/local/bin/legacy.sh", 0o755); err != nil {
		t.Fatal(err)
	}
	n.MustUser(t, "legacy.sh")
	for name, c := range n.containers(t) {
		if c.State != "running" || c.Managed {
			t.Fatalf("%s: %+v", name, c)
		}
	}
	n.serves(t)
	return n
}

func adopted(t *testing.T, n *machine) {
	before := n.containers(t)
	units := n.sh(t, "ls "+unitDir)
	r := parse(t, n.must(t, 0, "adopt", "--json"))
	for id := range ten {
		if a := app(t, r, id); a.Action != reconcile.Adopted || a.Owner != "legacy" {
			t.Errorf("%s: %s, owner %s (%s)", id, a.Action, a.Owner, a.Cause)
		}
	}
	drift := app(t, r, "lnd").DriftWords()
	for _, want := range []string{"ports", "18080:8080", "stop-grace", "restart"} {
		if !strings.Contains(drift, want) {
			t.Errorf("the drift of lnd lacks %q: %s", want, drift)
		}
	}
	onlyChanged(t, before, n.containers(t))
	for range 2 {
		if r := n.pass(t, 0); len(actions(r)) != 0 || r.Summary.OK != 10 {
			t.Errorf("a pass changed %v: %+v", actions(r), r.Summary)
		}
		onlyChanged(t, before, n.containers(t))
	}
	n.must(t, 4, "reconcile", "--exit-code")
	onlyChanged(t, before, n.containers(t))
	if got := n.sh(t, "ls "+unitDir); got != units {
		t.Errorf("units were written:\n%s", got)
	}
	if text := n.must(t, 0, "status").Stdout; strings.Count(text, " legacy ") < 10 {
		t.Errorf("status does not say whose they are:\n%s", text)
	}
	if text := n.must(t, 0, "adopt").Stdout; strings.Contains(text, n.read(t, dataDir+"/secrets/bitcoin-rpc-password")) {
		t.Error("a secret is in the drift")
	}
}

func adoptedAndEnded(t *testing.T, n *machine) {
	n.user(t, "podman stop -t 5 archy-mempool-web; podman kill archy-lnd-ui")
	before := n.containers(t)
	r := n.pass(t, 0)
	want := map[string]reconcile.Action{"mempool": reconcile.Started, "lnd-ui": reconcile.Started}
	got := actions(r)
	if a := app(t, r, "mempool"); a.Class == reconcile.ClassWaiting { // what it needs may be slow to answer on a busy machine
		t.Logf("mempool is %s: %s; the next pass starts it", a.State, a.Cause)
		maps.Copy(got, actions(n.pass(t, 0)))
	}
	if !maps.Equal(got, want) {
		t.Errorf("changed: %v, want %v; mempool: %+v", got, want, app(t, r, "mempool"))
	}
	after := n.containers(t)
	onlyChanged(t, before, after, "archy-mempool-web", "archy-lnd-ui")
	for _, name := range []string{"archy-mempool-web", "archy-lnd-ui"} {
		if after[name].ID != before[name].ID || after[name].State != "running" {
			t.Errorf("%s: %+v, before it was %.12s", name, after[name], before[name].ID)
		}
	}
	n.serves(t)
}

func migrationFails(t *testing.T, n *machine) {
	n.local(t, "filebrowser", "    - FB_USERNAME=admin\n", "    - FB_USERNAME=admin\n    - STANDIN_FAIL=exit:4\n")
	before := n.containers(t)
	policy := n.user(t, "podman inspect -f '{{.HostConfig.RestartPolicy.Name}}' filebrowser")
	res := n.must(t, 3, "adopt", "--migrate", "filebrowser")
	rolledBack(t, res.Stdout, res.Stderr, "filebrowser", "exited 4")
	after := n.containers(t)
	onlyChanged(t, before, after, "filebrowser")
	if after["filebrowser"].ID != before["filebrowser"].ID || after["filebrowser"].State != "running" {
		t.Errorf("filebrowser is %+v, before it was %.12s", after["filebrowser"], before["filebrowser"].ID)
	}
	if got := n.user(t, "podman inspect -f '{{.HostConfig.RestartPolicy.Name}}' filebrowser"); got != policy {
		t.Errorf("its restart policy is %q, it was %q", got, policy)
	}
	if n.Exists(filebrowserUnit) {
		t.Error("its unit was left behind")
	}
	n.serves(t)
	n.pass(t, 0)
	onlyChanged(t, after, n.containers(t))
	n.shipped(t, "filebrowser")
}

func migrated(t *testing.T, n *machine) {
	before := n.containers(t)
	t.Run("one", func(t *testing.T) {
		r := parse(t, n.must(t, 0, "adopt", "--migrate", "--json", "lnd"))
		if a := app(t, r, "lnd"); a.Action != reconcile.Migrated {
			t.Errorf("lnd: %s (%s)", a.Action, a.Cause)
		}
		after := n.containers(t)
		for name, c := range before {
			if name != "lnd" && c.since() != after[name].since() {
				t.Errorf("%s was touched", name)
			}
		}
		if !after["lnd"].Managed || after["lnd"].ID == before["lnd"].ID {
			t.Errorf("lnd: %+v", after["lnd"])
		}
		// The port of the old container is kept beside the manifest's own.
		ports := n.user(t, "podman port lnd")
		for _, want := range []string{":18080", ":8080"} {
			if !strings.Contains(ports, want) {
				t.Errorf("lnd publishes\n%s", ports)
			}
		}
		if old := asideOf(after, "lnd"); len(old) != 1 || after[old[0]].ID != before["lnd"].ID || after[old[0]].State == "running" {
			t.Errorf("set aside: %v", old)
		}
	})
	t.Run("all", func(t *testing.T) {
		r := parse(t, n.must(t, 0, "adopt", "--migrate", "--json"))
		for id := range ten {
			if id != "lnd" && app(t, r, id).Action != reconcile.Migrated {
				t.Errorf("%s: %s (%s)", id, app(t, r, id).Action, app(t, r, id).Cause)
			}
		}
		after := n.healthy(t, tenContainers()...)
		for _, name := range tenContainers() {
			if !after[name].Managed || len(asideOf(after, name)) != 1 || after[asideOf(after, name)[0]].ID != before[name].ID {
				t.Errorf("%s: %+v, set aside: %v", name, after[name], asideOf(after, name))
			}
		}
		n.serves(t)
	})
	t.Run("then nothing is left to do", func(t *testing.T) {
		n.pass(t, 0) // who keeps an address learns the new one
		n.healthy(t, tenContainers()...)
		n.must(t, 0, "reconcile", "--check-only", "--exit-code")
	})
}

// asideOf are the containers that a migration of name has set aside.
func asideOf(list containers, name string) []string {
	var out []string
	for _, other := range slices.Sorted(maps.Keys(list)) {
		if strings.HasPrefix(other, name+"-archy-old-") {
			out = append(out, other)
		}
	}
	return out
}
