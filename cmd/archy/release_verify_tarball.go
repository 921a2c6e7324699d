package main

import (
	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/release"
)

func releaseVerifyTarballCmd() *cobra.Command {
	var flags rulesFlags
	var manifestFile string
	var pub []string
	cmd := &cobra.Command{
		Use:   "verify-tarball FILE",
		Short: "check an archive of the page: all findings at once, nothing extracted",
		Long: `verify-tarball reads an archive once, from its first to its last byte, and prints
everything that is wrong with it: a code, the entry, what is there and what must be. It
needs no room on a disk and little memory, however large or hostile the archive is.

Exit codes: 0 clean (warnings are allowed), 1 findings, 2 usage or a file that cannot be read.`,
		Example: `  archy release verify-tarball archipelago-frontend-1.2.3.tar.gz
  archy release verify-tarball --manifest manifest.json --json archipelago-frontend-1.2.3.tar.gz`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := cliOf(cmd)
			rules, err := flags.rules()
			if err != nil {
				return err
			}
			before, err := c.takeManifest(&rules, manifestFile, pub)
			if err != nil {
				return err
			}
			report, err := rules.VerifyFile(cmd.Context(), args[0])
			if err != nil {
				return unreadable(err)
			}
			return c.printReport(report.After(before))
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&manifestFile, "manifest", "", "the manifest `FILE` that names the archive: compare size, digest and every file")
	cmd.Flags().StringArrayVar(&pub, "pub", nil, "the manifest must be signed by the public key in this `FILE` (repeatable)")
	return cmd
}

// takeManifest reads what the archive must agree with; the findings are about the manifest itself.
func (c *cli) takeManifest(rules *release.Rules, path string, pub []string) (release.Findings, error) {
	if path == "" {
		if len(pub) > 0 {
			return release.Findings{}, usage("add --manifest FILE", "--pub: it is the manifest that is signed")
		}
		return release.Findings{}, nil
	}
	m, data, found, err := release.LoadManifest(path)
	if err != nil {
		return found, unreadable(err)
	}
	if m == nil {
		return found, nil
	}
	*rules = rules.ForManifest(m)
	if len(pub) == 0 {
		return found, nil
	}
	keys, err := release.ReadKeys(pub)
	if err != nil {
		return found, usage("a public key is the .pub file of archy release keygen", "%w", err)
	}
	signature, err := release.ReadSignature(path)
	if err != nil {
		return found, unreadable(err)
	}
	found.Join(keys.Check(release.PolicyAlways, m, data, signature))
	return found, nil
}

func (c *cli) printReport(r release.Report) error {
	if c.json {
		if err := c.printJSON(r); err != nil {
			return err
		}
		return verdict(r.OK)
	}
	c.printFound(r.Findings, r.Unlisted, r.Line())
	return verdict(r.OK)
}
