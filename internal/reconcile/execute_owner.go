package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/wait"
)

// forget writes down that the owner removed the app. From here on every pass goes on with the removal. Where its data lie stays in the
// record: the app may be installed again.
func (r *run) forget(c *change) error {
	c.changed = true
	c.pinAdopted()
	if op := c.record.Op; op != nil && op.Kind == state.OpMigrate && op.Step >= 5 { // set aside, and nobody else would know whose it is
		c.record.OldContainers = append(c.record.OldContainers, state.OldContainer{ID: op.OldContainerID, Name: op.OldName, RenamedAt: r.Now().UTC()})
	}
	c.record.Installed, c.record.RemovedAt, c.record.RemovedWith = false, r.Now().UTC(), r.Options.RemoveWith[c.ID]
	c.record.Op, c.record.FailedHash, c.record.PendingRestart, c.record.SpecHash = nil, "", "", ""
	return r.Records.WriteRecord(c.record)
}

func (r *run) removeSecret(ctx context.Context, c *change, op Operation) error {
	c.changed = true
	err := r.Engine.RemoveSecret(ctx, op.Object)
	if errors.Is(err, podman.ErrNotFound) {
		return nil
	}
	return err
}

// pinStopped pins the image of an app that is upgraded while it is stopped: no start will prove it in this pass.
func (r *run) pinStopped(ctx context.Context, c *change) error {
	if !c.Upgrading || c.Want != WantStopped {
		return nil
	}
	id, err := r.Engine.ImageID(ctx, c.Spec.Image)
	if err != nil {
		return err
	}
	c.record.Repin(c.Spec.Image, id)
	return nil
}

// withdraw takes back what an installation has brought so far when it cannot be finished: a unit whose app does not
// start would be tried again by systemd and by every pass. Data, secrets and images stay.
func (r *run) withdraw(ctx context.Context, c *change, why error) error {
	if !c.New || !c.record.Installed || errors.Is(why, context.Canceled) {
		return why
	}
	before := state.Record{App: c.ID, Container: c.Container, Owner: state.Quadlet}
	if c.Record != nil {
		before = *c.Record
	}
	if c.result.Error == nil {
		c.result.Error = &AppError{Code: "install", Message: why.Error()}
	}
	for _, undo := range []func(context.Context, *change) error{r.stopNew, r.dropUnit, r.forgetFailure} {
		if err := undo(ctx, c); err != nil {
			return fmt.Errorf("%w; taking the installation back failed too: %w", why, err)
		}
	}
	c.record = before
	c.history.Close()
	if err := r.Records.WriteRecord(before); err != nil {
		return err
	}
	c.changed = true
	c.result.Action, c.result.Class, c.result.Cause = RolledBack, ClassFailed, "not installed: "+why.Error()
	c.result.Error.Hint = "its unit was taken away again, data and secrets stay; correct the cause, then: archy install " + c.ID
	return fmt.Errorf("not installed: %w", why)
}

// forgetFailure makes systemd forget a service whose unit is gone.
func (r *run) forgetFailure(ctx context.Context, c *change) error {
	return r.Units.ResetFailed(ctx, c.Container+".service")
}

// onItsWay tells that a needed app may still get ready by itself.
func (r *run) onItsWay(ctx context.Context, d *App) bool {
	got, err := r.inspectNow(ctx, d)
	if err != nil || !got.State.Running {
		return false
	}
	starting := got.Health != nil && got.Health.Status == podman.HealthStarting
	return starting || age(got.State.StartedAt, r.Now()) < aliveFor
}

// awaitNeed asks again and again while a needed app is on its way, at most Options.Await.
func (r *run) awaitNeed(ctx context.Context, d *App, condition string) (ok bool, st string) {
	deadline := r.Now().Add(r.Options.Await)
	for {
		ok, st = r.nowSatisfied(ctx, d, condition)
		if ok || r.Options.Await == 0 || !r.Now().Before(deadline) || !r.onItsWay(ctx, d) {
			return ok, st
		}
		if wait.For(r.ending, max(r.timing.Poll, time.Millisecond)) != nil {
			return false, st
		}
	}
}
