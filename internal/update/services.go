package update

import (
	"context"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
)

const (
	backendUnit = "archipelago.service"
	pageUnit    = "nginx.service"
)

// Limits of the calls to the system's systemd and to nginx.
const (
	queryLimit  = 10 * time.Second
	reloadLimit = 30 * time.Second
)

// SystemServices are those of the system's systemd.
type SystemServices struct{ Runner command.Runner }

// Invocation implements Services.
func (s SystemServices) Invocation(ctx context.Context) (string, error) {
	res, err := s.Runner.Run(ctx, command.Cmd{Argv: []string{"systemctl", "show", "--property=InvocationID", "--value", backendUnit}, Limit: queryLimit})
	return strings.TrimSpace(string(res.Stdout)), err
}

// ReloadPage implements Services. A web server that does not run is started.
func (s SystemServices) ReloadPage(ctx context.Context) error {
	if err := s.run(ctx, reloadLimit, "nginx", "-t", "-q"); err != nil {
		return err
	}
	return s.run(ctx, reloadLimit, "systemctl", "reload-or-restart", pageUnit)
}

// RestartBackend implements Services. A new version that died again and again has used up the starts that systemd allows
// in a row; the old one shall not be refused for that.
func (s SystemServices) RestartBackend(ctx context.Context) error {
	_ = s.run(ctx, queryLimit, "systemctl", "reset-failed", backendUnit)
	return s.run(ctx, queryLimit, "systemctl", "restart", "--no-block", backendUnit)
}

func (s SystemServices) run(ctx context.Context, limit time.Duration, argv ...string) error {
	_, err := s.Runner.Run(ctx, command.Cmd{Argv: argv, Limit: limit})
	return err
}
