package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
)

func appsLintCmd() *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use:   "lint [FILE|DIR...]",
		Short: "check manifests: all findings at once, with file and line",
		Long: `lint checks manifests, by default those of the node. A path is a manifest, the folder of
one app, or a directory of apps. It ends with 1 when there is an error; a warning
alone is no error.`,
		Example: `  archy apps lint
  archy apps lint --strict ./apps/lnd/manifest.yml`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			findings, err := lint(cmd, paths, strict)
			if err != nil {
				return err
			}
			return cliOf(cmd).printFindings(findings)
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "keys that archy does not know are errors")
	return cmd
}

func lint(cmd *cobra.Command, paths []string, strict bool) ([]manifest.Finding, error) {
	if len(paths) > 0 {
		return manifest.Lint(paths, strict), nil
	}
	e, err := openEnv(cmd)
	if err != nil {
		return nil, err
	}
	local := manifest.Source{Prefix: e.Layout.Host(e.Layout.LocalManifestDir), Local: true}
	return manifest.LintSources(strict, e.shipped(), local), nil
}

// printFindings prints findings, which are the data of lint; without any it is silent.
func (c *cli) printFindings(findings []manifest.Finding) error {
	code := exitOK
	if manifest.HasErrors(findings) {
		code = exitFailed
	}
	if c.json {
		if findings == nil {
			findings = []manifest.Finding{}
		}
		doc := map[string]any{"schema": 1, "findings": findings, "exit_code": code}
		if err := json.NewEncoder(c.out).Encode(doc); err != nil {
			return err
		}
		return exitCode(code)
	}
	for _, f := range findings {
		if f.Severity == manifest.Error || !c.quiet {
			fmt.Fprintln(c.out, f)
		}
	}
	return exitCode(code)
}
