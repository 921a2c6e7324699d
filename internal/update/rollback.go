package update

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// step is one of the rollback. It looks whether it is done before it does anything.
type step struct {
	n    int
	name string
	do   func(*Updater, context.Context, *Marker) error
}

// Numbers of steps that a rollback does not only count.
const (
	stepCheck   = 1
	stepRestart = 7
)

// steps are those between the verdict, which is on the disk before, and the end.
var steps = []step{
	{stepCheck, "check the backups", (*Updater).checkBackups},
	{2, "put the new pages aside", (*Updater).quarantinePages},
	{3, "put the old pages back", (*Updater).restorePages},
	{4, "put the old app manifests back", (*Updater).restoreApps},
	{5, "put the old program back", (*Updater).restoreBinary},
	{6, "set the recorded version back", (*Updater).restoreVersion},
	{stepRestart, "reload nginx, restart the backend", (*Updater).restart},
	{8, "probe the old version", (*Updater).probeOld},
}

// Rollback puts the backups back now, whatever the update's verdict was. Errors: state.ErrLocked, and an *UnsoundError
// when nothing was changed because the backups cannot be restored.
func (u *Updater) Rollback(ctx context.Context) (Result, error) {
	lock, err := u.Locks.Update(ctx, u.WaitLock)
	if err != nil {
		return Result{}, err
	}
	defer lock.Release()
	defer u.releaseNode()
	if err := u.needNode(ctx); err != nil {
		return Result{}, err
	}
	m, err := u.undecided()
	if err == nil && m == nil {
		m, err = u.manual()
	}
	switch {
	case err != nil:
		return Result{}, err
	case m.State == RollingBack:
		return u.resume(ctx, m)
	}
	if err := u.checkBackups(ctx, m); err != nil {
		return Result{}, err
	}
	return u.giveUp(ctx, m, "asked for by the operator")
}

// resume goes on with a rollback, which may be one that had come to its end.
func (u *Updater) resume(ctx context.Context, m *Marker) (Result, error) {
	if err := u.save(m); err != nil {
		return Result{}, err
	}
	return u.rollBack(ctx, m)
}

// manual is the marker of a rollback that nobody marked an update for. With sound backups it is a fresh one; without
// them a rollback that failed on its way is taken up where it stopped.
func (u *Updater) manual() (*Marker, error) {
	last, err := u.Last()
	u.warn("the last update", err)
	if last == nil {
		last = &Marker{}
	}
	m := &Marker{Schema: schema, OldVersion: last.OldVersion, NewVersion: last.NewVersion, VersionFile: last.VersionFile,
		VersionBefore: last.VersionBefore, State: Verifying, Probes: []Probe{}}
	m.place()
	if apps := u.Layout.ManifestDir + backup; u.exists(apps) {
		m.AppsBackup = apps
	}
	unsound := u.sound(m)
	switch {
	case unsound == nil:
		m.BinaryBackupSHA256, err = u.digest(m.BinaryBackup)
		m.MarkedAt, m.Moment = u.now(), u.moment()
		m.Deadline = m.MarkedAt
		return m, err
	case last.State == RollbackFailed && last.Step >= stepCheck:
		last.takeUp()
		return last, nil
	}
	return nil, unsound
}

// takeUp makes a rollback that failed one that goes on. One that had put everything back, which did not answer, restarts
// and probes once more.
func (m *Marker) takeUp() {
	m.State, m.Failure, m.FinishedAt = RollingBack, "", time.Time{}
	if m.Step >= stepRestart {
		m.Step, m.RestartFrom = stepRestart-1, ""
	}
}

// rollBack does the steps that are left. An error of a step ends it for good; one of the context leaves it to be resumed.
func (u *Updater) rollBack(ctx context.Context, m *Marker) (Result, error) {
	if err := u.needNode(ctx); err != nil {
		return Result{}, err
	}
	for _, s := range steps {
		if s.n <= m.Step {
			continue
		}
		u.say("rollback %d: %s", s.n, s.name)
		err := s.do(u, ctx, m)
		if ctx.Err() != nil {
			return Result{}, ctx.Err()
		}
		if err != nil {
			why := strings.ReplaceAll(err.Error(), "\n", "; ")
			return u.end(m, RollbackFailed, fmt.Sprintf("step %d, %s: %s", s.n, s.name, why))
		}
		if err := u.done(m, s.n); err != nil {
			return Result{}, err
		}
	}
	return u.end(m, RolledBack, "")
}

// done records a finished step. Only the first must be recorded before the next begins: the backups pass its check no
// more once they are back in place.
func (u *Updater) done(m *Marker, n int) error {
	m.Step = n
	if n == stepCheck {
		return u.save(m)
	}
	u.record(m)
	return nil
}

func (u *Updater) checkBackups(_ context.Context, m *Marker) error {
	return errors.Join(u.sound(m), u.writable())
}

func (u *Updater) quarantinePages(_ context.Context, m *Marker) error {
	return u.quarantine(m, m.WebUI, m.WebUIBackup)
}

// quarantine puts a directory aside whose backup is to take its place. Without the backup that has happened already.
func (u *Updater) quarantine(m *Marker, dir, backup string) error {
	if !u.exists(backup) || u.exists(m.failed(dir)) || !u.exists(dir) {
		return nil
	}
	return u.Disk.Rename(dir, m.failed(dir))
}

// restorePages brings the old pages back, readable for nginx: the mode of their top stranded whole fleets (incident 4).
func (u *Updater) restorePages(_ context.Context, m *Marker) error {
	if u.exists(m.WebUIBackup) {
		if err := u.Disk.Rename(m.WebUIBackup, m.WebUI); err != nil {
			return err
		}
	}
	return u.Disk.Publish(m.WebUI)
}

// restoreApps brings the old shipped manifests back. The owner's own lie elsewhere (incident 24).
func (u *Updater) restoreApps(_ context.Context, m *Marker) error {
	if m.AppsBackup == "" || !u.exists(m.AppsBackup) {
		return nil
	}
	if err := u.quarantine(m, u.Layout.ManifestDir, m.AppsBackup); err != nil {
		return err
	}
	return u.Disk.Rename(m.AppsBackup, u.Layout.ManifestDir)
}

// restoreBinary installs a copy of the old program. At no moment is there none.
func (u *Updater) restoreBinary(_ context.Context, m *Marker) error {
	if u.exists(m.Binary) {
		have, err := u.digest(m.Binary)
		if err != nil || have == m.BinaryBackupSHA256 {
			return err
		}
		if !u.exists(m.failed(m.Binary)) {
			if err := u.Disk.Keep(m.Binary, m.failed(m.Binary)); err != nil {
				return err
			}
		}
	}
	if err := u.Disk.Install(m.BinaryBackup, m.Binary); err != nil {
		return err
	}
	have, err := u.digest(m.Binary)
	if err == nil && have != m.BinaryBackupSHA256 {
		err = fmt.Errorf("%s: the copy of %s is not what was recorded", m.Binary, filepath.Base(m.BinaryBackup))
	}
	return err
}

// restoreVersion keeps nothing down: what answers is back in place, and a version file that the new version has spoilt is told, then and by doctor.
func (u *Updater) restoreVersion(_ context.Context, m *Marker) error {
	if m.VersionFile == "" {
		return nil
	}
	has, err := readVersion(u.Layout, m.VersionFile)
	if errors.Is(err, fs.ErrNotExist) && noLink(u.Layout, filepath.Dir(m.VersionFile)) {
		err = nil
	}
	if err == nil && has != m.VersionBefore {
		err = u.Disk.Write(m.VersionFile, []byte(m.VersionBefore+"\n"))
	}
	u.warn("the recorded version is not set back", err)
	return nil
}

// restart makes nginx and the backend run what is back in place. What nginx says of its configuration does not stop it:
// the running one serves the restored directory by its name, and the probe decides.
func (u *Updater) restart(ctx context.Context, m *Marker) error {
	u.warn("nginx", u.Services.ReloadPage(ctx))
	now, err := u.Services.Invocation(ctx)
	u.warn("backend", err)
	if m.RestartFrom == "" {
		m.RestartFrom = dash(now)
		u.record(m)
	}
	if now != "" && now != m.RestartFrom {
		return nil // the run that was killed here had restarted it, or the machine has
	}
	return u.Services.RestartBackend(ctx)
}

// probeOld wants the old version to answer as the new one should have.
func (u *Updater) probeOld(ctx context.Context, m *Marker) error {
	until := u.Clock.Monotonic() + u.Windows.Probes
	if err := u.awaitOther(ctx, m.RestartFrom, min(u.Clock.Monotonic()+u.Windows.Restart, until)); err != nil {
		return err
	}
	why, err := u.probe(ctx, m, phaseRollback, until)
	if err == nil && why != "" {
		err = errors.New(why)
	}
	return err
}
