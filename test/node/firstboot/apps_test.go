package firstboot_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/install"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	nodes "git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/test/node"
)

// TestTenApps: a bare machine becomes a node with ten apps, and every row of the tables is really there.
func TestTenApps(t *testing.T) {
	m := bare(t, "")
	m.sh("touch /dev/console") // the node has no console; what is written to it can be read from the file
	var before string
	ok := t.Run("check tells and changes nothing", func(t *testing.T) {
		before = m.tree()
		res := m.want(4, "first-boot", "--check")
		for _, line := range []string{"write archy's block into /etc/tor/torrc", "ufw allow in proto tcp to any port 22 comment archy:ssh", "make bitcoin-knots", "write the marker"} {
			if !strings.Contains(res.Stdout, line) {
				t.Errorf("the plan has no %q:\n%s", line, res.Stdout)
			}
		}
		if after := m.tree(); after != before {
			t.Errorf("something changed:\n%s", difference(before, after))
		}
	})
	ok = ok && t.Run("first boot", func(t *testing.T) { firstBoot(t, m) })
	if !ok {
		return
	}
	t.Run("a second call touches nothing", func(t *testing.T) {
		before := m.tree()
		if res := m.want(0, "first-boot"); res.Stdout != "already done\n" {
			t.Errorf("%q", res.Stdout)
		}
		if after := m.tree(); after != before {
			t.Errorf("something changed:\n%s", difference(before, after))
		}
	})
	t.Run("directories", func(t *testing.T) { compareDirectories(t, m) })
	t.Run("files", func(t *testing.T) { compareFiles(t, m) })
	t.Run("secrets", func(t *testing.T) { compareSecrets(t, m) })
	t.Run("tor", func(t *testing.T) { compareTor(t, m) })
	t.Run("firewall", func(t *testing.T) { compareFirewall(t, m, node.Ten()) })
	t.Run("system", func(t *testing.T) { compareSystem(t, m) })
	t.Run("nothing is left to do", func(t *testing.T) {
		if res := m.want(0, "first-boot", "--check"); res.Stdout != "nothing to do\n" {
			t.Errorf("%s", res.Stdout)
		}
	})
	t.Run("again changes nothing but the marker", func(t *testing.T) {
		ids := m.containers()
		kept := m.secrets()
		m.want(0, "first-boot", "--again")
		m.unchanged(kept)
		if now := m.containers(); now != ids {
			t.Errorf("containers were made anew:\n%s", difference(ids, now))
		}
	})
	t.Run("the firewall and Tor follow apps that come and go", func(t *testing.T) { appsComeAndGo(t, m) })
	t.Run("no secret was said", func(t *testing.T) {
		for name, value := range m.values() {
			if strings.Contains(m.said.String(), value) {
				t.Errorf("the value of %s was printed", name)
			}
		}
	})
}

// containers are all containers with their ids and start times.
func (m *machine) containers() string {
	return m.MustUser(m.t, "sh", "-c", "podman ps -a --format '{{.Names}} {{.ID}} {{.StartedAt}}' | sort")
}

// values are the texts of the secrets.
func (m *machine) values() map[string]string {
	out := map[string]string{}
	for _, name := range strings.Fields(m.sh("ls " + dataDir + "/secrets")) {
		out[name] = strings.TrimSpace(m.read(dataDir + "/secrets/" + name))
	}
	return out
}

// firstBoot makes the first boot and reads its events.
func firstBoot(t *testing.T, m *machine) {
	res := m.want(0, "first-boot", "--json")
	last, steps := 0, map[string]firstboot.StepState{}
	var end struct {
		Event, Result string
		ExitCode      int `json:"exit_code"`
		Apps          map[string]firstboot.AppProgress
		Web           []string
	}
	for line := range strings.Lines(res.Stdout) {
		var ev firstboot.Event
		if err := json.Unmarshal([]byte(line), &ev); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if ev.Kind == "result" {
			if err := json.Unmarshal([]byte(line), &end); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if ev.Kind != firstboot.AppEvent && ev.Percent < last {
			t.Errorf("percent fell from %d to %d: %s", last, ev.Percent, line)
		}
		if ev.Kind != firstboot.AppEvent {
			last = ev.Percent
		}
		if ev.Kind == firstboot.StepEvent {
			steps[ev.Step] = ev.State
		}
	}
	for _, s := range firstboot.Steps {
		if want := firstboot.Done; steps[s.Name] != want && s.Name != firstboot.WireGuard {
			t.Errorf("step %s is %q", s.Name, steps[s.Name])
		}
	}
	if end.Result != firstboot.ResultOK || end.ExitCode != 0 || len(end.Apps) != len(node.Ten()) || last != 100 {
		t.Errorf("the result: %+v at %d %%", end, last)
	}
	if got := m.running(); len(got) != len(node.Ten()) {
		t.Errorf("running: %q", got)
	}
	var content firstboot.MarkerContent
	if err := json.Unmarshal([]byte(m.read(marker)), &content); err != nil || content.Result != firstboot.ResultOK || content.Version != "test" {
		t.Errorf("marker: %+v, %v", content, err)
	}
	if console := m.read("/dev/console"); !strings.Contains(console, "http://archy.local/") {
		t.Errorf("the console says %q", console)
	}
}

var (
	service = firstboot.Owner{UID: 1000, GID: 1000}
	system  = firstboot.Owner{}
)

func layout() nodes.Layout {
	return nodes.NewLayout("", nodes.Default(), nodes.DefaultUser("archipelago"))
}

// stat is the type, mode and owner of a path on the machine.
func (m *machine) stat(path string) string {
	return strings.TrimSpace(m.sh("stat -c '%F %a %u %g' '" + path + "' || true"))
}

func compareDirectories(t *testing.T, m *machine) {
	rows := firstboot.DirectoryTable(layout(), service, system)
	rows = append(rows, firstboot.Dir{Path: dataDir + "/nostr-relay", Mode: 0o750, Owner: service})
	for _, d := range append(rows, firstboot.SystemDirectories(system)...) {
		if got, want := m.stat(d.Path), fmt.Sprintf("directory %o %d %d", d.Mode, d.Owner.UID, d.Owner.GID); got != want {
			t.Errorf("%s: %s, want %s", d.Path, got, want)
		}
	}
	for _, d := range firstboot.UserDirectories(layout(), service) { // those that were there keep their mode
		if got := m.stat(d.Path); !strings.HasPrefix(got, "directory ") || !strings.HasSuffix(got, " 1000 1000") {
			t.Errorf("%s: %s", d.Path, got)
		}
	}
}

func compareFiles(t *testing.T, m *machine) {
	set, _ := manifest.LoadFrom(manifest.Source{Prefix: "/opt/archipelago/apps", FS: chosen{}})
	images := install.ImageVersions(set)
	l := layout()
	rows := []firstboot.File{firstboot.StorageConf(l, service), firstboot.ContainersConf(l, service), firstboot.UserManagerDropIn(system),
		firstboot.JournalConf(system), firstboot.TmpfilesConf(system), firstboot.SysctlConf(system, []int{50001, 50002}), {Path: l.UserStopped(), Mode: 0o644, Owner: service, Text: []byte("[]\n")}}
	for _, name := range firstboot.ImageVersionFiles {
		rows = append(rows, firstboot.File{Path: name, Mode: 0o644, Owner: system, Text: images})
	}
	for _, f := range rows {
		if got, want := m.stat(f.Path), fmt.Sprintf("regular file %o %d %d", f.Mode, f.Owner.UID, f.Owner.GID); got != want {
			t.Errorf("%s: %s, want %s", f.Path, got, want)
		}
		if got := m.read(f.Path); got != string(f.Text) {
			t.Errorf("%s:\n%s\nwant\n%s", f.Path, got, f.Text)
		}
	}
	if got := m.stat(firstboot.InstallLog); !strings.HasPrefix(got, "regular ") || !strings.HasSuffix(got, "file 644 1000 1000") {
		t.Errorf("%s: %s", firstboot.InstallLog, got)
	}
	if got := m.sh("stat -c '%s %a %u' " + dataDir + "/state/.reserve"); got != fmt.Sprintf("%d 600 1000\n", state.ReserveSize) {
		t.Errorf("the reserve: %s", got)
	}
	if got := strings.TrimSpace(m.sh("readlink " + firstboot.StorageLink(l))); got != firstboot.Graphroot(l) {
		t.Errorf("%s leads to %s", firstboot.StorageLink(l), got)
	}
	m.sh(". /opt/archipelago/image-versions.sh; test \"$MARIADB_IMAGE\" = docker.io/library/mariadb:10.11")
}

// chosen are the manifests of the ten.
type chosen struct{}

func (chosen) Open(name string) (fs.File, error) {
	if id, _, _ := strings.Cut(name, "/"); name != "." && !slices.Contains(node.Ten(), id) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return apps.FS.Open(name)
}

func (chosen) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(apps.FS, name)
	if name == "." {
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !slices.Contains(node.Ten(), e.Name()) })
	}
	return entries, err
}

func compareSecrets(t *testing.T, m *machine) {
	forms := map[string]int{"bitcoin-rpc-password": 32, "mempool-db-password": 32, "mysql-root-db-password": 32, "btcpay-db-password": 32,
		"filebrowser-admin-hash": 60, "filebrowser-admin-hash.pw": 32, "fmcd-password": 32}
	for name, length := range forms {
		path := dataDir + "/secrets/" + name
		if got := m.stat(path); got != "regular file 600 1000 1000" {
			t.Errorf("%s: %s", name, got)
		}
		if got := m.read(path); len(got) != length {
			t.Errorf("%s has %d characters, want %d", name, len(got), length)
		}
	}
}

func compareTor(t *testing.T, m *machine) {
	torrc := m.read(firstboot.Torrc)
	var onions []firstboot.Onion
	for _, o := range firstboot.Onions {
		if o.Apps == nil || slices.ContainsFunc(o.Apps, func(id string) bool { return slices.Contains(node.Ten(), id) }) {
			onions = append(onions, o)
		}
	}
	if !strings.HasSuffix(torrc, "\n"+firstboot.TorBlock(onions)) || !strings.HasPrefix(torrc, "## Configuration file for a typical Tor user\n") {
		t.Errorf("torrc:\n%s", torrc)
	}
	for _, o := range onions {
		path := dataDir + "/tor-hostnames/" + o.Name
		name := m.read(path)
		if name != m.read("/var/lib/tor/archy_"+o.Name+"/hostname") || len(name) != 63 || !strings.HasSuffix(name, ".onion\n") {
			t.Errorf("%s: %q", o.Name, name)
		}
		if got := m.stat(path); got != "regular file 644 1000 1000" {
			t.Errorf("%s: %s", path, got)
		}
	}
	if m.Exists(dataDir + "/tor-hostnames/btcpay") {
		t.Error("a name for an app that is not installed")
	}
	m.sh("systemctl is-active tor@default; systemctl is-enabled tor; ss -Hltn sport = :9050 | grep -q 0.0.0.0:9050")
}

func compareFirewall(t *testing.T, m *machine, installed []string) {
	t.Helper()
	var want []string
	for _, r := range firstboot.BaseRules(nodes.Default()) {
		want = append(want, shown(r))
	}
	set, _ := manifest.LoadFS(apps.FS, "apps")
	for _, id := range installed {
		for _, r := range firstboot.AppRules(set.Apps[id], state.Record{}) {
			want = append(want, shown(r))
		}
	}
	var got []string
	for line := range strings.Lines(m.sh("ufw show added")) {
		if strings.HasPrefix(line, "ufw ") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("rules:\n%s", difference(strings.Join(want, "\n"), strings.Join(got, "\n")))
	}
	status := m.sh("ufw status verbose")
	if !strings.Contains(status, "Status: active") || !strings.Contains(status, "Default: deny (incoming), allow (outgoing)") {
		t.Errorf("%s", status)
	}
	if strings.Contains(status, "8332") || strings.Contains(status, "8999") || strings.Contains(status, "28332") {
		t.Errorf("a port of the node itself is open:\n%s", status)
	}
}

// appsComeAndGo: what root does for an app is done with it, by whoever installs or removes it.
func appsComeAndGo(t *testing.T, m *machine) {
	const app, service = "mempool", "127.0.0.1:4080"
	others := slices.DeleteFunc(node.Ten(), func(id string) bool { return id == app })
	gone := func(when string) {
		t.Helper()
		compareFirewall(t, m, others)
		if strings.Contains(m.read(firstboot.Torrc), service) {
			t.Errorf("%s: Tor has still its service", when)
		}
	}
	back := func() {
		t.Helper()
		compareFirewall(t, m, node.Ten())
		compareTor(t, m)
	}
	name := m.read("/var/lib/tor/archy_mempool/hostname")
	m.want(0, "remove", app, "--as-service-user")
	gone("removed")

	m.sh("mv /etc/sudoers.d/archipelago /root/sudoers")
	res := m.want(0, "install", app, "--as-service-user")
	if !strings.Contains(res.Stderr, "warning: the firewall or Tor does not know of mempool yet: ") || !strings.Contains(res.Stderr, "sudo archy first-boot --again") {
		t.Errorf("without the right to be root:\n%s", res.Stderr)
	}
	gone("installed without the right to be root")
	if res := m.run("doctor"); !strings.Contains(res.Stdout, "port 4080 comment archy:mempool") {
		t.Errorf("the doctor does not tell:\n%s", res.Stdout)
	}
	m.sh("mv /root/sudoers /etc/sudoers.d/archipelago")
	res = m.want(0, "install", app, "--as-service-user")
	if !strings.Contains(res.Stderr, "firewall and Tor: 7 changes for mempool\n") {
		t.Errorf("installed again:\n%s", res.Stderr)
	}
	back()
	if now := m.read("/var/lib/tor/archy_mempool/hostname"); now != name {
		t.Errorf("its name was %s and is %s", name, now)
	}

	m.want(0, "remove", app, "--as-service-user")
	m.sh("rm " + dataDir + "/state/apps/" + app + ".json")
	m.want(0, "reconcile", "--create-missing", "--container="+app, "--as-service-user")
	back()

	// Nobody has asked for it: an install that was killed, a rule that failed at first boot.
	m.sh("rm " + dataDir + "/state/host.json; ufw delete allow in proto tcp from 192.168.0.0/16 to any port 4080")
	m.want(0, "reconcile", "--as-service-user")
	back()
	m.sh("ufw delete allow in proto tcp from 192.168.0.0/16 to any port 4080")
	m.want(0, "reconcile", "--as-service-user")
	if strings.Contains(m.sh("ufw show added"), "192.168.0.0/16 to any port 4080") {
		t.Error("a rule that the operator deleted is back")
	}
	m.want(0, "first-boot", "--again")
	back()
}

// shown is a rule as ufw shows it.
func shown(r firstboot.Rule) string {
	port := strconv.Itoa(r.Port)
	if r.From == "" {
		return fmt.Sprintf("ufw allow %s/%s comment '%s'", port, r.Proto, r.Comment)
	}
	return fmt.Sprintf("ufw allow from %s to any port %s proto %s comment '%s'", r.From, port, r.Proto, r.Comment)
}

func compareSystem(t *testing.T, m *machine) {
	m.sh(`grep -qx archipelago:100000:65536 /etc/subuid; grep -qx archipelago:100000:65536 /etc/subgid
		test -e /var/lib/systemd/linger/archipelago
		test "$(systemctl show -P NeedDaemonReload user@1000.service)" = no
		systemctl show -P RequiresMountsFor user@1000.service | grep -q /var/lib/archipelago
		systemd-analyze cat-config systemd/journald.conf | grep -q '^SystemMaxUse=500M'
		test "$(cat /etc/archipelago/volume-id)" = "$(cat /var/lib/archipelago/.archy-volume)"`)
	m.MustUser(t, "sh", "-ec", `systemctl --user is-active podman.socket; systemctl --user is-enabled podman.socket
		test "$(podman info --format '{{.Store.GraphRoot}} {{.Store.RunRoot}} {{.Host.NetworkBackend}} {{.Host.RootlessNetworkCmd}}')" = \
			"/var/lib/archipelago/containers/storage /run/user/1000/containers netavark pasta"`)
	if pause := m.sh("pgrep -x -u archipelago catatonit || true"); pause != "" {
		if group := m.sh("cat /proc/" + strings.Fields(pause)[0] + "/cgroup"); !strings.Contains(group, "user@1000.service") {
			t.Errorf("podman's first process is in %s", group)
		}
	}
}

// difference is what two texts do not share, line by line.
func difference(before, after string) string {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	var out strings.Builder
	for _, line := range a {
		if !slices.Contains(b, line) {
			out.WriteString("- " + line + "\n")
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			out.WriteString("+ " + line + "\n")
		}
	}
	return out.String()
}
