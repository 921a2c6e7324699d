package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"git.tx1138.com/lfg2025/archy/bench/clock"
)

// program measures the program itself: how it starts, how big it is.
func (b *bench) program(ctx context.Context) error {
	say("starting archy and git")
	archy, err := filepath.Abs(b.archy)
	if err != nil {
		return err
	}
	s, err := b.time(ctx, clock.Plan{Warmup: 5, Rounds: max(b.rounds, 50), Commands: []clock.Command{
		{Args: []string{archy, "version"}}, {Args: []string{"/usr/bin/git", "--version"}}}})
	if err != nil {
		return err
	}
	const most, extra = 2, 6 * time.Millisecond
	version, git := s[0].Wall(), s[1].Wall()
	limit := most*git + extra
	b.rows = append(b.rows, row{"archy version", ms(version), "git --version " + ms(git), fmt.Sprintf("%.2f x", float64(version)/float64(git)),
		"at most 2 x + 6 ms = " + ms(limit), version <= limit})
	info, err := os.Stat(archy)
	if err != nil {
		return err
	}
	b.rows = append(b.rows, below("size of the program", info.Size(), 18))
	return nil
}

// time runs the stopwatch on this machine.
func (b *bench) time(ctx context.Context, plan clock.Plan) ([]clock.Samples, error) {
	in, err := json.Marshal(plan)
	if err != nil {
		return nil, err
	}
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, b.tool("stopwatch"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, stderr.Bytes())
	}
	return measured(out.Bytes(), plan)
}

// measured reads what the stopwatch printed.
func measured(out []byte, plan clock.Plan) ([]clock.Samples, error) {
	var s []clock.Samples
	if err := json.Unmarshal(out, &s); err != nil {
		return nil, fmt.Errorf("the stopwatch's answer: %w", err)
	}
	if len(s) != len(plan.Commands) {
		return nil, fmt.Errorf("the stopwatch measured %d of %d commands", len(s), len(plan.Commands))
	}
	return s, nil
}
