package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

func pruneCmd() *cobra.Command {
	var checkOnly bool
	var waitLock time.Duration
	cmd := &cobra.Command{
		Use: "prune", GroupID: groupDaily, Short: "remove what nobody needs any more",
		Long: `prune removes what archy itself has left behind: containers that a migration set aside, units
and podman secrets of removed apps, networks without an app, images that archy pulled and
that nothing needs, and what has lain in the trash or in quarantine for 7 days. It never
touches a volume, the data of an app, a secret file, or anything that does not bear
archy's mark.

Exit codes: 0 done, 3 something could not be removed, 5 another run is at work.`,
		Example: `  archy prune --check-only`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runPrune(cmd, checkOnly, waitLock) },
	}
	f := cmd.Flags()
	f.BoolVar(&checkOnly, "check-only", false, "list what would be removed and change nothing")
	f.BoolVar(&checkOnly, "dry-run", false, "the same as --check-only")
	f.DurationVar(&waitLock, "wait-lock", 30*time.Second, "how long to wait for another run")
	return cmd
}

func runPrune(cmd *cobra.Command, checkOnly bool, waitLock time.Duration) error {
	e, err := loadFor(cmd, checkOnly)
	if err != nil {
		return err
	}
	if err := e.requireSecrets(); err != nil {
		return err
	}
	c, err := e.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer c.close()
	list, err := c.pruner(waitLock).Run(cmd.Context(), checkOnly)
	if err != nil {
		return err
	}
	return e.printPruned(list, checkOnly)
}

func (c *connected) pruner(waitLock time.Duration) reconcile.Pruner {
	pass := c.pass(reconcile.Options{CheckOnly: true})
	return reconcile.Pruner{Observer: pass.Observer, Engine: c.Engine, Units: c.Systemd, State: c.State, Layout: c.Layout,
		Locks: c.Locks, WaitLock: waitLock, DeleteTree: c.cliOfPodman().DeleteTree}
}

// spareImages makes room on a data disk that gets short, after a pass that holds its locks. What it did is told as warnings.
func (c *connected) spareImages(ctx context.Context) []string {
	p := c.pruner(0)
	p.Held = true
	list, err := p.Images(ctx)
	told := []string{}
	if err != nil {
		told = append(told, "looking for images that nothing needs: "+err.Error())
	}
	for _, i := range list {
		text := fmt.Sprintf("removed the image %s: %s", i.Object, i.Cause)
		switch {
		case i.Kind == reconcile.KeepAside && i.Error == "":
			text = fmt.Sprintf("%s is kept aside: %s", i.Object, i.Cause)
		case i.Kind == reconcile.KeepAside:
			text = fmt.Sprintf("%s: %s", i.Object, i.Error)
		case i.Error != "":
			text = fmt.Sprintf("the image %s is still there: %s", i.Object, i.Error)
		}
		told = append(told, text)
	}
	return told
}

func (e *env) printPruned(list []reconcile.Pruned, checkOnly bool) error {
	code := exitOK
	rows := [][]string{}
	for _, p := range list {
		says := p.Cause
		if p.Error != "" {
			code, says = exitPartial, "still there: "+p.Error
		}
		rows = append(rows, []string{string(p.Kind), p.Object, says})
	}
	if e.json {
		doc := struct {
			Schema    int                `json:"schema"`
			CheckOnly bool               `json:"check_only"`
			Pruned    []reconcile.Pruned `json:"pruned"`
			ExitCode  int                `json:"exit_code"`
		}{1, checkOnly, list, code}
		if err := json.NewEncoder(e.out).Encode(doc); err != nil {
			return err
		}
		return exitCode(code)
	}
	if len(rows) == 0 {
		fmt.Fprintln(e.out, "nothing to remove")
		return nil
	}
	if err := e.table([]string{"WHAT", "OBJECT", "WHY"}, rows); err != nil {
		return err
	}
	return exitCode(code)
}
