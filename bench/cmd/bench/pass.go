package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"git.tx1138.com/lfg2025/archy/bench/clock"
	"git.tx1138.com/lfg2025/archy/test/node"
)

var (
	reconcile = []string{archyPath, "reconcile", "--quiet"}
	podmanPS  = []string{"podman", "ps", "-a", "--format", "json"}
)

// pass measures a pass with nothing to do, beside what it takes podman to list the containers once, and beside the
// script.
func (b *bench) pass(ctx context.Context) (err error) {
	n, fresh, err := b.openNode(ctx, b.node)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.closeNode(ctx, n, fresh)) }()
	if fresh {
		if err := errors.Join(b.install(ctx, n), b.bringUp(ctx, n)); err != nil {
			return err
		}
	}
	if err := errors.Join(b.putTools(n), b.await(ctx, n, b.settle), nothingToDo(ctx, n), referenceTable(ctx, n)); err != nil {
		return err
	}
	return errors.Join(b.warm(ctx, n), b.cold(ctx, n), b.script(ctx, n))
}

// nothingToDo makes sure that the pass to be measured changes nothing.
func nothingToDo(ctx context.Context, n *node.Node) error {
	for range 2 {
		if _, err := must(ctx, n, reconcile...); err != nil {
			return err
		}
	}
	out, err := must(ctx, n, archyPath, "reconcile")
	if err == nil && !strings.Contains(out, fmt.Sprintf("%d ok", containers)) {
		err = fmt.Errorf("the node is not as desired: %s", out)
	}
	return err
}

// warm: podman's service runs already, as with a backend that asks it all the time.
func (b *bench) warm(ctx context.Context, n *node.Node) error {
	say("a pass, podman's service warm")
	s, err := b.timeIn(ctx, n, clock.Plan{Warmup: 3, Rounds: b.rounds * 2, Commands: []clock.Command{{Args: reconcile}, {Args: podmanPS}}})
	if err != nil {
		return err
	}
	b.rows = append(b.rows, atMost("pass with nothing to do, service warm", s[0].Wall(), s[1].Wall(), "podman ps -a", 0.6),
		below("memory of a pass, the most of any run", s[0].MaxRSS(), 32))
	return nil
}

// cold: the service has ended, and the socket has systemd start it.
func (b *bench) cold(ctx context.Context, n *node.Node) error {
	say("a pass, podman's service cold")
	stop := []string{"systemctl", "--user", "stop", "podman.service"}
	s, err := b.timeIn(ctx, n, clock.Plan{Warmup: 1, Rounds: b.rounds,
		Commands: []clock.Command{{Args: reconcile, Before: stop, PauseMS: 50}, {Args: podmanPS, Before: stop, PauseMS: 50}}})
	if err != nil {
		return err
	}
	b.rows = append(b.rows, atMost("pass with nothing to do, service cold", s[0].Wall(), s[1].Wall(), "podman ps -a", 2.5))
	return nil
}

// script: bench/reference.sh.
func (b *bench) script(ctx context.Context, n *node.Node) error {
	say("a pass beside the bash reference")
	s, err := b.timeIn(ctx, n, clock.Plan{Rounds: leastRounds, Commands: []clock.Command{{Args: reconcile}, {Args: []string{referencePath, tablePath}}}})
	if err != nil {
		return err
	}
	b.rows = append(b.rows, faster("pass with nothing to do", s[0].Wall(), s[1].Wall(), "bash reference", 50))
	b.passWall = s[0].Wall()
	return nil
}
