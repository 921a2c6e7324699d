package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/watch"
)

// cli is one run of the program: its streams, its environment and the global flags.
type cli struct {
	out, err io.Writer
	environ  []string

	root          string
	config        string
	json          bool
	verbose       bool
	quiet         bool
	noColor       bool
	asServiceUser bool

	// command is what is being run, without the name of the program: reconcile, lnd connect ...
	command string
	// beat tells systemd of the progress of --watch; nil otherwise.
	beat *watch.Beat
}

type cliKey struct{}

// cliOf is the run that a command belongs to.
func cliOf(cmd *cobra.Command) *cli { return cmd.Context().Value(cliKey{}).(*cli) }

// run executes the command line and returns the exit code.
func (c *cli) run(ctx context.Context, args []string) int {
	out := &output{Writer: c.out}
	c.out = out
	root := c.rootCmd()
	root.SetArgs(args)
	root.SetOut(c.out)
	root.SetErr(c.err)
	started := false
	eachCommand(root, func(cmd *cobra.Command) {
		if run := cmd.RunE; run != nil {
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				started = true
				c.command = strings.TrimPrefix(cmd.CommandPath(), "archy ")
				if c.verbose && c.quiet {
					return usage("", "--verbose and --quiet contradict each other")
				}
				return run(cmd, args)
			}
		}
	})
	cmd, err := root.ExecuteContextC(context.WithValue(ctx, cliKey{}, c))
	e := &exitError{}
	if err != nil {
		e = c.outcome(ctx, cmd, err, started, args)
	}
	if out.lost == nil || e.Err != nil && !c.json { // told, maybe of that very write
		return e.Code
	}
	fmt.Fprintln(c.err, "error:", out.lost)
	return max(e.Code, exitFailed) // a result that nobody got is no success
}

// outcome classifies an error and reports it.
func (c *cli) outcome(ctx context.Context, cmd *cobra.Command, err error, started bool, args []string) *exitError {
	// What cobra itself finds wrong with the command line comes before any command runs.
	if !started {
		c.json = c.json || slices.Contains(args, "--json")
		err = asUsage(cmd, err)
	}
	e := classify(err)
	if e.Err != nil && e.Code == exitFailed && ctx.Err() != nil {
		e = classify(ctx.Err()) // whatever was under way when the signal came failed because of it
	}
	c.report(e)
	return e
}

func asUsage(cmd *cobra.Command, err error) error {
	var exit *exitError
	if errors.As(err, &exit) {
		return err
	}
	return usage(cmd.CommandPath()+" --help", "%w", err)
}

func eachCommand(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, sub := range cmd.Commands() {
		eachCommand(sub, f)
	}
}

// Groups of commands in the help.
const (
	groupDaily = "daily"
	groupNode  = "node"
	groupApps  = "apps"
	groupTool  = "tool"
)

func (c *cli) rootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:   "archy",
		Short: "run the apps of a Bitcoin node, and keep them right",
		Long: `archy runs the apps of a Bitcoin node: bitcoin, lnd, an index, a block explorer and
others, each a rootless container under systemd. What an app is stands in its
manifest; archy compares that with what runs, and repairs the difference. It is
safe to call at any time: with nothing to do it changes nothing and says so.`,
		Example: `  archy status                     what runs, and how it is
  archy reconcile --check-only     what a pass would do, and why
  archy reconcile                  do it
  archy apps list                  the apps that this node knows`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	onlyCommands(root)
	root.AddGroup(
		&cobra.Group{ID: groupDaily, Title: "Every day:"},
		&cobra.Group{ID: groupNode, Title: "The node:"},
		&cobra.Group{ID: groupApps, Title: "Apps and secrets:"},
		&cobra.Group{ID: groupTool, Title: "The program:"},
	)
	c.globalFlags(root)
	root.AddCommand(c.commands()...)
	root.SetHelpCommandGroupID(groupTool)
	root.SetCompletionCommandGroupID(groupTool)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	renameShort(root, "help", "explain a command")
	renameShort(root, "completion", "print the completion script of a shell")
	return root
}

// renameShort gives a command that cobra made our words.
func renameShort(root *cobra.Command, name, short string) {
	for _, cmd := range root.Commands() {
		if cmd.Name() == name {
			cmd.Short = short
		}
	}
}

// onlyCommands makes a command that only holds others explain itself, and name the nearest one of them when
// the name is wrong.
func onlyCommands(cmd *cobra.Command) {
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := cmd.CommandPath() + " --help"
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = cmd.CommandPath() + " " + strings.Join(near, ", or "+cmd.CommandPath()+" ")
		}
		return usage(hint, "%s has no command %q", cmd.CommandPath(), args[0])
	}
	cmd.SuggestionsMinimumDistance = 2
}

func (c *cli) globalFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&c.root, "root", "", "take all paths of the node below this `DIR`")
	f.StringVar(&c.config, "config", "", "configuration `FILE` (default /etc/archipelago/archy.yaml)")
	f.BoolVar(&c.json, "json", false, "print one JSON document, errors included")
	f.BoolVarP(&c.verbose, "verbose", "v", false, "say more")
	f.BoolVar(&c.quiet, "quiet", false, "say only what is wrong")
	f.BoolVar(&c.noColor, "no-color", false, "no colours, as with NO_COLOR set")
	f.BoolVar(&c.asServiceUser, "as-service-user", false, "as root: go on as the service user")
}
