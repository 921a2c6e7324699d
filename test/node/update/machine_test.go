// Package update_test updates a real node: nginx serves its page over TLS and passes /rpc/v1 on to a backend, and systemd
// starts archy's own units when the updater leaves its marker. The windows of the archy here are shorter than on a node,
// by its linker; everything else is as it ships.
package update_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/dist"
	"git.tx1138.com/lfg2025/archy/internal/update"
	"git.tx1138.com/lfg2025/archy/test/node"
)

const (
	webUI      = "/opt/archipelago/web-ui"
	program    = "/usr/local/bin/archipelago"
	stateDir   = "/var/lib/archipelago/state"
	pending    = stateDir + "/update-pending.json"
	last       = stateDir + "/update-last.json"
	accessLog  = "/var/log/nginx/access.log"
	verifyUnit = "archy-update-verify.service"
)

// shortened are the windows of this archy. What only a good update and a restored one need is long enough for a busy
// machine.
const shortened = "restart=10s settle=500ms every=500ms probes=10s deadline=60s poll=100ms"

// patience bounds every wait of a test, far above what it takes.
const patience = 2 * time.Minute

const nginxSite = `
server {
	listen 443 ssl;
	ssl_certificate /etc/archipelago/ssl/node.crt;
	ssl_certificate_key /etc/archipelago/ssl/node.key;
	root /opt/archipelago/web-ui;
	location / { try_files $uri /index.html; }
	location = /rpc/v1 { proxy_pass http://127.0.0.1:5678; }
}
`

const backendUnit = `
[Unit]
Description=The node's backend
[Service]
User=archipelago
ExecStart=/usr/local/bin/archipelago
Restart=always
[Install]
WantedBy=multi-user.target
`

// updater is what the node's updater does, as the service user: back up, lay down, mark, restart. $1: the pages, $2: the
// program, $3: the new version, $4: whether the backend is restarted.
const updater = `
set -eu
cd /opt/archipelago
sudo -n rm -rf web-ui.bak apps.bak
sudo -n mv web-ui web-ui.bak
sudo -n cp -a /srv/pages/$1 web-ui
sudo -n cp -a /usr/local/bin/archipelago /usr/local/bin/archipelago.bak
sudo -n cp -a /srv/programs/$2 /usr/local/bin/.archipelago.new
sudo -n mv /usr/local/bin/.archipelago.new /usr/local/bin/archipelago
sudo -n sh -c "echo $3 >version"
sudo -n archy update mark --old 1.0.0 --new $3 --version-file /opt/archipelago/version
[ "$4" = restart ] && sudo -n systemctl restart archipelago.service
exit 0
`

// machine is a node with version 1.0.0 of the software, up and answering.
type machine struct {
	*node.Node
	serial int
}

// up boots a node, side by side with those of the other tests.
func up(t *testing.T) *machine {
	t.Helper()
	node.Need(t)
	binaries := build(t)
	m := &machine{Node: node.UpT(t, node.Options{BootIDs: true})}
	for _, f := range []struct{ host, path string }{{"archy", "/usr/local/bin/archy"}, {"old", program},
		{"good", "/srv/programs/good"}, {"dying", "/srv/programs/dying"}} {
		if err := m.Put(filepath.Join(binaries, f.host), f.path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{
		"/etc/nginx/sites-enabled/default":             nginxSite,
		"/etc/systemd/system/archipelago.service":      backendUnit,
		"/opt/archipelago/version":                     "1.0.0\n",
		"/usr/local/lib/updater":                       updater,
		"/etc/systemd/system/" + verifyUnit:            string(dist.Text("systemd/" + verifyUnit)),
		"/etc/systemd/system/archy-update-verify.path": string(dist.Text("systemd/archy-update-verify.path")),
		"/srv/pages/empty/assets/app.js":               "1",
	} {
		m.write(t, path, text)
	}
	m.pages(t, webUI, "old", "app.js")
	m.pages(t, "/srv/pages/good", "new", "app.js")
	m.pages(t, "/srv/pages/closed", "new", "app.js")
	m.pages(t, "/srv/pages/blank", "new", "missing.js")
	m.sh(t, `chmod 0700 /srv/pages/closed
install -d -m 0700 -o archipelago -g archipelago /var/lib/archipelago/state
mkdir -p /etc/archipelago/ssl
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=node -days 30 \
	-keyout /etc/archipelago/ssl/node.key -out /etc/archipelago/ssl/node.crt 2>/dev/null
systemctl daemon-reload
systemctl enable --now nginx archipelago.service archy-update-verify.service archy-update-verify.path 2>/dev/null`)
	m.answers(t, "old", "1.0.0")
	return m
}

// pages lays down a page that names a script.
func (m *machine) pages(t *testing.T, dir, text, script string) {
	t.Helper()
	m.write(t, dir+"/index.html", "<!doctype html><title>"+text+`</title><script src="/assets/`+script+`"></script>`)
	m.write(t, dir+"/assets/app.js", "1")
}

func (m *machine) write(t *testing.T, path, text string) {
	t.Helper()
	if err := m.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// sh runs a script as root.
func (m *machine) sh(t *testing.T, script string) string {
	t.Helper()
	return strings.TrimSpace(m.MustRoot(t, "sh", "-ec", script))
}

// update lays a new version down and marks it; it returns the version's name.
func (m *machine) update(t *testing.T, pages, program, restart string) string {
	t.Helper()
	m.serial++
	version := fmt.Sprintf("2.0.%d", m.serial)
	m.MustUser(t, "sh", "/usr/local/lib/updater", pages, program, version, restart)
	return version
}

// marker reads a marker; nil when it is not there.
func (m *machine) marker(t *testing.T, path string) *update.Marker {
	t.Helper()
	if !m.Exists(path) {
		return nil
	}
	text, err := m.ReadFile(path)
	if err != nil {
		return nil // it has just been renamed
	}
	var marker update.Marker
	if err := json.Unmarshal(text, &marker); err != nil {
		t.Fatalf("%s: %v\n%s", path, err, text)
	}
	return &marker
}

// eventually repeats ok until it holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never seen: %s", what)
		}
	}
}

// verdict waits until an update is decided, and wants the verdict, its exit code and its entry in the journal.
func (m *machine) verdict(t *testing.T, version string, want update.State) *update.Marker {
	t.Helper()
	var got *update.Marker
	eventually(t, "the verdict on "+version, func() bool {
		got = m.marker(t, last)
		return got != nil && got.NewVersion == version && !m.Exists(pending)
	})
	if got.State != want {
		t.Fatalf("%s, want %s: %q %q\n%s", got.State, want, got.Reason, got.Failure, m.sh(t, "journalctl -n 60 --no-pager -o cat"))
	}
	codes := map[update.State]string{update.Committed: "0", update.Stale: "0", update.RolledBack: "3", update.RollbackFailed: "6"}
	eventually(t, "the end of the unit", func() bool {
		return m.sh(t, "systemctl show -P ActiveState "+verifyUnit) != "activating"
	})
	if code := m.sh(t, "systemctl show -P ExecMainStatus "+verifyUnit); code != codes[want] {
		t.Errorf("the unit ended with %s, want %s", code, codes[want])
	}
	if entry := m.entry(t, version); entry["ARCHY_UPDATE_STATE"] != string(want) || entry["MESSAGE"] != got.Sentence() || entry["_UID"] != "0" {
		t.Errorf("journal: %v, want %q", entry, got.Sentence())
	}
	return got
}

// entry is the journal's entry of a version's verdict.
func (m *machine) entry(t *testing.T, version string) map[string]string {
	t.Helper()
	text := m.sh(t, "journalctl --sync; journalctl --no-pager -o json ARCHY_UPDATE_NEW_VERSION="+version+" MESSAGE_ID="+update.MessageID)
	lines := strings.Split(text, "\n")
	if len(lines) != 1 {
		t.Errorf("%d entries in the journal:\n%s", len(lines), text)
	}
	entry := map[string]any{}
	if err := json.Unmarshal([]byte(lines[0]), &entry); err != nil {
		t.Fatalf("journal: %v: %q", err, text)
	}
	words := map[string]string{}
	for k, v := range entry {
		words[k] = fmt.Sprint(v)
	}
	return words
}

// answers wants the page and the backend of a version, as a browser in the node sees them.
func (m *machine) answers(t *testing.T, title, version string) {
	t.Helper()
	want := "<title>" + title + `</title>`
	eventually(t, title+" "+version+" answering", func() bool {
		res := m.Root(t.Context(), "sh", "-c", "curl -ksf https://127.0.0.1/; curl -ksf -X POST -d '{}' https://127.0.0.1/rpc/v1")
		return strings.Contains(res.Stdout, want) && strings.Contains(res.Stdout, fmt.Sprintf("{%q:%q}", "version", version))
	})
}

// probes counts the pages that archy has asked nginx for.
func (m *machine) probes(t *testing.T) int {
	t.Helper()
	n := 0
	for line := range strings.Lines(m.sh(t, "cat "+accessLog)) {
		if strings.Contains(line, `"GET / `) && strings.Contains(line, "archy update verify") {
			n++
		}
	}
	return n
}

// old wants version 1.0.0 back in every place, and the new one put aside.
func (m *machine) old(t *testing.T, got *update.Marker) {
	t.Helper()
	m.answers(t, "old", "1.0.0")
	stamp := got.RollbackAt.UTC().Format("20060102T150405Z")
	for path, there := range map[string]bool{webUI + ".bak": false, webUI + ".failed." + stamp: true, program + ".bak": true} {
		if m.Exists(path) != there {
			t.Errorf("%s: there is %v", path, !there)
		}
	}
	if s := m.sh(t, "stat -c '%a %U:%G' "+webUI+" "+program+"; cat /opt/archipelago/version"); s != "755 root:root\n755 root:root\n1.0.0" {
		t.Errorf("%s", s)
	}
}

var built struct {
	sync.Once
	dir string
	err error
}

// build makes archy and three backends once in a run of the tests.
func build(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "archy-update-"); built.err != nil {
			return
		}
		built.err = node.Compile(filepath.Join(built.dir, "archy"), "cmd/archy", "-X 'main.updateWindows="+shortened+"'")
		for name, flags := range map[string]string{"old": "-X main.version=1.0.0", "good": "-X main.version=2.0.0", "dying": "-X main.fault=exit"} {
			if built.err == nil {
				built.err = node.Compile(filepath.Join(built.dir, name), "test/node/update/backend", flags)
			}
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.dir
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}
