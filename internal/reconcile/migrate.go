package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// oldSuffix is between a container's name and the time at which a migration set it aside.
const oldSuffix = "-archy-old-"

// migrate moves an adopted container to a unit. The old container is renamed, never removed: as long as the new one has
// not proved itself there is a way back. Every step looks whether it is done already, so that a run that was killed
// anywhere is continued.
func (r *run) migrate(ctx context.Context, c *change, op Operation) error {
	if err := r.beginMigration(ctx, c); err != nil {
		return err
	}
	for _, s := range []struct {
		n  int
		do func(context.Context, *change) error
	}{
		{4, r.stopOld}, {5, r.setAside}, {6, r.putUnit}, {7, r.startNew},
	} {
		if err := r.step(c, s.n); err != nil {
			return err
		}
		if err := s.do(ctx, c); err != nil {
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.Is(err, errStop):
				return err
			}
			return r.abortMigration(ctx, c, err)
		}
	}
	if err := r.step(c, 8); err != nil {
		return err
	}
	out := r.gate(ctx, c, *op.Gate, r.window(c, op))
	switch {
	case out.dead != nil:
		return r.abortMigration(ctx, c, out.dead)
	case out.err != nil:
		return out.err
	case !out.good(c):
		return r.abortMigration(ctx, c, fmt.Errorf("not healthy within %s", op.Gate.Limit))
	}
	return r.migrated(ctx, c)
}

// beginMigration keeps what is needed to go back, before the old container is touched.
func (r *run) beginMigration(ctx context.Context, c *change) error {
	if c.record.Op != nil {
		return nil
	}
	if c.C == nil {
		return fmt.Errorf("container %s has vanished", c.Container)
	}
	if err := r.Disk.TryUnit(ctx, c.Container, c.UnitText); err != nil {
		return err
	}
	got, err := r.Engine.Inspect(ctx, c.liveName())
	if err != nil {
		return err
	}
	kept, err := json.MarshalIndent(got, "", "  ") // the environment is printed by name only
	if err != nil {
		return err
	}
	if err := r.Records.SaveLegacy(c.Container, append(kept, '\n')); err != nil {
		return err
	}
	c.record.Pinned, c.record.Disks = c.Pins, c.Disks
	c.record.Op = &state.Op{Kind: state.OpMigrate, Step: 3, OldContainerID: got.ID, NewHash: c.Hash,
		FirstName: got.Name,
		OldName:   c.Container + oldSuffix + r.Now().UTC().Format("20060102T150405Z"),
		StartedAt: r.Now().UTC(), StepAt: r.Now().UTC()}
	c.record.Op.Policy = got.RestartPolicy
	if c.Spec.Build == nil {
		c.record.Op.NewImage = c.Spec.Image
	}
	return r.Records.WriteRecord(c.record)
}

// stopOld stops the old container with its full grace, and keeps it from coming back by itself.
func (r *run) stopOld(ctx context.Context, c *change) error {
	old, err := r.old(ctx, c)
	if err != nil || old.Name != c.record.Op.FirstName {
		return err // set aside already
	}
	c.changed = true
	if err := r.Engine.SetRestartPolicy(ctx, old.Name, "no"); err != nil {
		return err
	}
	if !old.State.Running && !old.State.Paused {
		return nil
	}
	if old.State.Paused {
		if err := r.Engine.Unpause(ctx, old.Name); err != nil {
			return err
		}
	}
	return r.Engine.Stop(ctx, old.Name, time.Duration(c.Spec.StopGrace)*time.Second)
}

// old finds the old container under either of its names.
func (r *run) old(ctx context.Context, c *change) (podman.Inspect, error) {
	id := c.record.Op.OldContainerID
	for _, name := range []string{c.record.Op.OldName, c.record.Op.FirstName} {
		got, err := r.Engine.Inspect(ctx, name)
		if err == nil && got.ID == id {
			return got, nil
		}
		if err != nil && !errors.Is(err, podman.ErrNotFound) {
			return podman.Inspect{}, err
		}
	}
	return podman.Inspect{}, fmt.Errorf("the old container %.12s of %s is gone: %w", id, c.ID, podman.ErrNotFound)
}

func (r *run) setAside(ctx context.Context, c *change) error {
	old, err := r.old(ctx, c)
	if err != nil || old.Name == c.record.Op.OldName {
		return err
	}
	return r.Engine.Rename(ctx, old.Name, c.record.Op.OldName)
}

func (r *run) putUnit(ctx context.Context, c *change) error {
	c.record.UnitDigests = rememberDigest(c.record.UnitDigests, digest(c.UnitText))
	if err := r.layUnit(c, c.UnitText); err != nil {
		return err
	}
	if err := r.daemonReload(ctx); err != nil {
		return err
	}
	units, err := r.Units.Units(ctx, []string{c.Container + ".service"})
	if err == nil && units[c.Container+".service"].LoadState != "loaded" {
		err = fmt.Errorf("%s.service was not loaded from its unit", c.Container)
	}
	return err
}

func (r *run) startNew(ctx context.Context, c *change) error { return r.bringUp(ctx, c, false) }

func (r *run) migrated(ctx context.Context, c *change) error {
	c.record.OldContainers = append(c.record.OldContainers, state.OldContainer{
		ID: c.record.Op.OldContainerID, Name: c.record.Op.OldName, RenamedAt: r.Now().UTC()})
	c.record.Pinned.Held, c.record.Pinned.Name = nil, ""
	c.result.Action, c.result.Class = Migrated, ClassOK
	c.result.Cause = "the old container is kept for 24 h as " + c.record.Op.OldName
	c.result.Error = nil
	return r.succeeded(ctx, c)
}

// abortMigration explains the failure and brings the old container back.
func (r *run) abortMigration(ctx context.Context, c *change, why error) error {
	c.result.Error = r.diagnose(ctx, c, why)
	c.record.Op.Rollback, c.record.Op.Reason = true, why.Error()
	c.record.FailedHash = c.record.Op.NewHash
	if err := r.Records.WriteRecord(c.record); err != nil {
		return err
	}
	return r.undoMigration(ctx, c, why)
}

// turnBack: what was to come before an interrupted migration failed, and the old container may be stopped. It is started again.
func (r *run) turnBack(ctx context.Context, c *change, op Operation, why error) error {
	if op.Kind == Migrate || op.Kind == RollBack || !c.canTurnBack() || errors.Is(why, errStop) || errors.Is(why, context.Canceled) {
		return why
	}
	return r.abortMigration(ctx, c, why)
}

func (r *run) undoMigration(ctx context.Context, c *change, why error) error {
	for _, undo := range []func(context.Context, *change) error{r.oldFits, r.stopNew, r.dropUnit, r.nameBack, r.startOld} {
		if err := undo(ctx, c); err != nil {
			return r.stuck(c, why.Error(), err)
		}
	}
	c.changed = true
	c.record.Op, c.record.Owner, c.record.PendingRestart = nil, state.Legacy, ""
	p := c.record.Pinned
	c.record.Pinned = state.Pinned{Name: p.Name, Volumes: p.Volumes, Held: p.Held, ExtraPorts: p.ExtraPorts, Env: p.Env} // as adopted
	if err := r.Records.WriteRecord(c.record); err != nil {
		return err
	}
	c.result.Action, c.result.Class, c.result.Cause = RolledBack, ClassFailed, "migration rolled back: "+why.Error()
	if c.result.Error == nil {
		c.result.Error = &AppError{Code: "rolled-back", Message: why.Error()}
	}
	c.result.Error.Hint = "the old container is back; correct the cause, then: archy adopt --migrate " + c.ID
	return fmt.Errorf("migration rolled back: %w", why)
}

func (r *run) oldFits(ctx context.Context, c *change) error {
	old, err := r.old(ctx, c)
	if err != nil {
		return err
	}
	return r.fits(ctx, c, old.Image)
}

func (r *run) stopNew(ctx context.Context, c *change) error {
	err := r.Units.Stop(ctx, c.Container+".service", r.stopLimit(c))
	if errors.Is(err, systemd.ErrNoUnit) {
		return nil
	}
	return err
}

func (r *run) dropUnit(ctx context.Context, c *change) error {
	if err := r.Disk.RemoveUnit(c.Container); err != nil {
		return err
	}
	return r.daemonReload(ctx)
}

func (r *run) nameBack(ctx context.Context, c *change) error {
	old, err := r.old(ctx, c)
	if err != nil || old.Name == c.record.Op.FirstName {
		return err
	}
	return r.Engine.Rename(ctx, old.Name, c.record.Op.FirstName)
}

func (r *run) startOld(ctx context.Context, c *change) error {
	if policy := c.record.Op.Policy; policy != "" && policy != "no" {
		if err := r.Engine.SetRestartPolicy(ctx, c.record.Op.FirstName, policy); err != nil {
			return err
		}
	}
	if r.stoppedMeanwhile(c) {
		return nil
	}
	got, err := r.Engine.Inspect(ctx, c.record.Op.FirstName)
	if err == nil && !got.State.Running {
		err = r.Legacy.StartInScope(ctx, c.record.Op.FirstName)
	}
	if err != nil {
		return err
	}
	out := r.gate(ctx, c, Gate{Condition: "started", Limit: r.timing.Alive * 2}, r.timing.Alive)
	if out.dead != nil {
		return out.dead
	}
	return out.err
}
