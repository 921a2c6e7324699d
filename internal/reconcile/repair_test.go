package reconcile

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// bootsInto is a boot at which systemd starts an app by itself, again and again until it has tried that many times.
func (n *fakeNode) bootsInto(name string, tries int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	service := n.services[name+".service"]
	n.halt(name+".service", service)
	service.tries, service.NRestarts = 0, 0
	for range tries {
		_ = n.run(name+".service", service)
	}
}

// What an app lacks when systemd starts it is put there also while systemd goes on trying, and after it has given up.
func TestWhatAnAppLacksIsPutBackWhateverSystemdDoes(t *testing.T) {
	for what, take := range map[string]func(n *fakeNode){
		"image":         func(n *fakeNode) { delete(n.images, "docker.io/example/api:v1.0") },
		"podman secret": func(n *fakeNode) { delete(n.secrets, "archy.api.DB") },
	} {
		for how, tries := range map[string]int{"systemd goes on": 3, "systemd gave up": 5} {
			t.Run(what+" gone, "+how, func(t *testing.T) {
				n := fiveRunning(t)
				take(n)
				n.bootsInto("api", tries)
				r := n.pass()
				if got := n.result(r, "api"); got.Action != Started || got.Class != ClassOK || r.ExitCode != 0 {
					t.Errorf("api: %+v, exit %d", got, r.ExitCode)
				}
				n.converged()
				if h, _ := n.store.ReadHistory("api"); h.IsOpen() {
					t.Errorf("the breaker of an app that runs is open: %+v", h)
				}
			})
		}
	}
}

// An app whose directory was moved away does not begin anew in an empty one that archy makes, whatever systemd has tried meanwhile. Where the owner puts it back, or
// makes an empty one himself, it is started.
func TestAnAppWhoseDirectoryIsGone(t *testing.T) {
	for _, tries := range []int{3, 5} {
		n := fiveRunning(t)
		dir := n.layout.Host("/var/lib/archipelago/base")
		n.lay("/var/lib/archipelago/base/db", "the only one")
		away := func() {
			t.Helper()
			if err := os.Rename(dir, dir+".away"); err != nil {
				t.Fatal(err)
			}
			n.behave["docker.io/example/base:v1.0"] = behaviour{dies: 125}
			n.bootsInto("base", tries)
			for range 2 {
				got := n.result(n.pass(), "base")
				if _, err := os.Stat(dir); err == nil || n.runs("base") || got.Action != NeedsHuman || got.Error.Code != "data-gone" || !strings.Contains(got.Error.Hint, "mkdir -p /var/lib/archipelago/base,") {
					t.Fatalf("%v, %+v %+v", err, got, got.Error)
				}
				n.later(time.Hour)
			}
			n.behave = map[string]behaviour{}
		}
		away()
		if err := os.Rename(dir+".away", dir); err != nil {
			t.Fatal(err)
		}
		n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"base"}})
		if !n.runs("base") {
			t.Error("put back: it does not run")
		}
		n.converged()
		away()
		if err := os.Mkdir(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"base"}})
		if !n.runs("base") {
			t.Error("anew: it does not run")
		}
		n.converged()
	}
}

// A directory that the app never had is made: its manifest mounts a new one, while it is stopped or runs. So is that of an app which was removed.
func TestADirectoryThatTheAppNeverHad(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		n := newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
		n.pass()
		n.lay(n.layout.Data("solo", "db"), "data")
		if n.later(time.Minute); stopped {
			n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{"solo"}})
		}
		n.load(map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo") + "    - {type: bind, source: /var/lib/archipelago/solo-new, target: /new}\n"})
		for range 2 {
			n.pass()
			n.later(time.Minute)
		}
		n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"solo"}})
		if _, err := os.Stat(n.layout.Host(n.layout.Data("solo-new"))); err != nil || !n.runs("solo") {
			t.Fatalf("stopped %v: %v", stopped, err)
		}
		n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"solo"}, Purge: true})
		n.mustVerb(0, Request{Verb: VerbInstall, Apps: []string{"solo"}})
		if !n.runs("solo") {
			t.Error("installed anew: it does not run")
		}
		n.converged()
	}
}
