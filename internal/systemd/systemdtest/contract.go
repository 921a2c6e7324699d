package systemdtest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// User is what both managers do.
type User interface {
	Units(ctx context.Context, names []string) (map[string]systemd.Unit, error)
	Detail(ctx context.Context, name string) (systemd.Detail, error)
	Restarts(ctx context.Context, names []string) (map[string]int, error)
	Reload(ctx context.Context) error
	Start(ctx context.Context, name string, limit time.Duration) error
	Stop(ctx context.Context, name string, limit time.Duration) error
	Restart(ctx context.Context, name string, limit time.Duration) error
	ResetFailed(ctx context.Context, name string) error
	DelegatedControllers(ctx context.Context) ([]string, error)
	Journal(ctx context.Context, unit, invocation string, n int) ([]string, error)
}

var (
	_ User = (*systemd.Manager)(nil)
	_ User = (*Manager)(nil)
)

// Kind is how a unit of Contract behaves.
type Kind string

// The kinds of units.
const (
	// Runs says "ready" and runs until it is stopped.
	Runs Kind = "runs"
	// Breaks ends with code 7 before it is ready.
	Breaks Kind = "breaks"
	// Loops ends with code 7 after its start, and systemd restarts it at once, three times at most.
	Loops Kind = "loops"
	// Slow takes a minute to be ready.
	Slow Kind = "slow"
	// Unwanted has a condition that is not met.
	Unwanted Kind = "unwanted"
	// Invalid is a file that systemd refuses.
	Invalid Kind = "invalid"
)

// World is a user manager whose units Contract can write.
type World interface {
	User() User
	// Write puts the file of a service there; it counts after a Reload.
	Write(t testing.TB, name string, kind Kind)
	// Delete takes the file away; it counts after a Reload.
	Delete(t testing.TB, name string)
}

// Contract is what archy relies on.
func Contract(t *testing.T, newWorld func(t testing.TB) World) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, World)
	}{
		{"unknown", contractUnknown}, {"life", contractLife}, {"failing", contractFailing}, {"start limit", contractStartLimit},
		{"condition", contractCondition}, {"slow", contractSlow}, {"invalid", contractInvalid}, {"deleted", contractDeleted},
		{"journal", contractJournal},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newWorld(t)) })
	}
}

const jobLimit = 20 * time.Second

func background(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// loaded writes a unit and reloads; the unit goes away with the test.
func loaded(t *testing.T, w World, name string, kind Kind) {
	t.Helper()
	w.Write(t, name, kind)
	t.Cleanup(func() {
		ctx := context.Background()
		_ = w.User().Stop(ctx, name, jobLimit)
		w.Delete(t, name)
		_ = w.User().Reload(ctx)
		_ = w.User().ResetFailed(ctx, name)
	})
	ok(t, w.User().Reload(background(t)))
}

func state(t *testing.T, w World, name string) systemd.Unit {
	t.Helper()
	units, err := w.User().Units(background(t), []string{name})
	ok(t, err)
	return units[name]
}

// result returns the result of a job that did not end well.
func result(t *testing.T, err error) string {
	t.Helper()
	var job *systemd.JobError
	if !errors.As(err, &job) {
		t.Fatalf("error %v, want a *JobError", err)
	}
	return job.Result
}

func contractUnknown(t *testing.T, w World) {
	ctx, u := background(t), w.User()
	units, err := u.Units(ctx, []string{"contract-absent.service"})
	ok(t, err)
	if got := units["contract-absent.service"]; got.LoadState != "not-found" || got.ActiveState != "inactive" || got.Name == "" {
		t.Errorf("an unknown unit is listed as %+v", got)
	}
	if _, err := u.Detail(ctx, "contract-absent.service"); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("detail: error %v", err)
	}
	if err := u.Start(ctx, "contract-absent.service", jobLimit); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("start: error %v", err)
	}
	if err := u.Stop(ctx, "contract-absent.service", jobLimit); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("stop: error %v", err)
	}
	ok(t, u.ResetFailed(ctx, "contract-absent.service"))
	if n, err := u.Restarts(ctx, []string{"contract-absent.service"}); err != nil || n["contract-absent.service"] != 0 {
		t.Errorf("restarts of an unknown unit: %v, error %v", n, err)
	}
	if units, err := u.Units(ctx, nil); err != nil || len(units) != 0 {
		t.Errorf("no names: %v, error %v", units, err)
	}
}

func contractLife(t *testing.T, w World) {
	const name = "contract-life.service"
	ctx, u := background(t), w.User()
	loaded(t, w, name, Runs)
	if got := state(t, w, name); got.LoadState != "loaded" || got.ActiveState != "inactive" {
		t.Errorf("before: %+v", got)
	}
	ok(t, u.Start(ctx, name, jobLimit))
	first, err := u.Detail(ctx, name)
	ok(t, err)
	if first.ActiveState != "active" || first.SubState != "running" || first.MainPID <= 0 || first.Result != "success" {
		t.Errorf("running: %+v", first)
	}
	if len(first.InvocationID) != 32 || first.ActiveEntered.IsZero() || first.StateChanged.IsZero() || first.FragmentPath == "" || first.ControlGroup == "" || !first.ConditionMet {
		t.Errorf("running: %+v", first)
	}
	ok(t, u.Start(ctx, name, jobLimit))
	ok(t, u.Restart(ctx, name, jobLimit))
	second, err := u.Detail(ctx, name)
	ok(t, err)
	if second.InvocationID == first.InvocationID || second.MainPID == first.MainPID || second.ActiveState != "active" {
		t.Errorf("restarted: %+v, before %+v", second, first)
	}
	ok(t, u.Stop(ctx, name, jobLimit))
	if got, err := u.Detail(ctx, name); err != nil || got.ActiveState != "inactive" || got.SubState != "dead" || second.Stopped || !got.Stopped && got.InvocationID != "" {
		t.Errorf("stopped: %+v, %v", got, err) // systemd forgets all about a unit that nothing wants
	}
	ok(t, u.Stop(ctx, name, jobLimit))
}

func contractFailing(t *testing.T, w World) {
	const name = "contract-breaks.service"
	loaded(t, w, name, Breaks)
	err := w.User().Start(background(t), name, jobLimit)
	if got := result(t, err); got != systemd.ResultFailed {
		t.Errorf("result %q", got)
	}
	d, err := w.User().Detail(background(t), name)
	ok(t, err)
	if d.ActiveState != "failed" || d.Result != "exit-code" || d.ExecMainCode != 1 || d.ExecMainStatus == 0 || d.Stopped {
		t.Errorf("failed unit: %+v", d)
	}
	ok(t, w.User().ResetFailed(background(t), name))
	if got := state(t, w, name); got.ActiveState != "inactive" {
		t.Errorf("after reset-failed: %+v", got)
	}
}

// contractStartLimit waits until systemd gives up restarting a unit.
func contractStartLimit(t *testing.T, w World) {
	const name = "contract-limit.service"
	ctx, u := background(t), w.User()
	loaded(t, w, name, Loops)
	_ = u.Start(ctx, name, jobLimit)
	d := detailWhen(t, u, name, func(d systemd.Detail) bool { return d.StartLimitHit })
	if d.ActiveState != "failed" || d.NRestarts < 3 || d.Result != "exit-code" {
		t.Errorf("after the last start: %+v", d)
	}
	if n, err := u.Restarts(ctx, []string{name}); err != nil || n[name] != d.NRestarts {
		t.Errorf("restarts %v (%v), want %d", n, err, d.NRestarts)
	}
	if got := result(t, u.Start(ctx, name, jobLimit)); got != systemd.ResultFailed {
		t.Errorf("one more start: result %q", got)
	}
	ok(t, u.ResetFailed(ctx, name))
	if d, err := u.Detail(ctx, name); err != nil || d.StartLimitHit || d.ActiveState != "inactive" || d.NRestarts != 0 {
		t.Errorf("after reset-failed: %+v, error %v", d, err)
	}
}

// detailWhen waits until the unit is as wanted.
func detailWhen(t *testing.T, u User, name string, wanted func(systemd.Detail) bool) systemd.Detail {
	t.Helper()
	for range 100 {
		d, err := u.Detail(background(t), name)
		ok(t, err)
		if wanted(d) {
			return d
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s is not as wanted after 10 s", name)
	return systemd.Detail{}
}

func contractCondition(t *testing.T, w World) {
	const name = "contract-unwanted.service"
	loaded(t, w, name, Unwanted)
	if got := result(t, w.User().Start(background(t), name, jobLimit)); got != systemd.ResultCondition {
		t.Errorf("start: result %q", got)
	}
	if got := result(t, w.User().Restart(background(t), name, jobLimit)); got != systemd.ResultCondition {
		t.Errorf("restart: result %q", got)
	}
	if got := state(t, w, name); got.ActiveState != "inactive" {
		t.Errorf("state %+v", got)
	}
}

func contractSlow(t *testing.T, w World) {
	const name = "contract-slow.service"
	loaded(t, w, name, Slow)
	err := w.User().Start(background(t), name, 300*time.Millisecond)
	if got := result(t, err); got != systemd.ResultLimit || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if got := state(t, w, name); got.ActiveState != "activating" {
		t.Errorf("the job does not go on: %+v", got)
	}
	ok(t, w.User().Stop(background(t), name, jobLimit))
}

func contractInvalid(t *testing.T, w World) {
	const name = "contract-invalid.service"
	loaded(t, w, name, Invalid)
	if got := state(t, w, name); got.LoadState == "loaded" || got.LoadState == "not-found" {
		t.Errorf("state %+v", got)
	}
	if err := w.User().Start(background(t), name, jobLimit); err == nil {
		t.Error("an invalid unit was started")
	}
}

// contractDeleted takes the file of a running unit away: it runs on and can be stopped.
func contractDeleted(t *testing.T, w World) {
	const name = "contract-deleted.service"
	ctx, u := background(t), w.User()
	loaded(t, w, name, Runs)
	ok(t, u.Start(ctx, name, jobLimit))
	w.Delete(t, name)
	ok(t, u.Reload(ctx))
	if got := state(t, w, name); got.LoadState != "not-found" || got.ActiveState != "active" {
		t.Errorf("running without a file: %+v", got)
	}
	ok(t, u.Stop(ctx, name, jobLimit))
	if got := state(t, w, name); got.ActiveState != "inactive" {
		t.Errorf("stopped without a file: %+v", got)
	}
}

func contractJournal(t *testing.T, w World) {
	const name = "contract-journal.service"
	ctx, u := background(t), w.User()
	loaded(t, w, name, Runs)
	ok(t, u.Start(ctx, name, jobLimit))
	d, err := u.Detail(ctx, name)
	ok(t, err)
	var lines []string
	for range 50 {
		lines, err = u.Journal(ctx, name, d.InvocationID, 20)
		ok(t, err)
		if slices.Contains(lines, "ready") {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if !slices.Contains(lines, "ready") {
		t.Errorf("journal %q", lines)
	}
	none, err := u.Journal(ctx, name, "ffffffffffffffffffffffffffffffff", 20)
	if err != nil || len(none) != 0 {
		t.Errorf("journal of another run: %q, error %v", none, err)
	}
}
