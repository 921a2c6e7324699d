package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// A diary is bounded: the oldest entries go first.
const (
	DiaryEntries = 200
	DiaryBytes   = 64 << 10
	// diaryText is the length at which a text of an entry is cut.
	diaryText = 1 << 10
	// diaryRead bounds what is read of a diary that something else has made large.
	diaryRead = 16 * DiaryBytes
)

// Entry is one thing that archy did to an app, or a change of the app's state that it found: a line of
// state/history/<id>.jsonl. It holds no log lines: the journal has them, and no file that others may read shall.
type Entry struct {
	Schema int       `json:"schema"`
	At     time.Time `json:"at"`
	App    string    `json:"app"`
	// Command is what was run: reconcile, start, first-boot ...
	Command string `json:"command"`
	// Action is what was done, or Found where a pass only found the app in another state.
	Action  string `json:"action"`
	Changed bool   `json:"changed"`
	Cause   string `json:"cause,omitempty"`
	// Result is the class of the outcome: ok, waiting, failed, needs_human ... and State how the app was afterwards.
	Result string `json:"result"`
	State  string `json:"state,omitempty"`
	// Code, Error and Hint say why it failed.
	Code  string `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
	// DurationMS is how long it took.
	DurationMS int64 `json:"duration_ms,omitempty"`
}

// Bad tells that the entry is of something that failed.
func (e Entry) Bad() bool { return e.Result == "failed" || e.Result == "needs_human" }

// Diary writes down what one command does. Its zero value writes nothing.
type Diary struct {
	Store   *Store
	Locks   *Locks
	Command string
	Now     func() time.Time
}

// diaryWait is how long a diary waits for that of another command.
const diaryWait = 5 * time.Second

// Keep adds entries to the diaries of their apps, and remembers which apps are not as they should be: mood is a word for
// each app that was looked at, "" for one that is as it should be. Found entries are those to write for an app only when
// its mood is another than at the last look. With no entry and nothing changed it writes nothing and takes no lock.
func (d Diary) Keep(ctx context.Context, done []Entry, mood map[string]string, found func(app string, before string) Entry) error {
	if d.Store == nil {
		return nil
	}
	if before, err := d.Store.readMoods(); err == nil && len(done) == 0 && len(changedMoods(before, mood)) == 0 {
		return nil
	}
	lock, err := d.Locks.Diary(ctx, diaryWait)
	if err != nil {
		return fmt.Errorf("what was done is not written down: %w", err)
	}
	defer lock.Release()
	before, err := d.Store.readMoods()
	errs := []error{d.Store.replaceable(d.Store.moodsPath(), err)}
	told := map[string]bool{}
	for _, e := range done {
		told[e.App] = true
	}
	changed := changedMoods(before, mood)
	for _, app := range changed {
		if !told[app] {
			done = append(done, found(app, before[app]))
		}
	}
	for app, list := range byApp(done) {
		errs = append(errs, d.append(app, list))
	}
	if len(changed) > 0 {
		errs = append(errs, d.Store.writeMoods(before, mood))
	}
	return errors.Join(errs...)
}

func changedMoods(before, now map[string]string) []string {
	var list []string
	for _, app := range slices.Sorted(maps.Keys(now)) {
		if before[app] != now[app] {
			list = append(list, app)
		}
	}
	return list
}

func byApp(list []Entry) map[string][]Entry {
	out := map[string][]Entry{}
	for _, e := range list {
		out[e.App] = append(out[e.App], e)
	}
	return out
}

func (d Diary) append(app string, list []Entry) error {
	now := time.Now
	if d.Now != nil {
		now = d.Now
	}
	for i := range list {
		list[i].Schema, list[i].Command = Schema, d.Command
		if list[i].At.IsZero() {
			list[i].At = now().UTC()
		}
	}
	return d.Store.appendDiary(app, list)
}

func (s *Store) diaryPath(app string) string { return s.layout.State("history", app+".jsonl") }

// ReadDiary reads what archy did to an app, oldest first. An error is a Problem: the entries before the line that cannot
// be understood are there all the same.
func (s *Store) ReadDiary(app string) ([]Entry, error) {
	if app == "" || strings.ContainsAny(app, "/\x00") || strings.HasPrefix(app, ".") {
		return nil, fmt.Errorf("%q is no app", app)
	}
	path := s.diaryPath(app)
	data, err := readBounded(s.layout.Host(path), diaryRead)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, Problem{Path: path, App: app, Err: bare(err)}
	}
	list, err := parseDiary(data)
	if err != nil {
		return list, Problem{Path: path, App: app, Err: err}
	}
	return list, nil
}

func parseDiary(data []byte) ([]Entry, error) {
	var list []Entry
	for n, rest := 1, data; len(rest) > 0; n++ {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		rest = after
		var e Entry
		if !whole {
			return list, fmt.Errorf("line %d is cut short", n)
		}
		if err := decode(line, &e); err != nil {
			return list, fmt.Errorf("line %d: %w", n, err)
		}
		list = append(list, e)
	}
	return list, nil
}

// appendDiary replaces the diary by itself with these entries at its end. One that cannot be understood is kept aside, and
// what could be read of it goes on in the new one.
func (s *Store) appendDiary(app string, more []Entry) error {
	path := s.diaryPath(app)
	list, err := s.ReadDiary(app)
	if err := s.replaceable(path, err); err != nil {
		return err
	}
	var lines [][]byte
	for _, e := range append(list, more...) {
		line, err := json.Marshal(e.cut())
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		lines = append(lines, append(line, '\n'))
	}
	// Not worth the reserve of a full disk: what archy did is told, what it must remember is elsewhere.
	if err := s.writeOnce(path, bytes.Join(bounded(lines), nil), 0o644); err != nil {
		return fmt.Errorf("%s: %w", path, bare(err))
	}
	return nil
}

// bounded keeps the youngest lines.
func bounded(lines [][]byte) [][]byte {
	first, size := len(lines), 0
	for first > 0 && len(lines)-first < DiaryEntries && size+len(lines[first-1]) <= DiaryBytes {
		first--
		size += len(lines[first])
	}
	return lines[first:]
}

// cut bounds the texts of an entry.
func (e Entry) cut() Entry {
	for _, text := range []*string{&e.Cause, &e.Error, &e.Hint} {
		*text = clip(*text)
	}
	return e
}

func clip(text string) string {
	if len(text) <= diaryText {
		return text
	}
	return strings.ToValidUTF8(text[:diaryText], "") + "…"
}

func readBounded(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > most {
		return nil, fmt.Errorf("%d bytes are too many for a diary", info.Size())
	}
	return os.ReadFile(path)
}

// moods are the apps that are not as they should be, each with a word for how they are. The file is absent when all are.
type moods struct {
	Schema int               `json:"schema"`
	Apps   map[string]string `json:"apps"`
}

func (s *Store) moodsPath() string { return s.layout.State("history", "open.json") }

func (s *Store) readMoods() (map[string]string, error) {
	var m moods
	_, err := s.read(s.moodsPath(), &m)
	return m.Apps, err
}

func (s *Store) writeMoods(before, now map[string]string) error {
	all := map[string]string{}
	maps.Copy(all, before)
	maps.Copy(all, now)
	maps.DeleteFunc(all, func(_, mood string) bool { return mood == "" })
	if len(all) == 0 {
		return s.remove(s.moodsPath())
	}
	data, err := json.Marshal(moods{Schema: Schema, Apps: all})
	if err != nil {
		return err
	}
	if err := s.writeOnce(s.moodsPath(), append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("%s: %w", s.moodsPath(), bare(err))
	}
	return nil
}
