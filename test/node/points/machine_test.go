//go:build failpoints

package points_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node"
	"git.tx1138.com/lfg2025/archy/test/node/points"
)

const (
	dataDir = "/var/lib/archipelago"
	unitDir = "/home/archipelago/.config/containers/systemd"
)

// machine is a node with one app and an archy that can be broken off.
type machine struct {
	*node.Node
	t      *testing.T
	root   bool // archy runs as root, in first boot
	serial int
	said   strings.Builder
	born   string
}

func newMachine(t *testing.T, opts node.Options) *machine {
	t.Helper()
	opts.Apps = []string{"filebrowser"}
	m := &machine{Node: node.UpT(t, opts), t: t, root: opts.FirstBoot}
	m.must(m.Put(node.Breakable(t), "/usr/local/bin/archy", 0o755))
	m.must(m.WriteFile("/etc/archipelago/archy.yaml", []byte("first_boot:\n  apps: [filebrowser]\n"), 0o644))
	return m
}

// converged is a node whose app is up, with a file of its owner's in it.
func converged(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t, node.Options{})
	m.archy("secrets", "gen")
	m.archy("reconcile")
	m.healthy()
	m.sh("echo precious > " + dataDir + "/filebrowser/files/mine")
	m.born = m.marks()
	return m
}

// bare is a machine before its first boot.
func bare(t *testing.T) *machine { return newMachine(t, node.Options{FirstBoot: true}) }

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) sh(script string) string {
	m.t.Helper()
	return m.MustRoot(m.t, "sh", "-ec", script)
}

func (m *machine) user(script string) string {
	m.t.Helper()
	return m.MustUser(m.t, "sh", "-ec", script)
}

// try runs archy and keeps what it says.
func (m *machine) try(args ...string) node.Result {
	ctx, cancel := context.WithTimeout(context.Background(), points.Patience)
	defer cancel()
	res := m.Run(ctx, m.command(args))
	m.keep(res)
	return res
}

func (m *machine) keep(res node.Result) {
	fmt.Fprintf(&m.said, "$ %s  [%d]\n%s%s", strings.Join(res.Args, " "), res.Code, res.Stdout, res.Stderr)
}

// archy runs archy, which has to succeed.
func (m *machine) archy(args ...string) {
	m.t.Helper()
	if res := m.try(args...); res.Code != 0 || res.Err != nil {
		m.t.Fatalf("archy %v: exit code %d, %v\n%s%s", args, res.Code, res.Err, res.Stdout, res.Stderr)
	}
}

// command is archy as root or the service user.
func (m *machine) command(args []string) node.Cmd {
	return node.Cmd{User: !m.root, Args: append([]string{"archy"}, args...)}
}

// broken runs archy with a fault at a point, or with none, and then it has to succeed.
func (m *machine) broken(args []string, f points.Fault, point string) {
	m.t.Helper()
	res := points.Break(m.t, m.Node, m.command(args), f, point)
	if m.keep(res); f.At == 0 && res.Code != 0 {
		m.t.Fatalf("without a fault: exit code %d\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
}

// hourPasses forgets how often archy started the app and when it healed podman, as if the last run lay long ago: what a fault
// made archy wait for must not add up from run to run.
func (m *machine) hourPasses() {
	m.t.Helper()
	m.sh("rm -f " + dataDir + "/state/heal.json " + dataDir + "/state/restarts/filebrowser.json")
}

// unharmed wants what must be true right after the break: no half file, no second copy, nothing lost.
func (m *machine) unharmed(secrets map[string]string) {
	m.t.Helper()
	const mark = "\x01file "
	text := m.sh(`cd /; for f in $(find ` + dataDir + `/state -name '*.json' 2>/dev/null) $(find ` + unitDir + ` -name '*.container' 2>/dev/null); do printf '\001file %s\n' $f; cat $f; done`)
	for i, file := range strings.Split(text, mark) {
		name, content, _ := strings.Cut(file, "\n")
		whole := strings.HasSuffix(content, "\n")
		if strings.HasSuffix(name, ".json") {
			whole = json.Valid([]byte(content))
		}
		if i > 0 && !whole {
			m.t.Errorf("%s is half a file:\n%s", name, content)
		}
	}
	now := m.secrets()
	for name, sum := range secrets {
		if now[name] != sum {
			m.t.Errorf("secret %s is another", name)
		}
	}
	m.single()
	if m.born != "" && m.marks() != m.born {
		m.t.Errorf("data were\n%sand are\n%s", m.born, m.marks())
	}
}

// monitored finds the container in the command line of its monitor.
var monitored = regexp.MustCompile(` -c ([0-9a-f]{64}) .* -n filebrowser`)

// single wants at most one live container of the app, by the monitors and by podman, where that can answer. A monitor of an
// exec session, as a health check is, has the container's name too.
func (m *machine) single() {
	m.t.Helper()
	live := map[string]bool{}
	for _, found := range monitored.FindAllStringSubmatch(m.sh("ps -C conmon -ww -o args= | grep -v -e --exec-process-spec || true"), -1) {
		live[found[1]] = true
	}
	if len(live) > 1 {
		m.t.Errorf("monitors of %d containers of filebrowser", len(live))
	}
	if n := len(m.running()); n > 1 {
		m.t.Errorf("%d containers of filebrowser run", n)
	}
}

// again makes the next run. One that found the app within the back-off of a start that failed may leave it waiting: the
// timer's run after that counts.
func (m *machine) again(args []string) {
	m.t.Helper()
	for range 3 {
		res := m.try(args...)
		if res.Code == 0 && m.runs() {
			return
		}
		if res.Code == 5 {
			m.t.Errorf("a lock outlived its process: %s", res.Stderr)
		}
		time.Sleep(6 * time.Second)
	}
}

// running are the names of running containers that are the app's, none when podman cannot tell.
func (m *machine) running() []string {
	ctx, cancel := context.WithTimeout(context.Background(), points.Patience)
	defer cancel()
	return strings.Fields(m.User(ctx, "podman", "ps", "--filter", "name=filebrowser", "--format", "{{.Names}}").Stdout)
}

func (m *machine) runs() bool { return slices.Equal(m.running(), []string{"filebrowser"}) }

// settled wants a node with nothing left to do.
func (m *machine) settled() {
	m.t.Helper()
	m.healthy()
	check := []string{"reconcile", "--check-only", "--exit-code"}
	if m.root {
		check = append(check, "--as-service-user")
		if res := m.try("first-boot", "--check"); res.Code != 0 || res.Stdout != "nothing to do\n" {
			m.t.Errorf("first boot has left to do:\n%s%s", res.Stdout, res.Stderr)
		}
	}
	if res := m.try(check...); res.Code != 0 {
		m.t.Errorf("something is left to do, exit code %d:\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
	label := m.user(`podman ps --filter name=^filebrowser$ --format '{{index .Labels "io.archipelago.managed"}}'`)
	if strings.TrimSpace(label) != "true" {
		m.t.Errorf("the container of filebrowser is not one of a unit: %q", label)
	}
	m.unharmed(nil)
}

func (m *machine) healthy() {
	m.t.Helper()
	var res node.Result
	for range 120 {
		ctx, cancel := context.WithTimeout(context.Background(), points.Patience)
		res = m.User(ctx, "podman", "ps", "-a", "--filter", "name=^filebrowser$", "--format", "{{.Status}}")
		if cancel(); strings.Contains(res.Stdout, "(healthy)") {
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
	m.t.Errorf("filebrowser is %q after a minute\n%s", res.Stdout, res.Stderr)
}

// marks are what the app wrote at its first start, and its owner's file.
func (m *machine) marks() string {
	m.t.Helper()
	return m.sh("cd " + dataDir + "/filebrowser; find . -name born -exec grep -H . {} \\; ; cat files/mine")
}

// secrets are the secrets by name, as digests.
func (m *machine) secrets() map[string]string {
	m.t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(m.sh("cd " + dataDir + "/secrets 2>/dev/null || exit 0; sha256sum * 2>/dev/null || true")) {
		if f := strings.Fields(line); len(f) == 2 {
			out[f[1]] = f[0]
		}
	}
	return out
}

func manifest(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../apps/filebrowser/manifest.yml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
