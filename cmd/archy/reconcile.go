package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

// reconcileOptions are the flags of reconcile.
type reconcileOptions struct {
	containers    []string
	force         bool
	createMissing bool
	checkOnly     bool
	dryRun        bool
	exitCode      bool
	noPull        bool
	wait          bool
	timeout       time.Duration
	metrics       string
	watch         bool
	interval      time.Duration
	waitLock      time.Duration
}

func reconcileCmd() *cobra.Command {
	var o reconcileOptions
	cmd := &cobra.Command{
		Use:     "reconcile",
		GroupID: groupNode,
		Short:   "compare what should run with what runs, and repair the difference",
		Long: `reconcile reads the manifests, the node and the containers, computes a plan, executes it
and says what it did, per app. A change that does not come up healthy is undone. With
nothing to do it changes nothing and exits 0.

Exit codes: 0 as desired, 1 nothing could be done, 2 usage or configuration, 3 some apps
failed, 4 drift (with --exit-code), 5 locked, 6 a person must decide, 130 interrupted.`,
		Example: `  archy reconcile --check-only
  archy reconcile --create-missing
  archy reconcile --force --container=lnd`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.containers, "container", nil, "act on this container or app only (repeatable)")
	f.BoolVar(&o.force, "force", false, "recreate even if nothing differs; applies new images, clears holds")
	f.BoolVar(&o.createMissing, "create-missing", false, "also create optional apps that are absent")
	f.BoolVar(&o.checkOnly, "check-only", false, "print the plan and change nothing")
	f.BoolVar(&o.dryRun, "dry-run", false, "the same as --check-only")
	f.BoolVar(&o.exitCode, "exit-code", false, "exit 4 when something differs")
	f.BoolVar(&o.noPull, "no-pull", false, "treat absent images as missing")
	f.BoolVar(&o.wait, "wait", false, "wait until every touched app is healthy (default with --container)")
	f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "how long --wait waits")
	f.StringVar(&o.metrics, "metrics", "", "write figures for Prometheus to this `FILE`, whose name ends with .prom (default from the configuration)")
	f.BoolVar(&o.watch, "watch", false, "go on: a pass when something has happened, and each interval in any case")
	f.DurationVar(&o.interval, "interval", 0, "pause between passes with --watch (default from the configuration, at least 5s)")
	f.DurationVar(&o.waitLock, "wait-lock", 30*time.Second, "how long to wait for another run")
	_ = cmd.RegisterFlagCompletionFunc("container", completeApps)
	return cmd
}

func (o *reconcileOptions) run(cmd *cobra.Command) error {
	if o.interval != 0 && o.interval < 5*time.Second {
		return usage("", "--interval %s is below 5s", o.interval)
	}
	if o.metrics != "" && filepath.Ext(o.metrics) != ".prom" {
		return usage("node_exporter reads no other", "--metrics %s does not end with .prom", o.metrics)
	}
	if o.watch && (o.checkOnly || o.dryRun) {
		return usage("archy status shows how it is", "--watch and --check-only contradict each other")
	}
	if o.watch {
		return o.loop(cmd)
	}
	_, err := o.once(cmd)
	return err
}

// begin opens the node, which is returned with an error too if it could be. A full pass takes its locks first of all, so that podman may be asked while the manifests are
// being read; what a pass over named apps has to lock is known only after that.
func (o *reconcileOptions) begin(cmd *cobra.Command) (e *env, done func(), err error) {
	open := openNode
	if o.checkOnly || o.dryRun {
		open = lookAtNode
	}
	if e, err = open(cmd); err != nil {
		return nil, nil, err
	}
	release := func() {}
	if len(o.containers) > 0 {
		return e, release, e.load()
	}
	if err := e.requireSecrets(); err != nil {
		return e, nil, err
	}
	if !o.checkOnly && !o.dryRun {
		if release, err = reconcile.HoldFull(cmd.Context(), e.Locks, o.waitLock); err != nil {
			return e, nil, err
		}
	}
	asked := e.askAhead(cmd.Context())
	e.asked = asked
	done = func() { asked.close(); release() } // a pass after a heal asks anew, and e.asked is gone by then
	if err := e.load(); err != nil {
		done()
		return e, nil, err
	}
	return e, done, nil
}

// once makes one pass, and its figures. The result is nil when nothing could be looked at.
func (o *reconcileOptions) once(cmd *cobra.Command) (*reconcile.Result, error) {
	began := time.Now()
	e, result, err := o.pass(cmd)
	brokenOff := result == nil && cmd.Context().Err() != nil // the figures of the last pass are nearer to how it is
	if e != nil && len(o.containers) == 0 && !o.checkOnly && !o.dryRun && !brokenOff {
		e.writeMetrics(o.metrics, began, result, err)
	}
	if err != nil || result == nil {
		return nil, err
	}
	return result, exitCode(result.ExitCode)
}

// pass makes one pass and prints it.
func (o *reconcileOptions) pass(cmd *cobra.Command) (*env, *reconcile.Result, error) {
	e, done, err := o.begin(cmd)
	if err != nil {
		return e, nil, err
	}
	defer done()
	only, err := e.ids(o.containers)
	if err != nil {
		return e, nil, err
	}
	if err := e.requireSecrets(); err != nil {
		return e, nil, err
	}
	e.warnFindings()
	result, err := e.healing(cmd.Context(), len(only) == 0 && !o.checkOnly && !o.dryRun, func() (reconcile.Result, error) {
		c, err := e.connect(cmd.Context())
		if err != nil {
			return reconcile.Result{}, err
		}
		defer c.close()
		result, err := o.asked(cmd, c, only).Run(cmd.Context())
		if free, known := c.dataFree(); err == nil && len(only) == 0 && !result.CheckOnly && (c.Facts.FewInodes || known && free < node.SpaceAdvised) {
			result.Warnings = append(result.Warnings, c.spareImages(cmd.Context())...)
		}
		if err == nil {
			result.Warnings = append(result.Warnings, c.follow(cmd.Context(), result, len(only) > 0)...)
		}
		return result, err
	})
	if err != nil {
		return e, nil, err
	}
	if !result.CheckOnly {
		e.keepLast(result)
	}
	return e, &result, e.printResult(result)
}

// asked is the pass that the flags ask for.
func (o *reconcileOptions) asked(cmd *cobra.Command, c *connected, only []string) *reconcile.Pass {
	pass := c.pass(reconcile.Options{Only: only, Force: o.force, CreateMissing: o.createMissing, CheckOnly: o.checkOnly || o.dryRun,
		NoPull: o.noPull, Wait: o.wait || (len(only) > 0 && !cmd.Flags().Changed("wait")), Timeout: o.timeout})
	pass.WaitLock, pass.ExitCode, pass.Held = o.waitLock, o.exitCode, len(only) == 0
	return pass
}

// keepLast keeps the result for whoever asks later. It is written at each pass and is no loss, so it is not synced.
func (e *env) keepLast(result reconcile.Result) {
	if err := e.State.WriteLastUnsynced("reconcile", result); err != nil {
		fmt.Fprintln(e.err, "warning:", err)
	}
}

// lastPass is the result that was kept last, empty if none can be read: it only tells more.
func (e *env) lastPass() (last reconcile.Result) {
	if _, err := e.State.ReadLast("reconcile", &last); err != nil {
		return reconcile.Result{}
	}
	return last
}

// printResult prints a pass: the table to stdout, what went wrong to stderr; or the one document.
func (e *env) printResult(r reconcile.Result) error {
	if e.json {
		enc := json.NewEncoder(e.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(r)
	}
	r.Apps = byTier(r.Apps)
	for _, w := range r.Warnings {
		fmt.Fprintln(e.err, "warning:", w)
	}
	if r.CheckOnly && len(r.Plan) > 0 {
		for _, line := range r.Plan {
			fmt.Fprintln(e.out, line)
		}
		fmt.Fprintln(e.out)
	}
	var rows [][]string
	for _, a := range r.Apps {
		if e.verbose || !a.Quiet() {
			rows = append(rows, []string{a.App, fmt.Sprint(a.Tier), ownerWord(a.Owner), a.State, string(a.Action), detail(a, time.Now())})
		}
	}
	if len(rows) > 0 {
		if err := e.table([]string{"APP", "TIER", "OWNER", "STATE", "ACTION", "DETAIL"}, rows); err != nil {
			return err
		}
	}
	fmt.Fprintln(e.out, r.Line())
	e.explain(r)
	e.explainPodman(r.Podman)
	return nil
}

// byTier are the apps in the order of a table: by tier, then id. A result has them in the order of starts.
func byTier(apps []reconcile.AppResult) []reconcile.AppResult {
	return slices.SortedFunc(slices.Values(apps), func(a, b reconcile.AppResult) int {
		return cmp.Or(cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.App, b.App))
	})
}

// explain says for each app that failed why, with its last words and what to do.
func (e *env) explain(r reconcile.Result) {
	for _, a := range r.Apps {
		if a.Error == nil || a.Repeated && !e.verbose {
			continue
		}
		fmt.Fprintf(e.err, "\nerror: %s: %s\n", a.App, a.Error.Message)
		for _, line := range a.Error.LogTail {
			fmt.Fprintln(e.err, "  | "+line)
		}
		if a.Error.Hint != "" {
			fmt.Fprintln(e.err, "hint:", a.Error.Hint)
		}
	}
}

// detail is what there is to say of an app in one line.
func detail(a reconcile.AppResult, now time.Time) string {
	return strings.Join(slices.DeleteFunc([]string{a.Summary(), lastWord(a, now)}, func(text string) bool { return text == "" }), ", ")
}

// lastWord is how far an app that does not answer was when it last did.
func lastWord(a reconcile.AppResult, now time.Time) string {
	if a.Said == nil {
		return ""
	}
	return "said " + age(a.Said.At, now) + " ago: " + a.Said.Stage
}

func ownerWord(owner string) string { return owner }
