package story

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

var noon = time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)

func text(s Story) string {
	var b strings.Builder
	b.WriteString(s.Headline() + "\n")
	for _, f := range s.Facts() {
		b.WriteString(f[0] + ": " + f[1] + "\n")
	}
	if s.LastFailure != nil {
		b.WriteString(s.LastFailure.Head() + "\n")
	}
	rows, _ := s.Rows()
	for _, row := range rows {
		b.WriteString(strings.Join(row, "|") + "\n")
	}
	return b.String()
}

func seenAs(class reconcile.Class, st, cause string) *reconcile.AppResult {
	return &reconcile.AppResult{App: "lnd", Container: "lnd", Class: class, State: st, Cause: cause, Desired: reconcile.WantRunning}
}

func TestWhenTheNextTryIs(t *testing.T) {
	var failing, open state.History
	for range 3 {
		failing.Count(noon.Add(-10*time.Second), state.EventDied)
	}
	open.Open(noon, "boot", "too many failures in 30 minutes")
	waits := seenAs(reconcile.ClassWaiting, "failed", "dependency x is failed")
	waits.Row = "24"
	var peer state.History
	peer.Count(noon, state.EventPeerRestart)
	moved := seenAs(reconcile.ClassWaiting, "ready", "the address of x changed")
	moved.Row = "38"
	stopped := seenAs(reconcile.ClassOK, "stopped", "")
	stopped.Desired = reconcile.WantStopped
	for want, in := range map[string]Input{
		"there is nothing to do":              {Seen: seenAs(reconcile.ClassOK, "ready", "")},
		"in 30s, after failure 3 of the 5":    {Seen: seenAs(reconcile.ClassWaiting, "failed", "back-off"), Restarts: failing},
		"the breaker is open since":           {Seen: seenAs(reconcile.ClassFailed, "failed", "breaker open"), Restarts: open},
		"next try: as soon as what it needs":  {Seen: waits, Restarts: open},
		"next try: in 10s\n":                  {Seen: moved, Restarts: peer},
		"not before a person has decided":     {Seen: seenAs(reconcile.ClassNeedsHuman, "left", "")},
		"not before its owner starts it":      {Seen: stopped},
		"next try: not before its owner":      {Seen: stopped, Restarts: open}, // which a boot does not start either
		"as soon as it is configured":         {Seen: seenAs(reconcile.ClassNeedsConfig, "needs-config", "")},
		"with the next pass":                  {Seen: seenAs(reconcile.ClassFailed, "failed", "image missing")},
		"nothing will be done by itself":      {Removed: noon},
		"podman.sock: connection refused":     {NotNow: errors.New("podman.sock: connection refused"), Seen: seenAs(reconcile.ClassOK, "ready", "")},
		"waits for: dependency x is absent":   {Seen: &reconcile.AppResult{App: "lnd", Class: reconcile.ClassWaiting, State: "waiting", Cause: "dependency x is absent"}},
		"unknown":                             {NotNow: errors.New("no podman")},
		"next try: not known":                 {NotNow: errors.New("no podman")},
		"lnd: absent\nbecause: not installed": {},
	} {
		in.App, in.Now = "lnd", noon
		if got := text(Tell(in)); !strings.Contains(got, want) {
			t.Errorf("want %q in:\n%s", want, got)
		}
	}
}

// What a pass says of an app that is not installed hides nothing of what is remembered.
func TestNotInstalledIsNotSeen(t *testing.T) {
	in := Input{App: "lnd", Now: noon, Removed: noon}
	in.See(reconcile.Result{Apps: []reconcile.AppResult{{App: "lnd", Row: "17", Action: reconcile.Left, State: "absent"}}})
	if got := Tell(in); !strings.Contains(got.Cause, "removed by the owner at") {
		t.Errorf("%+v", got)
	}
}

func TestTheLastFailureAndWhetherItIsOver(t *testing.T) {
	diary := []state.Entry{
		{At: noon, Command: "reconcile", Action: "Started", Result: "failed", Error: "exited 127: its command is not in the image", Cause: "not running"},
		{At: noon.Add(time.Minute), Command: "start", Action: "Started", Result: "ok", State: "ready", Cause: "asked for", DurationMS: 61000},
	}
	got := text(Tell(Input{App: "lnd", Now: noon, Seen: seenAs(reconcile.ClassOK, "ready", ""), Diary: diary}))
	for _, want := range []string{
		"last failure 2026-01-10 12:00:00Z (it has been well since): Started, exited 127",
		"2026-01-10 12:00:00Z|reconcile|Started|failed|not running: exited 127: its command is not in the image",
		"2026-01-10 12:01:00Z|start|Started|ready|asked for (1m1s)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in:\n%s", want, got)
		}
	}
	later := Tell(Input{App: "lnd", Now: noon, Diary: diary, Since: noon.Add(30 * time.Second)})
	if later.LastFailure != nil || len(later.Did) != 1 {
		t.Errorf("--since leaves in: %+v", later)
	}
}

// systemd forgets why it restarted an app, its journal does not. The line is that of systemd 257.
func TestKilledForMemory(t *testing.T) {
	f := Failure{Action: "AutoRestarted", Cause: "systemd restarted it once"}
	f.Said([]string{"filebrowser: started", "filebrowser.service: A process of this unit has been killed by the OOM killer.", "Main process exited, code=exited, status=137/n/a"})
	if got := f.Head(); !strings.HasSuffix(got, "systemd restarted it once; the kernel had killed it, out of memory") || len(f.Log) != 3 {
		t.Error(got)
	}
	f = Failure{Cause: "systemd restarted it once"}
	if f.Said([]string{"Main process exited, code=exited, status=137/n/a"}); strings.Contains(f.Head(), "memory") {
		t.Error(f.Head())
	}
}

// systemd has restarted it, which says nothing of how it is: it may be on its way to die once more.
func TestARestartIsNotOverBeforeTheAppIsWell(t *testing.T) {
	restarted := state.Entry{At: noon, Action: string(reconcile.AutoRestarted), Result: "waiting", Cause: "systemd restarted it 3 times"}
	for _, c := range []struct {
		diary []state.Entry
		over  bool
	}{
		{[]state.Entry{restarted}, false},
		{[]state.Entry{restarted, {At: noon, Action: string(reconcile.Found), Result: "ok"}}, true},
		{[]state.Entry{{At: noon, Action: string(reconcile.AutoRestarted), Result: "ok"}}, true},
	} {
		if f := Tell(Input{App: "lnd", Now: noon, Diary: c.diary}).LastFailure; f == nil || f.Over != c.over {
			t.Errorf("%+v: %+v", c.diary, f)
		}
	}
}

// A log of any length takes the memory of its last lines.
func TestTail(t *testing.T) {
	var tail Tail
	for i := range 100_000 {
		tail.Add(fmt.Sprintf("line %d %s", i, strings.Repeat("é", 600)))
	}
	lines := tail.Lines()
	if len(lines) != TailLines || cap(tail.lines) > 2*TailLines {
		t.Fatalf("%d lines", len(lines))
	}
	for i, line := range lines {
		if want := fmt.Sprintf("line %d é", 100_000-TailLines+i); !strings.HasPrefix(line, want) || len([]rune(line)) > tailText+1 {
			t.Errorf("line %d: %.30s (%d)", i, line, len([]rune(line)))
		}
	}
}
