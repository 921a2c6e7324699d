package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/release"
)

func releaseMirrorsCmd() *cobra.Command {
	var m release.Mirrors
	var pub []string
	cmd := &cobra.Command{
		Use:   "mirrors",
		Short: "ask all mirrors side by side which release they serve",
		Long: `mirrors asks every URL of release.mirrors for its manifest, and whether the files that it
names are there with the right length. A URL that names no .json gets manifest.json added.

Exit codes: 0 all serve the same, 1 none answered, 2 usage or no mirror configured, 3 those
that answer agree, 4 a difference: version or bytes, an artefact, a signature.`,
		Example: "  archy release mirrors --mirror https://updates.example/latest --expect-version 1.2.3",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cliOf(cmd).releaseMirrors(cmd, m, pub)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&m.URLs, "mirror", nil, "ask this `URL` (repeatable; default release.mirrors)")
	f.BoolVar(&m.Deep, "deep", false, "download and hash every artefact")
	f.StringVar(&m.Expect, "expect-version", "", "any other `VERSION` is a difference")
	f.StringArrayVar(&pub, "pub", nil, "public key `FILE` to trust (repeatable; default *.pub in release.keys_dir)")
	return cmd
}

func (c *cli) releaseMirrors(cmd *cobra.Command, m release.Mirrors, pub []string) error {
	cfg, err := c.loadConfig()
	if err != nil {
		return err
	}
	if len(m.URLs) == 0 {
		m.URLs = cfg.Release.Mirrors
	}
	if len(m.URLs) == 0 {
		return usage("set release.mirrors, or give --mirror URL", "no mirror is configured")
	}
	for _, address := range m.URLs {
		if _, err := release.MirrorManifest(address); err != nil {
			return usage("", "--mirror: %w", err)
		}
	}
	if m.Expect != "" {
		if _, err := release.ParseVersion(m.Expect); err != nil {
			return usage("", "--expect-version: %w", err)
		}
	}
	if m.Keys, err = publicKeys(cfg, c.root, pub); err != nil {
		return err
	}
	m.Policy, m.Now = release.Policy(cfg.Release.RequireSignature), time.Now
	m.Limit, m.DeepLimit = 20*time.Second, 10*time.Minute
	m.Client = release.MirrorClient()
	defer m.Client.CloseIdleConnections()
	return c.askMirrors(cmd, m)
}

func (c *cli) askMirrors(cmd *cobra.Command, m release.Mirrors) error {
	rows := m.Ask(cmd.Context())
	if cmd.Context().Err() != nil {
		return interrupted("ask again")
	}
	code := map[release.Agreement]int{
		release.MirrorsAgree: exitOK, release.MirrorsSilent: exitFailed, release.MirrorsPartly: exitPartial, release.MirrorsDiffer: exitDrift,
	}[m.Agree(rows)]
	if c.json {
		if err := c.printJSON(map[string]any{"schema": 1, "mirrors": rows, "exit_code": code}); err != nil {
			return err
		}
		return exitCode(code)
	}
	if err := c.table([]string{"MIRROR", "STATUS", "VERSION", "DATE", "SHA256", "ARTEFACTS", "AGE"}, mirrorRows(rows)); err != nil {
		return err
	}
	for _, r := range rows {
		if r.Detail != "" {
			fmt.Fprintf(c.err, "%s: %s\n", r.Mirror, r.Detail)
		}
	}
	return exitCode(code)
}

func mirrorRows(list []release.Mirror) [][]string {
	var rows [][]string
	for _, r := range list {
		sum := r.SHA256
		if len(sum) > 12 {
			sum = sum[:12]
		}
		age := (time.Duration(r.Millis) * time.Millisecond).String()
		rows = append(rows, []string{r.Mirror, r.Status, dash(r.Version), dash(r.Date), dash(sum), dash(r.Artefacts), age})
	}
	return rows
}
