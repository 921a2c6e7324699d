package main

import (
	"context"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/bench/fleet"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// TestPass: the pass that is measured has nothing to do, and one that has something to do is not taken for it.
func TestPass(t *testing.T) {
	dir := t.TempDir()
	if err := makeWorld(context.Background(), dir, 6); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := pass(context.Background(), dir); err != nil {
			t.Fatal(err)
		}
	}
	l, _, _ := layout(dir)
	more := fleet.New(7)[6]
	if err := fleet.Write(l.Host(l.ManifestDir), []fleet.App{more}); err != nil {
		t.Fatal(err)
	}
	if err := state.New(l).WriteRecord(state.Record{App: more.ID, Container: more.ID, Owner: state.Legacy, Installed: true}); err != nil {
		t.Fatal(err)
	}
	if err := pass(context.Background(), dir); err == nil || !strings.Contains(err.Error(), "something to do: the pass asks") {
		t.Errorf("an app without a container and without a secret: %v", err)
	}
}
