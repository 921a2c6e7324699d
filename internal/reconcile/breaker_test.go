package reconcile

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/state"
)

// neverUp is a node with one app that has never come up, whose breaker is open.
func neverUp(t *testing.T) *fakeNode {
	n := newNode(t, map[string]string{"solo": shared(manifestOf("solo", 3), true)}).firstBootDone()
	n.behave["docker.io/example/solo:v1.0"] = behaviour{dies: 1}
	for range 40 {
		n.pass()
		n.later(30 * time.Second)
	}
	if h := n.history("solo"); !h.IsOpen() {
		t.Fatalf("the breaker must be open: %+v", h)
	}
	n.calls = nil
	return n
}

// Who corrects the manifest or the secret of an app that never came up need not start it as well.
func TestAChangeClosesTheBreakerOfAnAppThatNeverCameUp(t *testing.T) {
	for what, change := range map[string]func(n *fakeNode){
		"manifest": func(n *fakeNode) { n.load(map[string]string{"solo": changedTo(shared(manifestOf("solo", 3), true))}) },
		"secret": func(n *fakeNode) {
			if err := os.WriteFile(n.vault.Path("db-password"), []byte(strings.Repeat("ab", 16)), 0o600); err != nil {
				n.t.Fatal(err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			n := neverUp(t)
			change(n)
			n.pass()
			equal(t, "the change is tried", n.touched(), []string{"start solo"})
			if h := n.history("solo"); h.IsOpen() || h.Attempts(n.peek()) != 1 {
				t.Errorf("what failed before the change counts on: %+v", h)
			}
			n.behave = map[string]behaviour{}
			n.later(time.Minute)
			n.pass()
			n.converged()
		})
	}
}

// A change that fails as the app did before it is tried within the back-off, and held by the breaker.
func TestAChangeThatFailsIsNotTriedForEver(t *testing.T) {
	n := neverUp(t)
	n.load(map[string]string{"solo": changedTo(shared(manifestOf("solo", 3), true))})
	for range 120 {
		n.pass()
		n.later(30 * time.Second)
	}
	h := n.history("solo")
	if tries := len(n.touched()); tries == 0 || tries > state.BreakerEvents || !h.IsOpen() {
		t.Errorf("%d starts in an hour: %q", tries, n.touched())
	}
}

// An app whose change is held, or that a person has to see to, runs and is healthy: its count goes to zero, and its failing checks are in a
// row no more.
func TestAHeldAppIsHealthy(t *testing.T) {
	n := fiveRunning(t)
	apps := five()
	apps["solo"] = changedTo(apps["solo"])
	n.load(apps)
	r := n.record("solo")
	for _, a := range n.plan().Apps {
		if a.ID == "solo" {
			r.FailedHash = a.Hash
		}
	}
	if err := n.store.WriteRecord(r); err != nil {
		t.Fatal(err)
	}
	h := n.history("solo")
	h.UnhealthyPasses, h.UnhealthySince = 2, n.peek().Add(-time.Hour)
	h.Count(n.peek(), state.EventDied)
	h.Open(n.peek(), n.bootID, "too many failures in 30 minutes")
	h.UnhealthyPasses = 2
	if err := n.store.WriteHistory(*h); err != nil {
		t.Fatal(err)
	}
	if got := n.result(n.pass(), "solo"); got.Row != "35" {
		t.Fatalf("%+v", got)
	}
	if h := n.history("solo"); h.UnhealthyPasses != 0 || !h.UnhealthySince.IsZero() {
		t.Errorf("checks that failed before it was healthy count on: %+v", h)
	}
	again := &change{App: healthyApp("app"), plan: AppPlan{Verdict: Verdict{Row: "25"}}}
	if again.well() {
		t.Error("an app that was made anew five times would be made anew again after ten minutes")
	}
	n.later(state.HealthyReset)
	n.pass()
	if h := n.history("solo"); h.IsOpen() || len(h.Events) > 0 {
		t.Errorf("after ten healthy minutes: %+v", h)
	}
}

// An app whose change failed, and which then did not come back as it was either, is tried again by itself as soon as its secret or its
// manifest is another one: no person is needed to say so, and no back-off or breaker is in the way.
func TestACorrectionEndsARollBackThatFailed(t *testing.T) {
	const image = "docker.io/example/solo:v1.0"
	manifest := shared(manifestOf("solo", 3), true)
	secret := func(n *fakeNode, value string) {
		if err := os.WriteFile(n.vault.Path("db-password"), []byte(value), 0o600); err != nil {
			n.t.Fatal(err)
		}
	}
	for what, correct := range map[string]func(n *fakeNode, right string){
		"the secret is put back": func(n *fakeNode, right string) { secret(n, right) },
		"another secret":         func(n *fakeNode, _ string) { secret(n, strings.Repeat("cd", 32)) },
		"another manifest":       func(n *fakeNode, _ string) { n.load(map[string]string{"solo": changedTo(manifest)}) },
	} {
		for _, passes := range []int{1, 40} {
			t.Run(what, func(t *testing.T) {
				n := newNode(t, map[string]string{"solo": manifest}).firstBootDone()
				n.pass()
				n.converged()
				right := n.secrets["archy.solo.DB"].value
				secret(n, strings.Repeat("ab", 32))
				n.behave[image] = behaviour{dies: 1}
				for range passes {
					if r := n.pass(); n.result(r, "solo").Action != NeedsHuman && r.ExitCode != ExitSomeFailed {
						t.Fatalf("a change that fails, and so does the way back: %+v", n.result(r, "solo"))
					}
					n.later(30 * time.Second)
				}
				if tries := len(n.touched()); tries > 2*state.BreakerEvents {
					t.Errorf("%d starts while nothing was corrected: %q", tries, n.touched())
				}
				n.onCall = func(call string) { // the app comes up with what is right only
					if value := n.secrets["archy.solo.DB"].value; value != strings.Repeat("ab", 32) || what == "another manifest" {
						n.behave = map[string]behaviour{}
					}
				}
				correct(n, right)
				n.pass()
				n.onCall = nil
				if n.containers["solo"] == nil || n.record("solo").Op != nil {
					t.Fatalf("after the correction: %+v, %+v", n.record("solo"), n.history("solo"))
				}
				n.converged()
			})
		}
	}
}

// An app that was replaced because it changed has another past than the one before it.
func TestAReplacementClosesTheBreaker(t *testing.T) {
	n := fiveRunning(t)
	h := n.history("web")
	for range state.BreakerEvents {
		h.Count(n.peek(), state.EventDied)
	}
	h.Open(n.peek(), n.bootID, "too many failures in 30 minutes")
	if err := n.store.WriteHistory(*h); err != nil {
		t.Fatal(err)
	}
	apps := five()
	apps["web"] = changedTo(apps["web"])
	n.load(apps)
	if got := n.result(n.pass(), "web"); got.Action != Recreated || got.Class != ClassOK {
		t.Errorf("web: %+v", got)
	}
	if h := n.history("web"); h.IsOpen() || len(h.Events) > 0 {
		t.Errorf("the past of the app before its change: %+v", h)
	}
}

// correctAPI is what the owner does about an app that does not come up.
func (n *fakeNode) correctAPI() {
	apps := five()
	apps["api"] = changedTo(apps["api"])
	n.load(apps)
}

// What an app fails at while another one that it needs is away is not counted, and it comes back when that one does, whoever
// has brought it up.
func TestDependantsComeBack(t *testing.T) {
	for how, back := range map[string]func(n *fakeNode){
		"archy starts it in a pass": func(n *fakeNode) { n.correctAPI() },
		"its owner starts it alone": func(n *fakeNode) {
			n.pass(func(o *Options) { o.Owner, o.Only, o.Start, o.Wait = true, []string{"api"}, []string{"api"}, true })
		},
		"systemd starts it": func(n *fakeNode) { n.bootsInto("api", 1) },
	} {
		t.Run(how, func(t *testing.T) {
			n := fiveRunning(t)
			n.behave["docker.io/example/api:v1.0"], n.behave["docker.io/example/web:v1.0"] = behaviour{dies: 1}, behaviour{dies: 1}
			n.bootsInto("api", 5)
			n.bootsInto("web", 3)
			for range 12 {
				n.pass()
				n.later(30 * time.Second)
			}
			r := n.pass()
			if got := n.result(r, "web"); got.Row != "24" || got.Action != Waiting || got.Breaker.Count > 0 || got.Breaker.Open {
				t.Errorf("web, while api is down: %+v", got)
			}
			n.behave = map[string]behaviour{}
			back(n)
			n.pass()
			n.later(10 * time.Second)
			n.pass()
			n.converged()
			if h := n.history("web"); h.IsOpen() || len(h.Events) > 0 {
				t.Errorf("the failures of api are counted as web's: %+v", h)
			}
		})
	}
}

// An app that fails by itself is not freed again and again by a dependency that came back once.
func TestADependencyThatCameBackFreesOnce(t *testing.T) {
	n := fiveRunning(t)
	n.behave["docker.io/example/web:v1.0"] = behaviour{dies: 1}
	n.behave["docker.io/example/api:v1.0"] = behaviour{dies: 1}
	n.bootsInto("api", 5)
	n.bootsInto("web", 5)
	n.pass()
	delete(n.behave, "docker.io/example/api:v1.0")
	n.correctAPI()
	n.calls = nil
	for range 120 {
		n.pass()
		n.later(30 * time.Second)
	}
	tries := 0
	for _, c := range n.touched() {
		if strings.HasSuffix(c, " web") {
			tries++
		}
	}
	if h := n.history("web"); tries == 0 || tries > state.BreakerEvents || !h.IsOpen() {
		t.Errorf("%d starts in an hour: %q", tries, n.touched())
	}
}

// An image that cannot be had is no failure of the app: it comes back as soon as the image does.
func TestAMissingImageIsNotCounted(t *testing.T) {
	const image = "docker.io/example/solo:v1.0"
	n := fiveRunning(t)
	delete(n.images, image)
	delete(n.registry, image)
	n.bootsInto("solo", 3)
	for range 20 {
		if got := n.result(n.pass(), "solo"); got.Action != Failed || got.Error.Code != "image" || got.Breaker.Count > 0 {
			t.Fatalf("solo: %+v", got)
		}
		n.later(30 * time.Second)
	}
	n.registry[image] = true
	if got := n.result(n.pass(), "solo"); got.Action != Started || got.Class != ClassOK {
		t.Errorf("solo: %+v", got)
	}
	n.converged()
}

// ends is an app that ends by itself; systemd leaves one with code 0 as it is.
func (n *fakeNode) ends(name string, code int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.containers[name]
	switch s := n.services[name+".service"]; {
	case c == nil || !c.State.Running:
	case s == nil:
		n.downed(c, code)
	default:
		n.halt(name+".service", s)
		s.Result, s.ExecMainCode, s.ExecMainStatus, s.Stopped = "success", 1, code, false
	}
}

// What ends half a minute after each start is a start that fails: the pass that made it did not look for so long.
func TestALaterDeathIsCounted(t *testing.T) {
	adopted := newNode(t, map[string]string{"solo": manifestOf("solo", 3)}).firstBootDone()
	adopted.script("solo", "docker.io/example/solo:v1.0")
	adopted.pass()
	for what, n := range map[string]*fakeNode{"adopted": adopted, "exits 0": fiveRunning(t)} {
		t.Run(what, func(t *testing.T) {
			n.calls = nil
			for range 60 {
				n.later(20 * time.Second)
				n.ends("solo", 0)
				n.later(10 * time.Second)
				n.pass()
			}
			if h := n.history("solo"); !h.IsOpen() {
				t.Errorf("after half an hour: %+v", h)
			}
			starts := slices.DeleteFunc(slices.Clone(n.calls), func(c string) bool { return !strings.HasPrefix(c, "start ") })
			if len(starts) != state.BreakerEvents {
				t.Errorf("%d starts: %q", len(starts), starts)
			}
		})
	}
}

// What somebody stops through systemd soon after its start is started again at once: it did not fail.
func TestAStopThroughSystemdIsNotCounted(t *testing.T) {
	n := fiveRunning(t)
	for range 10 {
		n.later(10 * time.Second)
		n.mu.Lock()
		n.halt("solo.service", n.services["solo.service"])
		n.mu.Unlock()
		if got := n.result(n.pass(), "solo"); got.Action != Started {
			t.Fatalf("solo: %+v", got)
		}
	}
	if h := n.history("solo"); len(h.Events) > 0 {
		t.Errorf("%+v", h)
	}
}

// An app that ends after it has lived for a while is started at once, as often as that happens.
func TestAnAppThatLivesForAWhileIsNotCounted(t *testing.T) {
	n := fiveRunning(t)
	for range 10 {
		for range 3 {
			n.later(30 * time.Second)
			n.pass()
		}
		n.ends("solo", 0)
		if got := n.result(n.pass(), "solo"); got.Action != Started {
			t.Fatalf("solo: %+v", got)
		}
	}
	if h := n.history("solo"); len(h.Events) > 0 {
		t.Errorf("%+v", h)
	}
}

// A start by the owner closes the breaker while a long pass is at work on another app: that pass does not open it again at its end.
func TestABreakerClosedMeanwhileStaysClosed(t *testing.T) {
	n := fiveRunning(t)
	open := state.History{App: "web"}
	open.Open(n.peek(), n.bootID, "too many failures in 30 minutes")
	n.drop(n.containers["web"])
	n.services["web.service"].ActiveState, n.services["web.service"].SubState = "failed", "failed"
	if err := n.store.WriteHistory(open); err != nil {
		t.Fatal(err)
	}
	apps := five()
	apps["solo"] = changedTo(apps["solo"])
	n.load(apps)
	n.onCall = func(call string) {
		if call == "restart solo.service" || call == "start solo.service" {
			if err := n.store.WriteHistory(state.History{App: "web"}); err != nil {
				t.Error(err)
			}
		}
	}
	if got := n.result(n.pass(), "web"); got.Row != "25" {
		t.Fatalf("%+v", got)
	}
	if h, err := n.store.ReadHistory("web"); err != nil || h.IsOpen() {
		t.Errorf("%+v, %v", h, err)
	}
}
