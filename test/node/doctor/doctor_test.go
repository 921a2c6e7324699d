// Package doctor_test breaks a real node in many ways and asks archy doctor what ails it. The test needs root.
package doctor_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/doctor"
	"git.tx1138.com/lfg2025/archy/test/node"
)

const (
	dataDir  = "/var/lib/archipelago"
	password = dataDir + "/secrets/bitcoin-rpc-password"
	unit     = "/home/archipelago/.config/containers/systemd/filebrowser.container"
	// patience bounds every single command of the test.
	patience = 5 * time.Minute
)

// explained are the warnings of a healthy node of the tests: it has no clock, no uplink and no control groups of its own.
var explained = []string{"D_CLOCK", "D_DNS", "D_CGROUP"}

type machine struct {
	*node.Node
	t *testing.T
}

// TestDoctor: a node after its first boot is well but for what a node of the tests lacks; then it is broken in one way
// after the other, and each is told by its code with what mends it. --fix mends those that are safe to mend, and no other.
func TestDoctor(t *testing.T) {
	n := &machine{node.UpT(t, node.Options{FirstBoot: true, Apps: []string{"filebrowser", "fedimint-clientd", "archy-mempool-db"}}), t}
	if err := n.Put(node.Archy(t), "/usr/local/bin/archy", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Run("not a node yet", func(t *testing.T) {
		d := n.of(t).doctor(1)
		if r := result(t, d, "D_GRAPHROOT"); r.Status != doctor.Error {
			t.Errorf("%+v", r)
		}
	})
	n.archy(0, "iso", "install", "--root", "/")
	n.archy(0, "first-boot", "--apps", "filebrowser,archy-mempool-db")
	// The passes of the timer would mend what the doctor is to find.
	n.sh("mkdir /etc/systemd/system/archy-reconcile.service.d; printf '[Unit]\\nConditionPathExists=/not/now\\n' >/etc/systemd/system/archy-reconcile.service.d/not-now.conf; " +
		"systemctl daemon-reload; systemctl start archy-doctor.timer archy-update-verify.path archy-reconcile.timer")
	t.Run("a healthy node", func(t *testing.T) { healthy(t, n.of(t)) })
	for _, b := range breakages {
		t.Run(b.name, func(t *testing.T) { b.test(t, n.of(t)) })
	}
	t.Run("what cannot be asked", func(t *testing.T) { unasked(t, n.of(t)) })
	t.Run("bundle", func(t *testing.T) { bundle(t, n.of(t)) })
	t.Run("quarantine", func(t *testing.T) { quarantine(t, n.of(t)) })
	t.Run("the unit of the timer", func(t *testing.T) { timer(t, n.of(t)) })
}

// of is the machine for a subtest, which is the one that ends when something fails.
func (n *machine) of(t *testing.T) *machine { return &machine{n.Node, t} }

func (n *machine) sh(script string) string {
	n.t.Helper()
	return n.MustRoot(n.t, "sh", "-ec", script)
}

// archy runs archy as root and ends the test unless it exits with code.
func (n *machine) archy(code int, args ...string) node.Result {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return n.want(code, n.Root(ctx, append([]string{"archy"}, args...)...))
}

func (n *machine) want(code int, res node.Result) node.Result {
	n.t.Helper()
	if res.Code != code || res.Err != nil {
		n.t.Fatalf("%s: exit code %d (%v), want %d\n%s%s", strings.Join(res.Args, " "), res.Code, res.Err, code, res.Stdout, res.Stderr)
	}
	return res
}

// doctor asks it as root; code -1: any.
func (n *machine) doctor(code int, flags ...string) doctor.Document {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return n.document(code, n.Root(ctx, append([]string{"archy", "doctor", "--json"}, flags...)...))
}

func (n *machine) document(code int, res node.Result) doctor.Document {
	n.t.Helper()
	var d doctor.Document
	if err := json.Unmarshal([]byte(res.Stdout), &d); err != nil || d.ExitCode != res.Code || code >= 0 && res.Code != code || len(d.Checks) != len(doctor.Checks()) {
		n.t.Fatalf("%s: %v, exit code %d, want %d\n%s%s", strings.Join(res.Args, " "), err, res.Code, code, res.Stdout, res.Stderr)
	}
	return d
}

func result(t *testing.T, d doctor.Document, code string) doctor.Result {
	t.Helper()
	for _, r := range d.Checks {
		if r.Code == code {
			return r
		}
	}
	t.Fatalf("no %s in the report", code)
	return doctor.Result{}
}

// bad are the codes of warnings and errors, without the explained ones. That podman is late is the machine's load.
func bad(d doctor.Document) (codes []string) {
	for _, r := range d.Checks {
		late := r.Code == "D_PODMAN" && r.Status == doctor.Warning
		if (r.Status == doctor.Warning || r.Status == doctor.Error) && !late && !slices.Contains(explained, r.Code) {
			codes = append(codes, r.Code)
		}
	}
	return codes
}

func healthy(t *testing.T, n *machine) {
	d := n.doctor(3)
	if codes := bad(d); len(codes) > 0 || d.Summary.Skipped > 0 {
		t.Errorf("a healthy node has %v, and these checks skipped: %+v", codes, d.Checks)
	}
	before := n.state()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	user := n.document(3, n.User(ctx, "archy", "doctor", "--json"))
	if codes := bad(user); len(codes) > 0 {
		t.Errorf("to the service user it has %v", codes)
	}
	for _, code := range []string{"D_FIREWALL", "D_TOR", "D_WEBUI_MODE"} {
		if r := result(t, user, code); r.Status != doctor.Skipped || !strings.Contains(r.Reason, "sudo archy doctor") {
			t.Errorf("%+v", r)
		}
	}
	if fixed := n.doctor(3, "--heal=safe"); fixed.Summary.Mended > 0 || fixed.Heal == nil {
		t.Errorf("the doctor mended a healthy node: %+v", fixed)
	}
	if after := n.state(); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
}

// state is what a doctor who only looks must not change.
func (n *machine) state() string {
	return n.sh(`cat /home/archipelago/.config/containers/systemd/* | sha256sum; ufw show added; cat /etc/tor/torrc /etc/subuid; ls -laR /var/lib/archipelago/secrets /var/lib/archipelago/state/apps /home/archipelago/.config /etc/systemd/system | grep -v '^total'`)
}

// breakage is one way to break a node. Broken with breaks, told as code with mend; whole again by mends, or by --fix.
type breakage struct {
	name, breaks, code, text, mend, mends string
	// also are the codes of further checks that the same breaks.
	also     string
	severity doctor.Severity
	// safe: --fix mends it. human: exit code 6.
	safe, human bool
}

var breakages = []breakage{
	{name: "a secret that all may read", breaks: "chmod 0644 " + password, code: "D_SECRET_MODE", text: "mode 0644", mend: "sudo archy doctor --fix", severity: doctor.Error, safe: true},
	{name: "a secret of root's", breaks: "chown root " + password, code: "D_SECRET_MODE", text: "belongs to 0:1000", mend: "sudo archy doctor --fix", severity: doctor.Error, safe: true},
	{name: "lingering off", breaks: "rm /var/lib/systemd/linger/archipelago", code: "D_LINGER", text: "enable lingering", mend: "sudo loginctl enable-linger archipelago", severity: doctor.Error, safe: true},
	{name: "no drop-in", breaks: "rm /etc/systemd/system/user@1000.service.d/10-archipelago.conf", code: "D_DROPIN", text: "10-archipelago.conf", mend: "sudo archy doctor --fix", severity: doctor.Warning, safe: true},
	{name: "a drop-in that systemd has not read", breaks: "touch /etc/systemd/system/user@1000.service.d/10-archipelago.conf", code: "D_DROPIN", text: "reload systemd", mend: "sudo archy doctor --fix", severity: doctor.Warning, safe: true},
	{name: "a configuration that the journal has not read", breaks: "sleep 1; touch /etc/systemd/journald.conf.d/50-archipelago.conf", code: "D_JOURNAL", text: "restart systemd-journald", mend: "sudo archy first-boot --again", mends: "systemctl restart systemd-journald", severity: doctor.Warning},
	{name: "a host name that is not copied", breaks: "rm " + dataDir + "/tor-hostnames/web", code: "D_TOR", text: "tor-hostnames/web", mend: "sudo archy doctor --fix", severity: doctor.Warning, safe: true},
	{name: "ports that a connection may take", breaks: "echo >/proc/sys/net/ipv4/ip_local_reserved_ports", code: "D_SYSCTL", text: "reserve the ports 50001,50002", mend: "sudo archy first-boot --again", mends: "/usr/lib/systemd/systemd-sysctl", severity: doctor.Warning},
	{name: "Tor off", breaks: "systemctl stop tor@default tor", code: "D_TOR", text: "start Tor", mend: "sudo archy first-boot --again", mends: "systemctl start tor@default", severity: doctor.Warning},
	{name: "a rule gone", breaks: "ufw delete allow in proto tcp to any port 443", code: "D_FIREWALL", text: "port 443 comment archy:https", mend: "sudo archy first-boot --again", mends: "ufw allow in proto tcp to any port 443 comment archy:https", severity: doctor.Warning},
	{name: "a rule that the kernel lacks", breaks: "iptables -D ufw-user-input -p tcp --dport 443 -j ACCEPT", code: "D_FIREWALL", text: "into the kernel", mend: "sudo archy first-boot --again", mends: "/usr/lib/ufw/ufw-init force-reload", severity: doctor.Warning},
	{name: "the firewall off", breaks: "ufw disable", code: "D_FIREWALL", text: "enable ufw", mend: "sudo archy first-boot --again", mends: "ufw --force enable", severity: doctor.Warning},
	{name: "a short range", breaks: "cp -p /etc/subuid /etc/subuid.was; echo archipelago:100000:1000 >/etc/subuid", code: "D_SUBID", text: "has 1000 ids", mend: "remove the line", mends: "mv /etc/subuid.was /etc/subuid", severity: doctor.Error, human: true},
	{name: "another storage.conf", breaks: "f=/home/archipelago/.config/containers/storage.conf; cp -p $f /root/was; echo >>$f", code: "D_GRAPHROOT", text: "storage.conf", mend: "sudo archy first-boot --again", mends: "cp -p /root/was /home/archipelago/.config/containers/storage.conf", severity: doctor.Error},
	{name: "a unit that somebody edited", breaks: "cp -p " + unit + " /root/was; sed -i s/Description=.*/Description=mine/ " + unit, code: "D_UNIT_EDITED", text: "filebrowser.container", mend: "archy reconcile --container=filebrowser", mends: "cp -p /root/was " + unit, severity: doctor.Warning},
	{name: "a unit of somebody else", breaks: "cp -p " + unit + " /root/was; sed -i 1d " + unit, code: "D_UNIT_FOREIGN", also: "D_UNIT_EDITED", text: "not archy's", mend: "archy reconcile --container=filebrowser", mends: "cp -p /root/was " + unit, severity: doctor.Warning},
	{name: "a unit that podman refuses", breaks: "echo '[Container]\nNonsense=1' >" + strings.Replace(unit, "filebrowser", "mine", 1), code: "D_UNIT_REJECTED", text: "Nonsense", mend: "mend or remove it", mends: "rm " + strings.Replace(unit, "filebrowser", "mine", 1), severity: doctor.Error},
	{name: "a record that is cut short", breaks: "f=" + dataDir + "/state/first-boot.json; cp -p $f /root/was; echo '{\"schema\":' >$f", code: "D_STATE", text: "not a whole JSON document", mend: "sudo mv", mends: "cp -p /root/was " + dataDir + "/state/first-boot.json", severity: doctor.Error},
	{name: "a progress of a newer archy", breaks: "f=" + dataDir + "/state/first-boot.json; cp -p $f /root/was; echo '{\"schema\":7}' >$f", code: "D_STATE", text: "newer archy", mend: "install that archy again", mends: "cp -p /root/was " + dataDir + "/state/first-boot.json", severity: doctor.Error},
	{name: "a result that is cut short", breaks: "f=" + dataDir + "/state/reconcile-last.json; cp -p $f /root/was; echo '{\"schema\":' >$f", code: "D_STATE", text: "it is no loss", mend: "archy reconcile", mends: "cp -p /root/was " + dataDir + "/state/reconcile-last.json", severity: doctor.Info},
	{name: "pages that nginx may not read", breaks: "chmod 0700 /opt/archipelago/web-ui", code: "D_WEBUI_MODE", also: "D_DIRECTORY", text: "E_ROOT_MODE", mend: "sudo archy doctor --heal=full", mends: "archy doctor --heal=full >/dev/null || test $? = 3", severity: doctor.Error},
	{name: "a timer off", breaks: "systemctl stop archy-doctor.timer", code: "D_TIMER", text: "archy-doctor.timer", mend: "sudo systemctl enable --now archy-doctor.timer", mends: "systemctl start archy-doctor.timer", severity: doctor.Warning},
	{name: "the clock of yesterday", breaks: "touch -d '+2 days' " + dataDir + "/state/first-boot.json", code: "D_CLOCK", text: "jumped back", mend: "timedatectl", mends: "touch " + dataDir + "/state/first-boot.json", severity: doctor.Warning},
	{name: "another volume", breaks: "cp -p /etc/archipelago/volume-id /root/was; echo another >/etc/archipelago/volume-id; chmod 0644 " + password, code: "D_VOLUME", text: "names another", mend: "sudo mount", mends: "cp -p /root/was /etc/archipelago/volume-id; chmod 0600 " + password, severity: doctor.Error, human: true},
	{name: "a certificate that ends", breaks: "d=" + dataDir + "/lnd; mkdir -p $d; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3 -subj /CN=x -addext subjectAltName=DNS:lnd -keyout /dev/null -out $d/tls.cert 2>/dev/null; chmod 0644 $d/tls.cert", code: "D_CERT", text: "it ends", mend: "archy start lnd", mends: "rm -r " + dataDir + "/lnd", severity: doctor.Warning},
}

func (b breakage) test(t *testing.T, n *machine) {
	n.sh(b.breaks)
	defer func() { n.sh(b.mends) }()
	if b.safe {
		told(t, b, n.doctor(-1))
		if r := result(t, n.doctor(-1, "--fix"), b.code); len(r.Mended) == 0 || r.Status != doctor.OK {
			t.Errorf("--fix: %+v", r)
		}
		return
	}
	before := n.state()
	d := n.doctor(-1, "--fix")
	told(t, b, d)
	if after := n.state(); after != before || d.Summary.Mended > 0 {
		t.Errorf("--fix changed something (%d mended):\n%s\n%s", d.Summary.Mended, before, after)
	}
}

// told: the report has the finding, by its code, and nothing else is wrong.
func told(t *testing.T, b breakage, d doctor.Document) {
	t.Helper()
	if codes := slices.DeleteFunc(bad(d), func(code string) bool { return code == b.code || strings.Contains(b.also, code) }); len(codes) > 0 {
		t.Errorf("it also has %v", codes)
	}
	r := result(t, d, b.code)
	for _, f := range r.Findings {
		if f.Severity == b.severity && strings.Contains(f.Object+": "+f.Text, b.text) {
			if !strings.Contains(f.Mend, b.mend) || f.Human != b.human {
				t.Errorf("mend %q, human %v; want %q, %v", f.Mend, f.Human, b.mend, b.human)
			}
			if b.human != (d.ExitCode == doctor.ExitHuman) {
				t.Errorf("exit code %d", d.ExitCode)
			}
			return
		}
	}
	t.Errorf("%s has no %s with %q: %+v", b.code, b.severity, b.text, r)
}

// unasked: apps that are down, a port of somebody else's, no user bus: there is a report in each case.
func unasked(t *testing.T, n *machine) {
	t.Run("a port of somebody else's", func(t *testing.T) {
		n := n.of(t)
		n.MustUser(t, "systemctl", "--user", "stop", "filebrowser.service")
		l, err := n.Listen("tcp", "0.0.0.0:8083")
		if err != nil {
			t.Fatal(err)
		}
		d := n.doctor(1)
		if r := result(t, d, "D_PORT"); len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Text, "port 8083 is held by") || !strings.Contains(r.Findings[0].Mend, "archy start filebrowser") {
			t.Errorf("%+v", r)
		}
		l.Close()
		n.MustUser(t, "systemctl", "--user", "start", "filebrowser.service")
		n.MustUser(t, "archy", "reconcile", "--wait")
	})
	t.Run("no user bus", func(t *testing.T) {
		n := n.of(t)
		n.sh("mv /run/user/1000/bus /run/user/1000/bus.off")
		d := n.doctor(-1)
		n.sh("mv /run/user/1000/bus.off /run/user/1000/bus")
		if r := result(t, d, "D_RUNTIME_DIR"); r.Status != doctor.Error || !strings.Contains(r.Findings[0].Mend, "systemctl start user@1000") {
			t.Errorf("%+v", r)
		}
		if r := result(t, d, "D_APP"); r.Status != doctor.Skipped {
			t.Errorf("%+v", r)
		}
		if r := result(t, d, "D_SECRET_MODE"); r.Status != doctor.OK {
			t.Errorf("%+v", r)
		}
	})
	t.Run("no service user", func(t *testing.T) {
		n := n.of(t)
		n.sh("cp -p /etc/passwd /root/passwd; sed -i /^archipelago:/d /etc/passwd")
		d := n.doctor(-1)
		n.sh("mv /root/passwd /etc/passwd")
		if r := result(t, d, "D_USER"); r.Status != doctor.Error || !strings.Contains(r.Findings[0].Mend, "useradd") {
			t.Errorf("%+v", r)
		}
		if r := result(t, d, "D_FIREWALL"); r.Status == doctor.Skipped {
			t.Errorf("%+v", r)
		}
	})
	if codes := bad(n.doctor(-1)); len(codes) > 0 {
		t.Errorf("afterwards the node has %v", codes)
	}
}

// bundle: secrets that lie where programs print them are in no file of a report, in no form.
func bundle(t *testing.T, n *machine) {
	secrets := strings.Split(strings.TrimSpace(n.sh("cd "+dataDir+"/secrets && for f in *; do cat $f; echo; done")), "\n")
	rpc := strings.TrimSpace(n.sh("cat " + password))
	encoded := base64.StdEncoding.EncodeToString([]byte("archipelago:" + rpc))
	const dropIn = "/etc/systemd/system/archy-doctor.service.d"
	n.sh(fmt.Sprintf(`mkdir %[4]s
		echo '[Service]
		ExecStartPre=/bin/echo rpc %[1]s; Authorization: Basic %[2]s; https://u:%[1]s@host/ password=planted-marker-1' >%[4]s/says.conf
		systemctl daemon-reload; systemctl start archy-doctor.service; rm -r %[4]s; systemctl daemon-reload
		echo '# %[1]s' >>%[3]s; echo 'Environment=X=%[1]s' >>%[3]s; chmod 0640 %[3]s`, rpc, encoded, unit, dropIn))
	n.archy(3, "doctor", "--bundle", "/root/report.tar.gz")
	if mode := n.sh("stat -c '%a %u' /root/report.tar.gz"); mode != "600 0\n" {
		t.Errorf("the report has %s", mode)
	}
	packed, err := n.ReadFile("/root/report.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, packed)
	for _, name := range []string{"doctor.json", "status.json", "versions.txt", "containers.txt", "units/filebrowser.container", "journal/archy-doctor.txt", "last/reconcile-last.json", "last/first-boot.json"} {
		if len(files["archy-report/"+name]) == 0 {
			t.Errorf("no %s: %s", name, files["archy-report/left-out.txt"])
		}
	}
	if text := files["archy-report/journal/archy-doctor.txt"]; !strings.Contains(text, "rpc hidden") {
		t.Errorf("the journal is not there: %s", text)
	}
	for name, text := range files {
		for _, s := range append(secrets, encoded, "planted-marker-1") {
			if len(s) >= 8 && strings.Contains(text, s) {
				t.Errorf("a secret is in %s", name)
			}
		}
	}
	n.MustUser(t, "archy", "reconcile")
}

func unpack(t *testing.T, packed []byte) map[string]string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for in := tar.NewReader(zip); ; {
		h, err := in.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(text)
	}
}

// quarantine: what a heal has set aside goes back when its operator says so, and not while containers live.
func quarantine(t *testing.T, n *machine) {
	const name = "db.sql.20260102T030405Z"
	db := dataDir + "/containers/storage/db.sql"
	n.sh("cp -p " + db + " " + dataDir + "/state/quarantine/" + name + "; chown archipelago: " + dataDir + "/state/quarantine/" + name)
	d := n.doctor(-1)
	if r := result(t, d, "D_QUARANTINE"); len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Mend, name) {
		t.Errorf("%+v", r)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	restore := func(code int, name string) node.Result {
		return n.want(code, n.User(ctx, "archy", "doctor", "--restore-quarantine", name))
	}
	if res := restore(2, "db.sql.20000101T000000Z"); !strings.Contains(res.Stderr, name) {
		t.Errorf("%s", res.Stderr)
	}
	if res := restore(6, name); !strings.Contains(res.Stderr, "filebrowser") {
		t.Errorf("%s", res.Stderr)
	}
	n.MustUser(t, "archy", "stop", "filebrowser", "archy-mempool-db")
	sum := n.sh("sha256sum <" + dataDir + "/state/quarantine/" + name)
	restore(0, name)
	if now := n.sh("sha256sum <" + db); now != sum {
		t.Error("the database is not the one that was set aside")
	}
	if kept := n.sh("ls " + dataDir + "/state/quarantine | grep -c ^db.sql.2"); kept != "1\n" {
		t.Errorf("%s databases are in quarantine, want the one that was in its place", kept)
	}
	n.MustUser(t, "archy", "start", "filebrowser", "archy-mempool-db")
	n.sh("rm " + dataDir + "/state/quarantine/db.sql*")
	if codes := bad(n.doctor(-1)); len(codes) > 0 {
		t.Errorf("afterwards the node has %v", codes)
	}
}

// timer: the unit runs, mends what is safe, root's part too, and ends well.
func timer(t *testing.T, n *machine) {
	n.sh("chown root " + password + "; rm " + dataDir + "/tor-hostnames/web")
	n.sh("systemctl start archy-doctor.service")
	if got := n.sh("systemctl show -P Result archy-doctor.service; stat -c %U " + password + "; ls " + dataDir + "/tor-hostnames"); got != "success\narchipelago\nweb\n" {
		t.Errorf("after the unit:\n%s%s", got, n.sh("journalctl -u archy-doctor.service --no-pager"))
	}
}
