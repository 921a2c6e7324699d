package systemd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	godbus "github.com/godbus/dbus/v5"
)

var (
	// ErrNoUserBus is in the chain of an error about a user bus that is absent, refuses or does not answer.
	ErrNoUserBus = errors.New("the user bus is unreachable")
	// ErrNoUnit is in the chain of an error about a unit that systemd does not know.
	ErrNoUnit = errors.New("no such unit")
)

// BusError tells why the user bus could not be asked.
type BusError struct {
	Address string
	Cause   error
}

func (e *BusError) Error() string {
	return fmt.Sprintf("user bus %s: %v", e.Address, e.Cause)
}

// Unwrap returns ErrNoUserBus and the cause.
func (e *BusError) Unwrap() []error { return []error{ErrNoUserBus, e.Cause} }

// The results of a job besides done, as systemd names them (org.freedesktop.systemd1, JobRemoved), and two of our
// own: condition and limit.
const (
	ResultFailed     = "failed"
	ResultTimeout    = "timeout"
	ResultCanceled   = "canceled"
	ResultDependency = "dependency"
	ResultSkipped    = "skipped"
	// ResultCondition is a start that systemd calls done although a condition of the unit kept it from running.
	ResultCondition = "condition"
	// ResultLimit is a job that was not done within the limit of the caller. It goes on.
	ResultLimit = "limit"
)

// JobError tells how a start, stop or restart ended.
type JobError struct {
	// Verb is start, stop or restart.
	Verb string
	Unit string
	// Result is one of the Result constants.
	Result string
	// Limit is set for ResultLimit.
	Limit time.Duration
	// Detail is the unit after the job, as far as it could be read.
	Detail Detail
}

func (e *JobError) Error() string {
	msg := fmt.Sprintf("%s %s: ", e.Verb, e.Unit)
	switch e.Result {
	case ResultLimit:
		return msg + fmt.Sprintf("not finished after %s; it goes on", e.Limit)
	case ResultCondition:
		return msg + "a condition of the unit is not met, for example it was stopped by the user"
	case ResultDependency:
		return msg + "a unit that it requires failed"
	}
	msg += "job " + e.Result
	if e.Detail.Result != "" && e.Detail.Result != "success" {
		msg += fmt.Sprintf(" (%s, exit status %d)", e.Detail.Result, e.Detail.ExecMainStatus)
	}
	return msg + "; look at: journalctl --user -u " + e.Unit
}

// Unwrap makes a ResultLimit a context.DeadlineExceeded.
func (e *JobError) Unwrap() error {
	if e.Result == ResultLimit {
		return context.DeadlineExceeded
	}
	return nil
}

// badUnits are the errors of org.freedesktop.systemd1 with which it makes no job because of the unit.
var badUnits = []string{
	"org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.systemd1.LoadFailed",
	"org.freedesktop.systemd1.BadUnitSetting", "org.freedesktop.systemd1.UnitMasked",
}

// Blames tells that an error of Start or Restart says something about the unit: its job came to a bad end, or systemd refused
// it. A bus that is gone or silent, a job that somebody else's took the place of, one whose unit is up by now although nobody
// said that it had ended, and one that a condition kept from running, say nothing about it.
func Blames(err error) bool {
	var job *JobError
	var remote godbus.Error
	switch {
	case errors.As(err, &job) && job.Result == ResultLimit:
		return job.Detail.ActiveState != "active" && job.Detail.ActiveState != "" // not known: systemd is silent
	case job != nil:
		return job.Result != ResultCanceled && job.Result != ResultCondition
	case errors.As(err, &remote):
		return slices.Contains(badUnits, remote.Name)
	}
	return false
}

// explain names the call and its unit, and sorts out errors of the bus.
func (m *Manager) explain(op string, err error) error {
	var remote godbus.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &remote) && strings.HasSuffix(remote.Name, ".NoSuchUnit"):
		return fmt.Errorf("%s: %w: %w", op, ErrNoUnit, err)
	case errors.Is(err, godbus.ErrClosed):
		return fmt.Errorf("%s: %w", op, &BusError{Address: m.address, Cause: err})
	}
	return fmt.Errorf("%s: %w", op, err)
}
