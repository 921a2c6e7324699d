package e2e_test

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/test/node"
)

// TestTheOwnersWill: what the owner stopped stays stopped, what was never installed makes no noise, and the rest comes
// back by itself after a reboot and a power cut.
func TestTheOwnersWill(t *testing.T) {
	t.Parallel()
	n := converged(t)
	born := n.born(t)
	t.Run("stopped by the owner", func(t *testing.T) { ownerStops(t, n) })
	t.Run("over a reboot", func(t *testing.T) {
		n.MustUser(t, "podman", "run", "-d", "--name", "mine", "docker.io/library/mariadb:10.11", "sleep", "1000")
		within(t, n.Reboot)
		n.backAgain(t)
		if c := n.containers(t)["mine"]; c.State == "running" {
			t.Error("somebody else's container was started")
		}
		if r := n.pass(t, 0); !slices.Equal(r.Unknown, []string{"mine"}) {
			t.Errorf("not ours: %v", r.Unknown)
		}
		n.MustUser(t, "podman", "rm", "-f", "mine")
	})
	t.Run("over a power cut", func(t *testing.T) {
		n.Cut()
		within(t, n.Boot)
		n.backAgain(t)
	})
	t.Run("started again", func(t *testing.T) {
		n.write(t, dataDir+"/user-stopped.json", "[]\n")
		r := n.pass(t, 0)
		want := map[string]reconcile.Action{"filebrowser": reconcile.Started, "mempool": reconcile.Started}
		if got := actions(r); !maps.Equal(got, want) {
			t.Errorf("changed: %v, want %v", got, want)
		}
		n.healthy(t, tenContainers()...)
		n.must(t, 0, "reconcile", "--check-only", "--exit-code")
	})
	t.Run("a list that cannot be read", func(t *testing.T) { unreadableList(t, n) })
	if now := n.born(t); now != born {
		t.Errorf("data were lost:\n%s", difference(born, now))
	}
}

// stop-grace: bitcoin writes out its chain state when it is stopped. It takes the ninety seconds that it needs, is told to stop once, and is not
// killed.
func TestIncident8StopGrace(t *testing.T) {
	t.Parallel()
	n := blank(t, node.Options{Apps: []string{"bitcoin-knots"}})
	n.must(t, 0, "secrets", "gen")
	n.must(t, 0, "install", "bitcoin-knots")
	n.write(t, dataDir+"/bitcoin/standin.fault", "STANDIN_STOP=90s\n")
	began := n.now(t)
	n.must(t, 0, "stop", "bitcoin-knots")
	if took := n.now(t) - began; took < 90 {
		t.Errorf("it was stopped after %d s", took)
	}
	if c, is := n.containers(t)["bitcoin-knots"]; is && c.State == "running" {
		t.Errorf("it runs: %+v", c)
	}
	if got := n.sh(t, "cd "+dataDir+"/bitcoin; ls born running unclean 2>/dev/null || true"); strings.TrimSpace(got) != "born" {
		t.Errorf("it did not end by itself: %q", got)
	}
	if got := strings.TrimSpace(n.user(t, "systemctl --user show -P Result bitcoin-knots.service")); got != "success" {
		t.Errorf("its service ended with %q", got)
	}
	if r := n.pass(t, 0); len(actions(r)) != 0 {
		t.Errorf("the next pass changed %v", actions(r))
	}
}

// now is the node's clock in seconds.
func (n *machine) now(t *testing.T) int {
	t.Helper()
	at, err := strconv.Atoi(strings.TrimSpace(n.sh(t, "date +%s")))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// within runs do with a time limit.
func within(t *testing.T, do func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if err := do(ctx); err != nil {
		t.Fatal(err)
	}
}

// ownerStops names one app by its id and one by its container.
func ownerStops(t *testing.T, n *machine) {
	before := n.containers(t)
	n.write(t, dataDir+"/user-stopped.json", `["filebrowser", "archy-mempool-web"]`+"\n")
	n.sh(t, "chown archipelago: "+dataDir+"/user-stopped.json")
	r := n.pass(t, 0)
	want := map[string]reconcile.Action{"filebrowser": reconcile.Stopped, "mempool": reconcile.Stopped}
	if got := actions(r); !maps.Equal(got, want) {
		t.Errorf("changed: %v, want %v", got, want)
	}
	after := n.containers(t)
	onlyChanged(t, before, after, "filebrowser", "archy-mempool-web")
	n.stopped(t)
	if r := n.pass(t, 0, "--create-missing"); len(actions(r)) != 0 {
		t.Errorf("the next pass changed %v", actions(r))
	}
	onlyChanged(t, after, n.containers(t))
	if text := n.must(t, 0, "status").Stdout; strings.Count(text, "stopped") < 2 {
		t.Errorf("status:\n%s", text)
	}
}

func (n *machine) stopped(t *testing.T) {
	t.Helper()
	list := n.containers(t)
	for _, name := range []string{"filebrowser", "archy-mempool-web"} {
		if c, ok := list[name]; ok && c.State == "running" {
			t.Errorf("%s runs: %+v", name, c)
		}
	}
}

// backAgain: everything but what the owner stopped comes up without archy, and the pass after the boot converges.
func (n *machine) backAgain(t *testing.T) {
	t.Helper()
	var up []string
	for _, name := range tenContainers() {
		if name != "filebrowser" && name != "archy-mempool-web" {
			up = append(up, name)
		}
	}
	n.healthy(t, up...)
	n.stopped(t)
	n.pass(t, 0)
	n.healthy(t, up...)
	n.stopped(t)
	if r := parse(t, n.archy("reconcile", "--check-only", "--exit-code", "--json")); r.ExitCode != 0 {
		t.Errorf("something is left to do:\n%s", strings.Join(r.Plan, "\n"))
	}
}

// unreadableList: the flags of the last good list stay in force, and the pass says so.
func unreadableList(t *testing.T, n *machine) {
	n.write(t, dataDir+"/user-stopped.json", `["filebrowser"]`)
	n.pass(t, 0)
	before := n.containers(t)
	n.write(t, dataDir+"/user-stopped.json", `["fileb`)
	r := n.pass(t, 3)
	if len(r.Warnings) == 0 || !strings.Contains(strings.Join(r.Warnings, "\n"), "user-stopped.json") {
		t.Errorf("warnings: %q", r.Warnings)
	}
	onlyChanged(t, before, n.containers(t))
	n.write(t, dataDir+"/user-stopped.json", "[]")
	n.pass(t, 0)
	n.healthy(t, "filebrowser")
}

// TestWhatIsNotInstalledMakesNoNoise: optional apps that nobody asked for are not spoken of, and their secrets and images
// are not asked for.
func TestWhatIsNotInstalledMakesNoNoise(t *testing.T) {
	t.Parallel()
	n := fresh(t)
	res := n.must(t, 0, "reconcile", "--wait")
	for id := range ten {
		if id != "filebrowser" && strings.Contains(res.Stdout+res.Stderr, id) {
			t.Errorf("it speaks of %s:\n%s%s", id, res.Stdout, res.Stderr)
		}
	}
	if n.Registry.Pulls("docker.io/lightninglabs/lnd:v0.18.4-beta") != 0 {
		t.Error("the image of lnd was asked for")
	}
	for _, args := range [][]string{{"reconcile"}, {"reconcile", "--check-only"}} {
		if res := n.must(t, 0, args...); !strings.Contains(res.Stdout, "1 app: 1 ok · nothing to do") {
			t.Errorf("archy %s says:\n%s%s", strings.Join(args, " "), res.Stdout, res.Stderr)
		}
	}
	if list := n.containers(t); len(list) != 1 {
		t.Errorf("containers: %v", list)
	}
}
