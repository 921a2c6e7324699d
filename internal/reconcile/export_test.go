package reconcile

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
)

// Node is the fake node, for the tests of what stands on this package.
type Node struct{ *fakeNode }

// NewNode is a node that knows these manifests and runs nothing; Five are five of them.
func NewNode(t testing.TB, manifests map[string]string) Node { return Node{newNode(t, manifests)} }

func Five() map[string]string { return five() }

// Shipped are the manifests in the binary.
func Shipped(t testing.TB) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, id := range apps.IDs() {
		text, err := fs.ReadFile(apps.FS, id+"/manifest.yml")
		if err != nil {
			t.Fatal(err)
		}
		out[id] = string(text)
	}
	return out
}

// Pass is a pass of the node with these options, but for its own timing.
func (n Node) Pass(o Options) *Pass {
	p := n.passOf(func(x *Options) { o.Timing, o.MaxParallel = x.Timing, x.MaxParallel; *x = o })
	contexts := func(app *manifest.App) (fs.FS, error) { return apps.Context(app.ID) }
	p.Observer.Contexts, p.Observer.Random = contexts, zeros{}
	ready := func(context.Context, *App) Stage { return Stage{Text: "ready", Ready: true} }
	p.Observer.Stage, p.Applier.Stage = ready, ready
	disk := p.Applier.Disk.(fakeDisk)
	disk.Contexts = contexts
	p.Applier.Disk = disk
	return p
}

// zeros are random bytes that are the same on every node.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func (n Node) Layout() node.Layout { return n.layout }

// Calls are the changes so far that begin with one of the words, in order.
func (n Node) Calls(words ...string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for _, c := range n.calls {
		for _, w := range words {
			if strings.HasPrefix(c, w) {
				out = append(out, c)
			}
		}
	}
	return out
}

// Withdraw takes an image from the registry.
func (n Node) Withdraw(ref string) { delete(n.registry, ref) }

// Offer puts an image into the registry.
func (n Node) Offer(ref string) { n.registry[ref] = true }

// Dies makes what an image holds end at its start; Sick keeps it from ever becoming healthy.
func (n Node) Dies(ref string) { n.behave[ref] = behaviour{dies: 1, says: "no chain"} }
func (n Node) Sick(ref string) { n.behave[ref] = behaviour{sick: true} }

// FullFrom leaves no room for the at-th change that needs some and those after it; Room makes room again, and tells which was
// the first that had none: "" when there was none.
func (n Node) FullFrom(at int) { n.fault = fault{kind: "full", at: at} }

func (n Node) Room() (first string) {
	first = n.fault.hit
	n.revive()
	n.later(6 * time.Minute) // over any back-off
	return first
}

// Script makes a running container as an older release's script did.
func (n Node) Script(name, image string) string { return n.script(name, image).ID }

// Vanish takes a container away, and its unit with what systemd knows of it.
func (n Node) Vanish(name string) {
	n.drop(n.containers[name])
	delete(n.services, name+".service")
	if err := os.Remove(n.layout.Host(n.layout.Unit(name))); err != nil {
		n.t.Fatal(err)
	}
}

// Later lets time pass.
func (n Node) Later(d time.Duration) { n.later(d) }

// Unit is the name of an app's container and unit.
func (n Node) Unit(app string) string { return n.set.Apps[app].Unit() }

// Fails makes a call go wrong each time that it is made; Struck tells whether it was.
func (n Node) Fails(call string) { n.fault = fault{kind: "fail", match: call} }
func (n Node) Struck() bool      { return n.fault.hit != "" }

// ContainerID is "" for one that is not there.
func (n Node) ContainerID(name string) string {
	if c := n.containers[name]; c != nil {
		return c.ID
	}
	return ""
}

// Units are the unit files by name.
func (n Node) Units(t testing.TB) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(n.layout.Host(n.layout.UnitDir()), "*"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(file)] = string(text)
	}
	return out
}
