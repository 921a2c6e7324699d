package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/stage"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/wallet"
)

// TestLndIsReadyWithItsMacaroon: what needs an open wallet reads that file, where the container has its data.
func TestLndIsReadyWithItsMacaroon(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"state":"SERVER_ACTIVE"}`) }))
	defer s.Close()
	_, text, _ := net.SplitHostPort(s.Listener.Addr().String())
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	e := &env{Layout: node.Layout{Root: t.TempDir(), DataDir: "/var/lib/archipelago"}}
	lnd := &reconcile.App{ID: lndApp, C: &podman.Container{Ports: []podman.Port{{HostPort: port, ContainerPort: restPort, Protocol: "tcp"}}},
		Manifest:  &manifest.App{ID: lndApp, Volumes: []manifest.Volume{{Type: "bind", Source: "/var/lib/archipelago/lnd", Target: "/root/.lnd"}}},
		Elsewhere: []state.PinnedVolume{{Source: "/mnt/old/lnd", Target: "/root/.lnd"}}}
	ask := e.stages(stage.Prober{}, nil)
	if got := ask(t.Context(), lnd); got.Ready || got.Text != "without admin.macaroon" {
		t.Errorf("without it: %+v", got)
	}
	file := wallet.Macaroon(e.Layout.Host("/mnt/old/lnd"))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ask(t.Context(), lnd); got != (reconcile.Stage{Text: "ready", Ready: true}) {
		t.Errorf("with it: %+v", got)
	}
}

// TestAContainerUnderAnOlderName: whoever reads podman's list names it as it stands there.
func TestAContainerUnderAnOlderName(t *testing.T) {
	e := &env{Set: &manifest.Set{Apps: map[string]*manifest.App{
		"electrumx": {ID: "electrumx", Extensions: map[string]any{"archipelago": map[string]any{"legacy_names": []any{"mempool-electrs"}}}},
		"mempool":   {ID: "mempool", ContainerName: "archy-mempool-web"},
	}}}
	for name, want := range map[string]string{"electrumx": "electrumx", "mempool-electrs": "electrumx", "archy-mempool-web": "mempool", "mempool-electr": ""} {
		if got := e.idOf(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
