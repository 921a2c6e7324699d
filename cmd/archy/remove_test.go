package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/quadlet"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// On a terminal only the very name of the app lets its data move.
func TestAskName(t *testing.T) {
	for typed, ok := range map[string]bool{"grafana\n": true, "grafana": true, "y\n": false, "yes\n": false, "Grafana\n": false, "\n": false, "": false} {
		var said bytes.Buffer
		err := askName(t.Context(), bufio.NewReader(strings.NewReader(typed)), &said, "grafana", []string{"/mnt/old/grafana", "volume grafana"})
		if (err == nil) != ok || err != nil && classify(err).Code != exitUsage {
			t.Errorf("%q: %v", typed, err)
		}
		if !strings.Contains(said.String(), "data of grafana") || !strings.Contains(said.String(), "7 days.\nThese stay: /mnt/old/grafana, volume grafana.\n") {
			t.Errorf("it says %q", said.String())
		}
	}
}

// Two apps are asked for one after the other, from one stream.
func TestAskNameTwice(t *testing.T) {
	in := bufio.NewReader(strings.NewReader("lnd\ngrafana\n"))
	for _, name := range []string{"lnd", "grafana"} {
		if err := askName(t.Context(), in, &bytes.Buffer{}, name, nil); err != nil {
			t.Error(err)
		}
	}
}

// An app of archy's whose manifest is gone is known to remove, by its id and by the name of its container, and no other name is.
func TestRemoveKnowsOrphans(t *testing.T) {
	l := node.NewLayout(t.TempDir(), node.Default(), node.User{Name: "archipelago", UID: 1000, Home: "/home/archipelago"})
	if err := os.MkdirAll(l.Host(l.UnitDir()), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.Host(l.Unit("archy-old")), []byte(fmt.Sprintf(quadlet.Header, "old")+"\n[Container]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e := &env{Layout: l, State: state.New(l), Set: &manifest.Set{Apps: map[string]*manifest.App{}, Broken: map[string][]manifest.Finding{}}}
	names := e.findOrphans(t.Context(), []string{"archy-old", "old", "older"})
	if ids, err := e.appIDs(names[:2]); err != nil || !slices.Equal(ids, []string{"old"}) {
		t.Errorf("%q, %v", ids, err)
	}
	if _, err := e.appIDs(names[2:]); err == nil {
		t.Error("a name of nothing is the name of an app")
	}
}

// ^C at the question is heeded at once, and nothing is changed.
func TestAskNameInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	nobody, hand := io.Pipe()
	defer hand.Close()
	time.AfterFunc(20*time.Millisecond, interrupt)
	answered := make(chan error, 1)
	go func() { answered <- askName(ctx, bufio.NewReader(nobody), io.Discard, "grafana", nil) }()
	select {
	case err := <-answered:
		if classify(err).Code != exitInterrupted {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits on")
	}
}
