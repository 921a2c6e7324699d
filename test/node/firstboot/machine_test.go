// Package firstboot_test makes bare machines into nodes with archy first-boot, really: systemd, podman, Tor, ufw and the
// image registry of test/node. The tests need root.
package firstboot_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/dist"
	nodes "git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/test/node"
)

const (
	dataDir    = "/var/lib/archipelago"
	marker     = dataDir + "/.first-boot-containers-done"
	archyPath  = "/usr/local/bin/archy"
	configPath = nodes.ConfigPath
	// patience bounds every single command of a test.
	patience = 10 * time.Minute
)

// machine is a bare machine with archy and its configuration on it.
type machine struct {
	*node.Node
	t    *testing.T
	said strings.Builder
}

func bare(t *testing.T, config string) *machine {
	t.Helper()
	return bareWith(t, node.Ten(), config)
}

// bareWith is a bare machine whose archy knows these apps.
func bareWith(t *testing.T, apps []string, config string) *machine {
	t.Helper()
	m := &machine{Node: node.UpT(t, node.Options{FirstBoot: true, Apps: apps}), t: t}
	m.must(m.Put(node.Archy(t), archyPath, 0o755))
	m.configure(config)
	return m
}

// configure writes the configuration of a node that keeps the whole chain: a disk below 1 TB would be pruned, and nothing
// indexes a pruned chain.
func (m *machine) configure(config string) {
	m.t.Helper()
	m.must(m.WriteFile(configPath, []byte("bitcoin:\n  prune: 0\n"+config), 0o644))
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// run runs archy as root and keeps what it says.
func (m *machine) run(args ...string) node.Result {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res := m.Root(ctx, append([]string{"archy"}, args...)...)
	fmt.Fprintf(&m.said, "$ %s\n%s%s", strings.Join(res.Args, " "), res.Stdout, res.Stderr)
	return res
}

// want runs archy as root and ends the test unless it exits with code.
func (m *machine) want(code int, args ...string) node.Result {
	m.t.Helper()
	res := m.run(args...)
	if res.Code != code || res.Err != nil {
		m.t.Fatalf("archy %s: exit code %d (%v), want %d\n%s%s", strings.Join(args, " "), res.Code, res.Err, code, res.Stdout, res.Stderr)
	}
	return res
}

// sh runs a script as root.
func (m *machine) sh(script string) string {
	m.t.Helper()
	return m.MustRoot(m.t, "sh", "-ec", script)
}

func (m *machine) read(path string) string {
	m.t.Helper()
	text, err := m.ReadFile(path)
	m.must(err)
	return string(text)
}

// tree is what lies on the machine's disk where a first boot writes: types, modes, owners and contents. What the apps
// write themselves is left out.
func (m *machine) tree() string {
	return m.sh(`set -- /etc /opt /home/archipelago/.config /var/lib/archipelago/state /var/lib/archipelago/secrets /var/lib/archipelago/tor-hostnames
		find "$@" -printf '%p %y %m %u %g %l\n' 2>/dev/null | sort
		find /var/lib/archipelago /var/log/archipelago -maxdepth 1 -printf '%p %y %m %u %g %l\n' 2>/dev/null | sort
		find "$@" -type f -print0 2>/dev/null | sort -z | xargs -0 sha256sum`)
}

// secrets are the secrets by name, as digests.
func (m *machine) secrets() map[string]string {
	out := map[string]string{}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for line := range strings.Lines(m.Root(ctx, "sh", "-c", "cd "+dataDir+"/secrets && sha256sum *").Stdout) {
		if f := strings.Fields(line); len(f) == 2 {
			out[f[1]] = f[0]
		}
	}
	return out
}

// unchanged wants each secret that there was to be as it was.
func (m *machine) unchanged(before map[string]string) {
	m.t.Helper()
	now := m.secrets()
	for name, sum := range before {
		if now[name] != sum {
			m.t.Errorf("secret %s changed", name)
		}
	}
}

// running are the names of the service user's running containers.
func (m *machine) running() []string {
	m.t.Helper()
	return strings.Fields(m.MustUser(m.t, "podman", "ps", "--format", "{{.Names}}"))
}

// units lays the unit of first boot down and enables it, as an installation does.
func (m *machine) units() {
	m.t.Helper()
	m.must(m.WriteFile("/etc/systemd/system/archy-first-boot.service", dist.Text("systemd/archy-first-boot.service"), 0o644))
	m.sh("systemctl daemon-reload; systemctl enable archy-first-boot.service")
}

// step is the step that the first boot is at, by its state file.
func (m *machine) step() (step string, percent int) {
	var p struct {
		Step    string
		Percent int
	}
	text, err := m.ReadFile(dataDir + "/state/first-boot.json")
	if err == nil {
		_ = json.Unmarshal(text, &p)
	}
	return p.Step, p.Percent
}

// until repeats ok until it holds.
func (m *machine) until(what string, ok func() bool) {
	m.t.Helper()
	for range int(patience / (50 * time.Millisecond)) {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	m.t.Fatalf("waited %s for %s", patience, what)
}
