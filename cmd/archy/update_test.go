package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/update"
)

// The exit codes of `archy update` are a contract with the updater and with the unit.
func TestUpdateExitCodes(t *testing.T) {
	marker := &update.Marker{NewVersion: "2.0.0", State: update.Pending}
	unsound := &update.UnsoundError{Findings: []string{"x"}}
	errs := map[string]struct {
		err     error
		unsound int
		code    int
	}{
		"mark: unsound":     {unsound, exitFailed, 1},
		"rollback: unsound": {unsound, exitHuman, 6},
		"no version":        {&update.UsageError{Err: errors.New("x")}, exitFailed, 2},
		"pending already":   {&update.PendingError{Marker: marker}, exitFailed, 5},
		"locked":            {state.ErrLocked{Path: "/run/archy/update.lock"}, exitFailed, 5},
		"unreadable marker": {&update.BadMarker{Path: "x", Err: errors.New("x")}, exitHuman, 1},
		"read-only":         {fmt.Errorf("x: %w", &fs.PathError{Op: "open", Path: "x", Err: syscall.EROFS}), exitFailed, 1},
		"anything else":     {errors.New("x"), exitHuman, 1},
		"not root":          {requireRoot("archy update mark", 1000), exitFailed, 2},
	}
	e := &env{Layout: node.Layout{DataDir: "/srv/node", LockDir: "/run/lock/archy"}}
	if got := classify(e.updateError(errs["read-only"].err, exitFailed)).Hint; !strings.Contains(got, "ReadWritePaths=/srv/node /run/lock/archy ") {
		t.Errorf("hint %q", got)
	}
	for name, tt := range errs {
		if got := classify(e.updateError(tt.err, tt.unsound)).Code; got != tt.code {
			t.Errorf("%s: exit code %d, want %d", name, got, tt.code)
		}
	}
	for s, want := range map[update.State][2]int{update.Committed: {0, 0}, update.Stale: {0, 0}, update.RolledBack: {3, 0}, update.RollbackFailed: {6, 6}} {
		marker.State = s
		if verify, rollback := verdictCode(marker, exitPartial), verdictCode(marker, exitOK); verify != want[0] || rollback != want[1] {
			t.Errorf("%s: verify %d, rollback %d, want %v", s, verify, rollback, want)
		}
	}
	if verdictCode(nil, exitPartial) != 0 {
		t.Error("without an update")
	}
}

// The windows are the contract's; only a linker can change them, and not to something unknown.
func TestUpdateWindows(t *testing.T) {
	w, err := windows()
	if err != nil || w != update.DefaultWindows() || w.Deadline != 150*time.Second || w.Restart+w.Settle+w.Probes != w.Deadline {
		t.Errorf("%+v %v", w, err)
	}
	defer func() { updateWindows = "" }()
	updateWindows = "settle=1s"
	if w, err := windows(); err != nil || w.Settle != time.Second || w.Probes != 90*time.Second {
		t.Errorf("%+v %v", w, err)
	}
	for _, updateWindows = range []string{"settle", "settel=1s", "settle=fast"} {
		if _, err := windows(); err == nil {
			t.Errorf("%q is taken", updateWindows)
		}
	}
}
