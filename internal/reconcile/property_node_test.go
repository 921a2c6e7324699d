package reconcile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// disturb lets things happen to a node and gives some apps another manifest.
func (n *fakeNode) disturb(r *rapid.T) {
	apps := five()
	for range rapid.IntRange(0, 5).Draw(r, "disturbances") {
		what := rapid.SampledFrom(sortedKeys(disturbances)).Draw(r, "what")
		disturbances[what](n, rapid.SampledFrom(n.set.Order()).Draw(r, "app"))
	}
	for _, id := range n.set.Order() {
		if rapid.IntRange(0, 2).Draw(r, "changed "+id) == 0 {
			apps[id] = changedTo(apps[id])
		}
	}
	n.load(apps)
}

// TestTwoPassesAtOnceAreOneAfterTheOther: two passes over the same node, full ones or such over some apps, end as if one had
// waited for the other: no service is worked at twice at a time, no app is replaced or restarted twice, and nothing is left to do.
func TestTwoPassesAtOnceAreOneAfterTheOther(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		n := newNode(t, five()).firstBootDone()
		defer func() { _ = os.RemoveAll(n.layout.Root) }()
		n.pass()
		n.later(time.Minute)
		n.disturb(r)
		n.calls = nil
		n.onCall = func(string) { time.Sleep(100 * time.Microsecond) } // a call takes a moment, so that two can meet
		var wg sync.WaitGroup
		for i := range 2 {
			only := rapid.SliceOfNDistinct(rapid.SampledFrom(n.set.Order()), 0, 3, rapid.ID).Draw(r, "only")
			p := n.passOf(func(o *Options) { o.Only = only })
			// As on a node whoever has begun waits shorter: it may hold one app, whose unit is read with that of another, and wait for that one,
			// which a pass over both holds while it waits for the first.
			p.WaitLock, p.Applier.Options.Timing.Lock = time.Minute, 10*time.Second
			wg.Go(func() {
				if _, err := p.Run(t.Context()); err != nil {
					t.Errorf("pass %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		n.onCall = nil
		for _, id := range n.set.Order() {
			if times := len(n.Calls("save previous unit " + id)); times > 1 {
				r.Fatalf("%s was replaced %d times:\n%s", id, times, strings.Join(n.calls, "\n"))
			}
			if times := len(n.Calls("restart " + id + ".service")); times > 1 {
				r.Fatalf("%s was restarted %d times:\n%s", id, times, strings.Join(n.calls, "\n"))
			}
		}
		n.later(10 * time.Minute)
		n.pass() // a pass over some apps has left the others
		n.later(10 * time.Minute)
		if plan := n.plan(); !plan.Empty() {
			r.Fatalf("there is still to do:\n%s", plan)
		}
		if len(n.violations) > 0 {
			r.Fatalf("forbidden: %q", n.violations)
		}
	})
}

// TestAWrongClock: the clock jumps by years and back. An app that dies is never tried more than five times for each jump
// forward or new boot, and one that has been mended is up within the longest back-off, unless its breaker is open: then the
// owner's start closes it, whatever the clock says.
func TestAWrongClock(t *testing.T) {
	t.Parallel()
	jumps := []time.Duration{0, 0, 0, -time.Minute, -time.Hour, -24 * time.Hour, -10 * 365 * 24 * time.Hour, time.Hour, 10 * 365 * 24 * time.Hour}
	rapid.Check(t, func(r *rapid.T) {
		n := newNode(t, map[string]string{"solo": five()["solo"]}).firstBootDone()
		defer func() { _ = os.RemoveAll(n.layout.Root) }()
		n.behave["docker.io/example/solo:v1.0"] = behaviour{dies: 1}
		forgiven := 1
		for range rapid.IntRange(1, 25).Draw(r, "passes") {
			n.pass()
			if s := n.services["solo.service"]; s != nil {
				s.ActiveState, s.SubState = "failed", "failed" // systemd has given up
			}
			jump := rapid.SampledFrom(jumps).Draw(r, "jump")
			if jump > 0 {
				forgiven++ // what lies half an hour back does not count
			}
			n.later(jump + time.Duration(rapid.IntRange(5, 400).Draw(r, "seconds"))*time.Second)
		}
		if tries := n.Calls("start solo", "restart solo"); len(tries) > state.BreakerEvents*forgiven {
			r.Fatalf("%d tries with %d jumps forward", len(tries), forgiven-1)
		}
		n.mended(r)
	})
}

// mended repairs the app and wants archy to bring it up, on its own where it may.
func (n *fakeNode) mended(r *rapid.T) {
	n.behave = map[string]behaviour{}
	h, err := n.store.ReadHistory("solo")
	if err != nil {
		r.Fatal(err)
	}
	if h.IsOpen() {
		if res, err := n.verb(Request{Verb: VerbStart, Apps: []string{"solo"}}); err != nil || res.ExitCode != 0 {
			r.Fatalf("start: exit %d, %v, %+v", res.ExitCode, err, res.Apps)
		}
	} else {
		n.later(state.MaxDelay)
		n.pass()
	}
	n.later(time.Minute)
	if plan := n.plan(); !n.runs("solo") || !plan.Empty() {
		r.Fatalf("not up (breaker open: %v):\n%s", h.IsOpen(), plan)
	}
}

// Calls are the changes so far that begin with one of the words.
func (n *fakeNode) Calls(words ...string) []string { return Node{n}.Calls(words...) }

// TestWhatIsNotOursStays: whatever happens to a node and whatever its owner asks for, containers, networks, podman secrets
// and units that archy did not make stay as they are, and so does every file of every app and every secret file.
func TestWhatIsNotOursStays(t *testing.T) {
	t.Parallel()
	verbs := []string{"", VerbStop, VerbStart, VerbRemove, VerbInstall, VerbRestart}
	rapid.Check(t, func(r *rapid.T) {
		n := newNode(t, five()).firstBootDone()
		defer func() { _ = os.RemoveAll(n.layout.Root) }()
		n.pass()
		stays := n.strangers()
		for range rapid.IntRange(1, 4).Draw(r, "rounds") {
			n.disturb(r)
			if verb := rapid.SampledFrom(verbs).Draw(r, "verb"); verb != "" {
				_, _ = n.verb(Request{Verb: verb, Apps: []string{rapid.SampledFrom(n.set.Order()).Draw(r, "of")}, Cascade: verb == VerbRemove, WithDeps: verb == VerbStart})
			}
			n.pass()
			n.later(25 * time.Hour) // old containers and leftovers are due
			n.pass()
			for name, now := range n.notOurs() {
				if stays[name] != now {
					r.Fatalf("%s was %q and is %q\n%s", name, stays[name], now, strings.Join(n.calls, "\n"))
				}
			}
			if have := n.notOurs(); len(have) != len(stays) {
				r.Fatalf("of %v there is left %v\n%s", sortedKeys(stays), sortedKeys(have), strings.Join(n.calls, "\n"))
			}
		}
	})
}

// strangers puts things on the node that are nobody's business, and data into each app.
func (n *fakeNode) strangers() map[string]string {
	n.t.Helper()
	n.script("my-own", "docker.io/example/mine:v1")
	n.downed(n.script("my-web-archy-old-20200101T000000Z", "docker.io/example/mine:v1"), 0)
	n.networks["mine"] = podman.Network{Name: "mine"}
	n.secrets["mine"] = fakeSecret{podman.Secret{Name: "mine"}, "x"}
	put := func(path string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			n.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
			n.t.Fatal(err)
		}
	}
	for _, id := range n.set.Order() {
		put(n.layout.Host(n.layout.DataDir + "/" + id + "/precious"))
	}
	put(filepath.Join(n.vault.Dir, "my-token"))
	put(n.layout.Host(n.layout.UnitDir() + "/mine.container"))
	return n.notOurs()
}

// notOurs are all things on the node that archy did not make, with what they are like.
func (n *fakeNode) notOurs() map[string]string {
	out := map[string]string{}
	for name, c := range n.containers {
		if strings.HasPrefix(name, "my-") {
			out["container "+name] = fmt.Sprint(c.ID, c.State, c.RestartPolicy)
		}
	}
	for name := range n.networks {
		if name == "mine" {
			out["network "+name] = ""
		}
	}
	for name, s := range n.secrets {
		if !strings.HasPrefix(name, "archy.") {
			out["podman secret "+name] = s.value
		}
	}
	var files []string
	for _, id := range n.set.Order() {
		files = append(files, n.layout.Host(n.layout.DataDir+"/"+id+"/precious"))
	}
	files = append(files, filepath.Join(n.vault.Dir, "my-token"), filepath.Join(n.vault.Dir, "db-password"), n.layout.Host(n.layout.UnitDir()+"/mine.container"))
	for _, file := range slices.Sorted(slices.Values(files)) {
		if text, err := os.ReadFile(file); err == nil && filepath.Base(file) != "db-password" {
			out[file] = string(text)
		} else if err == nil { // the owner may rotate it
			out[file] = "there"
		}
	}
	return out
}
