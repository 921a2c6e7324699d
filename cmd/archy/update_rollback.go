package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func updateRollbackCmd() *cobra.Command {
	var yes bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "put the backups of the last update back now (root)",
		Long: `rollback restores the page, the app manifests and the program from their backups, even
when the update was confirmed, and probes the node. What it replaces is kept as
*.failed.<time>. A rollback that failed on its way is taken up where it stopped.
With unsound backups nothing is changed, exit 6.`,
		Example: `  archy update rollback --yes`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, u, err := openUpdate(cmd, wait)
			if err != nil {
				return err
			}
			if err := e.running(cmd); err != nil {
				return err
			}
			if err := e.sure(cmd.Context(), yes, "put the old version back now?"); err != nil {
				return err
			}
			r, err := u.Rollback(cmd.Context())
			if err != nil {
				return e.updateError(err, exitHuman)
			}
			return e.printUpdate(r, verdictCode(r.Marker, exitOK))
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().DurationVar(&wait, "wait-lock", 30*time.Second, "how long to wait for another run")
	return cmd
}

// sure asks on a terminal. Nobody there to ask is no yes.
func (c *cli) sure(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return usage("give --yes", "no terminal to ask on")
	}
	fmt.Fprintf(c.err, "%s [y/N] ", question)
	answer, _ := typed(ctx, func() (string, error) { return bufio.NewReader(os.Stdin).ReadString('\n') })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &exitError{exitFailed, "declined", errors.New("nothing was changed"), ""}
}
