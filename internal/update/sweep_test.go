package update

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// scenario is an update with the verdict that it must come to, whatever happens on the way.
type scenario struct {
	name           string
	pages, program string
	answers        func(n int) (bool, string)
	want           State
}

var scenarios = []scenario{
	{"good update", "good", "good", nil, Committed},
	{"bad page", "bad", "good", nil, RolledBack},
	{"bad backend", "good", "bad", nil, RolledBack},
	{"rollback that does not help", "bad", "bad", func(int) (bool, string) { return false, "GET / → 500" }, RollbackFailed},
}

// begin is the scenario right after the mark, with something for a commit to remove.
func (s scenario) begin(t *testing.T) *world {
	w := newWorld(t, s.pages, s.program)
	w.answers = s.answers
	// Four probes instead of 18 have all kinds of events, and a sweep is their number squared.
	w.windows.Probes = 17 * time.Second
	for _, stamp := range []string{"20260201T000000Z", "20260202T000000Z", "20260203T000000Z"} {
		w.put(webUI+".failed."+stamp+"/index.html", "quarantined "+stamp)
	}
	w.mark()
	return w
}

// whole wants the verdict's tree: nothing lost, nothing half.
func (s scenario) whole(w *world, m *Marker, before map[string]bool) {
	w.t.Helper()
	if s.want == Committed {
		delete(before, "quarantined 20260201T000000Z")
		for path, text := range map[string]string{webUI + "/index.html": s.pages, binary: s.program, webUI + ".bak/index.html": "old", binary + ".bak": "old"} {
			if got := w.get(path); got != text {
				w.t.Errorf("%s: %q, want %q", path, got, text)
			}
		}
	} else {
		w.isOld(m)
	}
	w.nothingLost(before)
	if strings.Contains(w.tree(), "archy-new") || w.updater().exists("/var/lib/archipelago/state/update-pending.json") {
		w.t.Errorf("left over:\n%s", w.tree())
	}
	if len(w.reports) == 0 || slices.ContainsFunc(w.reports, func(r State) bool { return r != s.want }) {
		w.t.Errorf("journal: %v", w.reports)
	}
}

// after are ways in which the next run comes about.
var after = map[string]func(*world){
	"started again":     func(*world) {},
	"after a power cut": func(w *world) { w.reboot(30 * time.Second) },
}

// A run that is killed before or after any external call or write is continued rightly by the next: the same verdict, the
// same tree, and no probe of what is decided (prober checks that).
func TestKilledAnywhere(t *testing.T) {
	for _, s := range scenarios {
		for how, next := range after {
			t.Run(s.name+", "+how, func(t *testing.T) {
				kills := 0
				for k := 1; ; k++ {
					w := s.begin(t)
					before := w.contents()
					w.killAt = k
					if _, dead, err := w.verify(); !dead {
						if err != nil {
							t.Fatal(err)
						}
						break
					}
					kills++
					event := w.events[len(w.events)-1]
					w.killAt = 0
					next(w)
					r, _, err := w.verify()
					if err != nil {
						t.Fatalf("killed %s: %v", event, err)
					}
					m := r.Marker
					if m == nil { // it had been put away already
						if m, err = w.updater().Last(); err != nil || event != "after rename update-pending.json update-last.json" {
							t.Fatalf("killed %s: %v", event, err)
						}
					}
					if m.State != s.want {
						t.Fatalf("killed %s: %s, want %s\n%s", event, m.State, s.want, strings.Join(w.said, "\n"))
					}
					s.whole(w, m, before)
					if t.Failed() {
						t.Fatalf("killed %s", event)
					}
				}
				if kills < 20 {
					t.Errorf("%d kills only", kills)
				}
			})
		}
	}
}

// A rollback that is killed again and again, at each of its events in turn, still comes to its end.
func TestKilledAgainAndAgain(t *testing.T) {
	w := scenarios[1].begin(t)
	before := w.contents()
	w.killAfter("write update-pending.json rolling-back 0")
	for step := 1; ; step++ {
		w.killAt = len(w.events) + step
		r, dead, err := w.verify()
		if err != nil {
			t.Fatal(err)
		}
		if !dead {
			if r.Marker.State != RolledBack {
				t.Fatalf("%+v", r.Marker)
			}
			scenarios[1].whole(w, r.Marker, before)
			return
		}
		w.reboot(time.Second)
	}
}

// A call or write that fails never loses anything: the run says so, or the verdict is that the rollback failed, or it did
// not matter; and a run by hand afterwards brings the old version back.
func TestAnyFailure(t *testing.T) {
	for _, s := range scenarios[:3] {
		t.Run(s.name, func(t *testing.T) {
			for k := 1; ; k++ {
				w := s.begin(t)
				before := w.contents()
				w.failAt = k
				r, _, err := w.verify()
				if w.calls < k {
					break
				}
				w.failAt = 0
				if err != nil && !errors.Is(err, errMadeUp) {
					t.Fatalf("call %d: %v", k, err)
				}
				if err == nil && r.Marker.State != s.want && r.Marker.State != RollbackFailed {
					t.Fatalf("call %d fails: %s", k, r.Marker.State)
				}
				if s.want == Committed && err == nil && r.Marker.State != Committed {
					t.Fatalf("call %d fails: a good update is %s (%s)", k, r.Marker.State, r.Marker.Reason)
				}
				if s.want == Committed {
					delete(before, "quarantined 20260201T000000Z")
				}
				w.nothingLost(before)
				if r.Marker != nil && r.Marker.State == RollbackFailed {
					w.decided = false
					r, _, err := w.run((*Updater).Rollback)
					if err != nil || r.Marker.State != RolledBack {
						t.Fatalf("call %d failed, and then by hand: %+v %v", k, r.Marker, err)
					}
					w.nothingLost(before)
					if w.running != "old" || w.get(webUI+"/index.html") != "old" {
						t.Fatalf("call %d failed, and then by hand:\n%s", k, w.tree())
					}
				}
			}
		})
	}
}

// A mark that is killed leaves a whole marker or none.
func TestMarkKilledAnywhere(t *testing.T) {
	for k := 1; ; k++ {
		w := newWorld(t, "good", "good")
		w.killAt = k
		_, dead, err := w.run(func(u *Updater, ctx context.Context) (Result, error) {
			_, err := u.Mark(ctx, MarkOptions{Old: "1.0.0", New: "2.0.0"})
			return Result{}, err
		})
		if err != nil {
			t.Fatal(err)
		}
		if !dead {
			if k < 4 {
				t.Errorf("%d events only", k-1)
			}
			return
		}
		m, err := w.updater().Pending()
		if err != nil || m != nil && m.State != Pending {
			t.Fatalf("killed %s: %+v %v", w.events[k-1], m, err)
		}
	}
}
