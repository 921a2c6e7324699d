package systemdtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// Start implements systemd.Manager.
func (m *Manager) Start(ctx context.Context, name string, limit time.Duration) error {
	return m.job(ctx, "start", name, limit, func() error {
		if m.active(name) {
			return nil
		}
		return m.run(name)
	})
}

// Stop implements systemd.Manager.
func (m *Manager) Stop(ctx context.Context, name string, limit time.Duration) error {
	return m.job(ctx, "stop", name, limit, func() error { return m.halt(name) })
}

// Restart implements systemd.Manager.
func (m *Manager) Restart(ctx context.Context, name string, limit time.Duration) error {
	return m.job(ctx, "restart", name, limit, func() error {
		if err := m.halt(name); err != nil {
			return err
		}
		return m.run(name)
	})
}

func (m *Manager) active(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.units[name].ActiveState == "active"
}

// job runs one job to its end and judges it as systemd.Manager does.
func (m *Manager) job(ctx context.Context, verb, name string, limit time.Duration, act func() error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := m.enter(limited, verb+" "+name, true)
	if err == nil {
		if !m.known(verb, name) {
			return fmt.Errorf("%s %s: %w", verb, name, systemd.ErrNoUnit)
		}
		err = wait(limited, act)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s: %w", verb, name, ctx.Err())
	case limited.Err() != nil:
		return m.jobError(verb, name, systemd.ResultLimit, limit)
	}
	var result Result
	if errors.As(err, &result) {
		return m.jobError(verb, name, string(result), 0)
	}
	return err
}

// wait runs act to its end, or leaves it to go on when the context ends first.
func wait(ctx context.Context, act func() error) error {
	done := make(chan error, 1)
	go func() { done <- act() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// known reports whether a job for the unit can be made: stopping needs no file.
func (m *Manager) known(verb, name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.units[name]
	return ok && (d.LoadState == "loaded" || verb == "stop")
}

func (m *Manager) jobError(verb, name, result string, limit time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := &systemd.JobError{Verb: verb, Unit: name, Result: result, Limit: limit}
	if d, ok := m.units[name]; ok {
		e.Detail = *d
	}
	return e
}

// run is what a start job does with a unit that does not run.
func (m *Manager) run(name string) error {
	if m.gaveUp(name) {
		return Result(systemd.ResultFailed)
	}
	met := m.Condition == nil || m.Condition(name)
	m.Update(name, func(d *systemd.Detail) { d.ConditionMet = met })
	if !met {
		return Result(systemd.ResultCondition)
	}
	run := m.begin(name)
	if m.OnStart != nil {
		if err := m.OnStart(name); err != nil {
			m.finish(name, run, func(d *systemd.Detail) {
				d.ActiveState, d.SubState, d.Result, d.MainPID = "failed", "failed", "exit-code", 0
				d.ExecMainCode, d.ExecMainStatus = 1, 125
			})
			return asResult(err)
		}
	}
	m.finish(name, run, func(d *systemd.Detail) {
		d.ActiveState, d.SubState, d.ActiveEntered = "active", "running", m.Now()
	})
	return nil
}

// finish ends the start of one run, unless the unit was stopped meanwhile.
func (m *Manager) finish(name, run string, change func(*systemd.Detail)) {
	m.Update(name, func(d *systemd.Detail) {
		if d.InvocationID == run && d.ActiveState == "activating" {
			change(d)
		}
	})
}

// gaveUp reports whether the unit has hit its start limit, which ResetFailed alone takes away.
func (m *Manager) gaveUp(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.units[name].StartLimitHit
}

// begin makes the unit one that is being started and returns the id of the run.
func (m *Manager) begin(name string) string {
	m.mu.Lock()
	m.runs++
	runs := m.runs
	m.mu.Unlock()
	id := fmt.Sprintf("%032x", runs)
	m.Update(name, func(d *systemd.Detail) {
		d.ActiveState, d.SubState, d.Result, d.NRestarts = "activating", "start", "success", 0
		d.ExecMainCode, d.ExecMainStatus, d.Stopped = 0, 0, false
		d.MainPID, d.InvocationID = 200000+runs, id
		d.ControlGroup = "/user.slice/user-1000.slice/user@1000.service/app.slice/" + name
	})
	return id
}

// halt is what a stop job does.
func (m *Manager) halt(name string) error {
	m.mu.Lock()
	state := m.units[name].ActiveState
	m.mu.Unlock()
	if state == "inactive" || state == "failed" {
		return nil
	}
	if m.OnStop != nil {
		if err := m.OnStop(name); err != nil {
			return asResult(err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.units[name]
	d.ActiveState, d.SubState, d.MainPID, d.ControlGroup, d.StateChanged, d.Stopped = "inactive", "dead", 0, "", m.Now(), true
	if d.LoadState != "loaded" {
		delete(m.units, name)
	}
	return nil
}

// asResult makes any error of a hook a failed job.
func asResult(err error) error {
	var result Result
	if errors.As(err, &result) {
		return result
	}
	return Result(systemd.ResultFailed)
}
