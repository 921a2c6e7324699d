package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

var t0 = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func newStore(t testing.TB) *Store {
	t.Helper()
	s := New(node.NewLayout(t.TempDir(), node.Default(), node.DefaultUser("archipelago")))
	s.now = func() time.Time { return t0 }
	return s
}

// host is a path below the test's root.
func (s *Store) host(elem ...string) string { return s.layout.Host(s.layout.Data(elem...)) }

func put(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	list := []string{}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestReadingMakesNothing(t *testing.T) {
	s := newStore(t)
	all := s.ReadAll()
	if len(all.Records) != 0 || len(all.Histories) != 0 || len(all.Problems) != 0 || all.Intent.Stopped("lnd", "lnd") {
		t.Errorf("an empty node: %+v", all)
	}
	if _, err := s.ReadLedger(); err != nil {
		t.Error(err)
	}
	if _, found, err := s.PrevUnit("lnd"); found || err != nil {
		t.Error(found, err)
	}
	if _, err := s.SyncFlags(map[string]string{"lnd": "lnd"}); err != nil {
		t.Error(err)
	}
	if err := s.WriteHistory(History{App: "lnd"}); err != nil {
		t.Error(err)
	}
	if got := names(t, s.layout.Root); len(got) != 0 {
		t.Errorf("reading left %v behind", got)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	prune, txindex := 550, false
	want := Record{
		Schema: 1, App: "lnd", Container: "lnd", Owner: Legacy, Installed: true, InstalledAt: t0, By: ByAdopt,
		Image: "docker.io/x:2", ImageID: "sha256:2", PreviousImages: []string{"docker.io/x:1"}, SpecHash: "v1:a", FailedHash: "v1:b",
		PendingRestart: "lnd.conf changed", Peers: map[string]string{"bitcoin-knots": "10.89.0.4"},
		Pinned: Pinned{
			User: "70:70", Volumes: []PinnedVolume{{"/a", "/b"}}, Env: map[string]string{"POSTGRES_USER": "x"},
			ExtraPorts: []PinnedPort{{"", 18080, 8080, "tcp"}}, Prune: &prune, TxIndex: &txindex,
		},
		Op:    &Op{Kind: OpMigrate, Step: 5, OldContainerID: "c0ffee", OldName: "lnd-archy-old-20260101T101500Z", StartedAt: t0, StepAt: t0},
		Hooks: Hooks{"c0ffee", t0}, OldContainers: []OldContainer{{"c0ffee", "lnd-archy-old-20260101T101500Z", t0}},
	}
	s := newStore(t)
	if err := s.WriteRecord(want); err != nil {
		t.Fatal(err)
	}
	got, found, err := s.ReadRecord("lnd")
	if err != nil || !found || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %v\n got %+v\nwant %+v", found, err, got, want)
	}
	info, err := os.Stat(s.host("state/apps/lnd.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if dir, _ := os.Stat(s.host("state/apps")); dir.Mode().Perm() != 0o700 {
		t.Errorf("directory mode %v", dir.Mode())
	}
	if got := names(t, s.host("state/apps")); !slices.Equal(got, []string{"lnd.json"}) {
		t.Errorf("temporary files stay: %v", got)
	}
}

func TestRecordModeIgnoresUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o777))
	s := newStore(t)
	syscall.Umask(0o077)
	if err := s.SetStopped("lnd", "lnd", true, nil); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(s.layout.Host(s.layout.UserStopped())); info.Mode().Perm() != 0o644 {
		t.Errorf("the backend must be able to read user-stopped.json, mode %v", info.Mode())
	}
}

func TestUnreadableRecordIsKept(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"truncated": {`{"schema":1,"app":"lnd","contai`, "not a whole JSON document (31 bytes)"},
		"empty":     {``, "not a whole JSON document (0 bytes)"},
		"newer":     {`{"schema":7,"app":"lnd","installed":"since ever"}`, "written by a newer archy (schema 7, this one knows 1)"},
		"no schema": {`{"app":"lnd"}`, `no "schema" number in it`},
		"wrong type": {`{"schema":1,"app":"lnd","installed":"yes"}`,
			"cannot unmarshal string into Go struct field Record.installed of type bool"},
		"another app": {`{"schema":1,"app":"tor"}`, `it is the record of "tor"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			put(t, s.host("state/apps/lnd.json"), tt.text)
			put(t, s.host("state/apps/tor.json"), `{"schema":1,"app":"tor"}`)
			records, problems := s.ReadRecords()
			if len(records) != 1 || records["tor"].App != "tor" {
				t.Errorf("the other record must be read: %v", records)
			}
			if len(problems) != 1 || problems[0].App != "lnd" || !strings.Contains(problems[0].Error(), tt.want) ||
				!strings.HasPrefix(problems[0].Error(), "/var/lib/archipelago/state/apps/lnd.json: ") {
				t.Fatalf("got %v", problems)
			}
			if err := s.WriteRecord(Record{App: "lnd", Owner: Quadlet}); err != nil {
				t.Fatal(err)
			}
			if got := get(t, s.host("state/apps/lnd.json.unreadable-20260301T100000Z")); got != tt.text {
				t.Errorf("kept aside: %q", got)
			}
			if r, _, err := s.ReadRecord("lnd"); err != nil || r.Owner != Quadlet {
				t.Errorf("%+v %v", r, err)
			}
			if records, problems := s.ReadRecords(); len(records) != 2 || len(problems) != 0 {
				t.Errorf("the file kept aside is read as a record: %v %v", records, problems)
			}
		})
	}
}

func TestWriteFailsNamesTheFileAndLeavesTheOldOne(t *testing.T) {
	s := newStore(t)
	// A file where the directory should be: nothing can be written, not even by root.
	put(t, s.host("state"), "not a directory")
	err := s.WriteRecord(Record{App: "lnd"})
	if err == nil || !strings.Contains(err.Error(), "/var/lib/archipelago/state/apps/lnd.json") || strings.Contains(err.Error(), s.layout.Root) {
		t.Errorf("got %v", err)
	}
	if got := get(t, s.host("state")); got != "not a directory" {
		t.Errorf("changed to %q", got)
	}
}

func TestRepin(t *testing.T) {
	var r Record
	for _, ref := range []string{"x:1", "x:2", "x:2", "x:3", "x:4", "x:3"} {
		r.Repin(ref, "id of "+ref)
	}
	if r.Image != "x:3" || r.ImageID != "id of x:3" || !slices.Equal(r.PreviousImages, []string{"x:4", "x:2"}) {
		t.Errorf("%+v", r)
	}
}

func TestLedger(t *testing.T) {
	s := newStore(t)
	done := make(chan error)
	for _, ref := range []string{"b:1", "a:1", "c:1", "a:1"} {
		go func() {
			_, err := s.AddImage(Image{Ref: ref, ID: "i", App: "x", At: t0})
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	l, err := s.ReadLedger()
	var refs []string
	for _, i := range l.Images {
		refs = append(refs, i.Ref)
	}
	if err != nil || !slices.Equal(refs, []string{"a:1", "b:1", "c:1"}) {
		t.Errorf("%v %v", refs, err)
	}
}

func TestUnitsAndLast(t *testing.T) {
	s := newStore(t)
	if err := s.SavePrevUnit("lnd", []byte("[Container]\n")); err != nil {
		t.Fatal(err)
	}
	if text, found, err := s.PrevUnit("lnd"); string(text) != "[Container]\n" || !found || err != nil {
		t.Error(string(text), found, err)
	}
	if err := errors.Join(s.DropPrevUnit("lnd"), s.DropPrevUnit("lnd")); err != nil {
		t.Error(err)
	}
	if _, found, _ := s.PrevUnit("lnd"); found {
		t.Error("still there")
	}
	if err := s.SaveLegacy("lnd", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if text, found, _ := s.Legacy("lnd"); string(text) != "{}" || !found {
		t.Error(string(text), found)
	}
	type result struct {
		Schema   int `json:"schema"`
		ExitCode int `json:"exit_code"`
	}
	if err := s.WriteLast("reconcile", result{1, 3}); err != nil {
		t.Fatal(err)
	}
	var got result
	if found, err := s.ReadLast("reconcile", &got); !found || err != nil || got.ExitCode != 3 {
		t.Error(found, err, got)
	}
}

func BenchmarkReadAll33(b *testing.B) {
	s := newStore(b)
	for i := range 33 {
		id := "app-" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		if err := s.WriteRecord(Record{App: id, Container: id, Owner: Quadlet, Installed: true, Image: "docker.io/x/" + id + ":1", SpecHash: "v1:0123456789abcdef0123456789abcdef"}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if all := s.ReadAll(); len(all.Records) != 33 {
			b.Fatal(all.Problems)
		}
	}
}

// What is given up for a write is noted, so that a pass sets it aside again; that the disk is full by its figures is told once more.
func TestGivenUpReserve(t *testing.T) {
	s := newStore(t)
	reserve := s.layout.Host(Reserve(s.layout))
	if put(t, reserve, "x"); !GiveUpReserve(s.layout) || GiveUpReserve(s.layout) {
		t.Fatal("given up once")
	}
	since, told := s.DiskFullSince()
	if since.IsZero() || !told {
		t.Errorf("since %s, told %t", since, told)
	}
	if first, err := s.DiskFull(t0, false); first || err != nil {
		t.Errorf("told twice: %v", err)
	}
	if first, err := s.DiskFull(t0, true); !first || err != nil {
		t.Errorf("measured for the first time: %t, %v", first, err)
	}
	if now, told := s.DiskFullSince(); told || !now.Equal(since) {
		t.Errorf("since %s, told %t", now, told)
	}
	if err := s.DiskRecovered(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(reserve); err != nil || info.Size() != ReserveSize {
		t.Errorf("the reserve: %v, %v", info, err)
	}
}
