package reconcile

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

const oldImage = "docker.io/example/solo:v0.9"

// scripted is a node whose only app runs in a container that a script made, adopted by archy.
func scripted(t testing.TB) *fakeNode {
	n := newNode(t, map[string]string{"solo": five()["solo"]}).firstBootDone()
	n.script("solo", oldImage)
	n.pass()
	n.later(time.Minute)
	n.calls = nil
	return n
}

func migrateAll(o *Options) { o.Migrate = true }

// oldOne is the script's container, whatever it is called now.
func (n *fakeNode) oldOne() *podman.Inspect {
	for _, c := range n.containers {
		if c.Image == oldImage {
			return c
		}
	}
	return nil
}

func TestAdoptChangesNothing(t *testing.T) {
	n := newNode(t, five()).firstBootDone()
	made := map[string]podman.Inspect{}
	for _, id := range n.set.Order() {
		made[id] = *n.script(id, "docker.io/example/"+id+":v0.9")
	}
	for pass := range 3 {
		r := n.pass()
		if r.ExitCode != 0 {
			t.Errorf("pass %d: exit %d", pass, r.ExitCode)
		}
		for id, c := range made {
			got := n.containers[id]
			if got.ID != c.ID || !got.State.StartedAt.Equal(c.State.StartedAt) || got.RestartPolicy != c.RestartPolicy {
				t.Errorf("pass %d: container of %s was touched", pass, id)
			}
			want := NoOp
			if pass == 0 {
				want = Adopted
			}
			if res := n.result(r, id); res.Action != want || res.Owner != state.Legacy || len(res.Drift) == 0 {
				t.Errorf("pass %d: %s: %+v", pass, id, res)
			}
		}
		n.later(time.Minute)
	}
	if files, _ := os.ReadDir(n.layout.Host(n.layout.UnitDir())); len(files) > 0 {
		t.Errorf("adoption wrote units: %v", files)
	}
	if len(n.touched()) > 0 {
		t.Errorf("touched %q", n.touched())
	}
}

// Row 8: a container that was made and never started, and that podman cannot start, is moved to a unit by the next pass.
func TestACreatedContainerThatCannotBeStartedIsMigrated(t *testing.T) {
	n := scripted(t)
	n.downed(n.oldOne(), 0)
	n.oldOne().State.Status = podman.StateCreated
	n.oldOne().Ports = []podman.Port{{HostPort: 18080, ContainerPort: 8080, Protocol: "tcp"}}
	n.fault = fault{kind: "fail", match: "start in scope"}
	if got := n.result(n.pass(), "solo"); got.Row != "8" || got.Class != ClassFailed || got.Owner != state.Legacy {
		t.Fatalf("%+v", got)
	}
	n.revive()
	n.later(10 * time.Minute)
	if got := n.result(n.pass(), "solo"); got.Action != Migrated {
		t.Fatalf("%+v", got)
	}
	if unit := n.text(n.layout.Unit("solo")); !strings.Contains(unit, "PublishPort=18080:8080") {
		t.Errorf("unit:\n%s", unit)
	}
	n.converged()
}

// An app that is removed in the middle of its migration: the container that was set aside is archy's, and prune knows it.
func TestRemovedInTheMiddleOfAMigration(t *testing.T) {
	n := scripted(t)
	n.fault = fault{kind: "kill", match: "rename solo", at: 1}
	if _, err := n.tryPass(migrateAll); n.fault.hit == "" {
		t.Fatalf("no rename: %v, %q", err, n.calls)
	}
	n.revive()
	r := n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"solo"}})
	old := n.oldOne()
	if rec := n.record("solo"); rec.Installed || rec.Op != nil || len(rec.OldContainers) != 1 || rec.OldContainers[0].Name != old.Name || rec.OldContainers[0].ID != old.ID {
		t.Errorf("%+v, the old one is called %s", rec, old.Name)
	}
	if r = n.pass(); len(r.Unknown) > 0 || n.oldOne() == nil {
		t.Errorf("not ours: %q", r.Unknown)
	}
}

// A restart of an adopted app stops it and starts it, also one that somebody has paused.
func TestRestartOfAPausedAdoptedApp(t *testing.T) {
	n := scripted(t)
	c := n.oldOne()
	began := c.State.StartedAt
	c.State.Status, c.State.Paused, c.State.Running = podman.StatePaused, true, false
	r := n.mustVerb(0, Request{Verb: VerbRestart, Apps: []string{"solo"}})
	if got := n.result(r, "solo"); got.Action != Restarted || !c.State.Running || !c.State.StartedAt.After(began) {
		t.Errorf("%+v, started %s, before %s", got, c.State.StartedAt, began)
	}
	if want := []string{"unpause solo", "stop container solo", "start in scope solo"}; !slices.Equal(slices.DeleteFunc(slices.Clone(n.calls), func(c string) bool { return !slices.Contains(want, c) }), want) {
		t.Errorf("%q", n.calls)
	}
}

// An adopted app that lives and is not healthy at the time-out is waiting, as every other.
func TestAnAdoptedAppThatIsStillStarting(t *testing.T) {
	n := newNode(t, map[string]string{"solo": five()["solo"]}).firstBootDone()
	n.script("solo", oldImage, func(i *podman.Inspect) { i.Healthcheck = &podman.Healthcheck{Test: []string{"CMD", "check"}} })
	n.pass()
	n.later(time.Minute)
	n.mu.Lock()
	n.downed(n.oldOne(), 1)
	n.behave[oldImage] = behaviour{sick: true}
	n.mu.Unlock()
	r := n.pass(func(o *Options) { o.Wait, o.Timeout = true, time.Minute })
	if got := n.result(r, "solo"); got.Action != Started || got.Class != ClassWaiting || !strings.Contains(got.Cause, "still starting after 1m0s") || r.ExitCode != 0 {
		t.Errorf("%+v, exit %d", got, r.ExitCode)
	}
}

// port-drift: a mapping that was right months ago is a difference, which is told in each pass and mended when its owner says so.
func TestIncident21PortDrift(t *testing.T) {
	apps := map[string]string{"solo": five()["solo"] + "  ports:\n    - host: 8083\n      container: 80\n"}
	n := newNode(t, apps).firstBootDone()
	n.script("solo", oldImage, func(i *podman.Inspect) {
		i.Ports = []podman.Port{{HostPort: 8083, ContainerPort: 8080, Protocol: "tcp"}}
	})
	for range 2 {
		if words := n.result(n.pass(), "solo").DriftWords(); !strings.Contains(words, "ports (+8083:8080 -8083:80)") {
			t.Errorf("drift %q", words)
		}
		n.later(time.Minute)
	}
	if got := n.result(n.pass(migrateAll), "solo"); got.Action != Migrated {
		t.Fatalf("%+v", got)
	}
	unit, _ := os.ReadFile(n.layout.Host(n.layout.Unit("solo")))
	if got := directives(unit, "PublishPort"); !slices.Equal(got, []string{"8083:80"}) {
		t.Errorf("ports %q: the port of the host leads to one place", got)
	}
	n.converged()
}

// adopt-extra-port: a port that somebody opened by hand stays open, beside those of the manifest.
func TestIncident21AdoptExtraPort(t *testing.T) {
	n := newNode(t, map[string]string{"solo": five()["solo"] + "  ports:\n    - host: 8083\n      container: 80\n"}).firstBootDone()
	n.script("solo", oldImage, func(i *podman.Inspect) {
		i.Ports = []podman.Port{{HostPort: 8083, ContainerPort: 80, Protocol: "tcp"}, {HostPort: 18080, ContainerPort: 80, Protocol: "tcp"}}
	})
	n.pass()
	if got := n.result(n.pass(migrateAll), "solo"); got.Action != Migrated {
		t.Fatalf("%+v", got)
	}
	unit, _ := os.ReadFile(n.layout.Host(n.layout.Unit("solo")))
	if got := directives(unit, "PublishPort"); !slices.Equal(got, []string{"8083:80", "18080:80"}) {
		t.Errorf("ports %q", got)
	}
	n.converged()
}

func TestMigrate(t *testing.T) {
	n := scripted(t)
	n.oldOne().Ports = []podman.Port{{HostPort: 18080, ContainerPort: 8080, Protocol: "tcp"}}
	old := n.oldOne().ID
	r := n.pass(migrateAll)
	if got := n.result(r, "solo"); got.Action != Migrated || got.Owner != state.Quadlet || r.ExitCode != 0 {
		t.Fatalf("%+v, exit %d", got, r.ExitCode)
	}
	c := n.oldOne()
	if c == nil || c.ID != old || c.State.Running || c.RestartPolicy != "no" || !strings.HasPrefix(c.Name, "solo-archy-old-2026") {
		t.Errorf("the old container must be kept, stopped: %+v", c)
	}
	rec := n.record("solo")
	if rec.Owner != state.Quadlet || len(rec.Pinned.ExtraPorts) != 1 || len(rec.OldContainers) != 1 {
		t.Errorf("record %+v", rec)
	}
	unit, _ := os.ReadFile(n.layout.Host(n.layout.Unit("solo")))
	if !strings.Contains(string(unit), "PublishPort=18080:8080") {
		t.Error("the old container's extra port was lost")
	}
	n.converged()
	n.later(23 * time.Hour)
	n.pass()
	if n.oldOne() == nil {
		t.Error("the old container is kept for 24 h")
	}
	n.later(2 * time.Hour)
	n.pass()
	if n.oldOne() != nil {
		t.Error("the old container must go after 24 h")
	}
	n.converged()
}

// Somebody runs a container of his own in the place of a unit of archy's: the unit, which systemd would start at the next boot with podman's --replace, makes
// room for it, and is there again when that container is gone.
func TestAContainerInThePlaceOfAUnit(t *testing.T) {
	for name, down := range map[string]func(n *fakeNode, s *fakeService){
		"stopped": func(n *fakeNode, s *fakeService) { n.halt("solo.service", s) },
		"tried again": func(n *fakeNode, s *fakeService) {
			n.drop(n.containers["solo"])
			_ = n.ended(s, 1)
		},
	} {
		t.Run(name, func(t *testing.T) { containerInThePlaceOfAUnit(t, down) })
	}
}

func containerInThePlaceOfAUnit(t *testing.T, down func(n *fakeNode, s *fakeService)) {
	n := newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
	n.pass()
	n.converged()
	down(n, n.services["solo.service"])
	n.onCall = func(call string) {
		if call == "remove unit solo" && n.services["solo.service"].SubState == "auto-restart" {
			t.Error("systemd still tries to start it")
		}
	}
	mine := n.script("solo", oldImage, binds(n.layout.Data("solo"), "/data"))
	if got := n.result(n.pass(), "solo"); got.Action != Adopted || !strings.Contains(got.Cause, "unit") {
		t.Errorf("%+v", got)
	}
	n.later(time.Minute)
	for name, s := range n.services { // a boot
		if s.LoadState == "loaded" && n.text(n.layout.Unit("solo")) != "" {
			_ = n.run(name, s)
		}
	}
	if len(n.violations) > 0 || n.containers["solo"] != mine || n.text(n.layout.Unit("solo")) != "" {
		t.Fatalf("%q", n.violations)
	}
	if got := n.result(n.pass(), "solo"); got.Action != NoOp || got.Owner != state.Legacy {
		t.Errorf("%+v", got)
	}
	n.drop(mine)
	n.pass()
	n.converged()
}

// Somebody has taken the old container for himself, and its name is another one's by now: that one is not archy's to remove.
func TestTheNameOfAnOldContainerIsReused(t *testing.T) {
	n := scripted(t)
	n.pass(migrateAll)
	old := n.oldOne()
	name := old.Name
	delete(n.containers, name)
	old.Name = "mine"
	n.containers["mine"] = old
	n.downed(n.script(name, oldImage), 0)
	n.later(25 * time.Hour)
	n.pass()
	if n.containers["mine"] == nil || n.containers[name] == nil || len(n.record("solo").OldContainers) != 0 {
		t.Errorf("%v, %v, record %+v", n.containers["mine"], n.containers[name], n.record("solo").OldContainers)
	}
	n.converged()
}

// A version that is older than the one that ran on the data is never started unasked, and another repository's neither: what an adopted
// container ran stays, until its owner upgrades the app.
func TestMigrationTakesNoOlderImage(t *testing.T) {
	const manifests = "docker.io/example/solo:v1.0"
	upgrade := func(o *Options) { o.Upgrade, o.Only, o.Owner = map[string]string{"solo": ""}, []string{"solo"}, true }
	for _, have := range []string{"docker.io/example/solo:v9.9", "registry.local/mirror/solo:v0.9"} {
		adopted := func(t *testing.T) *fakeNode {
			n := newNode(t, map[string]string{"solo": five()["solo"]}).firstBootDone()
			n.script("solo", have)
			n.pass()
			return n
		}
		for name, c := range map[string]struct {
			do   func(n *fakeNode)
			how  func(*Options)
			want Action
		}{
			"migrated": {how: migrateAll, want: Migrated},
			"forced":   {how: func(o *Options) { o.Force = true }, want: Migrated},
			"vanished": {do: func(n *fakeNode) { n.drop(n.containers["solo"]) }, how: func(*Options) {}, want: Installed},
			"exited":   {do: func(n *fakeNode) { n.downed(n.containers["solo"], 1) }, how: func(*Options) {}, want: Started},
		} {
			t.Run(name+" "+have, func(t *testing.T) {
				n := adopted(t)
				if c.do != nil {
					c.do(n)
				}
				if got := n.result(n.pass(c.how), "solo"); got.Action != c.want || n.containers["solo"].Image != have || n.record("solo").Image != have {
					t.Errorf("%+v, image %s", got, n.containers["solo"].Image)
				}
				n.unharmed()
			})
		}
	}
	t.Run("upgraded", func(t *testing.T) {
		n := newNode(t, map[string]string{"solo": five()["solo"]}).firstBootDone()
		n.script("solo", "docker.io/example/solo:v9.9")
		n.pass()
		n.calls = nil
		if r := n.pass(upgrade); r.ExitCode != ExitNeedsHuman || len(n.touched()) > 0 || !strings.Contains(n.result(r, "solo").Error.Hint, "--allow-downgrade") {
			t.Errorf("exit %d, %q, %+v", r.ExitCode, n.touched(), n.result(r, "solo"))
		}
		if got := n.result(n.pass(upgrade, func(o *Options) { o.AllowDowngrade = true }), "solo"); got.Action != Migrated || n.containers["solo"].Image != manifests {
			t.Errorf("%+v", got)
		}
	})
	t.Run("upgraded to another repository", func(t *testing.T) {
		n := newNode(t, map[string]string{"solo": five()["solo"]}).firstBootDone()
		n.script("solo", "registry.local/mirror/solo:v0.9")
		n.pass()
		if got := n.result(n.pass(upgrade), "solo"); got.Action != Migrated || n.containers["solo"].Image != manifests {
			t.Errorf("%+v", got)
		}
	})
	t.Run("latest", func(t *testing.T) {
		n := newNode(t, map[string]string{"solo": five()["solo"]}).firstBootDone()
		n.script("solo", "docker.io/example/solo:latest")
		if got := n.result(n.pass(migrateAll), "solo"); got.Action != Migrated || n.containers["solo"].Image != manifests {
			t.Errorf("%+v", got)
		}
	})
}

// An adopted container that is upgraded is killed on the way: the next pass goes on with the image that was asked for.
func TestMigrationKilledGoesOnWithItsImage(t *testing.T) {
	const to = "docker.io/example/solo:v1.5"
	for _, call := range []string{"stop container solo", "rename solo", "start solo.service"} {
		n := scripted(t)
		n.registry[to] = true
		n.fault = fault{kind: "kill", match: call, at: 1}
		_, _ = n.tryPass(func(o *Options) { o.Upgrade, o.Only, o.Owner = map[string]string{"solo": to}, []string{"solo"}, true })
		n.revive()
		if got := n.result(n.pass(), "solo"); got.Action != Migrated || n.containers["solo"].Image != to || n.record("solo").Image != to {
			t.Errorf("%s: %+v", call, got)
		}
		n.converged()
	}
}

// What an adopted container has written where the manifest mounts a directory, and it mounts none, is in itself: it would be gone a day after a migration, or
// with a removal that promises to keep data.
func TestDataInTheContainerItself(t *testing.T) {
	const layer = "/var/lib/archipelago/containers/storage/overlay/0123/diff"
	text := five()["solo"] + fmt.Sprintf(dataOf, "solo")
	adopted := func(change ...func(*podman.Inspect)) *fakeNode {
		n := newNode(t, map[string]string{"solo": text}).firstBootDone()
		n.script("solo", oldImage, append(change, func(c *podman.Inspect) { c.Layer = layer })...)
		n.lay(layer+"/data/grafana.db", "the only one")
		n.pass()
		n.later(time.Minute)
		return n
	}
	n := adopted()
	id := n.containers["solo"].ID
	for range 2 {
		got := n.result(n.pass(migrateAll), "solo")
		if got.Action != NeedsHuman || !strings.Contains(got.Cause, "data at /data in itself") || n.containers["solo"].ID != id || !n.runs("solo") {
			t.Fatalf("%+v", got)
		}
		n.later(25 * time.Hour)
	}
	if got := n.result(n.mustVerb(6, Request{Verb: VerbRemove, Apps: []string{"solo"}}), "solo"); got.Action != NeedsHuman || n.containers["solo"] == nil {
		t.Errorf("%+v", got)
	}
	n.lay("/var/lib/archipelago/solo/grafana.db", "copied")
	if got := n.result(n.pass(migrateAll), "solo"); got.Action != Migrated {
		t.Errorf("copied: %+v", got)
	}
	if got := n.result(adopted().pass(migrateAll, func(o *Options) { o.DropMounts = []string{"/data"} }), "solo"); got.Action != Migrated {
		t.Errorf("given up: %+v", got)
	}
	if got := n.result(adopted(binds("/mnt/old/solo", "/data")).pass(migrateAll), "solo"); got.Action != Migrated {
		t.Errorf("mounted: %+v", got)
	}
}

// The same for a container that podman has lost with its database: a unit that is started in its place has podman take away what its storage still has of that name.
func TestDataInAContainerThatPodmanHasLost(t *testing.T) {
	const storage = "/var/lib/archipelago/containers/storage"
	lost := func(made string) *fakeNode {
		n := newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
		c := n.script("solo", oldImage)
		n.lay(storage+"/overlay-containers/"+c.ID+"/userdata/config.json", made)
		n.lay(storage+"/overlay/0123/diff/data/grafana.db", "the only one")
		n.lay(storage+"/overlay-containers/containers.json", fmt.Sprintf(`[{"id": %q, "names": ["solo"], "layer": "0123"}]`, c.ID))
		n.pass()
		n.drop(c)
		n.later(time.Hour)
		return n
	}
	n := lost(`{"mounts": []}`)
	for range 2 {
		got := n.result(n.pass(), "solo")
		if got.Action != NeedsHuman || !strings.Contains(got.Cause, "has data at /data in itself") || !strings.Contains(got.Error.Hint, "cp -a "+storage+"/overlay/0123/diff/data/. /var/lib/archipelago/solo/") ||
			n.text(n.layout.Unit("solo")) != "" {
			t.Fatalf("%+v %+v", got, got.Error)
		}
		n.later(time.Hour)
	}
	n.lay("/var/lib/archipelago/solo/grafana.db", "copied")
	if got := n.result(n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"solo"}}), "solo"); got.Action != Installed || !n.runs("solo") {
		t.Errorf("copied: %+v", got)
	}
	n = lost("")
	if got := n.result(n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"solo"}, DropMounts: []string{"/data"}}), "solo"); got.Action != Installed || !n.runs("solo") {
		t.Errorf("given up: %+v", got)
	}
	n = lost(`{"mounts": [{"destination": "/data"}]}`)
	if got := n.result(n.pass(), "solo"); got.Action != Installed {
		t.Errorf("mounted: %+v", got)
	}
}

// podman takes a container that was made with --rm away when it ends: nothing of it would be left to go back to.
func TestAContainerThatGoesWhenItIsStopped(t *testing.T) {
	n := newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
	n.script("solo", oldImage, binds("/mnt/old/solo", "/data"), func(c *podman.Inspect) { c.AutoRemove = true })
	n.pass()
	n.later(time.Minute)
	n.calls = nil
	for name, got := range map[string]AppResult{
		"migrate": n.result(n.pass(migrateAll), "solo"),
		"force":   n.result(n.pass(func(o *Options) { o.Force = true }), "solo"),
		"restart": n.result(n.mustVerb(6, Request{Verb: VerbRestart, Apps: []string{"solo"}}), "solo"),
	} {
		if got.Action != NeedsHuman || !strings.Contains(got.Cause, "--rm") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if list := n.touched(); !n.runs("solo") || len(list) > 0 {
		t.Fatalf("touched: %q", list)
	}
	// The way that is told.
	n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{"solo"}})
	n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"solo"}})
	n.converged()
	if unit := n.text(n.layout.Unit("solo")); !strings.Contains(unit, "/mnt/old/solo:/data") {
		t.Errorf("unit %s", unit)
	}
}

func TestMigrationThatFailsIsUndone(t *testing.T) {
	for name, b := range map[string]behaviour{"dies": {dies: 7, says: "bad flag"}, "never healthy": {sick: true}} {
		t.Run(name, func(t *testing.T) {
			n := scripted(t)
			old := n.oldOne().ID
			n.behave["docker.io/example/solo:v1.0"] = b
			r := n.pass(migrateAll)
			got := n.result(r, "solo")
			if got.Action != RolledBack || r.ExitCode != ExitNothingDone && r.ExitCode != ExitSomeFailed || got.Error == nil {
				t.Fatalf("%+v, exit %d", got, r.ExitCode)
			}
			n.asBefore(old)
			n.calls = nil
			if r := n.pass(); len(n.touched()) > 0 || n.result(r, "solo").Class != ClassOK {
				t.Errorf("next pass: %q, %+v", n.touched(), n.result(r, "solo"))
			}
			n.behave = map[string]behaviour{}
			if got := n.result(n.pass(migrateAll), "solo"); got.Action != Migrated {
				t.Errorf("a second try: %+v", got)
			}
			n.converged()
		})
	}
}

// asBefore asks that the script's container runs again as if nothing had been tried.
func (n *fakeNode) asBefore(id string) {
	n.t.Helper()
	c := n.containers["solo"]
	if c == nil || c.ID != id || !c.State.Running || c.RestartPolicy != "unless-stopped" {
		n.t.Errorf("the old container does not run again: %+v", c)
	}
	if _, err := os.Stat(n.layout.Host(n.layout.Unit("solo"))); err == nil || n.services["solo.service"] != nil {
		n.t.Error("the unit is still there")
	}
	if r := n.record("solo"); r.Owner != state.Legacy || r.Op != nil || !r.Installed {
		n.t.Errorf("record %+v", r)
	}
	n.unharmed()
}

// A tier that may take its time is no reason to keep a migration that podman calls unhealthy.
func TestMigrationOfTier2ThatIsUnhealthyIsUndone(t *testing.T) {
	for b, want := range map[behaviour]Action{{ill: true}: RolledBack, {sick: true}: Migrated} {
		n := newNode(t, map[string]string{"solo": manifestOf("solo", 2)}).firstBootDone()
		id := n.script("solo", oldImage).ID
		n.behave["docker.io/example/solo:v1.0"] = b
		if got := n.result(n.pass(migrateAll), "solo"); got.Action != want {
			t.Errorf("%+v: %+v", b, got)
		}
		if want == RolledBack {
			n.asBefore(id)
		}
	}
}

func TestMigrationWhoseUndoFails(t *testing.T) {
	n := scripted(t)
	n.behave["docker.io/example/solo:v1.0"] = behaviour{dies: 7}
	n.behave[oldImage] = behaviour{dies: 8}
	r := n.pass(migrateAll)
	got := n.result(r, "solo")
	if got.Action != NeedsHuman || r.ExitCode != ExitNeedsHuman || !strings.Contains(got.Error.Message, "exited 7") || !strings.Contains(got.Error.Message, "exited 8") {
		t.Fatalf("%+v, exit %d", got, r.ExitCode)
	}
	if !strings.Contains(got.Error.Hint, "podman start solo") {
		t.Errorf("hint %q has no command to run", got.Error.Hint)
	}
	if n.oldOne() == nil {
		t.Fatal("the old container is gone")
	}
	n.behave = map[string]behaviour{}
	n.later(10 * time.Minute)
	n.pass()
	n.asBefore(n.oldOne().ID)
}

// one lists what a node has to come to after a kill: it runs, once, and nothing is lost.
func (n *fakeNode) oneOfBoth(old string) {
	n.t.Helper()
	n.unharmed()
	switch {
	case n.containers["solo"] == nil || !n.containers["solo"].State.Running:
		n.t.Error("nothing runs")
	case n.oldOne() == nil || n.oldOne().ID != old:
		n.t.Error("the old container is lost")
	case n.containers["solo"].ID != old && n.oldOne().State.Running:
		n.t.Error("both containers run on the same data")
	}
}

// The table "killed at", right column, row by row: what the run that comes next does.
func TestMigrationKilledAt(t *testing.T) {
	for _, c := range []struct {
		row, call string
		again     []string // what the next pass does to containers
	}{
		{"1-3: nothing was touched", "save legacy solo", []string{"stop container solo", "rename solo", "start solo"}},
		{"4: before the stop", "update solo no", []string{"stop container solo", "rename solo", "start solo"}},
		{"4: stopped, not renamed", "stop container solo", []string{"rename solo", "start solo"}},
		{"5: renamed", "rename solo", []string{"start solo"}},
		{"6: unit written", "write unit solo", []string{"start solo"}},
		{"6: reloaded", "reload", []string{"start solo"}},
		{"7: started", "start solo.service", []string{"start solo"}},
	} {
		t.Run(c.row, func(t *testing.T) {
			n := scripted(t)
			old := n.oldOne().ID
			n.fault = fault{kind: "kill", match: c.call, at: 1}
			_, _ = n.tryPass(migrateAll)
			if n.fault.hit == "" {
				t.Fatalf("%q was never called: %q", c.call, n.calls)
			}
			n.revive()
			n.calls = nil
			n.later(30 * time.Second)
			// A plain pass goes on with what was begun, except where nothing was begun.
			options := func(*Options) {}
			if strings.HasPrefix(c.row, "1-3") {
				options = migrateAll
			}
			n.pass(options)
			equal(t, "the next pass", n.touched(), c.again)
			n.oneOfBoth(old)
			n.converged()
			if got := n.record("solo"); got.Owner != state.Quadlet || len(got.OldContainers) != 1 {
				t.Errorf("record %+v", got)
			}
		})
	}
	t.Run("8: the gate is repeated, and fails", func(t *testing.T) {
		n := scripted(t)
		old := n.oldOne().ID
		n.fault = fault{kind: "kill", match: "start solo.service", at: 1}
		_, _ = n.tryPass(migrateAll)
		n.revive()
		n.behave["docker.io/example/solo:v1.0"] = behaviour{dies: 3}
		n.drop(n.containers["solo"])
		n.services["solo.service"].ActiveState = "failed"
		if got := n.result(n.pass(), "solo"); got.Action != RolledBack {
			t.Errorf("%+v", got)
		}
		n.asBefore(old)
	})
	for _, call := range []string{"write record solo", "stop solo.service", "remove unit solo", "reload", "rename solo-archy-old", "update solo unless-stopped", "start in scope solo"} {
		t.Run("rollback: "+call, func(t *testing.T) {
			n := scripted(t)
			old := n.oldOne().ID
			n.behave["docker.io/example/solo:v1.0"] = behaviour{dies: 3}
			n.onCall = func(made string) {
				if r, _, _ := n.store.ReadRecord("solo"); r.Op != nil && r.Op.Rollback && strings.HasPrefix(made, call) {
					n.mu.Lock()
					if n.fault.hit == "" {
						n.fault = fault{kind: "kill", match: call, at: 1}
					}
					n.mu.Unlock()
				}
			}
			_, _ = n.tryPass(migrateAll)
			n.onCall = nil
			n.revive()
			n.later(time.Minute)
			n.pass()
			n.pass()
			n.asBefore(old)
		})
	}
}

// Row 4 of "killed at": the checks do not pass any more, and the old container is started again.
func TestMigrationKilledThatCannotGoOn(t *testing.T) {
	for name, hinder := range map[string]func(n *fakeNode){
		"no space": func(n *fakeNode) { n.facts.DataFree = 1 << 30 },
		"no image": func(n *fakeNode) { delete(n.images, "docker.io/example/solo:v1.0") },
		"a need is unmet": func(n *fakeNode) {
			if err := n.store.SetStopped("base", "base", true, containers(n.set)); err != nil {
				n.t.Fatal(err)
			}
		},
		"a mount that the manifest lacks": func(n *fakeNode) {
			n.oldOne().Mounts = []podman.Mount{{Type: "bind", Source: "/srv/extra", Target: "/extra"}}
		},
		"its image is pulled every time, and cannot be": func(n *fakeNode) {
			n.load(map[string]string{"base": five()["base"], "solo": strings.Replace(five()["solo"], "    network: archy-net\n", "    network: archy-net\n    pull_policy: always\n", 1) + dependsOn("base")})
			n.fault = fault{kind: "fail", match: "pull"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, map[string]string{"base": five()["base"], "solo": five()["solo"] + dependsOn("base")}).firstBootDone()
			old := n.script("solo", oldImage).ID
			n.pass()
			n.later(time.Minute)
			n.fault = fault{kind: "kill", match: "stop container solo", at: 1}
			_, _ = n.tryPass(migrateAll)
			n.revive()
			if n.oldOne().State.Running {
				t.Fatal("the old container was not stopped")
			}
			hinder(n)
			if got := n.result(n.pass(), "solo"); got.Action != RolledBack || got.Class != ClassFailed {
				t.Errorf("%+v", got)
			}
			n.asBefore(old)
		})
	}
}

// The left column: safe replace.
func TestIncident2ReplaceFailureAtStepN(t *testing.T) {
	for _, c := range []struct {
		row, call string
		again     []string
	}{
		{"3: previous unit saved", "save previous unit web", []string{"restart web"}},
		{"3: noted", "write record web", []string{"restart web"}},
		{"6: unit written", "write unit web", []string{"restart web"}},
		{"6: reloaded", "reload", []string{"restart web"}},
		{"7: restarted", "restart web.service", nil},
		{"9: previous unit dropped", "drop previous unit web", nil},
	} {
		for _, fails := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, new version fails %v", c.row, fails), func(t *testing.T) {
				n := fiveRunning(t)
				before := n.containers["web"].Labels[spec.LabelSpecHash]
				apps := five()
				apps["web"] = changedTo(apps["web"])
				n.load(apps)
				n.fault = fault{kind: "kill", match: c.call, at: 1}
				_, _ = n.tryPass()
				if n.fault.hit == "" {
					t.Fatalf("%q was never called: %q", c.call, n.calls)
				}
				n.revive()
				n.calls = nil
				if !fails || c.row[0] == '9' {
					n.later(30 * time.Second)
					n.pass()
					equal(t, "the next pass", n.touched(), c.again)
					n.converged()
					return
				}
				n.newWebFails()
				r := n.pass()
				if got := n.result(r, "web"); got.Action != RolledBack || n.containers["web"].Labels[spec.LabelSpecHash] != before {
					t.Errorf("%+v", got)
				}
				if got := n.result(n.pass(), "web"); got.Row != "35" {
					t.Errorf("it is not held: %+v", got)
				}
			})
		}
	}
}

// A change that failed is tried again because its owner says so, and the run is killed: the next goes on with it.
func TestTriedAgainAndKilled(t *testing.T) {
	for _, call := range []string{"write unit web", "reload", "reset-failed web.service", "restart web.service"} {
		t.Run(call, func(t *testing.T) {
			n := fiveRunning(t)
			apps := five()
			apps["web"] = changedTo(apps["web"])
			n.load(apps)
			n.newWebFails()
			if got := n.result(n.pass(), "web"); got.Action != RolledBack {
				t.Fatalf("%+v", got)
			}
			n.onCall = nil
			n.fault = fault{kind: "kill", match: call, at: 1}
			_, _ = n.tryPass(func(o *Options) { o.Force, o.Only = true, []string{"web"} })
			if n.fault.hit == "" {
				t.Fatalf("%q was never called: %q", call, n.calls)
			}
			n.revive()
			n.later(6 * time.Minute)
			n.pass()
			n.converged()
			if r := n.record("web"); r.Op != nil || r.FailedHash != "" || n.containers["web"].Labels[spec.LabelSpecHash] != r.SpecHash {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A change is killed before its restart, and its owner takes it back: one pass forgets it.
func TestKilledAndTakenBack(t *testing.T) {
	n := fiveRunning(t)
	apps := five()
	apps["web"] = changedTo(apps["web"])
	n.load(apps)
	n.fault = fault{kind: "kill", match: "reload", at: 1}
	_, _ = n.tryPass()
	n.revive()
	n.load(five())
	n.later(6 * time.Minute)
	if got := n.result(n.pass(), "web"); got.Action != Updated {
		t.Errorf("%+v", got)
	}
	n.converged()
	if r := n.record("web"); r.Op != nil {
		t.Errorf("%+v", r.Op)
	}
}

// newWebFails makes web's new spec one that dies, also in the container that runs already, until the roll-back.
func (n *fakeNode) newWebFails() {
	const image = "docker.io/example/web:v1.0"
	n.behave[image] = behaviour{dies: 3}
	if c := n.containers["web"]; c != nil && n.record("web").Op != nil && c.Labels[spec.LabelSpecHash] == n.record("web").Op.NewHash {
		n.drop(c)
		s := n.services["web.service"]
		s.ActiveState, s.SubState = "failed", "failed"
	}
	n.onCall = func(call string) {
		if r, _, _ := n.store.ReadRecord("web"); strings.HasPrefix(call, "write unit web") && r.Op != nil && r.Op.Rollback {
			n.mu.Lock()
			n.behave[image] = behaviour{}
			n.mu.Unlock()
		}
	}
}

// scenario is something that a pass does and that is broken off at each of its calls in turn.
type scenario struct {
	name  string
	start func(t testing.TB) *fakeNode
	act   func(n *fakeNode) (Result, error)
	// settled asks what must be true after one further pass.
	settled func(n *fakeNode)
	further func(n *fakeNode) Result
}

func scenarios() []scenario {
	plain := func(n *fakeNode) (Result, error) { return n.tryPass() }
	converged := func(n *fakeNode) { n.converged() }
	one := func(n *fakeNode) Result { return n.pass() }
	replaced := func(t testing.TB) *fakeNode {
		n := fiveRunning(t)
		apps := five()
		apps["web"], apps["api"] = changedTo(apps["web"]), changedTo(apps["api"])
		n.load(apps)
		return n
	}
	stopping := func(t testing.TB) *fakeNode {
		n := fiveRunning(t)
		for _, id := range n.set.Order() {
			if err := n.store.SetStopped(id, id, true, containers(n.set)); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	return []scenario{
		{"first install of five apps", func(t testing.TB) *fakeNode { return newNode(t, five()).firstBootDone() }, plain, converged, one},
		{"replace", replaced, plain, func(n *fakeNode) {
			n.converged()
			for _, id := range []string{"api", "web"} {
				if r := n.record(id); r.FailedHash != "" {
					n.t.Errorf("%s: the change is held, and nothing was wrong with it", id)
				}
			}
		}, one},
		{"replace that is rolled back", func(t testing.TB) *fakeNode {
			n := replaced(t)
			n.onCall = n.onlyOldRuns()
			return n
		}, plain, func(n *fakeNode) {
			for _, id := range []string{"api", "web"} {
				if c := n.containers[id]; c == nil || !c.State.Running {
					n.t.Errorf("%s does not run", id)
				}
				if r := n.record(id); r.Op != nil {
					n.t.Errorf("%s: op %+v", id, r.Op)
				}
			}
			n.unharmed()
		}, one},
		{"migrate", scripted, func(n *fakeNode) (Result, error) { return n.tryPass(migrateAll) }, func(n *fakeNode) {
			n.oneOfBoth(n.oldOne().ID)
			n.converged()
		}, func(n *fakeNode) Result { return n.pass(migrateAll) }},
		{"stop", stopping, plain, func(n *fakeNode) {
			for name, c := range n.containers {
				n.t.Errorf("%s still runs: %v", name, c.State.Status)
			}
			if plan := n.plan(); !plan.Empty() {
				n.t.Errorf("plan:\n%s", plan)
			}
		}, one},
	}
}

// onlyOldRuns makes containers of new specs die: an image is well only while the unit on disk is one without 512Mi.
func (n *fakeNode) onlyOldRuns() func(string) {
	return func(call string) {
		verb, rest, _ := strings.Cut(call, " ")
		id := strings.TrimSuffix(rest, ".service")
		if verb != "restart" && verb != "start" || !slices.Contains([]string{"api", "web"}, id) {
			return
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		b := behaviour{}
		if s := n.services[id+".service"]; s != nil && strings.Contains(string(s.text), "536870912") {
			b.dies = 3
		}
		n.behave["docker.io/example/"+id+":v1.0"] = b
	}
}

// TestKilledAfterEveryCall: whatever call is the last that a pass makes, one further pass converges. A call that fails,
// or that has its effect and fails all the same, is repaired in the same way.
func TestKilledAfterEveryCall(t *testing.T) {
	for _, s := range scenarios() {
		for _, kind := range []string{"kill", "die-before", "fail", "cut", "hang"} {
			t.Run(s.name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				s.everyCall(t, fault{kind: kind})
			})
		}
	}
}

// TestIncident23EnospcEveryWrite: the disk is full from any write on (incident 23). What runs goes on or is brought back, nothing is torn, somebody
// is told, and a pass with room again converges.
func TestIncident23EnospcEveryWrite(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.everyCall(t, fault{kind: "full"})
		})
	}
}

// TestEveryQuestionFails: the calls that only read are points as well. Whichever of all calls, in their order, is the last or
// goes wrong or hangs until its limit, one further pass converges.
func TestEveryQuestionFails(t *testing.T) {
	for _, s := range scenarios() {
		for _, kind := range []string{"kill", "fail", "hang"} {
			t.Run(s.name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				s.everyCall(t, fault{kind: kind, reads: true})
			})
		}
	}
}

func (s scenario) everyCall(t *testing.T, f fault) {
	kind := f.kind
	for k := 1; ; k++ {
		n := s.start(t)
		n.fault = f
		n.fault.at = k
		r, _ := s.act(n)
		hit := n.fault.hit
		if hit == "" {
			if k < 5 {
				t.Errorf("only %d calls", k)
			}
			return
		}
		n.unharmed()
		// A pull is tried again, and so is a look at something that is waited for.
		if !n.dead && r.ExitCode == 0 && !strings.HasPrefix(hit, "pull") && !strings.HasPrefix(hit, "ask ") {
			if quiet := n.silent(r); quiet {
				t.Errorf("call %d (%s) went wrong and nobody was told", k, hit)
			}
		}
		n.revive()
		n.later(6 * time.Minute) // over any back-off
		next := s.further(n)
		s.settled(n)
		if t.Failed() {
			for _, a := range next.Apps {
				t.Logf("%s: %s %s %s %v", a.App, a.State, a.Action, a.Cause, a.Error)
			}
			t.Fatalf("after %s at call %d: %s", kind, k, hit)
		}
		_ = os.RemoveAll(n.layout.Root)
	}
}

// silent tells that no app of a result says that something went wrong.
func (n *fakeNode) silent(r Result) bool {
	return !slices.ContainsFunc(r.Apps, func(a AppResult) bool { return a.Class != ClassOK || a.Error != nil || a.Detail != "" })
}

// A container that something else made after the owner removed the app is not what the owner removed: it is left, until the owner adopts
// or removes it.
func TestMadeAnewAfterItsRemoval(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"solo"}})
	n.later(time.Minute)
	id := n.script("solo", "docker.io/example/solo:v1.0", func(c *podman.Inspect) { c.Created = n.clock }).ID
	for range 2 {
		if got := n.result(n.pass(), "solo"); got.Action != Left || got.Class != ClassOK || !n.runs("solo") {
			t.Errorf("a pass: %+v", got)
		}
	}
	missing := func(o *Options) { o.CreateMissing = true }
	if got := n.result(n.pass(missing), "solo"); got.Action != Left || n.record("solo").Installed {
		t.Errorf("--create-missing: %+v", got)
	}
	if got := n.result(n.pass(missing, func(o *Options) { o.Only, o.CheckOnly = []string{"solo"}, true }), "solo"); got.Action != Adopted {
		t.Errorf("--create-missing by name: %+v", got)
	}
	if got := n.result(n.pass(func(o *Options) { o.AdoptOnly = true }), "solo"); got.Action != Adopted || n.containers["solo"].ID != id {
		t.Errorf("adopt: %+v", got)
	}
	if got := n.result(n.pass(), "solo"); got.Action != NoOp || n.containers["solo"].ID != id {
		t.Errorf("the next pass: %+v", got)
	}
	if r := n.pass(func(o *Options) { o.Migrate = true }); n.result(r, "solo").Action != Migrated {
		t.Errorf("migrate: %+v", n.result(r, "solo"))
	}
}
