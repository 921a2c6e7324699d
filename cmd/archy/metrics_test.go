package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// Only a pass that has asked podman says whether it is up.
func TestFiguresOfPodman(t *testing.T) {
	for name, tt := range map[string]struct {
		result *reconcile.Result
		err    error
		want   string
	}{
		"asked":         {&reconcile.Result{Podman: reconcile.PodmanState{Reachable: true}}, nil, "archy_podman_up 1"},
		"ill":           {&reconcile.Result{}, nil, "archy_podman_up 0"},
		"no answer":     {nil, fmt.Errorf("list: %w", podman.ErrUnreachable), "archy_podman_up 0"},
		"no bus":        {nil, &exitError{Code: exitFailed, Class: "user-bus-unreachable"}, "archy_podman_up 0"},
		"a lock":        {nil, state.ErrLocked{Path: "/run/archy/node.lock"}, ""},
		"no data disk":  {nil, &node.VolumeError{}, ""},
		"interrupted":   {nil, context.Canceled, ""},
		"no secrets":    {nil, &exitError{Code: exitHuman, Class: "no-secrets"}, ""},
		"configuration": {nil, &node.ConfigError{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir, said := t.TempDir(), &bytes.Buffer{}
			e := &env{cli: &cli{err: said}, Layout: node.Layout{Root: dir, DataDir: "/"}}
			e.writeMetrics("/archy.prom", time.Now(), tt.result, tt.err)
			text, err := os.ReadFile(filepath.Join(dir, "archy.prom"))
			got := ""
			for line := range strings.Lines(string(text)) {
				if strings.HasPrefix(line, "archy_podman_up") {
					got = strings.TrimSpace(line)
				}
			}
			if err != nil || got != tt.want {
				t.Errorf("%q (%v), want %q; %s", got, err, tt.want, said)
			}
		})
	}
}
