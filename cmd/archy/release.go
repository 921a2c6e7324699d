package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/release"
)

func releaseCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "release",
		GroupID: groupTool,
		Short:   "build, check, sign and compare releases of the page and the backend",
		Long: `A release is an archive of the node's page, the backend's binary, and manifest.json with
their digests. What ships is what a check of the finished archive found nothing wrong
with: create runs it, and verify-tarball is the same check as one line of a CI job.`,
	}
	onlyCommands(cmd)
	cmd.AddCommand(releaseCreateCmd(), releaseVerifyTarballCmd(), releaseVerifyCmd(), releaseExtractCmd(), releaseKeygenCmd(), releaseSignCmd(), releaseMirrorsCmd())
	return cmd
}

// rulesFlags are the flags that say what an archive is held to.
type rulesFlags struct {
	require  []string
	symlinks bool
	maxSize  string
}

func (r *rulesFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&r.require, "require", nil, "a further member that must exist, as a `PATH` in the archive (repeatable)")
	f.BoolVar(&r.symlinks, "allow-symlinks", false, "permit relative symlinks that stay inside the archive")
	f.StringVar(&r.maxSize, "max-size", "", "largest `SIZE` unpacked; half of it compressed, a quarter in one file (default 2Gi)")
}

func (r *rulesFlags) rules() (release.Rules, error) {
	rules := release.Rules{Require: r.require, AllowSymlinks: r.symlinks, Limits: release.DefaultLimits(), Now: time.Now()}
	if r.maxSize == "" {
		return rules, nil
	}
	size, err := manifest.ParseSize(r.maxSize)
	if err != nil {
		return rules, usage("for example --max-size 6Gi", "--max-size: %w", err)
	}
	rules.Limits = rules.Limits.WithUnpacked(int64(size))
	return rules, nil
}

// publicKeys are the keys of --pub, else those of release.keys_dir.
func publicKeys(cfg node.Config, root string, paths []string) (release.Keys, error) {
	if len(paths) == 0 {
		paths, _ = filepath.Glob(filepath.Join(node.Layout{Root: root}.Host(cfg.Release.KeysDir), "*.pub"))
		slices.Sort(paths)
	}
	keys, err := release.ReadKeys(paths)
	if err != nil {
		return nil, usage("a public key is the .pub file of archy release keygen", "%w", err)
	}
	return keys, nil
}

// printFound prints findings as the data of a command, then its last line.
func (c *cli) printFound(findings []release.Finding, unlisted int, line string) {
	for _, f := range findings {
		if f.Severity == "error" || !c.quiet {
			fmt.Fprintln(c.out, f)
		}
	}
	if unlisted > 0 {
		fmt.Fprintf(c.out, "and %d more\n", unlisted)
	}
	if !c.quiet {
		fmt.Fprintln(c.out, line)
	}
}

// printJSON prints a document on one line, with < and & as they are.
func (c *cli) printJSON(doc any) error {
	enc := json.NewEncoder(c.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(doc)
}

// verdict is the end of a check: 0 or 1.
func verdict(ok bool) error {
	if ok {
		return nil
	}
	return exitCode(exitFailed)
}

// unreadable is the error about a file that cannot be checked at all, exit 2.
func unreadable(err error) error {
	if errors.Is(err, context.Canceled) {
		return interrupted("nothing was changed")
	}
	return &exitError{exitUsage, "unreadable", err, "name a regular file that you may read"}
}

// interrupted is the end by a signal, in words that fit where no pass follows.
func interrupted(hint string) error {
	return &exitError{exitInterrupted, "interrupted", errors.New("interrupted"), hint}
}
