package systemd

import (
	"context"
	"errors"
	"fmt"
	"time"

	godbus "github.com/godbus/dbus/v5"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
)

// enqueue asks systemd for a job and names the channel that gets its result.
type enqueue func(ctx context.Context, name, mode string, result chan<- string) (int, error)

// Start starts the unit and waits for the job, at most limit. A unit that already runs is fine. An end other than
// done is a *JobError, and so is a start that a condition of the unit prevented.
func (m *Manager) Start(ctx context.Context, name string, limit time.Duration) error {
	if err := m.job(ctx, "start", name, limit, m.conn.StartUnitContext); err != nil {
		return err
	}
	return m.checkCondition(ctx, "start", name)
}

// Restart stops the unit if it runs, and starts it. Otherwise as Start.
func (m *Manager) Restart(ctx context.Context, name string, limit time.Duration) error {
	if err := m.job(ctx, "restart", name, limit, m.conn.RestartUnitContext); err != nil {
		return err
	}
	return m.checkCondition(ctx, "restart", name)
}

// Stop stops the unit and waits for the job, at most limit. A unit that does not run is fine; one that systemd does
// not know is an ErrNoUnit.
func (m *Manager) Stop(ctx context.Context, name string, limit time.Duration) error {
	return m.job(ctx, "stop", name, limit, m.conn.StopUnitContext)
}

func (m *Manager) job(ctx context.Context, verb, name string, limit time.Duration, enqueue enqueue) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// The library sends the result without looking whether anybody still waits.
	result := make(chan string, 1)
	err := failpoint.Do(limited, failpoint.Systemd, verb+" "+name, func() error {
		_, err := enqueue(limited, name, "replace", result)
		return err
	})
	if err != nil {
		return m.explain(verb+" "+name, err)
	}
	var word string
	err = failpoint.Do(limited, failpoint.Systemd, "wait for "+verb+" "+name, func() (err error) {
		word, err = m.await(limited, result)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s: %w", verb, name, ctx.Err())
	case limited.Err() != nil:
		return m.jobError(ctx, &JobError{Verb: verb, Unit: name, Result: ResultLimit, Limit: limit})
	case err != nil:
		return m.explain(verb+" "+name, err)
	case word != "done":
		return m.jobError(ctx, &JobError{Verb: verb, Unit: name, Result: word})
	}
	return nil
}

// await waits for the result of a job, and looks now and then whether the bus that brings it is still there.
func (m *Manager) await(ctx context.Context, result <-chan string) (string, error) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case word := <-result:
			return word, nil
		case <-ctx.Done():
			return "", ctx.Err()
		case <-look.C:
			if !m.conn.Connected() {
				return "", godbus.ErrClosed
			}
		}
	}
}

// jobError adds what the unit says about itself.
func (m *Manager) jobError(ctx context.Context, e *JobError) error {
	detail, err := m.Detail(ctx, e.Unit)
	if err == nil || errors.Is(err, ErrNoUnit) {
		e.Detail = detail
	}
	return e
}

// checkCondition finds the start that was no start: systemd calls the job done when a Condition line was not met.
func (m *Manager) checkCondition(ctx context.Context, verb, name string) error {
	d, err := m.Detail(ctx, name)
	if err != nil {
		return err
	}
	if d.ActiveState == "inactive" && !d.ConditionMet {
		return &JobError{Verb: verb, Unit: name, Result: ResultCondition, Detail: d}
	}
	return nil
}
