package main

import (
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/update"
)

func updateVerifyCmd() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "confirm the update that is pending, or put the old version back (root)",
		Long: `verify waits for the backend's restart and probes the node: its page, the scripts and
style sheets that the page names, and the backend through nginx. Two passes in a row
confirm the update. Without them it restores the backups and probes again. Killed at
any point, it goes on where it was. Without a marker it does nothing.

Exit 0: confirmed, too old to act on, or nothing to do; 3: the old version is back and
answers; 6: it could not be brought back, see archy update status.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, u, err := openUpdate(cmd, wait)
			if err != nil {
				return err
			}
			if err := e.running(cmd); err != nil {
				return err
			}
			r, err := u.Verify(cmd.Context())
			if err != nil {
				return e.updateError(err, exitHuman)
			}
			return e.printUpdate(r, verdictCode(r.Marker, exitPartial))
		},
	}
	cmd.Flags().DurationVar(&wait, "wait-lock", 2*time.Minute, "how long to wait for another run")
	return cmd
}

// verdictCode is the exit code of a verdict; rolledBack is that of an old version that is back.
func verdictCode(m *update.Marker, rolledBack int) int {
	switch {
	case m == nil:
		return exitOK
	case m.State == update.RolledBack:
		return rolledBack
	case m.State == update.RollbackFailed:
		return exitHuman
	}
	return exitOK
}
