package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// procDir lays out files of a /proc.
func procDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			if err := os.Symlink(target, file); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func args(words ...string) string { return strings.Join(words, "\x00") + "\x00" }

func TestMonitors(t *testing.T) {
	proc := procDir(t, map[string]string{
		"4700/cmdline": args("/usr/bin/conmon", "--api-version", "1", "-c", "abc", "-n", "lnd", "--exit-command", "podman"),
		"4701/cmdline": args("conmon", "-n", "mempool"),
		"4702/cmdline": args("vim", "conmon", "-n", "electrumx"),
		"4703/cmdline": args("/usr/bin/conmon", "-n"),
		"4704/cmdline": "", // a kernel thread
		"4705/cmdline": args("/usr/bin/conmon", "--api-version", "1", "-c", "def", "-u", "012", "-n", "db", "-e", "--exec-attach", "--exec-process-spec", "/x"),
		"self/cmdline": args("/usr/bin/conmon", "-n", "self"),
		"version":      "Linux",
	})
	got := monitors(proc, os.Getuid())
	if len(got) != 2 || got["lnd"] != 4700 || got["mempool"] != 4701 {
		t.Errorf("monitors %v", got)
	}
	if got := monitors(filepath.Join(proc, "absent"), os.Getuid()); len(got) != 0 {
		t.Errorf("monitors without a /proc: %v", got)
	}
	if got := monitors(proc, os.Getuid()+1); len(got) != 0 {
		t.Errorf("monitors of somebody else: %v", got)
	}
}

const (
	tcpTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 55501 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F91 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 55502 1 0000000000000000 20 4 30 10 -1
garbage
   2: nonsense
`
	udpTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  10: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 55503 2 0000000000000000 0
`
	tcp6Table = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:20FB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 55504 1 0000000000000000 100 0 0 10 0
`
)

func listening(t *testing.T) string {
	return procDir(t, map[string]string{
		"net/tcp": tcpTable, "net/udp": udpTable, "net/tcp6": tcp6Table,
		"99/fd/7": "-> socket:[55501]", "99/comm": "nginx\n", "100/fd/3": "-> /dev/null", "100/comm": "cat\n", "101/fd/4": "-> socket:[55504]",
	})
}

func TestListeners(t *testing.T) {
	got := listeners(listening(t))
	want := map[portKey]bool{{"tcp", 8080}: true, {"udp", 53}: true, {"tcp", 8443}: true}
	if len(got) != len(want) {
		t.Errorf("listeners %v", got)
	}
	for k := range want {
		if !got[k] {
			t.Errorf("%v is missing in %v", k, got)
		}
	}
	if got := listeners(t.TempDir()); len(got) != 0 {
		t.Errorf("listeners without a /proc: %v", got)
	}
}

func TestHolder(t *testing.T) {
	proc := listening(t)
	for port, want := range map[int]string{8080: "pid 99 nginx", 8443: "pid 101 ?", 53: "a process of another user"} {
		if got := holder(proc, port); got != want {
			t.Errorf("port %d: %q, want %q", port, got, want)
		}
	}
}

// A foreign process on a port of an app is named, and is no reason for the breaker (row 32).
func TestPortHeldByAForeignProcess(t *testing.T) {
	published := five()["solo"] + "  ports:\n    - host: 8080\n      container: 8080\n      auth: gated\n"
	onHost := strings.Replace(published, "network: archy-net", "network: host", 1)
	t.Run("published", func(t *testing.T) { portHeld(t, published) })
	t.Run("on the host's network", func(t *testing.T) {
		n := portHeld(t, onHost)
		n.listens() // it listens itself by now, and somebody wants it changed
		n.load(map[string]string{"solo": changedTo(onHost)})
		if got := n.result(n.pass(), "solo"); got.Action != Recreated {
			t.Errorf("%+v", got)
		}
		n.converged()
	})
}

func portHeld(t *testing.T, text string) *fakeNode {
	n := newNode(t, map[string]string{"solo": text}).firstBootDone()
	n.listens()
	for range 7 {
		r := n.pass()
		if got := n.result(r, "solo"); got.Row != "32" || got.Cause != "port 8080 is held by pid 99 nginx" || len(n.touched()) > 0 {
			t.Fatalf("%+v", got)
		}
		n.later(time.Minute)
	}
	_ = os.Remove(n.layout.Host("/proc/net/tcp"))
	n.pass()
	n.converged()
	return n
}

// listens lets process 99 listen on port 8080.
func (n *fakeNode) listens() {
	n.t.Helper()
	for name, content := range map[string]string{"net/tcp": tcpTable, "99/comm": "nginx"} {
		file := n.layout.Host("/proc/" + name)
		_ = os.MkdirAll(filepath.Dir(file), 0o755)
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			n.t.Fatal(err)
		}
	}
	_ = os.MkdirAll(n.layout.Host("/proc/99/fd"), 0o755)
	if err := os.Symlink("socket:[55501]", n.layout.Host("/proc/99/fd/7")); err != nil && !errors.Is(err, fs.ErrExist) {
		n.t.Fatal(err)
	}
}

// The same after a boot at which systemd tried in vain: it is told, not counted, and the app comes back when the port is free.
func TestPortHeldWhileSystemdTries(t *testing.T) {
	for how, tries := range map[string]int{"systemd goes on": 2, "systemd gave up": 5} {
		t.Run(how, func(t *testing.T) {
			n := newNode(t, map[string]string{"solo": five()["solo"] + "  ports:\n    - host: 8080\n      container: 80\n      auth: gated\n"}).firstBootDone()
			n.pass()
			table := n.layout.Host("/proc/net/tcp")
			_ = os.MkdirAll(filepath.Dir(table), 0o755)
			if err := os.WriteFile(table, []byte(tcpTable), 0o644); err != nil {
				t.Fatal(err)
			}
			n.behave["docker.io/example/solo:v1.0"] = behaviour{dies: 126}
			n.bootsInto("solo", tries)
			n.calls = nil
			for range 10 {
				if got := n.result(n.pass(), "solo"); got.Row != "32" || got.Breaker.Count > 0 || len(n.touched()) > 0 {
					t.Fatalf("%+v, %q", got, n.touched())
				}
				n.later(time.Minute)
			}
			n.behave = map[string]behaviour{}
			_ = os.Remove(table)
			if got := n.result(n.pass(), "solo"); got.Action != Started || got.Class != ClassOK {
				t.Errorf("%+v", got)
			}
			n.converged()
		})
	}
}

// dead-pid: the process is looked up twice, and any doubt means alive (incident 12).
func TestIncident12DeadPid(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	dead := n.containers["solo"]
	if err := os.RemoveAll(n.layout.Host("/proc/" + strconv.Itoa(dead.State.Pid))); err != nil {
		t.Fatal(err)
	}
	if got := n.result(n.pass(), "solo"); got.Row != "5" || got.Action != Recreated {
		t.Errorf("%+v", got)
	}
	equal(t, "touched", n.touched(), []string{"restart solo"})
	n.converged()
}

// monitor lets a conmon of a container live.
func (n *fakeNode) monitor(container string, pid int) {
	n.t.Helper()
	dir := n.layout.Host("/proc/" + strconv.Itoa(pid))
	_ = os.MkdirAll(dir, 0o755)
	if err := os.WriteFile(filepath.Join(dir, "cmdline"), []byte(args("/usr/bin/conmon", "-n", container)), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// counting counts how often podman is asked for its list.
type counting struct {
	Engine
	lists int
}

func (c *counting) List(ctx context.Context) ([]podman.Container, error) {
	c.lists++
	return c.Engine.List(ctx)
}

// A podman that has lost everything is looked at twice as one that has lost one app: the pause between is one for all.
func TestAllThatIsLostIsLookedAtTwiceTogether(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	n.mu.Lock()
	pid := 4990
	for name, c := range n.containers {
		n.drop(c)
		n.monitor(name, pid)
		pid++
	}
	n.mu.Unlock()
	p := n.passOf()
	engine := &counting{Engine: p.Observer.Engine}
	p.Observer.Engine = engine
	w, err := p.Observer.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range w.Apps {
		if a.Conmon == 0 {
			t.Errorf("%s is not lost", a.ID)
		}
	}
	if engine.lists != 2 {
		t.Errorf("podman was asked for its list %d times, want 2", engine.lists)
	}
}

func TestALivingMonitorIsNeverDoubled(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	n.drop(n.containers["solo"])
	n.services["solo.service"].ActiveState = "inactive"
	n.monitor("solo", 4999)
	r := n.pass(func(o *Options) { o.Force, o.Only = true, []string{"solo"} })
	if got := n.result(r, "solo"); got.Row != "12a" || got.Action != NeedsHuman || r.ExitCode != ExitNeedsHuman || len(n.touched()) > 0 {
		t.Errorf("%+v, exit %d, %q", got, r.ExitCode, n.touched())
	}
}

// An adopted container under a name that older releases gave the app (mempool-electrs, electrumx) is lost, and not vanished, while its
// monitor lives: rows 12a and 22.
func TestALivingMonitorUnderALegacyName(t *testing.T) {
	t.Parallel()
	apps := five()
	apps["solo"] += "  extensions:\n    archipelago: {legacy_names: [old-solo]}\n"
	n := newNode(t, apps).firstBootDone()
	n.script("old-solo", "docker.io/example/solo:v1.0", func(*podman.Inspect) {})
	n.pass()
	if r, _, err := n.store.ReadRecord("solo"); err != nil || r.Owner != state.Legacy {
		t.Fatalf("it was not adopted: %+v, %v", r, err)
	}
	n.calls = nil
	n.mu.Lock()
	n.drop(n.containers["old-solo"])
	n.mu.Unlock()
	n.monitor("old-solo", 4999)
	for _, change := range []func(*Options){func(*Options) {}, func(o *Options) { o.Remove, o.Only, o.Owner = []string{"solo"}, []string{"solo"}, true }} {
		r := n.pass(change)
		if got := n.result(r, "solo"); got.Row != "12a" || got.Action != NeedsHuman || r.ExitCode != ExitNeedsHuman || len(n.touched()) > 0 {
			t.Errorf("%+v, exit %d, %q", got, r.ExitCode, n.touched())
		}
	}
	_ = os.RemoveAll(n.layout.Host("/proc/4999"))
	if got := n.result(n.pass(), "solo"); got.Row != "22" || !n.runs("solo") {
		t.Errorf("vanished: %+v", got)
	}
	n.converged()
}

// olderNamed is a node of a script's containers, all adopted; that of base has a name that older releases gave it.
func olderNamed(t *testing.T) *fakeNode {
	t.Helper()
	apps := five()
	apps["base"] += "  extensions:\n    archipelago: {legacy_names: [old-base]}\n"
	n := newNode(t, apps).firstBootDone()
	for _, name := range []string{"pgdb", "old-base", "api", "web", "solo"} {
		n.script(name, "docker.io/example/"+strings.TrimPrefix(name, "old-")+":v1.0")
	}
	n.pass()
	n.later(time.Minute)
	n.calls = nil
	return n
}

// An adopted app is kept alive also when what it needs runs under an older name, as mempool-api does with mempool-electrs.
func TestADependencyUnderAnOlderName(t *testing.T) {
	t.Parallel()
	n := olderNamed(t)
	n.mu.Lock()
	n.downed(n.containers["api"], 1)
	n.mu.Unlock()
	if got := n.result(n.pass(), "api"); got.Action != Started || got.Class != ClassOK || !n.runs("api") {
		t.Errorf("%+v", got)
	}
	n.mu.Lock()
	n.downed(n.containers["old-base"], 1)
	n.mu.Unlock()
	if got := n.result(n.pass(), "base"); got.Action != Started || got.State != "ready" || got.Container != "old-base" || got.ContainerID != n.containers["old-base"].ID {
		t.Errorf("started under its older name it is %+v", got)
	}
	n.later(time.Minute)
	if got := n.result(n.pass(), "base"); got.Container != "old-base" {
		t.Errorf("it is said to be called %s", got.Container)
	}
	if got := n.result(n.pass(migrateAll), "base"); got.Action != Migrated || got.Container != "base" {
		t.Errorf("moved to a unit it is %+v", got)
	}
	n.unharmed()
}

// An app that archy makes finds what it needs under the name that its container has, as mempool-api does mempool-electrs, also while podman
// has lost that one; and under the unit's name as soon as it is a unit.
func TestAnAdoptedContainerIsReachedByItsOwnName(t *testing.T) {
	t.Parallel()
	apps := five()
	apps["base"] += "  extensions:\n    archipelago: {legacy_names: [old-base]}\n"
	apps["api"] += "  environment: [HOST=base, OTHER=pgdb, NAME=the base]\n"
	n := newNode(t, apps).firstBootDone()
	n.script("old-base", "docker.io/example/base:v1.0")
	reaches := func(when, name string) {
		t.Helper()
		env := strings.Join(directives([]byte(n.unit("api")), "Environment"), " ")
		if !strings.Contains(env, "HOST="+name+" ") || !strings.Contains(env, "OTHER=pgdb") || !strings.Contains(env, "NAME=the base") {
			t.Errorf("%s: %s", when, env)
		}
	}
	n.pass()
	reaches("adopted", "old-base")
	id := n.containers["api"].ID

	n.later(time.Minute)
	n.mu.Lock()
	lost := n.containers["old-base"]
	n.drop(lost)
	n.mu.Unlock()
	n.monitor("old-base", 4999)
	n.pass()
	reaches("lost", "old-base")
	_ = os.RemoveAll(n.layout.Host("/proc/4999"))
	n.mu.Lock()
	n.add(lost)
	n.mu.Unlock()
	n.pass()
	if n.containers["api"].ID != id {
		t.Error("what needs it was made anew while podman had lost it")
	}

	if got := n.result(n.pass(migrateAll), "base"); got.Action != Migrated {
		t.Errorf("base: %+v", got)
	}
	n.pass()
	reaches("moved to a unit", "base")
	n.converged()
	if r, _, err := n.store.ReadRecord("base"); err != nil || r.Pinned.Name != "" {
		t.Errorf("the older name is kept: %+v, %v", r.Pinned, err)
	}
}

// The explorer's backend of this archy beside the electrs of an older one: it is on the bridge of that container, where that answers to its own name only.
func TestMempoolBesideAnAdoptedElectrs(t *testing.T) {
	t.Parallel()
	shipped, some := Shipped(t), map[string]string{}
	for _, id := range []string{"bitcoin-knots", "archy-mempool-db", "electrumx", "mempool-api"} {
		some[id] = shipped[id]
	}
	n := NewNode(t, some)
	n.firstBootDone()
	electrs := n.script("mempool-electrs", "docker.io/mempool/electrs:v3.0.0")
	for range 3 { // what it needs comes up first
		if _, err := n.Pass(Options{CreateMissing: true}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		n.later(time.Minute)
	}
	api, unit := n.containers["mempool-api"], []byte(n.unit("mempool-api"))
	if api == nil || !api.State.Running {
		t.Fatalf("mempool-api is not made: %+v", api)
	}
	if env := directives(unit, "Environment"); !slices.Contains(env, "ELECTRUM_HOST=mempool-electrs") || !slices.Contains(env, "ELECTRUM_PORT=50001") {
		t.Errorf("mempool-api: %q", env)
	}
	bridge, _, _ := strings.Cut(strings.TrimSuffix(directive(unit, "Network"), ".network"), ":")
	if _, ok := electrs.Networks[bridge]; !ok {
		t.Errorf("mempool-api is on %q, and mempool-electrs on %v", bridge, electrs.Networks)
	}
	if now := n.containers["mempool-electrs"]; now == nil || now.ID != electrs.ID || n.containers["electrumx"] != nil {
		t.Errorf("the adopted container: %+v", now)
	}
	for _, o := range []Options{{Migrate: true}, {}} {
		if _, err := n.Pass(o).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if env := directives([]byte(n.unit("mempool-api")), "Environment"); n.containers["electrumx"] == nil || !slices.Contains(env, "ELECTRUM_HOST=electrumx") {
		t.Errorf("moved to a unit: %q", env)
	}
}

// The owner's list may have the name that the container had when he stopped it.
func TestStoppedUnderAnOlderName(t *testing.T) {
	t.Parallel()
	n := olderNamed(t)
	if err := os.WriteFile(n.layout.Host(n.layout.UserStopped()), []byte(`["old-base"]`), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := n.result(n.pass(), "base"); got.Action != Stopped || n.containers["old-base"].State.Running {
		t.Errorf("%+v", got)
	}
	n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"base"}})
	if got := n.text(n.layout.UserStopped()); got != "[]\n" || !n.containers["old-base"].State.Running {
		t.Errorf("after its start the list is %q", got)
	}
	n.unharmed()
}

// What podman has lost track of is up: it is not restarted while podman can start nothing, and nothing else is done either.
func TestNothingIsMovedOverByAnUnsoundPodman(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	pid := n.services["solo.service"].MainPID
	n.mu.Lock()
	n.drop(n.containers["solo"])
	n.downed(n.containers["web"], 1)
	n.mu.Unlock()
	n.monitor("solo", pid)
	sick, asked := errors.New("podman is stale-pause"), 0
	pass := func(o ...func(*Options)) error {
		p := n.passOf(o...)
		p.Sound = func(context.Context) error { asked++; return sick }
		_, err := p.Run(context.Background())
		return err
	}
	if err := pass(); !errors.Is(err, sick) || asked != 1 {
		t.Errorf("a pass says %v after %d questions", err, asked)
	}
	equal(t, "touched", n.touched(), nil)
	if err := pass(func(o *Options) { o.CheckOnly = true }); err != nil || asked != 1 {
		t.Errorf("a look says %v after %d questions", err, asked)
	}
	sick = nil
	if err := pass(); err != nil || asked != 2 {
		t.Errorf("a pass of a sound podman says %v after %d questions", err, asked)
	}
	if err := pass(); err != nil || asked != 2 {
		t.Errorf("with nothing lost: %v after %d questions", err, asked)
	}
}

// podman's service may answer from a database that is gone: before anything is decided it is ended, and a look takes it for what it is. One that cannot be
// ended is told.
func TestAServiceOfAGoneDatabaseIsRenewed(t *testing.T) {
	t.Parallel()
	n := fiveRunning(t)
	pid := n.services["solo.service"].MainPID
	var changes []bool
	var kept error
	pass := func(o ...func(*Options)) Result {
		p := n.passOf(o...)
		p.Renew = func(_ context.Context, change bool) (string, error) {
			changes = append(changes, change)
			if kept != nil {
				return "the database is gone", kept
			}
			n.mu.Lock()
			defer n.mu.Unlock()
			if c := n.containers["solo"]; c != nil {
				n.drop(c)
			}
			return "the database is gone", nil
		}
		r, err := p.Run(context.Background())
		if err != nil || !slices.Contains(r.Warnings, "the database is gone") || r.Podman.Evidence != "the database is gone" {
			t.Errorf("%v: %+v, warnings %q", err, r.Podman, r.Warnings)
		}
		return r
	}
	n.monitor("solo", pid)
	kept = errors.New("busy")
	if r := pass(); r.ExitCode != ExitSomeFailed || len(n.touched()) > 0 {
		t.Errorf("exit code %d, touched %v", r.ExitCode, n.touched())
	}
	kept = nil
	if r := pass(func(o *Options) { o.CheckOnly = true }); r.Podman.State != string(heal.LostTrack) || len(r.Plan) == 0 {
		t.Errorf("%+v, plan %v", r.Podman, r.Plan)
	}
	if r := pass(); n.result(r, "solo").Action != Restarted {
		t.Errorf("%+v", n.result(r, "solo"))
	}
	if !slices.Equal(changes, []bool{true, false, true}) {
		t.Errorf("asked for changes: %v", changes)
	}
}

// At a first boot, too, an app waits for those that it needs and for nobody else: a chain that takes its time keeps the files away from
// nobody.
func TestAFirstBootWaitsForWhatIsNeeded(t *testing.T) {
	t.Parallel()
	apps := five()
	apps["page"] = manifestOf("page", 4)
	n := newNode(t, apps).firstBootDone()
	plan := n.plan(func(o *Options) { o.Boot = true })
	start := map[string]Operation{}
	for _, op := range plan.Ops {
		if op.Kind == Start {
			start[op.App] = op
		}
	}
	for _, pair := range []struct {
		app, other string
		waits      bool
	}{{"web", "api", true}, {"api", "pgdb", true}, {"page", "pgdb", false}, {"page", "web", false}, {"solo", "base", false}} {
		app, other := start[pair.app], start[pair.other]
		if app.N == 0 || other.N == 0 || slices.Contains(app.After, other.N) != pair.waits {
			t.Errorf("%s (%d) starts after %v; waits for %s (%d): want %v", pair.app, app.N, app.After, pair.other, other.N, pair.waits)
		}
	}
}

// An app without a health check is the first of its tier that is begun at a first boot, and of no lower one.
func TestTheMuteOneIsTheFirstOfItsTier(t *testing.T) {
	t.Parallel()
	apps := five()
	for id, tier := range map[string]int{"mute": 3, "zero": 0} {
		apps[id], _, _ = strings.Cut(manifestOf(id, tier), "  health_check:")
	}
	n := newNode(t, apps).firstBootDone()
	for boot, want := range map[bool][]string{true: {"zero", "pgdb", "base", "api", "mute", "solo", "web"}, false: {"pgdb", "zero", "base", "api", "mute", "solo", "web"}} {
		o := func(o *Options) { o.Boot = boot }
		p := n.passOf(o)
		w, err := p.Observer.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		plan := n.plan(o)
		ranks := newRun(&Applier{Options: p.Observer.Options, Now: n.now}, w, plan).ranks(plan.Ops)
		slices.SortStableFunc(plan.Ops, func(a, b Operation) int { return cmp.Compare(ranks[a.N], ranks[b.N]) })
		var got []string
		for _, op := range plan.Ops {
			if op.Kind == Start {
				got = append(got, op.App)
			}
		}
		equal(t, fmt.Sprintf("starts, a first boot: %v", boot), got, want)
	}
}

// peerNode is a node on which web keeps the address of api.
func peerNode(t *testing.T) *fakeNode {
	apps := five()
	apps["web"] = strings.Replace(apps["web"], "    network: archy-net\n", "    network: archy-net\n    restart_on_peer_change: [api]\n", 1)
	n := newNode(t, apps).firstBootDone()
	n.pass()
	n.converged()
	n.calls = nil
	return n
}

// moves gives a running app another address, as a restart does.
func (n *fakeNode) moves(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.containers[name]
	n.up(c)
	c.ID = fmt.Sprintf("another-%d", n.lastID)
	c.Health.Status = podman.HealthHealthy
}

// peer-address-change: one restart, and only of the app that keeps the address (incident 12).
func TestIncident12PeerAddressChange(t *testing.T) {
	n := peerNode(t)
	n.moves("api")
	if got := n.result(n.pass(), "web"); got.Row != "38" || got.Action != Restarted {
		t.Errorf("%+v", got)
	}
	equal(t, "touched", n.touched(), []string{"restart web"})
	n.converged()
}

// A peer that flaps does not restart the app in each pass, and opens no breaker; nor does one that is away in between.
func TestAPeerThatFlaps(t *testing.T) {
	for what, meanwhile := range map[string]func(n *fakeNode){
		"restarted": func(*fakeNode) {},
		"and away": func(n *fakeNode) {
			n.containers["api"].Health.Status = podman.HealthStarting
			n.pass()
			n.containers["api"].Health.Status = podman.HealthHealthy
		},
	} {
		t.Run(what, func(t *testing.T) {
			n := peerNode(t)
			for range 40 {
				n.moves("api")
				meanwhile(n)
				n.pass()
				n.later(30 * time.Second)
			}
			if got := len(n.touched()); got < 3 || got > 10 {
				t.Errorf("%d restarts in twenty minutes: %q", got, n.touched())
			}
			if h := n.history("web"); h.IsOpen() || h.Attempts(n.peek()) > 0 {
				t.Errorf("%+v", h)
			}
			n.later(10 * time.Minute)
			n.pass()
			n.converged()
		})
	}
}

// renewed makes a running app another container at the address that it had.
func (n *fakeNode) renewed(name string) {
	networks := n.containers[name].Networks
	n.moves(name)
	n.containers[name].Networks = networks
}

// That a peer is another container at its address is noted in the app's record, and only under the app's lock: what another command
// writes there meanwhile stays.
func TestAPeerAtTheSameAddressIsNotedUnderTheLock(t *testing.T) {
	n := peerNode(t)
	n.renewed("api")
	lock, err := n.locks.App(t.Context(), "web", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	before := n.record("web")
	if r := n.pass(); r.ExitCode != 0 {
		t.Errorf("%+v", r)
	}
	equal(t, "the record of a locked app", n.record("web"), before)
	lock.Release()

	upgraded := before
	upgraded.PreviousImages = []string{"docker.io/example/web:v0.9"}
	p := n.passOf()
	p.Planned = func(*World, Plan) {
		if err := n.store.WriteRecord(upgraded); err != nil {
			t.Error(err)
		}
	}
	if r, err := p.Run(t.Context()); err != nil || r.ExitCode != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	equal(t, "the record that another command wrote", n.record("web").PreviousImages, upgraded.PreviousImages)

	n.pass()
	if got := n.record("web"); got.PeerStarts["api"] != n.startOf("api") {
		t.Errorf("%+v", got)
	}
	equal(t, "touched", n.touched(), nil)
}

// startOf is the start of an app's container as the records name it.
func (n *fakeNode) startOf(name string) string {
	c := n.containers[name]
	return startOf(c.ID, c.State.StartedAt)
}

// After a boot systemd has started both, the peer first: the app has looked the new address up, and is left alone. From then on that address counts.
func TestBothStartedAnew(t *testing.T) {
	n := peerNode(t)
	n.later(time.Minute)
	n.moves("api")
	n.moves("web")
	n.pass()
	equal(t, "touched", n.touched(), nil)
	if got := n.record("web"); got.PeerStarts["api"] != n.startOf("api") || got.Peers["api"] != address(*n.containers["api"]) {
		t.Errorf("%+v", got)
	}
	n.moves("api")
	n.pass()
	equal(t, "touched", n.touched(), []string{"restart web"})
}

// Who started the peer by hand has the same container at another address.
func TestAPeerThatIsTheSameContainer(t *testing.T) {
	n := peerNode(t)
	id := n.containers["api"].ID
	n.later(time.Minute)
	n.moves("api")
	n.containers["api"].ID = id
	n.pass()
	equal(t, "touched", n.touched(), []string{"restart web"})
}

// An app that archy has not started itself, as an adopted one, has no address noted: the first pass notes it.
func TestNoAddressIsKnown(t *testing.T) {
	n := peerNode(t)
	r := n.record("web")
	r.Peers, r.PeerStarts = nil, nil
	if err := n.store.WriteRecord(r); err != nil {
		t.Fatal(err)
	}
	n.pass()
	equal(t, "touched", n.touched(), nil)
	n.moves("api")
	n.pass()
	equal(t, "touched", n.touched(), []string{"restart web"})
}

// A record that names no starts, as another program writes it, is no reason to fall.
func TestARecordWithoutPeerStarts(t *testing.T) {
	n := peerNode(t)
	r := n.record("web")
	r.PeerStarts = nil
	if err := n.store.WriteRecord(r); err != nil {
		t.Fatal(err)
	}
	n.pass()
	if got := n.record("web"); got.PeerStarts["api"] != n.startOf("api") {
		t.Errorf("%+v", got)
	}
}
