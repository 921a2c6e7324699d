// Package heal_test shows on a real node how archy tells what is wrong with podman, and heals it: the right diagnosis, the right rung, no data
// lost, and no app restarted that need not be. The node is that of test/node, so the test needs root.
package heal_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/test/node"
)

const (
	dataDir  = "/var/lib/archipelago"
	storage  = dataDir + "/containers/storage"
	runtime  = "/run/user/1000"
	patience = 4 * time.Minute
)

// The apps of the node, by container: two share a bridge, the third has a network of its own.
var containers = []string{"archy-mempool-db", "bitcoin-knots", "filebrowser"}

// machine is a node with archy and three apps, and the rungs that were climbed on it.
type machine struct {
	*node.Node
	climbed map[int]bool
}

func converged(t *testing.T) machine {
	t.Helper()
	n := machine{node.UpT(t, node.Options{Apps: containers}), map[int]bool{}}
	if err := n.Put(node.Archy(t), "/usr/local/bin/archy", 0o755); err != nil {
		t.Fatal(err)
	}
	n.write(t, "/etc/archipelago/archy.yaml", "bitcoin:\n  prune: 0\n")
	n.write(t, "/etc/containers/containers.conf.d/60-locks.conf", "[engine]\nnum_locks = 32\n")
	n.archy(t, 0, "secrets", "gen")
	n.archy(t, 0, "reconcile", "--create-missing", "--wait")
	return n
}

func (n machine) write(t *testing.T, path, text string) {
	t.Helper()
	if err := n.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// archy runs archy as the service user and wants an exit code.
func (n machine) archy(t *testing.T, code int, args ...string) node.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res := n.User(ctx, append([]string{"archy"}, args...)...)
	if res.Code != code || res.Err != nil {
		t.Fatalf("archy %s: exit code %d (%v), want %d\n%s%s", strings.Join(args, " "), res.Code, res.Err, code, res.Stdout, res.Stderr)
	}
	return res
}

func (n machine) user(t *testing.T, script string) string {
	t.Helper()
	return n.MustUser(t, "sh", "-ec", script)
}

// check wants a state, and the exit code that belongs to it.
func (n machine) check(t *testing.T, want heal.State, args ...string) heal.Diagnosis {
	t.Helper()
	code := heal.ExitHuman
	if want.Fine() {
		code = heal.ExitOK
	}
	var d heal.Diagnosis
	document(t, n.archy(t, code, append([]string{"podman", "check", "--json"}, args...)...), &d)
	if d.State != want && !(want == heal.OK && d.State == heal.Slow) { // on a busy machine a healthy podman is slow
		t.Fatalf("podman is %s (%s), want %s; also %v", d.State, d.Evidence, want, d.Also)
	}
	return d
}

// heal climbs, and wants the rungs that were done, and none that was refused or failed.
func (n machine) heal(t *testing.T, code int, rungs []int, args ...string) heal.Report {
	t.Helper()
	var r heal.Report
	document(t, n.archy(t, code, append([]string{"podman", "heal", "--json"}, args...)...), &r)
	if done := n.counts(r); !slices.Equal(done, rungs) {
		t.Fatalf("rungs %v, want %v: %+v", done, rungs, r)
	}
	return r
}

// counts remembers the rungs of a report that were done.
func (n machine) counts(r heal.Report) []int {
	var done []int
	for _, s := range r.Rungs {
		if s.Done {
			done, n.climbed[s.N] = append(done, s.N), true
		}
	}
	return done
}

// pass makes a pass, and wants the state of podman in its result.
func (n machine) pass(t *testing.T, code int, want heal.State) reconcile.Result {
	t.Helper()
	var r reconcile.Result
	document(t, n.archy(t, code, "reconcile", "--json"), &r)
	if r.Podman.State != string(want) {
		t.Fatalf("the pass found podman %s, want %s: %+v", r.Podman.State, want, r.Podman)
	}
	if r.Podman.Heal != nil {
		n.counts(*r.Podman.Heal)
	}
	return r
}

func document(t *testing.T, res node.Result, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(res.Stdout), v); err != nil {
		t.Fatalf("not one document (%v):\n%s", err, res.Stdout)
	}
}

// idle lets podman's service end, which keeps the database open that the test is about to break.
func (n machine) idle(t *testing.T) { n.user(t, "systemctl --user stop podman.service") }

// keepBusy listens to podman's service, which would end by itself, until the test is done with that.
func (n machine) keepBusy(t *testing.T) (done func()) {
	n.user(t, "systemd-run --user --quiet --unit=listener curl -sN --unix-socket "+runtime+"/podman/podman.sock http://d/v5.4.2/libpod/events; podman --url unix://"+runtime+"/podman/podman.sock ps -q >/dev/null")
	return func() { n.user(t, "systemctl --user stop listener 2>/dev/null || true") }
}

// sound is what must be the same before and after: which data an app has and that it was never ended hard; and how often it was started.
type sound struct {
	data   string
	starts map[string]int
}

func (n machine) look(t *testing.T) sound {
	t.Helper()
	s := sound{starts: map[string]int{}}
	s.data = n.MustRoot(t, "sh", "-c", "cd "+dataDir+"; find . -path ./containers -prune -o \\( -name born -o -name unclean \\) -print | sort | while read f; do echo $f; cat $f; done")
	for _, c := range containers {
		s.starts[c] = strings.Count(n.user(t, "journalctl --user -u "+c+".service -o cat --no-pager"), "Started "+c+".service")
	}
	return s
}

// healed wants that everything is as before, podman well, each app started as often as told in between, and each name at one address.
func (n machine) healed(t *testing.T, before sound, starts int) {
	t.Helper()
	n.check(t, heal.OK)
	after := n.look(t)
	if after.data != before.data || !strings.Contains(after.data, "born") {
		t.Errorf("data differ:\n%s\nbefore:\n%s", after.data, before.data)
	}
	for _, c := range containers {
		if got := after.starts[c] - before.starts[c]; got != starts {
			t.Errorf("%s was started %d times, want %d", c, got, starts)
		}
	}
	running := strings.Fields(n.user(t, "podman ps --format '{{.Names}}'"))
	if slices.Sort(running); !slices.Equal(running, containers) {
		t.Errorf("running: %v", running)
	}
	names := n.user(t, "cat "+runtime+"/containers/networks/aardvark-dns/archy-net")
	if got := strings.Count(names, " bitcoin-knots,"); got != 1 {
		t.Errorf("bitcoin-knots has %d addresses:\n%s", got, names)
	}
	if stale := n.user(t, `known=$(podman ps -aq --no-trunc)
		systemctl --user list-units --type=timer --plain --no-legend | while read -r unit rest; do
			id=${unit%%-*}
			[ ${#id} != 64 ] || case "$known" in *$id*) ;; *) echo $unit;; esac
		done`); stale != "" {
		t.Errorf("health checks of containers that are gone:\n%s", stale)
	}
	n.archy(t, 0, "reconcile", "--check-only", "--exit-code")
	// The cases lie further apart than the hour of a climb and the half hour of a breaker.
	n.MustRoot(t, "sh", "-c", "rm -f "+dataDir+"/state/heal.json "+dataDir+"/state/podman-silent-last.json "+dataDir+"/state/restarts/*.json")
	n.user(t, "systemctl --user reset-failed")
}
