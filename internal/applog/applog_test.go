package applog

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
)

// said is a program that prints these lines.
type said struct {
	lines []string
	err   error
	argv  string
	stall time.Duration
	join  bool
}

func (s *said) Lines(_ context.Context, c command.Cmd, stall time.Duration, line func([]byte) error) error {
	s.argv, s.stall, s.join = strings.Join(c.Argv, " "), stall, c.Join
	for _, l := range s.lines {
		if err := line([]byte(l)); err != nil {
			return err
		}
	}
	return s.err
}

func read(t *testing.T, s *said, from Source, o Options, secrets ...string) []Line {
	t.Helper()
	var got []Line
	if err := Read(t.Context(), s, from, o, NewMask(secrets), func(l Line) error { got = append(got, l); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTheJournalOfAService(t *testing.T) {
	s := &said{lines: []string{
		`{"__REALTIME_TIMESTAMP":"1767225600000000","MESSAGE":"password=hunter22 taken\n"}`,
		`{"__REALTIME_TIMESTAMP":"1767225601000000","MESSAGE":[104,105,255]}`,
		`not JSON with hunter22`,
	}}
	got := read(t, s, Source{App: "mempool", Container: "archy-mempool-web"}, Options{Lines: 100}, "hunter22")
	if s.argv != "journalctl --user --unit=archy-mempool-web.service --output=json --output-fields=MESSAGE --all --quiet --no-pager --lines=100" || s.stall == 0 {
		t.Errorf("it asks %s, and waits %s", s.argv, s.stall)
	}
	var texts []string
	for _, l := range got {
		if l.App != "mempool" {
			t.Errorf("%+v", l)
		}
		texts = append(texts, l.Text)
	}
	if want := []string{"password=hidden taken", "hi�", "not JSON with hidden"}; !slices.Equal(texts, want) {
		t.Errorf("%q, want %q", texts, want)
	}
	if !got[0].At.Equal(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("time %s", got[0].At)
	}
}

func TestALegacyContainersLogComesFromPodman(t *testing.T) {
	s := &said{lines: []string{"2026-01-01T00:00:00.5Z it says hunter22", "without a time"}}
	got := read(t, s, Source{App: "lnd", Container: "lnd", Legacy: true}, Options{Lines: All, Follow: true, Since: time.Unix(1767225600, 0)}, "hunter22")
	if s.argv != "podman logs --timestamps --since=2026-01-01T00:00:00Z --follow -- lnd" || !s.join || s.stall != 0 {
		t.Errorf("it asks %s", s.argv)
	}
	if got[0].Text != "it says hidden" || got[0].At.Nanosecond() != 5e8 || got[1].Text != "without a time" {
		t.Errorf("%+v", got)
	}
}

// test that what a failed app said is asked for however much it has said since
func TestTheLastLinesUntilThen(t *testing.T) {
	s := &said{}
	read(t, s, Source{App: "lnd", Container: "lnd", Legacy: true}, Options{Lines: 20, Since: time.Unix(1767225600, 0), Until: time.Unix(1767229200, 0)})
	if want := "podman logs --timestamps --since=2026-01-01T00:00:00Z --until=2026-01-01T01:00:00Z -- lnd"; s.argv != want {
		t.Errorf("it asks %s, want %s", s.argv, want)
	}
	read(t, s, Source{App: "lnd", Container: "lnd", Legacy: true}, Options{Lines: 20})
	if want := "podman logs --timestamps --tail=20 -- lnd"; s.argv != want {
		t.Errorf("it asks %s, want %s", s.argv, want)
	}
}

func TestTheEndOfFollowingIsNoError(t *testing.T) {
	s := &said{err: context.Canceled}
	if err := Read(t.Context(), s, Source{App: "lnd"}, Options{Follow: true}, NewMask(nil), nil); err != nil {
		t.Error(err)
	}
	s.err = errors.New("no journal")
	if err := Read(t.Context(), s, Source{App: "lnd"}, Options{Follow: true}, NewMask(nil), nil); err == nil || !strings.Contains(err.Error(), "lnd") {
		t.Errorf("error %v", err)
	}
}

func TestMask(t *testing.T) {
	m := NewMask([]string{"short", "short-and-longer", "abc", "", "first line\nsecond line", "$2y$10$hash.of/it"})
	for line, want := range map[string]string{
		"x short-and-longer y":       "x hidden y",
		"shortshort":                 "hiddenhidden",
		"abc is no secret":           "abc is no secret",
		"the second line alone":      "the hidden alone",
		"hash $2y$10$hash.of/it end": "hash hidden end",
	} {
		if got := m.Clean(line); got != want {
			t.Errorf("%q becomes %q, want %q", line, got, want)
		}
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 3, 10, 15, 30, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"10m": "2026-03-10T15:20:00Z", "2h30m": "2026-03-10T13:00:00Z", "3d": "2026-03-07T15:30:00Z", "today": "2026-03-10T00:00:00Z",
		"yesterday": "2026-03-09T00:00:00Z", "2026-01-31": "2026-01-31T00:00:00Z", "2026-01-31 15:04": "2026-01-31T15:04:00Z",
		"2026-01-31T15:04:05+02:00": "2026-01-31T13:04:05Z",
	} {
		if got, err := ParseSince(text, now); err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-5m", "teatime", "10", "2026-13-01", "-1d"} {
		if got, err := ParseSince(text, now); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}
