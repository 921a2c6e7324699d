package heal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// The texts of podman, each in a file that is named after the state it proves.
func TestEvidence(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	seen := map[State]bool{}
	for _, file := range files {
		want, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".txt"), ".")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, known := Read("a line before\n"+string(text), "podman info")
		if !known && want == string(Unknown) {
			continue
		}
		seen[f.State] = true
		if string(f.State) != want || f.Evidence != strings.TrimSpace(string(text)) {
			t.Errorf("%s: state %q, evidence %q", file, f.State, f.Evidence)
		}
	}
	for _, s := range signs {
		if !seen[s.state] {
			t.Errorf("no text of %s in testdata", s.state)
		}
	}
}

func TestBootIDNamesItsDirectories(t *testing.T) {
	text, _ := os.ReadFile("testdata/boot-id.txt")
	f, _ := Read(string(text), "podman info")
	if want := []string{"/run/user/1000/containers", "/run/user/1000/libpod/tmp"}; !slices.Equal(f.Paths, want) {
		t.Errorf("paths %q, want %q", f.Paths, want)
	}
}

// Every state is in the order, and has a rung or is for a person; the numbers are those of the ladder.
func TestEveryStateHasItsPlace(t *testing.T) {
	want := map[State]int{OK: -1, Slow: 0, Hung: 0, NoRuntimeDir: 1, NoUserBus: 1, SocketDown: 2, StalePause: 3, LostTrack: 4, StaleDNS: 4, DBMissing: 4, DBCorrupt: 5,
		NameInStorage: 6, BootID: 7, LocksExhausted: 8, LocksBroken: 8, DBConfig: -1, SubUID: -1, Namespace: -1, DiskFull: -1, ReadOnly: -1, Unknown: -1}
	for s, rung := range want {
		if urgency(s) < 0 || firstRung(s) != rung {
			t.Errorf("%s: place %d, rung %d, want rung %d", s, urgency(s), firstRung(s), rung)
		}
	}
	if len(order) != len(want) {
		t.Errorf("%d states in the order, %d known", len(order), len(want))
	}
}

// bench is a node below a directory, with a podman that says what the test wants.
type bench struct {
	*Healer
	t    *testing.T
	root string
	// info and list answer "podman info" and "podman ps"; ran are all commands.
	info, list answer
	timers     string
	// images are those that there are, used those of containers that run; start answers "podman run".
	images, used string
	start        answer
	ran          []string
	services     map[string]int
	kept         json.RawMessage
	silent       json.RawMessage
	clock        time.Time
}

type answer struct {
	out, errors string
	late        bool
}

func newBench(t *testing.T) *bench {
	t.Helper()
	u := node.User{Name: "archipelago", UID: os.Getuid(), GID: os.Getgid(), Home: "/home/archipelago"}
	b := &bench{t: t, root: t.TempDir(), services: map[string]int{}, clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	l := node.Layout{Root: b.root, DataDir: "/var/lib/archipelago", Home: u.Home, RuntimeDir: "/run/user/" + strconv.Itoa(u.UID)}
	b.Healer = &Healer{Layout: l, User: u, Cores: 2, BootID: "boot-1", Runner: b, History: b, Now: func() time.Time { return b.clock },
		Apps:   []App{{Name: "db", Managed: true, Installed: true, BindsOnly: true}, {Name: "web", Managed: true, Installed: true, BindsOnly: true}, {Name: "old"}},
		Units:  func(context.Context) (Units, error) { return b, nil },
		Limits: Limits{Answer: time.Second, Silence: time.Second, Again: time.Millisecond, Trigger: time.Millisecond, Ping: time.Second, Waits: []time.Duration{time.Millisecond}}}
	b.info.out = `{"host":{"freeLocks":2000},"version":{"Version":"5.4.2"}}`
	for _, dir := range []string{l.RuntimeDir + "/podman", l.RuntimeDir + "/libpod/tmp", l.RuntimeDir + "/containers/networks/aardvark-dns", b.graphRoot() + "/overlay-containers", "/proc"} {
		if err := os.MkdirAll(b.host(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b.write(b.databases()[0], sqliteMagic+"pages")
	b.write("/proc/loadavg", "0.10 0.10 0.10 1/100 1\n")
	b.listen(l.UserBus(), nil)
	b.listen(l.PodmanSocket(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "OK") }))
	return b
}

// listen serves a socket. Its path is a link to a short one: a socket's name has at most 107 bytes.
func (b *bench) listen(path string, h http.Handler) {
	b.t.Helper()
	dir, err := os.MkdirTemp("", "heal")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", dir+"/s")
	if err == nil {
		err = os.Symlink(dir+"/s", b.host(path))
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { l.Close() })
	if h != nil {
		go func() { _ = http.Serve(l, h) }()
	}
}

func (b *bench) write(path, text string) {
	b.t.Helper()
	if err := os.MkdirAll(filepath.Dir(b.host(path)), 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.host(path), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func id(name string) string { return strings.Repeat(fmt.Sprintf("%x", name[0]), 32) }

// live puts a conmon and its payload into /proc. One of a service is its main process.
func (b *bench) live(pid int, name, service string) {
	dir := "/proc/" + strconv.Itoa(pid)
	b.write(dir+"/cmdline", strings.Join([]string{"/usr/bin/conmon", "-c", id(name), "-n", name}, "\x00")+"\x00")
	b.write(dir+"/stat", fmt.Sprintf("%d (conmon) S 1 1 1", pid))
	b.write(fmt.Sprintf("/proc/%d/cmdline", pid+1), "/app\x00")
	b.write(fmt.Sprintf("/proc/%d/stat", pid+1), fmt.Sprintf("%d (app) S %d 1 1", pid+1, pid))
	if service != "" {
		b.services[service] = pid
	}
}

func (b *bench) stored(names ...string) {
	var list []map[string]any
	for _, n := range names {
		list = append(list, map[string]any{"id": id(n), "names": []string{n}})
	}
	text, _ := json.Marshal(list)
	b.write(b.graphRoot()+"/overlay-containers/volatile-containers.json", string(text))
}

func (b *bench) lists(names ...string) {
	b.list.out = ""
	for _, n := range names {
		b.list.out += id(n) + "|" + n + "|running\n"
	}
}

func (b *bench) Run(_ context.Context, c command.Cmd) (command.Result, error) {
	b.ran = append(b.ran, strings.Join(c.Argv, " "))
	a := answer{}
	switch {
	case slices.Equal(c.Argv[:2], []string{"podman", "info"}):
		a = b.info
	case slices.Contains(c.Argv, "{{.ImageID}}"):
		a.out = b.used
	case slices.Equal(c.Argv[:2], []string{"podman", "ps"}):
		a = b.list
	case slices.Contains(c.Argv, "list-units"):
		a.out = b.timers
	case slices.Equal(c.Argv[:2], []string{"podman", "images"}):
		a.out = b.images
	case slices.Equal(c.Argv[:2], []string{"podman", "run"}):
		a = b.start
	case slices.Equal(c.Argv[:2], []string{"podman", "inspect"}):
		a.out = "true"
	}
	switch {
	case a.late:
		return command.Result{}, &command.LimitError{Argv: c.Argv, Limit: c.Limit}
	case a.errors != "":
		return command.Result{Stderr: []byte(a.errors)}, &command.ExitError{Argv: c.Argv, Code: 125, Stderr: a.errors}
	}
	return command.Result{Stdout: []byte(a.out)}, nil
}

func (b *bench) Detail(_ context.Context, name string) (systemd.Detail, error) {
	pid, ok := b.services[name]
	if !ok {
		return systemd.Detail{}, systemd.ErrNoUnit
	}
	return systemd.Detail{Unit: systemd.Unit{ActiveState: "active"}, MainPID: pid}, nil
}

func (b *bench) Stop(context.Context, string, time.Duration) error {
	return errors.New("nothing is stopped here")
}

func (b *bench) ReadHeal(v any) (bool, error) {
	if b.kept == nil {
		return false, nil
	}
	return true, json.Unmarshal(b.kept, v)
}

func (b *bench) WriteHeal(v any) (err error) {
	b.kept, err = json.Marshal(v)
	return err
}

func (b *bench) KeepHealAside(err error) error { return err }

func (b *bench) ReadLast(_ string, v any) (bool, error) {
	if b.silent == nil {
		return false, nil
	}
	return true, json.Unmarshal(b.silent, v)
}

func (b *bench) WriteLastUnsynced(_ string, v any) (err error) {
	b.silent, err = json.Marshal(v)
	return err
}

// wants checks podman and wants a state.
func (b *bench) wants(s State) Diagnosis {
	b.t.Helper()
	d := b.Check(context.Background())
	if d.State != s {
		b.t.Fatalf("state %s (%s), want %s; also %v", d.State, d.Evidence, s, d.Also)
	}
	return d
}

// untouched wants that no climb has run a command that changes something, and nothing was renamed.
func (b *bench) untouched(r Report) {
	b.t.Helper()
	for _, c := range b.ran {
		if !strings.HasPrefix(c, "podman info") && !strings.HasPrefix(c, "podman ps") {
			b.t.Errorf("ran: %s", c)
		}
	}
	if len(r.Renamed) > 0 {
		b.t.Errorf("renamed: %v", r.Renamed)
	}
}

// watched notes when each command ran, and ends the climb when one stops something.
type watched struct {
	*bench
	at     map[string]time.Time
	atStop context.CancelFunc
}

func (w watched) Run(ctx context.Context, c command.Cmd) (command.Result, error) {
	w.at[strings.Join(c.Argv, " ")] = time.Now()
	if slices.Contains(c.Argv, "stop") && w.atStop != nil {
		w.atStop()
	}
	if ctx.Err() != nil {
		return command.Result{}, ctx.Err()
	}
	return w.bench.Run(ctx, c)
}

// systemd counts a socket's starts on through a restart: rung 2 waits before it starts the socket again. Who is interrupted meanwhile has the socket
// all the same.
func TestTheSocketStaysStoppedForAWhile(t *testing.T) {
	const stop, start = "systemctl --user stop podman.socket", "systemctl --user start podman.socket"
	for _, interrupted := range []bool{false, true} {
		b := newBench(t)
		os.Remove(b.host(b.Layout.PodmanSocket()))
		d := b.wants(SocketDown)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := watched{bench: b, at: map[string]time.Time{}}
		b.Limits.Trigger = 50 * time.Millisecond
		if interrupted {
			b.Limits.Trigger, w.atStop = time.Hour, cancel
		}
		b.Runner = w
		b.ClimbFrom(ctx, Safe, d)
		if !slices.Contains(b.ran, start) {
			t.Fatalf("interrupted %v: the socket stays down: %q", interrupted, b.ran)
		}
		if pause := w.at[start].Sub(w.at[stop]); !interrupted && pause < b.Limits.Trigger {
			t.Errorf("started %s after it was stopped", pause)
		}
	}
}

// A climb that is interrupted begins no hour: who asks for it again gets it.
func TestAnInterruptedClimbMayBeginAgain(t *testing.T) {
	for _, mode := range []Mode{Safe, Full} {
		b := newBench(t)
		os.Remove(b.host(b.Layout.PodmanSocket()))
		d := b.wants(SocketDown)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		b.Limits.Trigger = time.Hour
		b.Runner = watched{bench: b, at: map[string]time.Time{}, atStop: cancel}
		if r := b.ClimbFrom(ctx, mode, d); r.Result != Interrupted || r.ExitCode() == ExitOK || !r.climbed() {
			t.Errorf("%s: %+v", mode, r)
		}
		if past, err := b.past(); err != nil || len(past.Reports) != 1 {
			t.Errorf("%s: what it did is not kept: %+v, %v", mode, past, err)
		}
		b.Limits.Trigger, b.Runner = time.Millisecond, b
		if r := b.ClimbFrom(t.Context(), mode, d); r.Result == TooSoon {
			t.Errorf("%s: %+v", mode, r)
		}
	}
}

func TestCheckFindsEachState(t *testing.T) {
	for _, c := range []struct {
		want State
		node func(b *bench)
	}{
		{OK, func(b *bench) { b.live(100, "db", "db.service"); b.lists("db"); b.stored("db") }},
		{OK, func(b *bench) { // the monitor of a command that ran in a container, which is gone
			b.write("/proc/300/cmdline", strings.Join([]string{"/usr/bin/conmon", "-c", id("gone"), "-n", "gone", "--exec-attach", "--exec-process-spec", "/x"}, "\x00")+"\x00")
			b.write("/proc/300/stat", "300 (conmon) S 1 1 1")
		}},
		{NoRuntimeDir, func(b *bench) { os.RemoveAll(b.host(b.Layout.RuntimeDir)) }},
		{NoRuntimeDir, func(b *bench) { os.Chmod(b.host(b.Layout.RuntimeDir), 0o755) }},
		{NoUserBus, func(b *bench) { os.Remove(b.host(b.Layout.UserBus())) }},
		{SocketDown, func(b *bench) { os.Remove(b.host(b.Layout.PodmanSocket())) }},
		{LostTrack, func(b *bench) {
			b.live(100, "db", "db.service")
			b.live(200, "web", "web.service")
			b.lists("web")
			b.stored("web")
		}},
		{LostTrack, func(b *bench) { b.live(100, "old", ""); b.list.out = id("old") + "|old|exited\n" }},
		{DBMissing, func(b *bench) { os.Remove(b.host(b.databases()[0])); b.live(100, "db", "db.service") }},
		{DBMissing, func(b *bench) { b.write(b.databases()[0], "") }},
		{DBMissing, func(b *bench) { b.stored("db", "web"); b.live(100, "db", "db.service") }},
		{DBCorrupt, func(b *bench) { b.write(b.databases()[0], strings.Repeat("\x00", 4096)) }},
		{DBCorrupt, func(b *bench) { b.info.errors = "Error: beginning transaction: database disk image is malformed" }},
		{NameInStorage, func(b *bench) { b.stored("db", "web"); b.lists("web"); b.live(200, "web", "web.service") }},
		{LocksExhausted, func(b *bench) { b.info.out = `{"host":{"freeLocks":0}}` }},
		{StaleDNS, func(b *bench) {
			b.lists("web")
			b.live(200, "web", "web.service")
			b.write(b.nameServer()+"/archy-net", "10.89.0.1\n"+id("db")+" 10.89.0.2  db\n"+id("web")+" 10.89.0.3  web\n")
		}},
		{StalePause, func(b *bench) { b.info.errors = "cannot set user namespace"; b.write(b.pauseFile(), "4711") }},
		{StalePause, func(b *bench) { b.info.errors = "Error: something odd"; b.write(b.pauseFile(), "4711") }},
		{Unknown, func(b *bench) { b.info.errors = "Error: something odd" }},
	} {
		t.Run(string(c.want), func(t *testing.T) {
			b := newBench(t)
			c.node(b)
			if d := b.wants(c.want); (d.ExitCode() == 0) != c.want.Fine() || (d.Human == nil) != c.want.Fine() {
				t.Errorf("exit code %d, for a person: %v", d.ExitCode(), d.Human)
			}
		})
	}
}

// Incident 5: that podman is silent leads to "slow", and only the third time within ten minutes to "hung"; nothing is ever changed for it.
func TestIncident5SilenceIsNoProof(t *testing.T) {
	b := newBench(t)
	b.info.late = true
	b.wants(Slow)
	b.clock = b.clock.Add(11 * time.Minute)
	b.wants(Slow)
	b.clock = b.clock.Add(time.Minute)
	b.wants(Slow)
	if b.kept != nil {
		t.Errorf("a look has written into what climbs remember: %s", b.kept)
	}
	b.clock = b.clock.Add(time.Minute)
	r := b.Climb(context.Background(), Full)
	if r.State != Hung || r.ExitCode() != ExitHuman || r.Human == nil {
		t.Errorf("%+v", r)
	}
	b.untouched(r)
}

// Incident 5: a limit that the caller made shorter than the contract's minute never leads to "hung", and does not count for one that follows.
func TestAShortLimitIsNoSilence(t *testing.T) {
	b := newBench(t)
	b.info.late = true
	b.Limits.Silence = 2 * b.Limits.Answer
	for range 4 {
		if d := b.wants(Slow); d.ExitCode() != ExitOK || !strings.Contains(d.Evidence, "no answer in 1s; less than 2s proves nothing") {
			t.Fatalf("exit %d: %s", d.ExitCode(), d.Evidence)
		}
	}
	b.Limits.Answer = b.Limits.Silence
	if d := b.wants(Slow); !strings.Contains(d.Evidence, "the first of 3") {
		t.Error(d.Evidence)
	}
}

func TestBusyExplainsSilence(t *testing.T) {
	b := newBench(t)
	b.info.late = true
	b.write("/proc/loadavg", "8.10 1 1 1/100 1\n")
	for range 4 {
		if d := b.wants(Slow); !strings.Contains(d.Evidence, "load is 8.10 on 2 cores") {
			t.Fatal(d.Evidence)
		}
	}
}

// Incident 5 and 22: with a foreign process alive the database stays where it is, whatever the mode.
func TestForeignContainerForbidsQuarantine(t *testing.T) {
	for _, mode := range []Mode{Safe, Full} {
		b := newBench(t)
		b.live(100, "db", "db.service")
		b.live(200, "stranger", "")
		b.info.errors = "Error: beginning transaction: file is not a database"
		r := b.Climb(context.Background(), mode)
		if r.Result != Refused || r.ExitCode() != ExitHuman || !strings.Contains(r.Rungs[0].Reason, "stranger (pid 200)") {
			t.Errorf("%s: %+v", mode, r)
		}
		b.untouched(r)
	}
}

func TestBootIDIsLeftWhileAnythingLives(t *testing.T) {
	b := newBench(t)
	b.live(100, "db", "db.service")
	b.bootID()
	r := b.Climb(context.Background(), Full)
	if r.Result != Refused || !strings.Contains(r.Rungs[0].Reason, "db (pid 100)") {
		t.Errorf("%+v", r)
	}
	b.untouched(r)
}

func (b *bench) bootID() {
	b.info.errors = fmt.Sprintf("Error: current system boot ID differs from cached boot ID; an unhandled reboot has occurred. Please delete directories %q and %q and re-run Podman",
		b.Layout.RuntimeDir+"/containers", b.Layout.RuntimeDir+"/libpod/tmp")
}

// A climb that was broken off between its two renames is followed by one within the same second: podman has made the first directory anew meanwhile.
func TestBootIDTwiceWithinASecond(t *testing.T) {
	b := newBench(t)
	b.bootID()
	first := b.Layout.RuntimeDir + "/containers.archy-20260102T030405Z"
	b.write(first+"/of the last climb", "")
	r := b.Climb(context.Background(), Safe)
	if len(r.Renamed) != 2 || r.Renamed[0].To != b.Layout.RuntimeDir+"/containers.archy-20260102T030406Z" {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(b.host(first + "/of the last climb")); err != nil {
		t.Error(err)
	}
}

func TestBootIDRenamesExactlyTheTwo(t *testing.T) {
	b := newBench(t)
	b.bootID()
	r := b.Climb(context.Background(), Safe)
	if len(r.Renamed) != 2 || r.Renamed[0].To != b.Layout.RuntimeDir+"/containers.archy-20260102T030405Z" || r.Renamed[1].From != b.Layout.RuntimeDir+"/libpod/tmp" {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(b.host(r.Renamed[0].To) + "/networks"); err != nil {
		t.Error(err)
	}
	// The same state again within the hour and boot: no second climb.
	if again := b.Climb(context.Background(), Safe); again.Result != TooSoon || len(again.Renamed) > 0 {
		t.Errorf("%+v", again)
	}
	b.BootID = "boot-2"
	if again := b.Climb(context.Background(), Safe); again.Result == TooSoon {
		t.Errorf("%+v", again)
	}
}

// Rung 6 frees no name at the price of what a container, which somebody made without the directories of its manifest, has only in its own layer.
func TestDataInALostContainerStay(t *testing.T) {
	for name, c := range map[string]struct {
		file, config string
		stays        bool
	}{
		"data":        {file: "/data/wallet.db", config: `{"mounts": [{"destination": "/etc/hosts", "source": "/run/hosts"}]}`, stays: true},
		"no config":   {file: "/data/wallet.db", stays: true},
		"mounted":     {file: "/data/wallet.db", config: `{"mounts": [{"destination": "/data", "source": "/srv/db"}]}`},
		"elsewhere":   {file: "/data2/x"},
		"nothing":     {},
		"half a text": {config: `{"mounts": `, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.Apps[0].Targets = []string{"/data"}
			b.lists("web")
			b.live(200, "web", "web.service")
			b.write(b.graphRoot()+"/overlay-containers/containers.json", fmt.Sprintf(`[{"id": %q, "names": ["db"], "layer": "0123"}]`, id("db")))
			if c.file != "" {
				b.write(b.graphRoot()+"/overlay/0123/diff"+c.file, "the only one")
			}
			if c.config != "" {
				b.write(b.graphRoot()+"/overlay-containers/"+id("db")+"/userdata/config.json", c.config)
			}
			r := b.Climb(context.Background(), Safe)
			if took := slices.Contains(b.ran, "podman rm --force --time 0 db"); took == c.stays || c.stays && r.ExitCode() != ExitHuman {
				t.Errorf("taken away: %v, %+v", took, r)
			}
		})
	}
}

// Rung 8: podman numbers its locks anew. A file of theirs that it cannot open is put aside before, which it would not get beyond; only its own.
func TestLocksAreNumberedAnew(t *testing.T) {
	ours := fmt.Sprintf("/libpod_rootless_lock_%d", os.Getuid())
	for _, c := range []struct {
		errors  string
		renamed int
		done    bool
	}{
		{"Error: the following locks are in use by multiple containers, please run 'podman system renumber' to resolve deadlocks", 0, true},
		{"Error: failed to open 64 locks in " + ours + ": numerical result out of range", 1, true},
		{"Error: failed to open 64 locks in /libpod_lock: numerical result out of range", 0, false},
	} {
		b := newBench(t)
		b.info.errors = c.errors
		b.write("/dev/shm"+ours, "locks")
		r := b.Climb(context.Background(), Safe)
		if r.Rungs[0].N != 8 || r.Rungs[0].Done != c.done || len(r.Renamed) != c.renamed || slices.Contains(b.ran, "podman system renumber") != c.done {
			t.Errorf("%s: ran %q: %+v", c.errors, b.ran, r)
		}
		if _, err := os.Stat(b.host("/dev/shm" + ours)); (err != nil) != (c.renamed > 0) {
			t.Errorf("%s: %v", c.errors, err)
		}
		b.live(100, "db", "db.service")
		b.ran = nil
		b.untouched(b.Climb(context.Background(), Full))
	}
}

func TestBootIDOutsideTheRuntimeDirectory(t *testing.T) {
	for _, dir := range []string{"/var/lib/archipelago", "RUN", "RUN/podman", "RUN/../1001/x"} {
		b := newBench(t)
		b.info.errors = fmt.Sprintf("Error: current system boot ID differs from cached boot ID; Please delete directories %q and %q", strings.Replace(dir, "RUN", b.Layout.RuntimeDir, 1), b.Layout.RuntimeDir+"/libpod/tmp")
		b.untouched(b.Climb(context.Background(), Full))
	}
}

func TestCorruptDatabaseGoesToQuarantine(t *testing.T) {
	b := newBench(t)
	b.write(b.databases()[0], strings.Repeat("\x00", 4096))
	b.write(b.databases()[0]+"-wal", "w")
	moved := 0
	b.MoveOver = func(context.Context) error {
		moved++
		b.write(b.databases()[0], sqliteMagic)
		return nil
	}
	r := b.Climb(context.Background(), Safe)
	if r.Result != Healed || moved != 1 || len(r.Renamed) != 2 {
		t.Fatalf("moved %d times: %+v", moved, r)
	}
	kept, err := os.ReadFile(b.host(b.Layout.State("quarantine/db.sql.20260102T030405Z")))
	if err != nil || len(kept) != 4096 {
		t.Errorf("%d bytes, %v", len(kept), err)
	}
	var past history
	if _, err := b.ReadHeal(&past); err != nil || len(past.Reports) != 1 || past.Reports[0].State != DBCorrupt {
		t.Errorf("%+v, %v", past, err)
	}
}

// Each pass looks for podman's services among the processes of all containers, and a conmon has kilobytes of arguments.
func TestServicesAreFoundWithLittleMemory(t *testing.T) {
	b := newBench(t)
	const monitors = 100
	for pid := range monitors {
		b.write(fmt.Sprintf("/proc/%d/cmdline", 1000+pid), "/usr/bin/conmon\x00"+strings.Repeat("--exit-command-arg\x00--storage-driver\x00", 100))
	}
	b.write("/proc/90/cmdline", "/usr/bin/podman\x00system\x00service\x00")
	r := testing.Benchmark(func(t *testing.B) {
		for t.Loop() {
			if pids := b.podmanServices(); len(pids) != 1 || pids[0] != "90" {
				t.Fatalf("%q", pids)
			}
		}
	})
	if each := r.AllocedBytesPerOp() / monitors; each > 3000 {
		t.Errorf("%d bytes for a process", each)
	}
}

// podman's service that has a deleted database open lists all that podman itself has lost: it is found, and it is ended before anything is moved over.
func TestServiceOfAGoneDatabase(t *testing.T) {
	for _, c := range []struct {
		name, opened string
		cmdline      []string
		node         func(b *bench)
		gone         bool
	}{
		{name: "as it should be", opened: "db.sql"},
		{name: "deleted", opened: "db.sql (deleted)", gone: true},
		{name: "its log", opened: "db.sql-wal (deleted)"},
		{name: "a journal", opened: "db.sql-mj1A2B (deleted)"},
		{name: "another file", opened: "other (deleted)"},
		{name: "put beside, none in its place", opened: "db.sql.bak", gone: true, node: func(b *bench) { os.Rename(b.host(b.databases()[0]), b.host(b.databases()[0]+".bak")) }},
		{name: "put beside, another in its place", opened: "db.sql.bak", gone: true, node: func(b *bench) { b.write(b.databases()[0]+".bak", "old") }},
		{name: "older podman", opened: "libpod/bolt_state.db (deleted)", gone: true},
		{name: "no service", opened: "db.sql (deleted)", cmdline: []string{"podman", "ps"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			if c.cmdline == nil {
				c.cmdline = []string{"/usr/bin/podman", "--log-level=info", "system", "service"}
			}
			b.write("/proc/90/cmdline", strings.Join(c.cmdline, "\x00")+"\x00")
			b.write("/proc/90/fd/1", "")
			b.write(b.graphRoot()+"/libpod/x", "")
			if c.node != nil {
				c.node(b)
			}
			if err := os.Symlink(b.host(b.graphRoot()+"/"+c.opened), b.host("/proc/90/fd/7")); err != nil {
				t.Fatal(err)
			}
			if got := GoneDatabase(b.Layout, b.User.UID); (got != "") != c.gone {
				t.Errorf("%q", got)
			}
		})
	}
	const stop = "systemctl --user stop podman.service"
	b := newBench(t)
	b.live(100, "db", "db.service")
	b.stored("db")
	b.MoveOver = func(context.Context) error {
		if !slices.Contains(b.ran, stop) {
			t.Errorf("podman's service was not ended: %q", b.ran)
		}
		b.lists("db")
		return nil
	}
	if r := b.Climb(context.Background(), Safe); r.State != DBMissing || r.Result != Healed {
		t.Errorf("%+v", r)
	}
}

// Some damage is met by nothing but a start: podman answers all questions. Its own words about a throw-away container count, and a rung may help.
func TestDamageThatOnlyAStartMeets(t *testing.T) {
	for _, c := range []struct {
		name  string
		start answer
		want  State
	}{
		{"well", answer{}, OK},
		{"late", answer{late: true}, Slow},
		{"something odd", answer{errors: "Error: something odd"}, OK},
		{"database", answer{errors: "level=warning msg=\"odd\"\nError: adding container: database disk image is malformed"}, DBCorrupt},
		{"locks", answer{errors: "Error: allocation failed; exceeded num_locks (2048)"}, LocksExhausted},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.Probe, b.images, b.start = "/usr/local/bin/archy", "sha256:1\n", c.start
			d := b.CheckStarts(context.Background())
			if d.State != c.want || d.FirstRung != firstRung(c.want) && c.want != OK || (d.Human == nil) != c.want.Fine() {
				t.Errorf("%+v", d)
			}
			if d.State == DBCorrupt && d.Evidence != "Error: adding container: database disk image is malformed" {
				t.Errorf("evidence %q", d.Evidence)
			}
		})
	}
	b := newBench(t)
	b.Probe, b.images, b.start.errors = "/usr/local/bin/archy", "sha256:1\n", "Error: database disk image is malformed"
	b.MoveOver = func(context.Context) error {
		b.write(b.databases()[0], sqliteMagic)
		b.start = answer{}
		return nil
	}
	if r := b.Climb(context.Background(), Safe); r.Result != Nothing {
		t.Errorf("a safe climb starts nothing where podman answers: %+v", r)
	}
	if r := b.Climb(context.Background(), Full); r.State != DBCorrupt || r.Result != Healed || len(r.Renamed) != 1 {
		t.Errorf("%+v", r)
	}
	// What the throw-away container meets at the end of a climb is the next rung's.
	b = newBench(t)
	b.Probe, b.images, b.start.errors = "/usr/local/bin/archy", "sha256:1\n", "Error: deadlock due to lock mismatch"
	b.live(100, "db", "db.service")
	b.stored("db")
	b.MoveOver = func(context.Context) error { b.lists("db"); return nil }
	if r := b.Climb(context.Background(), Safe); r.After != LocksBroken || r.Result != Refused || len(r.Rungs) != 2 || !strings.Contains(r.Rungs[1].Reason, "db (pid 100)") {
		t.Errorf("%+v", r)
	}
}

// A disk that takes no writes is told before podman is asked, and is a person's: nothing is climbed.
func TestReadOnlyDisk(t *testing.T) {
	b := newBench(t)
	b.write("/proc/self/mounts", "/dev/sda1 / ext4 ro,relatime,errors=remount-ro 0 0\n")
	d := b.wants(ReadOnly)
	if d.FirstRung != -1 || d.Human == nil || !strings.Contains(fmt.Sprint(d.Human.Commands), "journalctl -k") || len(b.ran) > 0 {
		t.Errorf("%+v, ran %q", d, b.ran)
	}
	b.untouched(b.Climb(context.Background(), Full))
}

// TestKilledBetweenTheRenames: the parts of a database go aside one after the other. A heal that was killed after any of them is completed by the next: one
// set, and no part of it where podman makes a new database.
func TestKilledBetweenTheRenames(t *testing.T) {
	whole := func(t *testing.T) *bench {
		b := newBench(t)
		for _, end := range DatabaseParts {
			b.write(b.databases()[0]+end, "old "+end)
			when := b.clock.Add(-time.Hour)
			if err := os.Chtimes(b.host(b.databases()[0]+end), when, when); err != nil {
				t.Fatal(err)
			}
		}
		b.MoveOver = func(context.Context) error {
			b.write(b.databases()[0], sqliteMagic)
			return nil
		}
		return b
	}
	order := whole(t).Climb(context.Background(), Safe).Renamed
	if len(order) != 4 || filepath.Base(order[3].From) != "db.sql" {
		t.Fatalf("%v", order)
	}
	for killed := range order {
		b := whole(t)
		for _, r := range order[:killed] {
			b.write(r.To, "")
			if err := os.Rename(b.host(r.From), b.host(r.To)); err != nil {
				t.Fatal(err)
			}
		}
		if killed > 0 {
			b.clock = b.clock.Add(time.Minute)
		}
		if r := b.Climb(context.Background(), Safe); r.Result != Healed || len(r.Renamed) != 4-killed {
			t.Errorf("killed after %d: %+v", killed, r)
		}
		for i, end := range DatabaseParts {
			if text, _ := os.ReadFile(b.host(order[i].To)); string(text) != "old "+end {
				t.Errorf("killed after %d: %s holds %q", killed, order[i].To, text)
			}
			if _, err := os.Stat(b.host(b.databases()[0] + end)); end != "" && err == nil {
				t.Errorf("killed after %d: %s is beside the new database", killed, end)
			}
		}
	}
}

// What podman has written since is another set: an old log beside it would be played into it one day.
func TestAHalfMovedSetAndANewerDatabase(t *testing.T) {
	for name, newer := range map[string]string{"the database was written since": "", "there is another log": "-wal"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			file := b.databases()[0]
			b.write(b.Layout.State("quarantine/db.sql-wal.20260102T030000Z"), "old wal")
			b.write(file, strings.Repeat("\x00", 4096))
			b.write(file+newer, strings.Repeat("\x00", 4096))
			times := map[string]time.Time{file: b.clock.Add(-time.Hour), file + newer: b.clock.Add(-time.Second)}
			for path, at := range times {
				if err := os.Chtimes(b.host(path), at, at); err != nil {
					t.Fatal(err)
				}
			}
			b.MoveOver = func(context.Context) error {
				b.write(file, sqliteMagic)
				return nil
			}
			r := b.Climb(context.Background(), Safe)
			if r.Result != Healed || r.Renamed[len(r.Renamed)-1].To != b.Layout.State("quarantine/db.sql.20260102T030405Z") {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestKilledBetweenTheDirectories: podman's message names both as long as the second is there, with its mark of the boot.
func TestKilledBetweenTheDirectories(t *testing.T) {
	for _, made := range []bool{false, true} {
		b := newBench(t)
		b.bootID()
		run := b.Layout.RuntimeDir + "/containers"
		if err := os.Rename(b.host(run), b.host(run+".archy-20260102T030400Z")); err != nil {
			t.Fatal(err)
		}
		want := 1
		if made { // podman has made it anew
			b.write(run+"/x", "")
			want = 2
		}
		r := b.Climb(context.Background(), Safe)
		if len(r.Renamed) != want || r.Renamed[want-1].To != b.Layout.RuntimeDir+"/libpod/tmp.archy-20260102T030405Z" {
			t.Errorf("%+v", r)
		}
	}
}

// The throw-away container is of an image that is known to work, where one runs: another may be broken itself.
func TestTheProbeIsOfAnImageThatRuns(t *testing.T) {
	for used, want := range map[string]string{"": "sha256:1", "3\n2\n": "sha256:2", "4\n": "sha256:1"} {
		b := newBench(t)
		b.Probe, b.images, b.used = "/usr/local/bin/archy", "sha256:3\nsha256:2\nsha256:1\n", used
		b.wants(OK)
		b.CheckStarts(context.Background())
		if !slices.ContainsFunc(b.ran, func(c string) bool { return strings.HasPrefix(c, "podman run ") && strings.Contains(c, " "+want+" ") }) {
			t.Errorf("with %q in use: %q", used, b.ran)
		}
	}
}

// What is left of gone containers goes, also when an app is not healthy after it was moved over.
func TestStaleNamesGoWhateverBecomesOfTheApps(t *testing.T) {
	b := newBench(t)
	b.live(100, "db", "db.service")
	names := b.nameServer() + "/archy-net"
	b.write(names, "10.89.0.1\n"+id("web")+" 10.89.0.3  web\n")
	b.MoveOver = func(context.Context) error {
		b.lists("db")
		return errors.New("not every app is as it should be")
	}
	r := b.Climb(context.Background(), Safe)
	if text, err := os.ReadFile(b.host(names)); r.Result != Healed || len(r.Rungs) != 1 || r.Rungs[0].Error == "" || err != nil || string(text) != "10.89.0.1\n" {
		t.Errorf("%+v, %q, %v", r, text, err)
	}
}

// A throw-away container whose archy was killed is in nobody's way: it ends by itself, and that is waited for.
func TestAProbeThatWasLeft(t *testing.T) {
	b := newBench(t)
	b.write(b.databases()[0], strings.Repeat("\x00", 4096))
	b.live(70, probeName, "")
	b.MoveOver = func(context.Context) error {
		b.write(b.databases()[0], sqliteMagic)
		return nil
	}
	if d := b.wants(DBCorrupt); len(d.Live) != 0 {
		t.Errorf("%+v", d.Live)
	}
	gone := time.AfterFunc(300*time.Millisecond, func() {
		if _, err := os.Stat(b.host(b.databases()[0])); err != nil {
			t.Error("the database was put aside under a living container")
		}
		os.RemoveAll(b.host("/proc/70"))
		os.RemoveAll(b.host("/proc/71"))
	})
	defer gone.Stop()
	if r := b.Climb(context.Background(), Safe); r.Result != Healed || len(r.Renamed) != 1 {
		t.Errorf("%+v", r)
	}
}

// What podman has started for containers that it has lost goes with them, and nothing else does.
func TestChecksOfGoneContainersEnd(t *testing.T) {
	b := newBench(t)
	b.live(70, "web", "web.service")
	b.lists("db")
	timer := func(name string) string { return id(name) + "-4c7c196c07980bd9.timer" }
	b.timers = timer("db") + " loaded active waiting check\n" + timer("web") + " loaded active waiting check\n" + timer("lost") + " loaded active waiting check\n" +
		"archy-reconcile.timer loaded active waiting passes\n"
	if err := b.DropStale(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := []string{"systemctl --user list-units --type=timer --plain --no-legend", "podman ps --all --no-trunc --format " + listFormat,
		"systemctl --user stop " + timer("lost"), "systemctl --user reset-failed " + id("lost") + "-4c7c196c07980bd9.service"}
	if !slices.Equal(b.ran, want) {
		t.Errorf("ran %q\nwant %q", b.ran, want)
	}
	b.ran, b.list = nil, answer{errors: "Error: database is locked"}
	if err := b.DropStale(context.Background()); err == nil || len(b.ran) != 2 {
		t.Errorf("podman does not list: %v, ran %q", err, b.ran)
	}
}

func TestPauseFileOfALivePodmanStays(t *testing.T) {
	b := newBench(t)
	b.write("/proc/77/cmdline", "podman\x00")
	b.write(b.pauseFile(), "77")
	b.info.errors = "Error: invalid internal status, try resetting the pause process with \"podman system migrate\""
	if r := b.Climb(context.Background(), Safe); len(r.Renamed) > 0 || r.Result != Refused {
		t.Errorf("%+v", r)
	}
	b.write("/proc/77/cmdline", "/usr/bin/sleep\x00")
	b.BootID = "boot-2"
	if r := b.Climb(context.Background(), Safe); len(r.Renamed) != 1 || r.Renamed[0].To != b.pauseFile()+".archy-20260102T030405Z" {
		t.Errorf("%+v", r)
	}
}

// Without a pause file podman's mark of this boot goes aside, and only on podman's word that it has lost every monitor.
func TestBelievesWhatIsLost(t *testing.T) {
	b := newBench(t)
	b.write(b.aliveFile(), "")
	b.info.errors = "Error: cannot set user namespace"
	if r := b.Climb(context.Background(), Safe); len(r.Renamed) > 0 || !strings.Contains(r.Human.Commands[0].Command, b.aliveFile()) {
		t.Errorf("%+v", r)
	}
	b.info.errors = `level=error msg="invalid internal status, try resetting the pause process with \"podman system migrate\": open /run/user/1000/containers/overlay-containers/1/userdata/conmon.pid: no such file or directory"`
	b.BootID = "boot-2"
	if r := b.Climb(context.Background(), Safe); len(r.Renamed) != 1 || r.Renamed[0].From != b.aliveFile() {
		t.Errorf("%+v", r)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	b := newBench(t)
	b.write(b.databases()[0], strings.Repeat("\x00", 4096))
	r := b.Plan(Safe, b.Check(context.Background()))
	if r.Result != Planned || len(r.Rungs) != 2 || r.Rungs[0].N != 5 || r.Rungs[1].N != 4 || b.kept != nil {
		t.Errorf("%+v", r)
	}
	b.untouched(r)
	b.live(200, "stranger", "")
	if r = b.Plan(Full, b.Check(context.Background())); r.Result != Refused || len(r.Stopped) > 0 {
		t.Errorf("%+v", r)
	}
	if r = b.Plan(StopApps, b.Check(context.Background())); r.Result != Planned || !slices.Equal(r.Stopped, []string{"stranger"}) || len(r.Rungs) != 2 {
		t.Errorf("%+v", r)
	}
	b.untouched(r)
}

// What a person is told depends on what has become of the rung: nothing was tried, it was tried within the hour, something lives, something is missing, it
// failed.
func TestAdvice(t *testing.T) {
	const safe, full, all = "archy podman heal", "archy podman heal --full", "archy podman heal --full --stop-apps"
	manager := fmt.Sprintf("user@%d.service", os.Getuid())
	again := []string{full, "systemctl --user restart podman.socket podman.service"}
	named := func(b *bench) { b.stored("db", "web"); b.lists("web"); b.live(200, "web", "web.service") }
	gone := func(b *bench) { os.Remove(b.host(b.Layout.PodmanSocket())) }
	lost := func(b *bench) {
		b.live(100, "db", "db.service")
		b.MoveOver = func(context.Context) error { return nil }
	}
	zeros := func(b *bench) { b.write(b.databases()[0], strings.Repeat("\x00", 4096)) }
	check := func(b *bench) *Human { return b.Check(context.Background()).Human }
	climb := func(mode Mode) func(b *bench) *Human {
		return func(b *bench) *Human { return b.Climb(context.Background(), mode).Human }
	}
	for _, c := range []struct {
		name     string
		node     func(b *bench)
		ask      func(b *bench) *Human
		willNot  string
		commands []string
	}{
		{"socket down", func(b *bench) { os.Remove(b.host(b.Layout.PodmanSocket())) }, check, "nothing was tried yet: rung 2", []string{safe}},
		{"socket stays down", func(b *bench) { os.Remove(b.host(b.Layout.PodmanSocket())) }, climb(Safe), "restarting podman.socket did not help", []string{"systemctl --user restart podman.socket podman.service"}},
		{"within the hour", func(b *bench) { os.Remove(b.host(b.Layout.PodmanSocket())); climb(Safe)(b) }, check, "the last climb was", again},
		{"once more within the hour", func(b *bench) { os.Remove(b.host(b.Layout.PodmanSocket())); climb(Safe)(b) }, climb(Safe), "the last climb was", again},
		{"once more within the hour, planned", func(b *bench) { os.Remove(b.host(b.Layout.PodmanSocket())); climb(Safe)(b) }, func(b *bench) *Human { return b.Plan(Safe, b.Check(context.Background())).Human },
			"the last climb was", again},
		{"no bus of the user within the hour", func(b *bench) {
			os.Remove(b.host(b.Layout.PodmanSocket()))
			climb(Safe)(b)
			os.Remove(b.host(b.Layout.UserBus()))
		}, check, "the last climb was",
			[]string{full, "sudo systemctl start " + manager, "sudo systemctl restart " + manager}},
		{"database within the hour", func(b *bench) { zeros(b); climb(Safe)(b); zeros(b) }, check, "the last climb was", []string{full}},
		{"socket within the hour of a full climb", func(b *bench) { gone(b); climb(Full)(b) }, check, "the last climb was", again[1:]},
		{"socket within the hour of a full climb, again", func(b *bench) { gone(b); climb(Full)(b) }, climb(Full), "the last climb was", again[1:]},
		{"lost within the hour of a full climb", func(b *bench) { lost(b); climb(Full)(b) }, check, "the last climb was", []string{"archy reconcile"}},
		{"name within the hour of a full climb", func(b *bench) { named(b); climb(Full)(b) }, check, "the last climb was", []string{"podman rm --force db"}},
		{"database within the hour of a full climb", func(b *bench) { zeros(b); climb(Full)(b); zeros(b) }, check, "the last climb was", []string{all}},
		{"database within the hour of both", func(b *bench) { zeros(b); climb(Full)(b); zeros(b); climb(StopApps)(b); zeros(b) }, check, "the last climb was", []string{"sudo systemctl reboot"}},
		{"database", zeros, check, "nothing was tried yet: rung 5", []string{safe}},
		{"database beside a stranger", func(b *bench) { zeros(b); b.live(200, "stranger", "") }, check, "while foreign containers live", []string{"archy adopt --migrate", all}},
		{"database beside a stranger, planned", func(b *bench) { zeros(b); b.live(200, "stranger", "") }, func(b *bench) *Human { return b.Plan(StopApps, b.Check(context.Background())).Human },
			"nothing was tried yet: rung 5", []string{all}},
		{"database that cannot be read", func(b *bench) { b.info.errors = "Error: file is not a database"; os.Remove(b.host(b.databases()[0])) }, climb(Safe), "cannot be read", []string{safe}},
		{"database that cannot be moved", func(b *bench) { zeros(b); b.write(b.Layout.State("quarantine"), "a file") }, climb(Safe), "rung 5 failed: ", []string{full}},
		{"database that cannot be moved by a full climb", func(b *bench) { zeros(b); b.write(b.Layout.State("quarantine"), "a file") }, climb(Full), "rung 5 failed: ", []string{all}},
		{"nothing was lost track of by archy", func(b *bench) { b.live(200, "stranger", "") }, check, "is not started a second time", []string{safe, "kill -TERM 201"}},
		{"moved over in vain", lost, climb(Safe), "is not started a second time", []string{full}},
		{"moved over in vain by a full climb", lost, climb(Full), "is not started a second time", []string{"archy reconcile"}},
		{"boot id", func(b *bench) { b.bootID() }, check, "nothing was tried yet: rung 7", []string{safe}},
		{"boot id with live ones", func(b *bench) { b.bootID(); b.live(100, "db", "db.service") }, check, "are not put aside while containers live", []string{all, "sudo systemctl reboot"}},
		{"namespace of a service of the system", func(b *bench) {
			b.info.errors = "Error: newuidmap: operation not permitted"
			b.write("/proc/self/cgroup", "0::/system.slice/archy-reconcile.service\n")
		}, check, "the unit that called, archy-reconcile.service, refuses", []string{"systemctl cat archy-reconcile.service", "sudo sysctl kernel.unprivileged_userns_clone"}},
		{"namespace of a service of the user", func(b *bench) {
			b.info.errors = "Error: newuidmap: operation not permitted"
			b.write("/proc/self/cgroup", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/mine.service/sub\n")
		}, check, "mine.service of archipelago, refuses", []string{"systemctl --user cat mine.service", "sudo sysctl kernel.unprivileged_userns_clone"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			c.node(b)
			m := c.ask(b)
			var commands []string
			for _, way := range m.Commands {
				commands = append(commands, way.Command)
			}
			if !strings.Contains(m.WillNot, c.willNot) || !slices.Equal(commands, c.commands) || m.ByArchy != strings.HasPrefix(c.willNot, "nothing was tried yet") {
				t.Errorf("%+v", m)
			}
		})
	}
}

// What no stopping helps is known before anything is stopped, and is no climb.
func TestNothingIsStoppedInVain(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		node         func(b *bench)
	}{
		{"a database that cannot be read", "cannot be read", func(b *bench) {
			b.info.errors = "Error: database disk image is malformed"
			os.Remove(b.host(b.databases()[0]))
			os.Mkdir(b.host(b.databases()[0]), 0o700)
			b.write(b.databases()[0]+"/x", "")
		}},
		{"a directory elsewhere", "/etc is not below", func(b *bench) {
			b.info.errors = fmt.Sprintf("Error: current system boot ID differs from cached boot ID; Please delete directories %q and %q", "/etc", b.Layout.RuntimeDir+"/libpod/tmp")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.live(100, "db", "db.service") // the bench fails to stop it
			b.live(200, "stranger", "")
			c.node(b)
			r := b.Climb(context.Background(), StopApps)
			if r.Result != Refused || len(r.Stopped) > 0 || len(r.Rungs) != 1 || !strings.Contains(r.Rungs[0].Reason, c.reason) || r.climbed() {
				t.Errorf("%+v", r)
			}
			b.untouched(r)
			if r := b.Plan(StopApps, b.Check(context.Background())); r.Result != Refused || len(r.Stopped) > 0 {
				t.Errorf("planned: %+v", r)
			}
		})
	}
}

func TestStaleNames(t *testing.T) {
	text := "10.89.0.1\n" + id("db") + " 10.89.0.2  db\n" + id("web") + " 10.89.0.3  web\n"
	if got := withoutStale(text, map[string]bool{id("web"): true}); got != "10.89.0.1\n"+id("web")+" 10.89.0.3  web\n" {
		t.Errorf("%q", got)
	}
}

// A climb that ended for a person has changed something all the same: what it renamed is remembered, and that the hour has begun.
func TestARefusalKeepsWhatWasClimbed(t *testing.T) {
	b := newBench(t)
	b.keep(Report{At: b.clock, BootID: b.BootID, Mode: Safe, State: BootID, Result: Refused, Rungs: []Rung{{N: 7, Error: "half of it"}}, Renamed: []Renamed{{"/a", "/b"}}})
	for range 2 {
		b.keep(Report{At: b.clock, BootID: b.BootID, Mode: StopApps, State: BootID, Result: Refused, Rungs: []Rung{{N: 7, Reason: "containers live"}}})
	}
	past, _ := b.past()
	if len(past.Reports) != 2 || len(past.Reports[0].Renamed) != 1 || b.tooSoon(Safe) == "" {
		t.Errorf("%+v; too soon: %q", past.Reports, b.tooSoon(Safe))
	}
}

func TestHistoryKeepsTwenty(t *testing.T) {
	b := newBench(t)
	for i := range 25 {
		b.keep(Report{State: SocketDown, Result: Healed, Evidence: strconv.Itoa(i)})
	}
	for range 5 {
		b.keep(Report{State: Unknown, Result: Refused})
	}
	past, _ := b.past()
	if len(past.Reports) != 20 || past.Reports[18].Evidence != "24" {
		t.Errorf("%d reports, %+v", len(past.Reports), past.Reports[18])
	}
}
