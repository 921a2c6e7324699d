package appsstage

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

// percent of an app by its phase.
var percents = map[string]int{
	firstboot.PhasePreparing: 5, firstboot.PhasePulling: 20, firstboot.PhaseCreating: 70, firstboot.PhaseStarting: 80,
	firstboot.PhaseWaiting: 88, firstboot.PhasePost: 95, firstboot.PhaseDone: 100, firstboot.PhaseNeeds: 100, firstboot.PhaseBlocked: 100,
}

// spans are the percent of the run that a step begins and ends with.
var spans = map[string][2]int{firstboot.Images: {20, 60}, firstboot.Containers: {60, 95}}

// teller turns what a pass reports into the events of a first boot. An app's percent never falls.
type teller struct {
	report func(firstboot.Event)
	now    func() time.Time
	log    *installLog

	mu      sync.Mutex
	percent map[string]int
	phase   map[string]string
}

func (t *teller) step(name string, state firstboot.StepState, text string, err error) {
	ev := firstboot.Event{Kind: firstboot.StepEvent, Step: name, State: state, Text: text}
	if err != nil {
		ev.Error = err.Error()
	}
	t.tell(ev)
}

// progress says how far a step is, by what is done of all.
func (t *teller) progress(step string, done, all int) {
	from, to := spans[step][0], spans[step][1]
	if all > 0 {
		t.tell(firstboot.Event{Kind: firstboot.StepEvent, Step: step, State: firstboot.Running, Percent: from + (to-from)*min(done, all)/all,
			Text: fmt.Sprintf("%d of %d", done, all)})
	}
}

func (t *teller) note(err error) {
	t.tell(firstboot.Event{Kind: firstboot.NoteEvent, Error: err.Error()})
}

func (t *teller) tell(ev firstboot.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ev.At = t.now().UTC()
	t.report(ev)
}

// app tells of an app; a phase that it is in already is told again only with something new about it.
func (t *teller) app(ev firstboot.Event) {
	ev.Kind = firstboot.AppEvent
	t.mu.Lock()
	defer t.mu.Unlock()
	again := t.phase[ev.App] == ev.Phase
	if again && ev.Bytes == 0 && ev.Text == "" && ev.Error == "" {
		return
	}
	t.phase[ev.App] = ev.Phase
	t.percent[ev.App] = max(t.percent[ev.App], percents[ev.Phase])
	ev.At, ev.Percent = t.now().UTC(), t.percent[ev.App]
	t.report(ev)
	if !again {
		t.log.add(ev)
	}
}

// follow tells the phases of an app as a pass comes to them. A later step may do again what an earlier one has done:
// the phase does not go back for that.
func (t *teller) follow(ev reconcile.Event) {
	phase := phaseOf(ev)
	if phase == "" || ev.Op.App == "" || ev.Done || ev.Ended != nil || percents[phase] < t.reached(ev.Op.App) {
		return
	}
	out := firstboot.Event{App: ev.Op.App, Phase: phase, Text: ev.Text, Bytes: ev.Bytes, Total: ev.Total}
	if out.Text == "" && phase == firstboot.PhasePulling {
		out.Text = ev.Op.Object
	}
	t.app(out)
}

func (t *teller) reached(app string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.percent[app]
}

func phaseOf(ev reconcile.Event) string {
	switch ev.Moment {
	case reconcile.MomentGate:
		return firstboot.PhaseWaiting
	case reconcile.MomentHooks:
		return firstboot.PhasePost
	}
	switch ev.Op.Kind {
	case reconcile.WriteSecret, reconcile.MakeDirectory, reconcile.WriteFile:
		return firstboot.PhasePreparing
	case reconcile.PullImage, reconcile.BuildImage:
		return firstboot.PhasePulling
	case reconcile.SetSecret, reconcile.WriteUnit:
		return firstboot.PhaseCreating
	case reconcile.Start, reconcile.Restart, reconcile.Replace, reconcile.StartLegacy, reconcile.Unpause:
		return firstboot.PhaseStarting
	case reconcile.Wait:
		if ev.Op.Gate != nil {
			return firstboot.PhaseWaiting
		}
	case reconcile.RunHooks:
		return firstboot.PhasePost
	}
	return ""
}

// end tells how an app came out of the pass.
func (t *teller) end(a reconcile.AppResult) {
	ev := firstboot.Event{App: a.App, Phase: firstboot.PhaseDone, Text: a.Summary()}
	if a.Action == reconcile.Installed && a.Class == reconcile.ClassOK {
		ev.Text = a.Detail // its cause is that it was not installed, which is no news of an app that is
	}
	switch a.Class {
	case reconcile.ClassFailed, reconcile.ClassNeedsHuman:
		ev.Phase, ev.Text, ev.Error = firstboot.PhaseFailed, "", why(a)
	case reconcile.ClassWaiting:
		ev.Phase = firstboot.PhaseStillBegin
		if a.Row == "24" {
			ev.Phase = firstboot.PhaseHeld
		}
	case reconcile.ClassNeedsConfig:
		ev.Phase = firstboot.PhaseNeeds
	case reconcile.ClassBlocked:
		ev.Phase = firstboot.PhaseBlocked
	}
	t.app(ev)
}

// why is an app's error with its last words, in one line.
func why(a reconcile.AppResult) string {
	e := reconcile.AppError{Message: a.Cause}
	if a.Error != nil {
		e = *a.Error
	}
	text := e.Message
	if n := len(e.LogTail); n > 0 {
		text += "; it said: " + strings.Join(e.LogTail[max(0, n-3):], " | ")
	}
	return text
}

// installLog is the file that gets a line for each phase of an app.
type installLog struct{ file *os.File }

// openLog opens the file to append to. Without it a first boot goes on, and says so.
func openLog(path string, warn func(error)) *installLog {
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		warn(fmt.Errorf("the log of installations is not written: %w", err))
		return nil
	}
	return &installLog{file}
}

// add writes a line in one piece: time, app, phase, percent, and the error of one that failed.
func (l *installLog) add(ev firstboot.Event) {
	if l == nil {
		return
	}
	words := []string{ev.At.Format(time.RFC3339), ev.App, ev.Phase, fmt.Sprint(ev.Percent), strings.ReplaceAll(ev.Error, "\n", "; ")}
	words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
	_, _ = fmt.Fprintln(l.file, strings.Join(words, " "))
}

func (l *installLog) close() {
	if l != nil {
		_ = l.file.Close()
	}
}
