package heal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/wait"
)

// probeName is the throw-away container's.
const probeName = "archy-heal-probe"

// prove starts and stops a throw-away container: of an image that is here, without a network, without a volume, with archy itself as the
// program that waits for its end. Without an image there is nothing to start, and a list must do.
func (c *climb) prove(ctx context.Context) error {
	image, err := c.anyImage(ctx)
	if err != nil || image == "" || c.Probe == "" {
		return err
	}
	remove := func() error {
		return c.run(ctx, quick, "podman", "rm", "--force", "--ignore", "--time", "0", probeName)
	}
	if err := remove(); err != nil {
		return err
	}
	err = c.startProbe(ctx, image)
	return errors.Join(err, remove())
}

func (c *climb) startProbe(ctx context.Context, image string) error {
	err := c.run(ctx, perChange, "podman", "run", "--detach", "--rm", "--name", probeName, "--network", "none", "--pull", "never", "--read-only",
		"--cap-drop", "all", "--user", "0", "--image-volume", "ignore", "--no-healthcheck", "--log-driver", "none", "--volume", c.Probe+":/archy-probe:ro", "--workdir", "/",
		"--entrypoint", "/archy-probe", image, "internal", "pause")
	if err != nil {
		return err
	}
	if err := wait.For(ctx, 500*time.Millisecond); err != nil {
		return err
	}
	res, err := c.Runner.Run(ctx, command.Cmd{Argv: []string{"podman", "inspect", "--format", "{{.State.Running}}", probeName}, Limit: quick})
	if err != nil || strings.TrimSpace(string(res.Stdout)) != "true" {
		return fmt.Errorf("the throw-away container of %s does not run: %w", image, errors.Join(err, errors.New(strings.TrimSpace(string(res.Stdout)))))
	}
	return c.run(ctx, quick, "podman", "stop", "--time", "10", probeName)
}

// anyImage is the same one each time.
func (c *climb) anyImage(ctx context.Context) (string, error) {
	res, err := c.Runner.Run(ctx, command.Cmd{Argv: []string{"podman", "images", "--quiet", "--no-trunc"}, Limit: quick})
	if err != nil {
		return "", err
	}
	ids := strings.Fields(string(res.Stdout))
	slices.Sort(ids)
	if len(ids) == 0 {
		return "", nil
	}
	return ids[0], nil
}
