package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// TestInterruptedBeforeTheFirewallFollows: an install that was told to end is no failure of ufw or Tor, after which passes would leave its
// rules for an hour.
func TestInterruptedBeforeTheFirewallFollows(t *testing.T) {
	root, u := t.TempDir(), node.DefaultUser("archipelago")
	l := node.NewLayout(root, node.Default(), u)
	e := &env{cli: &cli{out: &bytes.Buffer{}, err: &bytes.Buffer{}}, Config: node.Default(), User: u, Layout: l, State: state.New(l)}
	e.loadManifests()
	torrc := l.Host(firstboot.Torrc)
	if err := os.MkdirAll(filepath.Dir(torrc), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(torrc, []byte("# BEGIN archy\n# END archy\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := e.State.WriteRecord(state.Record{Schema: state.Schema, App: "lnd", Container: "lnd", Installed: true, Owner: state.Quadlet}); err != nil {
		t.Fatal(err)
	}
	if ids := e.outside().Pending(); len(ids) != 1 {
		t.Fatalf("pending %q", ids)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	c := &connected{env: e}
	if warnings := c.follow(ctx, reconcile.Result{}, true); len(warnings) > 0 {
		t.Errorf("warnings %q", warnings)
	}
	var last followFailure
	if found, err := e.State.ReadLast("follow", &last); found || err != nil {
		t.Errorf("a failure is kept: %+v, %v", last, err)
	}
}
