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
	"unicode"

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
		return startLiveView(f, e.bootShape(s), !e.noColor && e.variable("NO_COLOR") == "")
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

// bootShape is how the apps of a first boot hang together.
type bootShape struct {
	profile string
	order   []string
	tier    map[string]int
	needs   map[string][]string
}

func (e *env) bootShape(s firstboot.Selection) bootShape {
	shape := bootShape{profile: s.Profile, order: s.Apps, tier: map[string]int{}, needs: map[string][]string{}}
	for id, app := range e.Set.Apps {
		shape.tier[id] = app.Tier()
	}
	chosen := func(id string) bool { return slices.Contains(s.Apps, id) }
	for _, id := range s.Apps {
		for _, n := range e.Set.Needs(id) {
			shape.needs[id] = append(shape.needs[id], e.Set.Provider(n.AppID, chosen))
		}
	}
	return shape
}

// liveView draws the whole first boot in place, twice a second and at each event.
type liveView struct {
	bootShape
	w     *os.File
	color bool
	began time.Time
	now   func() time.Time
	stop  chan struct{}
	done  sync.WaitGroup

	mu       sync.Mutex
	progress firstboot.Progress
	doing    string
	apps     map[string]liveApp
	notes    []string
	drawn    int
}

// liveApp is an app on the screen.
type liveApp struct {
	firstboot.Event
	since time.Time
}

func newLiveView(w *os.File, shape bootShape, color bool, began time.Time) *liveView {
	return &liveView{bootShape: shape, w: w, color: color, began: began, now: time.Now, stop: make(chan struct{}), apps: map[string]liveApp{},
		progress: firstboot.NewProgress("", shape.profile, began)}
}

func startLiveView(w *os.File, shape bootShape, color bool) *liveView {
	v := newLiveView(w, shape, color, time.Now())
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
	ev.Text, ev.Error = oneLine(ev.Text), oneLine(ev.Error)
	switch ev.Kind {
	case firstboot.AppEvent:
		one := liveApp{ev, v.now()} // not when the child says that it was: the clock is often set in a first boot
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

// oneLine keeps what an app's log may hold from moving the cursor.
func oneLine(text string) string {
	printable := func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}
	return strings.Join(strings.Fields(strings.Map(printable, text)), " ")
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
	if err != nil || width < 1 {
		width, height = 80, 24
	}
	lines := v.picture(v.now(), width-1, height-1)
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn)
	}
	b.WriteString("\r")
	for _, line := range lines {
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	v.drawn = len(lines)
	_, _ = io.WriteString(v.w, b.String())
}

// picture is what is to be seen, in at most so many columns and lines: the bar, the steps, the tiers with the apps that are
// not ready, the notes. Where there is no room the notes go first, then the last apps.
func (v *liveView) picture(now time.Time, columns, most int) []string {
	lines := []string{fmt.Sprintf("%s %3d %%  %s  %s", bar(v.progress.Percent), v.progress.Percent, clock(now.Sub(v.began)), v.bold("first boot, "+v.progress.Profile))}
	lines = append(lines, v.steps(columns))
	if v.doing != "" {
		lines = append(lines, "  "+v.doing)
	}
	notes := v.notes[max(0, len(v.notes)-3):]
	if len(lines)+fewTiers+len(notes) > most {
		notes = nil
	}
	lines = slices.Concat(lines, fitting(v.tierLines(now), most-len(lines)-len(notes)), notes)
	lines = lines[:max(0, min(len(lines), most))]
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, columns, "…")
	}
	return lines
}

// fewTiers are the lines about tiers and apps that come before any note.
const fewTiers = 3

// tierLine is a line about tiers and apps; apps is how many it tells of that no other line does.
type tierLine struct {
	text string
	apps int
}

// fitting are the lines that there is room for, and how many apps are in the others.
func fitting(list []tierLine, room int) (lines []string) {
	cut := len(list)
	if cut > room {
		cut = max(room-1, 0)
	}
	for _, line := range list[:cut] {
		lines = append(lines, line.text)
	}
	more := 0
	for _, line := range list[cut:] {
		more += line.apps
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more %s", more, plural(more, "app")))
	}
	return lines
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

// steps are the steps in one line, with the one that runs in brackets.
func (v *liveView) steps(columns int) string {
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
	words = words[max(0, len(words)-6):]
	for len(words) > 1 && ansi.StringWidth(strings.Join(words, "  "))+2 > columns {
		words = words[1:]
	}
	return "  " + strings.Join(words, "  ")
}

// tierLines are the tiers in their order: how many apps of each are ready, and a line for each that is begun and not ready.
func (v *liveView) tierLines(now time.Time) (lines []tierLine) {
	tiers := map[int][]string{}
	for _, id := range v.appOrder() {
		tiers[v.tierOf(id)] = append(tiers[v.tierOf(id)], id)
	}
	for _, tier := range slices.Sorted(maps.Keys(tiers)) {
		var ready []string
		var apps []tierLine
		for _, id := range tiers[tier] {
			switch a, begun := v.apps[id]; {
			case a.Phase == firstboot.PhaseDone:
				ready = append(ready, id)
			case begun:
				apps = append(apps, tierLine{strings.TrimRight(fmt.Sprintf("    %-20s %3d %%  %-18s %s", id, a.Percent, a.Phase, v.appDetail(a, now)), " "), 1})
			}
		}
		head := fmt.Sprintf("  tier %d: %d of %d ready  %s", tier, len(ready), len(tiers[tier]), strings.Join(ready, " "))
		lines = append(append(lines, tierLine{strings.TrimRight(head, " "), len(tiers[tier]) - len(apps)}), apps...)
	}
	return lines
}

// tierOf is an app's tier; one that no manifest tells of is counted among the others that are nobody's base.
func (v *liveView) tierOf(id string) int {
	if tier, ok := v.tier[id]; ok {
		return tier
	}
	return 3
}

// appOrder are the chosen apps in their order, and whatever else was told of.
func (v *liveView) appOrder() []string {
	order := slices.Clone(v.order)
	for _, id := range slices.Sorted(maps.Keys(v.apps)) {
		if !slices.Contains(order, id) {
			order = append(order, id)
		}
	}
	return order
}

// waitsFor is what an app that is made and not started waits for: an app that it needs, or its turn.
func (v *liveView) waitsFor(id string) string {
	for _, need := range v.needs[id] {
		if !v.over(need) {
			return "waits for " + need
		}
	}
	return "waits for its turn"
}

// over tells that nothing more becomes of an app in this run.
func (v *liveView) over(id string) bool {
	return slices.Contains([]string{firstboot.PhaseDone, firstboot.PhaseFailed, firstboot.PhaseNeeds, firstboot.PhaseBlocked, firstboot.PhaseStillBegin, firstboot.PhaseHeld},
		v.apps[id].Phase)
}

// appDetail is how much has come, or what is waited for, and since when.
func (v *liveView) appDetail(a liveApp, now time.Time) string {
	detail := strings.TrimPrefix(said(a.Event), ": ")
	switch {
	case detail == "" && a.Phase == firstboot.PhaseCreating:
		detail = v.waitsFor(a.App)
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
