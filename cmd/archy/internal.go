package main

import (
	"os"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// internalCmd holds what archy runs of itself: inside podman's user namespace, in a container, as root.
func internalCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "internal", Short: "used by archy itself", Hidden: true}
	cmd.AddCommand(&cobra.Command{
		Use:                "write-file --path PATH --mode MODE",
		Short:              "replace a file with what comes on stdin",
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			return podman.InternalWriteFile(args, os.Stdin)
		},
	})
	// A throw-away container runs this to prove that podman can start and stop one.
	cmd.AddCommand(&cobra.Command{
		Use: "pause", Short: "wait for the end", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			<-cmd.Context().Done()
			return nil
		},
	})
	cmd.AddCommand(followCmd())
	return cmd
}
