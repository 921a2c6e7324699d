package update

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// world is a node whose disk is real and whose time, services and page are made up. Whether it answers follows from what
// lies on the disk and from which program the backend was started.
type world struct {
	t       *testing.T
	layout  node.Layout
	windows Windows

	boot       int
	mono       time.Duration
	wall       time.Time
	running    string        // what the backend is: old, good, bad-backend, or "" when it is down
	invocation int           // of the backend; 0: none
	restartAt  time.Duration // when an asked-for restart happens; 0: none asked for

	events []string // every external call and write, before and after
	killAt int      // the event that ends the run; 0: none
	// killEvent is the same by its name.
	killEvent string
	failAt    int // the call that fails; 0: none
	calls     int
	probes    int
	reports   []State
	// answers overrules what the node would answer, probe by probe.
	answers func(n int) (bool, string)
	// decided is set by the write of a final state: from then on nothing may be probed.
	decided bool
	said    []string
}

type killed struct{}

var errMadeUp = errors.New("made-up failure")

// elfHead is the head of an x86-64 ELF program without sections, 64 bytes.
const elfHead = "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x02\x00\x3e\x00\x01\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// newWorld is a node at the moment when its updater has laid down version 2.0.0, with pages and program of these names.
func newWorld(t *testing.T, pages, program string) *world {
	t.Helper()
	w := &world{t: t, layout: node.NewLayout(memory(t), node.Default(), node.DefaultUser("archipelago")), boot: 1, mono: time.Hour,
		wall: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC), running: "old", invocation: 1, windows: DefaultWindows()}
	w.put(webUI+"/index.html", pages)
	w.put(webUI+"/assets/app.js", pages+" script")
	w.put(webUI+".bak/index.html", "old")
	w.put(webUI+".bak/assets/app.js", "old script")
	w.put("/opt/archipelago/apps/lnd/manifest.yml", "new manifest")
	w.put("/opt/archipelago/apps.bak/lnd/manifest.yml", "old manifest")
	w.put(binary, elfHead+program)
	w.put(binary+".bak", elfHead+"old")
	w.put("/opt/archipelago/version", "2.0.0\n")
	w.put("/var/lib/archipelago/state/restarts/lnd.json", "{}")
	return w
}

// memory is a directory where a sync costs nothing, if this machine has one: the sweeps sync ten thousands of times.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "archy-update-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (w *world) put(path, text string) {
	w.t.Helper()
	host := w.layout.Host(path)
	if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(host, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) get(path string) string {
	data, err := os.ReadFile(w.layout.Host(path))
	if errors.Is(err, fs.ErrNotExist) {
		return "absent"
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(string(data), elfHead))
}

// contents are the texts of all files of the update, to find out whether one was lost.
func (w *world) contents() map[string]bool {
	all := map[string]bool{}
	for _, dir := range []string{"/opt", "/usr"} {
		err := filepath.WalkDir(w.layout.Host(dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			all[string(data)] = true
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return all
}

// tree lists all paths of the update.
func (w *world) tree() string {
	var names []string
	for _, dir := range []string{"/opt", "/usr"} {
		_ = filepath.WalkDir(w.layout.Host(dir), func(path string, d fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(w.layout.Root, path)
			info, _ := d.Info()
			names = append(names, fmt.Sprintf("%s %s", info.Mode(), rel))
			return err
		})
	}
	return strings.Join(names, "\n")
}

// updater is a fresh process of archy.
func (w *world) updater() *Updater {
	return &Updater{Layout: w.layout, Disk: mortalDisk{w, NodeDisk{w.layout}}, Services: services{w}, Prober: prober{w},
		Reporter: reporter{w}, Locks: state.NewLocks(w.layout), Clock: clock{w}, BootID: fmt.Sprintf("boot-%d", w.boot),
		Windows: w.windows,
		Say:     func(f string, args ...any) { w.said = append(w.said, fmt.Sprintf(f, args...)) }}
}

// mark marks the update and restarts the backend, as the updater does.
func (w *world) mark() *Marker {
	w.t.Helper()
	m, err := w.updater().Mark(context.Background(), MarkOptions{Old: "1.0.0", New: "2.0.0", VersionFile: "/opt/archipelago/version"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.restartAt = w.mono + 3*time.Second
	w.events, w.calls = nil, 0
	return m
}

// verify runs archy update verify; dead tells that the run was killed.
func (w *world) verify() (r Result, dead bool, err error) {
	return w.run((*Updater).Verify)
}

func (w *world) run(f func(*Updater, context.Context) (Result, error)) (r Result, dead bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(killed); !ok {
				panic(p)
			}
			dead = true
		}
	}()
	r, err = f(w.updater(), context.Background())
	return r, false, err
}

// must runs verify and wants a verdict.
func (w *world) must(want State) *Marker {
	w.t.Helper()
	r, _, err := w.verify()
	if err != nil {
		w.t.Fatal(err)
	}
	if r.Marker == nil || r.Marker.State != want {
		w.t.Fatalf("verdict %+v, want %s\n%s", r.Marker, want, strings.Join(w.said, "\n"))
	}
	return r.Marker
}

// reboot is a power cut and a boot: the backend is what lies on the disk, the monotonic clock begins again.
func (w *world) reboot(off time.Duration) {
	w.boot++
	w.mono = 20 * time.Second
	w.wall = w.wall.Add(off)
	w.restartAt = 0
	w.start()
}

// start starts the program that lies on the disk.
func (w *world) start() {
	w.invocation++
	if w.running = w.get(binary); w.running == "absent" {
		w.running = ""
	}
}

func (w *world) pass(d time.Duration) {
	if w.restartAt > 0 && w.mono+d >= w.restartAt {
		w.restartAt = 0
		w.start()
	}
	w.mono += d
	w.wall = w.wall.Add(d)
}

// call is one external call or write: a run can be killed before it and after it, and it can fail.
func (w *world) call(name string, do func() error) error {
	w.calls++
	if w.calls == w.failAt {
		return errMadeUp
	}
	w.event("before " + name)
	err := do()
	w.event("after " + name)
	return err
}

func (w *world) event(name string) {
	w.events = append(w.events, name)
	if len(w.events) == w.killAt || name == w.killEvent {
		panic(killed{})
	}
}

type clock struct{ w *world }

func (c clock) Now() time.Time           { return c.w.wall }
func (c clock) Monotonic() time.Duration { return c.w.mono }
func (c clock) Sleep(ctx context.Context, d time.Duration) error {
	c.w.pass(d)
	return ctx.Err()
}

type services struct{ w *world }

func (s services) Invocation(context.Context) (id string, err error) {
	err = s.w.call("invocation", func() error {
		if s.w.invocation > 0 {
			id = fmt.Sprintf("invocation-%d", s.w.invocation)
		}
		return nil
	})
	return id, err
}

func (s services) ReloadPage(context.Context) error {
	return s.w.call("reload nginx", func() error { return nil })
}

func (s services) RestartBackend(context.Context) error {
	return s.w.call("restart backend", func() error {
		s.w.restartAt = s.w.mono + 2*time.Second
		return nil
	})
}

type prober struct{ w *world }

func (p prober) Probe(context.Context) (ok bool, detail string) {
	w := p.w
	if w.decided {
		w.t.Error("a decided update is probed again")
	}
	err := w.call("probe", func() error {
		w.probes++
		w.pass(100 * time.Millisecond)
		if w.answers != nil {
			ok, detail = w.answers(w.probes)
			return nil
		}
		detail = w.answer()
		ok = detail == ""
		return nil
	})
	if err != nil {
		return false, err.Error()
	}
	return ok, detail
}

// answer is what the node says to a probe; "" is all well.
func (w *world) answer() string {
	info, err := os.Stat(w.layout.Host(webUI))
	switch {
	case err != nil:
		return "GET / → 404"
	case info.Mode().Perm()&0o005 != 0o005:
		return "GET / → 403"
	case strings.HasPrefix(w.get(webUI+"/index.html"), "bad"):
		return "GET / → 500"
	case w.running == "" || strings.HasPrefix(w.running, "bad"):
		return "POST /rpc/v1 → 502"
	}
	return ""
}

type reporter struct{ w *world }

func (r reporter) Report(m *Marker) error {
	return r.w.call("journal "+string(m.State), func() error {
		r.w.reports = append(r.w.reports, m.State)
		return nil
	})
}

type mortalDisk struct {
	w    *world
	real Disk
}

func (d mortalDisk) Write(path string, data []byte) error {
	name := "write " + filepath.Base(path)
	var m Marker
	if bytes.HasPrefix(data, []byte("{")) && json.Unmarshal(data, &m) == nil {
		name += fmt.Sprintf(" %s %d", m.State, m.Step)
	}
	return d.w.call(name, func() error {
		err := d.real.Write(path, data)
		d.w.decided = d.w.decided || m.State.final() && err == nil
		return err
	})
}

func (d mortalDisk) Rename(from, to string) error {
	return d.w.call("rename "+filepath.Base(from)+" "+filepath.Base(to), func() error { return d.real.Rename(from, to) })
}

func (d mortalDisk) Supersede(from, to string) error {
	return d.w.call("rename "+filepath.Base(from)+" "+filepath.Base(to), func() error { return d.real.Supersede(from, to) })
}

func (d mortalDisk) Keep(from, to string) error {
	return d.w.call("keep "+filepath.Base(from), func() error { return d.real.Keep(from, to) })
}

func (d mortalDisk) Install(from, to string) error {
	return d.w.call("install "+filepath.Base(to), func() error { return d.real.Install(from, to) })
}

func (d mortalDisk) Publish(dir string) error {
	return d.w.call("publish "+filepath.Base(dir), func() error { return d.real.Publish(dir) })
}

func (d mortalDisk) Remove(path string) error {
	return d.w.call("remove "+filepath.Base(path), func() error { return d.real.Remove(path) })
}
