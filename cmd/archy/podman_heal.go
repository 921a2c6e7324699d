package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// healOptions are the flags of podman heal.
type healOptions struct {
	full, stopApps, dryRun bool
	limit, waitLock        time.Duration
}

func podmanHealCmd() *cobra.Command {
	var o healOptions
	cmd := &cobra.Command{
		Use: "heal", Short: "repair podman, the least invasive way first",
		Long: `heal climbs a ladder of repairs and looks again after each: wait, start the user manager,
restart the socket, put the pause file aside, restart what podman has lost one app at a
time, put the database aside, free a name, put the runtime directories aside, number the
locks anew. Nothing is deleted, only renamed, and nothing is put aside while containers
live that podman would lose for good. One climb an hour and boot.

Exit codes: 0 podman is well, 5 another run is at work, 6 a person must decide,
130 interrupted.`,
		Example: `  archy podman heal --dry-run
  archy podman heal --full --stop-apps`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.full, "full", false, "alone on the node, and whatever was climbed within the last hour by itself")
	f.BoolVar(&o.stopApps, "stop-apps", false, "with --full: stop everything that lives first, each with its grace")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be done first, and change nothing")
	f.DurationVar(&o.limit, "limit", time.Minute, "how long podman may take to answer")
	f.DurationVar(&o.waitLock, "wait-lock", 30*time.Second, "how long to wait for another run")
	return cmd
}

func (o *healOptions) mode() heal.Mode {
	switch {
	case o.stopApps:
		return heal.StopApps
	case o.full:
		return heal.Full
	}
	return heal.Safe
}

func (o *healOptions) run(cmd *cobra.Command) error {
	if o.stopApps && !o.full {
		return usage("archy podman heal --full --stop-apps", "--stop-apps goes with --full")
	}
	e, h, done, err := openHealer(cmd, o.limit)
	if err != nil {
		return err
	}
	defer done()
	if o.dryRun {
		d := h.Check(cmd.Context())
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		r := h.Plan(o.mode(), d)
		return e.printReport(r, r.ExitCode())
	}
	if err := node.CheckVolume(e.Layout); err != nil {
		return err
	}
	release, err := e.holdForHeal(cmd.Context(), o.mode(), o.waitLock)
	if err != nil {
		return err
	}
	defer release()
	r := e.climb(cmd.Context(), h, o.mode())
	code := r.ExitCode()
	if code != exitOK && cmd.Context().Err() != nil {
		code = exitInterrupted
	}
	return e.printReport(r, code)
}

// holdForHeal takes the locks of a full pass; a full heal is alone on the node.
func (e *env) holdForHeal(ctx context.Context, mode heal.Mode, wait time.Duration) (release func(), err error) {
	if mode == heal.Safe {
		return reconcile.HoldFull(ctx, e.Locks, wait)
	}
	alone, err := e.Locks.NodeExclusive(ctx, wait)
	if err != nil {
		return nil, err
	}
	var full *state.Lock
	if full, err = e.Locks.Reconcile(ctx, wait); err != nil {
		alone.Release()
		return nil, err
	}
	return func() { full.Release(); alone.Release() }, nil
}

// climb heals, moves apps over with a pass, and starts again what was stopped for it.
func (e *env) climb(ctx context.Context, h *heal.Healer, mode heal.Mode) heal.Report {
	h.MoveOver = func(ctx context.Context) error { return e.passAfterHeal(ctx) }
	r := h.Climb(ctx, mode)
	if len(r.Stopped) > 0 {
		if err := e.passAfterHeal(context.WithoutCancel(ctx)); err != nil {
			fmt.Fprintln(e.err, "warning: starting the apps again:", err)
		}
	}
	return r
}

// passAfterHeal is a full pass that neither looks at podman's health nor takes locks: its caller has both.
func (e *env) passAfterHeal(ctx context.Context) error {
	e.asked = nil
	c, err := e.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	pass := c.pass(reconcile.Options{})
	pass.Held = true
	result, err := pass.Run(ctx)
	if err != nil {
		return err
	}
	e.keepLast(result)
	e.explain(result)
	if result.ExitCode != reconcile.ExitOK {
		return fmt.Errorf("not every app is as it should be: %s", result.Line())
	}
	return nil
}

func (e *env) printReport(r heal.Report, code int) error {
	if e.json {
		doc := struct {
			Schema int `json:"schema"`
			heal.Report
			ExitCode int `json:"exit_code"`
		}{1, r, code}
		if err := e.encode(doc); err != nil {
			return err
		}
		return exitCode(code)
	}
	if e.quiet && r.ExitCode() == heal.ExitOK {
		return nil
	}
	fmt.Fprintf(e.out, "podman was %s", r.State)
	if r.Evidence != "" {
		fmt.Fprintf(e.out, ": %s [%s]", r.Evidence, r.Source)
	}
	fmt.Fprintln(e.out)
	for _, s := range r.Rungs {
		fmt.Fprintln(e.out, "  "+rungLine(s, r.DryRun))
	}
	for _, f := range r.Renamed {
		fmt.Fprintf(e.out, "  renamed %s to %s\n", f.From, f.To)
	}
	if len(r.Stopped) > 0 {
		fmt.Fprintf(e.out, "  stopped: %s\n", names(r.Stopped))
	}
	fmt.Fprintf(e.out, "%s: podman is %s\n", r.Result, r.After)
	if r.Human != nil && r.Human.Seen != r.Evidence {
		fmt.Fprintf(e.out, "  seen: %s\n", r.Human.Seen)
	}
	e.explainHuman(r.Human)
	return exitCode(code)
}

func rungLine(s heal.Rung, planned bool) string {
	line := fmt.Sprintf("rung %d: %s", s.N, s.Does)
	switch {
	case s.Reason != "":
		return line + ": refused, " + s.Reason
	case s.Error != "":
		return line + ": failed, " + s.Error
	case planned:
		return line + ": would be done"
	}
	return line + ": done"
}
