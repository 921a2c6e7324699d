package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// An interrupted pass finishes what is under way, begins nothing more, and the next one goes on.
func TestInterrupt(t *testing.T) {
	for _, at := range []string{"pull", "write unit", "start", "write record"} {
		t.Run(at, func(t *testing.T) {
			n := newNode(t, five()).firstBootDone()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var once sync.Once
			var during string
			n.onCall = func(call string) {
				if strings.HasPrefix(call, at) {
					once.Do(func() { during = call; cancel() })
				}
			}
			r, err := n.passOf().Run(ctx)
			if err != nil || r.ExitCode != ExitInterrupted {
				t.Fatalf("exit %d, %v", r.ExitCode, err)
			}
			for _, a := range r.Apps {
				if a.Class == ClassFailed {
					t.Errorf("an interruption is no failure: %+v", a)
				}
			}
			if name, ok := strings.CutPrefix(during, "start "); ok && n.services[name].ActiveState != "active" {
				t.Errorf("%s was not finished", during)
			}
			n.onCall = nil
			n.later(time.Minute)
			n.pass()
			n.converged()
		})
	}
}

func TestOnlyTheChosenAppsAreTouched(t *testing.T) {
	n := fiveRunning(t)
	for _, id := range []string{"solo", "web"} {
		n.drop(n.containers[id])
		n.services[id+".service"].ActiveState = "inactive"
	}
	r := n.pass(func(o *Options) { o.Only = []string{"solo"} })
	equal(t, "touched", n.touched(), []string{"start solo"})
	if len(r.Apps) != 1 {
		t.Errorf("results %+v", r.Apps)
	}
}

func TestWaitWaitsUntilHealthy(t *testing.T) {
	n := newNode(t, map[string]string{"solo": five()["solo"]}).firstBootDone()
	n.behave["docker.io/example/solo:v1.0"] = behaviour{slow: 3}
	r := n.pass(func(o *Options) { o.Wait, o.Timeout = true, 10*time.Minute })
	if got := n.result(r, "solo"); got.Health != podman.HealthHealthy || got.Class != ClassOK {
		t.Errorf("%+v", got)
	}
	sick := newNode(t, map[string]string{"solo": five()["solo"]}).firstBootDone()
	sick.behave["docker.io/example/solo:v1.0"] = behaviour{sick: true}
	r = sick.pass(func(o *Options) { o.Wait, o.Timeout = true, 20*time.Second })
	if got := sick.result(r, "solo"); got.Class != ClassWaiting || r.ExitCode != 0 || !strings.Contains(got.Cause, "still starting after 20s") {
		t.Errorf("starting with a live process at the time-out: %+v, exit %d", got, r.ExitCode)
	}
}

// --timeout is that of the whole pass, and it shortens no gate that a change is judged by.
func TestTheTimeoutIsThatOfThePass(t *testing.T) {
	n := newNode(t, five()).firstBootDone()
	for _, id := range []string{"pgdb", "base", "solo"} {
		n.behave["docker.io/example/"+id+":v1.0"] = behaviour{sick: true}
	}
	began := n.peek()
	n.pass(func(o *Options) { o.Wait, o.Timeout, o.MaxParallel = true, 20*time.Second, 1 })
	if took := n.peek().Sub(began); took > 60*time.Second {
		t.Errorf("three apps were waited for one after the other: %s", took)
	}
	began = n.peek()
	n.pass(func(o *Options) { o.Wait, o.Timeout, o.MaxParallel = true, 20*time.Second, 1 })
	if took := n.peek().Sub(began); took > 40*time.Second {
		t.Errorf("apps that are on their way were waited for beyond it: %s", took)
	}
	n = fiveRunning(t)
	apps := five()
	apps["web"] = changedTo(apps["web"])
	n.load(apps)
	n.behave["docker.io/example/web:v1.0"] = behaviour{slow: 20}
	if got := n.result(n.pass(func(o *Options) { o.Wait, o.Timeout = true, time.Second }), "web"); got.Action != Recreated {
		t.Errorf("a change was undone at the time-out: %+v", got)
	}
}

func TestASlowDependencyIsWaitedForInTheSamePass(t *testing.T) {
	n := newNode(t, five()).firstBootDone()
	n.behave["docker.io/example/pgdb:v1.0"] = behaviour{slow: 5}
	if r := n.pass(); r.ExitCode != 0 || r.Summary.Waiting > 0 {
		t.Errorf("exit %d, %+v", r.ExitCode, r.Summary)
	}
	n.converged()
}

// secrets in the middle of a database: row 27 with data present, from the container that still has it, and from nowhere.
func TestMissingSecretWithDataPresent(t *testing.T) {
	n := fiveRunning(t)
	if err := os.WriteFile(n.layout.Host("/var/lib/archipelago/pgdb/PG_VERSION"), []byte("15"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(n.vault.Path("db-password")); err != nil {
		t.Fatal(err)
	}
	r := n.pass()
	for _, id := range []string{"pgdb", "api"} {
		if got := n.result(r, id); got.Row != "27" || got.Action != NeedsHuman || !n.containers[id].State.Running {
			t.Errorf("%s: %+v", id, got)
		}
	}
	if r.ExitCode != ExitNeedsHuman || len(n.touched()) > 0 {
		t.Errorf("exit %d, %q", r.ExitCode, n.touched())
	}
	if _, err := os.Stat(n.vault.Path("db-password")); err == nil {
		t.Error("a new password would lock the database out")
	}
}

func TestOperatorSecretIsNotInvented(t *testing.T) {
	apps := map[string]string{"solo": strings.Replace(five()["solo"], "    network: archy-net\n", "    network: archy-net\n    secret_env:\n      - key: TOKEN\n        secret_file: api-token\n", 1)}
	n := newNode(t, apps).firstBootDone()
	r := n.pass()
	if got := n.result(r, "solo"); got.Row != "28" || got.State != "needs-config" || r.ExitCode != 0 || len(n.touched()) > 0 {
		t.Errorf("%+v, exit %d", got, r.ExitCode)
	}
	if err := os.WriteFile(n.vault.Path("api-token"), []byte(marker), 0o600); err != nil {
		t.Fatal(err)
	}
	n.pass()
	n.converged()
}

// absent-app-is-silent (incident 20): no secret is read, nothing is said, exit 0.
func TestIncident20AbsentAppIsSilent(t *testing.T) {
	apps := five()
	for id, text := range apps {
		apps[id] = strings.Replace(text, "optional: false", "optional: true", 1)
	}
	n := newNode(t, apps).firstBootDone()
	_ = os.RemoveAll(n.vault.Dir)
	r := n.pass()
	if len(r.Apps) > 0 || len(r.Warnings) > 0 || r.ExitCode != 0 || len(n.calls) > 0 {
		t.Errorf("exit %d: %+v %q %q", r.ExitCode, r.Apps, r.Warnings, n.calls)
	}
}

// Row 17: an app that is not installed is silent, unless somebody asks for it by its name.
func TestAnAppThatIsNotInstalledIsNamedWhenItIsAskedFor(t *testing.T) {
	n := newNode(t, map[string]string{"base": five()["base"], "solo": strings.Replace(five()["solo"], "optional: false", "optional: true", 1)}).firstBootDone()
	n.pass()
	for name, removed := range map[string]time.Time{"never installed": {}, "removed": n.now()} {
		if !removed.IsZero() {
			if err := n.store.WriteRecord(state.Record{App: "solo", Container: "solo", RemovedAt: removed}); err != nil {
				t.Fatal(err)
			}
		}
		n.calls = nil
		for _, check := range []bool{true, false} {
			r := n.pass(func(o *Options) { o.Only, o.CheckOnly = []string{"solo"}, check })
			if got := n.result(r, "solo"); got.Row != "17" || got.Action != Left || got.State != "absent" || !strings.Contains(got.Cause, "archy install solo") || r.ExitCode != 0 || len(r.Apps) != 1 {
				t.Errorf("%s: %+v", name, r)
			}
		}
		if len(n.touched()) > 0 {
			t.Errorf("%s: touched %q", name, n.touched())
		}
	}
}

func TestCreateMissingPullsInDependencies(t *testing.T) {
	apps := five()
	for id, text := range apps {
		apps[id] = strings.Replace(text, "optional: false", "optional: true", 1)
	}
	n := newNode(t, apps)
	r := n.pass(func(o *Options) { o.CreateMissing = true })
	if r.ExitCode != 0 || len(r.Apps) != 5 {
		t.Errorf("exit %d: %+v", r.ExitCode, r.Apps)
	}
	n.converged()
	if by := n.record("solo").By; by != state.ByCreateMissing {
		t.Errorf("installed by %q", by)
	}
}

// An app of the owner's own that is not optional comes with all that it needs, and that with what it needs itself.
func TestAnAppThatIsNotOptionalPullsInDependencies(t *testing.T) {
	apps := five()
	for id, text := range apps {
		if id != "web" {
			apps[id] = strings.Replace(text, "optional: false", "optional: true", 1)
		}
	}
	n := newNode(t, apps).firstBootDone()
	r := n.pass()
	for id, by := range map[string]string{"pgdb": state.ByDependency, "base": state.ByDependency, "api": state.ByDependency, "web": state.ByFirstBoot} {
		if got := n.result(r, id); got.Action != Installed || n.record(id).By != by || !n.runs(id) {
			t.Errorf("%s by %q: %+v", id, n.record(id).By, got)
		}
	}
	if n.runs("solo") {
		t.Error("nobody needs solo")
	}
}

// Of the two bitcoins the one is made that the others name, also when its owner has removed it: the other one only by its name.
func TestCreateMissingLeavesTheSecondBitcoin(t *testing.T) {
	apps := map[string]string{
		"bitcoin-core":  manifestOf("bitcoin-core", 1, fmt.Sprintf(dataOf, "bitcoin"), "  conflicts: [bitcoin-knots]\n"),
		"bitcoin-knots": manifestOf("bitcoin-knots", 1, fmt.Sprintf(dataOf, "bitcoin"), "  conflicts: [bitcoin-core]\n"),
		"lnd":           manifestOf("lnd", 2, dependsOn("bitcoin-knots")),
	}
	for id, text := range apps {
		apps[id] = strings.Replace(text, "optional: false", "optional: true", 1)
	}
	n := newNode(t, apps)
	missing := func(o *Options) { o.CreateMissing = true }
	if n.pass(missing); !n.runs("bitcoin-knots") || n.runs("bitcoin-core") || !n.runs("lnd") {
		t.Errorf("on a new node: %v", ids(n))
	}
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"bitcoin-knots"}, Cascade: true})
	if n.pass(missing); n.runs("bitcoin-core") {
		t.Errorf("after the removal of the first: %v", ids(n))
	}
	if n.pass(missing, func(o *Options) { o.Only = []string{"bitcoin-core"} }); !n.runs("bitcoin-core") {
		t.Errorf("by its name: %v", ids(n))
	}
	if n.pass(missing); n.runs("bitcoin-knots") {
		t.Errorf("beside the second: %v", ids(n))
	}
}

// A new node gets the apps of its profile, with what they need, and nothing else; an app that was removed comes back when
// somebody asks for it.
func TestInstallWantsWhatNoRecordNames(t *testing.T) {
	apps := five()
	for id, text := range apps {
		apps[id] = strings.Replace(text, "optional: false", "optional: true", 1)
	}
	n := newNode(t, apps)
	if err := n.store.WriteRecord(state.Record{App: "solo", Container: "solo", RemovedAt: n.now()}); err != nil {
		t.Fatal(err)
	}
	r := n.pass(func(o *Options) { o.Install = map[string]string{"solo": state.ByInstall} })
	if r.ExitCode != 0 || len(r.Apps) != 1 || r.Apps[0].App != "solo" {
		t.Fatalf("exit %d: %+v", r.ExitCode, r.Apps)
	}
	if got := n.record("solo"); !got.Installed || got.By != state.ByInstall || !got.RemovedAt.IsZero() {
		t.Errorf("record: %+v", got)
	}
}

// A migration that would change where data lie, or with which password they are opened, is refused.
func TestMigrationIsRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		adapt func(*podman.Inspect)
		cause string
		allow func(*Options)
	}{
		{"a mount that the manifest lacks", func(i *podman.Inspect) {
			i.Mounts = []podman.Mount{{Type: "bind", Source: "/srv/extra", Target: "/extra"}}
		}, "mounts /srv/extra at /extra", func(o *Options) { o.DropMounts = []string{"/extra"} }},
		{"a volume where the manifest mounts a directory", func(i *podman.Inspect) {
			i.Mounts = []podman.Mount{{Type: "volume", Name: "pgdb-data", Source: "/volumes/pgdb-data/_data", Target: "/data/"}}
		}, "mounts volume pgdb-data at /data/ and the manifest /var/lib/archipelago/pgdb", func(o *Options) { o.DropMounts = []string{"/data/"} }},
		{"a volume that the manifest lacks", func(i *podman.Inspect) {
			i.Mounts = []podman.Mount{{Type: "volume", Name: "extra", Source: "/volumes/extra/_data", Target: "/extra"}}
		}, "mounts volume extra at /extra", func(o *Options) { o.DropMounts = []string{"/extra"} }},
		{"podman's own volume where the manifest mounts a directory", func(i *podman.Inspect) {
			i.Mounts = []podman.Mount{{Type: "volume", Name: strings.Repeat("ab", 32), Source: "/volumes/ab/_data", Target: "/data"}}
		}, "abab at /data and the manifest /var/lib/archipelago/pgdb", func(o *Options) { o.DropMounts = []string{"/data"} }},
		{"a directory where the manifest has a file system in memory", func(i *podman.Inspect) {
			i.Mounts = []podman.Mount{{Type: "bind", Source: "/srv/cache", Target: "/cache"}}
		}, "mounts /srv/cache at /cache", func(o *Options) { o.DropMounts = []string{"/cache"} }},
		{"another password", func(i *podman.Inspect) { i.Env = podman.Env{"DB=the-old-password"} }, "DB of the container differs", func(o *Options) { o.TakeContainerSecret = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t, map[string]string{"pgdb": five()["pgdb"] + "    - {type: tmpfs, target: /cache}\n"}).firstBootDone()
			if err := os.WriteFile(n.vault.Path("db-password"), []byte("the-new-password"), 0o600); err != nil {
				t.Fatal(err)
			}
			n.script("pgdb", "docker.io/example/pgdb:v0.9", func(i *podman.Inspect) {
				i.Env = podman.Env{"DB=the-new-password"}
				c.adapt(i)
			})
			n.pass()
			n.calls = nil
			for _, way := range []func(*Options){func(o *Options) { o.Force = true }, func(o *Options) { o.Upgrade = map[string]string{"pgdb": "docker.io/example/pgdb:v1.0"} }} {
				if got := n.result(n.pass(way), "pgdb"); got.Action != NeedsHuman && !strings.Contains(c.name, "password") {
					t.Fatalf("forced or upgraded: %+v", got)
				}
			}
			r := n.pass(migrateAll)
			got := n.result(r, "pgdb")
			if got.Action != NeedsHuman || !strings.Contains(got.Cause, c.cause) || len(n.touched()) > 0 || r.ExitCode != ExitNeedsHuman {
				t.Fatalf("%+v, exit %d, %q", got, r.ExitCode, n.touched())
			}
			if text, _ := json.Marshal(r); strings.Contains(string(text), "the-old-password") || strings.Contains(string(text), "the-new-password") {
				t.Errorf("a password is in %s", text)
			}
			if got := n.result(n.pass(migrateAll, c.allow), "pgdb"); got.Action != Migrated {
				t.Fatalf("when it is allowed: %+v", got)
			}
			n.converged()
			if strings.Contains(c.name, "password") && n.secrets["archy.pgdb.DB"].value != "the-old-password" {
				t.Error("the container's password was not taken")
			}
		})
	}
}

// A volume stays where a manifest names it. podman's own volume for a path that the manifest leaves uncovered holds no data.
func TestMigrationKeepsAVolume(t *testing.T) {
	text := five()["solo"] + "  volumes:\n    - {type: volume, source: solo-data, target: /data}\n"
	n := newNode(t, map[string]string{"solo": text}).firstBootDone()
	n.script("solo", oldImage, func(i *podman.Inspect) {
		i.Mounts = []podman.Mount{{Type: "volume", Name: "solo-data", Source: "/volumes/solo-data/_data", Target: "/data"},
			{Type: "volume", Name: strings.Repeat("ab", 32), Source: "/volumes/ab/_data", Target: "/queue"}}
	})
	if got := n.result(n.pass(migrateAll), "solo"); got.Action != Migrated {
		t.Fatalf("%+v", got)
	}
	if unit, _ := os.ReadFile(n.layout.Host(n.layout.Unit("solo"))); !strings.Contains(string(unit), "Volume=solo-data:/data") {
		t.Errorf("unit:\n%s", unit)
	}
	n.converged()
}

// A mount with another source keeps the source: data stay where they are.
func TestMigrationKeepsWhereDataLie(t *testing.T) {
	n := newNode(t, map[string]string{"pgdb": five()["pgdb"]}).firstBootDone()
	n.script("pgdb", "docker.io/example/pgdb:v0.9", func(i *podman.Inspect) {
		i.Mounts = []podman.Mount{{Type: "bind", Source: "/var/lib/archipelago/old-db", Target: "/data"}}
		i.Env = podman.Env{"DB=" + marker}
	})
	r := n.pass(migrateAll)
	if got := n.result(r, "pgdb"); got.Action != Migrated {
		t.Fatalf("%+v", got)
	}
	unit, _ := os.ReadFile(n.layout.Host(n.layout.Unit("pgdb")))
	if !strings.Contains(string(unit), "Volume=/var/lib/archipelago/old-db:/data") || strings.Contains(string(unit), "archipelago/pgdb:") {
		t.Errorf("unit:\n%s", unit)
	}
	if v, err := n.vault.Read("db-password"); err != nil || v.Reveal() != marker {
		t.Errorf("the secret that was missing must be taken from the container: %v", err)
	}
	n.converged()
}

func TestMigrateOneByOneStopsAtTheFirstThatIsStuck(t *testing.T) {
	for _, keepGoing := range []bool{false, true} {
		t.Run(fmt.Sprint(keepGoing), func(t *testing.T) {
			n := newNode(t, five()).firstBootDone()
			for _, id := range n.set.Order() {
				n.script(id, "docker.io/example/"+id+":v0.9", func(i *podman.Inspect) { i.Env = podman.Env{"DB=" + marker} })
			}
			n.behave["docker.io/example/base:v1.0"] = behaviour{dies: 3}
			n.behave["docker.io/example/base:v0.9"] = behaviour{dies: 4}
			r := n.pass(migrateAll, func(o *Options) { o.KeepGoing = keepGoing })
			if got := n.result(r, "base"); got.Action != NeedsHuman {
				t.Fatalf("base: %+v", got)
			}
			want := Left
			if keepGoing {
				want = Migrated
			}
			if got := n.result(r, "solo"); got.Action != want {
				t.Errorf("solo: %+v, want %s", got, want)
			}
			if got := n.result(r, "pgdb"); got.Action != Migrated {
				t.Errorf("pgdb came before: %+v", got)
			}
			n.unharmed()
		})
	}
}

func TestIncident8UserStoppedWins(t *testing.T) {
	n := fiveRunning(t)
	if err := n.store.SetStopped("solo", "solo", true, containers(n.set)); err != nil {
		t.Fatal(err)
	}
	n.pass()
	apps := five()
	apps["solo"] = changedTo(apps["solo"])
	n.load(apps)
	n.calls, n.bootID = nil, "boot-2"
	r := n.pass()
	if got := n.result(r, "solo"); got.Action != Updated || got.State != "stopped" || len(n.touched()) > 0 {
		t.Errorf("%+v, %q", got, n.touched())
	}
	n.calls = nil
	if n.pass(); slices.ContainsFunc(n.calls, func(c string) bool { return !strings.HasPrefix(c, "write history") }) {
		t.Errorf("a further pass did %q", n.calls)
	}
	if err := n.store.SetStopped("solo", "solo", false, containers(n.set)); err != nil {
		t.Fatal(err)
	}
	n.pass()
	n.converged()
}

func TestAnUnreadableRecordIsToldAndExit3(t *testing.T) {
	n := fiveRunning(t)
	if err := os.WriteFile(n.layout.Host(n.layout.State("apps", "solo.json")), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := n.pass()
	if r.ExitCode != ExitSomeFailed || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "solo.json") {
		t.Errorf("exit %d, warnings %q", r.ExitCode, r.Warnings)
	}
	if len(n.touched()) > 0 {
		t.Errorf("touched %q", n.touched())
	}
}

func TestJSONOfAResultIsTheContract(t *testing.T) {
	n := newNode(t, five()).firstBootDone()
	r := n.pass()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"schema", "version", "started_at", "duration_ms", "check_only", "exit_code", "podman", "apps", "unknown", "orphans", "summary"} {
		if _, ok := got[key]; !ok {
			t.Errorf("no %q in %s", key, text)
		}
	}
	app := got["apps"].([]any)[0].(map[string]any)
	for _, key := range []string{"app", "container", "tier", "owner", "desired", "state", "action", "changed", "drift", "breaker", "duration_ms"} {
		if _, ok := app[key]; !ok {
			t.Errorf("no %q in an app: %v", key, app)
		}
	}
}

// However many apps are changed side by side, a pass ends and comes to the same node.
func TestParallel(t *testing.T) {
	for _, parallel := range []int{0, 1, 2, 16} {
		n := newNode(t, five()).firstBootDone()
		n.pass(func(o *Options) { o.MaxParallel = parallel })
		n.converged()
		if err := n.store.SetStopped("api", "api", true, containers(n.set)); err != nil {
			t.Fatal(err)
		}
		n.calls = nil
		// A forced pass changes one app after the other; the stop of one in between must not wait for itself.
		n.pass(func(o *Options) { o.MaxParallel, o.Force = parallel, true })
		equal(t, "touched", slices.Sorted(slices.Values(n.touched())), []string{"restart base", "restart pgdb", "restart solo", "restart web", "stop api"})
	}
}

// Incident matrix 6, "mode 0644": a full pass sees a secret that others may read and mends it; nothing restarts. One over named apps leaves it alone.
func TestASecretThatAllMayRead(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	path := n.vault.Path("db-password")
	mode := func() fs.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode()
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	exitCode := func(change func(*Options)) Result {
		p := n.passOf(change)
		p.ExitCode = true
		r, err := p.Run(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	const seen = "db-password has mode 0644 instead of 0600, with which others could read it"
	if r := exitCode(func(o *Options) { o.CheckOnly = true }); r.ExitCode != ExitDrift || !strings.Contains(strings.Join(r.Warnings, "\n"), seen+"; a pass mends it") || mode() != 0o644 {
		t.Errorf("--check-only: exit %d, %q, mode %o", r.ExitCode, r.Warnings, mode())
	}
	if r := n.pass(func(o *Options) { o.Only = []string{"solo"} }); len(r.Warnings) > 0 || mode() != 0o644 {
		t.Errorf("--container: %q, mode %o", r.Warnings, mode())
	}
	n.calls = nil
	if r := n.pass(); r.ExitCode != ExitOK || !strings.Contains(strings.Join(r.Warnings, "\n"), seen+"; mended") || mode() != 0o600 || len(n.touched()) > 0 {
		t.Errorf("exit %d, %q, mode %o, touched %q", r.ExitCode, r.Warnings, mode(), n.touched())
	}
	if r := exitCode(func(*Options) {}); r.ExitCode != ExitOK || len(r.Warnings) > 0 {
		t.Errorf("the pass after it: exit %d, %q", r.ExitCode, r.Warnings)
	}
}

// A result tells which podman was asked, whether there was something to do or not.
func TestAPassTellsThePodmanItAsked(t *testing.T) {
	n := newNode(t, five()).firstBootDone()
	for range 2 {
		r := n.pass()
		equal(t, "podman", r.Podman, PodmanState{Reachable: true, Version: "5.4.2", State: "ok"})
	}
}
