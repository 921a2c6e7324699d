package reconcile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/node"
)

// A unit that the node's generator refuses is found before anything is changed for it.
func TestRefusedUnitChangesNothing(t *testing.T) {
	n := fiveRunning(t)
	before, record := ids(n), n.record("web")
	apps := five()
	apps["web"] = changedTo(apps["web"])
	n.load(apps)
	n.refuses = "ContainerName=web"
	n.calls = nil
	r := n.pass()
	if got := n.result(r, "web"); got.Class != ClassFailed || got.Changed || !strings.Contains(got.Cause, "generator makes no service") {
		t.Errorf("web: %+v", got)
	}
	if slices.Contains(n.calls, "write unit web") || slices.Contains(n.calls, "write record web") || len(n.touched()) > 0 {
		t.Errorf("changed: %q", n.calls)
	}
	if got := n.record("web"); got.Op != nil || got.SpecHash != record.SpecHash || ids(n)["web"] != before["web"] {
		t.Errorf("record %+v, containers %v", got, ids(n))
	}
}

func TestRefusedMigrationLeavesTheOldContainer(t *testing.T) {
	n := scripted(t)
	old := n.containers["solo"].ID
	n.refuses = "ContainerName=solo"
	if got := n.result(n.pass(migrateAll), "solo"); got.Class != ClassFailed || !strings.Contains(got.Cause, "generator makes no service") {
		t.Errorf("%+v", got)
	}
	n.asBefore(old)
}

// reader is the generator of a node: it answers for the units that it finds.
type reader struct {
	seen  []string
	stays string
}

func (g *reader) Run(_ context.Context, cmd command.Cmd) (command.Result, error) {
	dir := strings.TrimPrefix(cmd.Env[0], "QUADLET_UNIT_DIRS=")
	g.stays = dir
	entries, err := os.ReadDir(dir)
	if err != nil {
		return command.Result{}, err
	}
	var out string
	for _, e := range entries {
		g.seen = append(g.seen, e.Name())
		if name, ok := strings.CutSuffix(e.Name(), ".network"); ok {
			out += "---" + name + "-network.service---\n[Service]\n"
		}
	}
	if !strings.HasSuffix(cmd.Argv[0], "podman-user-generator") || cmd.Limit == 0 {
		return command.Result{}, errors.New("not the generator, or without a limit")
	}
	return command.Result{Stdout: []byte(out), Stderr: []byte(`converting "web.container": unsupported key` + "\n")}, errors.New("exit code 1")
}

func TestTryUnitShowsTheGeneratorUnitAndNetworks(t *testing.T) {
	l := node.Layout{Root: t.TempDir(), Home: "/home/x"}
	for name, text := range map[string]string{"archy-net.network": "[Network]\n", "lnd.container": "[Container]\n"} {
		file := filepath.Join(l.Host(l.UnitDir()), name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	g := &reader{}
	err := NodeDisk{Layout: l, Runner: g}.TryUnit(t.Context(), "web", []byte("[Container]\nMemory=1g\n"))
	if err == nil || !strings.Contains(err.Error(), "unsupported key") {
		t.Errorf("error: %v", err)
	}
	equal(t, "shown to the generator", g.seen, []string{"archy-net.network", "web.container"})
	if _, err := os.Stat(g.stays); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s stays: %v", g.stays, err)
	}
}
