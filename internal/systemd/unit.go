package systemd

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
)

// Unit is the state of one unit.
type Unit struct {
	Name string
	// LoadState is loaded, not-found, bad-setting, error or masked.
	LoadState string
	// ActiveState is active, reloading, inactive, failed, activating, deactivating or maintenance.
	ActiveState string
	// SubState is more exact: running, exited, dead, auto-restart, start-pre, stop-sigterm ...
	SubState string
	// Job is the kind of job that waits or runs for the unit: start, stop, restart ...; empty without one.
	Job string
}

// Detail is what a service tells about its run.
type Detail struct {
	Unit
	// Result is success, or why the last run ended: exit-code, signal, oom-kill, timeout ...
	Result string
	// StartLimitHit is true when systemd has given up restarting the unit. Result does not say so after a crash loop:
	// systemd 257 leaves the reason of the last crash there, and start-limit-hit only follows a success.
	StartLimitHit bool
	// ExecMainCode says how the main process ended (1 exited, 2 killed, 3 dumped; 0 not yet), ExecMainStatus with
	// what code or signal.
	ExecMainCode   int
	ExecMainStatus int
	// NRestarts counts systemd's own restarts since the last start by somebody.
	NRestarts int
	MainPID   int
	// InvocationID is 32 hex digits, empty before the first run.
	InvocationID  string
	StateChanged  time.Time
	ActiveEntered time.Time
	// Stopped is true when the last run ended because somebody asked for it, and not by itself: the unit was no longer active when
	// its main process ended.
	Stopped bool
	// FragmentPath is the generated unit, SourcePath the Quadlet file.
	FragmentPath string
	SourcePath   string
	// NeedReload is true when the files have changed since the last daemon-reload.
	NeedReload bool
	// ControlGroup is the path of the cgroup, empty when there is none.
	ControlGroup string
	// ConditionMet is false when the last start was skipped because of a Condition line.
	ConditionMet bool
}

// Units returns the state of the named units with one call. A unit that systemd does not know has LoadState
// not-found.
func (m *Manager) Units(ctx context.Context, names []string) (map[string]Unit, error) {
	out := make(map[string]Unit, len(names))
	if len(names) == 0 {
		return out, nil
	}
	var list []dbus.UnitStatus
	err := m.call(ctx, "list units", m.opts.Limits.Query, func(ctx context.Context) (err error) {
		list, err = m.conn.ListUnitsByNamesContext(ctx, names)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, u := range list {
		out[u.Name] = Unit{Name: u.Name, LoadState: u.LoadState, ActiveState: u.ActiveState, SubState: u.SubState, Job: u.JobType}
	}
	return out, nil
}

// Detail returns what is known about one service. One that systemd does not know is an ErrNoUnit.
func (m *Manager) Detail(ctx context.Context, name string) (Detail, error) {
	var props properties
	err := m.call(ctx, "show "+name, m.opts.Limits.Query, func(ctx context.Context) (err error) {
		props, err = m.conn.GetAllPropertiesContext(ctx, name)
		return err
	})
	if err != nil {
		return Detail{}, err
	}
	d := props.detail(name)
	if d.LoadState == "not-found" {
		return d, m.explain("show "+name, ErrNoUnit)
	}
	return d, nil
}

// Restarts counts, for each of the services, systemd's own restarts since the last start by somebody. It asks for one
// property: Detail makes systemd read every counter of the cgroup, some 3 ms a service. A service that systemd does
// not know has none.
func (m *Manager) Restarts(ctx context.Context, names []string) (map[string]int, error) {
	counts, errs := make([]int, len(names)), make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			errs[i] = m.call(ctx, "show "+name, m.opts.Limits.Query, func(ctx context.Context) error {
				p, err := m.conn.GetUnitTypePropertyContext(ctx, name, "Service", "NRestarts")
				if err == nil {
					counts[i] = properties{p.Name: p.Value.Value()}.number(p.Name)
				}
				return err
			})
		})
	}
	wg.Wait()
	out := make(map[string]int, len(names))
	for i, name := range names {
		switch {
		case errs[i] == nil:
			out[name] = counts[i]
		case !errors.Is(errs[i], ErrNoUnit):
			return nil, errs[i]
		}
	}
	return out, nil
}

// properties are those of a unit by name; reading one that is absent or of another type gives its zero value.
type properties map[string]any

func (p properties) text(name string) string {
	s, _ := p[name].(string)
	return s
}

func (p properties) flag(name string) bool {
	b, _ := p[name].(bool)
	return b
}

func (p properties) number(name string) int {
	switch n := p[name].(type) {
	case int32:
		return int(n)
	case uint32:
		return int(n)
	}
	return 0
}

func (p properties) time(name string) time.Time {
	us, _ := p[name].(uint64)
	return microseconds(us)
}

func (p properties) monotonic(name string) uint64 {
	us, _ := p[name].(uint64)
	return us
}

func (p properties) detail(name string) Detail {
	id, _ := p["InvocationID"].([]byte)
	d := Detail{
		Unit: Unit{
			Name: name, LoadState: p.text("LoadState"), ActiveState: p.text("ActiveState"), SubState: p.text("SubState"),
		},
		Result: p.text("Result"), ExecMainCode: p.number("ExecMainCode"), ExecMainStatus: p.number("ExecMainStatus"),
		NRestarts: p.number("NRestarts"), MainPID: p.number("MainPID"), InvocationID: hex.EncodeToString(id),
		StateChanged: p.time("StateChangeTimestamp"), ActiveEntered: p.time("ActiveEnterTimestamp"),
		FragmentPath: p.text("FragmentPath"), SourcePath: p.text("SourcePath"),
		NeedReload: p.flag("NeedDaemonReload"), ControlGroup: p.text("ControlGroup"),
		ConditionMet: p.flag("ConditionResult"),
	}
	left, ended := p.monotonic("ActiveExitTimestampMonotonic"), p.monotonic("ExecMainExitTimestampMonotonic")
	d.Stopped = d.ActiveState != "active" && left > 0 && left < ended
	d.StartLimitHit = d.ActiveState == "failed" && (d.Result == "start-limit-hit" || p.gaveUp(d.NRestarts))
	if strings.Trim(d.InvocationID, "0") == "" {
		d.InvocationID = ""
	}
	return d
}

// gaveUp reports whether a unit that restarts by itself has used up its starts.
func (p properties) gaveUp(restarts int) bool {
	burst := p.number("StartLimitBurst")
	return p.text("Restart") != "no" && burst > 0 && restarts >= burst
}
