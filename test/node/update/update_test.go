package update_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/update"
	"git.tx1138.com/lfg2025/archy/test/node"
)

// A good update is kept, whatever was kept aside before; and what is decided stays decided, even when the node answers
// no more.
func TestGoodUpdate(t *testing.T) {
	t.Parallel()
	m := up(t)
	t.Run("is kept", func(t *testing.T) {
		got := m.verdict(t, m.update(t, "good", "good", "restart"), update.Committed)
		m.answers(t, "new", "2.0.0")
		if !m.Exists(webUI+".bak/index.html") || !m.Exists(program+".bak") {
			t.Error("the backups are gone")
		}
		m.noFurtherProbe(t, len(got.Probes))
		if got.Reason != "" || len(got.Probes) < 2 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("stays decided", func(t *testing.T) {
		before := m.probes(t)
		m.sh(t, "mv "+webUI+"/index.html /srv/index.html; cp "+last+" "+stateDir+"/x; mv "+stateDir+"/x "+pending)
		eventually(t, "the marker put away", func() bool { return !m.Exists(pending) })
		m.noFurtherProbe(t, before)
		if m.Exists(webUI + "/index.html") {
			t.Error("rolled back")
		}
		m.sh(t, "mv /srv/index.html "+webUI+"/index.html")
	})
	t.Run("can be undone by hand", func(t *testing.T) {
		if res := m.Root(t.Context(), "archy", "update", "rollback"); res.Code != 2 || !strings.Contains(res.Stderr, "hint: give --yes") {
			t.Errorf("without a terminal: %d %s", res.Code, res.Stderr)
		}
		m.MustRoot(t, "archy", "update", "rollback", "--yes", "--quiet")
		got := m.marker(t, last)
		if got.State != update.RolledBack || got.Reason != "asked for by the operator" {
			t.Errorf("%+v", got)
		}
		m.old(t, got)
		if res := m.Root(t.Context(), "archy", "update", "rollback", "--yes", "--json"); res.Code != 6 || !strings.Contains(res.Stdout, "web-ui.bak: no such file") {
			t.Errorf("a second time: %d %s%s", res.Code, res.Stdout, res.Stderr)
		}
		if res := m.Root(t.Context(), "archy", "update", "mark", "--old", "1.0.0", "--new", "2.0.0"); res.Code != 1 || !strings.Contains(res.Stderr, "web-ui.bak: no such file") {
			t.Errorf("marked without a backup: %d %s%s", res.Code, res.Stdout, res.Stderr)
		}
	})
	t.Run("is root's to mark", func(t *testing.T) {
		for _, args := range [][]string{{"mark", "--old", "1.0.0", "--new", "2.0.0"}, {"verify"}, {"rollback", "--yes"}} {
			res := m.User(t.Context(), append([]string{"archy", "update"}, args...)...)
			if res.Code != 2 || !strings.Contains(res.Stderr, "must run as root, this is uid 1000") {
				t.Errorf("%v: %d %s", args, res.Code, res.Stderr)
			}
		}
		if res := m.User(t.Context(), "archy", "update", "status"); res.Code != 0 || !strings.Contains(res.Stdout, "rolled-back") {
			t.Errorf("status: %d %s%s", res.Code, res.Stdout, res.Stderr)
		}
	})
	t.Run("from a unit that sees the system read-only", m.strict)
}

// noFurtherProbe wants the number of probes to stay at n for longer than their pace.
func (m *machine) noFurtherProbe(t *testing.T, n int) {
	t.Helper()
	for range 2 {
		if got := m.probes(t); got != n {
			t.Errorf("%d probes, want %d", got, n)
		}
		time.Sleep(1200 * time.Millisecond)
	}
}

// strict marks an update from a sandbox like that of the backend's unit: refused with what is missing, then with it.
func (m *machine) strict(t *testing.T) {
	m.update(t, "good", "good", "no") // its marker is the first one's to be put away
	m.sh(t, "systemctl restart archipelago.service")
	m.verdict(t, "2.0.2", update.Committed)
	mark := func(properties ...string) node.Result {
		args := append([]string{"systemd-run", "--quiet", "--wait", "--pipe", "--uid=archipelago", "-p", "ProtectSystem=strict"}, properties...)
		return m.Root(t.Context(), append(args, "sudo", "-n", "archy", "update", "mark", "--old", "1.0.0", "--new", "2.0.3")...)
	}
	res := mark()
	if res.Code != 1 || !strings.Contains(res.Stderr, "hint: the unit that calls this needs: ReadWritePaths=/var/lib/archipelago /run/archy") {
		t.Errorf("without: %d %s%s", res.Code, res.Stdout, res.Stderr)
	}
	if res := mark("-p", "ReadWritePaths=/var/lib/archipelago /run/archy"); res.Code != 0 {
		t.Errorf("with: %d %s%s", res.Code, res.Stdout, res.Stderr)
	}
	m.sh(t, "systemctl restart archipelago.service")
	m.verdict(t, "2.0.3", update.Committed)
}

// A page that fails, that is blank, or that a rollback cannot mend.
func TestBadPage(t *testing.T) {
	t.Parallel()
	m := up(t)
	t.Run("page 500", func(t *testing.T) { m.undone(t, "empty", "good", "GET / → 500") })
	t.Run("page names a script that is missing", func(t *testing.T) {
		m.undone(t, "blank", "good", "GET /assets/missing.js → the page instead of a script or style sheet")
	})
	t.Run("rollback that does not help", func(t *testing.T) {
		m.sh(t, "sed -i 's|proxy_pass [^;]*|return 503|' /etc/nginx/sites-enabled/default; systemctl reload nginx")
		got := m.verdict(t, m.update(t, "good", "good", "restart"), update.RollbackFailed)
		if got.Reason != "POST /rpc/v1 → 503" || got.Failure != "step 8, probe the old version: POST /rpc/v1 → 503" {
			t.Errorf("%q %q", got.Reason, got.Failure)
		}
		if state := m.sh(t, "systemctl is-failed "+verifyUnit+" || true"); state != "failed" {
			t.Errorf("the unit is %s", state)
		}
		m.noFurtherProbe(t, m.probes(t))
		m.write(t, "/etc/nginx/sites-enabled/default", nginxSite)
		m.MustRoot(t, "archy", "update", "rollback", "--yes")
		m.old(t, m.marker(t, last))
	})
}

// undone makes an update that must be rolled back, for a reason.
func (m *machine) undone(t *testing.T, pages, program, reason string) {
	t.Helper()
	before := m.probes(t)
	version := m.update(t, pages, program, "restart")
	got := m.verdict(t, version, update.RolledBack)
	if got.Reason != reason {
		t.Errorf("reason %q, want %q", got.Reason, reason)
	}
	m.old(t, got)
	if n := m.probes(t) - before; n != len(got.Probes) {
		t.Errorf("nginx saw %d probes, the marker has %d", n, len(got.Probes))
	}
	var status struct{ Last update.Marker }
	if err := json.Unmarshal([]byte(m.MustUser(t, "archy", "update", "status", "--json")), &status); err != nil || status.Last.Reason != reason {
		t.Errorf("status: %+v %v", status.Last, err)
	}
}

// A backend that dies again and again, pages that nobody may read, and a marker that nobody acted on in time.
func TestBadBackendAndMode(t *testing.T) {
	t.Parallel()
	m := up(t)
	// systemd refuses the dying one any further start; the old one must not be refused
	t.Run("backend not answering", func(t *testing.T) { m.undone(t, "good", "dying", "POST /rpc/v1 → 502") })
	t.Run("web-ui 0700", func(t *testing.T) { m.undone(t, "closed", "good", "GET / → 500") })
	t.Run("stale marker", func(t *testing.T) {
		before := m.probes(t)
		m.sh(t, "systemctl stop archy-update-verify.path")
		version := m.update(t, "empty", "dying", "restart")
		res := m.Root(t.Context(), "archy", "update", "mark", "--old", "1.0.0", "--new", "2.1.0", "--json")
		if res.Code != 5 || !strings.Contains(res.Stdout, `"code":"pending","message":"an update to `+version+" is pending since ") {
			t.Errorf("marked a second time: %d %s%s", res.Code, res.Stdout, res.Stderr)
		}
		marker := m.marker(t, pending)
		marker.MonotonicMS -= (11 * time.Minute).Milliseconds()
		text, err := json.Marshal(marker)
		if err != nil {
			t.Fatal(err)
		}
		m.write(t, pending, string(text))
		m.sh(t, "systemctl start archy-update-verify.path")
		m.verdict(t, version, update.Stale)
		m.noFurtherProbe(t, before)
		if m.Exists(webUI + "/index.html") {
			t.Error("rolled back")
		}
	})
}

// The power is cut in every state; the next boot goes on.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	m := up(t)
	t.Run("pending", func(t *testing.T) {
		m.sh(t, "systemctl stop archy-update-verify.path")
		version := m.update(t, "good", "good", "no")
		m.cut(t)
		if got := m.verdict(t, version, update.Committed); got.Began == nil || got.Began.BootID == got.BootID {
			t.Errorf("confirmed in the boot of the mark: %+v", got)
		}
		m.answers(t, "new", "2.0.0")
	})
	m.MustRoot(t, "archy", "update", "rollback", "--yes", "--quiet")
	t.Run("verifying", func(t *testing.T) {
		before := m.probes(t)
		version := m.update(t, "empty", "good", "restart")
		m.when(t, "a few probes", func(p *update.Marker) bool { return len(p.Probes) > 3 })
		m.cut(t)
		got := m.verdict(t, version, update.RolledBack)
		m.old(t, got)
		// the one that the cut hit may not be in the marker
		if n := m.probes(t) - before - len(got.Probes); n != 0 && n != 1 {
			t.Errorf("nginx saw %d probes more than the %d of the marker", n, len(got.Probes))
		}
	})
	t.Run("rolling back", func(t *testing.T) {
		m.slowNginx(t)
		before := m.probes(t)
		version := m.update(t, "empty", "dying", "restart")
		m.when(t, "step 6", func(p *update.Marker) bool { return p.State == update.RollingBack && p.Step == 6 })
		m.cut(t)
		got := m.verdict(t, version, update.RolledBack)
		m.old(t, got)
		if got.Reason != "GET / → 500" {
			t.Errorf("reason %q", got.Reason)
		}
		if n := m.probes(t) - before; n != len(got.Probes) {
			t.Errorf("nginx saw %d probes, the marker has %d: one was made twice", n, len(got.Probes))
		}
	})
}

// cut is a power cut, and a boot that ends when systemd has started what it starts: archy's verification is part of it.
func (m *machine) cut(t *testing.T) {
	t.Helper()
	m.Cut()
	if err := m.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// when waits for a state of the pending marker.
func (m *machine) when(t *testing.T, what string, ok func(*update.Marker) bool) {
	t.Helper()
	eventually(t, what, func() bool {
		p := m.marker(t, pending)
		return p != nil && ok(p)
	})
}

// slowNginx makes the verification wait in step 7 in this boot: its check of nginx's configuration takes ten seconds.
func (m *machine) slowNginx(t *testing.T) {
	t.Helper()
	if err := m.WriteFile("/opt/slow/nginx", []byte("#!/bin/sh\n[ -e /run/slow ] && sleep 10\nexec /usr/sbin/nginx \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.write(t, "/etc/systemd/system/"+verifyUnit+".d/slow.conf", "[Service]\nEnvironment=PATH=/opt/slow:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n")
	m.sh(t, "touch /run/slow; systemctl daemon-reload")
}
