package reconcile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"git.tx1138.com/lfg2025/archy/internal/derived"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

var conditions = []string{manifest.Started, manifest.Healthy, manifest.Answers, manifest.Archival, manifest.Unlocked}

// oddities are what may be found of an app; each is drawn or not.
var oddities = map[string]build{
	"wants more memory": wants(moreMemory), "wants other text": wants(func(c *spec.Container) { c.Unit.Restart = "always" }),
	"uses a secret": made(secretEnv), "file differs": derivedFile("app.conf", "differs"),
	"dir is absent": func(a *App) {
		a.Dirs = []Dir{{Path: "/var/lib/archipelago/" + a.ID, Owner: "1000:1000", Cause: "absent"}}
	},
	"no unit": noUnit, "no record": noRecord, "breaker": brokenOpen, "failed before": func(a *App) {
		if a.Record != nil {
			a.Record.FailedHash = a.Hash
		}
	},
	"draft":       func(a *App) { a.Fresh = []Secret{{Name: "shared-password", Kind: "hex32", Value: secrets.New(marker)}} },
	"fault":       faulty(Fault{Class: ClassNeedsConfig, Action: Left, State: "needs-config", Code: "needs-config", Text: "secret x is missing"}),
	"peers moved": func(a *App) { a.PeersChanged = "a0" }, "guard": func(a *App) { a.Guard = "data of another version" },
	"port": func(a *App) { a.PortHolder = "port 80 is held by pid 1 x" }, "gate": func(a *App) { a.GateUnmet = "waits" },
	"broken manifest": func(a *App) { a.Manifest = nil }, "not selected": func(a *App) { a.Selected = false },
	"network": func(a *App) { a.Network = &Network{Name: "other-net"} }, "pending": func(a *App) {
		if a.Record != nil {
			a.Record.PendingRestart = "x was rewritten"
		}
	},
	"replacing": func(a *App) {
		if a.Record != nil {
			a.Record.Op = &state.Op{Kind: state.OpReplace, Step: 7, NewHash: a.Hash}
		}
	},
	"rolling back": func(a *App) {
		if a.Record != nil {
			a.Record.Op = &state.Op{Kind: state.OpReplace, Step: 8, NewHash: a.Hash, Rollback: true, Reason: "died"}
		}
	},
	"old container": func(a *App) {
		if a.Record != nil {
			a.Record.OldContainers = []state.OldContainer{{Name: a.ID + "-archy-old-1", RenamedAt: noon.Add(-25 * time.Hour)}}
		}
	},
	"lacked": func(a *App) { a.History.Lacked = "dependency a0" }, "tried": func(a *App) { a.History.Tried = "v1:0" },
	"started": func(a *App) {
		a.History.StartedAt, a.Service.StateChanged = noon.Add(-40*time.Second), noon.Add(-20*time.Second)
	},
	"pruned":   func(a *App) { a.Mode = &derived.Mode{PruneMiB: 550} },
	"conflict": func(a *App) { a.Manifest.Conflicts = []string{"a0"} },
}

// shapes are what may be found of a container; exactly one is drawn.
var shapes = map[string]build{
	"healthy": nil, "starting": health("starting"), "unhealthy": failing(5, time.Hour), "dead": func(a *App) { a.Dead = true },
	"exited": exited(0), "crashed": exited(1), "created": inState(podman.StateCreated), "paused": inState(podman.StatePaused),
	"stopping": inState(podman.StateStopping), "removing": inState(podman.StateRemoving), "absent": noContainer,
	"looping": all(noContainer, service("activating", "auto-restart")), "lost": all(noContainer, func(a *App) { a.Conmon = 99 }),
	"gave up": all(noContainer, service("failed", "failed"), func(a *App) { a.Service.StartLimitHit = true }),
	"legacy":  legacy(Drift{Dimension: "memory", Have: "none", Want: "1"}), "legacy exited": all(legacy(), exited(1)),
	"making": all(inState(podman.StateCreated), service("activating", "start")), "trying again": all(exited(1), service("activating", "auto-restart")),
	"legacy vanished": all(legacy(), noContainer), "forgotten": all(noContainer, func(a *App) { a.Service.LoadState = "not-found" }),
}

// drawWorld is any node that Observe could come upon, and options that a caller could have.
func drawWorld(t *rapid.T) (*World, Options) {
	o := Options{Force: rapid.Bool().Draw(t, "force"), NoPull: rapid.Bool().Draw(t, "no pull"), Migrate: rapid.IntRange(0, 4).Draw(t, "migrate") == 0,
		AdoptOnly: rapid.IntRange(0, 9).Draw(t, "adopt only") == 0}
	var apps []*App
	for i := range rapid.IntRange(1, 6).Draw(t, "apps") {
		a := healthyApp(fmt.Sprintf("a%d", i), tier(rapid.IntRange(0, 4).Draw(t, "tier")))
		for _, name := range sortedKeys(oddities) {
			// The container has its final shape below: what is drawn here concerns the wish.
			if a.Manifest != nil && rapid.IntRange(0, 9).Draw(t, name) == 0 {
				oddities[name](a)
			}
		}
		if a.Record != nil {
			all(shapes[rapid.SampledFrom(sortedKeys(shapes)).Draw(t, "shape")])(a)
		} else if rapid.Bool().Draw(t, "nothing there") {
			all(noContainer, noUnit)(a)
		} else {
			legacy()(a)
		}
		a.Want = rapid.SampledFrom([]Want{WantRunning, WantRunning, WantRunning, WantStopped, WantAbsent}).Draw(t, "want")
		if a.Record == nil && a.Want == WantAbsent {
			a.Want = WantNone
		}
		a.Force = o.Force && a.Selected
		a.Asked = a.Selected && rapid.IntRange(0, 2).Draw(t, "asked") == 0
		a.Anew = a.Asked && a.Want == WantRunning && rapid.Bool().Draw(t, "anew")
		if a.Removing = a.Asked && a.Want == WantAbsent; a.Removing && rapid.Bool().Draw(t, "purge") {
			a.Data = []string{"/var/lib/archipelago/" + a.ID}
		}
		for j := range i {
			if rapid.IntRange(0, 3).Draw(t, "needs") == 0 {
				a.Needs = append(a.Needs, Need{fmt.Sprintf("a%d", j), rapid.SampledFrom(conditions).Draw(t, "condition")})
			}
		}
		apps = append(apps, a)
	}
	w := world(apps...)
	for _, a := range apps {
		if rapid.IntRange(0, 4).Draw(t, "image") == 0 {
			delete(w.Images, a.Spec.Image)
		}
	}
	if rapid.Bool().Draw(t, "podman secrets") {
		clear(w.Secrets)
	}
	return w, o
}

// reaches are the operations that come before each one, directly or not. ok is false when some wait for each other.
func reaches(ops []Operation) (before []map[int]bool, ok bool) {
	before = make([]map[int]bool, len(ops)+1)
	state := make([]int, len(ops)+1)
	var visit func(n int) bool
	visit = func(n int) bool {
		switch state[n] {
		case 1:
			return false
		case 2:
			return true
		}
		state[n], before[n] = 1, map[int]bool{}
		for _, m := range ops[n-1].After {
			if m < 1 || m > len(ops) || !visit(m) {
				return false
			}
			before[n][m] = true
			for k := range before[m] {
				before[n][k] = true
			}
		}
		state[n] = 2
		return true
	}
	for n := range ops {
		if !visit(n + 1) {
			return nil, false
		}
	}
	return before, true
}

func TestPlanProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w, o := drawWorld(t)
		plan := MakePlan(w, o)
		text := plan.String()
		before, ok := reaches(plan.Ops)
		if !ok {
			t.Fatalf("operations wait for each other:\n%s", text)
		}
		for i, op := range plan.Ops {
			if op.N != i+1 {
				t.Fatalf("operation %d has number %d", i+1, op.N)
			}
			for _, other := range plan.Ops[:i] {
				if op.App != "" && op.App == other.App && !before[op.N][other.N] && !before[other.N][op.N] {
					t.Fatalf("%s: operations %d and %d are not ordered:\n%s", op.App, other.N, op.N, text)
				}
			}
			permitted(t, w, o, op, text)
		}
		for _, a := range w.Apps {
			named := slices.ContainsFunc(plan.Apps, func(p AppPlan) bool { return p.App == a })
			if a.Selected && a.installed() && !o.AdoptOnly && !o.Migrate && !named {
				t.Fatalf("nothing is said of %s, wanted %s: %+v, service %+v", a.ID, a.Want, a.C, a.Service)
			}
		}
		if strings.Contains(text, marker) || strings.Contains(fmt.Sprintf("%v", plan.Apps), marker) {
			t.Fatalf("a secret is in the plan:\n%s", text)
		}
		if again := MakePlan(w, o).String(); again != text {
			t.Fatalf("the same world gives another plan:\n%s\nthen\n%s", text, again)
		}
	})
}

// destructive are the kinds of operation that end or change a container.
var destructive = []Kind{Start, Restart, Replace, Stop, Unpause, RemoveOld, RemoveUnit, Migrate, StartLegacy, RollBack}

// permitted holds an operation to what archy may touch.
func permitted(t *rapid.T, w *World, o Options, op Operation, text string) {
	a := w.app(op.App)
	switch {
	case a == nil && op.Kind != Reload:
		t.Fatalf("%s concerns no app:\n%s", op, text)
	case a == nil:
		return
	case !a.Selected:
		t.Fatalf("%s concerns an app that was not chosen:\n%s", op, text)
	case o.AdoptOnly && op.Kind != Adopt:
		t.Fatalf("%s although only adoption was asked for:\n%s", op, text)
	case a.Want == WantNone:
		t.Fatalf("%s concerns an app that nobody wants:\n%s", op, text)
	}
	legacy := a.Legacy()
	claimedNow := strings.Contains(text, "  adopt           "+a.ID+" ")
	switch {
	case legacy && slices.Contains(destructive, op.Kind) && a.Record == nil && !claimedNow:
		t.Fatalf("%s touches a container that nobody claimed:\n%s", op, text)
	case legacy && a.Want == WantRunning && slices.Contains([]Kind{Start, Restart, Replace, Stop, RemoveOld, WriteUnit}, op.Kind):
		t.Fatalf("%s touches an adopted container without a migration:\n%s", op, text)
	case op.Kind == Migrate && !o.Migrate && !a.Force && (a.Record == nil || a.Record.Op == nil):
		t.Fatalf("%s although nobody asked for it:\n%s", op, text)
	case op.Kind == RemoveOld && a.Want != WantAbsent && !strings.Contains(op.Object, oldSuffix):
		t.Fatalf("%s removes a container that is wanted:\n%s", op, text)
	case op.Kind == RemoveUnit && a.Want != WantAbsent:
		t.Fatalf("%s removes the unit of an app that is wanted:\n%s", op, text)
	case a.Want == WantStopped && slices.Contains([]Kind{Start, Restart, Replace, StartLegacy, Migrate, PullImage, BuildImage}, op.Kind):
		t.Fatalf("%s starts what the owner stopped:\n%s", op, text)
	case a.Conmon != 0 && slices.Contains([]Kind{Start, Restart, Replace}, op.Kind) && a.Service.MainPID != a.Conmon:
		t.Fatalf("%s starts a second copy:\n%s", op, text)
	}
}

// TestPlansRemoveNoData: no operation of a pass removes a volume, a secret file or data; data move to the trash when their
// owner removes the app and says so.
func TestPlansRemoveNoData(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, o := drawWorld(t)
		for _, op := range MakePlan(w, o).Ops {
			a := w.app(op.App)
			switch op.Kind {
			case RemoveSecret: // podman's copy, which bears archy's mark; the file stays
				if a.Want != WantAbsent || w.Secrets[op.Object] == "" || !strings.HasPrefix(op.Object, "archy."+a.ID+".") {
					t.Fatalf("%s", op)
				}
			case RemoveNetwork, RemoveImage, Delete:
				t.Fatalf("%s is not for a pass", op)
			case MoveData:
				if !a.Removing || !slices.Contains(a.Data, op.Path) || !strings.Contains(op.Dest, "/state/trash/") {
					t.Fatalf("%s", op)
				}
			}
		}
	})
}

// disturbances are what may happen to a node between two passes.
var disturbances = map[string]func(n *fakeNode, id string){
	"container removed": func(n *fakeNode, id string) {
		if c := n.containers[id]; c != nil && c.Labels[spec.LabelManaged] == "true" {
			n.drop(c)
			if s := n.services[id+".service"]; s != nil {
				s.ActiveState, s.SubState = "inactive", "dead"
			}
		}
	},
	"unit deleted": func(n *fakeNode, id string) { _ = os.Remove(n.layout.Host(n.layout.Unit(id))) },
	"unit edited": func(n *fakeNode, id string) {
		file := n.layout.Host(n.layout.Unit(id))
		if text, err := os.ReadFile(file); err == nil {
			_ = os.WriteFile(file, []byte(strings.Replace(string(text), "on-failure", "no", 1)), 0o644)
		}
	},
	"reload":      func(n *fakeNode, _ string) { _ = manager{n}.Reload(n.t.Context()) },
	"secret gone": func(n *fakeNode, id string) { delete(n.secrets, "archy."+id+".DB") },
	"rotated": func(n *fakeNode, id string) {
		_ = os.WriteFile(n.vault.Path("db-password"), []byte(fmt.Sprintf("%032d", len(n.calls))), 0o600)
	},
	"image gone": func(n *fakeNode, id string) { delete(n.images, "docker.io/example/"+id+":v1.0") },
	"paused": func(n *fakeNode, id string) {
		if c := n.containers[id]; c != nil {
			c.State.Status, c.State.Paused, c.State.Running = podman.StatePaused, true, false
		}
	},
	"restart policy": func(n *fakeNode, id string) {
		if s := n.services[id+".service"]; s != nil && s.ActiveState == "inactive" {
			s.ActiveState, s.SubState, s.StartLimitHit = "failed", "failed", false
		}
	},
	"created": func(n *fakeNode, id string) {
		if c := n.containers[id]; c != nil {
			c.State = podman.InspectState{Status: podman.StateCreated}
		}
	},
}

// TestApplyThenPlanIsEmpty: whatever has happened to a node, a pass repairs it, and the next has nothing to do.
func TestApplyThenPlanIsEmpty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		n := newNode(t, five()).firstBootDone()
		defer func() { _ = os.RemoveAll(n.layout.Root) }()
		data := n.layout.Host("/var/lib/archipelago/pgdb/data")
		n.pass()
		if err := os.WriteFile(data, []byte("kept"), 0o600); err != nil {
			t.Fatal(err)
		}
		n.later(time.Minute)
		for range rapid.IntRange(1, 3).Draw(r, "rounds") {
			apps := five()
			for range rapid.IntRange(0, 5).Draw(r, "disturbances") {
				what := rapid.SampledFrom(sortedKeys(disturbances)).Draw(r, "what")
				disturbances[what](n, rapid.SampledFrom(n.set.Order()).Draw(r, "app"))
			}
			for _, id := range n.set.Order() {
				if rapid.IntRange(0, 4).Draw(r, "changed "+id) == 0 {
					apps[id] = changedTo(apps[id])
				}
			}
			n.load(apps)
			before := n.pass()
			n.later(10 * time.Minute)
			if plan := n.plan(); !plan.Empty() {
				for _, a := range before.Apps {
					r.Logf("%s: %s %s %s %v", a.App, a.State, a.Action, a.Cause, a.Error)
				}
				r.Fatalf("after a pass there is still to do:\n%s", plan)
			}
			for _, id := range n.set.Order() {
				if c := n.containers[id]; c == nil || !c.State.Running {
					r.Fatalf("%s does not run: %+v", id, n.result(before, id))
				}
			}
		}
		if len(n.violations) > 0 {
			r.Fatalf("forbidden: %q", n.violations)
		}
		if _, err := os.Stat(data); err != nil {
			r.Fatal("data are gone")
		}
		if _, err := os.Stat(filepath.Join(n.vault.Dir, "db-password")); err != nil {
			r.Fatal("the secret is gone")
		}
	})
}
