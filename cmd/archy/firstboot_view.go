package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"

	"git.tx1138.com/lfg2025/archy/internal/firstboot"
)

// bootView shows a first boot while it runs.
type bootView interface {
	event(firstboot.Event)
	end()
}

// bootView is JSON lines when asked for, one view that is drawn again and again on a terminal, else a line an event.
func (e *env) bootView(s firstboot.Selection) bootView {
	switch f, _ := e.err.(*os.File); {
	case e.json:
		return jsonView{e.eventLines()}
	case e.quiet:
		return quietView{}
	case f != nil && term.IsTerminal(int(f.Fd())) && e.variable("TERM") != "dumb":
		return newLiveView(f, s, !e.noColor && e.variable("NO_COLOR") == "")
	}
	return &lineView{w: e.err, verbose: e.verbose, apps: map[string]string{}}
}

type jsonView struct{ print func(firstboot.Event) }

func (v jsonView) event(ev firstboot.Event) { v.print(ev) }
func (jsonView) end()                       {}

type quietView struct{}

func (quietView) event(firstboot.Event) {}
func (quietView) end()                  {}

// lineView prints a line an event, for the journal. What only grows, as the bytes of an image, is left out.
type lineView struct {
	w       io.Writer
	verbose bool
	apps    map[string]string
}

func (v *lineView) event(ev firstboot.Event) {
	if line := v.line(ev); line != "" {
		fmt.Fprintln(v.w, line)
	}
}

func (v *lineView) end() {}

func (v *lineView) line(ev firstboot.Event) string {
	head := fmt.Sprintf("%3d %%  ", ev.Percent)
	switch ev.Kind {
	case firstboot.AppEvent:
		if v.apps[ev.App] == ev.Phase {
			return ""
		}
		v.apps[ev.App] = ev.Phase
		return "       " + strings.TrimRight(ev.App+": "+ev.Phase+said(ev), " ")
	case firstboot.NoteEvent:
		if ev.Error != "" {
			return "       warning: " + ev.Error
		}
		return "       " + ev.Text
	case firstboot.StepEvent:
		if ev.State == firstboot.Running && ev.Text == "" && ev.Step != "" {
			return head + ev.Step
		}
		return head + strings.TrimRight(ev.Step+": "+stepWords(ev), " ")
	}
	return head + strings.TrimPrefix(said(ev), ": ")
}

func stepWords(ev firstboot.Event) string {
	if ev.State == firstboot.Running {
		return ev.Text
	}
	return string(ev.State) + said(ev)
}

// said is what an event says, its error first.
func said(ev firstboot.Event) string {
	switch {
	case ev.Error != "":
		return ": " + ev.Error
	case ev.Text != "":
		return ": " + ev.Text
	}
	return ""
}

// liveView draws the whole first boot in place, twice a second and at each event.
type liveView struct {
	w     *os.File
	color bool
	began time.Time
	stop  chan struct{}
	done  sync.WaitGroup

	mu       sync.Mutex
	progress firstboot.Progress
	doing    string
	apps     map[string]liveApp
	order    []string
	notes    []string
	drawn    int
}

// liveApp is an app on the screen.
type liveApp struct {
	firstboot.Event
	since time.Time
}

func newLiveView(w *os.File, s firstboot.Selection, color bool) *liveView {
	v := &liveView{w: w, color: color, began: time.Now(), stop: make(chan struct{}), apps: map[string]liveApp{}, order: s.Apps,
		progress: firstboot.NewProgress("", s.Profile, time.Now())}
	v.done.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-v.stop:
				return
			case <-tick.C:
				v.mu.Lock()
				v.draw()
				v.mu.Unlock()
			}
		}
	})
	return v
}

func (v *liveView) event(ev firstboot.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.progress.Add(&ev)
	switch ev.Kind {
	case firstboot.AppEvent:
		one := liveApp{ev, ev.At}
		if before, ok := v.apps[ev.App]; ok && before.Phase == ev.Phase {
			one.since = before.since
		}
		v.apps[ev.App] = one
	case firstboot.StepEvent:
		v.doing = ev.Text
	case firstboot.NoteEvent:
		mark := "  "
		if ev.Error != "" {
			mark = "! "
		}
		v.notes = append(v.notes, mark+strings.TrimPrefix(said(ev), ": "))
	}
	v.draw()
}

// end leaves the last picture on the screen.
func (v *liveView) end() {
	close(v.stop)
	v.done.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.doing = ""
	v.draw()
}

// draw writes the picture over the last one. It keeps to the height of the terminal: what scrolled away could not be
// drawn over.
func (v *liveView) draw() {
	width, height, err := term.GetSize(int(v.w.Fd()))
	if err != nil || width < 20 {
		width, height = 80, 24
	}
	lines := v.picture(time.Now(), height-1)
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn)
	}
	b.WriteString("\r")
	for _, line := range lines {
		b.WriteString(ansi.Truncate(line, width-1, "…") + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	v.drawn = len(lines)
	_, _ = io.WriteString(v.w, b.String())
}

// picture is what is to be seen: the bar, the steps, the apps that are not ready, the notes.
func (v *liveView) picture(now time.Time, most int) []string {
	lines := []string{fmt.Sprintf("%s %3d %%  %s  %s", bar(v.progress.Percent), v.progress.Percent, clock(now.Sub(v.began)), v.bold("first boot, "+v.progress.Profile))}
	lines = append(lines, v.steps())
	if v.doing != "" {
		lines = append(lines, "  "+v.doing)
	}
	apps := v.appLines(now)
	notes := v.notes[max(0, len(v.notes)-3):]
	if room := most - len(lines) - len(notes); len(apps) > max(room, 1) {
		cut := max(room-1, 0)
		apps = append(apps[:cut], fmt.Sprintf("  and %d more", len(apps)-cut))
	}
	return slices.Concat(lines, apps, notes)
}

const barWidth = 24

func bar(percent int) string {
	full := barWidth * min(percent, 100) / 100
	return "[" + strings.Repeat("#", full) + strings.Repeat("-", barWidth-full) + "]"
}

func (v *liveView) bold(text string) string {
	if !v.color {
		return text
	}
	return bold + text + reset
}

// steps are all steps in one line, with the one that runs in brackets.
func (v *liveView) steps() string {
	var words []string
	for _, s := range v.progress.Steps {
		switch s.State {
		case firstboot.Done:
			words = append(words, s.Name+" ok")
		case firstboot.Running:
			words = append(words, v.bold("["+s.Name+"]"))
		case firstboot.Failed:
			words = append(words, v.bold(s.Name+" failed"))
		case firstboot.Skipped:
			words = append(words, s.Name+" -")
		}
	}
	// The last ones are the news.
	return "  " + strings.Join(words[max(0, len(words)-6):], "  ")
}

// appLines are the apps in their order, those that are ready in one line.
func (v *liveView) appLines(now time.Time) (lines []string) {
	var ready []string
	for _, id := range v.appOrder() {
		a := v.apps[id]
		if a.Phase == firstboot.PhaseDone {
			ready = append(ready, id)
			continue
		}
		lines = append(lines, fmt.Sprintf("  %-20s %3d %%  %-18s %s", id, a.Percent, a.Phase, appDetail(a, now)))
	}
	if len(ready) > 0 {
		lines = append(lines, fmt.Sprintf("  ready (%d): %s", len(ready), strings.Join(ready, " ")))
	}
	return lines
}

func (v *liveView) appOrder() []string {
	order := slices.DeleteFunc(slices.Clone(v.order), func(id string) bool { _, ok := v.apps[id]; return !ok })
	for _, id := range slices.Sorted(maps.Keys(v.apps)) {
		if !slices.Contains(order, id) {
			order = append(order, id)
		}
	}
	return order
}

// appDetail is how much has come, or what is waited for, and since when.
func appDetail(a liveApp, now time.Time) string {
	detail := strings.TrimPrefix(said(a.Event), ": ")
	switch {
	case a.Error == "" && a.Total > 0:
		detail = fmt.Sprintf("%s of %s", megabytes(a.Bytes), megabytes(a.Total))
	case a.Error == "" && a.Bytes > 0:
		detail = megabytes(a.Bytes)
	}
	if since := now.Sub(a.since); since >= time.Second && a.Phase != firstboot.PhaseFailed {
		detail = strings.TrimSpace(clock(since) + "  " + detail)
	}
	return detail
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
