package update

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const pendingFile = "/var/lib/archipelago/state/update-pending.json"

func TestMarkerIsAsTheContractSays(t *testing.T) {
	w := newWorld(t, "good", "good")
	w.mark()
	const want = `{
  "schema": 1,
  "old_version": "1.0.0",
  "new_version": "2.0.0",
  "marked_at": "2026-03-01T10:00:00Z",
  "deadline": "2026-03-01T10:02:30Z",
  "boot_id": "boot-1",
  "monotonic_ms": 3600000,
  "backend_invocation": "invocation-1",
  "web_ui": "/opt/archipelago/web-ui",
  "web_ui_backup": "/opt/archipelago/web-ui.bak",
  "binary": "/usr/local/bin/archipelago",
  "binary_backup": "/usr/local/bin/archipelago.bak",
  "binary_backup_sha256": "365cd0fb67f673accae85b644a5b5ef4be5f81fcf38736214d3077504283d80e",
  "apps_backup": "/opt/archipelago/apps.bak",
  "version_file": "/opt/archipelago/version",
  "version_before": "1.0.0",
  "state": "pending",
  "step": 0,
  "probes": []
}`
	if got := w.get(pendingFile); got != want {
		t.Errorf("%s", got)
	}
	info, err := os.Stat(w.layout.Host(pendingFile))
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestMarkerWithoutWhatIsOptional(t *testing.T) {
	w := newWorld(t, "good", "good")
	w.remove("/opt/archipelago/apps.bak")
	if _, err := w.updater().Mark(t.Context(), MarkOptions{Old: "1.0.0", New: "2.0.0-rc.1"}); err != nil {
		t.Fatal(err)
	}
	if text := w.get(pendingFile); strings.Contains(text, "apps_backup") || strings.Contains(text, "version_file") {
		t.Error(text)
	}
}

func TestSecondMarkIsRefused(t *testing.T) {
	w := newWorld(t, "good", "good")
	w.mark()
	before := w.get(pendingFile)
	_, err := w.updater().Mark(t.Context(), MarkOptions{Old: "2.0.0", New: "3.0.0"})
	var pending *PendingError
	if !errors.As(err, &pending) || err.Error() != "an update to 2.0.0 is pending since 2026-03-01T10:00:00Z" || w.get(pendingFile) != before {
		t.Errorf("%v\n%s", err, w.get(pendingFile))
	}
}

// A verdict that a power cut kept from being put away does not block the next update.
func TestMarkPutsAVerdictAway(t *testing.T) {
	w := newWorld(t, "good", "good")
	w.mark()
	w.killAfter("write update-pending.json committed 0")
	w.decided = false
	m := w.mark()
	last, err := w.updater().Last()
	if err != nil || last.State != Committed || m.State != Pending {
		t.Errorf("%+v %+v %v", m, last, err)
	}
}

func TestMarkRefusesWhatIsNoVersion(t *testing.T) {
	for version, says := range map[string]string{"": "is no version", "1.0": "is no version", "01.0.0": "is no version", "1.0.0 ": "is no version",
		"1.0.0\n": "is no version", "../1.0.0": "is no version", "v1.0.0": "no leading v here: 1.0.0", "1.0.0-": "is no version"} {
		w := newWorld(t, "good", "good")
		for _, o := range []MarkOptions{{Old: version, New: "2.0.0"}, {Old: "1.0.0", New: version}} {
			_, err := w.updater().Mark(t.Context(), o)
			var usage *UsageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), says) || w.get(pendingFile) != "absent" {
				t.Errorf("%q: %v", version, err)
			}
		}
	}
}

// Root writes into the version file, and the service user may name it: it must be one.
func TestMarkRefusesAForeignVersionFile(t *testing.T) {
	tests := map[string]struct{ file, says string }{
		"elsewhere":       {"/etc/passwd", "not below"},
		"up and out":      {"/opt/archipelago/../../etc/passwd", "not below"},
		"absent":          {"/opt/archipelago/none", "no such file"},
		"another text":    {"/opt/archipelago/notes", `it says "hello", neither 1.0.0 nor 2.0.0`},
		"large":           {"/opt/archipelago/large", "holds a version and nothing else"},
		"a directory":     {"/opt/archipelago/apps", "holds a version and nothing else"},
		"behind a link":   {"/var/lib/archipelago/link/version", "there is a link on the way"},
		"a link itself":   {"/var/lib/archipelago/version", "there is a link on the way"},
		"above the place": {"/opt/archipelago", "not below"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "good", "good")
			w.put("/opt/archipelago/notes", "hello\n")
			w.put("/opt/archipelago/large", strings.Repeat("1.0.0\n", 100))
			w.put("/etc/elsewhere/version", "1.0.0\n")
			for link, target := range map[string]string{"link": "/etc/elsewhere", "version": "/etc/elsewhere/version"} {
				if err := os.Symlink(w.layout.Host(target), w.layout.Host("/var/lib/archipelago/"+link)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := w.updater().Mark(t.Context(), MarkOptions{Old: "1.0.0", New: "2.0.0", VersionFile: tt.file})
			var usage *UsageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v", err)
			}
		})
	}
}

// Root acts on the marker, and it lies in a directory of the service user: what that one could put there does nothing.
func TestForgedMarkerDoesNothing(t *testing.T) {
	tests := map[string]struct {
		forge func(w *world, text string)
		says  string
	}{
		"cut short":       {func(w *world, text string) { w.put(pendingFile, text[:100]) }, "not a whole JSON document (100 bytes)"},
		"empty":           {func(w *world, _ string) { w.put(pendingFile, "") }, "not a whole JSON document (0 bytes)"},
		"newer":           {func(w *world, _ string) { w.put(pendingFile, `{"schema": 2}`) }, "written by a newer archy (schema 2, this one knows 1)"},
		"no schema":       {func(w *world, _ string) { w.put(pendingFile, `{}`) }, `no "schema" number in it`},
		"unknown state":   {replaceIn(`"pending"`, `"happy"`), `it has the unknown state "happy"`},
		"other pages":     {replaceIn(`"/opt/archipelago/web-ui"`, `"/etc"`), "it names other places"},
		"other backup":    {replaceIn(`/usr/local/bin/archipelago.bak`, `/tmp/x`), "it names other places"},
		"other apps":      {replaceIn(`/opt/archipelago/apps.bak`, `/home/x`), "it names /home/x as the apps' backup"},
		"other version":   {replaceIn(`/opt/archipelago/version`, `/etc/passwd`), "it names /etc/passwd as the version file"},
		"line for a file": {replaceIn(`"version_before": "1.0.0"`, `"version_before": "root::0:0"`), `it records "root::0:0" as a version`},
		"a link": {func(w *world, text string) {
			w.put("/tmp/marker", text)
			w.remove(pendingFile)
			if err := os.Symlink(w.layout.Host("/tmp/marker"), w.layout.Host(pendingFile)); err != nil {
				w.t.Fatal(err)
			}
		}, "it is a link"},
		"a directory": {func(w *world, _ string) {
			w.remove(pendingFile)
			w.put(pendingFile+"/x", "")
		}, "it is not a plain file"},
		"of the service user": {func(w *world, _ string) {
			if os.Geteuid() != 0 {
				w.t.Skip("only root can give a file away")
			}
			if err := os.Chown(w.layout.Host(pendingFile), 1000, 1000); err != nil {
				w.t.Fatal(err)
			}
		}, "it belongs to uid 1000, not to root"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "bad", "bad")
			w.mark()
			tt.forge(w, w.get(pendingFile))
			before := w.tree()
			_, _, err := w.verify()
			var bad *BadMarker
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v", err)
			}
			if w.probes > 0 || w.tree() != before {
				t.Errorf("%d probes\n%s", w.probes, w.tree())
			}
			// It is out of the way: the path unit would start the verification for ever.
			if aside, _ := filepath.Glob(w.layout.Host(pendingFile) + ".unreadable-*"); len(aside) != 1 || w.updater().exists(pendingFile) {
				t.Errorf("kept aside: %v", aside)
			}
		})
	}
}

func replaceIn(old, with string) func(*world, string) {
	return func(w *world, text string) {
		if !strings.Contains(text, old) {
			w.t.Fatalf("no %s in %s", old, text)
		}
		w.put(pendingFile, strings.ReplaceAll(text, old, with))
	}
}

func TestRollbackByHand(t *testing.T) {
	byHand := (*Updater).Rollback
	t.Run("of a confirmed update", func(t *testing.T) {
		w := newWorld(t, "good", "good")
		w.mark()
		w.must(Committed)
		before := w.contents()
		w.decided = false
		r, _, err := w.run(byHand)
		if err != nil || r.Marker.State != RolledBack || r.Marker.Reason != "asked for by the operator" {
			t.Fatalf("%+v %v", r.Marker, err)
		}
		w.isOld(r.Marker)
		if !slices.Contains(w.said, "putting 1.0.0 back: asked for by the operator") {
			t.Errorf("it says %q", w.said) // and nothing of a version that did not answer: it did
		}
		w.nothingLost(before)
		// the backups are used up now
		after := w.tree()
		var unsound *UnsoundError
		if _, _, err := w.run(byHand); !errors.As(err, &unsound) || w.tree() != after {
			t.Errorf("a second time: %v\n%s", err, w.tree())
		}
	})
	t.Run("of a pending one", func(t *testing.T) {
		w := newWorld(t, "good", "good")
		w.mark()
		r, _, err := w.run(byHand)
		if err != nil || r.Marker.State != RolledBack || len(offsets(r.Marker, phaseUpdate)) > 0 {
			t.Fatalf("%+v %v", r.Marker, err)
		}
		w.isOld(r.Marker)
	})
	t.Run("without any marker, the apps and the version as they are", func(t *testing.T) {
		w := newWorld(t, "bad", "bad")
		w.remove("/opt/archipelago/apps.bak")
		w.running = "bad"
		r, _, err := w.run(byHand)
		if err != nil || r.Marker.State != RolledBack || w.running != "old" {
			t.Fatalf("%+v %v", r.Marker, err)
		}
		if w.get("/opt/archipelago/apps/lnd/manifest.yml") != "new manifest" || w.get("/opt/archipelago/version") != "2.0.0" {
			t.Error(w.tree())
		}
	})
	t.Run("of one that did not answer, once more", func(t *testing.T) {
		w := newWorld(t, "bad", "good")
		w.answers = func(int) (bool, string) { return false, "GET / → 500" }
		w.mark()
		w.must(RollbackFailed)
		w.answers, w.decided = nil, false
		restarts := w.invocation
		r, _, err := w.run(byHand)
		if err != nil || r.Marker.State != RolledBack || r.Marker.Failure != "" || w.invocation != restarts+1 {
			t.Fatalf("%+v %v", r.Marker, err)
		}
		w.isOld(r.Marker)
	})
	t.Run("is resumed after a power cut", func(t *testing.T) {
		w := newWorld(t, "good", "good")
		w.mark()
		w.must(Committed)
		w.decided = false
		w.killEvent = "after rename web-ui web-ui.failed." + w.wall.Format(stampLayout)
		if _, dead, err := w.run(byHand); !dead {
			t.Fatal(err)
		}
		w.killEvent = ""
		w.reboot(time.Hour)
		w.isOld(w.must(RolledBack))
	})
}

// A backend that systemd does not know any more is started all the same.
func TestRollbackStartsABackendThatIsDown(t *testing.T) {
	w := newWorld(t, "good", "bad")
	w.mark()
	w.restartAt, w.invocation, w.running = 0, 0, ""
	m := w.must(RolledBack)
	if m.RestartFrom != "-" || !slices.Contains(w.events, "after restart backend") {
		t.Errorf("%+v", m)
	}
}

func TestStatusReadsBoth(t *testing.T) {
	w := newWorld(t, "bad", "good")
	w.mark()
	w.must(RolledBack)
	last, err := w.updater().Last()
	if err != nil {
		t.Fatal(err)
	}
	if got := last.Sentence(); got != "update to 2.0.0 undone (GET / → 500): 1.0.0 is back and answers" {
		t.Error(got)
	}
	pending, err := w.updater().Pending()
	if pending != nil || err != nil {
		t.Error(pending, err)
	}
}
