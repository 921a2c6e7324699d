package reconcile

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// verb does what a person asks for.
func (n *fakeNode) verb(q Request) (Result, error) {
	n.t.Helper()
	look := n.passOf()
	w, err := look.Observer.Observe(n.t.Context())
	if err != nil {
		return Result{}, err
	}
	o, _, err := q.Options(w)
	if err != nil {
		return Result{}, err
	}
	return n.tryPass(func(to *Options) {
		timing, parallel := to.Timing, to.MaxParallel
		*to = o
		to.Timing, to.MaxParallel = timing, parallel
	})
}

// mustVerb is verb with the exit code that it ends with.
func (n *fakeNode) mustVerb(code int, q Request) Result {
	n.t.Helper()
	r, err := n.verb(q)
	if err != nil && !n.dead {
		n.t.Fatalf("%s: %v", q.Verb, err)
	}
	if r.ExitCode != code {
		n.t.Errorf("%s %s: exit code %d, want %d: %+v", q.Verb, q.Apps, r.ExitCode, code, r.Apps)
	}
	return r
}

func (n *fakeNode) runs(id string) bool {
	c := n.containers[n.set.Apps[id].Unit()]
	return c != nil && c.State.Running
}

func (n *fakeNode) stoppedByOwner(id string) bool {
	return n.store.ReadIntent().Stopped(id, n.set.Apps[id].Unit())
}

// Incident 8, of an app whose manifest is broken: the flag that keeps systemd from starting it at boot bears the name of its container.
func TestIncident8AnAppWithABrokenManifest(t *testing.T) {
	n := newNode(t, map[string]string{"page": manifestOf("page", 4)}).firstBootDone()
	n.pass()
	n.later(time.Minute)
	n.set.Broken["page"] = []manifest.Finding{{Severity: manifest.Error, Message: "no image"}}
	delete(n.set.Apps, "page")
	flagged := func() bool {
		_, err := os.Stat(n.layout.Host(n.layout.State("stopped", "archy-page")))
		return err == nil
	}
	n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{"page"}})
	if !flagged() || n.containers["archy-page"] != nil {
		t.Errorf("flagged: %v, its container %+v", flagged(), n.containers["archy-page"])
	}
	if n.mustVerb(ExitSomeFailed, Request{Verb: VerbStart, Apps: []string{"page"}}); flagged() {
		t.Error("started, and systemd would still leave it")
	}
}

// Incident 8: the intent is on disk, for archy and for systemd, before anything is stopped.
func TestIncident8IntentBeforeTheStop(t *testing.T) {
	n := fiveRunning(t)
	seen := 0
	n.onCall = func(call string) {
		if call != "stop web.service" {
			return
		}
		seen++
		_, err := os.Stat(n.layout.Host(n.layout.State("stopped", "web")))
		if !n.stoppedByOwner("web") || err != nil {
			t.Error("web is stopped before that is written down")
		}
	}
	n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{"web"}})
	if seen != 1 || n.runs("web") {
		t.Errorf("stopped %d times, runs: %v", seen, n.runs("web"))
	}
	n.onCall = nil
	for range 3 {
		n.pass()
	}
	if n.runs("web") {
		t.Error("a pass has started it again")
	}
}

// Incident 8: a stop that is killed in the middle is finished by the next pass.
func TestIncident8AKilledStopIsFinished(t *testing.T) {
	n := fiveRunning(t)
	n.fault = fault{kind: "kill", match: "stop web"}
	_, _ = n.verb(Request{Verb: VerbStop, Apps: []string{"web"}})
	n.revive()
	n.pass()
	if n.runs("web") || !n.stoppedByOwner("web") {
		t.Error("the next pass has not stopped it")
	}
}

func TestStopCascadeStopsDependantsFirst(t *testing.T) {
	n := fiveRunning(t)
	n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{"base"}, Cascade: true})
	var stops []string
	for _, call := range n.calls {
		if strings.HasPrefix(call, "stop ") {
			stops = append(stops, call)
		}
	}
	equal(t, "order", strings.Join(stops, ", "), "stop web.service, stop api.service, stop base.service")
	if !n.runs("pgdb") || !n.runs("solo") {
		t.Error("what does not need it was stopped")
	}
}

func TestStartNeedsItsDependencies(t *testing.T) {
	n := fiveRunning(t)
	n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{"base"}, Cascade: true})
	r := n.mustVerb(3, Request{Verb: VerbStart, Apps: []string{"web"}})
	if a := n.result(r, "web"); a.Error == nil || a.Error.Code != "dependency" || !strings.Contains(a.Error.Message, "api is stopped by the owner") {
		t.Errorf("%+v", a.Error)
	}
	n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"web"}, WithDeps: true})
	n.converged()
}

func TestStartClosesTheBreaker(t *testing.T) {
	n := fiveRunning(t)
	h, _ := n.store.ReadHistory("solo")
	for range state.BreakerEvents {
		h.Count(n.peek(), state.EventDied)
	}
	h.Open(n.peek(), n.bootID, "too many failures in 30 minutes")
	if err := n.store.WriteHistory(h); err != nil {
		t.Fatal(err)
	}
	n.halt("solo.service", n.services["solo.service"])
	if r := n.pass(); n.result(r, "solo").Row != "25" {
		t.Fatalf("the breaker does not hold: %+v", n.result(r, "solo"))
	}
	n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"solo"}})
	if h, _ := n.store.ReadHistory("solo"); !n.runs("solo") || h.IsOpen() {
		t.Errorf("runs: %v, history %+v", n.runs("solo"), h)
	}
	n.converged()
}

func TestStartWaitsForADependencyThatIsStarting(t *testing.T) {
	n := fiveRunning(t)
	n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{"web"}})
	n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{"api"}})
	n.behave["docker.io/example/api:v1.0"] = behaviour{slow: 3}
	n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"api"}})
	n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"web"}})
	if !n.runs("web") {
		t.Error("web does not run")
	}
}

func TestRestartKeepsTheIntent(t *testing.T) {
	n := fiveRunning(t)
	before := n.containers["web"].ID
	n.mustVerb(0, Request{Verb: VerbRestart, Apps: []string{"web"}})
	if n.containers["web"].ID == before || n.stoppedByOwner("web") {
		t.Errorf("the same container, or stopped: %v", n.stoppedByOwner("web"))
	}
	equal(t, "touched", strings.Join(n.touched(), " "), "restart web")
	n.converged()
}

// Two stops at once: the list of the owner's stops is another command's for a moment only, which --wait-lock=0 does not mean.
func TestTheOwnersListIsWaitedForInAnyCase(t *testing.T) {
	n := fiveRunning(t)
	lock, err := n.locks.Intent(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, lock.Release)
	p := n.passOf(func(o *Options) { o.Owner, o.Only, o.Stop = true, []string{"solo"}, []string{"solo"} })
	p.WaitLock = 0
	if _, err := p.Run(t.Context()); err != nil || n.runs("solo") || !n.stoppedByOwner("solo") {
		t.Errorf("%v, stopped by the owner: %v", err, n.stoppedByOwner("solo"))
	}
}

// Incident 9: what was removed is gone after every pass, and its data and secret files are there.
func TestIncident9RemoveThenReconcile(t *testing.T) {
	n := fiveRunning(t)
	data := n.layout.Host(n.layout.Data("pgdb"))
	if err := os.WriteFile(data+"/born", []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"pgdb"}, Cascade: true})
	order := slices.DeleteFunc(slices.Clone(n.calls), func(c string) bool {
		return !strings.Contains(c, "pgdb") && c != "reload" || strings.Contains(c, "reset-failed") || strings.Contains(c, "history")
	})
	text := strings.Join(order, ", ")
	for _, want := range []string{"write record pgdb", "stop pgdb.service", "remove unit pgdb", "remove secret archy.pgdb.DB"} {
		if i := strings.Index(text, want); i < 0 {
			t.Errorf("no %q after what comes before it: %s", want, strings.Join(order, ", "))
		} else {
			text = text[i:]
		}
	}
	for range 2 {
		n.pass()
	}
	for _, id := range []string{"pgdb", "api", "web"} {
		if r := n.record(id); n.runs(id) || r.Installed || r.RemovedAt.IsZero() {
			t.Errorf("%s: runs %v, record %+v", id, n.runs(id), r)
		}
	}
	if _, err := os.Stat(data + "/born"); err != nil {
		t.Error(err)
	}
	if _, err := n.vault.Read("db-password"); err != nil {
		t.Error(err)
	}
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"pgdb"}})
	n.mustVerb(0, Request{Verb: VerbInstall, Apps: []string{"web"}})
	n.converged()
}

// TestVerbsKilledAfterEveryCall: whichever call is the last one of a verb, the passes after it come to an end that the
// owner can have meant: done, or as before.
func TestVerbsKilledAfterEveryCall(t *testing.T) {
	for name, c := range map[string]struct {
		ready   func(n *fakeNode)
		request Request
		done    func(n *fakeNode) bool
		// undone may be nil: then the verb must be finished.
		undone func(n *fakeNode) bool
	}{
		"remove": {request: Request{Verb: VerbRemove, Apps: []string{"web"}},
			done: func(n *fakeNode) bool {
				return !n.runs("web") && !n.record("web").Installed && n.services["web.service"] == nil
			},
			undone: func(n *fakeNode) bool { return n.runs("web") && n.record("web").Installed }},
		"stop": {request: Request{Verb: VerbStop, Apps: []string{"web"}}, done: func(n *fakeNode) bool { return !n.runs("web") && n.stoppedByOwner("web") }},
		"start": {ready: func(n *fakeNode) { n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{"web"}}) },
			request: Request{Verb: VerbStart, Apps: []string{"web"}}, done: func(n *fakeNode) bool { return n.runs("web") && !n.stoppedByOwner("web") }},
		"restart": {request: Request{Verb: VerbRestart, Apps: []string{"web"}}, done: func(n *fakeNode) bool { return n.runs("web") }},
		"install": {ready: func(n *fakeNode) { n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"web"}}) },
			request: Request{Verb: VerbInstall, Apps: []string{"web"}}, done: func(n *fakeNode) bool { return n.runs("web") && n.record("web").Installed },
			undone: func(n *fakeNode) bool { return !n.runs("web") && !n.record("web").Installed }},
		"upgrade": {ready: func(n *fakeNode) { n.registry["docker.io/example/web:v1.1"] = true },
			request: Request{Verb: VerbUpgrade, Apps: []string{"web"}, To: "v1.1"},
			done:    func(n *fakeNode) bool { return n.runsImage("web", "v1.1") },
			undone:  func(n *fakeNode) bool { return n.runsImage("web", "v1.0") }},
	} {
		t.Run(name, func(t *testing.T) {
			for at := 1; ; at++ {
				n := fiveRunning(t)
				if c.ready != nil {
					c.ready(n)
				}
				n.calls, n.fault = nil, fault{kind: "kill", at: at}
				_, _ = n.verb(c.request)
				over := !n.dead
				hit := n.fault.hit
				n.revive()
				for range 4 {
					n.later(time.Minute)
					n.pass()
				}
				if !c.done(n) && (c.undone == nil || !c.undone(n)) {
					t.Errorf("killed after %q (call %d): neither done nor as before: %+v", hit, at, n.record("web"))
				}
				n.unharmed()
				if over || t.Failed() {
					return
				}
			}
		})
	}
}

func (n *fakeNode) runsImage(id, tag string) bool {
	ref := "docker.io/example/" + id + ":" + tag
	return n.runs(id) && n.containers[id].Image == ref && n.record(id).Image == ref
}

func TestInstallThatDoesNotStartIsTakenBack(t *testing.T) {
	n := fiveRunning(t)
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"solo"}})
	removed := n.record("solo")
	n.behave["docker.io/example/solo:v1.0"] = behaviour{dies: 3, says: "no configuration"}
	r := n.mustVerb(3, Request{Verb: VerbInstall, Apps: []string{"solo"}})
	a := n.result(r, "solo")
	if a.Action != RolledBack || a.Error == nil || !slices.Contains(a.Error.LogTail, "no configuration") || !strings.Contains(a.Error.Hint, "archy install solo") {
		t.Errorf("%s: %+v", a.Action, a.Error)
	}
	if now := n.record("solo"); now.Installed || !now.RemovedAt.Equal(removed.RemovedAt) {
		t.Errorf("record %+v, before %+v", now, removed)
	}
	if _, err := os.Stat(n.layout.Host(n.layout.Unit("solo"))); err == nil {
		t.Error("its unit is still there")
	}
	n.calls = nil
	n.pass()
	if len(n.touched()) > 0 {
		t.Errorf("the next pass touches %v", n.touched())
	}
	delete(n.behave, "docker.io/example/solo:v1.0")
	n.mustVerb(0, Request{Verb: VerbInstall, Apps: []string{"solo"}})
	n.converged()
}

func TestInstallWhoseImageIsNotToBeHad(t *testing.T) {
	n := fiveRunning(t)
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"solo"}})
	clear(n.images)
	clear(n.registry)
	n.mustVerb(3, Request{Verb: VerbInstall, Apps: []string{"solo"}})
	if r := n.record("solo"); r.Installed {
		t.Errorf("it is installed: %+v", r)
	}
}

func TestInstallWithoutAStart(t *testing.T) {
	n := fiveRunning(t)
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"web"}})
	n.mustVerb(0, Request{Verb: VerbInstall, Apps: []string{"web"}, NoStart: true})
	n.pass()
	if r := n.record("web"); n.runs("web") || !r.Installed || n.services["web.service"] == nil {
		t.Errorf("runs %v, service %v, record %+v", n.runs("web"), n.services["web.service"], r)
	}
	n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"web"}})
	n.converged()
}

func TestUpgrade(t *testing.T) {
	n := fiveRunning(t)
	n.registry["docker.io/example/web:v1.1"], n.registry["docker.io/example/web:v1.2"] = true, true
	n.mustVerb(0, Request{Verb: VerbUpgrade, Apps: []string{"web"}, To: "v1.1"})
	if !n.runsImage("web", "v1.1") || !slices.Equal(n.record("web").PreviousImages, []string{"docker.io/example/web:v1.0"}) {
		t.Errorf("record %+v", n.record("web"))
	}
	equal(t, "touched", strings.Join(n.touched(), " "), "restart web")
	n.converged()

	n.behave["docker.io/example/web:v1.2"] = behaviour{dies: 1}
	if r := n.mustVerb(3, Request{Verb: VerbUpgrade, Apps: []string{"web"}, To: "v1.2"}); n.result(r, "web").Action != RolledBack {
		t.Errorf("%+v", n.result(r, "web"))
	}
	n.converged()
	if !n.runsImage("web", "v1.1") {
		t.Errorf("it does not run the image before: %+v", n.record("web"))
	}
	delete(n.behave, "docker.io/example/web:v1.2")
	n.mustVerb(0, Request{Verb: VerbUpgrade, Apps: []string{"web"}, To: "v1.2"})

	n.mustVerb(6, Request{Verb: VerbUpgrade, Apps: []string{"web"}})
	n.mustVerb(0, Request{Verb: VerbUpgrade, Apps: []string{"web"}, AllowDowngrade: true})
	n.converged()
	if !n.runsImage("web", "v1.0") {
		t.Errorf("record %+v", n.record("web"))
	}
}

// Incident 2: an image that cannot be had leaves everything as it is.
func TestIncident2UpgradeWithoutTheImage(t *testing.T) {
	n := fiveRunning(t)
	n.mustVerb(3, Request{Verb: VerbUpgrade, Apps: []string{"web"}, To: "v9"})
	if !n.runsImage("web", "v1.0") || len(n.touched()) > 0 {
		t.Errorf("touched %v, record %+v", n.touched(), n.record("web"))
	}
	n.converged()
}

func TestUpgradeOfAStoppedApp(t *testing.T) {
	n := fiveRunning(t)
	n.registry["docker.io/example/web:v1.1"] = true
	n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{"web"}})
	n.mustVerb(0, Request{Verb: VerbUpgrade, Apps: []string{"web"}, To: "v1.1"})
	n.pass()
	if n.runs("web") || n.record("web").Image != "docker.io/example/web:v1.1" {
		t.Errorf("runs %v, record %+v", n.runs("web"), n.record("web"))
	}
	n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"web"}})
	n.converged()
	if !n.runsImage("web", "v1.1") {
		t.Errorf("record %+v", n.record("web"))
	}
}

func TestUpgradeMovesAnAdoptedContainer(t *testing.T) {
	n := scripted(t)
	n.pass()
	id := n.set.Order()[0]
	n.mustVerb(0, Request{Verb: VerbUpgrade, Apps: []string{id}})
	if r := n.record(id); r.Owner != state.Quadlet || len(r.OldContainers) != 1 {
		t.Errorf("record %+v", r)
	}
}

func TestPurgeMovesAndNeverDeletes(t *testing.T) {
	n := fiveRunning(t)
	for _, dir := range []string{"web", "base"} {
		if err := os.MkdirAll(n.layout.Host(n.layout.Data(dir)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(n.layout.Host(n.layout.Data(dir, "born")), []byte(dir), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"base"}, Cascade: true, Purge: true})
	moved, err := os.ReadDir(n.layout.Host(n.layout.State("trash")))
	if err != nil || len(moved) != 1 || !trashAge.MatchString(moved[0].Name()) {
		t.Fatalf("trash: %v, %v", moved, err)
	}
	if text, err := os.ReadFile(n.layout.Host(n.layout.State("trash", moved[0].Name(), "born"))); string(text) != "base" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := os.Stat(n.layout.Host(n.layout.Data("web", "born"))); err != nil {
		t.Errorf("the data of an app that was only taken along: %v", err)
	}
	// Removed before, its data still there: they can be moved later too.
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"web"}, Purge: true})
	if _, err := os.Stat(n.layout.Host(n.layout.Data("web"))); err == nil {
		t.Error("the data of web were not moved")
	}
}

func TestPurgeLeavesWhatAnotherAppHas(t *testing.T) {
	apps := five()
	apps["api"] = shared(manifestOf("api", 2, fmt.Sprintf(dataOf, "web"), dependsOn("pgdb", "base")), false) // as mempool-api has mempool's
	n := newNode(t, apps).firstBootDone()
	n.pass()
	r := n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"web"}, Purge: true})
	if a := n.result(r, "web"); !strings.Contains(a.Cause, "/var/lib/archipelago/web stays") {
		t.Errorf("%+v", a)
	}
	if _, err := os.Stat(n.layout.Host(n.layout.Data("web"))); err != nil {
		t.Error(err)
	}
}

// A directory in which another app has data stays whatever says so: the record of an adopted container, a volume of the directory that
// it held, the unit of an app whose manifest is broken or gone. An older layout had the database below the directory of its app.
func TestPurgeLeavesWhatAnotherAppHasElsewhere(t *testing.T) {
	apps := func() map[string]string {
		all := five()
		all["web"] = manifestOf("web", 3, fmt.Sprintf(dataOf, "web"), dependsOn("api"))
		return all
	}
	at := func(source, target string) func(n *fakeNode) {
		return func(n *fakeNode) {
			n.script("pgdb", "docker.io/example/pgdb:v0.9", binds(source, target), func(c *podman.Inspect) { c.Mounts[0].RW = true })
		}
	}
	// moved is what writes in the directory when pgdb's manifest is another one by now, or none.
	moved := func(n *fakeNode) {
		n.load(map[string]string{"pgdb": strings.Replace(five()["pgdb"], "archipelago/pgdb", "archipelago/web/db", 1)})
		n.pass()
		n.load(map[string]string{"web": manifestOf("web", 3, fmt.Sprintf(dataOf, "web"))})
	}
	for _, c := range []struct {
		name          string
		before, after func(n *fakeNode)
	}{
		{name: "pinned", before: at("/var/lib/archipelago/web/db", "/data")},
		{name: "held", before: at("/var/lib/archipelago/web/db", "/more")},
		{name: "removed", before: at("/var/lib/archipelago/web/db", "/data"), after: func(n *fakeNode) {
			n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"pgdb"}, Cascade: true})
		}},
		{name: "migrated", before: at("/var/lib/archipelago/web/db", "/data"), after: func(n *fakeNode) {
			if got := n.result(n.pass(migrateAll), "pgdb"); got.Action != Migrated {
				n.t.Errorf("%+v", got)
			}
		}},
		{name: "manifest gone", before: moved},
		{name: "manifest gone, and down", before: moved, after: func(n *fakeNode) { n.drop(n.containers["pgdb"]) }},
		{name: "somebody's own container", before: func(n *fakeNode) {
			n.script("mydb", oldImage, binds("/var/lib/archipelago/web/db", "/data"), func(c *podman.Inspect) { c.Mounts[0].RW = true })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t, apps()).firstBootDone()
			n.lay("/var/lib/archipelago/web/db/PG_VERSION", "15")
			if _, _, err := n.vault.Keep("db-password", secrets.New("abcd")); err != nil {
				t.Fatal(err)
			}
			c.before(n)
			n.pass()
			n.later(time.Minute)
			if c.after != nil {
				c.after(n)
			}
			n.pass()
			r := n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"web"}, Purge: true})
			if a := n.result(r, "web"); !strings.Contains(a.Cause, "/var/lib/archipelago/web stays") {
				t.Errorf("%+v", a)
			}
			if n.text("/var/lib/archipelago/web/db/PG_VERSION") == "" {
				t.Error("the other app's data were moved")
			}
		})
	}
}

// A verb on an app that another run is at work on changes nothing of it; the stop, and the start, are written down all the same.
func TestAVerbWaitsForTheAppsLock(t *testing.T) {
	n := fiveRunning(t)
	lock, err := n.locks.App(t.Context(), "web", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.verb(Request{Verb: VerbStop, Apps: []string{"web"}}); !isLocked(err) {
		t.Errorf("error %v", err)
	}
	if !n.runs("web") || !n.stoppedByOwner("web") {
		t.Errorf("runs %v, stopped by the owner %v", n.runs("web"), n.stoppedByOwner("web"))
	}
	lock.Release()
	n.pass()
	if n.runs("web") {
		t.Error("the next pass has not stopped it")
	}
	if lock, err = n.locks.App(t.Context(), "web", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := n.verb(Request{Verb: VerbStart, Apps: []string{"web"}}); !isLocked(err) || n.runs("web") {
		t.Errorf("runs %v, error %v", n.runs("web"), err)
	}
	lock.Release()
	n.pass()
	if !n.runs("web") {
		t.Error("the next pass has not started it")
	}
}

func isLocked(err error) bool {
	_, ok := err.(state.ErrLocked)
	return ok
}

func TestPlanPrune(t *testing.T) {
	long := noon.Add(-8 * 24 * time.Hour)
	mine := map[string]string{spec.LabelManaged: "true"}
	app := healthyApp("app", made(secretEnv), func(a *App) { a.Manifest.Container.Network = "pasta" })
	removed := state.Record{App: "gone", Container: "gone", RemovedAt: long}
	l := Litter{World: world(app), Records: map[string]state.Record{"app": *app.Record, "gone": removed},
		Containers: []podman.Container{*app.C, {Name: "app-archy-old-20260101T000000Z", ID: "old"}, {Name: "user", Image: "docker.io/used:1", Networks: []string{"busy"}}},
		Images:     map[string]podman.Image{}, Units: map[string][]byte{"gone.container": healthyApp("gone").UnitText, "mine.container": []byte("[Container]\n"), "app.container": app.UnitText},
		Networks: []podman.Network{{Name: "left", Labels: mine}, {Name: "busy", Labels: mine}, {Name: "foreign"}},
		Secrets:  []podman.Secret{{Name: "archy.gone.KEY", Labels: mine}, {Name: "archy.app.PASSWORD", Labels: mine}, {Name: "archy.app.OLD", Labels: mine}, {Name: "archy.gone.FOREIGN"}, {Name: "other", Labels: mine}},
		Trash:    []string{"/d/state/trash/gone-20260101T000000Z", "/d/state/trash/app-20260109T000000Z", "/d/state/trash/keep-me"},
		Quarantine: []string{"/d/state/quarantine/db.sql.20260101T000000Z", "/run/user/1000/libpod/tmp/pause.pid.archy-20260102T000000Z",
			"/run/user/1000/libpod/tmp/pause.pid", "/d/state/quarantine/db.sql.20260109T000000Z"}}
	l.Apps[0].Record.OldContainers = []state.OldContainer{{ID: "old", Name: "app-archy-old-20260101T000000Z", RenamedAt: long}}
	l.Records["app"] = *l.Apps[0].Record
	for _, i := range []state.Image{{Ref: "docker.io/old:1", ID: "1", At: long}, {Ref: "docker.io/young:1", ID: "2", At: noon}, {Ref: "docker.io/used:1", ID: "3", At: long},
		{Ref: app.Spec.Image, ID: "4", At: long}, {Ref: "docker.io/replaced:1", ID: "5", At: long}} {
		l.Ledger.Add(i)
		l.Images[i.Ref] = podman.Image{ID: i.ID}
	}
	l.Images["docker.io/replaced:1"] = podman.Image{ID: "somebody else's"}
	l.Images["docker.io/dangling:1"] = podman.Image{ID: "9"}
	want := lines("remove old app-archy-old-20260101T000000Z", "stop gone.service", "remove unit gone.container", "remove secret archy.gone.KEY",
		"remove secret archy.app.OLD", "remove network left", "remove image docker.io/old:1", "delete /d/state/trash/gone-20260101T000000Z",
		"delete /d/state/quarantine/db.sql.20260101T000000Z", "delete /run/user/1000/libpod/tmp/pause.pid.archy-20260102T000000Z")
	if got := pruneText(l); got != want {
		t.Errorf("prunes\n%s\nwant\n%s", got, want)
	}
	l.Free = 9 << 30
	if got := pruneText(l); !strings.Contains(got, "docker.io/young:1") || strings.Contains(got, "docker.io/used:1") {
		t.Errorf("with little space it prunes\n%s", got)
	}
}

func pruneText(l Litter) string {
	var out []string
	for _, op := range PlanPrune(l) {
		out = append(out, string(op.Kind)+" "+op.Object)
	}
	return strings.Join(out, "\n")
}

func TestDataDirsOfTheManifest(t *testing.T) {
	app := &manifest.App{ID: "files", Volumes: []manifest.Volume{{Type: "bind", Source: "/d/files/db", Target: "/db"}, {Type: "bind", Source: "/d/files/srv", Target: "/srv"},
		{Type: "bind", Source: "/d/secrets/x", Target: "/x"}, {Type: "bind", Source: "/mnt/usb", Target: "/usb"}, {Type: "bind", Source: "/d/other", Target: "/o", Options: []string{"ro"}}}}
	equal(t, "directories", strings.Join(dataDirs(app, "/d"), " "), "/d/files")
}

// A page goes with its app and comes back with it; one that its owner took away for itself stays away.
func TestAPageComesBackWithItsApp(t *testing.T) {
	page := strings.Replace(manifestOf("page", 3, "  follows: solo\n", strings.Replace(dependsOn("solo"), "healthy", "started", 1)), "optional: false", "optional: true", 1)
	n := newNode(t, map[string]string{"solo": manifestOf("solo", 3), "page": page}).firstBootDone()
	n.pass()
	if !n.runs("page") {
		t.Fatal("the page did not come with its app")
	}
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"solo"}})
	if n.pass(); n.runs("solo") || n.runs("page") {
		t.Fatal("a pass brings back what was removed")
	}
	n.mustVerb(0, Request{Verb: VerbInstall, Apps: []string{"solo"}})
	if !n.runs("solo") || !n.runs("page") {
		t.Errorf("installed again: app %v, page %v", n.runs("solo"), n.runs("page"))
	}
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"page"}})
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"solo"}})
	n.mustVerb(0, Request{Verb: VerbInstall, Apps: []string{"solo"}})
	if !n.runs("solo") || n.runs("page") {
		t.Errorf("the page was removed for itself: app %v, page %v", n.runs("solo"), n.runs("page"))
	}
}

// The owner stops an app while the replacement of it waits for the old container: the change is not to blame, and his start goes on with it.
func TestAStopDuringAReplacementIsNoFailureOfIt(t *testing.T) {
	n := fiveRunning(t)
	apps := five()
	apps["solo"] = changedTo(apps["solo"])
	n.load(apps)
	n.onCall = func(call string) {
		if call == "restart solo.service" {
			_ = n.store.SetStopped("solo", "solo", true, map[string]string{"solo": "solo"})
		}
	}
	r := n.pass()
	if got := n.result(r, "solo"); got.Action != Left || !strings.Contains(got.Cause, justStopped) || r.ExitCode != ExitOK {
		t.Errorf("%+v, exit %d", got, r.ExitCode)
	}
	n.onCall = nil
	if r := n.record("solo"); r.FailedHash != "" || r.Op == nil || r.Op.Rollback {
		t.Errorf("%+v", r)
	}
	if r := n.pass(); r.ExitCode != ExitOK || n.services["solo.service"].ActiveState == "active" {
		t.Errorf("exit %d, a pass started what its owner has stopped", r.ExitCode)
	}
	n.mustVerb(ExitOK, Request{Verb: VerbStart, Apps: []string{"solo"}})
	n.converged()
}

// systemd heeds the owner's stop for a unit, nobody does for an adopted container: neither a restart nor a migration that was planned before starts it.
func TestAStopWhileAPassIsAtWorkElsewhereHoldsForAnAdoptedApp(t *testing.T) {
	for name, o := range map[string]func(*Options){"restart": func(*Options) {}, "migrate": migrateAll} {
		t.Run(name, func(t *testing.T) {
			n := scripted(t)
			rec := n.record("solo")
			rec.PendingRestart = "x"
			if err := n.store.WriteRecord(rec); err != nil {
				t.Fatal(err)
			}
			p := n.passOf(o)
			p.Planned = func(*World, Plan) { n.mustVerb(ExitOK, Request{Verb: VerbStop, Apps: []string{"solo"}}) }
			r, err := p.Run(t.Context())
			if err != nil || r.ExitCode != ExitOK || n.oldOne().State.Running {
				t.Errorf("exit %d, %v, runs: %v", r.ExitCode, err, n.oldOne().State.Running)
			}
		})
	}
}

// A stop that comes while the old container of a migration ends: the new one stays down, and the owner's start goes on with the migration.
func TestAStopDuringAMigrationIsNoFailureOfIt(t *testing.T) {
	n := scripted(t)
	n.onCall = func(call string) {
		if call == "start solo.service" {
			_ = n.store.SetStopped("solo", "solo", true, map[string]string{"solo": "solo"})
		}
	}
	r := n.pass(migrateAll)
	n.onCall = nil
	if got := n.result(r, "solo"); got.Action != Left || n.record("solo").FailedHash != "" || n.oldOne().State.Running {
		t.Errorf("%+v, %+v", got, n.record("solo"))
	}
	n.pass()
	n.mustVerb(ExitOK, Request{Verb: VerbStart, Apps: []string{"solo"}})
	if got := n.record("solo"); got.Owner != state.Quadlet || got.Op != nil {
		t.Errorf("%+v", got)
	}
}
