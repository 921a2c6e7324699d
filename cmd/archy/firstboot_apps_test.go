package main

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/firstboot"
)

// TestRealAppsStage makes all apps but the second bitcoin in a test node, as the service user: see test/node/images.
func TestRealAppsStage(t *testing.T) {
	if os.Getenv("ARCHY_IN_NODE") == "" {
		t.Skip("needs a test node: go test ./test/node/images -run FirstBoot")
	}
	c := &cli{out: os.Stdout, err: os.Stderr} // without its environment, where ARCHY_IN_NODE looks like configuration
	cmd := &cobra.Command{}
	cmd.SetContext(context.WithValue(t.Context(), cliKey{}, c))
	e, err := loadEnv(cmd)
	if err != nil {
		t.Fatal(err)
	}
	stage, err := newAppsStage(e)
	if err != nil {
		t.Fatal(err)
	}
	job := firstboot.AppsJob{Apps: slices.DeleteFunc(e.Set.Order(), func(id string) bool { return id == "bitcoin-core" })}
	if lines, err := stage.Check(t.Context(), job); err != nil || !strings.Contains(strings.Join(lines, "\n"), "create network archy-net") {
		t.Errorf("check: %v\n%s", err, strings.Join(lines, "\n"))
	}
	ends := map[string]firstboot.Event{}
	err = stage.Run(t.Context(), job, func(ev firstboot.Event) {
		if ev.Kind == firstboot.AppEvent {
			ends[ev.App] = ev
			return
		}
		t.Logf("%s %s %s %d %s %s", ev.At.Format("15:04:05.0"), ev.Step, ev.State, ev.Percent, ev.Text, ev.Error)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range job.Apps {
		if ev := ends[id]; ev.Phase != firstboot.PhaseDone && ev.Phase != firstboot.PhaseNeeds {
			t.Errorf("%s ends as %+v", id, ev)
		}
	}
}
