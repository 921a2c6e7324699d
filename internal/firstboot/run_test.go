package firstboot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

// boot makes a whole first boot and wants it to end well.
func (f *fakeHost) boot() (Progress, []Event) {
	f.t.Helper()
	var events []Event
	r, _ := f.runner(&events)
	p, err := r.Run(context.Background())
	f.must(err)
	return p, events
}

func story(events []Event) string {
	var b strings.Builder
	for _, ev := range events {
		fmt.Fprintf(&b, "%s %s %s %s %s\n", ev.Kind, ev.Step, ev.State, ev.Text, ev.Error)
	}
	return b.String()
}

func TestAFirstBoot(t *testing.T) {
	f := newHost(t)
	p, events := f.boot()
	if p.Result != ResultOK || p.Percent != 100 || len(p.Failed()) != 0 || len(p.Warnings) != 0 {
		t.Errorf("%+v", p)
	}
	last := 0
	for _, ev := range events {
		if ev.Kind != AppEvent {
			if ev.Percent < last {
				t.Errorf("percent fell to %d: %+v", ev.Percent, ev)
			}
			last = ev.Percent
		}
	}
	var m MarkerContent
	if err := json.Unmarshal([]byte(f.read(f.Layout.FirstBootDone())), &m); err != nil || m.Result != ResultOK || m.Profile != "core" || m.Version != "1" {
		t.Errorf("marker %+v, %v", m, err)
	}
	var kept Progress
	if found, err := f.State.ReadFirstBoot(&kept); !found || err != nil || kept.Percent != 100 || kept.Result != ResultOK || len(kept.Steps) != 15 {
		t.Errorf("state/first-boot.json: %+v, %v", kept, err)
	}
	for _, s := range kept.Steps {
		want := Done
		if s.Name == WireGuard {
			want = Skipped
		}
		if s.State != want {
			t.Errorf("step %s is %s", s.Name, s.State)
		}
	}
	for _, rule := range []string{"ufw allow 22/tcp comment 'archy:ssh'", "ufw allow 8333/tcp comment 'archy:bitcoin-knots'",
		"ufw allow from fe80::/10 to any port 8080 proto tcp comment 'archy:lnd'"} {
		if !slices.Contains(f.ufwRules, rule) {
			t.Errorf("no rule %s among\n%s", rule, strings.Join(f.ufwRules, "\n"))
		}
	}
	for _, rule := range f.ufwRules {
		if strings.Contains(rule, "8332") || strings.Contains(rule, "2833") {
			t.Errorf("a closed port is open: %s", rule)
		}
	}
}

// Each step finds nothing to do after it was done, and doing it again changes nothing at all.
func TestAgainChangesNothing(t *testing.T) {
	f := newHost(t)
	f.Config.WireGuard.Enabled = true
	f.boot()
	before, calls := f.tree(), len(f.calls)
	var events []Event
	r, stage := f.runner(&events)
	r.progress.Result = ResultOK
	stage.todo = nil
	plan, err := r.Check(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range plan {
		if len(p.Todo) > 0 || len(p.Warnings) > 0 {
			t.Errorf("%s has something to do: %q %q", p.Step, p.Todo, p.Warnings)
		}
	}
	for name, task := range r.tasks() {
		if _, err := r.do(context.Background(), task); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := f.tree(); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if len(f.calls) != calls {
		t.Errorf("called again: %q", f.calls[calls:])
	}
}

// --check tells of every step and changes nothing, on a bare machine and on a node.
func TestCheckChangesNothing(t *testing.T) {
	f := newHost(t)
	before := f.tree()
	var events []Event
	r, _ := f.runner(&events)
	plan, err := r.Check(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	byStep := map[string][]string{}
	for _, p := range plan {
		byStep[p.Step] = p.Todo
	}
	for _, step := range []string{Preflight, Rootless, Directories, Secrets, Tor, Firewall, Nostr, Containers, Record, Marker} {
		if len(byStep[step]) == 0 {
			t.Errorf("nothing to do in %s", step)
		}
	}
	if f.tree() != before || len(f.calls) > 0 {
		t.Errorf("something was changed: %q", f.calls)
	}
}

// A run that ends at any of its changes is completed by the next; secrets and the volume's name stay as they were written.
func TestInterruptedAnywhere(t *testing.T) {
	whole := newHost(t)
	_, all := whole.boot()
	changes := 0
	for _, ev := range all {
		if ev.Kind == StepEvent && ev.State == Running && ev.Text != "" {
			changes++
		}
	}
	if changes < 40 {
		t.Fatalf("a first boot is only %d changes", changes)
	}
	for k := range changes {
		t.Run(fmt.Sprint(k), func(t *testing.T) { interruptAndGoOn(t, k) })
	}
}

func interruptAndGoOn(t *testing.T, k int) {
	f := newHost(t)
	f.interruptAt(k)
	kept := f.secretTexts()
	p, events := f.boot()
	if p.Result != ResultOK {
		t.Fatalf("%+v", p)
	}
	if !strings.Contains(story(events), "resuming after an interrupted run at step ") {
		t.Error("the run before is not named")
	}
	for name, text := range kept {
		if f.secretTexts()[name] != text {
			t.Errorf("secret %s changed", name)
		}
	}
	if f.read(node.VolumeIDPath) != "an-id\n" || f.read(f.Layout.VolumeMark()) != "an-id\n" {
		t.Error("the volume's name changed")
	}
}

// interruptAt ends a first boot when it announces its k-th change.
func (f *fakeHost) interruptAt(k int) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var events []Event
	r, _ := f.runner(&events)
	seen := 0
	r.Report = func(ev Event) {
		if ev.Kind == StepEvent && ev.State == Running && ev.Text != "" {
			if seen == k {
				cancel()
			}
			seen++
		}
	}
	_, err := r.Run(ctx)
	if seen != k+1 || !errors.Is(err, ErrInterrupted) {
		f.t.Fatalf("interrupted at change %d, %d were begun: %v", k, seen, err)
	}
	if _, statErr := os.Stat(f.at(f.Layout.FirstBootDone())); statErr == nil {
		// The last change is the marker itself: it is written whole or not at all.
		f.must(os.Remove(f.at(f.Layout.FirstBootDone())))
	}
	var p Progress
	if _, err := f.State.ReadFirstBoot(&p); err == nil && p.Result == ResultOK {
		p.Result = ""
		f.must(f.State.WriteFirstBoot(p))
	}
}

func (f *fakeHost) secretTexts() map[string]string {
	texts := map[string]string{}
	entries, _ := os.ReadDir(f.Secrets.Dir)
	for _, e := range entries {
		text, err := os.ReadFile(f.Secrets.Path(e.Name()))
		f.must(err)
		texts[e.Name()] = string(text)
	}
	return texts
}

// An app that fails does not keep the node from being one; a fatal step does.
func TestHowARunEnds(t *testing.T) {
	t.Run("an app failed", func(t *testing.T) {
		f := newHost(t)
		var events []Event
		r, stage := f.runner(&events)
		stage.run = func(_ context.Context, _ AppsJob, report func(Event)) error {
			report(Event{Kind: AppEvent, App: "lnd", Phase: PhaseFailed, Error: "no image"})
			return nil
		}
		p, err := r.Run(context.Background())
		if err != nil || p.Result != ResultPartial || !strings.Contains(f.read(f.Layout.FirstBootDone()), `"result":"partial"`) {
			t.Errorf("%+v, %v", p, err)
		}
	})
	t.Run("the child failed", func(t *testing.T) {
		f := newHost(t)
		var events []Event
		r, stage := f.runner(&events)
		stage.run = func(_ context.Context, _ AppsJob, report func(Event)) error {
			report(Event{Kind: StepEvent, Step: Networks, State: Running})
			return &ChildError{Code: 1, Text: "no bus"}
		}
		p, err := r.Run(context.Background())
		if err == nil || p.Result != ResultFailed || p.Steps[8].State != Failed || !strings.Contains(p.Steps[8].Error, "no bus") {
			t.Errorf("%+v, %v", p, err)
		}
		f.noMarker()
		if _, events := f.boot(); !strings.Contains(story(events), "trying again after a run that failed at step networks") {
			t.Error("the run before is not named")
		}
	})
	t.Run("a step that is not fatal failed", func(t *testing.T) {
		f := newHost(t)
		f.fail["ufw"] = errors.New("ufw: broken")
		p, _ := f.boot()
		if p.Result != ResultOK || !slices.ContainsFunc(p.Warnings, func(w string) bool { return strings.Contains(w, "firewall not configured: ufw: broken") }) {
			t.Errorf("%+v", p)
		}
	})
	t.Run("a fatal step failed", func(t *testing.T) {
		f := newHost(t)
		f.fail["loginctl"] = errors.New("loginctl: refused")
		var events []Event
		r, stage := f.runner(&events)
		p, err := r.Run(context.Background())
		if err == nil || !strings.Contains(err.Error(), "step rootless: loginctl: refused") || p.Result != ResultFailed || len(stage.jobs) > 0 {
			t.Errorf("%+v, %v", p, err)
		}
		f.noMarker()
	})
	t.Run("left out", func(t *testing.T) {
		f := newHost(t)
		f.Skip = []string{Tor, Firewall, Nostr, Images}
		var events []Event
		r, stage := f.runner(&events)
		if _, err := r.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if len(stage.jobs) != 1 || !stage.jobs[0].SkipImages || len(f.ufwRules) > 0 || strings.Contains(f.read(Torrc), blockBegin) {
			t.Errorf("jobs %+v, rules %q", stage.jobs, f.ufwRules)
		}
		if _, err := os.Stat(f.at(f.Layout.Data("nostr-relay"))); err == nil {
			t.Error("the directory of nostr was made")
		}
	})
}

// What cannot be understood of an earlier run is kept, told, and no obstacle.
func TestUnreadableProgress(t *testing.T) {
	f := newHost(t)
	name := f.Layout.State("first-boot.json")
	f.write(name, `{"schema": 9, "step": "later"}`, 0o600)
	p, _ := f.boot()
	kept, err := filepath.Glob(f.at(name) + ".unreadable-*")
	if p.Result != ResultOK || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "newer archy") || len(kept) != 1 || err != nil {
		t.Errorf("%+v, kept %q", p, kept)
	}
}

func (f *fakeHost) noMarker() {
	f.t.Helper()
	if _, err := os.Stat(f.at(f.Layout.FirstBootDone())); err == nil {
		f.t.Error("the marker is there")
	}
}

// On a bare mount point not a byte is written (incident 17), nor is one tried on a disk that takes none.
func TestIncident17BareMountpoint(t *testing.T) {
	for name, file := range map[string][2]string{"fstab": {"/etc/fstab", "UUID=x /var/lib/archipelago ext4 defaults 0 2\n"}, "volume id": {node.VolumeIDPath, "another\n"},
		"read-only": {"/proc/self/mounts", "/dev/sda1 / ext4 ro 0 0\n"}} {
		t.Run(name, func(t *testing.T) {
			f := newHost(t)
			f.write(file[0], file[1], 0o644)
			before := f.tree()
			var events []Event
			r, _ := f.runner(&events)
			_, err := r.Run(context.Background())
			var volume *node.VolumeError
			if !errors.As(err, &volume) || f.tree() != before || len(f.calls) > 0 {
				t.Errorf("%v; changed:\n%s", err, f.tree())
			}
		})
	}
}

// TestFullDiskWhileTheAppsAreMade: the data disk becomes full in step images, on a file system that really has no room. What is
// set aside is enough for the progress and the marker of a run whose apps fail for it; without that too the run ends without a
// marker and names the disk. The next run with room completes, and sets aside again.
func TestFullDiskWhileTheAppsAreMade(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	for name, nothingLeft := range map[string]bool{"the reserve helps": false, "the reserve is used up": true} {
		t.Run(name, func(t *testing.T) {
			f := newHost(t)
			data := f.at(f.Layout.DataDir)
			f.must(os.MkdirAll(data, 0o755))
			if err := syscall.Mount("none", data, "tmpfs", 0, "size=6m"); err != nil {
				t.Skipf("needs to mount a small file system: %v", err)
			}
			t.Cleanup(func() { _ = syscall.Unmount(data, 0) })
			var events []Event
			r, stage := f.runner(&events)
			stage.run = func(_ context.Context, _ AppsJob, report func(Event)) error {
				report(Event{Kind: StepEvent, Step: Images, State: Running})
				err := f.fill()
				if nothingLeft {
					report(Event{Kind: AppEvent, App: "lnd", Phase: PhasePulling, Percent: 20})
					f.must(os.RemoveAll(f.at(f.Layout.State(".reserve"))))
					err = f.fill()
				}
				report(Event{Kind: AppEvent, App: "lnd", Phase: PhaseFailed, Percent: 20, Error: "image: " + err.Error()})
				report(Event{Kind: StepEvent, Step: Images, State: Done})
				return nil
			}
			p, err := r.Run(context.Background())
			var kept Progress
			found, readErr := f.State.ReadFirstBoot(&kept)
			if !found || readErr != nil {
				t.Fatalf("the progress: %v", readErr)
			}
			if text := story(events); !strings.Contains(text, "no space left on device") {
				t.Errorf("the disk is not named:\n%s", text)
			}
			if nothingLeft {
				if err == nil || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "step marker: ") || p.Result != ResultFailed {
					t.Errorf("%v, result %q", err, p.Result)
				}
				if !slices.ContainsFunc(p.Warnings, func(w string) bool { return strings.HasPrefix(w, notKept) }) {
					t.Errorf("warnings %q", p.Warnings)
				}
				f.noMarker()
			} else {
				if err != nil || p.Result != ResultPartial || kept.Result != ResultPartial || kept.Percent != 100 || kept.Apps["lnd"].Error == "" {
					t.Errorf("%v, result %q, kept %+v", err, p.Result, kept)
				}
				if !strings.Contains(f.read(f.Layout.FirstBootDone()), `"result":"partial"`) {
					t.Error("the marker does not say that it is partial")
				}
			}
			f.must(os.Remove(f.at(f.Layout.Data("hog"))))
			events = nil
			again, _ := f.runner(&events)
			again.Again = true
			if p, err := again.Run(context.Background()); err != nil || p.Result != ResultOK || p.Percent != 100 {
				t.Errorf("with room: %v, %+v", err, p)
			}
			if !strings.Contains(f.read(f.Layout.FirstBootDone()), `"result":"ok"`) {
				t.Error("no marker of the whole node")
			}
			if st, err := os.Stat(f.at(f.Layout.State(".reserve"))); err != nil || st.Size() != f.Reserve {
				t.Errorf("nothing is set aside again: %v", err)
			}
		})
	}
}

// fill takes all the room that the data disk has, and gives the error of the write that had none.
func (f *fakeHost) fill() error {
	hog, err := os.OpenFile(f.at(f.Layout.Data("hog")), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	f.must(err)
	defer hog.Close()
	for err == nil {
		_, err = hog.Write(make([]byte, 4096))
	}
	return err
}

// TestTheClockIsWaitedFor: nobody wonders for a minute what goes on.
func TestTheClockIsWaitedFor(t *testing.T) {
	f := newHost(t)
	looks := 0
	f.timedatectl = func() string {
		if looks++; looks < 3 {
			return "NTP=yes\nNTPSynchronized=no\n"
		}
		return "NTP=yes\nNTPSynchronized=yes\n"
	}
	p, events := f.boot()
	if want := "step preflight running wait for the clock to be set, at most 1m0s \n"; strings.Count(story(events), want) != 1 {
		t.Errorf("%q is not told once:\n%s", want, story(events))
	}
	if slices.ContainsFunc(p.Warnings, func(w string) bool { return strings.Contains(w, "clock") }) {
		t.Errorf("warnings %q", p.Warnings)
	}
}
