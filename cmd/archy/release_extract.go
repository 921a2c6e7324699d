package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/release"
)

func releaseExtractCmd() *cobra.Command {
	var flags rulesFlags
	var manifestFile, dir string
	var pub []string
	cmd := &cobra.Command{
		Use:   "extract FILE --dir DIR",
		Short: "unpack an archive that was checked, into a new directory",
		Long: `extract checks an archive as verify-tarball does, unpacks it, and reads every file back
from the disk before the directory appears under its name. With a finding, an error or a
full disk there is no directory.

Exit codes: 0 unpacked, 1 findings or a failed write, 2 usage or a file that cannot be read,
130 interrupted.`,
		Example: "  archy release extract --manifest manifest.json --dir web-ui archipelago-frontend-1.2.3.tar.gz",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := cliOf(cmd)
			if dir == "" {
				return usage(cmd.CommandPath()+" --help", "--dir is missing")
			}
			rules, err := flags.rules()
			if err != nil {
				return err
			}
			before, err := c.takeManifest(&rules, manifestFile, pub)
			if err != nil {
				return err
			}
			if before.Errors > 0 {
				return c.printReport(release.Report{Schema: 1, File: args[0]}.After(before))
			}
			report, err := rules.Extract(cmd.Context(), args[0], dir)
			if err != nil {
				return extractFailed(err, report)
			}
			if report.OK && !c.quiet && !c.json {
				fmt.Fprintf(c.err, "unpacked into %s\n", dir)
			}
			return c.printReport(report)
		},
	}
	flags.add(cmd)
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "", "new `DIR` to unpack into")
	f.StringVar(&manifestFile, "manifest", "", "the manifest `FILE` that names the archive")
	f.StringArrayVar(&pub, "pub", nil, "the manifest must be signed by the public key in this `FILE` (repeatable)")
	return cmd
}

// extractFailed tells a file that could not be read at all from an extraction that failed.
func extractFailed(err error, r release.Report) error {
	failed := unreadable(err).(*exitError)
	if failed.Code == exitUsage && r.File != "" {
		return &exitError{exitFailed, "extract", err, "name a directory that is not there yet; nothing was unpacked"}
	}
	return failed
}
