package main

import (
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/update"
)

func updateMarkCmd() *cobra.Command {
	var o update.MarkOptions
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "mark --old VERSION --new VERSION",
		Short: "say that the next restart of the backend brings a new version (root)",
		Long: `mark is for the updater, after it laid the new version down and before it restarts the
backend: sudo -n archy update mark. It wants sound backups of what was replaced,
/opt/archipelago/web-ui.bak and /usr/local/bin/archipelago.bak; /opt/archipelago/apps.bak
is restored too when it is there. Exit 1: a backup is missing or damaged, so do not
restart; 5: another update waits for its verdict.`,
		Example: `  archy update mark --old 1.4.1 --new 1.5.0`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, u, err := openUpdate(cmd, wait)
			if err != nil {
				return err
			}
			m, err := u.Mark(cmd.Context(), o)
			if err != nil {
				return e.updateError(err, exitFailed)
			}
			return e.printUpdate(update.Result{Marker: m}, exitOK)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Old, "old", "", "the `VERSION` that was replaced")
	f.StringVar(&o.New, "new", "", "the `VERSION` that was laid down")
	f.StringVar(&o.VersionFile, "version-file", "", "`FILE` that holds the installed version and nothing else; a rollback sets it back")
	f.DurationVar(&wait, "wait-lock", 30*time.Second, "how long to wait for another run")
	for _, name := range []string{"old", "new"} {
		_ = cmd.MarkFlagRequired(name) // it fails for a flag that does not exist only
	}
	return cmd
}
