package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// verbOptions are the flags that every verb has which changes something.
type verbOptions struct {
	reconcile.Request
	checkOnly bool
	waitLock  time.Duration
}

// verbCmd makes the command of a verb; the caller adds its own flags.
func verbCmd(o *verbOptions, use, short, long, example string) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, GroupID: groupDaily, Short: short, Long: long + "\n\n" + verbCodes, Example: example,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeApps,
		RunE:              func(cmd *cobra.Command, names []string) error { return o.run(cmd, names) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.checkOnly, "check-only", false, "print the plan and change nothing")
	f.BoolVar(&o.checkOnly, "dry-run", false, "the same as --check-only")
	f.DurationVar(&o.waitLock, "wait-lock", 30*time.Second, "how long to wait for another run")
	return cmd
}

// lockless lets a verb that only looks take the flag of all the others: a program that gives it to each verb need not know which of
// them hold a lock.
func lockless(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Duration("wait-lock", 0, "as for every verb; of no effect, since looking takes no lock")
	return cmd
}

const verbCodes = `Exit codes: 0 done, or there was nothing to do; 1 podman or the user bus cannot be asked;
2 a request that cannot be meant, nothing was done; 3 an app failed, the others were done;
5 another run is at work on an app; 6 a person must decide; 130 interrupted.`

// run looks at the node, turns the request into a pass over the apps that it concerns, and makes it.
func (o *verbOptions) run(cmd *cobra.Command, names []string) error {
	e, ids, err := namedApps(cmd, names)
	if err != nil {
		return err
	}
	o.Apps = ids
	if err := o.mayWrite(e); err != nil {
		return err
	}
	if err := e.requireSecrets(); err != nil {
		return err
	}
	if err := e.readFacts(); err != nil {
		return err
	}
	e.warnFindings()
	c, err := e.connect(cmd.Context())
	if err != nil {
		return o.writeStop(cmd.Context(), e, err)
	}
	defer c.close()
	result, err := o.pass(cmd, c)
	if err != nil {
		return err
	}
	if err := e.printVerb(result); err != nil {
		return err
	}
	return exitCode(result.ExitCode)
}

func (o *verbOptions) pass(cmd *cobra.Command, c *connected) (reconcile.Result, error) {
	look := c.pass(reconcile.Options{CheckOnly: true})
	w, err := look.Observer.Observe(cmd.Context())
	if err != nil {
		return reconcile.Result{}, o.writeStop(cmd.Context(), c.env, err)
	}
	options, warnings, err := o.Request.Options(w)
	if err != nil {
		return reconcile.Result{}, err
	}
	if len(options.Only) == 0 {
		return reconcile.Result{Schema: 1, Version: version, StartedAt: w.Now.UTC(), CheckOnly: o.checkOnly, Apps: []reconcile.AppResult{},
			Podman: reconcile.PodmanState{Reachable: true, Version: w.Podman, State: "ok"}, Unknown: []string{}, Orphans: []string{}, Warnings: warnings}, nil
	}
	options.CheckOnly = o.checkOnly
	pass := c.pass(options)
	pass.WaitLock = o.waitLock
	result, err := c.warnFirst(warnings, func() (reconcile.Result, error) { return pass.Run(cmd.Context()) })
	if err != nil {
		return result, o.lockedOut(err)
	}
	result.Warnings = append(result.Warnings, c.follow(cmd.Context(), result, true)...)
	return result, nil
}

// lockedOut tells what becomes of a verb that did not get the lock of an app: a stop and a start are written down before it is asked for.
func (o *verbOptions) lockedOut(err error) error {
	var locked state.ErrLocked
	if !errors.As(err, &locked) || !strings.HasPrefix(filepath.Base(locked.Path), "app-") {
		return err
	}
	switch o.Verb {
	case reconcile.VerbStop:
		return &exitError{exitLocked, "locked", err, "the stop is written down: whatever is at work there, the next pass stops the app"}
	case reconcile.VerbStart:
		return &exitError{exitLocked, "locked", err, "the start is written down: when that has ended, the next pass starts the app; archy stop takes it back"}
	}
	return err
}

// writeStop writes a stop down also when podman or the user manager cannot be asked: whatever becomes of them, the apps stay stopped then
// (incident 8). What needs the apps is not known. The error is why nothing more was done.
func (o *verbOptions) writeStop(ctx context.Context, e *env, why error) error {
	if o.Verb != reconcile.VerbStop || o.checkOnly || ctx.Err() != nil {
		return why
	}
	pass := reconcile.Pass{Locks: e.Locks, Intent: e.State, WaitLock: o.waitLock, Observer: reconcile.Observer{Set: e.Set}, Applier: reconcile.Applier{Records: e.State}}
	if err := pass.WriteIntent(ctx, reconcile.Options{Only: o.Apps, Stop: o.Apps}); err != nil {
		return errors.Join(why, err)
	}
	told := *classify(why)
	told.Hint = "the stop is written down, and the next pass stops the app; " + told.Hint
	return &told
}

// warnFirst says what the owner should know before run changes anything: a stop alone can take ten minutes, and who needs
// the app has suffered by then. The one document of --json holds the warnings.
func (c *cli) warnFirst(warnings []string, run func() (reconcile.Result, error)) (reconcile.Result, error) {
	if !c.json {
		for _, w := range warnings {
			fmt.Fprintln(c.err, "warning:", w)
		}
		warnings = nil
	}
	result, err := run()
	result.Warnings = append(warnings, result.Warnings...)
	return result, err
}

// printVerb is printResult with a line for every app, because each was asked for by name.
func (e *env) printVerb(r reconcile.Result) error {
	every := *e.cli
	every.verbose = true
	shown := *e
	shown.cli = &every
	return shown.printResult(r)
}

// mayWrite: a plan alone needs no disk that can be written to.
func (o *verbOptions) mayWrite(e *env) error {
	if o.checkOnly {
		return nil
	}
	return node.CheckVolume(e.Layout)
}

// namedApps opens the node for a look and finds the apps that a person named. What is no name of an app is told before the machine or
// podman is asked anything.
func namedApps(cmd *cobra.Command, names []string) (*env, []string, error) {
	e, err := lookAtNode(cmd)
	if err != nil {
		return nil, nil, err
	}
	e.loadManifests()
	if cmd.Name() == reconcile.VerbRemove {
		names = e.findOrphans(cmd.Context(), names)
	}
	ids, err := e.appIDs(names)
	return e, ids, err
}

// findOrphans makes known which of the names are apps of archy's that no manifest describes any more, and puts their ids in place of them.
func (e *env) findOrphans(ctx context.Context, names []string) []string {
	records, _ := e.State.ReadRecords()
	names = slices.Clone(names)
	for i, name := range names {
		if e.idOf(name) != "" {
			continue
		}
		id := reconcile.OrphanOf(e.Layout, records, nil, name)
		if id == "" { // its unit may be gone too; a podman that cannot be asked knows none
			list, _ := podman.New(e.Layout.Host(e.Layout.PodmanSocket())).List(ctx)
			id = reconcile.OrphanOf(e.Layout, records, list, name)
		}
		if id == "" {
			continue
		}
		names[i] = id
		if _, broken := e.Set.Broken[id]; !broken && e.Set.Apps[id] == nil {
			e.Set.Broken[id] = reconcile.Orphan(id)
		}
	}
	return names
}

// appIDs turns what a person typed into app ids, each once. A path is no app.
func (e *env) appIDs(names []string) ([]string, error) {
	ids, err := e.ids(names)
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
