package update

import (
	"context"
	"fmt"
	"time"
)

// PendingError says that an update waits for its verdict already.
type PendingError struct{ Marker *Marker }

func (e *PendingError) Error() string {
	return fmt.Sprintf("an update to %s is %s since %s", e.Marker.NewVersion, e.Marker.State, e.Marker.MarkedAt.UTC().Format(time.RFC3339))
}

// UsageError is a mistake in what was asked for.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }

// MarkOptions describe the update that was just laid down.
type MarkOptions struct {
	Old, New string
	// VersionFile holds the installed version as its only text; "" when nothing records it.
	VersionFile string
}

func (o MarkOptions) check() error {
	for _, v := range []string{o.Old, o.New} {
		if err := checkVersion(v); err != nil {
			return &UsageError{err}
		}
	}
	return nil
}

// Mark notes that the next restart of the backend brings a new version, which Verify then judges. Errors: *UsageError,
// state.ErrLocked, *PendingError, *UnsoundError.
func (u *Updater) Mark(ctx context.Context, o MarkOptions) (*Marker, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	lock, err := u.Locks.Update(ctx, u.WaitLock)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	shared, err := u.Locks.NodeShared(ctx, u.WaitLock)
	if err != nil {
		return nil, err
	}
	defer shared.Release()
	switch pending, err := u.undecided(); {
	case err != nil:
		return nil, err
	case pending != nil:
		return nil, &PendingError{pending}
	}
	m, err := u.describe(ctx, o)
	if err != nil {
		return nil, err
	}
	return m, u.save(m)
}

// undecided is the marker that waits for a verdict; nil: none. One that only was not put away any more is put away now.
func (u *Updater) undecided() (*Marker, error) {
	m, err := u.Pending()
	if err != nil || m == nil || !m.State.final() {
		return m, err
	}
	_, err = u.putAway(m)
	return nil, err
}

// describe makes the marker, when the backups are sound.
func (u *Updater) describe(ctx context.Context, o MarkOptions) (*Marker, error) {
	m := &Marker{Schema: schema, OldVersion: o.Old, NewVersion: o.New, State: Pending, Probes: []Probe{}}
	m.place()
	if apps := u.Layout.ManifestDir + backup; u.exists(apps) {
		m.AppsBackup = apps
	}
	if o.VersionFile != "" {
		if err := u.recorded(o); err != nil {
			return nil, &UsageError{err}
		}
		m.VersionFile, m.VersionBefore = o.VersionFile, o.Old
	}
	if err := u.sound(m); err != nil {
		return nil, err
	}
	var err error
	if m.BinaryBackupSHA256, err = u.digest(m.BinaryBackup); err != nil {
		return nil, err
	}
	// That the restart will not be seen is no reason against the update.
	if m.BackendInvocation, err = u.Services.Invocation(ctx); err != nil {
		m.BackendInvocation = unknownInvocation
		u.warn("backend", err)
	}
	m.MarkedAt = u.now()
	m.Deadline = m.MarkedAt.Add(u.Windows.Deadline)
	m.Moment = u.moment()
	return m, nil
}

// recorded wants the version file to say the old version or the new one.
func (u *Updater) recorded(o MarkOptions) error {
	has, err := readVersion(u.Layout, o.VersionFile)
	if err == nil && has != o.Old && has != o.New {
		err = fmt.Errorf("%s: it says %q, neither %s nor %s", o.VersionFile, has, o.Old, o.New)
	}
	return err
}

func (u *Updater) now() time.Time { return u.Clock.Now().UTC().Truncate(time.Second) }

func (u *Updater) moment() Moment {
	return Moment{BootID: u.BootID, MonotonicMS: u.Clock.Monotonic().Milliseconds()}
}
