package doctor

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/dist"
	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/update"
)

var shipped = sync.OnceValue(func() *manifest.Set {
	set, _ := manifest.LoadFS(apps.FS, "apps")
	return set
})

// now is the time of the fake node.
var now = time.Now()

// fake is a node in a directory, as a first boot leaves it, with a systemd, a ufw and a podman that say what they are told
// to. Everything of it may be broken.
type fake struct {
	*Node
	t    *testing.T
	root string
	// says are the answers of programs by the first words of a call; an error in fails wins.
	says  map[string]string
	fails map[string]error

	mu    sync.Mutex
	calls []string

	apps     []*reconcile.App
	plan     reconcile.Plan
	worldErr error
	networks []podman.Network
	info     podman.Info
	pending  *update.Marker
	last     *update.Marker
	markErr  error
}

func (f *fake) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fake) at(p string) string { return filepath.Join(f.root, p) }

func (f *fake) write(p, text string, mode fs.FileMode) {
	f.t.Helper()
	f.must(os.MkdirAll(filepath.Dir(f.at(p)), 0o755))
	f.must(os.WriteFile(f.at(p), []byte(text), mode))
	f.must(os.Chmod(f.at(p), mode))
}

func (f *fake) read(p string) string {
	f.t.Helper()
	text, err := os.ReadFile(f.at(p))
	f.must(err)
	return string(text)
}

func (f *fake) remove(p string) {
	f.t.Helper()
	f.must(os.RemoveAll(f.at(p)))
}

// newNode is a healthy node.
func newNode(t *testing.T) *fake {
	t.Helper()
	// Short, because it holds sockets.
	root, err := os.MkdirTemp("/dev/shm", "archy-dr-")
	if err != nil {
		root, err = os.MkdirTemp("", "archy-dr-")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	u := node.User{Name: "archipelago", UID: os.Getuid(), GID: os.Getgid(), Home: "/home/archipelago", Groups: []int{os.Getgid()}}
	cfg := node.Default()
	l := node.NewLayout(root, cfg, u)
	set := shipped()
	store := &secrets.Store{Dir: l.Host(l.Secrets()), UID: u.UID, GID: u.GID}
	f := &fake{t: t, root: root, says: map[string]string{}, fails: map[string]error{}, info: podman.Info{Version: "5.4.2", GraphRoot: firstboot.Graphroot(l)}}
	facts := node.Facts{MemTotal: 16 << 30, Cores: 4, DataFree: 1 << 40, HostIP: "192.0.2.10", SubUID: node.SubRange{Start: 100000, Count: 65536},
		Delegated: node.Controllers{CPU: true, Memory: true, Pids: true}}
	owner := firstboot.Owner{UID: u.UID, GID: u.GID}
	f.Node = &Node{Layout: l, Config: cfg, User: u, Facts: facts, Set: set, Wanted: secrets.FirstBootSecrets(), State: state.New(l), Secrets: store,
		Host: &firstboot.Host{Layout: l, Config: cfg, User: u, Set: set, State: state.New(l), Secrets: store, Runner: f, Engine: f, Facts: facts,
			Reserve: 1 << 20, WantUID: u.UID, System: owner, Impatient: true, Now: func() time.Time { return now },
			Pause: func(context.Context, time.Duration) bool { return true }},
		Updates: f, Runner: f, Engine: f, Version: "test", Now: func() time.Time { return now }, Lateness: 50 * time.Millisecond,
		Resolve: func(context.Context, string) error { return nil },
		Publish: func(dir string) error { return os.Chmod(f.at(dir), 0o755) },
		Podman:  func(context.Context) (heal.Diagnosis, error) { return heal.Diagnosis{State: heal.OK}, nil },
		Observe: func(context.Context) (*reconcile.World, reconcile.Plan, error) {
			return &reconcile.World{Now: now, Apps: f.apps}, f.plan, f.worldErr
		}}
	f.machine(owner)
	f.firstBooted(owner)
	return f
}

// machine is what Debian and its kernel have.
func (f *fake) machine(owner firstboot.Owner) {
	f.write("/etc/passwd", "", 0o644)
	f.write("/etc/subuid", "archipelago:100000:65536\n", 0o644)
	f.write("/etc/subgid", "archipelago:100000:65536\n", 0o644)
	f.write("/proc/meminfo", "MemTotal: 16000000 kB\nMemAvailable: 9000000 kB\n", 0o644)
	f.write("/proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", 0o644)
	f.write("/proc/net/route", "Iface\tDestination\tGateway\nlan0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", 0o644)
	f.write("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n", 0o644)
	f.write("/etc/default/ufw", "IPV6=yes\nDEFAULT_INPUT_POLICY=\"DROP\"\nDEFAULT_OUTPUT_POLICY=\"ACCEPT\"\n", 0o644)
	for _, tool := range append([]string{"tor", "ufw"}, firstboot.Tools...) {
		f.write("/usr/bin/"+tool, "#!/bin/sh\n", 0o755)
	}
	f.write("/usr/local/bin/archy", "", 0o755)
	f.write("/var/lib/systemd/linger/archipelago", "", 0o644)
	f.must(os.MkdirAll(f.at(f.Layout.RuntimeDir), 0o700))
	f.must(os.Chmod(f.at(f.Layout.RuntimeDir), 0o700))
	f.must(os.MkdirAll(f.at(filepath.Dir(f.Layout.PodmanSocket())), 0o755))
	for _, socket := range []string{f.Layout.UserBus(), f.Layout.PodmanSocket()} {
		l, err := net.Listen("unix", f.at(socket))
		f.must(err)
		f.t.Cleanup(func() { l.Close() })
	}
	f.says["timedatectl"] = "NTP=yes\nNTPSynchronized=yes\n"
	f.says["podman --version"] = "podman version 5.4.2\n"
	f.says["/usr/local/bin/archy version"] = `{"schema":1,"version":"test"}`
	f.says["ufw status"] = "Status: active\n"
	rules := "Added user rules (see 'ufw status' for running firewall):\n"
	for _, r := range firstboot.BaseRules(f.Config) {
		rules += "ufw allow " + itoa(r.Port) + "/" + r.Proto + " comment '" + r.Comment + "'\n"
	}
	f.says["ufw show added"] = rules
	f.says["systemctl is-enabled"] = "enabled\n"
	_ = owner
}

// firstBooted is what a first boot and an installation lay down.
func (f *fake) firstBooted(owner firstboot.Owner) {
	l := f.Layout
	for _, d := range append(firstboot.DirectoryTable(l, owner, owner), append(firstboot.UserDirectories(l, owner), firstboot.SystemDirectories(owner)...)...) {
		f.must(os.MkdirAll(f.at(d.Path), 0o755))
		f.must(os.Chmod(f.at(d.Path), d.Mode))
	}
	for _, file := range []firstboot.File{firstboot.StorageConf(l, owner), firstboot.ContainersConf(l, owner), firstboot.UserManagerDropIn(owner),
		firstboot.JournalConf(owner), firstboot.TmpfilesConf(owner), firstboot.SysctlConf(owner, firstboot.EphemeralPorts(f.Host.Set)), {Path: firstboot.InstallLog, Mode: 0o644}} {
		f.write(file.Path, string(file.Text), file.Mode)
	}
	f.must(os.Symlink(firstboot.Graphroot(l), f.at(firstboot.StorageLink(l))))
	f.write(l.State(".reserve"), strings.Repeat("x", 1<<20), 0o600)
	f.write(node.VolumeIDPath, "an-id\n", 0o644)
	f.write(l.VolumeMark(), "an-id\n", 0o644)
	f.write(l.FirstBootDone(), "{}\n", 0o644)
	for _, w := range f.Wanted {
		_, _, err := f.Secrets.Generate(w.Name, w.Kind)
		f.must(err)
	}
	f.write(firstboot.Torrc, firstboot.TorBlock([]firstboot.Onion{firstboot.Onions[0]}), 0o644)
	f.write("/var/lib/tor/archy_web/hostname", "web.onion\n", 0o600)
	f.write(l.Data("tor-hostnames/web"), "web.onion\n", 0o644)
	units, err := fs.Glob(dist.FS, "systemd/archy-*")
	f.must(err)
	for _, u := range units {
		f.write(filepath.Join(unitDir, filepath.Base(u)), string(dist.Text(u)), 0o644)
	}
	f.write(webUIDir+"/index.html", "<html>", 0o644)
}

// Run implements command.Runner.
func (f *fake) Run(ctx context.Context, c command.Cmd) (command.Result, error) {
	line := strings.Join(c.Argv, " ")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, line)
	if c.Limit <= 0 {
		f.t.Errorf("%s has no time limit", line)
	}
	for prefix, err := range f.fails {
		if strings.HasPrefix(line, prefix) {
			return command.Result{Stdout: []byte(f.answer(line))}, err
		}
	}
	return command.Result{Stdout: []byte(f.answer(line))}, ctx.Err()
}

func (f *fake) answer(line string) string {
	for prefix, text := range f.says {
		if strings.HasPrefix(line, prefix) {
			return text
		}
	}
	return ""
}

func (f *fake) called(prefix string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if strings.HasPrefix(c, prefix) {
			return true
		}
	}
	return false
}

func (f *fake) Info(context.Context) (podman.Info, error)          { return f.info, nil }
func (f *fake) List(context.Context) ([]podman.Container, error)   { return nil, nil }
func (f *fake) Networks(context.Context) ([]podman.Network, error) { return f.networks, nil }
func (f *fake) Pending() (*update.Marker, error)                   { return f.pending, f.markErr }
func (f *fake) Last() (*update.Marker, error)                      { return f.last, nil }

// install writes records as if apps had been made.
func (f *fake) install(ids ...string) {
	f.t.Helper()
	for _, id := range ids {
		f.must(f.State.WriteRecord(state.Record{App: id, Container: f.Set.Apps[id].Unit(), Owner: state.Quadlet, Installed: true}))
	}
}

// everybody makes all checks.
func (f *fake) everybody(level Repair) []Result {
	return Run(context.Background(), f.Node, Checks(), level, Anyone, Root, ServiceUser)
}

// one makes one check.
func (f *fake) one(code string, level Repair) Result {
	f.t.Helper()
	for _, c := range Checks() {
		if c.Code == code {
			return Run(context.Background(), f.Node, []Check{c}, level, Anyone, Root, ServiceUser)[0]
		}
	}
	f.t.Fatalf("no check has the code %s", code)
	return Result{}
}

// tree is all that lies in the node's directory, with modes and contents.
func (f *fake) tree() string {
	var b bytes.Buffer
	f.must(filepath.WalkDir(f.root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b.WriteString(strings.TrimPrefix(p, f.root) + " " + info.Mode().String())
		if info.Mode().IsRegular() && info.Size() < 1<<19 {
			text, err := os.ReadFile(p)
			if err != nil && !errors.Is(err, fs.ErrPermission) {
				return err
			}
			b.Write(text)
		}
		b.WriteString("\n")
		return nil
	}))
	return b.String()
}
