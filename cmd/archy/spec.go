package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/spec"
)

func specCmd() *cobra.Command {
	var shell bool
	cmd := &cobra.Command{
		Use:     "spec NAME",
		Short:   "print what the container of an app is made of",
		GroupID: groupApps,
		Long: `spec prints the container that is wanted for an app on this node, for other programs:
its image, ports, volumes, environment, limits and health check. NAME is a container
or an app. Secrets are named and never printed.

With --shell each fact is an assignment SPEC_IMAGE='...' that sh and bash evaluate to
exactly that value; a list has one item per line.`,
		Example: `  archy spec lnd
  archy spec lnd --json
  eval "$(archy spec --shell lnd)" && echo "$SPEC_IMAGE"`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeApps,
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := openEnv(cmd)
			if err != nil {
				return err
			}
			if shell && e.json {
				return usage("", "--shell and --json contradict each other")
			}
			return e.printSpec(cmd.Context(), args[0], shell)
		},
	}
	cmd.Flags().BoolVar(&shell, "shell", false, "print assignments for a shell")
	return cmd
}

func (e *env) printSpec(ctx context.Context, name string, shell bool) error {
	c, err := e.specOf(ctx, name)
	if err != nil {
		return err
	}
	switch {
	case shell:
		_, err = e.out.Write(c.Shell())
	case e.json:
		err = json.NewEncoder(e.out).Encode(specDocument(c))
	default:
		for _, f := range c.Fields() {
			if text := f.Text(); text != "" {
				fmt.Fprintf(e.out, "%-20s %s\n", f.Name, strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", 21)))
			}
		}
	}
	return err
}

// specOf resolves the app of a container's or an app's name as a pass does.
func (e *env) specOf(ctx context.Context, name string) (*spec.Container, error) {
	e.loadManifests()
	id := e.idOf(name)
	if id == "" {
		return nil, usage(e.meant(name), "no app or container is called %q", name)
	}
	if err := e.broken(id); err != nil {
		return nil, err
	}
	var err error
	if e.Facts, err = node.ReadFacts(e.Layout, e.User); err != nil {
		return nil, err
	}
	app, err := e.resolve(ctx, id)
	if err != nil {
		return nil, err
	}
	return &app.Spec, nil
}

// specDocument holds every field; a list that is empty is [].
func specDocument(c *spec.Container) map[string]any {
	doc := map[string]any{"schema": 1}
	for _, f := range c.Fields() {
		if list, ok := f.Value.([]string); ok && list == nil {
			f.Value = []string{}
		}
		doc[f.Name] = f.Value
	}
	return doc
}
