package reconcile

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/quadlet"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
	"git.tx1138.com/lfg2025/archy/internal/wallet"
)

// fakeNode is a node in memory whose podman and systemd do with Quadlet units what the real ones do: a daemon-reload
// reads the unit files, a start makes a container with the labels of its unit and a stop takes it away (--rm). Archy's
// own files are real, below a directory of the test. Everything that a pass changes goes through change, which counts
// and lets faults strike.
type fakeNode struct {
	t      testing.TB
	layout node.Layout
	facts  node.Facts
	set    *manifest.Set
	store  *state.Store
	vault  *secrets.Store
	locks  *state.Locks
	opts   Options
	// bootID names the boot, mirrors are registries that hold copies.
	bootID string

	mu         sync.Mutex
	clock      time.Time
	containers map[string]*podman.Inspect
	services   map[string]*fakeService
	images     map[string]podman.Image
	registry   map[string]bool
	secrets    map[string]fakeSecret
	networks   map[string]podman.Network
	// behave says how an image behaves; the zero value is an app that is healthy at once.
	behave map[string]behaviour
	lastID int
	// calls are the changes in order, violations what must never happen.
	calls, violations []string
	// busy are the units at which a call is at work right now.
	busy  map[string]string
	fault fault
	dead  bool
	// wallets are the wallets of the apps that have one; nil: no app has.
	wallets *fakeWallets
	// onCall is called before each change.
	onCall func(call string)
	// refuses is a text in a unit that the node's generator does not take.
	refuses string
}

type fakeSecret struct {
	podman.Secret
	value string
}

// fakeService is a unit as the last daemon-reload read it.
type fakeService struct {
	systemd.Detail
	text  []byte
	tries int
}

// behaviour is how the program of an image behaves.
type behaviour struct {
	// dies ends it at its start with that code.
	dies int
	// sick never becomes healthy, and ill is called unhealthy after its start period; slow becomes healthy after that many checks.
	sick bool
	ill  bool
	slow int
	// says is what it writes to its log.
	says string
}

// fault makes the change number at go wrong: kill is the last thing that the process does, die-before is that it does not
// even do that, fail is an error without an effect, cut an error in spite of the effect, hang a call that ends by its limit; full is a disk without room from there on.
// match limits it to calls that begin with it; with reads the calls that only read count too.
type fault struct {
	kind  string
	reads bool
	at    int
	match string
	seen  int
	hit   string
}

var (
	errKilled = errors.New("the process was killed")
	errFault  = errors.New("injected fault")
)

// tempDir is on a file system in memory when there is one: the tests sync thousands of times.
func tempDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "archy")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newNode(t testing.TB, manifests map[string]string) *fakeNode {
	t.Helper()
	root := tempDir(t)
	n := &fakeNode{t: t, layout: testLayout(), bootID: "boot-1", clock: noon,
		containers: map[string]*podman.Inspect{}, services: map[string]*fakeService{}, images: map[string]podman.Image{}, registry: map[string]bool{},
		secrets: map[string]fakeSecret{}, networks: map[string]podman.Network{}, behave: map[string]behaviour{}}
	n.layout.Root = root
	n.facts = node.Facts{MemTotal: 16 << 30, DataDisk: 2000 << 30, DataFree: 1000 << 30, Cores: 4, HostIP: "192.0.2.10", HostMDNS: "node.local",
		UID: os.Getuid(), GID: os.Getgid(), SubUID: node.SubRange{Start: 100000, Count: 65536}, SubGID: node.SubRange{Start: 100000, Count: 65536},
		Delegated: node.Controllers{CPU: true, Memory: true, Pids: true}}
	for _, dir := range []string{n.layout.DataDir, n.layout.UnitDir(), "/proc"} {
		if err := os.MkdirAll(n.layout.Host(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	n.store, n.locks = state.New(n.layout), state.NewLocks(n.layout)
	n.vault = &secrets.Store{Dir: n.layout.Host(n.layout.Secrets()), UID: os.Getuid(), GID: os.Getgid()}
	if err := n.vault.Init(); err != nil {
		t.Fatal(err)
	}
	n.opts = Options{MaxParallel: 4, Timing: Timing{Alive: 2 * time.Second, Settle: time.Second, Poll: 50 * time.Microsecond, Lock: 5 * time.Second, PullPauses: []time.Duration{0, 0, 0}}}
	n.load(manifests)
	return n
}

// load makes these the manifests of the node, and their images ones that can be pulled.
func (n *fakeNode) load(manifests map[string]string) {
	n.t.Helper()
	files := fstest.MapFS{}
	for id, text := range manifests {
		files[id+"/manifest.yml"] = &fstest.MapFile{Data: []byte(text)}
	}
	set, findings := manifest.LoadFS(files, "apps")
	for _, f := range findings {
		if f.Severity == manifest.Error {
			n.t.Error(f)
		}
	}
	if n.t.Failed() {
		n.t.FailNow()
	}
	n.set = set
	n.store.Older = OlderNames(set)
	for _, app := range set.Apps {
		n.registry[app.Container.Image] = true
	}
}

// pass makes one pass; every wanted app is in its result.
func (n *fakeNode) pass(change ...func(*Options)) Result {
	n.t.Helper()
	r, err := n.tryPass(change...)
	if err != nil && !n.dead {
		n.t.Fatal(err)
	}
	return r
}

func (n *fakeNode) tryPass(change ...func(*Options)) (Result, error) {
	return n.passOf(change...).Run(context.Background())
}

func (n *fakeNode) passOf(change ...func(*Options)) *Pass {
	o := n.opts
	for _, f := range change {
		f(&o)
	}
	facts := n.facts
	facts.BootID = n.bootID
	disk := NodeDisk{Layout: n.layout, Facts: facts, Mapped: noMapped{}, Runner: noRunner{}, Now: n.now,
		Contexts: func(*manifest.App) (fs.FS, error) {
			return fstest.MapFS{"Dockerfile": {Data: []byte("FROM scratch")}}, nil
		}}
	p := &Pass{Version: "test", Locks: n.locks, Intent: n.store, Room: n.store, Modes: n.vault,
		Observer: Observer{Engine: engine{n}, Units: manager{n}, State: n.store, Secrets: n.vault, Mapped: noMapped{}, Set: n.set, Layout: n.layout,
			Config: node.Default(), Facts: facts, Options: o, Contexts: disk.Contexts, Now: n.peek},
		Applier: Applier{Engine: engine{n}, Units: manager{n}, Disk: fakeDisk{disk, n}, Legacy: scope{n}, Secrets: fakeVault{SecretStore{n.vault}, n},
			Locks: n.locks, Records: fakeRecords{n.store, n}, Wallets: openWallets{}, Now: n.now, Options: o}}
	if w := n.wallets; w != nil {
		p.Observer.Config.LND.AutoInitWallet, p.Observer.Random = !w.never, rand.Reader
		p.Observer.Stage, p.Applier.Stage, p.Applier.Wallets = w.stage, w.stage, w
	}
	return p
}

// openWallets are wallets that need nothing.
type openWallets struct{}

func (openWallets) Ensure(context.Context, *App) (wallet.Report, error) { return wallet.Report{}, nil }

// plan is what a pass would do now.
func (n *fakeNode) plan(change ...func(*Options)) Plan {
	n.t.Helper()
	p := n.passOf(change...)
	w, err := p.Observer.Observe(context.Background())
	if err != nil {
		n.t.Fatal(err)
	}
	return MakePlan(w, p.Observer.Options)
}

// now lets half a second pass each time that it is asked, so that gates end without anybody waiting.
func (n *fakeNode) now() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clock = n.clock.Add(500 * time.Millisecond)
	return n.clock
}

func (n *fakeNode) peek() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.clock
}

// later lets time pass; podman runs its health checks meanwhile, and systemd restarts what it has to.
func (n *fakeNode) later(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clock = n.clock.Add(d)
	for _, name := range slices.Sorted(maps.Keys(n.services)) {
		if s := n.services[name]; s.SubState == "auto-restart" {
			n.run(name, s)
		}
	}
	for _, c := range n.containers {
		if c.Health != nil && c.Health.Status == podman.HealthStarting && !n.behave[c.Image].sick && !n.behave[c.Image].ill {
			c.Health.Status = podman.HealthHealthy
		}
	}
}

// changeIn is a change that is asked of podman or systemd: it comes to nothing when its context has ended.
func (n *fakeNode) changeIn(ctx context.Context, call string, effect func() error) error {
	return n.change(call, func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return effect()
	})
}

// change is one call that changes something.
func (n *fakeNode) change(call string, effect func() error) error {
	n.mu.Lock()
	if n.dead {
		n.mu.Unlock()
		return errKilled
	}
	n.calls = append(n.calls, call)
	kind := n.strike(call)
	hook := n.onCall
	defer n.work(call)()
	n.mu.Unlock()
	if hook != nil {
		hook(call)
	}
	switch kind {
	case "fail":
		return errFault
	case "full":
		return &fs.PathError{Op: "write", Path: call, Err: syscall.ENOSPC}
	case "hang":
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.hung(call)
	case "die-before":
		n.mu.Lock()
		defer n.mu.Unlock()
		n.dead = true
		return errKilled
	}
	err := effect()
	switch kind {
	case "kill":
		n.mu.Lock()
		n.dead = true
		n.mu.Unlock()
		return errKilled
	case "cut":
		return errFault
	}
	return err
}

// work notes that a call is at work at a service, where no other may be meanwhile; the lock is held, and is not when the
// returned function is called.
func (n *fakeNode) work(call string) (done func()) {
	verb, name, _ := strings.Cut(call, " ")
	if !strings.HasSuffix(name, ".service") || !slices.Contains([]string{"start", "stop", "restart"}, verb) {
		return func() {}
	}
	if other := n.busy[name]; other != "" {
		n.violated("%s while %s", call, other)
	}
	if n.busy == nil {
		n.busy = map[string]string{}
	}
	n.busy[name] = call
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.busy, name)
	}
}

func (n *fakeNode) strike(call string) string {
	f := &n.fault
	if f.kind == "" || !strings.HasPrefix(call, f.match) {
		return ""
	}
	if f.kind == "full" {
		return f.strikeFull(call)
	}
	f.seen++
	if f.seen != f.at && f.at != 0 {
		return ""
	}
	f.hit = call
	return f.kind
}

// onDisk is how the calls begin that need room.
var onDisk = []string{"write ", "save ", "note image ", "make directory ", "take secret ", "create secret ", "copy ", "pull ", "build "}

// strikeFull strikes from the at-th call on that needs room: the disk stays full.
func (f *fault) strikeFull(call string) string {
	if !slices.ContainsFunc(onDisk, func(begin string) bool { return strings.HasPrefix(call, begin) }) {
		return ""
	}
	if f.seen++; f.seen < f.at {
		return ""
	}
	f.hit = cmp.Or(f.hit, call)
	return f.kind
}

// asked is a call that only reads; a fault can strike there too.
func (n *fakeNode) asked(call string) (unlock func(), err error) {
	n.mu.Lock()
	switch kind := n.strikeAt(call); {
	case n.dead:
		err = errKilled
	case !n.fault.reads:
	case kind == "kill":
		n.dead, err = true, errKilled
	case kind == "hang":
		err = n.hung(call)
	case kind != "":
		err = errFault
	}
	if err != nil {
		n.mu.Unlock()
		return nil, err
	}
	return n.mu.Unlock, nil
}

// hung is the error of a call that never came back: its limit passes on the node's own clock. The lock is held.
func (n *fakeNode) hung(call string) error {
	n.clock = n.clock.Add(callLimit)
	return fmt.Errorf("%s: no answer after %s: %w", call, callLimit, context.DeadlineExceeded)
}

// callLimit is the limit of a call, as that of most in podman.DefaultLimits.
const callLimit = 30 * time.Second

func (n *fakeNode) strikeAt(call string) string {
	if !n.fault.reads || n.dead {
		return ""
	}
	return n.strike(call)
}

// revive is the next process.
func (n *fakeNode) revive() { n.dead, n.fault = false, fault{} }

func (n *fakeNode) violated(format string, args ...any) {
	n.violations = append(n.violations, fmt.Sprintf(format, args...))
}

// script makes a running container as an older release's script did: no labels, no unit.
func (n *fakeNode) script(name, image string, change ...func(*podman.Inspect)) *podman.Inspect {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.images[image] = podman.Image{ID: "image-" + image, Names: []string{image}}
	c := &podman.Inspect{Name: name, Image: image, ImageID: "image-" + image, Created: n.clock.Add(-time.Hour), RestartPolicy: "unless-stopped",
		NetworkMode: "pasta", StopTimeout: 10 * time.Second}
	for _, f := range change {
		f(c)
	}
	n.add(c)
	n.up(c)
	return c
}

func (n *fakeNode) add(c *podman.Inspect) {
	n.lastID++
	c.ID = fmt.Sprintf("%064x", n.lastID)
	n.containers[c.Name] = c
}

// up makes a container run; the lock is held.
func (n *fakeNode) up(c *podman.Inspect) {
	n.lastID++
	c.State = podman.InspectState{Status: podman.StateRunning, Running: true, Pid: 100000 + n.lastID, StartedAt: n.clock}
	c.Networks = map[string]podman.Endpoint{"archy-net": {IP: "10.89.0." + strconv.Itoa(n.lastID%250+2)}}
	if c.Healthcheck != nil {
		c.Health = &podman.Health{Status: podman.HealthStarting}
	}
	proc := n.layout.Host("/proc/" + strconv.Itoa(c.State.Pid))
	_ = os.MkdirAll(proc, 0o755)
	_ = os.WriteFile(filepath.Join(proc, "stat"), fmt.Appendf(nil, "%d (a b) S%s %d 0 0", c.State.Pid, strings.Repeat(" 1", 18), n.lastID), 0o644)
}

// downed makes a container one that has ended; the lock is held.
func (n *fakeNode) downed(c *podman.Inspect, code int) {
	_ = os.RemoveAll(n.layout.Host("/proc/" + strconv.Itoa(c.State.Pid)))
	c.State = podman.InspectState{Status: podman.StateExited, ExitCode: code, StartedAt: c.State.StartedAt, FinishedAt: n.clock}
	c.Health = nil
}

// drop takes a container away; the lock is held.
func (n *fakeNode) drop(c *podman.Inspect) {
	n.downed(c, 0)
	delete(n.containers, c.Name)
}

// run is what a start job does: podman run --replace --rm with the unit's text; the lock is held.
func (n *fakeNode) run(name string, s *fakeService) error {
	for _, disk := range directives(s.text, quadlet.AssertDisk) {
		if !node.ReadDisks(n.layout).Mounted(disk) {
			s.ActiveState, s.SubState = "inactive", "dead"
			return &systemd.JobError{Verb: "start", Unit: name, Result: "assert"}
		}
	}
	s.tries++
	container := strings.TrimSuffix(name, ".service")
	image := directive(s.text, "Image")
	if old := n.containers[container]; old != nil {
		if old.Labels[spec.LabelManaged] != "true" {
			n.violated("start of %s replaced a container that archy did not make", name)
		}
		n.drop(old)
	}
	if _, ok := n.images[image]; !ok {
		return n.ended(s, 125)
	}
	if b := n.behave[image]; b.dies != 0 {
		return n.ended(s, b.dies)
	}
	c := &podman.Inspect{Name: container, Image: image, ImageID: n.images[image].ID, Created: n.clock, Labels: quadlet.UnitLabels(s.text), AutoRemove: true}
	if directive(s.text, "HealthCmd") != "" {
		c.Healthcheck = &podman.Healthcheck{Test: []string{"CMD-SHELL", "check"}}
	}
	for _, e := range directives(s.text, "Secret") {
		name, _, _ := strings.Cut(e, ",")
		secret, ok := n.secrets[name]
		if !ok {
			return n.ended(s, 125)
		}
		c.Env = append(c.Env, strings.TrimPrefix(name, "archy."+c.Labels[spec.LabelApp]+".")+"="+secret.value)
	}
	n.add(c)
	n.up(c)
	s.ActiveState, s.SubState, s.Result, s.MainPID = "active", "running", "success", c.State.Pid+1
	s.StateChanged = n.clock
	return nil
}

// ended is a run that ended at once: systemd tries again, five times.
func (n *fakeNode) ended(s *fakeService, code int) error {
	s.ActiveState, s.SubState, s.Result, s.ExecMainCode, s.ExecMainStatus, s.MainPID = "activating", "auto-restart", "exit-code", 1, code, 0
	s.NRestarts = s.tries
	s.StateChanged = n.clock
	if s.tries >= 5 {
		s.ActiveState, s.SubState, s.StartLimitHit = "failed", "failed", true
	}
	return nil
}

func (n *fakeNode) halt(name string, s *fakeService) {
	if c := n.containers[strings.TrimSuffix(name, ".service")]; c != nil && c.Labels[spec.LabelManaged] == "true" {
		n.drop(c)
	}
	s.ActiveState, s.SubState, s.MainPID, s.StateChanged, s.Stopped = "inactive", "dead", 0, n.clock, true
}

func directives(unit []byte, key string) []string {
	var out []string
	for line := range strings.Lines(string(unit)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			out = append(out, v)
		}
	}
	return out
}

func directive(unit []byte, key string) string {
	if list := directives(unit, key); len(list) > 0 {
		return list[0]
	}
	return ""
}

// engine is the node's podman.
type engine struct{ *fakeNode }

func notFound(op string) error {
	return &podman.APIError{Op: op, Status: 404, Message: "no such object"}
}

func (e engine) List(context.Context) ([]podman.Container, error) {
	unlock, err := e.asked("ask List")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var list []podman.Container
	for _, name := range slices.Sorted(maps.Keys(e.containers)) {
		c := e.containers[name]
		line := podman.Container{ID: c.ID, Name: c.Name, Image: c.Image, ImageID: c.ImageID, State: c.State.Status, Pid: c.State.Pid, ExitCode: c.State.ExitCode,
			Created: c.Created, StartedAt: c.State.StartedAt, ExitedAt: c.State.FinishedAt, AutoRemove: c.AutoRemove, Labels: c.Labels, Ports: c.Ports}
		if c.Health != nil {
			line.Health = c.Health.Status
		}
		for _, m := range c.Mounts {
			line.Mounts = append(line.Mounts, m.Target)
		}
		list = append(list, line)
	}
	return list, nil
}

func (e engine) Inspect(_ context.Context, name string) (podman.Inspect, error) {
	unlock, err := e.asked("ask Inspect")
	if err != nil {
		return podman.Inspect{}, err
	}
	defer unlock()
	c, ok := e.containers[name]
	if !ok {
		return podman.Inspect{}, notFound("inspect container " + name)
	}
	got := *c
	if c.Health != nil {
		health := *c.Health
		got.Health = &health
	}
	return got, nil
}

func (e engine) Images(context.Context) (map[string]podman.Image, error) {
	unlock, err := e.asked("ask Images")
	if err != nil {
		return nil, err
	}
	defer unlock()
	return maps.Clone(e.images), nil
}

func (e engine) ImageID(_ context.Context, ref string) (string, error) {
	unlock, err := e.asked("ask ImageID")
	if err != nil {
		return "", err
	}
	defer unlock()
	if i, ok := e.images[ref]; ok {
		return i.ID, nil
	}
	return "", notFound("inspect image " + ref)
}

func (e engine) Pull(ctx context.Context, ref string, _ podman.TLS, progress func(podman.Progress)) error {
	return e.changeIn(ctx, "pull "+ref, func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if !e.registry[ref] {
			return fmt.Errorf("pull %s: manifest unknown", ref)
		}
		e.images[ref] = podman.Image{ID: "image-" + ref, Names: []string{ref}}
		return nil
	})
}

// Load knows no archive: the tests of the images package do.
func (e engine) Load(context.Context, io.Reader, string, int64, func(podman.Progress)) ([]string, error) {
	return nil, errors.New("no archive can be loaded")
}

func (e engine) RemoveImage(ctx context.Context, ref string) error {
	return e.changeIn(ctx, "remove image "+ref, func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.images, ref)
		return nil
	})
}

func (e engine) Tag(ctx context.Context, source, ref string) error {
	return e.changeIn(ctx, "tag "+source+" "+ref, func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.images[ref] = e.images[source]
		return nil
	})
}

func (e engine) Build(ctx context.Context, _, _, tag string, _ bool, _ func(string)) error {
	return e.changeIn(ctx, "build "+tag, func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.images[tag] = podman.Image{ID: "image-" + tag, Names: []string{tag}}
		return nil
	})
}

func (e engine) Secrets(context.Context) ([]podman.Secret, error) {
	unlock, err := e.asked("ask Secrets")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var list []podman.Secret
	for _, name := range slices.Sorted(maps.Keys(e.secrets)) {
		list = append(list, e.secrets[name].Secret)
	}
	return list, nil
}

func (e engine) CreateSecret(ctx context.Context, name string, value []byte, labels map[string]string, _ bool) error {
	return e.changeIn(ctx, "create secret "+name, func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.secrets[name] = fakeSecret{podman.Secret{Name: name, Labels: labels}, string(value)}
		return nil
	})
}

func (e engine) RemoveSecret(ctx context.Context, name string) error {
	return e.changeIn(ctx, "remove secret "+name, func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if _, ok := e.secrets[name]; !ok {
			return notFound("remove secret " + name)
		}
		delete(e.secrets, name)
		return nil
	})
}

func (e engine) Networks(context.Context) ([]podman.Network, error) {
	unlock, err := e.asked("ask Networks")
	if err != nil {
		return nil, err
	}
	defer unlock()
	return slices.Collect(maps.Values(e.networks)), nil
}

func (e engine) RemoveNetwork(ctx context.Context, name string) error {
	return e.changeIn(ctx, "remove network "+name, func() error { delete(e.networks, name); return nil })
}

func (e engine) CreateNetwork(ctx context.Context, net podman.Network) error {
	return e.changeIn(ctx, "create network "+net.Name, func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if _, ok := e.networks[net.Name]; ok {
			return &podman.APIError{Op: "create network " + net.Name, Status: 409, Message: "network already exists"}
		}
		e.networks[net.Name] = net
		return nil
	})
}

func (e engine) container(ctx context.Context, call, name string, effect func(c *podman.Inspect) error) error {
	return e.changeIn(ctx, call, func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		c, ok := e.containers[name]
		if !ok {
			return notFound(call)
		}
		return effect(c)
	})
}

func (e engine) Stop(ctx context.Context, name string, _ time.Duration) error {
	return e.container(ctx, "stop container "+name, name, func(c *podman.Inspect) error {
		switch {
		case c.AutoRemove:
			e.drop(c)
		case c.State.Running:
			e.downed(c, 0)
		}
		return nil
	})
}

func (e engine) Unpause(ctx context.Context, name string) error {
	return e.container(ctx, "unpause "+name, name, func(c *podman.Inspect) error {
		if e.behave[c.Image].sick {
			return nil // it stays paused
		}
		c.State.Status, c.State.Paused, c.State.Running = podman.StateRunning, false, true
		return nil
	})
}

func (e engine) Rename(ctx context.Context, old, name string) error {
	return e.container(ctx, "rename "+old, old, func(c *podman.Inspect) error {
		if e.containers[name] != nil {
			return &podman.APIError{Op: "rename " + old, Status: 409, Message: "the name is in use"}
		}
		delete(e.containers, old)
		c.Name = name
		e.containers[name] = c
		return nil
	})
}

func (e engine) SetRestartPolicy(ctx context.Context, name, policy string) error {
	return e.container(ctx, "update "+name+" "+policy, name, func(c *podman.Inspect) error { c.RestartPolicy = policy; return nil })
}

func (e engine) Remove(ctx context.Context, name string, force bool) error {
	return e.container(ctx, "remove "+name, name, func(c *podman.Inspect) error {
		if c.State.Running && !force {
			return &podman.APIError{Op: "remove " + name, Status: 409, Message: "container is running"}
		}
		e.drop(c)
		return nil
	})
}

func (e engine) Exec(ctx context.Context, name string, argv []string) (string, int, error) {
	return "", 0, e.container(ctx, "exec "+name+" "+strings.Join(argv, " "), name, func(*podman.Inspect) error { return nil })
}

func (e engine) Logs(_ context.Context, name string, _ int) ([]string, error) {
	unlock, err := e.asked("ask Logs")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if c := e.containers[name]; c != nil {
		return lastLines(e.behave[c.Image].says), nil
	}
	return nil, notFound("logs " + name)
}

func lastLines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// Healthcheck runs the check, which is what makes an app that is not sick a healthy one.
func (e engine) Healthcheck(_ context.Context, name string) (string, error) {
	unlock, err := e.asked("ask Healthcheck")
	if err != nil {
		return "", err
	}
	defer unlock()
	c := e.containers[name]
	if c == nil || c.Health == nil {
		return "", notFound("health of " + name)
	}
	b := e.behave[c.Image]
	c.Health.FailingStreak++
	switch {
	case b.ill && c.Health.FailingStreak > 3 && e.clock.Sub(c.State.StartedAt) > time.Minute:
		c.Health.Status = podman.HealthUnhealthy
		return podman.HealthUnhealthy, nil
	case b.sick || b.ill || c.Health.FailingStreak <= b.slow:
		return podman.HealthStarting, nil
	}
	c.Health.Status = podman.HealthHealthy
	return podman.HealthHealthy, nil
}

func (e engine) Version(context.Context) (string, error) { return "5.4.2", nil }

// manager is the node's systemd.
type manager struct{ *fakeNode }

func (m manager) Units(_ context.Context, names []string) (map[string]systemd.Unit, error) {
	unlock, err := m.asked("ask Units")
	if err != nil {
		return nil, err
	}
	defer unlock()
	out := map[string]systemd.Unit{}
	for _, name := range names {
		out[name] = systemd.Unit{Name: name, LoadState: "not-found", ActiveState: "inactive", SubState: "dead"}
		if s := m.services[name]; s != nil {
			out[name] = s.Unit
		}
	}
	return out, nil
}

func (m manager) Detail(_ context.Context, name string) (systemd.Detail, error) {
	unlock, err := m.asked("ask Detail")
	if err != nil {
		return systemd.Detail{}, err
	}
	defer unlock()
	if s := m.services[name]; s != nil {
		d := s.Detail
		text, err := os.ReadFile(m.layout.Host(m.layout.Unit(strings.TrimSuffix(name, ".service"))))
		d.NeedReload = err != nil || string(text) != string(s.text)
		return d, nil
	}
	return systemd.Detail{}, fmt.Errorf("show %s: %w", name, systemd.ErrNoUnit)
}

func (m manager) Restarts(_ context.Context, names []string) (map[string]int, error) {
	unlock, err := m.asked("ask Restarts")
	if err != nil {
		return nil, err
	}
	defer unlock()
	out := map[string]int{}
	for _, name := range names {
		if s := m.services[name]; s != nil {
			out[name] = s.NRestarts
		}
	}
	return out, nil
}

// Reload reads the unit files, as the generator does: one that does not convert is not there.
func (m manager) Reload(ctx context.Context) error {
	return m.changeIn(ctx, "reload", func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		units := map[string][]byte{}
		files, _ := filepath.Glob(filepath.Join(m.layout.Host(m.layout.UnitDir()), "*"))
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil {
				units[filepath.Base(file)] = text
			}
		}
		converted, _ := quadlet.ConvertAll(units)
		for name, s := range m.services {
			if _, ok := converted[name]; !ok {
				s.LoadState = "not-found"
				if s.ActiveState != "active" {
					delete(m.services, name)
				}
			}
		}
		for name := range converted {
			text, ok := units[strings.TrimSuffix(name, ".service")+".container"]
			if !ok {
				continue
			}
			s := m.services[name]
			if s == nil {
				s = &fakeService{Detail: systemd.Detail{Unit: systemd.Unit{Name: name, ActiveState: "inactive", SubState: "dead"}, Result: "success"}}
				m.services[name] = s
			}
			s.LoadState, s.text, s.SourcePath = "loaded", text, m.layout.Unit(strings.TrimSuffix(name, ".service"))
		}
		return nil
	})
}

func (m manager) job(ctx context.Context, verb, name string, effect func(s *fakeService) error) error {
	return m.changeIn(ctx, verb+" "+name, func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		s := m.services[name]
		if s == nil || s.LoadState != "loaded" && verb != "stop" {
			return fmt.Errorf("%s %s: %w", verb, name, systemd.ErrNoUnit)
		}
		return effect(s)
	})
}

func (m manager) begin(name string, s *fakeService) error {
	stopped := m.layout.Host(m.layout.State("stopped", strings.TrimSuffix(name, ".service")))
	if _, err := os.Stat(stopped); err == nil {
		return &systemd.JobError{Verb: "start", Unit: name, Result: systemd.ResultCondition}
	}
	if s.StartLimitHit {
		return &systemd.JobError{Verb: "start", Unit: name, Result: systemd.ResultFailed}
	}
	s.tries, s.NRestarts, s.Stopped = 0, 0, false
	return m.run(name, s)
}

func (m manager) Start(ctx context.Context, name string, _ time.Duration) error {
	return m.job(ctx, "start", name, func(s *fakeService) error {
		if s.ActiveState == "active" {
			return nil
		}
		return m.begin(name, s)
	})
}

func (m manager) Restart(ctx context.Context, name string, _ time.Duration) error {
	return m.job(ctx, "restart", name, func(s *fakeService) error {
		m.halt(name, s)
		return m.begin(name, s)
	})
}

func (m manager) Stop(ctx context.Context, name string, _ time.Duration) error {
	return m.job(ctx, "stop", name, func(s *fakeService) error {
		m.halt(name, s)
		if s.LoadState != "loaded" {
			delete(m.services, name)
		}
		return nil
	})
}

func (m manager) ResetFailed(ctx context.Context, name string) error {
	return m.changeIn(ctx, "reset-failed "+name, func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if s := m.services[name]; s != nil {
			s.StartLimitHit, s.NRestarts, s.tries, s.Result = false, 0, 0, "success"
			if s.ActiveState == "failed" {
				s.ActiveState, s.SubState = "inactive", "dead"
			}
		}
		return nil
	})
}

func (m manager) Journal(context.Context, string, string, int) ([]string, error) { return nil, nil }

func (m manager) ContainerLog(_ context.Context, container string, _ time.Time, _ int) ([]string, error) {
	unlock, err := m.asked("ask ContainerLog")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if s := m.services[container+".service"]; s != nil {
		return lastLines(m.behave[directive(s.text, "Image")].says), nil
	}
	return nil, nil
}

// scope starts containers that no unit owns.
type scope struct{ *fakeNode }

func (s scope) StartInScope(ctx context.Context, name string) error {
	return engine(s).container(ctx, "start in scope "+name, name, func(c *podman.Inspect) error {
		s.up(c)
		if b := s.behave[c.Image]; b.dies != 0 {
			s.downed(c, b.dies)
		}
		return nil
	})
}

// fakeDisk, fakeRecords and fakeVault are the real ones, whose writes are counted.
type fakeDisk struct {
	NodeDisk
	n *fakeNode
}

func (d fakeDisk) MakeDir(ctx context.Context, path, owner string, mode fs.FileMode) error {
	return d.n.change("make directory "+path, func() error { return d.NodeDisk.MakeDir(ctx, path, owner, mode) })
}

func (d fakeDisk) WriteFile(ctx context.Context, op Operation) error {
	return d.n.change("write file "+op.Path, func() error { return d.NodeDisk.WriteFile(ctx, op) })
}

// TryUnit converts in-process: there is no generator in memory.
func (d fakeDisk) TryUnit(_ context.Context, container string, text []byte) error {
	if d.n.refuses != "" && strings.Contains(string(text), d.n.refuses) {
		return fmt.Errorf("%s.container: podman's generator makes no service of it", container)
	}
	_, err := quadlet.Convert(container+".container", text)
	return err
}

func (d fakeDisk) WriteUnit(container string, text []byte) (kept string, err error) {
	err = d.n.change("write unit "+container, func() (err error) { kept, err = d.NodeDisk.WriteUnit(container, text); return err })
	return kept, err
}

func (d fakeDisk) RemoveUnit(container string) error {
	return d.n.change("remove unit "+container, func() error { return d.NodeDisk.RemoveUnit(container) })
}

func (d fakeDisk) Trash(ctx context.Context, path, dest string) error {
	return d.n.change("trash "+path, func() error { return d.NodeDisk.Trash(ctx, path, dest) })
}

func (d fakeDisk) WriteNetworkUnit(net Network) error {
	return d.n.change("write network unit "+net.Name, func() error { return d.NodeDisk.WriteNetworkUnit(net) })
}

func (d fakeDisk) CopyInto(_ context.Context, a *App, src, dest string) error {
	return d.n.change("copy "+src+" into "+a.Container, func() error { return nil })
}

type fakeRecords struct {
	*state.Store
	n *fakeNode
}

func (r fakeRecords) WriteRecord(rec state.Record) error {
	return r.n.change("write record "+rec.App, func() error { return r.Store.WriteRecord(rec) })
}

func (r fakeRecords) WriteHistory(h state.History) error {
	return r.n.change("write history "+h.App, func() error { return r.Store.WriteHistory(h) })
}

func (r fakeRecords) SavePrevUnit(container string, text []byte) error {
	return r.n.change("save previous unit "+container, func() error { return r.Store.SavePrevUnit(container, text) })
}

func (r fakeRecords) DropPrevUnit(container string) error {
	return r.n.change("drop previous unit "+container, func() error { return r.Store.DropPrevUnit(container) })
}

func (r fakeRecords) SaveLegacy(container string, inspect []byte) error {
	return r.n.change("save legacy "+container, func() error { return r.Store.SaveLegacy(container, inspect) })
}

func (r fakeRecords) AddImage(i state.Image) (warning string, err error) {
	err = r.n.change("note image "+i.Ref, func() (err error) {
		warning, err = r.Store.AddImage(i)
		return err
	})
	return warning, err
}

type fakeVault struct {
	SecretStore
	n *fakeNode
}

func (v fakeVault) Create(name string, kind secrets.Kind, value, plain secrets.Value) (got secrets.Value, made bool, err error) {
	err = v.n.change("write secret "+name, func() (err error) {
		got, made, err = v.SecretStore.Create(name, kind, value, plain)
		return err
	})
	return got, made, err
}

func (v fakeVault) Take(name string, value secrets.Value) error {
	return v.n.change("take secret "+name, func() error { return v.SecretStore.Take(name, value) })
}

// noMapped is a user namespace that nobody needs: all files of the test belong to it.
type noMapped struct{}

func (noMapped) ReadFile(_ context.Context, path string) ([]byte, error) { return os.ReadFile(path) }
func (noMapped) Holds(_ context.Context, dir string) (bool, error)       { return holds(dir), nil }
func (noMapped) Exists(_ context.Context, path string) (bool, error) {
	_, err := os.Stat(path)
	return err == nil, nil
}
func (noMapped) Rename(_ context.Context, path, dest string) error { return os.Rename(path, dest) }
func (noMapped) Chown(context.Context, string, int, int) error     { return nil }
func (noMapped) WriteFile(_ context.Context, path string, mode fs.FileMode, content []byte) error {
	return os.WriteFile(path, content, mode)
}

type noRunner struct{}

func (noRunner) Run(_ context.Context, c command.Cmd) (command.Result, error) {
	return command.Result{}, fmt.Errorf("no command may be run: %s", strings.Join(c.Argv, " "))
}
