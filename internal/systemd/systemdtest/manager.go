// Package systemdtest is a user manager in memory. Its hooks let a test play what the units do; Contract holds it to
// the real thing.
package systemdtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// Manager has the methods of systemd.Manager. The hooks are set before the first call; they run without the lock, so
// that they may call the Manager's own setters.
type Manager struct {
	// OnReload is called for a daemon-reload and may add and remove units, as the Quadlet generator does.
	OnReload func() error
	// OnStart is called when a unit is to run. An error makes the job fail with it: return a Result for a certain one.
	OnStart func(unit string) error
	// OnStop is called when a running unit is to stop.
	OnStop func(unit string) error
	// Condition, when it answers false, keeps a unit from being started, as ConditionPathExists does.
	Condition func(unit string) bool
	// Controllers are what DelegatedControllers returns.
	Controllers []string
	// Now is the clock, time.Now unless set.
	Now func() time.Time

	mu      sync.Mutex
	units   map[string]*systemd.Detail
	journal map[string][]entry
	faults  []*Fault
	calls   []string
	runs    int
}

type entry struct{ invocation, line string }

// Result is an error of a hook that decides the result of the job: systemd.ResultTimeout, for example.
type Result string

func (r Result) Error() string { return string(r) }

// Fault makes calls go wrong.
type Fault struct {
	// Match is the whole call as in Calls, or its first word; empty matches every call, reading ones included.
	Match string
	// At is the number of the matching call to hit, from 1; 0 hits all.
	At int
	// Err is what the call returns; nil lets it hang until its context or limit ends.
	Err error

	seen int
}

// New returns a manager without units that delegates cpu, memory and pids.
func New() *Manager {
	return &Manager{
		Now: time.Now, Controllers: []string{"cpu", "memory", "pids"},
		units: map[string]*systemd.Detail{}, journal: map[string][]entry{},
	}
}

// Load makes a unit known, as a daemon-reload does with a new file. A known one keeps its state.
func (m *Manager) Load(name, fragment, source string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.units[name]
	if !ok {
		d = &systemd.Detail{Unit: systemd.Unit{Name: name, ActiveState: "inactive", SubState: "dead"}, Result: "success"}
		m.units[name] = d
	}
	d.LoadState, d.FragmentPath, d.SourcePath, d.NeedReload = "loaded", fragment, source, false
}

// Unload makes a unit unknown. One that runs goes on running, as with systemd.
func (m *Manager) Unload(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.units[name]
	if ok && d.ActiveState != "inactive" {
		d.LoadState, d.FragmentPath, d.SourcePath = "not-found", "", ""
		return
	}
	delete(m.units, name)
}

// Loaded returns the names of the loaded units, sorted.
func (m *Manager) Loaded() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := slices.Sorted(maps.Keys(m.units))
	return slices.DeleteFunc(names, func(n string) bool { return m.units[n].LoadState != "loaded" })
}

// Update changes what is known about a unit; an unknown one is left alone.
func (m *Manager) Update(name string, change func(*systemd.Detail)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d, ok := m.units[name]; ok {
		change(d)
		d.StateChanged = m.Now()
	}
}

// GiveUp makes the unit one that crashed until systemd stopped restarting it.
func (m *Manager) GiveUp(name string, restarts int) {
	m.Update(name, func(d *systemd.Detail) {
		d.ActiveState, d.SubState, d.Result, d.MainPID, d.ControlGroup = "failed", "failed", "exit-code", 0, ""
		d.ExecMainCode, d.ExecMainStatus, d.NRestarts, d.StartLimitHit = 1, 1, restarts, true
	})
}

// Log adds lines to the journal of the unit's present run.
func (m *Manager) Log(unit string, lines ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	invocation := ""
	if d, ok := m.units[unit]; ok {
		invocation = d.InvocationID
	}
	for _, line := range lines {
		m.journal[unit] = append(m.journal[unit], entry{invocation, line})
	}
}

// Inject adds a fault.
func (m *Manager) Inject(f Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = append(m.faults, &f)
}

// Repair takes all faults away.
func (m *Manager) Repair() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = nil
}

// Calls returns the calls that changed something or would have, in order: "reload", "start lnd.service".
func (m *Manager) Calls() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// enter records a call and lets a fault strike. Reading calls are not recorded.
func (m *Manager) enter(ctx context.Context, call string, changes bool) error {
	m.mu.Lock()
	if changes {
		m.calls = append(m.calls, call)
	}
	fault := m.strike(call)
	m.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case fault == nil:
		return nil
	case fault.Err != nil:
		return fault.Err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (m *Manager) strike(call string) *Fault {
	var word string
	_, _ = fmt.Sscan(call, &word)
	for _, f := range m.faults {
		if f.Match != "" && f.Match != call && f.Match != word {
			continue
		}
		f.seen++
		if f.At == 0 || f.At == f.seen {
			return f
		}
	}
	return nil
}

// Units implements systemd.Manager.
func (m *Manager) Units(ctx context.Context, names []string) (map[string]systemd.Unit, error) {
	if err := m.enter(ctx, "units", false); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]systemd.Unit, len(names))
	for _, name := range names {
		out[name] = systemd.Unit{Name: name, LoadState: "not-found", ActiveState: "inactive", SubState: "dead"}
		if d, ok := m.units[name]; ok {
			out[name] = d.Unit
		}
	}
	return out, nil
}

// Detail implements systemd.Manager.
func (m *Manager) Detail(ctx context.Context, name string) (systemd.Detail, error) {
	if err := m.enter(ctx, "detail "+name, false); err != nil {
		return systemd.Detail{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.units[name]
	if !ok {
		return systemd.Detail{}, fmt.Errorf("show %s: %w", name, systemd.ErrNoUnit)
	}
	return *d, nil
}

// Restarts implements systemd.Manager.
func (m *Manager) Restarts(ctx context.Context, names []string) (map[string]int, error) {
	if err := m.enter(ctx, "restarts", false); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]int, len(names))
	for _, name := range names {
		if d, ok := m.units[name]; ok {
			out[name] = d.NRestarts
		}
	}
	return out, nil
}

// Reload implements systemd.Manager.
func (m *Manager) Reload(ctx context.Context) error {
	if err := m.enter(ctx, "reload", true); err != nil {
		return err
	}
	if m.OnReload == nil {
		return nil
	}
	return m.OnReload()
}

// ResetFailed implements systemd.Manager.
func (m *Manager) ResetFailed(ctx context.Context, name string) error {
	if err := m.enter(ctx, "reset-failed "+name, true); err != nil {
		return err
	}
	m.Update(name, func(d *systemd.Detail) {
		if d.ActiveState == "failed" {
			d.ActiveState, d.SubState = "inactive", "dead"
		}
		d.Result, d.NRestarts, d.StartLimitHit = "success", 0, false
	})
	return nil
}

// DelegatedControllers implements systemd.Manager.
func (m *Manager) DelegatedControllers(ctx context.Context) ([]string, error) {
	if err := m.enter(ctx, "controllers", false); err != nil {
		return nil, err
	}
	return m.Controllers, nil
}

// ContainerLog implements systemd.Manager; the lines are those of the container's service.
func (m *Manager) ContainerLog(ctx context.Context, container string, _ time.Time, n int) ([]string, error) {
	return m.Journal(ctx, container+".service", "", n)
}

// Journal implements systemd.Manager.
func (m *Manager) Journal(ctx context.Context, unit, invocation string, n int) ([]string, error) {
	if err := m.enter(ctx, "journal "+unit, false); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []string
	for _, e := range m.journal[unit] {
		if invocation == "" || e.invocation == invocation {
			lines = append(lines, e.line)
		}
	}
	return lines[max(0, len(lines)-n):], nil
}
