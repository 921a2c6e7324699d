package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// Set by the Makefile with -ldflags -X.
var (
	version = "dev"
	commit  = "unknown"
)

func versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "print the version",
		GroupID: groupTool,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := cliOf(cmd)
			if c.json {
				return json.NewEncoder(c.out).Encode(map[string]any{
					"schema": 1, "version": version, "commit": commit, "go": runtime.Version(), "platform": platform(),
				})
			}
			_, err := fmt.Fprintf(c.out, "archy %s (commit %s, %s, %s)\n", version, commit, runtime.Version(), platform())
			return err
		},
	}
}

func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }
