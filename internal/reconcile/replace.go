package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// replace restarts an app with its new unit and verifies it. A change that does not come up healthy is undone, and the
// undo is verified too. docs/reconcile.md has the steps and what a run that was killed in each of them leaves.
func (r *run) replace(ctx context.Context, c *change, op Operation) error {
	if c.record.Op == nil { // the unit on disk is the wanted one already: there is nothing to go back to
		return r.start(ctx, c, op)
	}
	if c.record.Op.Rollback { // it failed before, and the owner wants it tried again, or something else
		c.record.Op.Rollback, c.record.Op.Reason, c.record.Op.NewHash, c.record.FailedHash = false, "", c.Hash, ""
		if c.record.Op.NewImage = ""; c.Upgrading {
			c.record.Op.NewImage = c.Spec.Image
		}
	}
	if err := r.step(c, 7); err != nil {
		return err
	}
	if err := r.bringUp(ctx, c, true); err != nil {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !systemd.Blames(err):
			return err // the change is not to blame: the next run goes on with it
		}
		return r.undo(ctx, c, err)
	}
	if err := r.step(c, 8); err != nil {
		return err
	}
	out := r.gate(ctx, c, *op.Gate, r.window(c, op))
	switch {
	case out.dead != nil:
		return r.undo(ctx, c, out.dead)
	case out.err != nil:
		return out.err
	case !out.good(c):
		return r.undo(ctx, c, fmt.Errorf("not healthy within %s", op.Gate.Limit))
	case !out.reached:
		c.result.Class, c.result.Cause = ClassWaiting, cause(c.result.Cause, "still starting after "+op.Gate.Limit.String())
	}
	return r.succeeded(ctx, c)
}

// step notes how far a change has come, so that a run killed from here on is continued by the next.
func (r *run) step(c *change, n int) error {
	c.record.Op.Step, c.record.Op.StepAt = n, r.Now().UTC()
	return r.Records.WriteRecord(c.record)
}

// undo explains the failure while the failed container's words are still there, and goes back.
func (r *run) undo(ctx context.Context, c *change, why error) error {
	diagnosis := r.diagnose(ctx, c, why)
	if c.result.Error = diagnosis; c.diedOfPassword() {
		return r.passwordRefused(c) // the older unit would start lnd with the same password
	}
	c.record.Op.Rollback, c.record.Op.Reason = true, why.Error()
	c.record.FailedHash = c.record.Op.NewHash
	if err := r.Records.WriteRecord(c.record); err != nil {
		return err
	}
	return r.rollBack(ctx, c, why.Error())
}

// rollBack puts the previous unit back and proves that the app serves again.
func (r *run) rollBack(ctx context.Context, c *change, why string) error {
	if c.record.Op != nil && c.record.Op.Kind == state.OpMigrate {
		return r.undoMigration(ctx, c, errors.New(why))
	}
	if c.record.FailedHash == "" && c.record.Op != nil {
		c.record.FailedHash = c.record.Op.NewHash
	}
	previous, found, err := r.Records.PrevUnit(c.Container)
	if err == nil && !found {
		err = errors.New("the previous unit was not kept")
	}
	if err == nil {
		err = r.restore(ctx, c, previous)
	}
	if errors.Is(err, errStop) {
		return err // goes on when the owner starts it
	}
	if err != nil {
		return r.stuck(c, why, err)
	}
	c.record.Op = nil
	c.record.SpecHash = labelIn(previous, "io.archipelago.spec-hash")
	if err := r.Records.WriteRecord(c.record); err != nil {
		return err
	}
	if err := r.Records.DropPrevUnit(c.Container); err != nil {
		return err
	}
	c.result.Action, c.result.Class = RolledBack, ClassFailed
	c.result.Cause = "rolled back: " + why
	if c.result.Error == nil {
		c.result.Error = &AppError{Code: "rolled-back", Message: why}
	}
	c.result.Error.Hint = "the previous version serves again; correct the manifest, or try again: archy reconcile --force --container=" + c.Container
	return fmt.Errorf("rolled back: %s", why)
}

func (r *run) restore(ctx context.Context, c *change, unit []byte) error {
	if err := r.fits(ctx, c, unitValue(unit, "Image")); err != nil {
		return err
	}
	c.record.UnitDigests = rememberDigest(c.record.UnitDigests, digest(unit))
	if err := r.Records.WriteRecord(c.record); err != nil {
		return err
	}
	if err := r.layUnit(c, unit); err != nil {
		return err
	}
	if err := r.daemonReload(ctx); err != nil {
		return err
	}
	if !c.isBackAlready(unit) {
		if err := r.bringUp(ctx, c, true); err != nil {
			return err
		}
	}
	out := r.gate(ctx, c, Gate{Condition: manifest.Healthy, Limit: gateLimit(c.App)}, r.timing.Alive)
	if out.dead != nil {
		return out.dead
	}
	if out.err == nil && !out.good(c) {
		return errors.New("the previous version does not become healthy either")
	}
	return out.err
}

// fits: what the newer version has converted, the older one is not let at.
func (r *run) fits(ctx context.Context, c *change, image string) error {
	if why := r.Disk.Guard(ctx, c.App, image); why != "" {
		return fmt.Errorf("the older version is not started on the data: %s", why)
	}
	return nil
}

// isBackAlready tells that an earlier pass has brought the previous version back and it lives: of tiers 0 to 2 it is not restarted for
// its health alone.
func (c *change) isBackAlready(unit []byte) bool {
	return slices.Contains(c.plan.Steps, stepRollBack) && c.Tier < 3 && !c.urged() && c.Running() && c.C.Labels[spec.LabelSpecHash] == labelIn(unit, spec.LabelSpecHash)
}

// stuck reports a roll-back that failed: both errors, and the exact commands that are left to run.
func (r *run) stuck(c *change, why string, err error) error {
	if r.Options.Migrate {
		r.stuckAt = c.ID
	}
	c.result.Action, c.result.Class = NeedsHuman, ClassNeedsHuman
	c.result.Cause = fmt.Sprintf("%s; going back failed too: %v", why, err)
	now := *c.App
	now.Record = &c.record
	c.result.Error = &AppError{Code: "rollback-failed", Message: c.result.Cause, Hint: rollbackHint(&now)}
	c.history.Count(r.Now(), state.EventDied)
	c.plan.Counted = false
	return errors.New(c.result.Cause)
}

// hooks run once for every container that was created, a minute each; what fails is told and ends nothing.
func (r *run) hooks(ctx context.Context, c *change) error {
	if c.Manifest == nil {
		return nil
	}
	list := append(slices.Clone(c.Manifest.Hooks.PostInstall), c.Manifest.Hooks.PostStart...)
	if len(list) == 0 {
		return nil
	}
	got, err := r.Engine.Inspect(ctx, c.Container)
	if err != nil {
		return fmt.Errorf("hooks of %s: %w", c.ID, err)
	}
	if got.ID == c.record.Hooks.ContainerID {
		return nil
	}
	r.report(Event{Op: Operation{Kind: RunHooks, App: c.ID, Object: c.Container}, Moment: MomentHooks})
	for i, h := range list {
		if err := r.hook(ctx, c, h); err != nil {
			c.result.Detail = cause(c.result.Detail, fmt.Sprintf("hook %d: %v", i+1, err))
		}
	}
	c.record.Hooks = state.Hooks{ContainerID: got.ID, RanAt: r.Now().UTC()}
	return r.Records.WriteRecord(c.record)
}

func (r *run) hook(ctx context.Context, c *change, h manifest.Hook) error {
	if h.CopyFromHost != nil {
		return r.Disk.CopyInto(ctx, c.App, h.CopyFromHost.Src, h.CopyFromHost.Dest)
	}
	out, code, err := r.Engine.Exec(ctx, c.Container, h.Exec)
	if err == nil && code != 0 {
		lines := mask(c.App, []string{out})
		err = fmt.Errorf("%s: exit code %d: %s", h.Exec[0], code, lines[0])
	}
	return err
}

// rememberPeers stores the addresses that the app's peers have now. Not knowing them is no failure: the next pass asks.
func (r *run) rememberPeers(ctx context.Context, c *change) {
	if c.Manifest == nil {
		return
	}
	for _, id := range c.Peers {
		d := r.w.app(id)
		if d == nil {
			continue
		}
		got, err := r.inspectNow(ctx, d)
		if err != nil {
			continue
		}
		if c.record.Peers == nil {
			c.record.Peers = map[string]string{}
		}
		if c.record.PeerStarts == nil {
			c.record.PeerStarts = map[string]string{}
		}
		c.record.Peers[id], c.record.PeerStarts[id] = address(got), startOf(got.ID, got.State.StartedAt)
	}
}

// address is the container's first address, in the order of its networks' names.
func address(in podman.Inspect) string {
	names := make([]string, 0, len(in.Networks))
	for name := range in.Networks {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if ip := in.Networks[name].IP; ip != "" {
			return ip
		}
	}
	return ""
}
