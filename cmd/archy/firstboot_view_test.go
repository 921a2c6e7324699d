package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// bootSeen is a first boot of seven apps as its events tell it, an event a second. Where name is set the picture is in
// testdata/firstboot-view.txt.
var bootSeen = []struct {
	name string
	firstboot.Event
}{
	{"", firstboot.Event{Kind: firstboot.StepEvent, Step: firstboot.Preflight, State: firstboot.Done}},
	{"", firstboot.Event{Kind: firstboot.NoteEvent, Error: "preflight: less than 20 GiB are free"}},
	{"the machine", firstboot.Event{Kind: firstboot.StepEvent, Step: firstboot.Rootless, State: firstboot.Running, Text: "enable lingering of archipelago"}},
	{"", firstboot.Event{Kind: firstboot.StepEvent, Step: firstboot.Rootless, State: firstboot.Done}},
	{"", firstboot.Event{Kind: firstboot.NoteEvent, Error: "tor: no host name yet"}},
	{"", firstboot.Event{Kind: firstboot.StepEvent, Step: firstboot.Images, State: firstboot.Running, Text: "1 of 7", Percent: 25}},
	{"", appEvent("db", firstboot.PhasePulling, 20, "docker.io/example/db:v1", "")},
	{"images", firstboot.Event{Kind: firstboot.AppEvent, App: "bitcoin-knots", Phase: firstboot.PhasePulling, Percent: 20, Bytes: 12_345_678, Total: 345_000_000}},
	{"", firstboot.Event{Kind: firstboot.StepEvent, Step: firstboot.Containers, State: firstboot.Running, Percent: 60}},
	{"", appEvent("db", firstboot.PhaseDone, 100, "", "")},
	{"", appEvent("bitcoin-knots", firstboot.PhaseWaiting, 88, "waits for its health check, at most 5m0s", "")},
	{"", appEvent("lnd", firstboot.PhaseCreating, 70, "", "")},
	{"", appEvent("mempool", firstboot.PhaseCreating, 70, "", "")},
	{"containers", appEvent("web", firstboot.PhaseNeeds, 100, "its invite code is missing", "")},
	{"", appEvent("bitcoin-knots", firstboot.PhaseDone, 100, "", "")},
	{"", appEvent("lnd", firstboot.PhaseFailed, 88, "", "it ended; it said: \x1b[31mwrong password\x1b[0m\n\tand\rgone")},
	{"a failure", appEvent("stranger", firstboot.PhasePreparing, 5, "", "")},
	{"", appEvent("lnd", firstboot.PhasePreparing, 5, "told late", "")},
	{"", firstboot.Event{Kind: firstboot.NoteEvent, Text: "a long note " + strings.Repeat("with many words ", 12)}},
	{"", firstboot.Event{Kind: firstboot.StepEvent, Step: firstboot.Containers, State: firstboot.Running, Percent: 30, Text: "4 of 7"}},
	{"", appEvent("mempool", firstboot.PhaseDone, 100, "", "")},
	{"", appEvent("indexer", firstboot.PhaseHeld, 88, "dependency lnd is not up", "")},
	{"the end", firstboot.Event{Kind: firstboot.StepEvent, Step: firstboot.Marker, State: firstboot.Done, Percent: 100}},
}

func appEvent(app, phase string, percent int, text, err string) firstboot.Event {
	return firstboot.Event{Kind: firstboot.AppEvent, App: app, Phase: phase, Percent: percent, Text: text, Error: err}
}

var (
	barPercent = regexp.MustCompile(`^\[[#-]+\] +(\d+) %`)
	appPercent = regexp.MustCompile(`^    (\S+) +(\d+) %`)
)

// TestLiveView: the pictures of a first boot are those of the file. At any size no line is longer and no picture higher
// than the terminal, no line moves the cursor, and no percentage goes back.
func TestLiveView(t *testing.T) {
	const file = "testdata/firstboot-view.txt"
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	shape := bootShape{profile: "core", order: []string{"db", "bitcoin-knots", "lnd", "indexer", "mempool", "web", "page"},
		tier:  map[string]int{"db": 0, "bitcoin-knots": 1, "lnd": 2, "indexer": 2, "mempool": 3, "web": 3, "page": 4},
		needs: map[string][]string{"lnd": {"bitcoin-knots"}, "indexer": {"lnd"}, "mempool": {"db"}}}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	var golden strings.Builder
	highest := map[string]int{}
	for _, color := range []bool{false, true} {
		v := newLiveView(null, shape, color, began)
		clear(highest)
		for i, seen := range bootSeen {
			ev, now := seen.Event, began.Add(time.Duration(i+1)*time.Second)
			v.now = func() time.Time { return now }
			v.event(ev)
			later := now.Add(90 * time.Second)
			v.within(t, later)
			v.rises(t, later, highest)
			for _, size := range [][2]int{{100, 24}, {60, 10}, {24, 6}} {
				if seen.name != "" && !color {
					fmt.Fprintf(&golden, "== %s, %d x %d ==\n%s\n\n", seen.name, size[0], size[1], strings.Join(v.picture(later, size[0], size[1]), "\n"))
				}
			}
		}
		v.end()
	}
	if os.Getenv("ARCHY_TEST_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(golden.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != golden.String() {
		t.Errorf("%v; the pictures differ from %s (ARCHY_TEST_UPDATE=1 writes it):\n%s", err, file, golden.String())
	}
}

// TestAClockThatIsSet: how long an app is at it is what has passed, whatever the clock says that its child goes by.
func TestAClockThatIsSet(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	v := newLiveView(null, bootShape{order: []string{"db"}}, false, now)
	v.now = func() time.Time { return now }
	ev := appEvent("db", firstboot.PhasePulling, 20, "", "")
	ev.At = now.AddDate(-2, 0, 0) // before the time came from the network
	v.event(ev)
	if text := strings.Join(v.picture(now.Add(7*time.Second), 100, 24), "\n"); !strings.Contains(text, "PullingImage       0:07") {
		t.Error(text)
	}
}

// within draws at many sizes.
func (v *liveView) within(t *testing.T, now time.Time) {
	t.Helper()
	for _, columns := range []int{0, 1, 2, 10, 19, 20, 33, 40, 79, 80, 132, 300} {
		for most := range 30 {
			lines := v.picture(now, columns, most)
			if len(lines) > most {
				t.Fatalf("%d lines in %d:\n%s", len(lines), most, strings.Join(lines, "\n"))
			}
			for _, line := range lines {
				if ansi.StringWidth(line) > columns {
					t.Fatalf("%d columns in %d: %q", ansi.StringWidth(line), columns, line)
				}
				if plain := strings.NewReplacer(bold, "", reset, "").Replace(line); strings.ContainsAny(plain, "\x1b\n\r\t") || !v.color && plain != line {
					t.Fatalf("it moves the cursor: %q", line)
				}
			}
		}
	}
}

// rises looks at the percentages of a picture that has room for all.
func (v *liveView) rises(t *testing.T, now time.Time, highest map[string]int) {
	t.Helper()
	for _, line := range v.picture(now, 300, 100) {
		name, percent := "", ""
		if m := barPercent.FindStringSubmatch(line); m != nil {
			percent = m[1]
		} else if m := appPercent.FindStringSubmatch(line); m != nil {
			name, percent = m[1], m[2]
		} else {
			continue
		}
		n, err := strconv.Atoi(percent)
		if err != nil || n < highest[name] {
			t.Errorf("%q went from %d %% to %q", name, highest[name], line)
		}
		highest[name] = n
	}
}

// TestBootShape: the tiers and needs of the view are those of the manifests.
func TestBootShape(t *testing.T) {
	e := &env{cli: &cli{}, State: new(state.Store)}
	e.Layout.ManifestDir, e.Layout.Root = "/opt/archipelago/apps", t.TempDir()
	e.loadManifests()
	shape := e.bootShape(firstboot.Selection{Profile: "apps", Apps: []string{"bitcoin-core", "lnd", "lnd-ui"}})
	if shape.tier["lnd-ui"] != 4 || shape.tier["lnd"] != e.Set.Apps["lnd"].Tier() || len(shape.tier) != len(e.Set.Apps) {
		t.Errorf("tiers %v", shape.tier)
	}
	if !slices.Contains(shape.needs["lnd"], "bitcoin-core") || slices.Contains(shape.needs["lnd"], "bitcoin-knots") {
		t.Errorf("lnd needs %q, the bitcoin of this node is core", shape.needs["lnd"])
	}
}
