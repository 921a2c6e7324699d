package verbs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// subject is an app of the table: its id and the name of its container.
type subject struct{ id, name string }

// subjects are the ten apps. The default run takes the first two, which need nobody and start at once.
var subjects = []subject{
	{"filebrowser", "filebrowser"}, {"archy-mempool-db", "archy-mempool-db"}, {"bitcoin-knots", "bitcoin-knots"}, {"electrumx", "electrumx"},
	{"lnd", "lnd"}, {"mempool-api", "mempool-api"}, {"mempool", "archy-mempool-web"},
	{"bitcoin-ui", "archy-bitcoin-ui"}, {"electrs-ui", "archy-electrs-ui"}, {"lnd-ui", "archy-lnd-ui"},
}

// byHand tells that somebody wants the whole table, for all apps.
func byHand() bool { return os.Getenv("ARCHY_ROUNDS") != "" }

// rounds is how often each verb meets each state: once, two apps sharing the states, or as ARCHY_ROUNDS says for all ten.
func rounds(t *testing.T) (n int, apps []subject) {
	text := os.Getenv("ARCHY_ROUNDS")
	if !byHand() {
		return 1, subjects[:2]
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("ARCHY_ROUNDS=%s is no number of rounds", text)
	}
	return n, subjects
}

// The states of an app, in an order in which one leads to the next.
const (
	installed = "installed"
	stopped   = "stopped"
	removed   = "removed"
	failed    = "failed"
	adopted   = "adopted"
)

var states = []string{installed, stopped, removed, failed, adopted}

// statesOf are the states that an app of the table goes through: all of them by hand, else its share.
func statesOf(i int) []string {
	switch {
	case byHand():
		return states
	case i == 0:
		return states[:3]
	}
	return states[3:]
}

// enter brings an app that is installed and runs into a state.
func (n machine) enter(t *testing.T, s subject, st string) {
	t.Helper()
	switch st {
	case stopped:
		n.verb(t, 0, s.id, "stop", s.id)
	case removed:
		n.verb(t, 0, s.id, "remove", s.id, "--cascade")
	case failed:
		n.fail(t, s)
	case adopted:
		n.disown(t, s)
	}
	n.is(t, s, st)
}

// fail makes the service one that systemd has seen fail; its unit is as archy wrote it.
func (n machine) fail(t *testing.T, s subject) {
	t.Helper()
	dropIn := unitDir + "/" + s.name + ".container.d"
	n.user(t, "systemctl --user stop "+s.name+"; mkdir -p "+dropIn+"; printf '[Service]\nRestart=no\nExecStartPre=/bin/false\n' > "+dropIn+"/fail.conf; "+
		"systemctl --user daemon-reload; systemctl --user start "+s.name+" || true; rm -r "+dropIn+"; systemctl --user daemon-reload")
	if got := n.user(t, "systemctl --user show -p ActiveState "+s.name); !strings.Contains(got, "=failed") {
		t.Fatalf("%s has not failed: %s", s.id, got)
	}
}

// disown makes the app one that an older release's script started: a container without labels and without a unit, over
// the same data, adopted.
func (n machine) disown(t *testing.T, s subject) {
	t.Helper()
	n.user(t, "systemctl --user stop "+s.name+"; rm "+unitDir+"/"+s.name+".container "+dataDir+"/state/apps/"+s.id+".json; systemctl --user daemon-reload; legacy.sh "+s.name)
	n.archy(t, 0, "adopt", s.id)
}

// cell is what a verb must come to in a state: its exit code, what it does, and the state that it leaves.
type cell struct {
	code   int
	action []reconcile.Action
	after  string
}

func does(list ...reconcile.Action) []reconcile.Action { return list }

// verbs in an order in which those come first that leave most states as they are.
var verbs = []string{"health", "logs", "restart", "start", "upgrade", "install", "stop", "remove"}

// table is every verb on every state. An app that is down is started, whatever the verb is called.
var table = map[string]map[string]cell{
	"health": {installed: {0, nil, installed}, stopped: {3, nil, stopped}, failed: {3, nil, failed}, adopted: {0, nil, adopted}, removed: {3, nil, removed}},
	"logs":   {installed: {0, nil, installed}, stopped: {0, nil, stopped}, failed: {0, nil, failed}, adopted: {0, nil, adopted}, removed: {0, nil, removed}},
	"restart": {installed: {0, does(reconcile.Restarted), installed}, stopped: {2, nil, stopped}, failed: {0, does(reconcile.Started), installed},
		adopted: {0, does(reconcile.Restarted), adopted}, removed: {2, nil, removed}},
	"start": {installed: {0, does(reconcile.NoOp), installed}, stopped: {0, does(reconcile.Started), installed}, failed: {0, does(reconcile.Started), installed},
		adopted: {0, does(reconcile.NoOp), adopted}, removed: {2, nil, removed}},
	"upgrade": {installed: {0, does(reconcile.NoOp), installed}, stopped: {0, does(reconcile.NoOp), stopped}, failed: {0, does(reconcile.Started), installed},
		adopted: {0, does(reconcile.Migrated), installed}, removed: {2, nil, removed}},
	"install": {installed: {0, does(reconcile.NoOp), installed}, stopped: {0, does(reconcile.Started), installed}, failed: {0, does(reconcile.Started), installed},
		adopted: {0, does(reconcile.NoOp), adopted}, removed: {0, does(reconcile.Installed), installed}},
	"stop": {installed: {0, does(reconcile.Stopped), stopped}, stopped: {0, does(reconcile.NoOp), stopped}, failed: {0, does(reconcile.NoOp), stopped},
		adopted: {0, does(reconcile.Stopped), stopped}, removed: {0, does(reconcile.NoOp), removed}},
	"remove": {installed: {0, does(reconcile.Removed), removed}, stopped: {0, does(reconcile.Removed), removed}, failed: {0, does(reconcile.Removed), removed},
		adopted: {0, does(reconcile.Removed), removed}, removed: {0, does(reconcile.NoOp), removed}},
}

// TestEachVerbOnEachState is the table: each verb on each app in each state, ARCHY_ROUNDS times.
func TestEachVerbOnEachState(t *testing.T) {
	t.Parallel()
	count, apps := rounds(t)
	n := fresh(t)
	if err := n.Put("../e2e/testdata/legacy.sh", "/usr/local/bin/legacy.sh", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"bitcoin-ui", "lnd-ui", "electrs-ui"} { // an older release's script builds them
		if err := n.CopyFS("/opt/archipelago/docker/"+id, os.DirFS(filepath.Join(repository, "apps", id, "docker"))); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range apps {
		n.archy(t, 0, "install", s.id)
	}
	born := n.born(t)
	t.Run("table", func(t *testing.T) {
		for i, s := range apps {
			t.Run(s.id, func(t *testing.T) {
				if !byHand() { // these two have nothing to do with each other
					t.Parallel()
				}
				for round := range count {
					n.everyCell(t, s, statesOf(i), round+1)
				}
			})
		}
	})
	if now := n.born(t); now != born {
		t.Errorf("data were lost:\nbefore\n%s\nnow\n%s", born, now)
	}
	n.quiet(t)
}

// everyCell goes through the table for one app, which is installed before and after.
func (n machine) everyCell(t *testing.T, s subject, states []string, round int) {
	now := installed
	for _, st := range states {
		for _, verb := range verbs {
			ok := t.Run(fmt.Sprintf("%s/%s/%d", st, verb, round), func(t *testing.T) {
				if now != st {
					if now != installed {
						n.back(t, s)
					}
					n.enter(t, s, st)
				}
				want := table[verb][st]
				n.cell(t, s, verb, want)
				now = want.after
			})
			if !ok {
				t.FailNow() // the cells after this one would start from nowhere
			}
		}
	}
	n.back(t, s)
}

func (n machine) cell(t *testing.T, s subject, verb string, want cell) {
	t.Helper()
	args := []string{verb, s.id}
	if verb == "remove" {
		args = append(args, "--cascade")
	}
	if want.action == nil {
		n.archy(t, want.code, args...)
	} else if a := n.verb(t, want.code, s.id, args...); !slices.Contains(want.action, a.Action) {
		t.Errorf("%s: %s (%s), want %v", verb, a.Action, a.Cause, want.action)
	}
	n.is(t, s, want.after)
}

// is asks that the app is in a state, by what podman, systemd and archy's records say.
func (n machine) is(t *testing.T, s subject, st string) {
	t.Helper()
	c, r := n.container(t, s.name), n.record(t, s.id)
	if want := st == installed || st == adopted; c.Running != want {
		t.Errorf("%s runs: %v, want it %s", s.id, c.Running, st)
	}
	if got := n.stoppedByOwner(t, s.id); st != removed && got != (st == stopped) {
		t.Errorf("%s is stopped by the owner: %v, want it %s", s.id, got, st)
	}
	unit := n.hasUnit(t, s.name)
	switch {
	case st == removed && (r.Installed || r.RemovedAt.IsZero() || unit || c.ID != ""):
		t.Errorf("%s is not removed: unit %v, container %+v, record %+v", s.id, unit, c, r)
	case st != removed && !r.Installed:
		t.Errorf("%s is not installed: %+v", s.id, r)
	case st == adopted && (unit || r.Owner != state.Legacy), (st == installed || st == failed) && (!unit || r.Owner != state.Quadlet):
		t.Errorf("%s is not %s: unit %v, record %+v", s.id, st, unit, r)
	}
}

// back makes the app one that is installed and runs from its unit again, and all that a cascade took along.
func (n machine) back(t *testing.T, s subject) {
	t.Helper()
	n.archy(t, 0, "install", s.id)
	if n.record(t, s.id).Owner == state.Legacy {
		n.archy(t, 0, "adopt", "--migrate", s.id)
	}
	for _, other := range subjects {
		if n.Exists(dataDir+"/state/apps/"+other.id+".json") && other.id != s.id && byHand() && !n.record(t, other.id).Installed {
			n.archy(t, 0, "install", other.id)
		}
	}
	n.is(t, s, installed)
}

// born are the marks that the servers left in their data at their first start.
func (n machine) born(t *testing.T) string {
	t.Helper()
	return n.sh(t, `cd /var/lib/archipelago; find . -path ./containers -prune -o -name born -print | sort | while read f; do echo "$f $(cat $f)"; done`)
}
