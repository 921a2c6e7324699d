package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/images"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// manifestOf writes a small manifest; more is appended below app.
func manifestOf(id string, tier int, more ...string) string {
	return fmt.Sprintf(`app:
  id: %[1]s
  name: %[1]s
  version: "1.0"
  optional: false
  container:
    image: docker.io/example/%[1]s:v1.0
    network: archy-net
  metadata:
    tier: %[2]d
  health_check:
    type: cmd
    endpoint: check
    interval: 30s
    timeout: 5s
    retries: 3
    start_period: 60s
%[3]s`, id, tier, strings.Join(more, ""))
}

const (
	dataOf = `  volumes:
    - type: bind
      source: /var/lib/archipelago/%s
      target: /data
`
)

// dependsOn is the part of a manifest that names other apps.
func dependsOn(ids ...string) string {
	text := "  dependencies:\n"
	for _, id := range ids {
		text += "    - app_id: " + id + "\n      condition: healthy\n"
	}
	return text
}

// shared makes an app use, or make, the password of the database.
func shared(text string, makes bool) string {
	more := "    secret_env:\n      - key: DB\n        secret_file: db-password\n"
	if makes {
		more += "    generated_secrets:\n      - name: db-password\n        kind: hex32\n"
	}
	return strings.Replace(text, "    network: archy-net\n", "    network: archy-net\n"+more, 1)
}

// five are apps that need each other: a database, what uses it with the same secret, and a page.
func five() map[string]string {
	return map[string]string{
		"pgdb": shared(manifestOf("pgdb", 0, fmt.Sprintf(dataOf, "pgdb")), true),
		"base": manifestOf("base", 1, fmt.Sprintf(dataOf, "base")),
		"api":  shared(manifestOf("api", 2, dependsOn("pgdb", "base")), false),
		"web":  manifestOf("web", 3, dependsOn("api")),
		"solo": manifestOf("solo", 3),
	}
}

// changedTo is a manifest with another memory limit.
func changedTo(text string) string { return text + "  resources:\n    memory_limit: 512Mi\n" }

func upgraded(text, tag string) string { return strings.Replace(text, ":v1.0\n", ":"+tag+"\n", 1) }

// firstBootDone makes apps that are not optional wanted.
func (n *fakeNode) firstBootDone() *fakeNode {
	n.t.Helper()
	if err := os.WriteFile(n.layout.Host(n.layout.FirstBootDone()), nil, 0o644); err != nil {
		n.t.Fatal(err)
	}
	return n
}

// fiveRunning is a node on which five apps run.
func fiveRunning(t testing.TB) *fakeNode {
	n := newNode(t, five()).firstBootDone()
	n.pass()
	n.converged()
	n.later(time.Minute)
	n.calls = nil
	return n
}

// converged asks that everything is as wanted, that a further pass has nothing to do, and that nothing forbidden happened.
func (n *fakeNode) converged() {
	n.t.Helper()
	n.later(30 * time.Second)
	for _, id := range n.set.Order() {
		name := n.set.Apps[id].Unit()
		c := n.containers[name]
		if c == nil || !c.State.Running || c.Health != nil && c.Health.Status != podman.HealthHealthy {
			n.t.Errorf("%s does not run healthy", id)
		}
		r, _, err := n.store.ReadRecord(id)
		if err != nil || r.Op != nil {
			n.t.Errorf("record of %s: %+v, %v", id, r.Op, err)
		}
	}
	if plan := n.plan(); !plan.Empty() {
		n.t.Errorf("a further pass is not empty:\n%s", plan)
	}
	n.unharmed()
}

func (n *fakeNode) unharmed() {
	n.t.Helper()
	if len(n.violations) > 0 {
		n.t.Errorf("forbidden: %q", n.violations)
	}
}

func (n *fakeNode) result(r Result, id string) AppResult {
	n.t.Helper()
	for _, a := range r.Apps {
		if a.App == id {
			return a
		}
	}
	n.t.Fatalf("no result for %s in %+v", id, r.Apps)
	return AppResult{}
}

// touched are the apps whose containers were started, restarted or stopped.
func (n *fakeNode) touched() []string {
	var out []string
	for _, c := range n.calls {
		verb, rest, _ := strings.Cut(c, " ")
		if slices.Contains([]string{"start", "restart", "stop", "rename", "remove"}, verb) {
			out = append(out, verb+" "+strings.TrimSuffix(rest, ".service"))
		}
	}
	return out
}

func (n *fakeNode) record(id string) state.Record {
	n.t.Helper()
	r, _, err := n.store.ReadRecord(id)
	if err != nil {
		n.t.Fatal(err)
	}
	return r
}

func ids(n *fakeNode) map[string]string {
	out := map[string]string{}
	for name, c := range n.containers {
		out[name] = c.ID
	}
	return out
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if string(g) != string(w) {
		t.Errorf("%s: %s, want %s", what, g, w)
	}
}

func TestFromNothingToFiveApps(t *testing.T) {
	n := newNode(t, five()).firstBootDone()
	r := n.pass()
	if r.ExitCode != 0 || r.Summary.Changed != 5 || r.Summary.OK != 5 {
		t.Errorf("exit %d, %+v: %+v", r.ExitCode, r.Summary, r.Apps)
	}
	n.converged()
	started := n.touched()
	for _, edge := range [][2]string{{"start pgdb", "start api"}, {"start base", "start api"}, {"start api", "start web"}} {
		if slices.Index(started, edge[0]) < 0 || slices.Index(started, edge[0]) > slices.Index(started, edge[1]) {
			t.Errorf("%s must come before %s: %q", edge[0], edge[1], started)
		}
	}
	before := len(n.calls)
	again := n.pass()
	if again.Summary.Changed != 0 || again.ExitCode != 0 || !strings.Contains(again.Line(), "nothing to do") {
		t.Errorf("second pass: %s", again.Line())
	}
	for _, c := range n.calls[before:] {
		if !strings.HasPrefix(c, "write history") {
			t.Errorf("the second pass did %q", c)
		}
	}
}

func TestASecretIsDraftedOnceAndShared(t *testing.T) {
	n := newNode(t, five()).firstBootDone()
	n.pass()
	db, api := n.secrets["archy.pgdb.DB"].value, n.secrets["archy.api.DB"].value
	file, err := n.vault.Read("db-password")
	if err != nil || db == "" || db != api || file.Reveal() != db {
		t.Errorf("the database, its user and the file must have one password: %v", err)
	}
	writes := slices.DeleteFunc(slices.Clone(n.calls), func(c string) bool { return c != "write secret db-password" })
	if len(writes) != 1 {
		t.Errorf("secret was written %d times", len(writes))
	}
}

func TestCheckOnlyChangesNothing(t *testing.T) {
	n := newNode(t, five()).firstBootDone()
	before := tree(t, n.layout.Root)
	r := n.pass(func(o *Options) { o.CheckOnly = true })
	if len(r.Plan) == 0 || len(n.calls) > 0 {
		t.Errorf("plan %q, calls %q", r.Plan, n.calls)
	}
	equal(t, "files", tree(t, n.layout.Root), before)
}

func tree(t *testing.T, root string) []string {
	var out []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err == nil {
			out = append(out, strings.TrimPrefix(p, root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestReplaceTouchesNothingElse(t *testing.T) {
	n := fiveRunning(t)
	before := ids(n)
	apps := five()
	apps["web"] = changedTo(apps["web"])
	n.load(apps)
	r := n.pass()
	if got := n.result(r, "web"); got.Action != Recreated || !got.Changed || got.Class != ClassOK {
		t.Errorf("web: %+v", got)
	}
	equal(t, "touched", n.touched(), []string{"restart web"})
	n.converged()
	for name, id := range ids(n) {
		if (id != before[name]) != (name == "web") {
			t.Errorf("%s: container %s, was %s", name, id, before[name])
		}
	}
}

// badImage makes the new version of web one that ends at its start, and says a secret on the way.
func (n *fakeNode) badImage(b behaviour) {
	apps := five()
	apps["web"] = upgraded(apps["web"], "v2.0")
	n.load(apps)
	n.behave["docker.io/example/web:v2.0"] = b
}

func forceWeb(o *Options) { o.Force, o.Only = true, []string{"web"} }

// Row 8 of the safe replace: an app of tier 1 or 2 may take its time, unless podman has given its check up.
func TestAnUnhealthyChangeOfTier2IsUndone(t *testing.T) {
	const v2 = "docker.io/example/api:v2.0"
	upgradeAPI := func(o *Options) { o.Upgrade, o.Only, o.Owner = map[string]string{"api": v2}, []string{"api"}, true }
	upgradable := func(t *testing.T, b behaviour) *fakeNode {
		n := fiveRunning(t)
		n.registry[v2], n.behave[v2] = true, b
		return n
	}
	t.Run("starting", func(t *testing.T) {
		n := upgradable(t, behaviour{sick: true})
		if got := n.result(n.pass(upgradeAPI), "api"); got.Action != Recreated || !strings.Contains(got.Cause, "still starting") || n.record("api").Image != v2 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("unhealthy", func(t *testing.T) {
		n := upgradable(t, behaviour{ill: true})
		if got := n.result(n.pass(upgradeAPI), "api"); got.Action != RolledBack || n.record("api").Image == v2 || n.containers["api"].Image == v2 {
			t.Errorf("%+v", got)
		}
		n.converged()
	})
	t.Run("unhealthy, killed after its restart", func(t *testing.T) {
		n := upgradable(t, behaviour{ill: true})
		n.fault = fault{kind: "kill", match: "restart api.service", at: 1}
		_, _ = n.tryPass(upgradeAPI)
		n.revive()
		n.later(2 * time.Second)
		if got := n.result(n.pass(), "api"); got.Action != RolledBack || n.containers["api"].Image == v2 {
			t.Errorf("%+v", got)
		}
		n.converged()
	})
	t.Run("the previous version is unhealthy too", func(t *testing.T) {
		n := upgradable(t, behaviour{ill: true})
		n.behave["docker.io/example/api:v1.0"] = behaviour{ill: true}
		if got := n.result(n.pass(upgradeAPI), "api"); got.Action != NeedsHuman || n.containers["api"].Image == v2 {
			t.Fatalf("%+v", got)
		}
		n.calls = nil
		n.later(10 * time.Minute)
		if got := n.result(n.pass(), "api"); got.Action != NeedsHuman || len(n.touched()) > 0 {
			t.Errorf("it is restarted for its health alone: %q, %+v", n.touched(), got)
		}
		n.behave = map[string]behaviour{}
		n.later(10 * time.Minute)
		if got := n.result(n.pass(), "api"); got.Action != RolledBack || len(n.touched()) > 0 {
			t.Errorf("%q, %+v", n.touched(), got)
		}
	})
}

func TestReplaceThatDiesIsRolledBackAndHeld(t *testing.T) {
	for name, b := range map[string]behaviour{"dies": {dies: 3, says: "cannot open database\n\nfatal"}, "never healthy": {sick: true}} {
		t.Run(name, func(t *testing.T) {
			n := fiveRunning(t)
			before := n.containers["web"].Labels[spec.LabelSpecHash]
			n.badImage(b)
			r := n.pass(forceWeb)
			got := n.result(r, "web")
			if got.Action != RolledBack || got.Class != ClassFailed || r.ExitCode != ExitSomeFailed || got.Error == nil {
				t.Fatalf("web: %+v, exit %d", got, r.ExitCode)
			}
			if b.dies != 0 {
				if !strings.Contains(got.Cause, "exited 3") {
					t.Errorf("cause %q does not say how it ended", got.Cause)
				}
				equal(t, "last words", got.Error.LogTail, []string{"cannot open database", "fatal"})
			}
			c := n.containers["web"]
			if c == nil || !c.State.Running || c.Image != "docker.io/example/web:v1.0" || c.Labels[spec.LabelSpecHash] != before {
				t.Fatalf("the previous version does not run again: %+v", c)
			}
			if rec := n.record("web"); rec.FailedHash == "" || rec.Op != nil || rec.Image != "docker.io/example/web:v1.0" {
				t.Errorf("record %+v", rec)
			}
			n.calls = nil
			next := n.pass()
			if got := n.result(next, "web"); got.Changed || len(n.touched()) > 0 || !strings.Contains(got.Cause, "it did not come up when it was tried") {
				t.Errorf("next pass: %+v, %q", got, n.touched())
			}
		})
	}
}

// A manifest's own change that fails is held: row 35 on the next passes, until it changes or is forced.
func TestFailedSpecIsHeldUntilItChanges(t *testing.T) {
	n := fiveRunning(t)
	apps := five()
	broken := strings.Replace(apps["web"], "archy-net", "pasta", 1)
	apps["web"] = broken
	n.load(apps)
	n.behave["docker.io/example/web:v1.0"] = behaviour{dies: 1}
	n.onCall = func(call string) {
		// Only the new spec dies: the image is well again as soon as the old unit is put back.
		if strings.HasPrefix(call, "write unit web") && n.record("web").Op != nil && n.record("web").Op.Rollback {
			n.behave["docker.io/example/web:v1.0"] = behaviour{}
		}
	}
	if got := n.result(n.pass(), "web"); got.Action != RolledBack {
		t.Fatalf("web: %+v", got)
	}
	for range 2 {
		n.calls = nil
		r := n.pass()
		if got := n.result(r, "web"); got.Row != "35" || got.Action != Left || r.ExitCode != ExitSomeFailed || len(n.touched()) > 0 {
			t.Errorf("held: %+v, exit %d, %q", got, r.ExitCode, n.touched())
		}
	}
	if plan := n.plan(); !plan.Empty() {
		t.Errorf("plan of a held app:\n%s", plan)
	}
	apps["web"] = changedTo(broken)
	n.load(apps)
	if got := n.result(n.pass(), "web"); got.Action != Recreated || got.Class != ClassOK {
		t.Errorf("a corrected manifest: %+v", got)
	}
	n.converged()
}

// A held spec is tried again by a start, with a way back; neither a restart nor a stop puts it in the place of the unit that works.
func TestAHeldSpecAndTheVerbs(t *testing.T) {
	n := fiveRunning(t)
	apps := five()
	apps["web"] = strings.Replace(apps["web"], "archy-net", "pasta", 1)
	n.load(apps)
	image := "docker.io/example/web:v1.0"
	n.onCall = func(call string) {
		if strings.HasPrefix(call, "write unit web") && n.record("web").Op != nil {
			n.behave[image] = behaviour{} // the old unit
			if !n.record("web").Op.Rollback {
				n.behave[image] = behaviour{dies: 1}
			}
		}
	}
	works := n.text(n.layout.Unit("web"))
	if got := n.result(n.pass(), "web"); got.Action != RolledBack {
		t.Fatalf("web: %+v", got)
	}
	for _, verb := range []string{VerbRestart, VerbStop} {
		n.mustVerb(0, Request{Verb: verb, Apps: []string{"web"}})
		if n.text(n.layout.Unit("web")) != works || n.runs("web") != (verb == VerbRestart) {
			t.Errorf("after the %s it runs: %v, with the unit\n%s", verb, n.runs("web"), n.text(n.layout.Unit("web")))
		}
	}
	for _, only := range [][]string{nil, {"web"}} {
		r := n.pass(func(o *Options) { o.Force, o.Only = true, only })
		if got := n.result(r, "web"); n.text(n.layout.Unit("web")) != works || n.runs("web") || got.Action != NoOp || n.record("web").FailedHash == "" {
			t.Errorf("forced while it is stopped: %+v, with the unit\n%s", got, n.text(n.layout.Unit("web")))
		}
	}
	r := n.mustVerb(ExitSomeFailed, Request{Verb: VerbStart, Apps: []string{"web"}})
	if got := n.result(r, "web"); got.Action != RolledBack || n.text(n.layout.Unit("web")) != works || !n.runs("web") {
		t.Errorf("after the start it runs: %v, %+v", n.runs("web"), got)
	}
}

func TestRollBackThatFailsNeedsAPerson(t *testing.T) {
	n := fiveRunning(t)
	n.badImage(behaviour{dies: 3})
	n.onCall = func(call string) {
		if call == "write unit web" && n.record("web").Op.Rollback {
			n.behave["docker.io/example/web:v1.0"] = behaviour{dies: 4}
		}
	}
	r := n.pass(forceWeb)
	got := n.result(r, "web")
	if got.Action != NeedsHuman || r.ExitCode != ExitNeedsHuman {
		t.Fatalf("web: %+v, exit %d", got, r.ExitCode)
	}
	for _, part := range []string{"exited 3", "exited 4"} {
		if !strings.Contains(got.Error.Message, part) {
			t.Errorf("%q does not hold both errors (%s)", got.Error.Message, part)
		}
	}
	if !strings.Contains(got.Error.Hint, "archy reconcile --force --container=web") || !strings.Contains(got.Error.Hint, "no data was touched") {
		t.Errorf("hint %q", got.Error.Hint)
	}
	n.onCall, n.calls = nil, nil
	r = n.pass()
	if got := n.result(r, "web"); got.Action != NeedsHuman || len(n.touched()) > 0 || r.ExitCode != ExitNeedsHuman {
		t.Errorf("within the back-off: %+v, %q", got, n.touched())
	}
	n.behave["docker.io/example/web:v1.0"] = behaviour{}
	n.later(6 * time.Minute)
	if got := n.result(n.pass(), "web"); got.Action != RolledBack || n.containers["web"] == nil {
		t.Errorf("after the back-off: %+v", got)
	}
}

func TestFirstStartThatDies(t *testing.T) {
	n := newNode(t, five()).firstBootDone()
	n.behave["docker.io/example/pgdb:v1.0"] = behaviour{dies: 1, says: "no space"}
	r := n.pass()
	if got := n.result(r, "pgdb"); got.Action != Failed || r.ExitCode != ExitSomeFailed || got.Error == nil || !strings.Contains(got.Error.Message, "exited 1") {
		t.Errorf("db: %+v, exit %d", got, r.ExitCode)
	}
	for id, action := range map[string]Action{"api": Waiting, "web": Waiting, "base": Installed, "solo": Installed} {
		if got := n.result(r, id); got.Action != action {
			t.Errorf("%s: %+v, want %s", id, got, action)
		}
	}
	if h, _ := n.store.ReadHistory("api"); len(h.Events) > 0 {
		t.Error("the breaker counted a dependency's failure")
	}
	n.behave = map[string]behaviour{}
	n.later(10 * time.Minute)
	n.pass()
	n.converged()
}

func TestPullFails(t *testing.T) {
	n := newNode(t, five()).firstBootDone()
	delete(n.registry, "docker.io/example/solo:v1.0")
	r := n.pass()
	if got := n.result(r, "solo"); got.Action != Failed || got.Error.Code != "image" || !strings.Contains(got.Error.Message, "manifest unknown") {
		t.Errorf("solo: %+v", got)
	}
	if n.services["solo.service"] != nil {
		t.Error("a unit without its image was loaded")
	}
	if got := n.result(r, "web"); got.Action != Installed {
		t.Errorf("the others must go on: %+v", got)
	}

	up := fiveRunning(t)
	id := up.containers["web"].ID
	up.badImage(behaviour{})
	delete(up.registry, "docker.io/example/web:v2.0")
	r = up.pass(forceWeb)
	if got := up.result(r, "web"); got.Action != Left || r.ExitCode != ExitSomeFailed || up.containers["web"].ID != id || len(up.touched()) > 0 {
		t.Errorf("an upgrade whose image cannot be had: %+v, exit %d, %q", got, r.ExitCode, up.touched())
	}
}

// A pull writes a new ledger of images in the place of one that cannot be understood: what was there is kept, and told.
func TestPullWithADamagedLedger(t *testing.T) {
	for name, was := range map[string]string{"cut short": `{"schema": 1, "images": [{"ref": "docker.io/exam`, "of a newer archy": `{"schema":9,"images":{}}`} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, map[string]string{"solo": five()["solo"]}).firstBootDone()
			ledger := n.layout.State("images.json")
			if err := errors.Join(os.MkdirAll(filepath.Dir(n.layout.Host(ledger)), 0o700), os.WriteFile(n.layout.Host(ledger), []byte(was), 0o600)); err != nil {
				t.Fatal(err)
			}
			r := n.pass()
			told := func(text string) bool {
				return strings.HasPrefix(text, ledger+": ") && strings.Contains(text, ".unreadable-")
			}
			if got := n.result(r, "solo"); got.Action != Installed || !slices.ContainsFunc(r.Warnings, told) {
				t.Errorf("%+v, warnings %q", got, r.Warnings)
			}
			kept, _ := filepath.Glob(n.layout.Host(ledger) + ".unreadable-*")
			if len(kept) != 1 {
				t.Fatalf("kept aside: %q", kept)
			}
			if text, _ := os.ReadFile(kept[0]); string(text) != was {
				t.Errorf("kept aside: %q", text)
			}
			if l, err := n.store.ReadLedger(); err != nil || len(l.Images) != 1 {
				t.Errorf("the new one: %+v, %v", l, err)
			}
			n.converged()
		})
	}
}

func TestMirrorsAreAskedFirst(t *testing.T) {
	n := newNode(t, map[string]string{"solo": five()["solo"]}).firstBootDone()
	n.registry = map[string]bool{"mirror.example/example/solo:v1.0": true}
	p := n.passOf()
	p.Applier.Mirrors = []images.Mirror{{Location: "dead.example/"}, {Location: "mirror.example"}}
	if _, err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.converged()
}

func TestIncident11Breaker(t *testing.T) {
	n := newNode(t, map[string]string{"solo": five()["solo"]}).firstBootDone()
	n.behave["docker.io/example/solo:v1.0"] = behaviour{dies: 1, says: "no database"}
	var tries []string
	for range 40 {
		n.calls = nil
		got := n.result(n.pass(), "solo").Breaker
		h, _ := n.store.ReadHistory("solo")
		if got.Open != h.IsOpen() || got.Count != h.Attempts(n.peek()) || h.Next(n.peek()).After(n.peek()) && !got.NextAttempt.Equal(h.NextAttempt) {
			t.Errorf("the pass tells %+v and keeps %+v", got, h)
		}
		if len(n.touched()) > 0 {
			tries = append(tries, n.touched()...)
		}
		n.services["solo.service"].ActiveState, n.services["solo.service"].SubState = "failed", "failed" // systemd leaves it to archy here
		n.later(30 * time.Second)
		if h, _ := n.store.ReadHistory("solo"); h.IsOpen() {
			break
		}
	}
	h, err := n.store.ReadHistory("solo")
	if err != nil || !h.IsOpen() || len(tries) > 5 {
		t.Fatalf("the breaker must open after five failures: %+v after %q", h, tries)
	}
	n.calls = nil
	for range 3 {
		r := n.pass()
		if got := n.result(r, "solo"); got.Row != "25" || got.Error.Code != "breaker-open" || !got.Breaker.Open || r.ExitCode != ExitNothingDone {
			t.Errorf("open: %+v, exit %d", got, r.ExitCode)
		} else {
			equal(t, "last words", got.Error.LogTail, []string{"no database"})
		}
		n.later(2 * time.Hour)
	}
	if len(n.touched()) > 0 {
		t.Errorf("an open breaker was not honoured: %q", n.touched())
	}
	n.bootID = "boot-2"
	for range 3 {
		n.pass()
		n.services["solo.service"].ActiveState, n.services["solo.service"].SubState = "failed", "failed"
		n.later(10 * time.Minute)
	}
	equal(t, "one attempt in a new boot", n.touched(), []string{"start solo"})
	n.behave = map[string]behaviour{}
	if got := n.result(n.pass(func(o *Options) { o.Force, o.Only = true, []string{"solo"} }), "solo"); got.Class != ClassOK {
		t.Errorf("forced: %+v", got)
	}
	if h, _ := n.store.ReadHistory("solo"); h.IsOpen() {
		t.Error("--force must close the breaker")
	}
	n.converged()
}

func TestBackOffDoubles(t *testing.T) {
	n := newNode(t, map[string]string{"solo": five()["solo"]}).firstBootDone()
	n.behave["docker.io/example/solo:v1.0"] = behaviour{dies: 1}
	n.pass()
	h, _ := n.store.ReadHistory("solo")
	for i, want := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second} {
		n.services["solo.service"].ActiveState, n.services["solo.service"].SubState, n.services["solo.service"].NRestarts = "failed", "failed", 0
		last := h.Events[len(h.Events)-1].At
		if got := h.NextAttempt.Sub(last); got != want {
			t.Errorf("failure %d: next attempt after %s, want %s", i+1, got, want)
		}
		n.calls = nil
		if got := n.result(n.pass(), "solo"); got.State != "backing off" || len(n.touched()) > 0 {
			t.Errorf("failure %d: %+v, %q", i+1, got, n.touched())
		}
		n.later(h.NextAttempt.Sub(n.peek()) + time.Second)
		n.pass()
		h, _ = n.store.ReadHistory("solo")
	}
}

func TestHealthRestartIsBounded(t *testing.T) {
	n := fiveRunning(t)
	n.later(time.Hour)
	n.containers["solo"].Health.Status = podman.HealthUnhealthy
	n.containers["base"].Health.Status = podman.HealthUnhealthy
	n.behave["docker.io/example/solo:v1.0"] = behaviour{sick: true}
	for range 60 { // half an hour
		n.pass()
		n.later(30 * time.Second)
		if c := n.containers["solo"]; c != nil && c.Health.Status == podman.HealthStarting && n.peek().Sub(c.State.StartedAt) > time.Minute {
			c.Health.Status = podman.HealthUnhealthy
		}
	}
	restarts := len(n.touched())
	if restarts < 2 || restarts > 8 {
		t.Errorf("%d restarts for health in half an hour: %q", restarts, n.touched())
	}
	for _, c := range n.touched() {
		if c != "restart solo" {
			t.Errorf("%s: an app of tier 1 is never restarted for health alone", c)
		}
	}
}

func TestWhatStaysPausedIsRestarted(t *testing.T) {
	n := fiveRunning(t)
	pause := func() {
		c := n.containers["solo"]
		c.State.Status, c.State.Paused, c.State.Running = podman.StatePaused, true, false
	}
	pause()
	if got := n.result(n.pass(), "solo"); got.Action != Unpaused || len(n.touched()) > 0 {
		t.Errorf("paused: %+v, %q", got, n.touched())
	}
	n.converged()
	pause()
	n.behave["docker.io/example/solo:v1.0"] = behaviour{sick: true}
	if got := n.result(n.pass(), "solo"); got.Action != Restarted {
		t.Errorf("still paused: %+v", got)
	}
	equal(t, "touched", n.touched(), []string{"restart solo"})
}

func TestAContainerStuckInRemovingIsRepaired(t *testing.T) {
	n := fiveRunning(t)
	n.containers["solo"].State = podman.InspectState{Status: podman.StateRemoving}
	if got := n.result(n.pass(), "solo"); got.Action != Waiting || len(n.touched()) > 0 {
		t.Errorf("first pass: %+v", got)
	}
	n.later(30 * time.Second)
	n.pass()
	equal(t, "touched", n.touched(), []string{"restart solo"})
	n.converged()
}

func TestBrokenAndRepairedInOnePass(t *testing.T) {
	for _, c := range []struct {
		name    string
		breakIt func(n *fakeNode)
		touched []string
	}{
		{"container removed by hand", func(n *fakeNode) {
			n.drop(n.containers["api"])
			n.services["api.service"].ActiveState = "inactive"
		}, []string{"start api"}},
		{"container removed, systemd believes in it", func(n *fakeNode) { n.drop(n.containers["api"]) }, []string{"restart api"}},
		{"unit deleted", func(n *fakeNode) { _ = os.Remove(n.layout.Host(n.layout.Unit("api"))) }, nil},
		{"unit deleted and reloaded", func(n *fakeNode) {
			_ = os.Remove(n.layout.Host(n.layout.Unit("api")))
			_ = manager{n}.Reload(n.t.Context())
			n.calls = nil
		}, nil},
		{"unit edited", func(n *fakeNode) {
			f := n.layout.Host(n.layout.Unit("api"))
			text, _ := os.ReadFile(f)
			_ = os.WriteFile(f, []byte(strings.Replace(string(text), "Restart=on-failure", "Restart=no", 1)), 0o644)
		}, nil},
		{"network unit deleted", func(n *fakeNode) { _ = os.Remove(n.layout.Host(n.layout.UnitDir() + "/archy-net.network")) }, nil},
		{"podman secret deleted", func(n *fakeNode) { delete(n.secrets, "archy.api.DB") }, nil},
		{"secret rotated", func(n *fakeNode) {
			_ = os.WriteFile(n.vault.Path("db-password"), []byte("0123456789abcdef0123456789abcdef"), 0o600)
		}, []string{"restart pgdb", "restart api"}},
		{"container and unit gone", func(n *fakeNode) {
			n.drop(n.containers["solo"])
			n.services["solo.service"].ActiveState = "inactive"
			_ = os.Remove(n.layout.Host(n.layout.Unit("solo")))
			_ = manager{n}.Reload(n.t.Context())
			n.calls = nil
		}, []string{"start solo"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := fiveRunning(t)
			c.breakIt(n)
			if n.plan().Empty() {
				t.Fatal("nothing is planned")
			}
			r := n.pass()
			if r.ExitCode != 0 {
				t.Errorf("exit %d: %+v", r.ExitCode, r.Apps)
			}
			equal(t, "touched", n.touched(), c.touched)
			n.converged()
		})
	}
}

func TestStopOrderIsTheReverse(t *testing.T) {
	n := fiveRunning(t)
	for _, id := range []string{"pgdb", "api", "web", "base"} {
		if err := n.store.SetStopped(id, id, true, containers(n.set)); err != nil {
			t.Fatal(err)
		}
	}
	r := n.pass()
	stops := n.touched()
	if slices.Index(stops, "stop web") > slices.Index(stops, "stop api") || slices.Index(stops, "stop api") > slices.Index(stops, "stop pgdb") ||
		slices.Index(stops, "stop api") > slices.Index(stops, "stop base") || len(stops) != 4 {
		t.Errorf("stops %q", stops)
	}
	if r.ExitCode != 0 || n.result(r, "web").Action != Stopped {
		t.Errorf("exit %d, web %+v", r.ExitCode, n.result(r, "web"))
	}
	n.calls = nil
	n.later(time.Hour)
	if n.pass(); len(n.touched()) > 0 {
		t.Errorf("what the owner stopped stays stopped: %q", n.touched())
	}
}

func TestRemovedAppGoesAndItsDataStay(t *testing.T) {
	n := fiveRunning(t)
	data := n.layout.Host("/var/lib/archipelago/pgdb/PG_VERSION")
	if err := os.WriteFile(data, []byte("15"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"pgdb", "api", "web"} {
		r := n.record(id)
		r.Installed, r.RemovedAt = false, n.peek()
		if err := n.store.WriteRecord(r); err != nil {
			t.Fatal(err)
		}
	}
	r := n.pass()
	for _, id := range []string{"pgdb", "api", "web"} {
		if got := n.result(r, id); got.Action != Removed || got.Error != nil {
			t.Errorf("%s: %+v", id, got)
		}
		if _, err := os.Stat(n.layout.Host(n.layout.Unit(id))); err == nil || n.containers[id] != nil || n.services[id+".service"] != nil {
			t.Errorf("%s is still there", id)
		}
	}
	if _, err := os.Stat(data); err != nil {
		t.Error("data are gone")
	}
	if _, err := n.vault.Read("db-password"); err != nil {
		t.Error("the secret is gone")
	}
	if plan := n.plan(); !plan.Empty() {
		t.Errorf("plan after a removal:\n%s", plan)
	}
	n.unharmed()
}

// Row 10: how long a stop takes is measured from the pass that first saw it, also of one by hand and of an adopted container.
func TestAStopByHandHasItsGrace(t *testing.T) {
	n := newNode(t, five()).firstBootDone()
	n.script("solo", "docker.io/example/solo:v0.9")
	n.pass()
	n.later(time.Hour)
	n.pass()
	for _, id := range []string{"web", "solo"} {
		n.containers[id].State.Status, n.containers[id].State.Running = podman.StateStopping, false
	}
	for _, c := range []struct {
		after time.Duration
		want  Action
	}{{0, Waiting}, {20 * time.Second, Waiting}, {time.Minute, Failed}} {
		n.later(c.after)
		r := n.pass()
		for _, id := range []string{"web", "solo"} {
			if got := n.result(r, id); got.Row != "10" || got.Action != c.want {
				t.Errorf("%s after %s: %+v", id, c.after, got)
			}
		}
	}
	for _, id := range []string{"web", "solo"} {
		n.containers[id].State.Status, n.containers[id].State.Running = podman.StateRunning, true
	}
	n.pass()
	if h, err := n.store.ReadHistory("web"); err != nil || !h.StoppingSince.IsZero() {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestBusyAppIsLeft(t *testing.T) {
	n := fiveRunning(t)
	n.drop(n.containers["solo"])
	n.drop(n.containers["base"])
	n.services["solo.service"].ActiveState, n.services["base.service"].ActiveState = "inactive", "inactive"
	lock, err := n.locks.App(t.Context(), "solo", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	r := n.pass(func(o *Options) { o.Timing.Lock = 20 * time.Millisecond })
	if got := n.result(r, "solo"); got.Action != Left || !strings.Contains(got.Cause, "busy") || r.ExitCode != 0 || got.Error != nil {
		t.Errorf("row 34: %+v, exit %d", got, r.ExitCode)
	}
	equal(t, "touched", n.touched(), []string{"start base"})
	lock.Release()
	n.pass()
	n.converged()
}

// --wait-lock holds for a pass over named apps: it waits so long for their locks, and ends with exit 5 when that is in vain.
func TestANamedAppIsWaitedFor(t *testing.T) {
	n := fiveRunning(t)
	lock, err := n.locks.App(t.Context(), "solo", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	p := n.passOf(func(o *Options) { o.Only, o.Force, o.Timing.Lock = []string{"solo", "solo"}, true, time.Millisecond })
	p.WaitLock = 20 * time.Millisecond
	if _, err := p.Run(t.Context()); !errors.As(err, new(state.ErrLocked)) || len(n.touched()) > 0 {
		t.Errorf("%v, %q", err, n.touched())
	}
	time.AfterFunc(50*time.Millisecond, lock.Release)
	p.WaitLock = 10 * time.Second
	if r, err := p.Run(t.Context()); err != nil || n.result(r, "solo").Action != Recreated {
		t.Errorf("%v: %+v", err, r)
	}
}

func TestTwoPassesAtOnce(t *testing.T) {
	n := fiveRunning(t)
	full, err := HoldFull(t.Context(), n.locks, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer full()
	p := n.passOf()
	p.WaitLock = 20 * time.Millisecond
	_, err = p.Run(t.Context())
	if _, ok := err.(state.ErrLocked); !ok {
		t.Errorf("a second full pass: %v", err)
	}
	if r := n.pass(func(o *Options) { o.Only = []string{"solo"} }); r.ExitCode != 0 {
		t.Errorf("a pass over one app beside a full one: exit %d", r.ExitCode)
	}
}

// What a pass would restart was restarted by another one after the look at it, which its record does not show: it is left.
func TestARestartThatAnotherPassHasMadeIsLeft(t *testing.T) {
	ails := map[string]func(n *fakeNode){
		"created": func(n *fakeNode) { n.containers["solo"].State = podman.InspectState{Status: podman.StateCreated} },
		"unhealthy": func(n *fakeNode) {
			n.containers["solo"].Health.Status = podman.HealthUnhealthy
			h := state.History{App: "solo", UnhealthyPasses: 9, UnhealthySince: n.clock.Add(-time.Hour)}
			if err := n.store.WriteHistory(h); err != nil {
				n.t.Fatal(err)
			}
		},
		"adopted": func(n *fakeNode) {
			n.drop(n.containers["solo"])
			_ = os.Remove(n.layout.Host(n.layout.Unit("solo")))
			c := n.script("solo", "docker.io/example/solo:v1.0")
			delete(n.services, "solo.service")
			r := state.Record{App: "solo", Container: "solo", Owner: state.Legacy, Installed: true, By: state.ByAdopt}
			if err := n.store.WriteRecord(r); err != nil {
				n.t.Fatal(err)
			}
			n.downed(c, 1)
		},
	}
	for name, ail := range ails {
		t.Run(name, func(t *testing.T) {
			n := fiveRunning(t)
			ail(n)
			n.later(time.Minute)
			var first Result
			var history state.History
			late := n.passOf()
			late.Planned = func(_ *World, p Plan) {
				if !slices.ContainsFunc(p.Apps, func(a AppPlan) bool { return a.ID == "solo" && a.restarts() }) {
					t.Errorf("it is not to be restarted:\n%s", p)
				}
				first = n.pass(func(o *Options) { o.Only = []string{"solo"} })
				history, _ = n.store.ReadHistory("solo")
			}
			r, err := late.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := n.result(first, "solo"); got.Error != nil || !got.Changed {
				t.Errorf("the first pass: %+v", got)
			}
			if got := n.result(r, "solo"); got.Action != Left || !strings.HasPrefix(got.Cause, "busy: another command or systemd has just started it anew") || got.Error != nil || r.ExitCode != 0 {
				t.Errorf("the late pass: %+v, exit %d", got, r.ExitCode)
			}
			if calls := n.Calls("restart solo", "start in scope solo"); len(calls) != 1 {
				t.Errorf("restarted by %q", calls)
			}
			if now, err := n.store.ReadHistory("solo"); err != nil || !reflect.DeepEqual(now, history) {
				t.Errorf("the history was %+v and is %+v, %v", history, now, err)
			}
			n.later(time.Minute)
			if plan := n.plan(); !plan.Empty() {
				t.Errorf("the next pass still has to do:\n%s", plan)
			}
			n.unharmed()
		})
	}
}

// halfway is systemd at a restart that a killed pass has asked for: it is done right after the first answer, or right before it, which is
// after podman's.
type halfway struct {
	manager
	before, after func()
}

func (h *halfway) Units(ctx context.Context, names []string) (map[string]systemd.Unit, error) {
	before, after := h.before, h.after
	h.before, h.after = nil, nil
	if before != nil {
		before()
	}
	got, err := h.manager.Units(ctx, names)
	if after != nil {
		after()
	}
	return got, err
}

// A replacement was killed as it had asked for the restart: the next pass looks in the middle of it, and verifies the change all the same.
func TestARestartThatHasHardlyBegun(t *testing.T) {
	const web = "web.service"
	for name, begun := range map[string]func(s *fakeService, c *podman.Inspect){
		"the service is being stopped": func(s *fakeService, _ *podman.Inspect) { s.ActiveState, s.SubState = "deactivating", "stop" },
		"the job waits":                func(s *fakeService, _ *podman.Inspect) { s.Job = "restart" },
		"podman has not written the start down": func(_ *fakeService, c *podman.Inspect) {
			c.State = podman.InspectState{Status: podman.StateCreated}
		},
		"it is done between two of the questions": nil,
	} {
		t.Run(name, func(t *testing.T) {
			n := fiveRunning(t)
			apps := five()
			apps["web"] = changedTo(apps["web"])
			n.load(apps)
			n.fault = fault{kind: "die-before", match: "restart " + web}
			_, _ = n.tryPass()
			n.revive()
			n.later(time.Second)
			half := &halfway{manager: manager{n}}
			finish := func() {
				n.later(time.Second)
				n.services[web].Job = ""
				if err := half.Restart(t.Context(), web, time.Minute); err != nil {
					t.Error(err)
				}
			}
			if half.before = finish; begun != nil {
				begun(n.services[web], n.containers["web"])
				half.before, half.after = nil, finish
			}
			p := n.passOf(func(o *Options) { o.Timing.Poll = time.Millisecond })
			p.Observer.Units = half
			n.calls = nil
			r, err := p.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := n.result(r, "web"); got.Action != Recreated || got.Class != ClassOK || got.Cause != "an interrupted replacement is verified" {
				t.Errorf("web: %+v", got)
			}
			equal(t, "touched", n.touched(), []string{"restart web"})
			n.converged()
		})
	}
}

// A derived file was written and the pass killed before the restart: the next pass restarts, once.
func TestPendingRestart(t *testing.T) {
	n := fiveRunning(t)
	r := n.record("solo")
	r.PendingRestart = "solo.conf was rewritten"
	if err := n.store.WriteRecord(r); err != nil {
		t.Fatal(err)
	}
	if got := n.result(n.pass(), "solo"); got.Action != Restarted || got.Row != "23" {
		t.Errorf("%+v", got)
	}
	equal(t, "touched", n.touched(), []string{"restart solo"})
	n.converged()
}

func TestStrangersAreNamedAndNeverTouched(t *testing.T) {
	n := fiveRunning(t)
	other := n.script("somebody-elses", "docker.io/other/app:v1")
	other.State.Status, other.State.Running = podman.StateExited, false
	n.containers["orphan"] = &podman.Inspect{ID: "o", Name: "orphan", Labels: map[string]string{spec.LabelManaged: "true"}, State: podman.InspectState{Status: podman.StateExited}}
	r := n.pass(func(o *Options) { o.Force = true })
	equal(t, "row 36", r.Unknown, []string{"somebody-elses"})
	equal(t, "row 37", r.Orphans, []string{"orphan"})
	for _, c := range n.calls {
		if strings.Contains(c, "somebody-elses") || strings.Contains(c, "orphan") {
			t.Errorf("%q", c)
		}
	}
}

// A secret file that got a second line by a slip is told with its name, and no app gets either line or both; what runs goes on with the value that it has.
func TestASecretOfTwoLines(t *testing.T) {
	n := fiveRunning(t)
	right, err := os.ReadFile(n.vault.Path("db-password"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(n.vault.Path("db-password"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(string(right) + "\n" + marker + "\n")
	n.calls = nil
	r := n.pass()
	for _, id := range []string{"pgdb", "api"} {
		got := n.result(r, id)
		if got.Action != Failed || got.Error == nil || got.Error.Code != "secret" || !strings.Contains(got.Error.Message, n.layout.Secrets()+"/db-password") || strings.Contains(got.Error.Message, marker) {
			t.Errorf("%s: %+v, %+v", id, got, got.Error)
		}
		if n.secrets["archy."+id+".DB"].value != string(right) || !n.containers[id].State.Running {
			t.Errorf("%s lost what it had", id)
		}
	}
	for _, c := range n.calls {
		if strings.Contains(c, "secret") || strings.Contains(c, "stop") || strings.Contains(c, "restart") {
			t.Errorf("call %q", c)
		}
	}
	write(string(right) + "\n")
	if r := n.pass(); r.ExitCode != ExitOK {
		t.Errorf("corrected: %+v", r)
	}
	n.converged()
}

// Secrets are in the containers and in podman's store, and nowhere else.
func TestSecretsAreNowhereElse(t *testing.T) {
	n := newNode(t, five()).firstBootDone()
	if err := os.WriteFile(n.vault.Path("db-password"), []byte(marker), 0o600); err != nil {
		t.Fatal(err)
	}
	n.behave["docker.io/example/api:v1.0"] = behaviour{dies: 1, says: "connect: password " + marker + " refused"}
	plan := n.plan()
	r := n.pass()
	if got := n.result(r, "api"); got.Error == nil || !strings.Contains(strings.Join(got.Error.LogTail, ""), "password hidden refused") {
		t.Errorf("log tail %+v", got.Error)
	}
	seen := func(where, text string) {
		if strings.Contains(text, marker) {
			t.Errorf("the secret is in %s: %s", where, text)
		}
	}
	text, _ := json.Marshal(r)
	seen("the result", string(text))
	seen("the plan", plan.String()+fmt.Sprintf("%+v %#v", plan.Ops, plan.Ops))
	seen("the calls", strings.Join(n.calls, "\n"))
	for _, file := range tree(t, n.layout.Root) {
		if content, err := os.ReadFile(filepath.Join(n.layout.Root, file)); err == nil && !strings.Contains(file, "/secrets/") {
			seen(file, string(content))
		}
	}
	if n.secrets["archy.pgdb.DB"].value != marker {
		t.Error("the database did not get its secret")
	}
}

// D_UNIT_FOREIGN: a unit of an app's name that archy did not write is never lost, neither to a pass nor to an install.
func TestSomebodyElsesUnitIsKept(t *testing.T) {
	t.Parallel()
	const mine = "[Container]\nImage=docker.io/mine/own:1\n"
	n := newNode(t, five()).firstBootDone()
	put := func(id string) {
		file := n.layout.Host(n.layout.Unit(id))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(mine), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(id string, got AppResult) {
		t.Helper()
		files, _ := filepath.Glob(n.layout.Host(n.layout.Unit(id)) + ".pre-archy-*")
		if len(files) != 1 {
			t.Fatalf("%s: kept %q", id, files)
		}
		if text, _ := os.ReadFile(files[0]); string(text) != mine || !strings.Contains(got.Detail, "is not archy's: it is kept as "+n.layout.Unit(id)+".pre-archy-") {
			t.Errorf("%s: %q, told as %q", id, text, got.Detail)
		}
		if text, _ := os.ReadFile(n.layout.Host(n.layout.Unit(id))); !strings.HasPrefix(string(text), "# Written by archy") {
			t.Errorf("%s: archy's unit is %q", id, text)
		}
	}
	put("solo")
	kept("solo", n.result(n.pass(), "solo"))
	n.later(time.Hour)
	put("api")
	n.calls = nil
	r := n.pass()
	kept("api", n.result(r, "api"))
	if r.ExitCode != ExitOK || len(n.touched()) > 0 {
		t.Errorf("exit %d, touched %q", r.ExitCode, n.touched())
	}
	n.converged()
}

// A pass that looks after no app says so with a list, which a reader of the JSON can go through.
func TestNoAppIsAnEmptyList(t *testing.T) {
	r := fiveRunning(t).pass(func(o *Options) { o.AdoptOnly = true })
	if r.Apps == nil || len(r.Apps) > 0 {
		t.Errorf("apps: %#v", r.Apps)
	}
}
