package update

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/state"
)

// offsets are the times of the probes of a phase, counted from the mark, in seconds.
func offsets(m *Marker, phase string) []int {
	var out []int
	for _, p := range m.Probes {
		if p.Phase == phase {
			out = append(out, int(p.Time.Sub(m.MarkedAt).Seconds()))
		}
	}
	return out
}

func TestGoodUpdateIsKept(t *testing.T) {
	w := newWorld(t, "good", "good")
	w.mark()
	before := w.tree()
	m := w.must(Committed)
	// the restart comes after 3 s, then the backend has 15 s to settle
	if got := offsets(m, phaseUpdate); !slices.Equal(got, []int{18, 23}) {
		t.Errorf("probes at %v", got)
	}
	if w.tree() != before {
		t.Errorf("a commit changes files:\n%s", w.tree())
	}
	if w.updater().exists("/var/lib/archipelago/state/update-pending.json") {
		t.Error("the marker stays")
	}
	last, err := w.updater().Last()
	if err != nil || last.State != Committed || last.FinishedAt.IsZero() {
		t.Errorf("last: %+v %v", last, err)
	}
	if !slices.Equal(w.reports, []State{Committed}) {
		t.Errorf("journal: %v", w.reports)
	}
}

func TestWithoutMarkerNothingHappens(t *testing.T) {
	w := newWorld(t, "bad", "bad")
	r, _, err := w.verify()
	if err != nil || r.Marker != nil || w.probes > 0 || len(w.events) > 0 {
		t.Errorf("%+v %v, %v", r, err, w.events)
	}
}

// isOld wants everything back that the update replaced, and what it brought put aside.
func (w *world) isOld(m *Marker) {
	w.t.Helper()
	want := map[string]string{
		webUI + "/index.html":                    "old",
		webUI + "/assets/app.js":                 "old script",
		webUI + ".bak":                           "absent",
		"/opt/archipelago/apps/lnd/manifest.yml": "old manifest",
		"/opt/archipelago/version":               "1.0.0",
		binary:                                   "old",
		binary + ".bak":                          "old",
		m.failed("/opt/archipelago/apps") + "/lnd/manifest.yml": "new manifest",
	}
	for path, text := range want {
		if got := w.get(path); got != text {
			w.t.Errorf("%s: %q, want %q", path, got, text)
		}
	}
	if w.running != "old" {
		w.t.Errorf("the backend is %q", w.running)
	}
}

// A version file that the new version has spoilt is told, and keeps the old version from nothing.
func TestAVersionFileThatIsSpoilt(t *testing.T) {
	const version = "/opt/archipelago/version"
	for name, tt := range map[string]struct {
		spoil func(file string) error
		told  string
	}{
		"removed":           {os.Remove, ""},
		"long":              {func(file string) error { return os.WriteFile(file, make([]byte, 300), 0o644) }, "not a file that holds a version"},
		"a link":            {func(file string) error { return errors.Join(os.Remove(file), os.Symlink("/etc/passwd", file)) }, "link"},
		"a link to nothing": {func(file string) error { return errors.Join(os.Remove(file), os.Symlink("nothing", file)) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "bad", "bad")
			w.mark()
			if err := tt.spoil(w.layout.Host(version)); err != nil {
				t.Fatal(err)
			}
			r, _, err := w.verify()
			if err != nil || r.Marker.State != RolledBack || w.running != "old" {
				t.Errorf("%v, %+v, the backend is %q", err, r.Marker, w.running)
			}
			warned := strings.Join(r.Warnings, "\n")
			if tt.told == "" && (warned != "" || w.get(version) != "1.0.0") || !strings.Contains(warned, tt.told) {
				t.Errorf("warnings %q, the file says %q", warned, w.get(version))
			}
		})
	}
}

func TestBadUpdatesAreUndone(t *testing.T) {
	tests := map[string]struct {
		pages, program string
		prepare        func(*world)
		reason         string
	}{
		"page 500":              {"bad", "good", nil, "GET / → 500"},
		"backend not answering": {"good", "bad", nil, "POST /rpc/v1 → 502"},
		"web-ui 0700 (incident 4)": {"good", "good", func(w *world) {
			if err := os.Chmod(w.layout.Host(webUI), 0o700); err != nil {
				w.t.Fatal(err)
			}
		}, "GET / → 403"},
		"never two in a row": {"good", "good", func(w *world) {
			w.answers = func(n int) (bool, string) {
				if w.get(webUI+"/index.html") == "old" {
					return true, ""
				}
				return n%2 == 0, "GET / → no answer in time"
			}
		}, "only one probe passed before the time was over"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tt.pages, tt.program)
			if tt.prepare != nil {
				tt.prepare(w)
			}
			before := w.contents()
			w.mark()
			m := w.must(RolledBack)
			w.isOld(m)
			if m.Reason != tt.reason {
				t.Errorf("reason %q, want %q", m.Reason, tt.reason)
			}
			w.nothingLost(before)
			// 3 s to the restart, 15 s to settle, 90 s of a probe every 5 s
			update := offsets(m, phaseUpdate)
			if update[0] != 18 || len(update) != 18 || update[len(update)-1] > 108 {
				t.Errorf("probes at %v", update)
			}
			if got := offsets(m, phaseRollback); len(got) != 2 || got[0] < 110 || got[0] > 112 {
				t.Errorf("probes of the old version at %v", got)
			}
			if !slices.Equal(w.reports, []State{RolledBack}) {
				t.Errorf("journal: %v", w.reports)
			}
			info, err := os.Stat(w.layout.Host(webUI))
			if err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("web-ui: %v %v", info.Mode(), err)
			}
		})
	}
}

// nothingLost wants every content that was there to be there still, the version file apart.
func (w *world) nothingLost(before map[string]bool) {
	w.t.Helper()
	after := w.contents()
	for text := range before {
		if !after[text] && text != "2.0.0\n" {
			w.t.Errorf("%q is gone", strings.TrimPrefix(text, elfHead))
		}
	}
}

func TestNoRestartSeen(t *testing.T) {
	w := newWorld(t, "good", "good")
	w.mark()
	w.restartAt = 0
	if got := offsets(w.must(Committed), phaseUpdate); !slices.Equal(got, []int{60, 65}) {
		t.Errorf("45 s for the restart and 15 s to settle, then probes: %v", got)
	}
}

func TestUnknownInvocationWaitsTheWholeTime(t *testing.T) {
	w := newWorld(t, "good", "good")
	w.failAt = 1
	m := w.mark()
	if w.failAt = 0; m.BackendInvocation != unknownInvocation {
		t.Fatalf("%+v", m)
	}
	if got := offsets(w.must(Committed), phaseUpdate); got[0] != 60 {
		t.Errorf("probes at %v", got)
	}
}

func TestNoProbeBeyondTheDeadline(t *testing.T) {
	w := newWorld(t, "bad", "good")
	w.mark()
	w.restartAt = 0
	w.pass(100 * time.Second)
	m := w.must(RolledBack)
	update := offsets(m, phaseUpdate)
	if last := update[len(update)-1]; last < 140 || last >= 150 {
		t.Errorf("probes at %v", update)
	}
}

// A verifier that comes after the deadline finds the time over: no probe may be made any more.
func TestLateVerifierRollsBack(t *testing.T) {
	w := newWorld(t, "good", "good")
	w.mark()
	w.pass(200 * time.Second)
	m := w.must(RolledBack)
	if len(offsets(m, phaseUpdate)) > 0 || !strings.HasPrefix(m.Reason, "no probe") {
		t.Errorf("%+v", m)
	}
}

func TestStaleMarkerIsPutAway(t *testing.T) {
	tests := map[string]func(*world){
		"within the boot":                          func(w *world) { w.pass(10*time.Minute + time.Second) },
		"within the boot, the wall clock put back": func(w *world) { w.pass(11 * time.Minute); w.wall = w.wall.Add(-time.Hour) },
		"across boots":                             func(w *world) { w.reboot(11 * time.Minute) },
	}
	for name, later := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "bad", "bad")
			w.mark()
			later(w)
			before := w.tree()
			w.must(Stale)
			if w.probes > 0 || w.tree() != before {
				t.Errorf("%d probes\n%s", w.probes, w.tree())
			}
		})
	}
}

func TestTheWallClockDoesNotCountWithinABoot(t *testing.T) {
	w := newWorld(t, "good", "good")
	w.mark()
	w.wall = w.wall.Add(24 * time.Hour)
	w.must(Committed)
}

func TestRebootMeanwhileStartsTheWindowsAnew(t *testing.T) {
	for _, after := range []time.Duration{0, 30 * time.Second, 5 * time.Minute} {
		w := newWorld(t, "bad", "good")
		w.mark()
		w.reboot(after)
		start := w.wall
		m := w.must(RolledBack)
		first := m.Probes[0].Time.Sub(start)
		if n := len(offsets(m, phaseUpdate)); n != 18 || first != 15*time.Second {
			t.Errorf("rebooted after %s: %d probes, the first after %s", after, n, first)
		}
	}
}

func TestRollbackIsResumedHoweverOld(t *testing.T) {
	w := newWorld(t, "bad", "good")
	w.mark()
	w.killAfter("write update-pending.json rolling-back 3")
	w.reboot(40 * 24 * time.Hour)
	w.isOld(w.must(RolledBack))
}

// killAfter runs verify until right after an event, and kills it there.
func (w *world) killAfter(name string) {
	w.t.Helper()
	w.killEvent = "after " + name
	_, dead, err := w.verify()
	if w.killEvent = ""; !dead {
		w.t.Fatalf("it ended before %q: %v\n%s", name, err, strings.Join(w.events, "\n"))
	}
}

// What is decided is decided: nothing in these states is probed, and nothing of them rolls back.
func TestFinalStatesNeverRollBack(t *testing.T) {
	for _, s := range []State{Committed, Stale, RolledBack, RollbackFailed} {
		t.Run(string(s), func(t *testing.T) {
			w := newWorld(t, "bad", "bad")
			m := w.mark()
			m.State = s
			if err := w.updater().save(m); err != nil {
				t.Fatal(err)
			}
			before := w.tree()
			for range 2 { // the second finds no marker
				if r, _, err := w.verify(); err != nil || r.Marker != nil && r.Marker.State != s {
					t.Fatal(r.Marker, err)
				}
			}
			if w.probes > 0 || w.tree() != before || slices.ContainsFunc(w.events, func(e string) bool { return strings.Contains(e, "restart") }) {
				t.Errorf("%d probes, %v\n%s", w.probes, w.events, w.tree())
			}
		})
	}
}

func TestRollbackThatDoesNotHelp(t *testing.T) {
	w := newWorld(t, "bad", "good")
	w.answers = func(int) (bool, string) { return false, "GET / → connection refused" }
	before := w.contents()
	w.mark()
	m := w.must(RollbackFailed)
	if m.Reason != "GET / → connection refused" || m.Failure != "step 8, probe the old version: GET / → connection refused" {
		t.Errorf("%q, %q", m.Reason, m.Failure)
	}
	w.nothingLost(before)
	if n := len(offsets(m, phaseRollback)); n < 17 || n > 18 {
		t.Errorf("%d probes of the old version", n)
	}
	if r, _, err := w.verify(); err != nil || r.Marker != nil {
		t.Errorf("something further is tried: %+v %v", r, err)
	}
}

func TestUnsoundBackupsChangeNothing(t *testing.T) {
	tests := map[string]struct {
		damage func(*world)
		says   string
	}{
		"no page":          {func(w *world) { w.remove(webUI + ".bak/index.html") }, webUI + ".bak/index.html: no such file"},
		"empty page":       {func(w *world) { w.put(webUI+".bak/index.html", "") }, webUI + ".bak/index.html: empty"},
		"no pages":         {func(w *world) { w.remove(webUI + ".bak") }, webUI + ".bak: no such file"},
		"no program":       {func(w *world) { w.remove(binary + ".bak") }, binary + ".bak: no such file"},
		"program no ELF":   {func(w *world) { w.put(binary+".bak", "#!/bin/sh") }, binary + ".bak: not an ELF program"},
		"half a program":   {func(w *world) { w.put(binary+".bak", elfHead[:32]+"\xff"+elfHead[33:56]+"\x01"+elfHead[57:]) }, binary + ".bak: cut short"},
		"another program":  {func(w *world) { w.put(binary+".bak", elfHead+"other") }, "its SHA-256 is"},
		"no app manifests": {func(w *world) { w.remove("/opt/archipelago/apps.bak") }, "/opt/archipelago/apps.bak: no such file"},
		"pages are a link": {func(w *world) {
			w.remove(webUI + ".bak")
			if err := os.Symlink("web-ui", w.layout.Host(webUI+".bak")); err != nil {
				w.t.Fatal(err)
			}
		}, webUI + ".bak: not a directory"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "bad", "bad")
			w.mark()
			tt.damage(w)
			before := w.tree()
			m := w.must(RollbackFailed)
			if m.Step != 0 || !strings.Contains(m.Failure, tt.says) {
				t.Errorf("step %d, %q", m.Step, m.Failure)
			}
			if w.tree() != before {
				t.Errorf("changed:\n%s", w.tree())
			}
			// Without a marker no digest is recorded and no app manifests are expected; the rest is found by hand too.
			if name == "another program" || name == "no app manifests" {
				return
			}
			_, _, err := w.run((*Updater).Rollback)
			var unsound *UnsoundError
			if !errors.As(err, &unsound) || !strings.Contains(err.Error(), tt.says) || w.tree() != before {
				t.Errorf("by hand: %v\n%s", err, w.tree())
			}
			_, err = w.updater().Mark(context.Background(), MarkOptions{Old: "1.0.0", New: "2.0.0"})
			if !errors.As(err, &unsound) {
				t.Errorf("marked: %v", err)
			}
		})
	}
}

func (w *world) remove(path string) {
	w.t.Helper()
	if err := os.RemoveAll(w.layout.Host(path)); err != nil {
		w.t.Fatal(err)
	}
}

// A pass that pulls an image for minutes holds the node's lock. It does not cost a good update, and a bad one is rolled
// back when it ends.
func TestAPassThatHoldsTheNode(t *testing.T) {
	w := newWorld(t, "good", "good")
	w.mark()
	lock, err := state.NewLocks(w.layout).NodeShared(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	w.must(Committed)

	w = newWorld(t, "bad", "good")
	w.mark()
	lock.Release()
	if lock, err = state.NewLocks(w.layout).NodeShared(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	before := w.tree()
	_, _, err = w.verify()
	var locked state.ErrLocked
	if !errors.As(err, &locked) || w.tree() != before {
		t.Fatalf("%v\n%s", err, w.tree())
	}
	lock.Release()
	w.pass(time.Hour)
	probes := w.probes
	m := w.must(RolledBack)
	w.isOld(m)
	if w.probes != probes+2 {
		t.Errorf("%d more probes, want the two of the old version", w.probes-probes)
	}
}

func TestOneVerifierAtATime(t *testing.T) {
	w := newWorld(t, "bad", "bad")
	w.mark()
	lock, err := state.NewLocks(w.layout).Update(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	var locked state.ErrLocked
	if _, _, err := w.verify(); !errors.As(err, &locked) || w.probes > 0 {
		t.Error(err, w.probes)
	}
	if _, _, err := w.run((*Updater).Rollback); !errors.As(err, &locked) {
		t.Error(err)
	}
}

func TestQuarantineKeepsTheNewestTwo(t *testing.T) {
	w := newWorld(t, "good", "good")
	for i := range 4 {
		stamp := fmt.Sprintf(".failed.2026020%dT000000Z", i+1)
		w.put(webUI+stamp+"/index.html", "x")
		w.put(binary+stamp, "x")
	}
	w.put("/opt/archipelago/apps.failed.20260101T000000Z/lnd/manifest.yml", "x")
	w.put(webUI+".failed.mine/notes", "x")
	w.mark()
	w.must(Committed)
	tree := w.tree()
	for _, name := range []string{"web-ui.failed.20260203T", "web-ui.failed.20260204T", "archipelago.failed.20260203T", "archipelago.failed.20260204T",
		"apps.failed.20260101T", "web-ui.failed.mine/notes"} {
		if !strings.Contains(tree, name) {
			t.Errorf("%s is gone", name)
		}
	}
	for _, name := range []string{"failed.20260201T", "failed.20260202T"} {
		if strings.Contains(tree, name) {
			t.Errorf("%s is still there:\n%s", name, tree)
		}
	}
}

func TestInterruptedRunIsLeftToBeResumed(t *testing.T) {
	w := newWorld(t, "bad", "good")
	w.mark()
	ctx, cancel := context.WithCancel(t.Context())
	w.answers = func(n int) (bool, string) {
		if n == 3 {
			cancel()
		}
		return false, "GET / → 500"
	}
	if _, err := w.updater().Verify(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	m, err := w.updater().Pending()
	if err != nil || m.State != Verifying || len(m.Probes) != 2 {
		t.Fatalf("%+v %v", m, err)
	}
	w.answers = nil
	w.must(RolledBack)
}
