package reconcile

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// page makes an app the page of another one.
func page(of string) build {
	return all(func(a *App) { a.Manifest.Follows = of }, needs(Need{of, manifest.Started}))
}

// someday is an optional app that nobody has asked for yet.
var someday = all(noContainer, noUnit, noRecord, desire(WantNone), func(a *App) { a.Manifest.Optional = true })

// removedWith is an app that its owner removed, with another one or for itself.
func removedWith(id string) build {
	return all(noContainer, noUnit, desire(WantAbsent), func(a *App) {
		a.Record = &state.Record{App: a.ID, RemovedAt: time.Unix(1, 0), RemovedWith: id}
	})
}

// estate is a node with two alternatives, what stands on the first of them, and apps that are not installed.
func estate(more ...build) *World {
	rival := func(ids ...string) build { return func(a *App) { a.Manifest.Conflicts = ids } }
	w := world(
		healthyApp("core", tier(1), someday, rival("knots")),
		healthyApp("knots", tier(1), rival("core")),
		healthyApp("lnd", tier(2), needs(Need{"knots", manifest.Answers})),
		healthyApp("db", tier(0), someday),
		healthyApp("pay", tier(3), someday, needs(Need{"db", manifest.Healthy}, Need{"lnd", manifest.Started})),
		healthyApp("lnd-ui", tier(4), page("lnd")),
		healthyApp("pay-ui", tier(4), someday, page("pay")),
		healthyApp("files", tier(3)),
	)
	for _, change := range more {
		for _, a := range w.Apps {
			change(a)
		}
	}
	return w
}

// on limits a change to one app.
func on(id string, change build) build {
	return func(a *App) {
		if a.ID == id {
			change(a)
		}
	}
}

func TestARequestBecomesAPass(t *testing.T) {
	offer := func(a *App) { a.Upgrade = "docker.io/example/files:v2.0" }
	for _, c := range []struct {
		name    string
		request Request
		node    []build
		only    string // the apps of the pass, sorted
		check   func(o Options) bool
		warning string
		refusal string
	}{
		{name: "stop names who suffers", request: Request{Verb: VerbStop, Apps: []string{"knots"}}, only: "knots",
			check: func(o Options) bool { return slices.Equal(o.Stop, []string{"knots"}) }, warning: "lnd, lnd-ui will suffer"},
		{name: "stop of what nobody needs", request: Request{Verb: VerbStop, Apps: []string{"files"}}, only: "files"},
		{name: "stop --cascade", request: Request{Verb: VerbStop, Apps: []string{"knots"}, Cascade: true}, only: "knots lnd lnd-ui",
			check: func(o Options) bool { return len(o.Stop) == 3 }},
		{name: "stop of an app whose dependants are stopped", request: Request{Verb: VerbStop, Apps: []string{"knots"}},
			node: []build{on("lnd", desire(WantStopped)), on("lnd-ui", desire(WantStopped))}, only: "knots"},
		{name: "stop of what is not installed", request: Request{Verb: VerbStop, Apps: []string{"pay"}}, only: "pay"},
		{name: "start", request: Request{Verb: VerbStart, Apps: []string{"lnd"}}, only: "lnd",
			check: func(o Options) bool { return slices.Equal(o.Start, []string{"lnd"}) && o.Owner && o.Wait }},
		{name: "start --with-deps", request: Request{Verb: VerbStart, Apps: []string{"lnd-ui"}, WithDeps: true},
			node: []build{on("knots", desire(WantStopped)), on("lnd", desire(WantStopped))}, only: "knots lnd lnd-ui"},
		{name: "start --with-deps leaves alone what runs", request: Request{Verb: VerbStart, Apps: []string{"lnd-ui"}, WithDeps: true}, only: "lnd-ui"},
		{name: "start of what is not installed", request: Request{Verb: VerbStart, Apps: []string{"pay"}}, refusal: "pay is not installed"},
		{name: "restart", request: Request{Verb: VerbRestart, Apps: []string{"lnd"}}, only: "lnd",
			check: func(o Options) bool { return slices.Equal(o.Restart, []string{"lnd"}) && len(o.Start)+len(o.Stop) == 0 }},
		{name: "restart of a stopped app", request: Request{Verb: VerbRestart, Apps: []string{"lnd"}}, node: []build{on("lnd", desire(WantStopped))},
			refusal: "lnd is stopped by the owner"},
		{name: "remove of what is needed", request: Request{Verb: VerbRemove, Apps: []string{"knots"}}, refusal: "knots is needed by apps that are installed: lnd"},
		{name: "remove of what a stopped app needs", request: Request{Verb: VerbRemove, Apps: []string{"knots"}}, node: []build{on("lnd", desire(WantStopped))},
			refusal: "needed by apps that are installed: lnd"},
		{name: "remove takes the page along", request: Request{Verb: VerbRemove, Apps: []string{"lnd"}}, only: "lnd lnd-ui",
			check: func(o Options) bool {
				return len(o.Remove) == 2 && len(o.Purge) == 0 && maps.Equal(o.RemoveWith, map[string]string{"lnd-ui": "lnd"})
			}},
		{name: "remove of a page that is named", request: Request{Verb: VerbRemove, Apps: []string{"lnd", "lnd-ui"}}, only: "lnd lnd-ui",
			check: func(o Options) bool { return len(o.RemoveWith) == 0 }},
		{name: "remove --cascade", request: Request{Verb: VerbRemove, Apps: []string{"knots"}, Cascade: true, Purge: true}, only: "knots lnd lnd-ui",
			check: func(o Options) bool { return slices.Equal(o.Purge, []string{"knots"}) }},
		{name: "remove of all at once", request: Request{Verb: VerbRemove, Apps: []string{"knots", "lnd"}}, only: "knots lnd lnd-ui"},
		{name: "install brings what is needed and the page", request: Request{Verb: VerbInstall, Apps: []string{"pay"}}, only: "db pay pay-ui",
			check: func(o Options) bool {
				return maps.Equal(o.Install, map[string]string{"pay": state.ByInstall, "db": state.ByDependency, "pay-ui": state.ByCompanion})
			}},
		{name: "install brings back the page that went with it", request: Request{Verb: VerbInstall, Apps: []string{"pay"}},
			node: []build{on("pay-ui", removedWith("pay"))}, only: "db pay pay-ui",
			check: func(o Options) bool { return o.Install["pay-ui"] == state.ByCompanion }},
		{name: "install leaves the page that was removed for itself", request: Request{Verb: VerbInstall, Apps: []string{"pay"}},
			node: []build{on("pay-ui", removedWith(""))}, only: "db pay"},
		{name: "install of what is installed", request: Request{Verb: VerbInstall, Apps: []string{"files"}}, only: "files"},
		{name: "install of an alternative", request: Request{Verb: VerbInstall, Apps: []string{"core"}}, refusal: "core and knots cannot both be installed"},
		{name: "install --no-start", request: Request{Verb: VerbInstall, Apps: []string{"pay"}, NoStart: true}, only: "db pay pay-ui",
			check: func(o Options) bool { return len(o.Start) == 0 && len(o.Stop) == 3 }},
		{name: "install --no-start of what runs stops nothing", request: Request{Verb: VerbInstall, Apps: []string{"files"}, NoStart: true}, only: "files",
			check: func(o Options) bool { return len(o.Stop) == 0 }},
		{name: "upgrade", request: Request{Verb: VerbUpgrade, Apps: []string{"files"}}, only: "files",
			check: func(o Options) bool { return maps.Equal(o.Upgrade, map[string]string{"files": ""}) }},
		{name: "upgrade to a tag", request: Request{Verb: VerbUpgrade, Apps: []string{"files"}, To: "v3"},
			node: []build{on("files", func(a *App) { a.Manifest.Container.Image = "docker.io/example/files:v1.0" })}, only: "files",
			check: func(o Options) bool { return o.Upgrade["files"] == "docker.io/example/files:v3" }},
		{name: "upgrade to a reference", request: Request{Verb: VerbUpgrade, Apps: []string{"files"}, To: "ghcr.io/other/files:v3"},
			node: []build{on("files", func(a *App) { a.Manifest.Container.Image = "docker.io/example/files:v1.0" })}, only: "files",
			check: func(o Options) bool { return o.Upgrade["files"] == "ghcr.io/other/files:v3" }},
		{name: "upgrade of what is built here", request: Request{Verb: VerbUpgrade, Apps: []string{"files"}, To: "v3"}, refusal: "built on this node"},
		{name: "upgrade --all with nothing to do", request: Request{Verb: VerbUpgrade, All: true}},
		{name: "upgrade --all", request: Request{Verb: VerbUpgrade, All: true}, node: []build{on("files", offer)}, only: "files"},
		{name: "upgrade --all leaves out what needs a decision", request: Request{Verb: VerbUpgrade, All: true},
			node: []build{on("files", all(offer, func(a *App) { a.UpgradeBlocked = "another repository than x" }))}, warning: "files is left out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, warnings, err := c.request.Options(estate(c.node...))
			var refusal *Refusal
			if errors.As(err, &refusal) != (c.refusal != "") || err != nil && !strings.Contains(err.Error(), c.refusal) {
				t.Fatalf("error %v, want %q", err, c.refusal)
			}
			if c.refusal != "" {
				return
			}
			if got := strings.Join(slices.Sorted(slices.Values(o.Only)), " "); got != c.only {
				t.Errorf("acts on %q, want %q", got, c.only)
			}
			if c.check != nil && !c.check(o) {
				t.Errorf("options %+v", o)
			}
			if got := strings.Join(warnings, "\n"); (got == "") != (c.warning == "") || !strings.Contains(got, c.warning) {
				t.Errorf("warnings %q, want %q", got, c.warning)
			}
		})
	}
}

// TestOwnerRows holds what a command of the owner changes in the table of states.
func TestOwnerRows(t *testing.T) {
	asked := func(a *App) { a.Asked = true }
	restart := all(asked, func(a *App) { a.Anew = true })
	gone := all(asked, desire(WantAbsent), func(a *App) { a.Removing = true })
	upgrade := all(asked, func(a *App) { a.Upgrading = true }, wants(func(c *spec.Container) { c.Image = "docker.io/example/app:v1.1" }))
	first := all(noContainer, noUnit, noRecord, asked, func(a *App) { a.New, a.By = true, state.ByInstall })
	dep := func(change ...build) []*App { return []*App{healthyApp("dep", change...)} }
	on := needs(Need{"dep", manifest.Healthy})
	again := "1 restart app app.service restart asked for"
	for _, c := range []rowCase{
		{name: "start with an open breaker", app: all(noContainer, brokenOpen, asked), want: &verdict{"12", Started, ClassOK, "stopped", ""}, plan: "1 start app app.service not running"},
		{name: "start after systemd gave up", app: all(noContainer, service("failed", "failed"), func(a *App) { a.Service.StartLimitHit = true }, asked),
			want: &verdict{"12", Started, ClassOK, "stopped", ""}, plan: "1 start app app.service not running"},
		{name: "start without a stopped dependency", app: all(noContainer, asked, on), others: dep(desire(WantStopped), noContainer),
			want: &verdict{"24", Failed, ClassFailed, "stopped", "dependency dep is stopped by the owner"}},
		{name: "start of what runs", app: asked, want: &verdict{"1", NoOp, ClassOK, "ready", ""}},
		{name: "restart", app: restart, want: &verdict{"1", Restarted, ClassOK, "ready", ""}, plan: again},
		{name: "restart of what is unhealthy", app: all(failing(9, 0), restart, tier(1)), want: &verdict{"4", Restarted, ClassOK, "unhealthy", ""}, plan: again},
		{name: "restart of what is down", app: all(noContainer, restart), want: &verdict{"12", Started, ClassOK, "stopped", ""}, plan: "1 start app app.service not running"},
		{name: "restart of an adopted container", app: all(legacy(), restart), want: &verdict{"1", Restarted, ClassOK, "ready", ""},
			plan: "1 start in scope app app restart asked for"},
		{name: "stop of what is being stopped", app: all(inState("stopping"), asked, desire(WantStopped)), want: &verdict{"10", Stopped, ClassOK, "stopped", ""}, plan: stop},
		{name: "stop without a manifest", app: all(asked, desire(WantStopped), func(a *App) { a.Manifest, a.UnitText = nil, nil }),
			want: &verdict{"1", Stopped, ClassOK, "stopped", ""}, plan: stop},
		{name: "remove", app: gone, want: &verdict{"1", Removed, ClassOK, "absent", ""}, plan: lines(
			"1 write record app state/apps/app.json removed by the owner", "2 stop app app.service removed by the owner after 1",
			"3 remove unit app app.container removed by the owner after 2", "4 reload app user manager unit removed after 3",
			"5 remove old app app removed by the owner after 4")},
		{name: "remove with podman's secrets and data", app: all(made(secretEnv), gone, func(a *App) { a.Data = []string{"/var/lib/archipelago/app"} }, noContainer, noUnit),
			want: &verdict{"15", Removed, ClassOK, "absent", ""}, plan: lines("1 write record app state/apps/app.json removed by the owner",
				"2 remove secret app archy.app.PASSWORD removed by the owner after 1",
				"3 move data app /var/lib/archipelago/app to state/trash, kept for 7 days after 2")},
		{name: "remove of what is not there", app: all(someday, desire(WantAbsent), func(a *App) { a.Asked, a.Removing = true, true }),
			want: &verdict{"16", NoOp, ClassOK, "absent", "not installed"}},
		{name: "remove of what was installed for another app a moment ago", app: gone, others: []*App{healthyApp("user", needs(Need{"app", manifest.Started}))},
			want: &verdict{"-", Failed, ClassFailed, "ready", "needed by user"}},
		{name: "upgrade", app: upgrade, options: Options{Upgrade: map[string]string{"app": ""}}, world: noNewImage,
			want: &verdict{"20", Recreated, ClassOK, "ready", "image docker.io/example/app:v1.0 -> docker.io/example/app:v1.1"}, plan: lines(
				"1 pull image app docker.io/example/app:v1.1 image is absent",
				"2 write unit app app.container image docker.io/example/app:v1.0 -> docker.io/example/app:v1.1 after 1",
				"3 reload app user manager unit changed after 2",
				"4 replace app app.service image docker.io/example/app:v1.0 -> docker.io/example/app:v1.1 after 3")},
		{name: "upgrade of a stopped app", app: all(noContainer, upgrade, desire(WantStopped)), options: Options{Upgrade: map[string]string{"app": ""}}, world: noNewImage,
			want: &verdict{"20", Updated, ClassOK, "stopped", "stopped by the owner"}, plan: lines(
				"1 pull image app docker.io/example/app:v1.1 image is absent",
				"2 write unit app app.container image docker.io/example/app:v1.0 -> docker.io/example/app:v1.1 after 1",
				"3 reload app user manager unit changed after 2")},
		{name: "upgrade to a lower version", app: all(upgrade, func(a *App) { a.Guard = "image x:1 is a lower version than x:2" }),
			want: &verdict{"31", NeedsHuman, ClassNeedsHuman, "ready", "lower version"}},
		{name: "upgrade of a stopped adopted container", app: all(legacy(), exited(0), upgrade, desire(WantStopped)),
			want: &verdict{"21", Failed, ClassFailed, "stopped", "which starts it"}},
		{name: "install without a start", app: all(first, desire(WantStopped)), want: &verdict{"16", Installed, ClassOK, "stopped", ""}, plan: lines(
			"1 write unit app app.container unit is missing", "2 reload - user manager units changed after 1")},
		{name: "install while a dependency is stopped", app: all(first, on), others: dep(desire(WantStopped), noContainer),
			want: &verdict{"24", Failed, ClassFailed, "absent", "dependency dep is stopped by the owner"}},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t) })
	}
}

func noNewImage(w *World) { delete(w.Images, "docker.io/example/app:v1.1") }
