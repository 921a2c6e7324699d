package firstboot

import (
	"testing"
	"time"
)

func TestPercentNeverFalls(t *testing.T) {
	p := NewProgress("r", "core", time.Unix(0, 0))
	last := 0
	for _, ev := range []Event{
		{Kind: StepEvent, Step: Preflight, State: Done},
		{Kind: StepEvent, Step: Images, State: Running, Percent: 40},
		{Kind: StepEvent, Step: Images, State: Running, Percent: 30},
		{Kind: NoteEvent, Text: "x"},
		{Kind: RunEvent, Percent: 1},
		{Kind: StepEvent, Step: Marker, State: Done},
	} {
		p.Add(&ev)
		if ev.Percent < last {
			t.Errorf("%s %s: percent fell from %d to %d", ev.Kind, ev.Step, last, ev.Percent)
		}
		last = ev.Percent
	}
	if last != 100 {
		t.Errorf("the run ended at %d %%", last)
	}
	app := Event{Kind: AppEvent, App: "lnd", Phase: PhaseStarting, Percent: 80}
	p.Add(&app)
	app = Event{Kind: AppEvent, App: "lnd", Phase: PhasePulling, Percent: 20}
	p.Add(&app)
	if app.Percent != 80 || p.Apps["lnd"].Phase != PhasePulling {
		t.Errorf("app: percent %d, %+v", app.Percent, p.Apps["lnd"])
	}
}

// A fatal step that failed did not reach its percentage, and an event that changes nothing costs no write.
func TestProgressAdd(t *testing.T) {
	p := NewProgress("r", "core", time.Unix(0, 0))
	p.Add(&Event{Kind: StepEvent, Step: Preflight, State: Failed, Error: "no podman"})
	if p.Percent != 0 || p.Steps[0].Error != "no podman" {
		t.Errorf("percent %d, step %+v", p.Percent, p.Steps[0])
	}
	p.Add(&Event{Kind: StepEvent, Step: Tor, State: Failed, Error: "no tor"})
	if p.Percent != 13 {
		t.Errorf("percent %d after a warning", p.Percent)
	}
	pull := Event{Kind: AppEvent, App: "lnd", Phase: PhasePulling, Percent: 20, Bytes: 1, Total: 2}
	if !p.Add(&pull) {
		t.Error("a new app is a change")
	}
	pull.Bytes = 2
	if p.Add(&pull) {
		t.Error("bytes alone are no change")
	}
}
