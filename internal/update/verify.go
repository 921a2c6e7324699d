package update

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// passesWanted is how many probes in a row commit an update.
const passesWanted = 2

// Verify confirms the update that is pending, or puts the old version back. Without a marker it does nothing. A state
// that is final already is only put away, whatever the node answers by now. Errors: state.ErrLocked, *BadMarker.
func (u *Updater) Verify(ctx context.Context) (Result, error) {
	// The marker's writer holds the lock for a moment longer than the path unit needs to see it.
	lock, err := u.Locks.Update(ctx, u.WaitLock)
	if err != nil {
		return Result{}, err
	}
	defer lock.Release()
	defer u.releaseNode()
	m, err := u.Pending()
	var bad *BadMarker
	switch {
	case errors.As(err, &bad):
		return Result{}, u.setAside(bad)
	case err != nil || m == nil:
		return Result{}, err
	}
	return u.judge(ctx, m)
}

func (u *Updater) judge(ctx context.Context, m *Marker) (Result, error) {
	switch {
	case m.State.final():
		return u.putAway(m)
	case m.State == RollingBack:
		u.say("resuming the rollback to %s after step %d", dash(m.OldVersion), m.Step)
		return u.rollBack(ctx, m)
	case u.age(m) > u.Windows.Stale:
		u.say("the marker of %s is %s old: too old to act on", m.NewVersion, u.age(m).Round(time.Second))
		return u.end(m, Stale, "")
	}
	return u.confirm(ctx, m)
}

// setAside gets an unusable marker out of the way and says where it is.
func (u *Updater) setAside(bad *BadMarker) error {
	aside, err := u.keepAside()
	if err != nil {
		return errors.Join(bad, err)
	}
	return fmt.Errorf("%w; kept as %s, nothing was changed", bad, aside)
}

// age is how long ago the update was marked. A wall clock that has gone back since makes it less than nothing.
func (u *Updater) age(m *Marker) time.Duration {
	if m.BootID == u.BootID {
		return u.Clock.Monotonic() - m.at()
	}
	return u.Clock.Now().Sub(m.MarkedAt)
}

// confirm waits for the restart, lets the backend settle and probes. Only the marker is changed, so a pass that still
// holds the node's lock, pulling an image for minutes, does not use up the time of the update.
func (u *Updater) confirm(ctx context.Context, m *Marker) (Result, error) {
	u.tryNode(ctx)
	if m.State == Pending || m.Began == nil || m.Began.BootID != u.BootID {
		began := u.moment()
		m.State, m.Began = Verifying, &began
		u.record(m)
	}
	end := u.windowEnd(m)
	if err := u.awaitRestart(ctx, m, end); err != nil {
		return Result{}, err
	}
	if err := u.sleepUntil(ctx, min(u.Clock.Monotonic()+u.Windows.Settle, end)); err != nil {
		return Result{}, err
	}
	why, err := u.probe(ctx, m, phaseUpdate, min(u.Clock.Monotonic()+u.Windows.Probes, end))
	switch {
	case err != nil:
		return Result{}, err
	case why == "":
		return u.end(m, Committed, "")
	}
	return u.giveUp(ctx, m, why)
}

// windowEnd is when the verdict must have come: the deadline in the boot of the mark, windows anew in a later one.
func (u *Updater) windowEnd(m *Marker) time.Duration {
	if m.BootID == u.BootID {
		return m.at() + u.Windows.Deadline
	}
	return m.Began.at() + u.Windows.Settle + u.Windows.Probes
}

// awaitRestart waits until the backend is another one than at the mark. A reboot has restarted it.
func (u *Updater) awaitRestart(ctx context.Context, m *Marker, end time.Duration) error {
	until := min(m.at()+u.Windows.Restart, end)
	switch {
	case m.BootID != u.BootID:
		return nil
	case m.BackendInvocation == unknownInvocation:
		return u.sleepUntil(ctx, until)
	}
	return u.awaitOther(ctx, m.BackendInvocation, until)
}

// awaitOther waits until the backend has an invocation, and another one than given, or until a moment.
func (u *Updater) awaitOther(ctx context.Context, invocation string, until time.Duration) error {
	for {
		now, err := u.Services.Invocation(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && now != "" && now != invocation:
			return nil
		case u.Clock.Monotonic() >= until:
			u.say("no restart of the backend seen; going on")
			return nil
		}
		if err := u.sleepUntil(ctx, min(u.Clock.Monotonic()+u.Windows.Poll, until)); err != nil {
			return err
		}
	}
}

// probe probes until two pass in a row or the time is over; then it tells why that was not to be.
func (u *Updater) probe(ctx context.Context, m *Marker, phase string, until time.Duration) (why string, err error) {
	why = "no probe: the time was over before the first one"
	for passes := 0; passes < passesWanted; {
		start := u.Clock.Monotonic()
		if start >= until {
			return why, nil
		}
		p := u.probeOnce(ctx, phase, until-start)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if p.Result == "pass" {
			passes++
			why = "only one probe passed before the time was over"
		} else {
			passes, why = 0, p.Detail
		}
		m.note(p)
		u.record(m)
		u.tryNode(ctx)
		if passes < passesWanted {
			if err := u.sleepUntil(ctx, min(start+u.Windows.Every, until)); err != nil {
				return "", err
			}
		}
	}
	return "", nil
}

func (u *Updater) probeOnce(ctx context.Context, phase string, left time.Duration) Probe {
	limited, cancel := context.WithTimeout(ctx, min(u.Windows.One, left))
	defer cancel()
	p := Probe{Time: u.now(), Phase: phase, Result: "pass"}
	if ok, detail := u.Prober.Probe(limited); !ok {
		p.Result, p.Detail = "fail", detail
	}
	u.say("probe: %s %s", p.Result, p.Detail)
	return p
}

// giveUp decides for the old version. From here on the rollback is resumed by every later run.
func (u *Updater) giveUp(ctx context.Context, m *Marker, reason string) (Result, error) {
	u.say("putting %s back: %s", version(m.OldVersion, "the old version"), reason)
	m.State, m.Reason, m.Step, m.RollbackAt = RollingBack, reason, 0, u.now()
	if err := u.save(m); err != nil {
		return Result{}, err
	}
	return u.rollBack(ctx, m)
}

// end writes the verdict, then puts the marker away.
func (u *Updater) end(m *Marker, s State, failure string) (Result, error) {
	m.State, m.Failure, m.FinishedAt = s, failure, u.now()
	if err := u.save(m); err != nil {
		return Result{}, err
	}
	return u.putAway(m)
}

// putAway reports a verdict and moves the marker out of the way. A run that was killed on the way is made up for by the
// next: the report may come twice, nothing else happens twice.
func (u *Updater) putAway(m *Marker) (Result, error) {
	u.warn("journal", u.Reporter.Report(m))
	if m.State == Committed {
		u.pruneQuarantine()
	}
	if err := u.Disk.Supersede(u.pendingPath(), u.lastPath()); err != nil {
		return Result{}, err
	}
	return u.result(m), nil
}

func (u *Updater) sleepUntil(ctx context.Context, moment time.Duration) error {
	if d := moment - u.Clock.Monotonic(); d > 0 {
		return u.Clock.Sleep(ctx, d)
	}
	return ctx.Err()
}

// tryNode takes the node's lock when it is free: while an update is judged nothing else shall change the node.
func (u *Updater) tryNode(ctx context.Context) {
	if u.node == nil {
		u.node, _ = u.Locks.NodeExclusive(ctx, 0)
	}
}

// needNode takes the node's lock, without which nothing is rolled back.
func (u *Updater) needNode(ctx context.Context) (err error) {
	if u.node == nil {
		u.node, err = u.Locks.NodeExclusive(ctx, u.WaitLock)
	}
	return err
}

func (u *Updater) releaseNode() {
	u.node.Release()
	u.node = nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
