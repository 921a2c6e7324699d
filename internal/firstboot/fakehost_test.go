package firstboot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

var shipped = sync.OnceValue(func() *manifest.Set {
	set, _ := manifest.LoadFS(apps.FS, "apps")
	return set
})

// fakeHost is a bare machine in a directory, with a systemd, a ufw and a Tor that remember what they were told.
type fakeHost struct {
	*Host
	t    *testing.T
	root string

	calls   [][]string // all that changed something
	asked   int
	active  map[string]bool
	enabled map[string]bool
	fail    map[string]error // by the first words of a call
	says    string           // by what fails, on its standard output
	ssh     string
	version map[string]string

	ufwActive bool
	ufwRules  []string
	// kernel is what iptables and ip6tables print of ufw's rules. A call of ufw that begins with ufwDies ends before the kernel hears of it.
	kernel  map[string]string
	ufwDies string
	journal string
	stale   string
	torRead string
	stdin   string
	// timedatectl is what that prints of the clock.
	timedatectl func() string
	// tunnel are the addresses of the running interface, as wg-quick(8) gave it or it was given later.
	tunnel []string
}

// newHost is a machine that has Debian's packages and the service user, and nothing of archy.
func newHost(t *testing.T) *fakeHost {
	t.Helper()
	// Short, because it holds a socket; in memory, because everything is synced again and again.
	root, err := os.MkdirTemp("/dev/shm", "archy-fb-")
	if err != nil {
		root, err = os.MkdirTemp("", "archy-fb-")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	u := node.User{Name: "archipelago", UID: os.Getuid(), GID: os.Getgid(), Home: "/home/archipelago", Groups: []int{os.Getgid()}}
	cfg := node.Default()
	l := node.NewLayout(root, cfg, u)
	set := shipped()
	f := &fakeHost{t: t, root: root, active: map[string]bool{}, enabled: map[string]bool{}, fail: map[string]error{}, journal: "@9999999999", stale: "no", torRead: "@9999999999",
		timedatectl: func() string { return "NTP=yes\nNTPSynchronized=yes\n" },
		version:     map[string]string{"podman": "podman version 5.4.2", "systemctl": "systemd 257 (257.8-1~deb13u2)"}}
	f.Host = &Host{Layout: l, Config: cfg, User: u, Set: set, State: state.New(l), Runner: f, Engine: f, Reserve: 1 << 20, WantUID: u.UID,
		System: Owner{u.UID, u.GID}, Facts: node.Facts{MemTotal: 16 << 30, Cores: 4, DataDisk: 2e12, DataFree: 1 << 40,
			Delegated: node.Controllers{CPU: true, Memory: true, Pids: true}},
		Secrets: &secrets.Store{Dir: l.Host(l.Secrets()), UID: u.UID, GID: u.GID},
		DataPresent: func(ids []string) bool {
			return slices.ContainsFunc(ids, func(id string) bool {
				return slices.ContainsFunc(set.Apps[id].Claims(), func(dir string) bool { _, err := os.Stat(l.Host(dir)); return err == nil })
			})
		},
		Now:   func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
		Pause: func(ctx context.Context, _ time.Duration) bool { return ctx.Err() == nil }, NewID: func() string { return "an-id" }}
	f.machine()
	f.Chosen = []string{"bitcoin-knots", "lnd"}
	return f
}

// machine lays out what Debian has.
func (f *fakeHost) machine() {
	for _, dir := range []string{"home/archipelago", "var/lib/tor", "var/log", "opt", "run", "var/lib/systemd/linger", "etc/systemd/system", "etc/wireguard", "proc/sys/net/ipv6"} {
		f.must(os.MkdirAll(f.at(dir), 0o755))
	}
	f.must(os.MkdirAll(f.at(f.Layout.RuntimeDir), 0o700))
	for _, name := range append(slices.Clone(Tools), "tor", "ufw", "wg") {
		f.write("/usr/bin/"+name, "#!/bin/sh\n", 0o755)
	}
	f.write("/usr/lib/systemd/user-generators/podman-user-generator", "", 0o755)
	f.write("/proc/filesystems", "nodev\tsysfs\nnodev\toverlay\n\text4\n", 0o644)
	f.write("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n", 0o644)
	f.write(reservedPorts, "\n", 0o644)
	f.write("/etc/default/ufw", "IPV6=yes\nDEFAULT_INPUT_POLICY=\"DROP\"\nDEFAULT_OUTPUT_POLICY=\"ACCEPT\"\n", 0o644)
	f.write("/etc/tor/torrc", "# the operator's\nLog notice syslog\n", 0o644)
}

func (f *fakeHost) at(p string) string { return filepath.Join(f.root, p) }

func (f *fakeHost) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fakeHost) write(p, text string, mode fs.FileMode) {
	f.t.Helper()
	f.must(os.MkdirAll(filepath.Dir(f.at(p)), 0o755))
	f.must(os.WriteFile(f.at(p), []byte(text), mode))
	f.must(os.Chmod(f.at(p), mode))
}

func (f *fakeHost) read(p string) string {
	f.t.Helper()
	text, err := os.ReadFile(f.at(p))
	f.must(err)
	return string(text)
}

// listen makes the user's bus answer.
func (f *fakeHost) listen() {
	name := f.at(f.Layout.UserBus())
	if _, err := os.Stat(name); err == nil {
		return
	}
	l, err := net.Listen("unix", name)
	f.must(err)
	f.t.Cleanup(func() { l.Close() })
}

// Info implements Engine: podman has the storage that its configuration says.
func (f *fakeHost) Info(context.Context) (podman.Info, error) {
	text, _ := os.ReadFile(f.at("/home/archipelago/.config/containers/storage.conf"))
	return podman.Info{Version: "5.4.2", GraphRoot: storageValue(string(text), "graphroot")}, nil
}

// Run implements command.Runner.
func (f *fakeHost) Run(ctx context.Context, c command.Cmd) (command.Result, error) {
	if ctx.Err() != nil {
		return command.Result{}, ctx.Err()
	}
	if c.Limit <= 0 {
		f.t.Errorf("%v has no time limit", c.Argv)
	}
	if c.Stdin != nil {
		var b bytes.Buffer
		_, _ = b.ReadFrom(c.Stdin)
		f.stdin = b.String()
	}
	argv := c.Argv
	if argv[0] == "setpriv" {
		at := slices.IndexFunc(argv, func(s string) bool { return strings.HasPrefix(s, "DBUS_SESSION_BUS_ADDRESS=") })
		argv = argv[at+1:]
	}
	line := strings.Join(argv, " ")
	for prefix, err := range f.fail {
		if strings.HasPrefix(line, prefix) {
			return command.Result{Stdout: []byte(f.says)}, err
		}
	}
	text, changes, err := f.answer(argv, line)
	f.asked++
	if changes {
		f.calls = append(f.calls, argv)
	}
	return command.Result{Stdout: []byte(text)}, err
}

var errNo = errors.New("exit code 3")

func (f *fakeHost) answer(argv []string, line string) (text string, changes bool, err error) {
	last := argv[len(argv)-1]
	yes := func(ok bool) error {
		if ok {
			return nil
		}
		return errNo
	}
	switch {
	case argv[0] == "ufw":
		return f.ufw(argv[1:])
	case argv[0] == "podman", line == "systemctl --version":
		return f.version[argv[0]], false, nil
	case argv[0] == "timedatectl":
		return f.timedatectl(), false, nil
	case argv[0] == "ss":
		return f.ssh, false, nil
	case argv[0] == "tor":
		return "", false, nil
	case line == "wg genkey":
		return "c2VjcmV0IGtleSBvZiB0aGlzIG5vZGU=\n", false, nil
	case argv[0] == "iptables" || argv[0] == "ip6tables":
		return f.kernel[argv[0]], false, nil
	case argv[0] == "ip":
		return f.ip(argv[1:])
	case argv[0] == "wg-quick":
		return "[Interface]\nPrivateKey = x\n", false, nil
	case strings.Contains(line, "NeedDaemonReload"):
		return f.stale + "\n", false, nil
	case strings.Contains(line, "ExecMainStartTimestamp"):
		return f.journal + "\n", false, nil
	case strings.Contains(line, "StateChangeTimestamp"):
		return f.torRead + "\n", false, nil
	case strings.Contains(line, "is-active"):
		return "", false, yes(f.active[last])
	case strings.Contains(line, "is-enabled"):
		word := "disabled"
		if f.enabled[last] {
			word = "enabled"
		}
		return word + "\n", false, yes(f.enabled[last])
	}
	return "", true, f.change(argv, line, last)
}

func (f *fakeHost) change(argv []string, line, last string) error {
	switch {
	case line == "/usr/lib/ufw/ufw-init force-reload":
		f.loadRules()
	case strings.HasSuffix(line, "podman system migrate"):
		_ = os.Remove(f.at(f.Layout.RuntimeDir + "/libpod/tmp/pause.pid"))
	case argv[0] == "loginctl":
		f.write("/var/lib/systemd/linger/archipelago", "", 0o644)
		f.listen()
	case strings.HasPrefix(line, "systemctl reload-or-restart tor"):
		f.active[last], f.torRead = true, "@9999999999"
		f.makeOnions()
	case strings.Contains(line, "enable"):
		if strings.Contains(line, "wg-quick") && !f.active[last] {
			f.tunnel = fields("Address = ", f.read(WireGuardConf))
		}
		f.enabled[last] = true
		f.active[last] = f.active[last] || strings.Contains(line, "--now")
	case strings.HasPrefix(line, "systemctl start"):
		f.active[last] = true
		f.listen()
	}
	return nil
}

// fields are the rests of the lines that begin so.
func fields(begin, text string) (list []string) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, begin); ok {
			list = append(list, strings.TrimSpace(rest))
		}
	}
	return list
}

// ip keeps the addresses of the tunnel, as ip-address(8) does.
func (f *fakeHost) ip(args []string) (text string, changes bool, err error) {
	if args[0] == "-j" {
		var list []string
		for _, a := range f.tunnel {
			address, length, _ := strings.Cut(a, "/")
			list = append(list, fmt.Sprintf(`{"family":"inet","local":%q,"prefixlen":%s,"scope":"global"}`, address, length))
		}
		return `[{"ifname":"wg-archy","addr_info":[` + strings.Join(list, ",") + "]}]\n", false, nil
	}
	f.tunnel = slices.DeleteFunc(f.tunnel, func(a string) bool { return a == args[2] })
	if args[1] == "replace" {
		f.tunnel = append(f.tunnel, args[2])
	}
	return "", true, nil
}

// makeOnions makes a name for each service of torrc, as Tor does.
func (f *fakeHost) makeOnions() {
	for line := range strings.Lines(f.read(Torrc)) {
		if dir, ok := strings.CutPrefix(strings.TrimSpace(line), "HiddenServiceDir "); ok {
			f.write(dir+"hostname", filepath.Base(dir)+".onion\n", 0o600)
		}
	}
}

// ufw keeps rules and prints them as ufw 0.36.2 does.
func (f *fakeHost) ufw(args []string) (text string, changes bool, err error) {
	line := strings.Join(args, " ")
	switch {
	case line == "status":
		if f.ufwActive {
			return "Status: active\n", false, nil
		}
		return "Status: inactive\n", false, nil
	case line == "show added":
		return "Added user rules (see 'ufw status' for running firewall):\n" + strings.Join(f.ufwRules, "\n") + "\n", false, nil
	case line == "--force enable":
		f.ufwActive = true
	case args[0] == "default":
	case args[0] == "allow":
		added := shown(args)
		at := slices.IndexFunc(f.ufwRules, func(r string) bool { return parseRule(strings.TrimPrefix(r, "ufw ")).same(parseRule(line).Rule) })
		if at < 0 {
			f.ufwRules = append(f.ufwRules, added)
		} else {
			f.ufwRules[at] = added
		}
	case strings.HasPrefix(line, "--force delete allow"):
		want := shown(args[2:])
		f.ufwRules = slices.DeleteFunc(f.ufwRules, func(r string) bool { head, _, _ := strings.Cut(r, " comment "); return head == want })
	default:
		return "", false, fmt.Errorf("ufw does not know %q", line)
	}
	f.writeRules()
	if f.ufwDies != "" && strings.HasPrefix(line, f.ufwDies) {
		return "", true, errors.New("killed")
	}
	if f.ufwActive {
		f.loadRules()
	}
	return "", true, nil
}

// writeRules writes ufw's files: a rule for everybody is in both.
func (f *fakeHost) writeRules() {
	v4, v6 := "*filter\n:ufw-user-input - [0:0]\n", "*filter\n:ufw6-user-input - [0:0]\n"
	for _, r := range f.ufwRules {
		rule := parseRule(strings.TrimPrefix(r, "ufw "))
		text := fmt.Sprintf("-p %s -s %s --dport %d -j ACCEPT\n", rule.Proto, rule.From, rule.Port)
		if !strings.Contains(rule.From, ":") {
			v4 += "-A ufw-user-input " + text
		}
		if !strings.Contains(rule.From, ".") {
			v6 += "-A ufw6-user-input " + text
		}
	}
	f.write("/etc/ufw/user.rules", v4+"COMMIT\n", 0o640)
	f.write("/etc/ufw/user6.rules", v6+"COMMIT\n", 0o640)
}

// loadRules gives the kernel the rules of ufw's files, which iptables prints in its own words.
func (f *fakeHost) loadRules() {
	f.kernel = map[string]string{}
	for tool, name := range map[string]string{"iptables": "user.rules", "ip6tables": "user6.rules"} {
		_, rules, _ := strings.Cut(f.read("/etc/ufw/"+name), "[0:0]\n")
		f.kernel[tool] = "-N a-chain\n" + strings.ReplaceAll(strings.TrimSuffix(rules, "COMMIT\n"), " --dport", " -m tcp --dport")
	}
}

// shown is a rule in the words of "ufw show added".
func shown(args []string) string {
	r := parseRule(strings.Join(args, " "))
	text := fmt.Sprintf("ufw allow %d/%s", r.Port, r.Proto)
	if r.From != "" {
		text = fmt.Sprintf("ufw allow from %s to any port %d proto %s", r.From, r.Port, r.Proto)
	}
	if r.Comment != "" {
		text += " comment '" + r.Comment + "'"
	}
	return text
}

// called tells whether a call that changes something begins so.
func (f *fakeHost) called(prefix string) bool {
	return slices.ContainsFunc(f.calls, func(argv []string) bool { return strings.HasPrefix(strings.Join(argv, " "), prefix) })
}

// install writes records as if apps had been made.
func (f *fakeHost) install(ids ...string) {
	for _, id := range ids {
		f.must(f.State.WriteRecord(state.Record{App: id, Container: f.Set.Apps[id].Unit(), Owner: state.Quadlet, Installed: true}))
	}
}

// tree is all that lies in the machine's directory, with modes and contents.
func (f *fakeHost) tree() string {
	var b strings.Builder
	f.must(filepath.WalkDir(f.root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %s", strings.TrimPrefix(p, f.root), info.Mode())
		if info.Mode().IsRegular() && info.Size() < 1<<20 {
			text, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %q", text)
		}
		b.WriteString("\n")
		return nil
	}))
	return b.String()
}

// fakeStage is the child's work.
type fakeStage struct {
	host *fakeHost
	run  func(ctx context.Context, job AppsJob, report func(Event)) error
	jobs []AppsJob
	todo []string
}

func (s *fakeStage) Check(_ context.Context, job AppsJob) ([]string, error) { return s.todo, nil }

func (s *fakeStage) Run(ctx context.Context, job AppsJob, report func(Event)) error {
	s.jobs = append(s.jobs, job)
	if s.run != nil {
		return s.run(ctx, job, report)
	}
	for _, name := range []string{Networks, Files, Images, Containers, Post} {
		report(Event{Kind: StepEvent, Step: name, State: Running})
		report(Event{Kind: StepEvent, Step: name, State: Done})
	}
	for _, id := range job.Apps {
		s.host.install(id)
		report(Event{Kind: AppEvent, App: id, Phase: PhaseDone, Percent: 100})
	}
	return nil
}

// runner is a first boot of the chosen apps on the machine.
func (f *fakeHost) runner(events *[]Event) (*Runner, *fakeStage) {
	stage := &fakeStage{host: f}
	f.Impatient = false
	return &Runner{Host: f.Host, Selection: Selection{Profile: "core", Apps: f.Chosen}, Apps: stage, Version: "1", RunID: "r",
		Report: func(ev Event) { *events = append(*events, ev) }}, stage
}
