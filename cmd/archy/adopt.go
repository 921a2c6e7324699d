package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

func adoptCmd() *cobra.Command {
	var o reconcile.Options
	var migrate bool
	var waitLock time.Duration
	cmd := &cobra.Command{
		Use:     "adopt [NAME...]",
		GroupID: groupNode,
		Short:   "claim containers that something else made, and move them to units",
		Long: `adopt claims running containers by their names and lists how they differ. Nothing is
restarted, recreated or relabelled: an install record is all that is written.

With --migrate they move to units, one at a time in the order of their tiers: stopped with
their full grace, renamed, started from the unit over the same data, verified. If the
new one does not come up, the old one runs again.`,
		Example: `  archy adopt
  archy adopt --migrate lnd`,
		ValidArgsFunction: completeApps,
		RunE: func(cmd *cobra.Command, names []string) error {
			o.Migrate, o.AdoptOnly = migrate, !migrate
			return runAdopt(cmd, o, names, waitLock)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&migrate, "migrate", false, "move adopted containers to units")
	f.BoolVar(&o.KeepGoing, "keep-going", false, "go on after a container that could not be moved nor brought back")
	f.StringArrayVar(&o.DropMounts, "drop-mount", nil, "give up the mount at this `TARGET` (repeatable)")
	f.BoolVar(&o.TakeContainerSecret, "take-container-secret", false, "where a secret differs take the container's value; the file is kept as .bak")
	f.BoolVar(&o.CheckOnly, "check-only", false, "print the plan and change nothing")
	f.BoolVar(&o.CheckOnly, "dry-run", false, "the same as --check-only")
	f.DurationVar(&waitLock, "wait-lock", 30*time.Second, "how long to wait for another run")
	return cmd
}

func runAdopt(cmd *cobra.Command, o reconcile.Options, names []string, waitLock time.Duration) error {
	e, err := loadFor(cmd, o.CheckOnly)
	if err != nil {
		return err
	}
	if o.Only, err = e.ids(names); err != nil {
		return err
	}
	if err := e.requireSecrets(); err != nil {
		return err
	}
	e.warnFindings()
	c, err := e.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer c.close()
	pass := c.pass(o)
	pass.WaitLock = waitLock
	result, err := pass.Run(cmd.Context())
	if err != nil {
		return err
	}
	if err := e.printAdopted(result); err != nil {
		return err
	}
	return exitCode(result.ExitCode)
}

// printAdopted lists what was claimed or moved, with every difference.
func (e *env) printAdopted(r reconcile.Result) error {
	if e.json || r.CheckOnly {
		return e.printResult(r)
	}
	for _, w := range r.Warnings {
		fmt.Fprintln(e.err, "warning:", w)
	}
	r.Apps = byTier(r.Apps)
	var rows [][]string
	notes := map[int][]string{}
	for i, a := range r.Apps {
		rows = append(rows, []string{a.App, a.Container, a.State, string(a.Action)})
		notes[i] = []string{a.Summary()}
		if words := a.DriftWords(); words != "" && a.Owner == state.Legacy {
			notes[i] = append(notes[i], "drift: "+words)
		}
	}
	if len(rows) > 0 {
		if err := e.notedTable([]string{"APP", "CONTAINER", "STATE", "ACTION"}, rows, 2, notes); err != nil {
			return err
		}
	}
	for _, name := range r.Unknown {
		fmt.Fprintf(e.out, "not ours: %s\n", name)
	}
	fmt.Fprintln(e.out, r.Line())
	e.explain(r)
	return nil
}
