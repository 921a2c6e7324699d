package heal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/wait"
)

// probeName is the throw-away container's.
const probeName = "archy-heal-probe"

// isProbe tells a throw-away container: nobody would miss it, and it ends by itself.
func isProbe(p Process) bool { return p.Name == probeName }

// probeEnds waits for the end of a throw-away container whose archy was killed: a database that is put aside takes nothing
// living with it.
func (c *climb) probeEnds(ctx context.Context) error {
	for end := time.Now().Add(c.limits.Probe + quick); slices.ContainsFunc(Monitors(c.proc(), c.User.UID), isProbe); {
		if time.Now().After(end) {
			return fmt.Errorf("%s has not ended by itself within %s", probeName, c.limits.Probe)
		}
		if err := wait.For(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// try is how podman is that answers well, by a throw-away container.
func (h *Healer) try(ctx context.Context, d Diagnosis) Diagnosis {
	const source = "a throw-away container"
	err := h.climbOf(Safe, d).prove(ctx)
	if err == nil || ctx.Err() != nil {
		return d
	}
	text := err.Error()
	var said *command.ExitError
	if errors.As(err, &said) && said.Stderr != "" {
		text = said.Stderr
	}
	f, known := Read(text, source)
	var late *command.LimitError
	switch {
	case known && f.State != LostTrack:
	case errors.As(err, &late): // which proves nothing
		d.State, d.FirstRung, d.Source = Slow, firstRung(Slow), source
		d.Evidence = fmt.Sprintf("podman %s of a throw-away container was not finished after %s", late.Argv[1], late.Limit)
		return d
	default:
		f = Finding{State: Unknown, Evidence: errorLine(text), Source: source}
	}
	d.State, d.Evidence, d.Source, d.Paths, d.Names = f.State, f.Evidence, f.Source, f.Paths, nil
	d.FirstRung, d.Live = firstRung(f.State), h.live(ctx)
	d.Human = h.climbOf(Safe, d).advice("")
	return d
}

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
	life := strconv.Itoa(int(c.limits.Probe / time.Second))
	err := c.run(ctx, perChange, "podman", "run", "--detach", "--rm", "--name", probeName, "--timeout", life, "--network", "none", "--pull", "never", "--read-only",
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

// anyImage is the same one each time: one that a container runs, if there is any. Another one may be broken itself, which says nothing about podman.
func (c *climb) anyImage(ctx context.Context) (string, error) {
	res, err := c.Runner.Run(ctx, command.Cmd{Argv: []string{"podman", "images", "--quiet", "--no-trunc"}, Limit: quick})
	if err != nil {
		return "", err
	}
	used, err := c.Runner.Run(ctx, command.Cmd{Argv: []string{"podman", "ps", "--no-trunc", "--format", "{{.ImageID}}"}, Limit: quick})
	if err != nil {
		return "", err
	}
	ids := strings.Fields(string(res.Stdout))
	slices.Sort(ids)
	for _, id := range ids {
		if strings.Contains(string(used.Stdout), strings.TrimPrefix(id, "sha256:")) {
			return id, nil
		}
	}
	if len(ids) == 0 {
		return "", nil
	}
	return ids[0], nil
}
