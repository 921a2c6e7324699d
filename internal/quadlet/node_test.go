package quadlet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/test/node"
)

// The image has a shell, wget and printf; what the app in it does is of no interest here.
const nodeImage = "docker.io/filebrowser/filebrowser:v2.27.0"

// hostile are values that a wrong quoting would change on their way through Quadlet, systemd, podman and conmon.
var hostile = []string{
	"", " ", "a b", " both ends ", "tab-free  double  space", ";", ";;", "a;b", "#", "#no comment", "=", "a=b=c",
	`"`, `""`, `"quoted"`, `'`, `''`, `'quoted'`, `it's`, `mixed "double" and 'single'`, `"unbalanced`, `'unbalanced`,
	`\`, `\\`, `\n`, `\x41`, `\"`, `ends in \`, `a \ b`, `C:\dir\new`,
	"$", "$$", "$HOME", "${HOME}", "$b $@", "a$", "$(id)", "`id`", "${ARCHY_ARG_1}", "${ARCHY_ARG_1", "$1",
	"%", "%%", "%n", "%t/%N", "100%", "%%n", "%H-%m",
	"ä ö ü ß", "€", "😀 party", "日本語", "\u00a0", "\u3000wide\u3000", "e\u0301", "\u202eright to left",
	"--privileged", "-v", "-", "--", "[a]", `["a","b"]`, "{a}", "*", "?", "~", "!", "&", "|", "<in>", ">out", "&& reboot",
	`User ID=btcpay;Password="a""b;c";Host=archy-btcpay-db;Port=5432`, "http://archipelago:p%40ss%2Fword@bitcoin-knots:8332/",
	"b=$(command -v bitcoind || ls /opt/bitcoin-*/bin/bitcoind); exec $b $@", strings.Repeat("long $x %y \\ \" ' ", 500),
}

// tell writes what the process got, each file complete when it appears, and ends when it is told to.
const tell = `cd /data; cat /proc/self/environ >env.new; cat /run/key >key.new; printf '%s\000' "$@" >args.new; ` +
	`for f in env key args; do mv $f.new $f; done; trap 'exit 0' TERM; sleep 1000 & wait`

// TestRealNode renders, lets the node's generator, systemd 257 and podman 5.4.2 start it, and asks the process inside
// what it got.
func TestRealNode(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a node")
	}
	n := node.UpT(t, node.Options{})
	n.MustUser(t, "podman", "pull", "-q", nodeImage)
	n.MustUser(t, "mkdir", "-p", "/var/lib/archipelago/nasty", layout.UnitDir())
	const password = `hunter2 "b" $HOME %n \ 'c' ;`
	for _, name := range []string{"archy.nasty.PASSWORD", "archy.nasty.file.key"} {
		res := n.Run(context.Background(), node.Cmd{
			Args: []string{"podman", "secret", "create", name, "-"}, User: true, Stdin: strings.NewReader(password),
		})
		if res.Code != 0 || res.Err != nil {
			t.Fatal(res.Error())
		}
	}
	c := nasty(t, n)
	c.Secrets = []spec.SecretEnv{{Key: "PASSWORD", Secret: "archy.nasty.PASSWORD", Value: secrets.New(password)}}
	c.SecretMounts = []spec.SecretMount{{Secret: "archy.nasty.file.key", Target: "/run/key", Mode: "0400", Value: secrets.New(password)}}

	units := map[string][]byte{
		"nasty.container": render(t, c), "archy-net.network": network(t, "archy-net", "10.89.0.0/24", "10.89.0.1"),
	}
	dryRunOnNode(t, n, units)
	for name, text := range units {
		if err := n.WriteFile(filepath.Join(layout.UnitDir(), name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n.MustUser(t, "systemctl", "--user", "daemon-reload")
	n.MustUser(t, "systemctl", "--user", "start", "nasty.service")

	if got := await(t, n, "/var/lib/archipelago/nasty/args"); !slices.Equal(got, hostile) {
		report(t, "argument", got, hostile)
	}
	env := map[string]string{}
	for _, entry := range await(t, n, "/var/lib/archipelago/nasty/env") {
		key, value, _ := strings.Cut(entry, "=")
		env[key] = value
	}
	for key, want := range c.Env {
		if env[key] != want {
			t.Errorf("variable %s is %q, want %q", key, env[key], want)
		}
	}
	if env["PASSWORD"] != password {
		t.Errorf("the secret is %q, want %q", env["PASSWORD"], password)
	}
	if got := await(t, n, "/var/lib/archipelago/nasty/key"); !slices.Equal(got, []string{password}) {
		t.Errorf("the secret's file holds %q", got)
	}
	// The start job waited for the first good check, and that ran exactly the text.
	if got := await(t, n, "/var/lib/archipelago/nasty/health"); !slices.Equal(got, []string{`100% of "it" \o/ $x`}) {
		t.Errorf("the health check wrote %q", got)
	}
	inspect(t, n, "{{.State.Health.Status}}", "healthy")
	inspect(t, n, "{{.Config.StopTimeout}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.ShmSize}}", "10 true 67108864")
	inspect(t, n, `{{index .Config.Labels "io.archipelago.spec-hash"}}`, c.Hash())
	inspect(t, n, "{{.EffectiveCaps}}", "[CAP_DAC_OVERRIDE]")

	for _, args := range [][]string{
		{"podman", "inspect", "nasty"}, {"systemctl", "--user", "show", "nasty.service"},
		{"systemctl", "--user", "cat", "nasty.service"}, {"journalctl", "-o", "cat", "--no-pager"}, {"ps", "axww"},
	} {
		if out := n.MustUser(t, args...); strings.Contains(out, "hunter2") || out == "" {
			t.Errorf("%q shows the secret, or nothing at all", args)
		}
	}

	for name, argv := range map[string][]string{
		"a command line": {"sh", "-c", `test "$1" = 'a "b" $HOME %n'`, "sh", `a "b" $HOME %n`},
		"one word":       {"/bin/true"},
	} {
		c.Health.Argv, c.Health.Cmd = argv, ""
		if err := n.WriteFile(layout.Unit("nasty"), render(t, c), 0o644); err != nil {
			t.Fatal(err)
		}
		n.MustUser(t, "systemctl", "--user", "daemon-reload")
		n.MustUser(t, "systemctl", "--user", "restart", "nasty.service")
		inspect(t, n, "{{.State.Health.Status}}", "healthy")
		t.Logf("%s: healthy", name)
	}
}

func nasty(t *testing.T, n *node.Node) spec.Container {
	t.Helper()
	c := small()
	c.App, c.Name, c.Image, c.Network, c.StopGrace = "nasty", "nasty", nodeImage, "archy-net", 10
	c.Entrypoint = []string{"/bin/sh"}
	c.Command = append([]string{"-c", tell, "sh"}, hostile...)
	c.Env = map[string]string{}
	for i, value := range hostile {
		c.Env["NASTY_"+strconv.Itoa(i)] = value
	}
	c.Mounts = []spec.Mount{{Type: "bind", Source: "/var/lib/archipelago/nasty", Target: "/data", Own: true}}
	c.Tmpfs = []spec.Tmpfs{{Target: "/tmp", Options: []string{"size=1m"}}}
	c.User, c.CapAdd, c.NoNewPrivileges, c.ReadOnly = "0:0", []string{"DAC_OVERRIDE"}, true, true
	c.Memory, c.CPUs, c.ShmSize = 64<<20, 0.5, 64<<20
	c.AddHosts = []string{"host.containers.internal:host-gateway", "host.archipelago:host-gateway"}
	c.Ports = []spec.Port{{HostIP: "127.0.0.1", Host: 18080, Container: 80, Protocol: "tcp"}}
	c.Health = &spec.Health{
		Cmd:      `test -f /data/args && x='$x'; printf '%s' "100% of \"it\" \\o/ $x" >/data/health`,
		Interval: 30, Timeout: 5, Retries: 5, StartPeriod: 30,
	}
	c.Unit.NotifyHealthy = true
	delegated := n.MustRoot(t, "cat", "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers")
	controllers := strings.Fields(delegated)
	c.Unit.OmitMemory = !slices.Contains(controllers, "memory")
	c.Unit.OmitCPU = !slices.Contains(controllers, "cpu")
	c.Unit.OmitPids = !slices.Contains(controllers, "pids")
	return c
}

// dryRunOnNode lets the node's generator convert the units, those of the shipped apps, and one that it cannot, and
// compares with our conversion.
func dryRunOnNode(t *testing.T, n *node.Node, units map[string][]byte) {
	t.Helper()
	dir := t.TempDir() // the same path here and in the node
	n.MustRoot(t, "mkdir", "-p", dir)
	n.MustRoot(t, "chmod", "-R", "a+rx", filepath.Dir(dir))
	put := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := n.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	units = maps.Clone(units)
	units["immich-net.network"] = network(t, "immich-net", "10.89.1.0/24", "10.89.1.1")
	for _, c := range shipped(t) {
		units[c.Name+".container"] = render(t, c)
	}
	for name, text := range units {
		put(name, text)
	}
	services, err := DryRun(context.Background(), onNode{n}, dir)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := ConvertAll(units)
	if err != nil {
		t.Fatal(err)
	}
	for name, service := range ours {
		if got, want := sorted(execStart(t, services[name])), sorted(execStart(t, service)); !slices.Equal(got, want) {
			report(t, name+": word", got, want)
		}
	}
	put("bad.container", []byte("[Container]\nImage=x\nMemory=1g\n"))
	if _, err := DryRun(context.Background(), onNode{n}, dir); err == nil || !strings.Contains(err.Error(), "unsupported key 'Memory'") {
		t.Errorf("a unit that does not convert gives %v", err)
	}
}

// sorted, because Quadlet writes some flags in the order of a Go map.
func sorted(words []string) []string { return slices.Sorted(slices.Values(words)) }

type onNode struct{ n *node.Node }

func (o onNode) Run(ctx context.Context, env []string, argv ...string) (stdout, stderr []byte, err error) {
	res := o.n.Run(ctx, node.Cmd{Args: argv, User: true, Env: env})
	if err = res.Err; err == nil && res.Code != 0 {
		err = fmt.Errorf("exit status %d", res.Code)
	}
	return []byte(res.Stdout), []byte(res.Stderr), err
}

// await reads a file of NUL-separated words once the container has written it.
func await(t *testing.T, n *node.Node, path string) []string {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		data, err := n.ReadFile(path)
		if err == nil {
			return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
		}
		if !errors.Is(err, os.ErrNotExist) || time.Now().After(deadline) {
			t.Fatalf("%v\n%s", err, n.User(context.Background(), "journalctl", "--user", "-n", "30", "-o", "cat").Stdout)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func inspect(t *testing.T, n *node.Node, format, want string) {
	t.Helper()
	if got := strings.TrimSpace(n.MustUser(t, "podman", "inspect", "--format", format, "nasty")); got != want {
		t.Errorf("%s is %q, want %q", format, got, want)
	}
}

func report(t *testing.T, what string, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("%s %d is %q, want %q", what, i, g, w)
		}
	}
}
