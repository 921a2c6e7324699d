package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"git.tx1138.com/lfg2025/archy/bench/clock"
	"git.tx1138.com/lfg2025/archy/bench/fleet"
	"git.tx1138.com/lfg2025/archy/test/node"
)

const composeFile = "/home/archipelago/compose/docker-compose.yml"

// compose measures podman-compose with nothing to do, on a node of its own with as many containers of the same kind.
func (b *bench) compose(ctx context.Context) (err error) {
	if b.passWall == 0 {
		return errors.New("needs the part pass: the ratio is of one run")
	}
	n, fresh, err := b.openNode(ctx, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.closeNode(ctx, n, fresh)) }()
	services := fleet.New(containers)
	if err := errors.Join(n.StandIn(ctx, images(services)...), n.WriteFile(composeFile, []byte(composeText(services)), 0o644),
		b.putTools(n)); err != nil {
		return err
	}
	say("podman-compose brings up %d services", containers)
	up := []string{"podman-compose", "-f", composeFile, "up", "-d"}
	if _, err := must(ctx, n, up...); err != nil {
		return err
	}
	if err := b.await(ctx, n, 0); err != nil {
		return err
	}
	say("podman-compose with nothing to do")
	s, err := b.timeIn(ctx, n, clock.Plan{Warmup: 1, Rounds: leastRounds, Commands: []clock.Command{{Args: up}}})
	if err != nil {
		return err
	}
	b.rows = append(b.rows, faster("pass with nothing to do", b.passWall, s[0].Wall(), "podman-compose up -d", 50))
	return sameContainers(ctx, n)
}

// sameContainers makes sure that podman-compose really had nothing to do, and did nothing.
func sameContainers(ctx context.Context, n *node.Node) error {
	l, err := list(ctx, n)
	if err == nil && len(l) != containers {
		err = fmt.Errorf("podman-compose left %d containers of %d", len(l), containers)
	}
	return err
}

func composeText(list []fleet.App) string {
	var text strings.Builder
	text.WriteString("services:\n")
	for _, a := range list {
		fmt.Fprintf(&text, `  %s:
    image: %s
    container_name: %s
    restart: unless-stopped
    read_only: true
    ports: ["%d:%d"]
    volumes: ["./%s:/data"]
    tmpfs: [/tmp]
    environment: {APP_ADDRESS: 0.0.0.0, APP_ROOT: /data, APP_LOG_LEVEL: info, APP_WORKERS: "2"}
`, a.ID, a.Image, a.ID, a.Port, a.Port, a.ID)
		if a.Needs != "" {
			fmt.Fprintf(&text, "    depends_on: [%s]\n", a.Needs)
		}
	}
	return text.String()
}
