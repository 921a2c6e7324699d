//go:build failpoints

package update_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/update"
	"git.tx1138.com/lfg2025/archy/test/node"
	"git.tx1138.com/lfg2025/archy/test/node/points"
)

// patientWindows leave room for a probe that hangs until its own limit.
const patientWindows = "restart=10s settle=500ms every=4s probes=16s deadline=90s poll=100ms"

// TestPoints breaks the verification of an update off at its external calls, one a run: of one that is good, and of one
// whose page is empty. The next run must come to the same verdict. points.Choose tells how many.
func TestPoints(t *testing.T) {
	seed := node.Seed(t)
	for i, s := range []struct {
		name, pages string
		want        update.State
	}{
		{"good update", "good", update.Committed},
		{"bad page", "empty", update.RolledBack},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			m := breakable(t)
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			m.marked(t, s.pages)
			m.broken(t, points.Fault{}, "")
			calls := points.Points(t, m.Node)
			m.came(t, s.want)
			faults := points.Choose(t, r, calls, 1)
			for _, f := range faults {
				point := f.In(calls)
				t.Logf("%s at %s", f, point)
				m.marked(t, s.pages)
				m.broken(t, f, point)
				m.whole(t)
				m.decided(t, f, s.want)
				if m.came(t, s.want); t.Failed() {
					t.Fatalf("%s: %s at %s\n%s", s.name, f, point, m.sh(t, "archy update status --json; ls -la /opt/archipelago /usr/local/bin"))
				}
			}
			t.Logf("%s: %d points, %d runs, all came to their verdict", s.name, len(calls), len(faults))
		})
	}
}

// breakable is a node with an archy that can be broken off, which nobody but the test calls.
func breakable(t *testing.T) *machine {
	t.Helper()
	m := up(t)
	path := filepath.Join(t.TempDir(), "archy")
	if err := node.Compile(path, "cmd/archy", "-X 'main.updateWindows="+patientWindows+"'", "failpoints"); err != nil {
		t.Fatal(err)
	}
	m.sh(t, "systemctl disable --now archy-update-verify.path archy-update-verify.service 2>/dev/null; "+
		"cp -a "+webUI+" /srv/pages/old; cp -a "+program+" /srv/programs/old")
	if err := m.Put(path, "/usr/local/bin/archy", 0o755); err != nil {
		t.Fatal(err)
	}
	return m
}

// marked is version 1.0.0, then the update to the next, marked and restarted into.
func (m *machine) marked(t *testing.T, pages string) {
	t.Helper()
	m.sh(t, fmt.Sprintf(`rm -rf %[1]s %[1]s.* %[2]s.* %[3]s %[4]s; cp -a /srv/pages/old %[1]s; cp -a /srv/programs/old %[2]s.x; mv %[2]s.x %[2]s
echo 1.0.0 >/opt/archipelago/version; systemctl reset-failed; systemctl restart archipelago.service; systemctl is-active -q nginx || systemctl start nginx`,
		webUI, program, pending, last))
	m.answers(t, "old", "1.0.0")
	m.update(t, pages, "good", "restart")
}

var verify = []string{"archy", "update", "verify"}

func (m *machine) broken(t *testing.T, f points.Fault, point string) {
	t.Helper()
	points.Break(t, m.Node, node.Cmd{Args: verify}, f, point)
}

// whole wants what must be true right after the break: every marker is a whole file, and both versions are somewhere.
func (m *machine) whole(t *testing.T) {
	t.Helper()
	m.marker(t, pending)
	m.marker(t, last)
	m.sh(t, "grep -q '<title>old' "+webUI+"*/index.html; for f in "+program+"*; do cmp -s $f /srv/programs/old && exit; done; echo the old program is gone >&2; exit 1")
	m.sh(t, "test ! -e "+webUI+" || test -e "+webUI+"/assets; for f in "+program+"*; do cmp -s $f /srv/programs/good && exit; done; echo the new program is gone >&2; exit 1")
}

// decided makes the next run, which goes on with what was broken off. A step that failed, and so the roll-back, is the
// operator's to try again.
func (m *machine) decided(t *testing.T, f points.Fault, want update.State) {
	t.Helper()
	if m.Exists(pending) {
		m.Root(t.Context(), verify...)
	}
	if got := m.marker(t, last); got != nil && got.State == update.RollbackFailed && !f.Dies() && want == update.RolledBack {
		t.Logf("failed at %q, and is tried again by hand", got.Failure)
		m.MustRoot(t, "archy", "update", "rollback", "--yes", "--quiet")
	}
}

// failedAt is the time in the name of the one page that was put aside.
func (m *machine) failedAt(t *testing.T) time.Time {
	t.Helper()
	at, err := time.Parse("20060102T150405Z", m.sh(t, "cd /opt/archipelago; ls -d web-ui.failed.* | cut -d. -f3"))
	if err != nil {
		t.Errorf("pages put aside: %v", err)
	}
	return at
}

// came wants a verdict, and its version in every place.
func (m *machine) came(t *testing.T, want update.State) {
	t.Helper()
	got := m.marker(t, last)
	if got == nil || m.Exists(pending) || got.State != want {
		t.Fatalf("verdict %+v, want %s", got, want)
	}
	if want == update.RolledBack {
		if !m.Exists(webUI + ".failed." + got.RollbackAt.UTC().Format("20060102T150405Z")) {
			// A second try by hand has a time of its own, and what the first put aside keeps its name.
			got.RollbackAt = m.failedAt(t)
		}
		m.old(t, got)
		return
	}
	m.answers(t, "new", "2.0.0")
	if !m.Exists(webUI+".bak/index.html") || !m.Exists(program+".bak") {
		t.Error("the backups are gone")
	}
}
