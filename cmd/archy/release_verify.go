package main

import (
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/release"
)

// releaseVerifyOptions are the flags of release verify.
type releaseVerifyOptions struct {
	rules     rulesFlags
	manifest  string
	dir       string
	pub       []string
	signed    bool
	installed string
	downgrade bool
}

func releaseVerifyCmd() *cobra.Command {
	var o releaseVerifyOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "check a release as a whole: manifest, backend, archive, signature",
		Long: `verify checks manifest.json and the artefacts that it names: types and versions, the two
components, the size and digest of each file, that the backend is a program for this
architecture, and everything that verify-tarball checks. A signature that is there must be
right (release.require_signature says whether one must be there).

Exit codes: 0 clean, 1 findings, 2 usage or a manifest that cannot be read.`,
		Example: "  archy release verify --manifest dist/release/1.2.3/manifest.json --pub release.pub",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&o.manifest, "manifest", "manifest.json", "the manifest `FILE`")
	f.StringVar(&o.dir, "dir", "", "directory of the artefacts (default that of the manifest)")
	f.StringArrayVar(&o.pub, "pub", nil, "public key `FILE` to trust (repeatable; default *.pub in release.keys_dir)")
	f.BoolVar(&o.signed, "require-signature", false, "a release without a signature is refused")
	f.StringVar(&o.installed, "installed", "", "the version that is installed: only a higher one may replace it, and none whose min_version is above it")
	f.BoolVar(&o.downgrade, "allow-downgrade", false, "a version that is not higher may replace the installed one")
	o.rules.add(cmd)
	return cmd
}

func (o *releaseVerifyOptions) run(cmd *cobra.Command) error {
	c := cliOf(cmd)
	r, err := o.release(c)
	if err != nil {
		return err
	}
	result, err := r.Verify(cmd.Context())
	if err != nil {
		return unreadable(err)
	}
	if c.json {
		if err := c.printJSON(result); err != nil {
			return err
		}
		return verdict(result.OK)
	}
	c.printFound(result.Findings, result.Unlisted, result.Line())
	return verdict(result.OK)
}

func (o *releaseVerifyOptions) release(c *cli) (release.Release, error) {
	cfg, err := c.loadConfig()
	if err != nil {
		return release.Release{}, err
	}
	if o.installed != "" {
		if _, err := release.ParseVersion(o.installed); err != nil {
			return release.Release{}, usage("", "--installed: %w", err)
		}
	}
	rules, err := o.rules.rules()
	if err != nil {
		return release.Release{}, err
	}
	keys, err := publicKeys(cfg, c.root, o.pub)
	if err != nil {
		return release.Release{}, err
	}
	policy := release.Policy(cfg.Release.RequireSignature)
	if o.signed {
		policy = release.PolicyAlways
	}
	if o.dir == "" {
		o.dir = filepath.Dir(o.manifest)
	}
	return release.Release{ManifestPath: o.manifest, Dir: o.dir, Keys: keys, Policy: policy, Target: release.Target(), Rules: rules,
		Installed: o.installed, AllowDowngrade: o.downgrade, Now: time.Now()}, nil
}
