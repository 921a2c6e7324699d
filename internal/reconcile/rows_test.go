package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/derived"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// verdict is what a row of the table must come to: row, action, class and what the report says the state is.
type verdict struct {
	row    string
	action Action
	class  Class
	state  string
	// cause is a part of the cause.
	cause string
}

// rowCase is one cell of the table: an app called "app" in a world, the verdict on it, and the whole plan.
type rowCase struct {
	name    string
	app     build
	others  []*App
	world   func(*World)
	options Options
	want    *verdict // nil: the app is not mentioned at all
	plan    string
}

var (
	// again is the plan of a restart, stop that of a stop.
	again = func(cause string) string { return "1 restart app app.service " + cause }
	stop  = "1 stop app app.service stopped by the owner"
	// verifies and goesOn are the plans of a replacement that was cut off.
	verifies = "1 wait app app.service an interrupted replacement is verified"
	goesOn   = "1 replace app app.service an interrupted replacement goes on"
)

// replacing is a replacement that has come to that step, and whose unit is there.
func replacing(step int) build {
	return record(func(r *state.Record) { r.Op = &state.Op{Kind: state.OpReplace, Step: step, NewHash: r.SpecHash} })
}

// TestRows holds every cell of the table "state × desired → action" that says something, by the row's number and the
// column's name.
func TestRows(t *testing.T) {
	for _, c := range rows() {
		t.Run("row "+c.name, func(t *testing.T) { c.check(t) })
	}
}

func (c rowCase) check(t *testing.T) {
	a := healthyApp("app", c.app)
	w := world(append(c.others, a)...)
	if c.world != nil {
		c.world(w)
	}
	plan := MakePlan(w, c.options)
	if got := planText(plan); got != c.plan {
		t.Errorf("plan:\n%s\nwant:\n%s", got, c.plan)
	}
	if strings.Contains(plan.String(), marker) {
		t.Error("the plan shows a secret")
	}
	got := verdictOf(t, plan, "app")
	if got == nil || c.want == nil {
		if (got == nil) != (c.want == nil) {
			t.Errorf("verdict %+v, want %+v", got, c.want)
		}
		return
	}
	st := initial(plan.Apps[len(plan.Apps)-1], w.Now).State
	if have := (verdict{got.Row, got.Action, got.Class, st, c.want.cause}); have != *c.want {
		t.Errorf("verdict %+v\nwant    %+v", have, *c.want)
	}
	if !strings.Contains(got.Cause, c.want.cause) {
		t.Errorf("cause %q, want something with %q", got.Cause, c.want.cause)
	}
}

// removal is what the absent column does to an app whose container is there.
func removal(more ...string) string {
	return lines(append([]string{
		"1 stop app app.service removed by the owner", "2 remove unit app app.container removed by the owner after 1",
		"3 reload app user manager unit removed after 2", "4 remove old app app removed by the owner after 3"}, more...)...)
}

func rows() []rowCase {
	var list []rowCase
	for _, part := range [][]rowCase{rowsUp(), rowsDown(), rowsMissing(), rowsDrift(), rowsHeld(), rowsDisk(), rowsLegacy()} {
		list = append(list, part...)
	}
	return list
}

// Rows 1 to 5: podman says that it runs.
func rowsUp() []rowCase {
	noProbe := made(func(c *spec.Container) { c.Health = nil })
	dead := func(a *App) { a.Dead = true }
	return []rowCase{
		{name: "1/running", want: &verdict{"1", NoOp, ClassOK, "ready", ""}},
		{name: "1/running without probe", app: all(noProbe, health("")), want: &verdict{"1", NoOp, ClassOK, "ready", ""}},
		{name: "1/running and syncing", app: func(a *App) { a.Stage = Stage{Text: "syncing 43.1 %"} }, want: &verdict{"1", NoOp, ClassOK, "syncing 43.1 %", ""}},
		{name: "1/stopped", app: desire(WantStopped), want: &verdict{"1", Stopped, ClassOK, "stopped", "stopped by the owner"}, plan: stop},
		{name: "1/none", app: all(noRecord, desire(WantNone)), want: &verdict{"1", Left, ClassOK, "ready", "not installed"}},
		{name: "1/absent", app: desire(WantAbsent), want: &verdict{"1", Removed, ClassOK, "absent", ""}, plan: removal()},
		{name: "2/running", app: all(health("starting"), startedBefore(20*time.Second)), want: &verdict{"2", Waiting, ClassWaiting, "starting", "start period 60 s"}},
		{name: "2/stopped", app: all(health("starting"), desire(WantStopped)), want: &verdict{"2", Stopped, ClassOK, "stopped", ""}, plan: stop},
		{name: "2/none", app: all(health("starting"), noRecord, desire(WantNone)), want: &verdict{"2", Left, ClassOK, "starting", "not installed"}},
		{name: "2/absent", app: all(health("starting"), desire(WantAbsent)), want: &verdict{"2", Removed, ClassOK, "absent", ""}, plan: removal()},
		{name: "3/running", app: all(failing(5, time.Hour), startedBefore(59*time.Second)), want: &verdict{"3", Waiting, ClassWaiting, "starting", ""}},
		{name: "3/stopped", app: all(failing(5, time.Hour), startedBefore(59*time.Second), desire(WantStopped)), want: &verdict{"3", Stopped, ClassOK, "stopped", ""}, plan: stop},
		{name: "3/absent", app: all(failing(5, time.Hour), startedBefore(59*time.Second), desire(WantAbsent)), want: &verdict{"3", Removed, ClassOK, "absent", ""}, plan: removal()},
		{name: "4/running, second pass", app: failing(1, 5*time.Minute), want: &verdict{"4", Left, ClassFailed, "unhealthy", "since 5m0s"}},
		{name: "4/running, third pass too soon", app: failing(2, 2*time.Minute), want: &verdict{"4", Left, ClassFailed, "unhealthy", "since 2m0s"}},
		{name: "4/running, third pass", app: failing(2, 3*time.Minute), want: &verdict{"4", Restarted, ClassOK, "unhealthy", "since 3m0s"}, plan: again("health check fails since 3m0s")},
		{name: "4/running, third pass, clock set back", app: all(failing(2, 3*time.Minute), startedBefore(-5*time.Hour)), want: &verdict{"4", Restarted, ClassOK, "unhealthy", "since 3m0s"}, plan: again("health check fails since 3m0s")},
		{name: "4/running, tier 4", app: all(tier(4), failing(2, 3*time.Minute)), want: &verdict{"4", Restarted, ClassOK, "unhealthy", ""}, plan: again("health check fails since 3m0s")},
		{name: "4/running, tier 2", app: all(tier(2), failing(9, time.Hour)), want: &verdict{"4", Left, ClassFailed, "unhealthy", "never restarted for health alone"}},
		{name: "4/running, tier 0", app: all(tier(0), failing(9, time.Hour)), want: &verdict{"4", Left, ClassFailed, "unhealthy", "never restarted for health alone"}},
		{name: "4/running, breaker open", app: all(failing(9, time.Hour), brokenOpen), want: &verdict{"25", Left, ClassFailed, "failed", "breaker open since 2026-01-10T11:50:00Z"}},
		{name: "4/running, backing off", app: all(failing(9, time.Hour), func(a *App) { a.History.NextAttempt = noon.Add(40 * time.Second) }),
			want: &verdict{"4", Left, ClassFailed, "unhealthy", "restarted next in 40s"}},
		{name: "4/stopped", app: all(failing(9, time.Hour), desire(WantStopped)), want: &verdict{"4", Stopped, ClassOK, "stopped", ""}, plan: stop},
		{name: "4/absent", app: all(failing(9, time.Hour), desire(WantAbsent)), want: &verdict{"4", Removed, ClassOK, "absent", ""}, plan: removal()},
		{name: "5/running", app: dead, want: &verdict{"5", Recreated, ClassOK, "dead", "its process is gone"}, plan: again("podman says running, its process is gone")},
		{name: "5/stopped", app: all(dead, desire(WantStopped)), want: &verdict{"5", Stopped, ClassOK, "stopped", ""}, plan: "1 stop app app.service its process is gone; stopped by the owner"},
		{name: "5/absent", app: all(dead, desire(WantAbsent)), want: &verdict{"5", Removed, ClassOK, "absent", ""}, plan: removal()},
	}
}

// Rows 6 to 11: the container is there and does not run.
func rowsDown() []rowCase {
	stopping := func(ago time.Duration) build {
		return all(inState(podman.StateStopping), func(a *App) { a.History.StoppingSince = noon.Add(-ago) })
	}
	seen := func(a *App) { a.History.UnhealthyPasses = 1 }
	backoff := func(a *App) { a.History.NextAttempt = noon.Add(40 * time.Second) }
	list := []rowCase{
		{name: "6/running", app: exited(0), want: &verdict{"6", Started, ClassOK, "exited", "exited 0"}, plan: again("exited 0")},
		{name: "6/running, systemd tries again", app: all(exited(0), service("activating", "auto-restart")), want: &verdict{"6", Waiting, ClassWaiting, "exited", "its start is under way"}},
		{name: "6/stopped", app: all(exited(0), desire(WantStopped)), want: &verdict{"6", NoOp, ClassOK, "stopped", "stopped by the owner"}},
		{name: "6/absent", app: all(exited(0), desire(WantAbsent)), want: &verdict{"6", Removed, ClassOK, "absent", ""}, plan: removal()},
		{name: "7/running", app: exited(3), want: &verdict{"7", Started, ClassOK, "exited", "exited 3"}, plan: again("exited 3")},
		{name: "7/running, 137", app: exited(137), want: &verdict{"7", Started, ClassOK, "exited", "killed (137)"}, plan: again("killed (137)")},
		{name: "7/running, backing off", app: all(exited(3), backoff), want: &verdict{"7", Waiting, ClassWaiting, "backing off", "next try in 40s"}},
		{name: "7/stopped", app: all(exited(3), desire(WantStopped)), want: &verdict{"7", NoOp, ClassOK, "stopped", ""}},
		{name: "7/absent", app: all(exited(3), desire(WantAbsent)), want: &verdict{"7", Removed, ClassOK, "absent", ""}, plan: removal()},
		{name: "9/running", app: inState(podman.StatePaused), want: &verdict{"9", Unpaused, ClassOK, "paused", ""}, plan: "1 unpause app app paused"},
		{name: "9/running, with drift", app: all(inState(podman.StatePaused), wants(moreMemory)), want: &verdict{"9", Unpaused, ClassOK, "paused", "memory 268435456 -> 536870912"},
			plan: lines("1 write unit app app.container memory 268435456 -> 536870912", "2 reload - user manager units changed after 1", "3 unpause app app paused, memory 268435456 -> 536870912 after 1 2",
				"4 replace app app.service paused, memory 268435456 -> 536870912 after 2 3")},
		{name: "9/stopped", app: all(inState(podman.StatePaused), desire(WantStopped)), want: &verdict{"9", Stopped, ClassOK, "stopped", ""},
			plan: lines("1 unpause app app stopped by the owner", "2 stop app app.service stopped by the owner after 1")},
		{name: "9/absent", app: all(inState(podman.StatePaused), desire(WantAbsent)), want: &verdict{"9", Removed, ClassOK, "absent", ""},
			plan: lines("1 unpause app app removed by the owner", "2 stop app app.service removed by the owner after 1", "3 remove unit app app.container removed by the owner after 2",
				"4 reload app user manager unit removed after 3", "5 remove old app app removed by the owner after 4")},
		{name: "11/absent", app: all(inState(podman.StateRemoving), desire(WantAbsent)), want: &verdict{"11", Removed, ClassOK, "absent", ""}, plan: removal()},
	}
	for _, s := range []string{podman.StateCreated, podman.StateInitialized} {
		list = append(list,
			rowCase{name: "8/running, " + s, app: inState(s), want: &verdict{"8", Recreated, ClassOK, "created", ""}, plan: again("created but never started")},
			rowCase{name: "8/stopped, " + s, app: all(inState(s), desire(WantStopped)), want: &verdict{"8", NoOp, ClassOK, "stopped", ""}},
			rowCase{name: "8/running, being started, " + s, app: all(inState(s), service("activating", "start")), want: &verdict{"8", Waiting, ClassWaiting, s, "its start is under way"}},
			rowCase{name: "8/stopped, being started, " + s, app: all(inState(s), service("activating", "start"), desire(WantStopped)), want: &verdict{"8", Stopped, ClassOK, "stopped", ""}, plan: stop},
			rowCase{name: "8/absent, " + s, app: all(inState(s), desire(WantAbsent)), want: &verdict{"8", Removed, ClassOK, "absent", ""}, plan: removal()})
	}
	for _, w := range []Want{WantRunning, WantStopped, WantAbsent} {
		list = append(list,
			rowCase{name: fmt.Sprintf("10/%s", w), app: all(stopping(44*time.Second), desire(w)), want: &verdict{"10", Waiting, ClassWaiting, "stopping", ""}},
			rowCase{name: fmt.Sprintf("10/%s, overran", w), app: all(stopping(46*time.Second), desire(w)), want: &verdict{"10", Failed, ClassFailed, "stopping", "stop overran its grace"}},
			rowCase{name: fmt.Sprintf("10/%s, overran, clock set back", w), app: all(stopping(46*time.Second), startedBefore(-5*time.Hour), desire(w)), want: &verdict{"10", Failed, ClassFailed, "stopping", "stop overran its grace"}})
	}
	for _, s := range []string{podman.StateUnknown, podman.StateRemoving} {
		list = append(list,
			rowCase{name: "11/running, " + s, app: inState(s), want: &verdict{"11", Waiting, ClassWaiting, s, ""}},
			rowCase{name: "11/running, next pass, " + s, app: all(inState(s), seen), want: &verdict{"8", Recreated, ClassOK, "created", ""}, plan: again("created but never started")},
			rowCase{name: "11/stopped, " + s, app: all(inState(s), desire(WantStopped)), want: &verdict{"11", Waiting, ClassWaiting, s, ""}},
			rowCase{name: "11/stopped, next pass, " + s, app: all(inState(s), seen, desire(WantStopped)), want: &verdict{"11", NoOp, ClassOK, "stopped", ""}})
	}
	return list
}

// Rows 12 to 17: there is no container.
func rowsMissing() []rowCase {
	failed := all(noContainer, service("failed", "failed"), func(a *App) {
		a.Service.Result, a.Service.ExecMainCode, a.Service.ExecMainStatus = "exit-code", 1, 3
	})
	oomKilled := all(noContainer, service("failed", "failed"), func(a *App) {
		a.Service.Result, a.Service.ExecMainCode, a.Service.ExecMainStatus = "oom-kill", 2, 9
	})
	lost := all(noContainer, func(a *App) { a.Conmon, a.Service.MainPID, a.Service.ActiveState = 4700, 4700, "active" })
	lostSince := all(lost, func(a *App) { a.History.NextAttempt = noon.Add(40 * time.Second) })
	foreign := all(noContainer, func(a *App) { a.Conmon = 4999 })
	looping := all(noContainer, service("activating", "auto-restart"), func(a *App) { a.Service.NRestarts = 3 })
	gaveUp := all(noContainer, service("failed", "failed"), func(a *App) { a.Service.StartLimitHit = true })
	fresh := all(noContainer, noUnit)
	conf := derivedFile("app.conf", "rpcpass differs from its secret")
	noImage := func(w *World) { delete(w.Images, "docker.io/example/app:v1.0") }
	noSecrets := func(w *World) { clear(w.Secrets) }
	noDir := func(a *App) { a.Dirs = []Dir{{Path: "/var/lib/archipelago/app", Owner: "1000:1000", Cause: "absent"}} }
	port := func(a *App) { a.PortHolder = "port 8080 is held by pid 99 nginx" }
	start := func(n int, cause string, after string) string {
		return strings.TrimSpace(fmt.Sprintf("%d start app app.service %s %s", n, cause, after))
	}
	install := func(cause string) string {
		return lines("1 write unit app app.container unit is missing", "2 reload - user manager units changed after 1", start(3, cause, "after 1 2"))
	}
	write := lines("1 write unit app app.container unit is missing", "2 reload - user manager units changed after 1")
	removeUnit := func(cause string) string {
		return lines("1 stop app app.service "+cause, "2 remove unit app app.container "+cause+" after 1", "3 reload app user manager unit removed after 2")
	}
	const left = "removed by the owner, its unit is still there"
	return []rowCase{
		{name: "12/running", app: noContainer, want: &verdict{"12", Started, ClassOK, "stopped", "not running"}, plan: start(1, "not running", "")},
		{name: "12/running, failed", app: failed, want: &verdict{"12", Started, ClassOK, "stopped", "last run: exited 3"}, plan: start(1, "not running; last run: exited 3", "")},
		{name: "12/running, out of memory", app: oomKilled, want: &verdict{"12", Started, ClassOK, "stopped", "killed, out of memory"}, plan: start(1, "not running; last run: killed, out of memory", "")},
		{name: "12/running, systemd believes in it", app: all(noContainer, service("active", "running")), want: &verdict{"12", Started, ClassOK, "stopped", "not running"}, plan: again("not running")},
		{name: "12/running, unit unknown to systemd", app: all(noContainer, func(a *App) { a.Service.LoadState = "not-found" }), want: &verdict{"12", Started, ClassOK, "stopped", ""},
			plan: lines("1 reload app user manager systemd does not know the service", start(2, "not running", "after 1"))},
		{name: "12/running, unit not read by systemd yet", app: all(noContainer, func(a *App) { a.Service.NeedReload = true }), want: &verdict{"12", Started, ClassOK, "stopped", ""},
			plan: lines("1 reload app user manager systemd has an older unit", start(2, "not running", "after 1"))},
		{name: "12/stopped", app: all(noContainer, desire(WantStopped)), want: &verdict{"12", NoOp, ClassOK, "stopped", ""}},
		{name: "12/absent", app: all(noContainer, desire(WantAbsent)), want: &verdict{"12", Removed, ClassOK, "absent", left}, plan: removeUnit(left)},
		{name: "12a/running", app: lost, want: &verdict{"12a", Restarted, ClassOK, "lost-track", "its monitor lives (pid 4700)"}, plan: lines(again("podman lost track of it, its monitor lives (pid 4700)"), "2 drop names - name server podman had lost what answered there after 1")},
		{name: "12a/running, lost again", app: lostSince, want: &verdict{"12a", Waiting, ClassWaiting, "lost-track", "its monitor lives (pid 4700); restarted next in 40s"}},
		{name: "12a/running, lost again, named by the owner", app: all(lostSince, func(a *App) { a.Asked = true }), want: &verdict{"12a", Restarted, ClassOK, "lost-track", ""}, plan: lines(again("podman lost track of it, its monitor lives (pid 4700)"), "2 drop names - name server podman had lost what answered there after 1")},
		{name: "12a/running, breaker open", app: all(lost, brokenOpen), want: &verdict{"12a", Left, ClassFailed, "lost-track", "its monitor lives (pid 4700); breaker open since 2026-01-10T11:50:00Z"}},
		{name: "12a/running, breaker open, another boot", app: all(lost, brokenOpen, func(a *App) { a.History.BootID = "another" }), want: &verdict{"12a", Restarted, ClassOK, "lost-track", ""}, plan: lines(again("podman lost track of it, its monitor lives (pid 4700)"), "2 drop names - name server podman had lost what answered there after 1")},
		{name: "12a/running, foreign", app: foreign, want: &verdict{"12a", NeedsHuman, ClassNeedsHuman, "lost-track", "pid 4999"}},
		{name: "12a/running, no unit", app: all(fresh, func(a *App) { a.Conmon = 4999 }), want: &verdict{"12a", NeedsHuman, ClassNeedsHuman, "lost-track", "pid 4999"}},
		{name: "12a/running, forced", app: all(foreign, force), options: Options{Force: true}, want: &verdict{"12a", NeedsHuman, ClassNeedsHuman, "lost-track", ""}},
		{name: "12a/stopped", app: all(lost, desire(WantStopped)), want: &verdict{"12a", Stopped, ClassOK, "lost-track", ""},
			plan: lines("1 stop app app.service podman lost track of it, its monitor lives (pid 4700)", "2 drop names - name server podman had lost what answered there after 1")},
		{name: "12a/stopped, foreign", app: all(foreign, desire(WantStopped)), want: &verdict{"12a", NeedsHuman, ClassNeedsHuman, "lost-track", ""}},
		{name: "12a/absent", app: all(lost, desire(WantAbsent)), want: &verdict{"12a", Removed, ClassOK, "lost-track", ""}, plan: lines(removeUnit("podman lost track of it, its monitor lives (pid 4700)"), "4 drop names - name server podman had lost what answered there after 3")},
		{name: "12a/absent, foreign", app: all(foreign, desire(WantAbsent)), want: &verdict{"12a", NeedsHuman, ClassNeedsHuman, "lost-track", ""}},
		{name: "13/running", app: looping, want: &verdict{"13", Waiting, ClassWaiting, "restarting", "systemd restarts it"}},
		{name: "13/running, first time", app: all(looping, func(a *App) { a.Service.NRestarts = 1 }), want: &verdict{"13", Waiting, ClassWaiting, "restarting", ""},
			plan: "1 wait app app.service systemd restarts it"},
		{name: "13/running, unit differs", app: all(looping, wants(moreMemory)), want: &verdict{"20", Recreated, ClassOK, "stopped", "memory"},
			plan: lines("1 write unit app app.container memory 268435456 -> 536870912", "2 reload - user manager units changed after 1",
				"3 replace app app.service not running, and memory 268435456 -> 536870912 after 1 2")},
		{name: "13/running, image absent", app: looping, world: noImage, want: &verdict{"12", Started, ClassOK, "stopped", "not running"},
			plan: lines("1 pull image app docker.io/example/app:v1.0 image is absent", "2 restart app app.service not running after 1")},
		{name: "13/running, derived file differs", app: all(looping, conf), want: &verdict{"12", Started, ClassOK, "stopped", "not running"},
			plan: lines("1 write file app app.conf rpcpass differs from its secret", "2 restart app app.service not running after 1")},
		{name: "13/running, podman secret gone", app: all(made(secretEnv), looping), world: noSecrets, want: &verdict{"12", Started, ClassOK, "stopped", "not running"},
			plan: lines("1 set secret app archy.app.PASSWORD absent", "2 restart app app.service not running after 1")},
		{name: "13/running, directory gone", app: all(looping, noDir), want: &verdict{"12", Started, ClassOK, "stopped", "not running"},
			plan: lines("1 make directory app /var/lib/archipelago/app absent", "2 restart app app.service not running after 1")},
		{name: "13/running, port held", app: all(looping, port), want: &verdict{"32", Failed, ClassFailed, "restarting", "port 8080 is held by pid 99 nginx"}},
		{name: "13/running, data of another version", app: all(looping, func(a *App) { a.Guard = "data of PostgreSQL 16, image of 15" }), want: &verdict{"31", NeedsHuman, ClassNeedsHuman, "restarting", "PostgreSQL 16"}},
		{name: "13/running, start under way", app: all(noContainer, service("activating", "start")), want: &verdict{"13", Waiting, ClassWaiting, "starting", ""}},
		{name: "13/stopped", app: all(looping, desire(WantStopped)), want: &verdict{"13", Stopped, ClassOK, "stopped", ""}, plan: stop},
		{name: "13/absent", app: all(looping, desire(WantAbsent)), want: &verdict{"13", Removed, ClassOK, "absent", ""}, plan: removeUnit(left)},
		{name: "14/running", app: gaveUp, want: &verdict{"14", Left, ClassFailed, "failed", "too many starts in 30 minutes"}},
		{name: "14/running, image absent", app: gaveUp, world: noImage, want: &verdict{"12", Started, ClassOK, "stopped", "not running"},
			plan: lines("1 pull image app docker.io/example/app:v1.0 image is absent", start(2, "not running", "after 1"))},
		{name: "14/running, image absent and not to be had", app: gaveUp, world: noImage, options: Options{NoPull: true}, want: &verdict{"26", Failed, ClassFailed, "failed", "must not be pulled"}},
		{name: "14/running, derived file differs", app: all(gaveUp, conf), want: &verdict{"12", Started, ClassOK, "stopped", "not running"},
			plan: lines("1 write file app app.conf rpcpass differs from its secret", start(2, "not running", "after 1"))},
		{name: "14/running, podman secret gone", app: all(made(secretEnv), gaveUp), world: noSecrets, want: &verdict{"12", Started, ClassOK, "stopped", "not running"},
			plan: lines("1 set secret app archy.app.PASSWORD absent", start(2, "not running", "after 1"))},
		{name: "14/running, directory gone", app: all(gaveUp, noDir), want: &verdict{"12", Started, ClassOK, "stopped", "not running"},
			plan: lines("1 make directory app /var/lib/archipelago/app absent", start(2, "not running", "after 1"))},
		{name: "14/running, port held", app: all(gaveUp, port), want: &verdict{"32", Failed, ClassFailed, "failed", "port 8080 is held by pid 99 nginx"}},
		{name: "14/running, changed since it was tried", app: all(gaveUp, brokenOpen, record(func(r *state.Record) { r.SpecHash = "" }), func(a *App) { a.History.Tried = "v1:0" }),
			want: &verdict{"12", Started, ClassOK, "stopped", ""}, plan: start(1, "not running", "")},
		{name: "14/running, tried as it is", app: all(gaveUp, func(a *App) { a.Record.SpecHash, a.History.Tried = "v1:0", a.Hash }), want: &verdict{"14", Left, ClassFailed, "failed", "too many starts"}},
		{name: "14/running, breaker open", app: all(gaveUp, brokenOpen), want: &verdict{"25", Left, ClassFailed, "failed", "breaker open since"}},
		{name: "14/running, forced", app: all(gaveUp, force), options: Options{Force: true}, want: &verdict{"12", Started, ClassOK, "stopped", ""}, plan: start(1, "not running", "")},
		{name: "14/stopped", app: all(gaveUp, desire(WantStopped)), want: &verdict{"14", NoOp, ClassOK, "stopped", ""}},
		{name: "14/absent", app: all(gaveUp, desire(WantAbsent)), want: &verdict{"14", Removed, ClassOK, "absent", ""}, plan: removeUnit(left)},
		{name: "15/running", app: fresh, want: &verdict{"15", Installed, ClassOK, "absent", "container and unit are missing"}, plan: install("container and unit are missing")},
		{name: "15/stopped", app: all(fresh, desire(WantStopped)), want: &verdict{"15", Updated, ClassOK, "stopped", "unit is missing"}, plan: write},
		{name: "15/absent", app: all(fresh, desire(WantAbsent)), want: nil},
		{name: "16/running", app: all(fresh, noRecord, func(a *App) { a.By = state.ByFirstBoot }), want: &verdict{"16", Installed, ClassOK, "absent", "not installed yet"}, plan: install("not installed yet")},
		{name: "16/stopped", app: all(fresh, noRecord, desire(WantStopped)), want: &verdict{"16", Updated, ClassOK, "stopped", "unit is missing"}, plan: write},
		{name: "17/running, --create-missing", app: all(fresh, noRecord, func(a *App) { a.By = state.ByCreateMissing }), want: &verdict{"17", Installed, ClassOK, "absent", "--create-missing"},
			plan: install("not installed, --create-missing")},
		{name: "17/none", app: all(fresh, noRecord, desire(WantNone)), want: nil},
	}
}

// Rows 18 to 23 and 38: it runs and is not what is wanted.
func rowsDrift() []rowCase {
	unitLine := "1 write unit app app.container "
	reload := "2 reload - user manager units changed after 1"
	text := wants(func(c *spec.Container) { c.Unit.Restart = "always" })
	memory := "memory 268435456 -> 536870912"
	conf := derivedFile("app.conf", "rpcpass differs from its secret")
	digested := all(made(func(c *spec.Container) { c.ConfigDigest = "aaaa" }), wants(func(c *spec.Container) { c.ConfigDigest = "bbbb" }), conf)
	edited := func(a *App) {
		// Somebody wrote another grace into the unit and restarted the service.
		a.Unit = &UnitFile{Content: []byte(strings.Replace(string(a.UnitText), "StopTimeout=30", "StopTimeout=5", 1)), ModTime: noon.Add(-90 * time.Minute)}
	}
	upgrade := all(wants(func(c *spec.Container) { c.Image = "docker.io/example/app:v1.1" }), force)
	return []rowCase{
		{name: "18/running", app: noUnit, want: &verdict{"18", Updated, ClassOK, "ready", "unit file is gone"}, plan: lines(unitLine+"unit is missing", reload)},
		{name: "18/stopped", app: all(noUnit, desire(WantStopped)), want: &verdict{"18", Stopped, ClassOK, "stopped", ""},
			plan: lines(unitLine+"unit is missing", reload, "3 stop app app.service stopped by the owner after 1 2")},
		{name: "18/absent", app: all(noUnit, desire(WantAbsent)), want: &verdict{"18", Removed, ClassOK, "absent", ""},
			plan: lines("1 stop app app.service removed by the owner", "2 remove old app app removed by the owner after 1")},
		{name: "19/running", app: text, want: &verdict{"19", Updated, ClassOK, "ready", "unit text differs: service Restart"}, plan: lines(unitLine+"service Restart on-failure -> always", reload)},
		{name: "19/stopped", app: all(noContainer, text, desire(WantStopped)), want: &verdict{"19", Updated, ClassOK, "stopped", "Restart"}, plan: lines(unitLine+"service Restart on-failure -> always", reload)},
		{name: "20/running", app: wants(moreMemory), want: &verdict{"20", Recreated, ClassOK, "ready", memory},
			plan: lines(unitLine+memory, reload, "3 replace app app.service "+memory+" after 1 2")},
		{name: "op/verified", app: replacing(7), want: &verdict{"op", Recreated, ClassOK, "ready", "interrupted"}, plan: verifies},
		{name: "op/being started", app: all(replacing(7), inState(podman.StateInitialized), service("activating", "start")), want: &verdict{"op", Recreated, ClassOK, podman.StateInitialized, "interrupted"}, plan: verifies},
		{name: "op/being started, no container yet", app: all(replacing(7), noContainer, service("activating", "start-pre")), want: &verdict{"op", Recreated, ClassOK, "starting", "interrupted"}, plan: verifies},
		{name: "op/being started from an older unit", app: all(replacing(7), inState(podman.StateInitialized), service("activating", "start"), func(a *App) { a.Service.NeedReload = true }),
			want: &verdict{"8", Waiting, ClassWaiting, podman.StateInitialized, "its start is under way"}},
		{name: "op/being started, somebody else's change", app: all(replacing(7), inState(podman.StateInitialized), service("activating", "start"), func(a *App) { a.Record.Op.NewHash = "another" }),
			want: &verdict{"8", Waiting, ClassWaiting, podman.StateInitialized, "its start is under way"}},
		{name: "op/gone", app: all(replacing(7), noContainer), want: &verdict{"op", Recreated, ClassOK, "stopped", "interrupted"}, plan: goesOn},
		{name: "op/being stopped by the change", app: all(replacing(7), inState(podman.StateStopping), service("deactivating", "stop")), want: &verdict{"op", Recreated, ClassOK, podman.StateStopping, "interrupted"}, plan: goesOn},
		{name: "op/being stopped by somebody", app: all(replacing(7), inState(podman.StateStopping)), want: &verdict{"10", Waiting, ClassWaiting, "stopping", ""}},
		{name: "op/being stopped before the change began to", app: all(replacing(3), inState(podman.StateStopping), service("deactivating", "stop")), want: &verdict{"10", Waiting, ClassWaiting, "stopping", ""}},
		{name: "op/the stop overran", app: all(replacing(7), inState(podman.StateStopping), func(a *App) { a.History.StoppingSince = noon.Add(-46 * time.Second) }, service("deactivating", "stop")), want: &verdict{"10", Failed, ClassFailed, "stopping", "stop overran its grace"}},
		{name: "20/running, unit is right already", app: all(wants(moreMemory), func(a *App) { a.Unit.Content = a.UnitText }),
			want: &verdict{"20", Recreated, ClassOK, "ready", "made from an older unit"}, plan: "1 replace app app.service made from an older unit"},
		{name: "20/running, edited by hand", app: edited, want: &verdict{"20", Recreated, ClassOK, "ready", "somebody edited"},
			plan: lines(unitLine+"stop-grace 5 -> 30", reload, "3 replace app app.service the container was started from a unit that somebody edited: stop-grace 5 -> 30 after 1 2")},
		{name: "20/running, edited by hand, clock set back", app: all(edited, func(a *App) { a.C.Created = noon.Add(5 * time.Hour) }), want: &verdict{"19", Updated, ClassOK, "ready", "stop-grace 5 -> 30"},
			plan: lines(unitLine+"stop-grace 5 -> 30", reload)},
		{name: "20/running, forced", app: force, options: Options{Force: true}, want: &verdict{"20", Recreated, ClassOK, "ready", "forced"}, plan: "1 replace app app.service forced"},
		{name: "20/running, upgrade forced", app: upgrade, options: Options{Force: true}, want: &verdict{"20", Recreated, ClassOK, "ready", "v1.1"},
			plan: lines(unitLine+"image docker.io/example/app:v1.0 -> docker.io/example/app:v1.1", "2 reload app user manager unit changed after 1",
				"3 replace app app.service forced, image docker.io/example/app:v1.0 -> docker.io/example/app:v1.1 after 2")},
		{name: "20/running, was recreated for it again and again", app: all(func(a *App) {
			a.C.Labels = map[string]string{spec.LabelManaged: "true", spec.LabelSpecHash: "v1:0"}
			for range state.BreakerEvents {
				a.History.Count(noon.Add(-10*time.Minute), state.EventRecreated)
			}
		}), want: &verdict{"25", Left, ClassFailed, "ready", "recreated 5 times"}},
		{name: "20/exited", app: all(exited(1), wants(moreMemory)), want: &verdict{"7", Started, ClassOK, "exited", "exited 1"},
			plan: lines(unitLine+memory, reload, "3 replace app app.service exited 1 after 1 2")},
		{name: "20/stopped", app: all(noContainer, wants(moreMemory), desire(WantStopped)), want: &verdict{"20", Updated, ClassOK, "stopped", memory}, plan: lines(unitLine+memory, reload)},
		{name: "20/stopped, still running", app: all(wants(moreMemory), desire(WantStopped)), want: &verdict{"1", Stopped, ClassOK, "stopped", ""},
			plan: lines(unitLine+memory, reload, "3 stop app app.service stopped by the owner after 1 2")},
		{name: "23/running", app: conf, want: &verdict{"23", Restarted, ClassOK, "ready", "rpcpass differs"},
			plan: lines("1 write file app app.conf rpcpass differs from its secret", "2 restart app app.service app.conf rpcpass differs from its secret after 1")},
		{name: "23/running, with its digest", app: digested, want: &verdict{"23", Restarted, ClassOK, "ready", "rpcpass differs"},
			plan: lines("1 write file app app.conf rpcpass differs from its secret", "2 write unit app app.container derived files aaaa -> bbbb after 1", "3 reload - user manager units changed after 2",
				"4 replace app app.service app.conf rpcpass differs from its secret after 2 3")},
		{name: "23/running, only the label is old", app: all(made(func(c *spec.Container) { c.ConfigDigest = "aaaa" }), wants(func(c *spec.Container) { c.ConfigDigest = "bbbb" })),
			want: &verdict{"23", Restarted, ClassOK, "ready", "older configuration file"},
			plan: lines(unitLine+"derived files aaaa -> bbbb", reload, "3 replace app app.service started with an older configuration file after 1 2")},
		{name: "23/running, a restart is pending", app: record(func(r *state.Record) { r.PendingRestart = "app.conf was rewritten" }), want: &verdict{"23", Restarted, ClassOK, "ready", "app.conf was rewritten"},
			plan: again("app.conf was rewritten")},
		{name: "23/stopped", app: all(noContainer, conf, desire(WantStopped)), want: &verdict{"23", Updated, ClassOK, "stopped", "rpcpass"}, plan: "1 write file app app.conf rpcpass differs from its secret"},
		{name: "23/stopped, with its digest", app: all(digested, noContainer, desire(WantStopped)), want: &verdict{"20", Updated, ClassOK, "stopped", ""},
			plan: lines("1 write file app app.conf rpcpass differs from its secret", "2 write unit app app.container derived files aaaa -> bbbb after 1", "3 reload - user manager units changed after 2")},
		{name: "38/running", app: func(a *App) { a.PeersChanged = "bitcoin-knots" }, want: &verdict{"38", Restarted, ClassOK, "ready", "address of bitcoin-knots changed"},
			plan: again("the address of bitcoin-knots changed")},
		{name: "38/running, backing off", app: func(a *App) { a.PeersChanged, a.History.NextAttempt = "bitcoin-knots", noon.Add(40*time.Second) },
			want: &verdict{"38", Waiting, ClassWaiting, "ready", "address of bitcoin-knots changed; restarted next in 40s"}},
		{name: "38/running, breaker open", app: all(brokenOpen, func(a *App) { a.PeersChanged = "bitcoin-knots" }), want: &verdict{"25", Left, ClassFailed, "failed", "breaker open"}},
		{name: "podman secret gone/running", app: made(secretEnv), world: func(w *World) { clear(w.Secrets) }, want: &verdict{"19", Updated, ClassOK, "ready", "podman secret"},
			plan: "1 set secret app archy.app.PASSWORD absent"},
	}
}

// Row 39: its data lie on a disk that is not mounted.
func rowsDisk() []rowCase {
	away := func(a *App) {
		a.LeftBehind = &Fault{Code: codeDiskAway, Text: "its data lie on the disk at /mnt/disk, which is not mounted", Hint: "mount it"}
	}
	back := all(noContainer, brokenOpen, func(a *App) { a.History.Lacked = "disk" })
	alone := func(state string) *verdict {
		return &verdict{"39", NeedsHuman, ClassNeedsHuman, state, "what runs is left alone"}
	}
	list := []rowCase{
		{name: "39/running, up", app: away, want: alone("ready")},
		{name: "39/running, unhealthy", app: all(failing(9, time.Hour), away), want: alone("unhealthy")},
		{name: "39/running, forced", app: all(wants(moreMemory), force, away), options: Options{Force: true}, want: alone("ready")},
		{name: "39/running, breaker open", app: all(noContainer, brokenOpen, away), want: &verdict{"39", NeedsHuman, ClassNeedsHuman, "stopped", "it is not started"}},
		{name: "39/running, it is back", app: back, want: &verdict{"12", Started, ClassOK, "stopped", "not running"}, plan: "1 start app app.service not running"},
		{name: "39/stopped, up", app: all(wants(moreMemory), away, desire(WantStopped)), want: &verdict{"1", Stopped, ClassOK, "stopped", ""}, plan: stop},
		{name: "39/stopped", app: all(noContainer, wants(moreMemory), away, desire(WantStopped)), want: &verdict{"39", Left, ClassOK, "stopped", "not mounted"}},
		{name: "39/absent", app: all(away, desire(WantAbsent)), want: &verdict{"1", Removed, ClassOK, "absent", ""}, plan: removal()},
	}
	for name, down := range map[string]struct {
		app   build
		state string
	}{
		"down":       {noContainer, "stopped"},
		"no unit":    {all(noContainer, noUnit), "absent"},
		"dead":       {func(a *App) { a.Dead = true }, "dead"},
		"exited":     {exited(1), "exited"},
		"lost":       {all(noContainer, func(a *App) { a.Conmon, a.Service.MainPID, a.Service.ActiveState = 4700, 4700, "active" }), "stopped"},
		"restarting": {all(noContainer, service("activating", "auto-restart")), "restarting"},
	} {
		list = append(list, rowCase{name: "39/running, " + name, app: all(down.app, away), want: &verdict{"39", NeedsHuman, ClassNeedsHuman, down.state, "it is not started"}})
	}
	return list
}

// Rows 24 to 35: something holds the app back.
func rowsHeld() []rowCase {
	downApp := noContainer
	provider := func(more ...build) []*App { return []*App{healthyApp("base", more...)} }
	dep := needs(Need{"base", manifest.Healthy})
	pruned := []*App{healthyApp("base", tier(1), func(a *App) { a.Mode = &derived.Mode{PruneMiB: 550} })}
	archival := []*App{healthyApp("base", tier(1), func(a *App) { a.Mode, a.Archival = &derived.Mode{TxIndex: true}, true })}
	noImage := func(w *World) { delete(w.Images, "docker.io/example/app:v1.0") }
	draft := func(a *App) {
		a.Fresh = []Secret{{Name: "app-password", Kind: "hex32", Value: secrets.New(marker)}}
	}
	lostSecret := faulty(Fault{Class: ClassNeedsHuman, Action: NeedsHuman, State: "stopped", Code: "secret-missing", Text: "secret app-db-password is missing and data made with it exist"})
	operator := faulty(Fault{Class: ClassNeedsConfig, Action: Left, State: "needs-config", Code: "needs-config", Text: "secret app-token is missing"})
	gate := func(a *App) { a.GateUnmet = "waits for secret app-token" }
	guarded := func(a *App) { a.Guard = "data of PostgreSQL 16, image of 15" }
	port := func(a *App) { a.PortHolder = "port 8080 is held by pid 99 nginx" }
	rival := func(more ...build) []*App {
		return []*App{healthyApp("rival", append([]build{func(a *App) { a.Manifest.Conflicts = []string{"app"} }}, more...)...)}
	}
	held := all(wants(moreMemory), func(a *App) { a.Record.FailedHash = a.Hash })
	looping := all(downApp, service("activating", "auto-restart"), func(a *App) { a.Service.NRestarts = 3 })
	gaveUp := all(downApp, service("failed", "failed"), func(a *App) { a.Service.StartLimitHit = true })
	backoff := func(a *App) { a.History.NextAttempt = noon.Add(40 * time.Second) }
	lacked := func(a *App) { a.History.Lacked = "dependency base" }
	start := "1 start app app.service not running"
	newBoot := func(w *World) { w.BootID = "boot-2" }
	return []rowCase{
		{name: "24/running, down, dependency down", app: all(downApp, dep), others: provider(noContainer, brokenOpen), want: &verdict{"24", Waiting, ClassWaiting, "stopped", "dependency base is failed"}},
		{name: "24/running, down, dependency unhealthy", app: all(downApp, dep), others: provider(failing(1, time.Minute)), want: &verdict{"24", Waiting, ClassWaiting, "stopped", "dependency base is unhealthy"}},
		{name: "24/running, down, dependency stopped by the owner", app: all(downApp, dep), others: provider(noContainer, desire(WantStopped)), want: &verdict{"24", Waiting, ClassWaiting, "stopped", "dependency base is stopped by the owner"}},
		{name: "24/running, down, dependency not installed", app: all(downApp, dep), others: provider(noContainer, noUnit, noRecord, desire(WantNone)), want: &verdict{"24", Waiting, ClassWaiting, "stopped", "dependency base is not installed"}},
		{name: "24/running, down, dependency not known", app: all(downApp, dep), want: &verdict{"24", Waiting, ClassWaiting, "stopped", "dependency base is not known"}},
		{name: "24/running, up, dependency down", app: dep, others: provider(noContainer, brokenOpen), want: &verdict{"1", NoOp, ClassOK, "ready", ""}},
		{name: "24/running, dependency is started in the same pass", app: all(downApp, dep), others: provider(noContainer), want: &verdict{"12", Started, ClassOK, "stopped", ""},
			plan: lines("1 start base base.service not running", "2 start app app.service not running after 1")},
		{name: "24/running, dependency gets ready in the same pass", app: all(downApp, dep), others: provider(health("starting"), startedBefore(20*time.Second)), want: &verdict{"12", Started, ClassOK, "stopped", ""},
			plan: lines("1 wait base base.service health check has not passed yet (start period 60 s)", "2 start app app.service not running after 1")},
		{name: "24/running, dependency locked", app: all(downApp, needs(Need{"base", manifest.Unlocked})), others: provider(func(a *App) { a.Stage = Stage{Text: "locked"} }, tier(2)),
			want: &verdict{"24", Waiting, ClassWaiting, "stopped", "dependency base is locked"}},
		{name: "24/running, systemd restarts it, dependency down", app: all(looping, dep), others: provider(noContainer, brokenOpen), want: &verdict{"24", Waiting, ClassWaiting, "restarting", "dependency base is failed"}},
		{name: "24/running, systemd gave up, dependency down", app: all(gaveUp, dep), others: provider(noContainer, brokenOpen), want: &verdict{"24", Waiting, ClassWaiting, "failed", "dependency base is failed"}},
		{name: "24/running, breaker open, dependency down", app: all(downApp, brokenOpen, dep), others: provider(noContainer, brokenOpen), want: &verdict{"24", Waiting, ClassWaiting, "stopped", "dependency base is failed"}},
		{name: "24/running, backing off, dependency stopped by the owner", app: all(downApp, dep, backoff), others: provider(noContainer, desire(WantStopped)), want: &verdict{"24", Waiting, ClassWaiting, "stopped", "stopped by the owner"}},
		{name: "24/running, systemd gave up, dependency is back", app: all(gaveUp, dep, lacked), others: provider(), want: &verdict{"12", Started, ClassOK, "stopped", "not running"}, plan: start},
		{name: "24/running, systemd restarts it, dependency is back", app: all(looping, dep, lacked), others: provider(), want: &verdict{"12", Started, ClassOK, "stopped", "not running"}, plan: again("not running")},
		{name: "24/running, breaker open, dependency is back", app: all(downApp, brokenOpen, dep, lacked), others: provider(), want: &verdict{"12", Started, ClassOK, "stopped", "not running"}, plan: start},
		{name: "24/running, breaker open, dependency was there", app: all(downApp, brokenOpen, dep), others: provider(), want: &verdict{"25", Left, ClassFailed, "failed", "breaker open since"}},
		{name: "24/running, systemd gave up, dependency is started in the same pass", app: all(gaveUp, dep), others: provider(noContainer), want: &verdict{"12", Started, ClassOK, "stopped", "not running"},
			plan: lines("1 start base base.service not running", "2 start app app.service not running after 1")},
		{name: "24/running, unhealthy, dependency down", app: all(dep, failing(9, time.Hour)), others: provider(noContainer, brokenOpen), want: &verdict{"24", Waiting, ClassWaiting, "unhealthy", "dependency base is stopped; health check fails"}},
		{name: "24/running, unhealthy, breaker open, dependency down", app: all(dep, failing(9, time.Hour), brokenOpen), others: provider(noContainer, desire(WantStopped)),
			want: &verdict{"24", Waiting, ClassWaiting, "unhealthy", "dependency base is stopped by the owner"}},
		{name: "24/running, unhealthy, tier 2, dependency down", app: all(dep, tier(2), failing(9, time.Hour)), others: provider(noContainer, brokenOpen), want: &verdict{"4", Left, ClassFailed, "unhealthy", "never restarted"}},
		{name: "32/running, systemd gave up, port is free again", app: all(gaveUp, lacked), want: &verdict{"12", Started, ClassOK, "stopped", ""}, plan: start},
		{name: "25/running, down", app: all(downApp, brokenOpen), want: &verdict{"25", Left, ClassFailed, "failed", "breaker open since 2026-01-10T11:50:00Z: too many failures in 30 minutes"}},
		{name: "25/running, down, new boot", app: all(downApp, brokenOpen), world: newBoot, want: &verdict{"12", Started, ClassOK, "stopped", ""}, plan: start},
		{name: "25/running, down, forced", app: all(downApp, brokenOpen, force), options: Options{Force: true}, want: &verdict{"12", Started, ClassOK, "stopped", ""}, plan: start},
		{name: "25/running, down, changed spec", app: all(downApp, brokenOpen, wants(moreMemory)), want: &verdict{"20", Recreated, ClassOK, "stopped", ""},
			plan: lines("1 write unit app app.container memory 268435456 -> 536870912", "2 reload - user manager units changed after 1",
				"3 replace app app.service not running, and memory 268435456 -> 536870912 after 1 2")},
		{name: "25/stopped", app: all(downApp, brokenOpen, desire(WantStopped)), want: &verdict{"12", NoOp, ClassOK, "stopped", ""}},
		{name: "26/running, down", app: downApp, world: noImage, want: &verdict{"12", Started, ClassOK, "stopped", ""},
			plan: lines("1 pull image app docker.io/example/app:v1.0 image is absent", "2 start app app.service not running after 1")},
		{name: "26/running, down, built on the node", app: all(made(func(c *spec.Container) { c.Build = &spec.Build{Context: "/opt/x", Dockerfile: "Dockerfile"} }), downApp), world: noImage,
			want: &verdict{"12", Started, ClassOK, "stopped", ""}, plan: lines("1 build image app docker.io/example/app:v1.0 image is absent", "2 start app app.service not running after 1")},
		{name: "26/running, down, --no-pull", app: downApp, world: noImage, options: Options{NoPull: true}, want: &verdict{"26", Failed, ClassFailed, "stopped", "is absent and must not be pulled"}},
		{name: "26/running, up, --no-pull", app: wants(moreMemory), world: noImage, options: Options{NoPull: true}, want: &verdict{"26", Left, ClassOK, "ready", "is absent"}},
		{name: "26/stopped", app: all(downApp, desire(WantStopped)), world: noImage, want: &verdict{"12", NoOp, ClassOK, "stopped", ""}},
		{name: "27/running, made anew", app: all(downApp, draft), want: &verdict{"12", Started, ClassOK, "stopped", ""},
			plan: lines("1 write secret app app-password secret is missing", "2 start app app.service not running after 1")},
		{name: "27/running, data exist, down", app: all(downApp, lostSecret), want: &verdict{"27", NeedsHuman, ClassNeedsHuman, "stopped", "data made with it exist"}},
		{name: "27/running, data exist, up", app: lostSecret, want: &verdict{"27", NeedsHuman, ClassNeedsHuman, "ready", "data made with it exist"}},
		{name: "27/stopped", app: all(downApp, draft, wants(moreMemory), desire(WantStopped)), want: &verdict{"27", Left, ClassOK, "stopped", "app-password is made when it is started"}},
		{name: "27/stopped, data exist", app: all(downApp, lostSecret, desire(WantStopped)), want: &verdict{"27", Left, ClassOK, "stopped", "data made with it exist"}},
		{name: "28/running", app: all(downApp, operator), want: &verdict{"28", Left, ClassNeedsConfig, "needs-config", "secret app-token is missing"}},
		{name: "28/stopped", app: all(downApp, operator, desire(WantStopped)), want: &verdict{"28", Left, ClassOK, "stopped", "secret app-token is missing"}},
		{name: "29/running", app: all(downApp, gate), want: &verdict{"29", Left, ClassNeedsConfig, "needs-config", "waits for secret app-token"}},
		{name: "29/stopped", app: all(downApp, gate, desire(WantStopped)), want: &verdict{"12", NoOp, ClassOK, "stopped", ""}},
		{name: "30/running", app: all(downApp, needs(Need{"base", manifest.Archival})), others: pruned, want: &verdict{"30", Blocked, ClassBlocked, "blocked", "archival"}},
		{name: "30/running, through another app", app: all(downApp, needs(Need{"index", manifest.Healthy})),
			others: append(pruned, healthyApp("index", downApp, needs(Need{"base", manifest.Archival}))), want: &verdict{"30", Blocked, ClassBlocked, "blocked", "archival"}},
		{name: "30/running, another app runs all the same", app: all(downApp, needs(Need{"index", manifest.Healthy})),
			others: append(pruned, healthyApp("index", needs(Need{"base", manifest.Archival}))), want: &verdict{"12", Started, ClassOK, "stopped", ""}, plan: start},
		{name: "30/running, archival node", app: all(downApp, needs(Need{"base", manifest.Archival})), others: archival, want: &verdict{"12", Started, ClassOK, "stopped", ""}, plan: start},
		{name: "30/running, up", app: needs(Need{"base", manifest.Archival}), others: pruned, want: &verdict{"1", NoOp, ClassOK, "ready", ""}},
		{name: "30/stopped", app: all(downApp, needs(Need{"base", manifest.Archival}), desire(WantStopped)), others: pruned, want: &verdict{"12", NoOp, ClassOK, "stopped", ""}},
		{name: "31/running, down", app: all(downApp, guarded), want: &verdict{"31", NeedsHuman, ClassNeedsHuman, "stopped", "data of PostgreSQL 16"}},
		{name: "31/running, up, changed", app: all(wants(moreMemory), guarded), want: &verdict{"31", NeedsHuman, ClassNeedsHuman, "ready", "data of PostgreSQL 16"}},
		{name: "31/stopped", app: all(downApp, guarded, desire(WantStopped)), want: &verdict{"12", NoOp, ClassOK, "stopped", ""}},
		{name: "31/stopped, changed", app: all(downApp, wants(moreMemory), guarded, desire(WantStopped)), want: &verdict{"31", NoOp, ClassOK, "stopped", "data of PostgreSQL 16"}},
		{name: "31/stopped, changed, still running", app: all(wants(moreMemory), guarded, desire(WantStopped)), want: &verdict{"1", Stopped, ClassOK, "stopped", ""}, plan: stop},
		{name: "32/running", app: all(downApp, port), want: &verdict{"32", Failed, ClassFailed, "stopped", "port 8080 is held by pid 99 nginx"}},
		{name: "32/stopped", app: all(downApp, port, desire(WantStopped)), want: &verdict{"12", NoOp, ClassOK, "stopped", ""}},
		{name: "33/running, the other runs", app: downApp, others: rival(), want: &verdict{"33", Left, ClassOK, "conflict", "conflict with rival"}},
		{name: "33/running, both run", others: rival(), want: &verdict{"33", NeedsHuman, ClassNeedsHuman, "conflict", "runs beside rival"}},
		{name: "33/running, the other is only wanted", others: rival(noContainer, noUnit, noRecord), want: &verdict{"1", NoOp, ClassOK, "ready", ""}},
		{name: "33/running, both down, the other was installed first", app: downApp, others: rival(noContainer, record(func(r *state.Record) { r.InstalledAt = noon.Add(-48 * time.Hour) })),
			want: &verdict{"33", Left, ClassOK, "conflict", "conflict with rival"}, plan: "1 start rival rival.service not running"},
		{name: "33/running, both down, the other has no record", app: downApp, others: rival(noContainer, noUnit, noRecord), want: &verdict{"12", Started, ClassOK, "stopped", ""}, plan: start},
		{name: "35/running", app: held, want: &verdict{"35", Left, ClassFailed, "ready", "failed spec held"}},
		{name: "35/running, down", app: all(held, downApp), want: &verdict{"12", Started, ClassOK, "stopped", ""}, plan: start},
		{name: "35/running, forced", app: all(held, force), options: Options{Force: true}, want: &verdict{"20", Recreated, ClassOK, "ready", "forced"},
			plan: lines("1 write unit app app.container memory 268435456 -> 536870912", "2 reload app user manager unit changed after 1", "3 replace app app.service forced, memory 268435456 -> 536870912 after 2")},
		{name: "35/running, changed once more", app: all(held, wants(func(c *spec.Container) { c.Memory = 1 << 30 })), want: &verdict{"20", Recreated, ClassOK, "ready", ""},
			plan: lines("1 write unit app app.container memory 268435456 -> 1073741824", "2 reload - user manager units changed after 1", "3 replace app app.service memory 268435456 -> 1073741824 after 1 2")},
	}
}

// Rows 5 to 9, 21 and 22 for containers that archy did not make.
func rowsLegacy() []rowCase {
	drift := []Drift{{Dimension: "memory", Have: "none", Want: "268435456"}, {Dimension: "env PASSWORD", Have: "hidden", Want: "hidden"}}
	old := legacy(drift...)
	scope := func(cause string) string { return "1 start in scope app app " + cause }
	unclaimed := all(old, noRecord)
	adopt := "1 adopt app app made by something else, claimed by its name"
	broken := func(a *App) {
		a.MigrationFault = &Fault{Code: "secret", Text: "PASSWORD of the container differs from its secret file"}
	}
	conf := derivedFile("bitcoin.conf", "rpcauth does not verify against its secret")
	outOfMemory := func(a *App) { a.Inspect = &podman.Inspect{State: podman.InspectState{OOMKilled: true}} }
	return []rowCase{
		{name: "1/running, adopted", app: legacy(), want: &verdict{"1", NoOp, ClassOK, "ready", "adopted"}},
		{name: "2/running, adopted", app: all(old, health("starting")), want: &verdict{"2", Waiting, ClassWaiting, "starting", ""}},
		{name: "4/running, adopted", app: all(old, failing(2, 3*time.Minute)), want: &verdict{"4", Restarted, ClassOK, "unhealthy", ""}, plan: scope("health check fails since 3m0s")},
		{name: "4/running, adopted, tier 1", app: all(tier(1), old, failing(9, time.Hour)), want: &verdict{"4", Left, ClassFailed, "unhealthy", ""}},
		{name: "5/running, adopted", app: all(old, func(a *App) { a.Dead = true }), want: &verdict{"5", Started, ClassOK, "dead", ""}, plan: scope("podman says running, its process is gone")},
		{name: "6/running, adopted", app: all(old, exited(0)), want: &verdict{"6", Started, ClassOK, "exited", "exited 0"}, plan: scope("exited 0")},
		{name: "7/running, adopted", app: all(old, exited(137)), want: &verdict{"7", Started, ClassOK, "exited", "killed (137)"}, plan: scope("killed (137)")},
		{name: "7/running, adopted, out of memory", app: all(old, exited(137), outOfMemory), want: &verdict{"7", Started, ClassOK, "exited", "killed, out of memory"}, plan: scope("killed, out of memory")},
		{name: "6/running, adopted, a process of it was killed for memory", app: all(old, exited(0), outOfMemory), want: &verdict{"6", Started, ClassOK, "exited", "exited 0"}, plan: scope("exited 0")},
		{name: "7/running, adopted, secret missing", app: all(old, exited(1), faulty(Fault{Class: ClassNeedsConfig, Action: Left, Code: "needs-config"})), want: &verdict{"7", Started, ClassOK, "exited", ""}, plan: scope("exited 1")},
		{name: "8/running, adopted", app: all(old, inState(podman.StateCreated)), want: &verdict{"8", Started, ClassOK, "created", ""}, plan: scope("created but never started")},
		{name: "9/running, adopted", app: all(old, inState(podman.StatePaused)), want: &verdict{"9", Unpaused, ClassOK, "paused", ""}, plan: "1 unpause app app paused"},
		{name: "1/stopped, adopted", app: all(old, desire(WantStopped)), want: &verdict{"1", Stopped, ClassOK, "stopped", ""}, plan: stop},
		{name: "6/stopped, adopted", app: all(old, exited(0), desire(WantStopped)), want: &verdict{"6", NoOp, ClassOK, "stopped", ""}},
		{name: "1/absent, adopted under an older name", app: all(old, func(a *App) { a.C.Name = "old-app" }, desire(WantAbsent)), want: &verdict{"1", Removed, ClassOK, "absent", ""},
			plan: lines("1 stop app app.service removed by the owner", "2 remove old app old-app removed by the owner after 1")},
		{name: "21/running, not adopted yet", app: unclaimed, want: &verdict{"21", Adopted, ClassOK, "ready", "adopted, 2 drifts"}, plan: adopt},
		{name: "21/running", app: old, want: &verdict{"21", NoOp, ClassOK, "ready", "adopted, 2 drifts"}},
		{name: "21/running, not adopted yet and exited", app: all(unclaimed, exited(1)), want: &verdict{"7", Started, ClassOK, "exited", ""}, plan: lines(adopt, "2 start in scope app app exited 1 after 1")},
		{name: "21/stopped, not adopted yet", app: all(unclaimed, desire(WantStopped)), want: &verdict{"1", Stopped, ClassOK, "stopped", ""}, plan: lines(adopt, "2 stop app app.service stopped by the owner after 1")},
		{name: "21/stopped", app: all(old, exited(0), desire(WantStopped)), want: &verdict{"6", NoOp, ClassOK, "stopped", ""}},
		{name: "21/running, forced", app: all(old, force), options: Options{Force: true}, want: &verdict{"21", Migrated, ClassOK, "ready", "to a unit"}, plan: "1 migrate app app to a unit, memory env PASSWORD"},
		{name: "21/running, forced, secrets differ", app: all(old, force, broken), options: Options{Force: true}, want: &verdict{"21", NeedsHuman, ClassNeedsHuman, "ready", "differs from its secret file"}},
		{name: "21/running, --migrate", app: old, options: Options{Migrate: true}, want: &verdict{"21", Migrated, ClassOK, "ready", ""}, plan: "1 migrate app app to a unit, memory env PASSWORD"},
		{name: "22/running", app: all(old, noContainer), want: &verdict{"22", Installed, ClassOK, "absent", "has vanished"},
			plan: lines("1 write unit app app.container unit is missing", "2 reload - user manager units changed after 1", "3 start app app.service the adopted container has vanished after 1 2")},
		{name: "22/running, but alive", app: all(old, noContainer, func(a *App) { a.Conmon = 4999 }), want: &verdict{"12a", NeedsHuman, ClassNeedsHuman, "lost-track", ""}},
		{name: "22/running, listed as ended, but alive", app: all(old, inState(podman.StateExited), func(a *App) { a.Conmon = 4999 }), want: &verdict{"12a", NeedsHuman, ClassNeedsHuman, "lost-track", "pid 4999"}},
		{name: "22/stopped", app: all(old, noContainer, desire(WantStopped)), want: &verdict{"22", Updated, ClassOK, "stopped", ""},
			plan: lines("1 write unit app app.container unit is missing", "2 reload - user manager units changed after 1")},
		{name: "23/running, adopted, rpcauth", app: all(old, conf), want: &verdict{"23", Restarted, ClassOK, "ready", "rpcauth"},
			plan: lines("1 write file app bitcoin.conf rpcauth does not verify against its secret", "2 start in scope app app bitcoin.conf rpcauth does not verify against its secret after 1")},
		{name: "23/running, adopted, other files are only compared", app: all(old, conf, func(a *App) { a.Files[0].CompareOnly = true }), want: &verdict{"21", NoOp, ClassOK, "ready", ""}},
	}
}
