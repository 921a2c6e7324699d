package reconcile_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/appsstage"
	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// The stage is tested here because the node that it needs is this package's.

// boot is a first boot of apps on a node, with everything that it told.
type boot struct {
	reconcile.Node
	t      *testing.T
	events []firstboot.Event
	log    string
}

func newBoot(t *testing.T, manifests map[string]string) *boot {
	return &boot{Node: reconcile.NewNode(t, manifests), t: t, log: filepath.Join(t.TempDir(), "container-installs.log")}
}

func (b *boot) stage() *appsstage.Stage {
	return &appsstage.Stage{Log: b.log, Now: func() time.Time { return time.Unix(0, 0) },
		Open: func(context.Context) (*appsstage.Session, error) {
			return &appsstage.Session{Pass: b.Pass, Close: func() {}, Hold: func(context.Context) (func(), error) { return func() {}, nil }}, nil
		}}
}

func (b *boot) run(job firstboot.AppsJob) {
	b.t.Helper()
	b.events = nil
	if err := b.stage().Run(b.t.Context(), job, func(ev firstboot.Event) { b.events = append(b.events, ev) }); err != nil {
		b.t.Fatal(err)
	}
}

// last is the last event of an app.
func (b *boot) last(app string) firstboot.Event {
	b.t.Helper()
	for _, ev := range slices.Backward(b.events) {
		if ev.Kind == firstboot.AppEvent && ev.App == app {
			return ev
		}
	}
	b.t.Fatalf("nothing was told of %s", app)
	return firstboot.Event{}
}

// phases are those of an app, each once.
func (b *boot) phases(app string) []string {
	var list []string
	for _, ev := range b.events {
		if ev.Kind == firstboot.AppEvent && ev.App == app {
			list = append(list, ev.Phase)
		}
	}
	return slices.Compact(list)
}

func (b *boot) wantPhase(app, phase, text string) {
	b.t.Helper()
	if ev := b.last(app); ev.Phase != phase || !strings.Contains(ev.Text+ev.Error, text) {
		b.t.Errorf("%s ends as %+v, want %s %q", app, ev, phase, text)
	}
}

var fiveJob = firstboot.AppsJob{Apps: []string{"pgdb", "base", "api", "web", "solo"}}

func image(id string) string { return "docker.io/example/" + id + ":v1.0" }

func TestFirstBootOfFive(t *testing.T) {
	b := newBoot(t, reconcile.Five())
	b.run(fiveJob)
	for _, id := range fiveJob.Apps {
		b.wantPhase(id, firstboot.PhaseDone, "")
		if text := b.last(id).Text; text != "" {
			t.Errorf("%s is done, %q", id, text)
		}
	}
	want := []string{firstboot.PhasePulling, firstboot.PhaseCreating, firstboot.PhaseStarting, firstboot.PhaseWaiting, firstboot.PhaseDone}
	if got := b.phases("solo"); !slices.Equal(got, want) {
		t.Errorf("phases of solo %q, want %q", got, want)
	}
	for app, want := range map[string]string{"pgdb": "waits for its health check, at most 3m0s", "solo": "waits for its health check, at most 2m0s"} {
		told := slices.ContainsFunc(b.events, func(ev firstboot.Event) bool {
			return ev.App == app && ev.Phase == firstboot.PhaseWaiting && ev.Text == want
		})
		if !told {
			t.Errorf("what %s waits for is not told: want %q", app, want)
		}
	}
	b.wantSteps()
	b.neverBack()
	starts := b.Calls("start ")
	for _, pair := range [][2]string{{"pgdb", "api"}, {"base", "api"}, {"api", "web"}} {
		first, then := slices.Index(starts, "start "+pair[0]+".service"), slices.Index(starts, "start "+pair[1]+".service")
		if first < 0 || then < first {
			t.Errorf("started %q, want %s before %s, which needs it", starts, pair[0], pair[1])
		}
	}
	if got := b.Calls("create network"); !slices.Equal(got, []string{"create network archy-net", "create network immich-net"}) {
		t.Errorf("networks %q", got)
	}
	text, err := os.ReadFile(b.log)
	if err != nil || !strings.Contains(string(text), "1970-01-01T00:00:00Z solo PullingImage 20\n") || !strings.Contains(string(text), " solo Done 100\n") {
		t.Errorf("the log of installations (%v):\n%s", err, text)
	}
	// Once more there is nothing left to do.
	before := len(b.Calls("start ", "write unit", "pull", "create network", "restart"))
	b.run(fiveJob)
	if after := b.Calls("start ", "write unit", "pull", "create network", "restart"); len(after) != before {
		t.Errorf("a second run does %q", after[before:])
	}
	b.wantPhase("web", firstboot.PhaseDone, "")
}

// wantSteps asks that each step begins and ends, in order.
func (b *boot) wantSteps() {
	b.t.Helper()
	var got []string
	for _, ev := range b.events {
		if ev.Kind == firstboot.StepEvent {
			got = append(got, ev.Step+" "+string(ev.State))
		}
	}
	var want []string
	for _, s := range []string{firstboot.Networks, firstboot.Files, firstboot.Images, firstboot.Containers, firstboot.Post} {
		want = append(want, s+" running", s+" done")
	}
	if got := slices.Compact(got); !slices.Equal(got, want) {
		b.t.Errorf("steps %q, want %q", got, want)
	}
}

// neverBack asks that no percent falls, of the run or of an app.
func (b *boot) neverBack() {
	b.t.Helper()
	last := map[string]int{}
	for _, ev := range b.events {
		if ev.Kind == firstboot.NoteEvent || ev.Kind == firstboot.StepEvent && ev.Percent == 0 {
			continue
		}
		if ev.Percent < last[ev.App] {
			b.t.Errorf("%q falls from %d to %d", ev.App, last[ev.App], ev.Percent)
		}
		last[ev.App] = ev.Percent
	}
}

// test that an image that cannot be had fails its app, is asked for once, and that those that need the app wait
func TestFirstBootWithoutOneImage(t *testing.T) {
	b := newBoot(t, reconcile.Five())
	b.Withdraw(image("base"))
	b.run(fiveJob)
	b.wantPhase("base", firstboot.PhaseFailed, "image docker.io/example/base:v1.0 could not be had: pull docker.io/example/base:v1.0: manifest unknown")
	b.wantPhase("api", firstboot.PhaseHeld, "dependency base is")
	b.wantPhase("web", firstboot.PhaseHeld, "dependency api is")
	b.wantPhase("solo", firstboot.PhaseDone, "")
	b.wantPhase("pgdb", firstboot.PhaseDone, "")
	if got := b.Calls("pull " + image("base")); len(got) != 1 {
		t.Errorf("pulled %q, want one attempt", got)
	}
	// The image is there at the next run.
	b.Offer(image("base"))
	b.run(fiveJob)
	for _, id := range fiveJob.Apps {
		b.wantPhase(id, firstboot.PhaseDone, "")
	}
}

// test that a disk that becomes full at any write is told, costs nothing that was there, and that the next run with room
// completes
func TestFirstBootOnAFullDisk(t *testing.T) {
	for k := 1; ; k++ {
		b := newBoot(t, reconcile.Five())
		b.FullFrom(k)
		err := b.stage().Run(t.Context(), fiveJob, func(ev firstboot.Event) { b.events = append(b.events, ev) })
		there := b.Units(t)
		first := b.Room()
		if first == "" {
			if k < 30 {
				t.Errorf("only %d writes", k)
			}
			return
		}
		b.neverBack()
		if told := b.told(err); !strings.Contains(told, "no space left on device") {
			t.Errorf("full from write %d (%s) on: the disk is not named:\n%s", k, first, told)
		}
		b.run(fiveJob)
		for _, id := range fiveJob.Apps {
			b.wantPhase(id, firstboot.PhaseDone, "")
		}
		for name, text := range b.Units(t) {
			if was, ok := there[name]; ok && was != text {
				t.Errorf("%s was written by halves:\n%s", name, was)
			}
		}
		if t.Failed() {
			t.Fatalf("full from write %d (%s) on", k, first)
		}
		_ = os.RemoveAll(b.Layout().Root)
	}
}

// told is all that a run says went wrong.
func (b *boot) told(err error) string {
	lines := []string{fmt.Sprint(err)}
	for _, ev := range b.events {
		if ev.Error != "" {
			lines = append(lines, ev.App+": "+ev.Error)
		} else if ev.Kind == firstboot.AppEvent && ev.Phase == firstboot.PhaseDone && ev.Text != "" {
			lines = append(lines, ev.App+": "+ev.Text)
		}
	}
	return strings.Join(lines, "\n")
}

func TestFirstBootWithAnAppThatDies(t *testing.T) {
	b := newBoot(t, reconcile.Five())
	b.Dies(image("base"))
	b.run(fiveJob)
	b.wantPhase("base", firstboot.PhaseFailed, "it said: no chain")
	b.wantPhase("api", firstboot.PhaseHeld, "base")
	b.wantPhase("solo", firstboot.PhaseDone, "")
}

// test that an app that is alive and not healthy in time has not failed
func TestFirstBootWithASlowApp(t *testing.T) {
	b := newBoot(t, reconcile.Five())
	b.Sick(image("base"))
	b.run(fiveJob)
	b.wantPhase("base", firstboot.PhaseStillBegin, "still starting after 5m0s")
	b.wantPhase("api", firstboot.PhaseHeld, "dependency base is starting")
	b.wantPhase("solo", firstboot.PhaseDone, "")
}

func TestFirstBootAdoptsWhatRuns(t *testing.T) {
	b := newBoot(t, reconcile.Five())
	id := b.Script("solo", image("solo"))
	b.run(fiveJob)
	if got := b.ContainerID("solo"); got != id {
		t.Error("a container that ran was made anew")
	}
	b.wantPhase("solo", firstboot.PhaseDone, "adopted")
}

func TestFirstBootCheckChangesNothing(t *testing.T) {
	b := newBoot(t, reconcile.Five())
	lines, err := b.stage().Check(t.Context(), fiveJob)
	if err != nil || !slices.Contains(lines, "create network immich-net") || !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "start           solo") }) {
		t.Errorf("%v\n%s", err, strings.Join(lines, "\n"))
	}
	if got := b.Calls(""); len(got) != 0 {
		t.Errorf("a check does %q", got)
	}
	if _, err := os.Stat(b.log); err == nil {
		t.Error("a check writes the log of installations")
	}
}

// test that what an app needs, and the page that follows it, come with it
func TestFirstBootBringsWhatAnAppNeeds(t *testing.T) {
	b := newBoot(t, reconcile.Shipped(t))
	b.Offer("docker.io/library/nginx:1.28.0-alpine")
	b.run(firstboot.AppsJob{Apps: []string{"lnd"}})
	for _, id := range []string{"bitcoin-knots", "bitcoin-ui", "lnd", "lnd-ui"} {
		b.wantPhase(id, firstboot.PhaseDone, "")
	}
	if got := b.Calls("start "); len(got) != 4 {
		t.Errorf("started %q", got)
	}
}

// test that what the owner removed does not come back when a first boot is repeated
func TestFirstBootAgainLeavesRemovedApps(t *testing.T) {
	b := newBoot(t, reconcile.Five())
	if err := state.New(b.Layout()).WriteRecord(state.Record{App: "solo", Container: "solo", Owner: state.Quadlet, RemovedAt: time.Unix(1e9, 0)}); err != nil {
		t.Fatal(err)
	}
	b.run(fiveJob)
	b.wantPhase("solo", firstboot.PhaseDone, "removed by the owner")
	if b.ContainerID("solo") != "" {
		t.Error("solo runs")
	}
}

func TestFirstBootWithSkippedImages(t *testing.T) {
	b := newBoot(t, reconcile.Five())
	job := fiveJob
	job.SkipImages = true
	b.run(job)
	if got := b.Calls("pull"); len(got) != 0 {
		t.Errorf("pulled %q", got)
	}
	b.wantPhase("solo", firstboot.PhaseFailed, "is absent")
}

// test that a first boot and an installation write the same bytes for every app that is shipped
func TestIncident6FirstBootEqualsInstall(t *testing.T) {
	manifests := reconcile.Shipped(t)
	seen := map[string]bool{}
	for _, alternative := range []string{"bitcoin-core", "bitcoin-knots"} {
		ids := slices.DeleteFunc(slices.Sorted(maps.Keys(manifests)), func(id string) bool { return id == alternative })
		b, other := newBoot(t, manifests), reconcile.NewNode(t, manifests)
		for _, n := range []reconcile.Node{b.Node, other} {
			n.Offer("docker.io/library/nginx:1.28.0-alpine")
		}
		invite := b.Layout().Host(filepath.Join(b.Layout().Secrets(), "fmcd-invite-code"))
		if err := os.WriteFile(invite, []byte("fed1"), 0o600); err != nil {
			t.Fatal(err)
		}
		b.run(firstboot.AppsJob{Apps: ids})
		for _, id := range ids {
			b.wantPhase(id, firstboot.PhaseDone, "")
		}
		secrets := other.Layout().Host(other.Layout().Secrets())
		if err := os.RemoveAll(secrets); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(secrets, os.DirFS(b.Layout().Host(b.Layout().Secrets()))); err != nil {
			t.Fatal(err)
		}
		install := map[string]string{}
		for _, id := range ids {
			install[id] = state.ByInstall
		}
		if _, err := other.Pass(reconcile.Options{Install: install}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		first, then := b.Units(t), other.Units(t)
		for name := range first {
			seen[name] = true
			if first[name] != then[name] {
				t.Errorf("%s differs:\n%s\nand\n%s", name, first[name], then[name])
			}
		}
		if len(first) != len(then) {
			t.Errorf("%d units and %d", len(first), len(then))
		}
	}
	if len(seen) != 33+2 {
		t.Errorf("%d units were compared, want 33 apps and 2 networks: %v", len(seen), slices.Sorted(maps.Keys(seen)))
	}
}
