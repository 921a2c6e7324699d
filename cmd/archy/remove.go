package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

func removeCmd() *cobra.Command {
	o := verbOptions{Request: reconcile.Request{Verb: reconcile.VerbRemove}}
	var confirmed []string
	cmd := verbCmd(&o, "remove APP...", "take apps away; their data and secrets stay",
		`remove takes an app's unit, container and podman secrets away, and remembers that it was
removed. It refuses while installed apps need it. Its data and secret files stay.

With --purge-data the app's directories move to the trash, state/trash in the data directory,
where archy prune deletes them after 7 days. Each name must be repeated with --confirm; on a
terminal it is asked for. Data elsewhere, of an adopted container or on a disk that is not
mounted, and volumes stay; they are named.`,
		`  archy remove grafana
  archy remove grafana --purge-data --confirm grafana`)
	f := cmd.Flags()
	f.BoolVar(&o.Cascade, "cascade", false, "remove the apps that need them too")
	f.BoolVar(&o.Purge, "purge-data", false, "move the data of the named apps to the trash")
	f.BoolVar(&o.Purge, "purge", false, "the same as --purge-data")
	_ = f.MarkHidden("purge")
	f.StringArrayVar(&confirmed, "confirm", nil, "the `APP` whose data are meant (repeatable)")
	_ = cmd.RegisterFlagCompletionFunc("confirm", func(_ *cobra.Command, names []string, _ string) ([]string, cobra.ShellCompDirective) {
		return names, cobra.ShellCompDirectiveNoFileComp
	})
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if o.Purge && !o.checkOnly {
			left := func(name string) []string { return dataLeft(cmd, name) }
			if err := confirmPurge(cmd.Context(), cliOf(cmd), names, confirmed, left); err != nil {
				return err
			}
		}
		return o.run(cmd, names)
	}
	return cmd
}

// dataLeft is where an app has data that will stay, as far as this can be told before podman is asked.
func dataLeft(cmd *cobra.Command, name string) []string {
	e, ids, err := namedApps(cmd, []string{name})
	if err != nil || e.Set.Apps[ids[0]] == nil {
		return nil // the command itself will tell
	}
	r, _, err := e.State.ReadRecord(ids[0])
	if err != nil {
		return nil
	}
	return reconcile.DataLeft(e.Layout, e.Set.Apps[ids[0]], r)
}

// confirmPurge wants the name of each app once more before its data move. left tells what of them will stay.
func confirmPurge(ctx context.Context, c *cli, names, confirmed []string, left func(name string) []string) error {
	for _, name := range confirmed {
		if !slices.Contains(names, name) {
			return usage("", "--confirm %s: that app is not to be removed", name)
		}
	}
	in := bufio.NewReader(os.Stdin)
	for _, name := range names {
		if slices.Contains(confirmed, name) {
			continue
		}
		if c.json || !term.IsTerminal(int(os.Stdin.Fd())) {
			return usage("archy remove "+name+" --purge-data --confirm "+name, "the data of %s are moved only with --confirm %s", name, name)
		}
		if err := askName(ctx, in, c.err, name, left(name)); err != nil {
			return err
		}
	}
	return nil
}

// askName asks a person to type the name of the app.
func askName(ctx context.Context, in *bufio.Reader, out io.Writer, name string, left []string) error {
	fmt.Fprintf(out, "The data of %s will be moved to the trash and deleted after 7 days.\n", name)
	if len(left) > 0 {
		fmt.Fprintf(out, "These stay: %s.\n", strings.Join(left, ", "))
	}
	fmt.Fprint(out, "Type its name to go on: ")
	line, err := typed(ctx, func() (string, error) { return in.ReadString('\n') })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && line == "" {
		return usage("", "nothing was typed; nothing was changed")
	}
	if strings.TrimSpace(line) != name {
		return usage("", "%q is not %s; nothing was changed", strings.TrimSpace(line), name)
	}
	return nil
}
