package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"git.tx1138.com/lfg2025/archy/bench/clock"
)

// growth compares a pass over 33 apps with one over ten times as many, without podman: the time that grows must be
// archy's own.
func (b *bench) growth(ctx context.Context) error {
	say("a pass over 33 and over 330 apps")
	dir, err := os.MkdirTemp("", "archy-growth-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	plan := clock.Plan{Warmup: 2, Rounds: b.rounds}
	for _, n := range []string{"33", "330"} {
		world := filepath.Join(dir, n)
		if out, err := exec.CommandContext(ctx, b.tool("growth"), "make", world, n).CombinedOutput(); err != nil {
			return fmt.Errorf("make a node with %s apps: %w: %s", n, err, out)
		}
		plan.Commands = append(plan.Commands, clock.Command{Args: []string{b.tool("growth"), "pass", world}})
	}
	s, err := b.time(ctx, plan)
	if err != nil {
		return err
	}
	b.rows = append(b.rows, atMost("pass over 330 apps, time", s[1].Wall(), s[0].Wall(), "33 apps", 10))
	mem := float64(s[1].RSS()) / float64(s[0].RSS())
	b.rows = append(b.rows, row{"pass over 330 apps, memory", fmt.Sprintf("%.1f MB", float64(s[1].RSS())/1e6), fmt.Sprintf("33 apps %.1f MB", float64(s[0].RSS())/1e6),
		fmt.Sprintf("%.2f x", mem), "at most 2 x", mem <= 2})
	return nil
}
