package state

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func diaryOf(s *Store) Diary {
	return Diary{Store: s, Locks: NewLocks(s.layout), Command: "reconcile", Now: func() time.Time { return t0 }}
}

func keep(t *testing.T, d Diary, mood map[string]string, done ...Entry) {
	t.Helper()
	err := d.Keep(context.Background(), done, mood, func(app, before string) Entry {
		return Entry{App: app, Action: "Found", Cause: "was " + before, Result: "ok"}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func actionsOf(t *testing.T, s *Store, app string) string {
	t.Helper()
	list, err := s.ReadDiary(app)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, e := range list {
		words = append(words, e.Command+" "+e.Action)
	}
	return strings.Join(words, ", ")
}

func TestDiaryTellsWhatWasDoneAndFound(t *testing.T) {
	s := newStore(t)
	d := diaryOf(s)
	keep(t, d, map[string]string{"lnd": "", "web": ""})
	if got := names(t, s.host("state")); len(got) > 0 {
		t.Fatalf("a pass with nothing to tell wrote %v", got)
	}
	keep(t, d, map[string]string{"lnd": "waiting/2"}, Entry{App: "lnd", Action: "Started", Changed: true, Result: "waiting"})
	keep(t, d, map[string]string{"lnd": "waiting/2"})
	keep(t, d, map[string]string{"lnd": ""})
	if got := actionsOf(t, s, "lnd"); got != "reconcile Started, reconcile Found" {
		t.Errorf("lnd: %s", got)
	}
	if got := names(t, s.host("state/history")); len(got) != 1 || got[0] != "lnd.jsonl" {
		t.Errorf("files %v: with every app well nothing else is kept", got)
	}
	info, err := os.Stat(s.host("state/history/lnd.jsonl"))
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestDiaryIsBounded(t *testing.T) {
	s := newStore(t)
	for range 30 {
		var list []Entry
		for i := range 20 {
			list = append(list, Entry{App: "lnd", Action: fmt.Sprint(i), Cause: strings.Repeat("x", 5000), Result: "failed"})
		}
		keep(t, diaryOf(s), nil, list...)
	}
	if data := get(t, s.host("state/history/lnd.jsonl")); len(data) > DiaryBytes {
		t.Errorf("%d bytes", len(data))
	}
	list, err := s.ReadDiary("lnd")
	if err != nil || len(list) < 20 || list[len(list)-1].Action != "19" {
		t.Errorf("%d entries, %v", len(list), err)
	}
}

func TestDiaryThatCannotBeUnderstoodIsKeptAside(t *testing.T) {
	good := `{"schema":1,"at":"2026-01-01T00:00:00Z","app":"lnd","action":"Started","result":"ok"}` + "\n"
	for name, c := range map[string]struct {
		text string
		left int
	}{
		"cut short":      {good + `{"schema":1,"at":"2026-`, 1},
		"of a newer one": {`{"schema":2,"what":"else"}` + "\n", 0},
		"no JSON":        {good + good + "\x00\x00\n" + good, 2},
		"too large":      {strings.Repeat(good, diaryRead/len(good)+1), 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			put(t, s.host("state/history/lnd.jsonl"), c.text)
			list, err := s.ReadDiary("lnd")
			if err == nil || len(list) != c.left || !strings.Contains(err.Error(), "state/history/lnd.jsonl") {
				t.Fatalf("%d entries, %v", len(list), err)
			}
			keep(t, diaryOf(s), nil, Entry{App: "lnd", Action: "Stopped", Result: "ok"})
			if list, err := s.ReadDiary("lnd"); err != nil || len(list) != c.left+1 {
				t.Errorf("afterwards %d entries, %v", len(list), err)
			}
			files := names(t, s.host("state/history"))
			if len(files) != 2 || get(t, s.host("state/history", files[1])) != c.text {
				t.Errorf("the old one is not there as it was: %v", files)
			}
		})
	}
}

func TestDiaryOfAPathIsRefused(t *testing.T) {
	s := newStore(t)
	for _, app := range []string{"", "../x", "a/b", ".hidden", "a\x00"} {
		if _, err := s.ReadDiary(app); err == nil {
			t.Errorf("%q", app)
		}
	}
}

// Commands at the same time forget nothing of each other.
func TestDiaryOfSeveralCommands(t *testing.T) {
	s := newStore(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			d := diaryOf(s)
			d.Command = fmt.Sprint(i)
			if err := d.Keep(context.Background(), []Entry{{App: "lnd", Action: "Started", Result: "ok"}}, nil, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if list, err := s.ReadDiary("lnd"); err != nil || len(list) != 8 {
		t.Errorf("%d entries, %v", len(list), err)
	}
}
