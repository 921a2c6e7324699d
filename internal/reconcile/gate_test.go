package reconcile

import (
	"context"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/spec"
)

// pageOf is a node with an app and the page of it, which needs no more than that it is started.
func pageOf(t *testing.T, app string) *fakeNode {
	page := manifestOf("page", 3, strings.Replace(dependsOn("solo"), "healthy", "started", 1))
	return newNode(t, map[string]string{"solo": app, "page": page}).firstBootDone()
}

// pause is how long after the start of one app that of the other was asked for.
func (n *fakeNode) pause(first, then string, pass func()) time.Duration {
	var at, until time.Time
	n.onCall = func(call string) {
		switch call {
		case "start " + first + ".service":
			at = n.peek()
		case "start " + then + ".service":
			until = n.peek()
		}
	}
	pass()
	n.onCall = nil
	if until.IsZero() {
		n.t.Fatalf("%s was not started: %q", then, n.calls)
	}
	return until.Sub(at)
}

// A pass waits for what is needed of an app, and not for more: one that gets ready in an hour is started at once for its page.
func TestAPageDoesNotWaitForHealth(t *testing.T) {
	n := pageOf(t, manifestOf("solo", 3))
	n.behave["docker.io/example/solo:v1.0"] = behaviour{sick: true}
	got := n.pause("solo", "page", func() { n.pass() })
	if got < n.opts.Timing.Alive || got > 30*time.Second {
		t.Errorf("the page was started %s after its app", got)
	}
}

// stalls is a busy machine: much time goes by between a look at an app that was started and the question whether its limit is over.
type stalls struct {
	engine
	asked int // after the first look
}

func (e *stalls) Inspect(ctx context.Context, name string) (podman.Inspect, error) {
	got, err := e.engine.Inspect(ctx, name)
	if err == nil && got.State.Running && e.asked == 0 {
		e.asked = 1
	}
	return got, err
}

func (e *stalls) now() time.Time {
	if e.asked > 0 {
		e.asked++
	}
	if e.asked == 3 {
		e.later(time.Hour)
	}
	return e.engine.now()
}

// What an app is when its limit is over counts, and not what it was at the last look before.
func TestTheLastLookIsAfterTheLimit(t *testing.T) {
	n := newNode(t, map[string]string{"solo": manifestOf("solo", 3)}).firstBootDone()
	p := n.passOf()
	busy := &stalls{engine: engine{n}}
	p.Applier.Engine, p.Applier.Now = busy, busy.now
	r, err := p.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := n.result(r, "solo"); got.Action != Installed || strings.Contains(got.Cause, "still starting") || busy.asked < 3 {
		t.Errorf("%+v", got)
	}
}

// started means alive for ten seconds also of an app that has no health check.
func TestStartedMeansAliveForTenSeconds(t *testing.T) {
	mute := manifestOf("solo", 3)
	mute = mute[:strings.Index(mute, "  health_check:")]
	for _, condition := range []string{"started", "healthy"} {
		n := pageOf(t, mute)
		n.opts.Timing.Alive, n.opts.Timing.Settle = 20*time.Second, 6*time.Second
		if condition == "healthy" {
			n.load(map[string]string{"solo": mute, "page": manifestOf("page", 3, dependsOn("solo"))})
		}
		got := n.pause("solo", "page", func() { n.pass() })
		if (got >= 20*time.Second) != (condition == "started") {
			t.Errorf("%s: the page was started %s after its app", condition, got)
		}
	}
}

// The gate of an app is that of the app which needs most of it.
func TestGateIsWhatIsNeeded(t *testing.T) {
	down := func(id string, more ...build) *App { return healthyApp(id, append([]build{noContainer}, more...)...) }
	need := func(condition string) build { return needs(Need{"base", condition}) }
	starting := all(health(podman.HealthStarting), startedBefore(20*time.Second))
	for _, c := range []struct {
		name      string
		base      *App
		others    []*App
		options   Options
		condition string
		alive     bool
	}{
		{"nobody waits", down("base"), nil, Options{}, manifest.Started, false},
		{"a page waits", down("base"), []*App{down("page", need(manifest.Started))}, Options{}, manifest.Started, true},
		{"a page that runs does not", down("base"), []*App{healthyApp("page", need(manifest.Started))}, Options{}, manifest.Started, false},
		{"two wait", down("base"), []*App{down("page", need(manifest.Started)), down("api", need(manifest.Answers))}, Options{}, manifest.Healthy, true},
		{"the owner waits", down("base"), []*App{down("page", need(manifest.Started))}, Options{Wait: true}, manifest.Healthy, true},
		{"a page waits for one on its way", healthyApp("base", starting, made(func(c *spec.Container) { c.Memory = 1 << 28 })), []*App{down("page", need(manifest.Unlocked))}, Options{}, manifest.Healthy, false},
	} {
		plan := MakePlan(world(append([]*App{c.base}, c.others...)...), c.options)
		if len(plan.Ops) == 0 || plan.Ops[0].App != "base" || plan.Ops[0].Gate.Condition != c.condition || plan.Ops[0].Gate.Alive != c.alive {
			t.Errorf("%s: %s, %+v", c.name, plan, plan.Ops[0].Gate)
		}
	}
}
