package reconcile

import (
	"os"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/podman"
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

// A directory that is gone is made again, and the app started, after systemd has given up.
func TestDirectoryIsMadeAgainAfterSystemdGaveUp(t *testing.T) {
	n := fiveRunning(t)
	dir := n.layout.Host("/var/lib/archipelago/base")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	n.behave["docker.io/example/base:v1.0"] = behaviour{dies: 125}
	n.bootsInto("base", 5)
	n.behave = map[string]behaviour{}
	n.pass()
	if _, err := os.Stat(dir); err != nil || n.containers["base"] == nil || n.containers["base"].State.Status != podman.StateRunning {
		t.Errorf("base: %v, %+v", err, n.containers["base"])
	}
	n.converged()
}
