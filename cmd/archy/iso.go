package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/install"
)

func isoCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "iso",
		Short:   "lay archy down on a machine or below a directory",
		GroupID: groupTool,
	}
	onlyCommands(cmd)
	cmd.AddCommand(isoInstallCmd(), isoCheckCmd())
	return cmd
}

// isoOptions are the flags of the iso commands.
type isoOptions struct {
	owner string
	check bool
}

func (o *isoOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.owner, "owner", "0:0", "`UID:GID` that everything belongs to, for staging without being root")
}

func isoInstallCmd() *cobra.Command {
	var o isoOptions
	cmd := &cobra.Command{
		Use:   "install --root DIR",
		Short: "lay down the binary, the apps, the units and what belongs to them",
		Long: `install puts archy below DIR, the root of a machine that is being made, or / for the one
that it runs on: this binary, the shipped apps, the units with the links that enable
them, the scripts under their old names, completions and manual pages. It starts
nothing, needs neither systemd nor podman, and writes nothing outside DIR.

It may be called again: what is right stays untouched, and a run that was interrupted is
finished by the next. /etc/archipelago/archy.yaml is written only when it is absent. A
build context that is there and differs is kept beside as NAME.pre-archy.`,
		Example: `  sudo archy iso install --root /mnt/target
  archy iso install --root /mnt/target --check`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.check {
				return o.runCheck(cmd)
			}
			return o.runInstall(cmd)
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&o.check, "check", false, "print what differs and change nothing; exit 4 if anything does")
	return cmd
}

func isoCheckCmd() *cobra.Command {
	var o isoOptions
	cmd := &cobra.Command{
		Use:   "check --root DIR",
		Short: "compare what lies below a directory with what install lays down",
		Long: `check prints a line for everything below DIR that is not as this archy lays it down:
missing, another content, mode, owner or link. It changes nothing and ends with 4 when
there is a difference.`,
		Example: "  archy iso check --root /",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.runCheck(cmd) },
	}
	o.flags(cmd)
	return cmd
}

func (o *isoOptions) runInstall(cmd *cobra.Command) error {
	c := cliOf(cmd)
	root, src, err := o.open(cmd)
	if err != nil {
		return err
	}
	defer root.Close()
	if os.Geteuid() != 0 && !cmd.Flags().Changed("owner") {
		return usage("sudo "+cmd.CommandPath()+", or name yourself with --owner to stage a directory", "what is laid down belongs to root")
	}
	res, err := root.Install(src)
	if err != nil {
		return installError(err)
	}
	return c.printInstalled(res)
}

func (o *isoOptions) runCheck(cmd *cobra.Command) error {
	root, src, err := o.open(cmd)
	if err != nil {
		return err
	}
	defer root.Close()
	diffs, err := root.Check(src)
	if err != nil {
		return installError(err)
	}
	return cliOf(cmd).printDifferences(diffs)
}

// open opens the directory that --root names, and gathers what is to lie there.
func (o *isoOptions) open(cmd *cobra.Command) (*install.Root, install.Source, error) {
	c := cliOf(cmd)
	if c.root == "" {
		return nil, install.Source{}, usage(cmd.CommandPath()+" --root /", "name the directory with --root; / is this machine")
	}
	uid, gid, err := parseOwner(o.owner)
	if err != nil {
		return nil, install.Source{}, err
	}
	root, err := install.Open(c.root, uid, gid)
	if err != nil {
		return nil, install.Source{}, usage("", "--root: %w", err)
	}
	src, err := installSource()
	if err != nil {
		return nil, src, errors.Join(err, root.Close())
	}
	return root, src, nil
}

func parseOwner(text string) (uid, gid int, err error) {
	u, g, _ := strings.Cut(text, ":")
	uid, err1 := strconv.Atoi(u)
	gid, err2 := strconv.Atoi(g)
	if err1 != nil || err2 != nil || uid < 0 || gid < 0 {
		return 0, 0, usage("", "--owner %q is not UID:GID", text)
	}
	return uid, gid, nil
}

// installSource is what only the running program knows: its own file, its pages, its completions. These come from a command
// line of their own: cobra adds to the one that runs.
func installSource() (src install.Source, err error) {
	self, err := os.Executable()
	if err != nil {
		return src, err
	}
	if src.Binary, err = os.ReadFile(self); err != nil {
		return src, err
	}
	root := (&cli{}).rootCmd()
	src.Pages = manPages(root)
	src.Completions = map[string][]byte{}
	var text bytes.Buffer
	for shell, write := range map[string]func() error{
		"bash": func() error { return root.GenBashCompletionV2(&text, true) },
		"zsh":  func() error { return root.GenZshCompletion(&text) },
		"fish": func() error { return root.GenFishCompletion(&text, true) },
	} {
		text.Reset()
		if err := write(); err != nil {
			return src, err
		}
		src.Completions[shell] = bytes.Clone(text.Bytes())
	}
	return src, nil
}

func installError(err error) error {
	var outside *install.OutsideError
	switch {
	case errors.Is(err, install.ErrBusy):
		return &exitError{exitLocked, "locked", err, "wait for it to end"}
	case errors.As(err, &outside):
		return &exitError{exitFailed, "outside", err, "nothing is written through such a link; make it relative, or a directory"}
	case errors.Is(err, fs.ErrPermission):
		return &exitError{exitFailed, "permission", err, "run it with sudo"}
	}
	return &exitError{exitFailed, "install", err, ""}
}

func (c *cli) printInstalled(res install.Result) error {
	if c.json {
		return json.NewEncoder(c.out).Encode(map[string]any{
			"schema": 1, "entries": res.Entries, "changed": list(res.Changed), "kept": list(res.Kept),
		})
	}
	for _, kept := range res.Kept {
		fmt.Fprintf(c.err, "%s: kept beside, as it was\n", kept)
	}
	if c.verbose {
		for _, d := range res.Changed {
			fmt.Fprintf(c.err, "%s, mended\n", d)
		}
	}
	return nil
}

func (c *cli) printDifferences(diffs []install.Difference) error {
	code := exitOK
	if len(diffs) > 0 {
		code = exitDrift
	}
	if c.json {
		doc := map[string]any{"schema": 1, "differences": list(diffs), "exit_code": code}
		if err := json.NewEncoder(c.out).Encode(doc); err != nil {
			return err
		}
		return exitCode(code)
	}
	for _, d := range diffs {
		fmt.Fprintln(c.out, d)
	}
	return exitCode(code)
}

// list is never null in JSON.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
