package firstboot

import (
	"maps"
	"reflect"
	"slices"
	"time"
)

// Results of a run that ended.
const (
	ResultOK          = "ok"
	ResultPartial     = "partial"
	ResultFailed      = "failed"
	ResultInterrupted = "interrupted"
)

// Progress is state/first-boot.json: how far a run is, written at every change.
type Progress struct {
	Schema    int       `json:"schema"`
	RunID     string    `json:"run_id"`
	StartedAt time.Time `json:"started_at"`
	Profile   string    `json:"profile"`
	// Step is the one that runs, or the last one that did. Percent never falls within a run.
	Step    string `json:"step"`
	Percent int    `json:"percent"`
	// Result is empty while the run goes on, and stays so when it is killed.
	Result     string                 `json:"result,omitempty"`
	FinishedAt time.Time              `json:"finished_at,omitzero"`
	Steps      []StepProgress         `json:"steps"`
	Apps       map[string]AppProgress `json:"apps"`
	Warnings   []string               `json:"warnings,omitempty"`
}

// StepProgress is one step of a run.
type StepProgress struct {
	Name  string    `json:"name"`
	State StepState `json:"state"`
	Error string    `json:"error,omitempty"`
}

// AppProgress is one app of a run.
type AppProgress struct {
	Phase   string `json:"phase"`
	Percent int    `json:"percent"`
	Error   string `json:"error,omitempty"`
}

// NewProgress is a run that begins: every step is pending.
func NewProgress(runID, profile string, now time.Time) Progress {
	p := Progress{Schema: 1, RunID: runID, StartedAt: now.UTC().Truncate(time.Second), Profile: profile, Apps: map[string]AppProgress{}}
	for _, s := range Steps {
		p.Steps = append(p.Steps, StepProgress{Name: s.Name, State: Pending})
	}
	return p
}

// Unfinished tells at which step an earlier run was killed, "" when it ended by itself.
func (p Progress) Unfinished() string {
	if p.Result == "" || p.Result == ResultInterrupted {
		return p.Step
	}
	return ""
}

// Failed are the apps that failed, sorted.
func (p Progress) Failed() []string {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(p.Apps)) {
		if p.Apps[id].Phase == PhaseFailed {
			ids = append(ids, id)
		}
	}
	return ids
}

// Add takes an event over and tells whether anything changed. The event's percent becomes the one that counts: it is never
// lower than what was told before.
func (p *Progress) Add(ev *Event) (changed bool) {
	before := p.clone()
	switch ev.Kind {
	case StepEvent:
		p.addStep(ev)
	case AppEvent:
		p.addApp(ev)
	case NoteEvent:
		if ev.Error != "" && !slices.Contains(p.Warnings, ev.Error) {
			p.Warnings = append(p.Warnings, ev.Error)
		}
		ev.Percent = p.Percent
	default:
		p.Percent = max(p.Percent, ev.Percent)
		ev.Percent = p.Percent
	}
	return !reflect.DeepEqual(before, *p)
}

func (p *Progress) addStep(ev *Event) {
	for i := range p.Steps {
		if p.Steps[i].Name == ev.Step {
			p.Steps[i].State, p.Steps[i].Error = ev.State, ev.Error
		}
	}
	if ev.State == Running {
		p.Step = ev.Step
	}
	if s, ok := stepNamed(ev.Step); ok && (ev.State == Done || ev.State == Skipped || ev.State == Failed && !s.Fatal) {
		ev.Percent = max(ev.Percent, s.Percent)
	}
	p.Percent = max(p.Percent, ev.Percent)
	ev.Percent = p.Percent
}

// addApp keeps the app's percentage from falling.
func (p *Progress) addApp(ev *Event) {
	have := p.Apps[ev.App]
	ev.Percent = max(have.Percent, ev.Percent)
	p.Apps[ev.App] = AppProgress{Phase: ev.Phase, Percent: ev.Percent, Error: ev.Error}
}

func (p *Progress) clone() Progress {
	c := *p
	c.Steps, c.Apps, c.Warnings = slices.Clone(p.Steps), maps.Clone(p.Apps), slices.Clone(p.Warnings)
	return c
}
