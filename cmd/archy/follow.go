package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

const (
	// followLimit is for some twenty calls of ufw for an app, and one reload of Tor.
	followLimit = 5 * time.Minute
	// followAgain is how long a pass that nobody asked for waits after a failure.
	followAgain = time.Hour
)

// followCmd is root's part of an installation or a removal.
func followCmd() *cobra.Command {
	return &cobra.Command{
		Use: "follow", Short: "let the firewall and Tor follow the installed apps", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if uid := os.Geteuid(); uid != 0 {
				return usage("sudo "+cmd.CommandPath(), "%s must run as root, this is uid %d", cmd.CommandPath(), uid)
			}
			e, err := openEnv(cmd)
			if err != nil {
				return err
			}
			if err := node.CheckVolume(e.Layout); err != nil {
				return err
			}
			lock, err := e.Locks.Host(cmd.Context(), followLimit/2)
			if err != nil {
				return err
			}
			defer lock.Release()
			return e.outside().Follow(cmd.Context(), func(text string) { fmt.Fprintln(e.out, text) })
		},
	}
}

// followFailure is how the last try ended; empty: well.
type followFailure struct {
	Schema int       `json:"schema"`
	At     time.Time `json:"at,omitzero"`
	Error  string    `json:"error,omitempty"`
}

// follow lets the firewall and Tor follow what a pass has changed. That is root's work: it is done through sudo, if that asks for nothing.
// asked tells that somebody waits for it. The warning says what was not done.
func (c *connected) follow(ctx context.Context, r reconcile.Result, asked bool) (warnings []string) {
	if r.CheckOnly || c.root != "" && c.root != "/" {
		return nil
	}
	ids := c.outside().Pending()
	var last followFailure
	if _, err := c.State.ReadLast("follow", &last); len(ids) == 0 || !asked && err == nil && time.Since(last.At).Abs() < followAgain {
		return nil
	}
	res, err := c.askRoot(ctx)
	c.tellFollowed(string(res.Stdout), ids)
	if ctx.Err() != nil {
		return nil // no failure, after which passes would wait for an hour: the next one lets them follow
	}
	now := followFailure{Schema: state.Schema}
	if err != nil {
		now.At, now.Error = time.Now().UTC(), childFault(err, res).Error()
		warnings = append(warnings, fmt.Sprintf("the firewall or Tor does not know of %s yet: %s; sudo archy first-boot --again tells them", strings.Join(ids, ", "), now.Error))
	}
	if now == last {
		return warnings
	}
	if err := c.State.WriteLastUnsynced("follow", now); err != nil {
		warnings = append(warnings, err.Error())
	}
	return warnings
}

func (c *connected) askRoot(ctx context.Context) (command.Result, error) {
	self, err := os.Executable()
	if err != nil {
		return command.Result{}, err
	}
	argv := c.withConfig([]string{"sudo", "-n", "--", self, "internal", "follow"})
	return command.Exec{}.Run(ctx, command.Cmd{Argv: argv, Dir: "/", Limit: followLimit})
}

// outside is the machine with the apps that the node knows.
func (e *env) outside() *firstboot.Host {
	if e.Set == nil {
		e.loadManifests()
	}
	h := e.host()
	h.Set = e.Set
	return h
}

// tellFollowed says on stderr what root has changed.
func (c *connected) tellFollowed(changes string, ids []string) {
	lines := strings.Split(strings.TrimSpace(changes), "\n")
	switch {
	case c.quiet || changes == "":
	case c.verbose:
		fmt.Fprintln(c.err, strings.Join(lines, "\n"))
	default:
		fmt.Fprintf(c.err, "firewall and Tor: %d %s for %s\n", len(lines), plural(len(lines), "change"), strings.Join(ids, ", "))
	}
}
