package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/release"
)

// releaseCreateOptions are the flags of release create.
type releaseCreateOptions struct {
	in       release.Inputs
	epoch    string
	key      string
	password passwordFlag
}

func releaseCreateCmd() *cobra.Command {
	o := releaseCreateOptions{}
	cmd := &cobra.Command{
		Use:   "create --version V --base-url URL",
		Short: "build a release: archive, backend, manifest.json",
		Long: `create packs the page, the assistant's page and the app manifests into one archive, reads
it back with every check of verify-tarball, and only then writes manifest.json, last of
all. The same inputs give the same bytes, whoever builds them, and where.

Exit codes: 0 released, 1 a check or a write failed and there is no manifest, 2 usage,
130 interrupted.`,
		Example: `  archy release create --version 1.2.3 --base-url https://updates.example/1.2.3
  archy release create --version 1.2.3 --base-url https://updates.example/1.2.3 --check`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	o.flags(cmd)
	return cmd
}

func (o *releaseCreateOptions) flags(cmd *cobra.Command) {
	f, in := cmd.Flags(), &o.in
	f.StringVar(&in.Version, "version", "", "X.Y.Z or X.Y.Z-pre (required)")
	f.StringVar(&in.Date, "date", "", "release date, `YYYY-MM-DD` (default today, UTC)")
	f.StringVar(&in.Previous, "previous", "", "`VERSION` that is replaced (default that of the manifest being replaced, else 0.0.0)")
	f.StringVar(&in.Frontend, "frontend", "", "`DIR` of the finished page (default neode-ui/dist, then web/dist/neode-ui)")
	f.StringVar(&in.Binary, "binary", "core/target/release/archipelago", "the backend `FILE`")
	f.StringVar(&in.AIUI, "aiui", "demo/aiui", "`DIR` of the assistant's page")
	f.StringVar(&in.Apps, "apps", "apps", "`DIR` of the app manifests")
	f.StringVar(&in.Catalog, "catalog", "app-catalog/catalog.json", "the catalogue `FILE`, which the page's catalog.json must equal")
	f.StringVar(&in.Out, "out", "", "`DIR` that receives the release (default dist/release/VERSION)")
	f.StringVar(&in.BaseURL, "base-url", "", "`URL` of the directory that the files are downloaded from (required unless --compat)")
	f.StringVar(&in.Changelog, "changelog", "", "text `FILE`, an entry a line (default the section of the version in CHANGELOG.md)")
	f.StringVar(&o.epoch, "source-date-epoch", "", "time of every entry, in `SECONDS` since 1970 (default $SOURCE_DATE_EPOCH, else midnight UTC of the date)")
	f.StringArrayVar(&in.Require, "require", nil, "a further member that must exist, as a `PATH` in the archive (repeatable)")
	f.BoolVar(&in.AllowSymlinks, "allow-symlinks", false, "permit relative symlinks that stay inside the archive")
	f.BoolVar(&in.NoFiles, "no-files", false, "leave the list of files out of the manifest")
	f.StringVar(&in.MinVersion, "min-version", "", "lowest `VERSION` that may install this one directly")
	f.BoolVar(&in.Compat, "compat", false, "the old script's places: archive in /tmp, manifest.json here, URL from the manifest before")
	f.StringVar(&o.key, "sign", "", "sign with the private key `FILE`")
	f.BoolVar(&in.CheckOnly, "check", false, "run every check and write nothing")
	o.password.add(cmd)
}

func (o *releaseCreateOptions) run(cmd *cobra.Command) error {
	c := cliOf(cmd)
	if err := o.complete(c); err != nil {
		return err
	}
	if o.key != "" && !o.in.CheckOnly {
		key, err := c.openKey(cmd.Context(), o.key, &o.password)
		if err != nil {
			return err
		}
		defer key.Close()
		o.in.Key = key
	}
	created, err := release.Create(cmd.Context(), o.in)
	if err != nil {
		return createFailed(err)
	}
	return c.printCreated(created)
}

// complete checks the command line and fills in what it leaves out.
func (o *releaseCreateOptions) complete(c *cli) error {
	in := &o.in
	in.Now, in.Limits, in.Target, in.Tool = time.Now(), release.DefaultLimits(), release.Target(), "archy "+version
	in.Temp = "/tmp"
	if in.Version == "" {
		return usage("archy release create --help", "--version is missing")
	}
	for _, v := range []struct{ flag, text string }{{"--version", in.Version}, {"--previous", in.Previous}, {"--min-version", in.MinVersion}} {
		if _, err := release.ParseVersion(v.text); err != nil && v.text != "" {
			return usage("the v belongs to the tag only: v1.2.3 is the tag of version 1.2.3", "%s: %w", v.flag, err)
		}
	}
	if in.BaseURL == "" && !in.Compat {
		return usage("the URL of the directory that the files will be downloaded from", "--base-url is missing")
	}
	if in.Date == "" {
		in.Date = in.Now.UTC().Format(time.DateOnly)
	}
	if _, err := time.Parse(time.DateOnly, in.Date); err != nil {
		return usage("for example --date 2026-01-31", "--date %q is no date", in.Date)
	}
	if in.Frontend == "" {
		in.Frontend = firstDir("neode-ui/dist", "web/dist/neode-ui")
	}
	if in.Out == "" {
		in.Out = filepath.Join("dist/release", in.Version)
		if in.Compat {
			in.Out = "."
		}
	}
	return o.completeEpoch(c)
}

func (o *releaseCreateOptions) completeEpoch(c *cli) error {
	name, text := "--source-date-epoch", o.epoch
	if text == "" {
		name, text = "SOURCE_DATE_EPOCH", c.variable("SOURCE_DATE_EPOCH")
	}
	if text == "" {
		return nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return usage("seconds since 1970", "%s %q is no time", name, text)
	}
	o.in.Epoch = &seconds
	return nil
}

// firstDir is the first of some directories that is there, else the first.
func firstDir(dirs ...string) string {
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
	}
	return dirs[0]
}

func createFailed(err error) error {
	const nothing = "there is no manifest, so nothing was released"
	switch {
	case errors.Is(err, context.Canceled):
		return interrupted(nothing)
	case errors.Is(err, syscall.ENOSPC):
		return &exitError{exitFailed, "disk-full", err, "free some room; " + nothing}
	}
	return &exitError{exitFailed, "release", err, nothing}
}

// printCreated prints the findings, or where everything is. What was left out is talk.
func (c *cli) printCreated(r release.Created) error {
	if c.json {
		if err := c.printJSON(r); err != nil {
			return err
		}
		return verdict(r.OK)
	}
	if len(r.LeftOut) > 0 && !c.quiet {
		fmt.Fprintf(c.err, "left out: %s\n", strings.Join(r.LeftOut, " "))
	}
	c.printFound(r.Findings, r.Unlisted, createdLine(r))
	return verdict(r.OK)
}

func createdLine(r release.Created) string {
	content := fmt.Sprintf("%s, %s", release.Count(r.Entries, "entry", "entries"), release.Bytes(r.Unpacked))
	switch {
	case !r.OK:
		return fmt.Sprintf("%s, nothing was released", release.Count(int64(r.Errors), "error", "errors"))
	case r.CheckOnly:
		return fmt.Sprintf("release %s would hold %s; nothing was written", r.Version, content)
	case r.Signature != "":
		return fmt.Sprintf("release %s of %s: %s, signed", r.Version, content, r.Manifest)
	}
	return fmt.Sprintf("release %s of %s: %s", r.Version, content, r.Manifest)
}
