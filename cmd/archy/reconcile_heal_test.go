package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// A pass that ends because a write of its own found no room (incident 23) is one for a person, whatever space the figures show.
func TestAPassThatFindsNoRoom(t *testing.T) {
	root := t.TempDir()
	l := node.NewLayout(root, node.Default(), node.DefaultUser("archipelago"))
	if err := os.MkdirAll(l.Host(l.State()), 0o700); err != nil {
		t.Fatal(err)
	}
	e := &env{cli: &cli{err: &bytes.Buffer{}, root: root}, Layout: l, State: state.New(l), Set: &manifest.Set{}}
	for _, errno := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		r, err := e.healing(t.Context(), true, func() (reconcile.Result, error) {
			return reconcile.Result{}, fmt.Errorf("/var/lib/archipelago/user-stopped.json: %w", errno)
		})
		if err != nil || r.ExitCode != reconcile.ExitNeedsHuman || r.Podman.State != string(heal.DiskFull) || r.Podman.Human == nil ||
			!strings.Contains(r.Podman.Evidence, "user-stopped.json") || !strings.Contains(r.Podman.Evidence, "MiB are free on "+l.DataDir) {
			t.Errorf("%v: %v, %+v", errno, err, r)
		}
	}
	if since, _ := e.State.DiskFullSince(); since.IsZero() {
		t.Error("it is not noted, so no breaker is closed and no reserve set aside again")
	}
}

// A pass that is told to end while it climbs ends as an interrupted one, and tells what the climb had done by then.
func TestAPassInterruptedInItsClimb(t *testing.T) {
	root, bin := t.TempDir(), t.TempDir()
	l := node.NewLayout(root, node.Default(), node.DefaultUser("archipelago"))
	if err := os.MkdirAll(l.Host(l.State()), 0o700); err != nil {
		t.Fatal(err)
	}
	begun := filepath.Join(bin, "begun")
	if err := os.WriteFile(filepath.Join(bin, "sudo"), []byte("#!/bin/sh\n>"+begun+"\nexec /bin/sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	e := &env{cli: &cli{err: &bytes.Buffer{}, root: root}, Layout: l, Config: node.Default(), State: state.New(l), Set: &manifest.Set{}}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(begun); err == nil {
				end()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	r, err := e.healing(ctx, true, func() (reconcile.Result, error) { // the runtime directory is missing, so the first rung is that of the user manager
		return reconcile.Result{}, fmt.Errorf("list: %w", podman.ErrUnreachable)
	})
	if err != nil || r.ExitCode != reconcile.ExitInterrupted || r.Podman.Heal == nil || r.Podman.Heal.Result != heal.Interrupted || len(r.Podman.Heal.Rungs) != 1 {
		t.Errorf("%v, exit %d, %+v", err, r.ExitCode, r.Podman.Heal)
	}
}

// An app may fail with a text that podman has, too. A throw-away container is started only by the pass that has tried the app: the event of its making
// would let a watch make passes without end.
func TestWhenPodmanMayHaveFailed(t *testing.T) {
	app := func(class reconcile.Class, changed bool, message string, log ...string) reconcile.Result {
		return reconcile.Result{Apps: []reconcile.AppResult{{App: "lnd", Class: class, Changed: changed, Error: &reconcile.AppError{Message: message, LogTail: log}}}}
	}
	for _, c := range []struct {
		name         string
		result       reconcile.Result
		asked, tried bool
	}{
		{"nothing failed", reconcile.Result{Apps: []reconcile.AppResult{{App: "lnd", Class: reconcile.ClassOK}}}, false, false},
		{"its own reason", app(reconcile.ClassFailed, true, "exit code 1", "wallet not found"), false, false},
		{"just tried", app(reconcile.ClassFailed, true, "exit code 125", "Error: database disk image is malformed"), true, true},
		{"tried before", app(reconcile.ClassFailed, false, "exit code 125", "Error: database disk image is malformed"), true, false},
		{"for a person", app(reconcile.ClassNeedsHuman, true, "deadlock due to lock mismatch"), false, false},
	} {
		if asked, tried := podmanFailed(c.result, false), podmanFailed(c.result, true); asked != c.asked || tried != c.tried {
			t.Errorf("%s: asked %v, started %v", c.name, asked, tried)
		}
	}
}
