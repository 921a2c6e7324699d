package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/images"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// Engine is what a pass needs of podman.
type Engine interface {
	List(ctx context.Context) ([]podman.Container, error)
	Inspect(ctx context.Context, name string) (podman.Inspect, error)
	images.Engine
	Secrets(ctx context.Context) ([]podman.Secret, error)
	CreateSecret(ctx context.Context, name string, value []byte, labels map[string]string, replace bool) error
	RemoveSecret(ctx context.Context, name string) error
	Networks(ctx context.Context) ([]podman.Network, error)
	CreateNetwork(ctx context.Context, n podman.Network) error
	Stop(ctx context.Context, name string, grace time.Duration) error
	Unpause(ctx context.Context, name string) error
	Rename(ctx context.Context, old, name string) error
	SetRestartPolicy(ctx context.Context, name, policy string) error
	Remove(ctx context.Context, name string, force bool) error
	Exec(ctx context.Context, name string, argv []string) (output string, exitCode int, err error)
	Logs(ctx context.Context, name string, n int) ([]string, error)
	Healthcheck(ctx context.Context, name string) (string, error)
	Version(ctx context.Context) (string, error)
}

// Units is what a pass needs of the service user's systemd.
type Units interface {
	Units(ctx context.Context, names []string) (map[string]systemd.Unit, error)
	Detail(ctx context.Context, name string) (systemd.Detail, error)
	Restarts(ctx context.Context, names []string) (map[string]int, error)
	Reload(ctx context.Context) error
	Start(ctx context.Context, name string, limit time.Duration) error
	Restart(ctx context.Context, name string, limit time.Duration) error
	Stop(ctx context.Context, name string, limit time.Duration) error
	ResetFailed(ctx context.Context, name string) error
	Journal(ctx context.Context, unit, invocation string, n int) ([]string, error)
	ContainerLog(ctx context.Context, container string, since time.Time, n int) ([]string, error)
}

// Disk writes what a pass writes beside archy's own state. Every write is atomic and durable.
type Disk interface {
	// MakeDir makes one directory with an owner ("uid:gid", host numbers; "" for the service user).
	MakeDir(ctx context.Context, path, owner string, mode fs.FileMode) error
	// WriteFile replaces a derived file and keeps the mode and owner of an existing one.
	WriteFile(ctx context.Context, op Operation) error
	// WriteUnit tells under which name it has kept a unit that was not archy's.
	WriteUnit(container string, text []byte) (kept string, err error)
	RemoveUnit(container string) error
	// Trash renames an app's directory; it never copies and never deletes.
	Trash(ctx context.Context, path, dest string) error
	// Guard says why an image must not be started on the data that an app has now.
	Guard(ctx context.Context, a *App, image string) string
	// Sweep removes what runs that were killed have left of files they were writing.
	Sweep()
	// TryUnit tells why the node's own generator would make no service of a unit. It changes nothing.
	TryUnit(ctx context.Context, container string, text []byte) error
	// CheckUnits finds a unit that makes a daemon-reload dangerous.
	CheckUnits() error
	WriteNetworkUnit(n Network) error
	// CopyInto copies a file of the host (relative to the app's data or to /opt/archipelago) into its container.
	CopyInto(ctx context.Context, a *App, src, dest string) error
	// Context gives the directory of a build context, and a function that cleans up after the build.
	Context(a *App) (dir string, done func(), err error)
}

// LegacyStarter starts a container that no unit owns, outside archy's own control group.
type LegacyStarter interface {
	StartInScope(ctx context.Context, name string) error
}

// SecretFiles writes drafted secrets.
type SecretFiles interface {
	Create(name string, kind secrets.Kind, value, plain secrets.Value) (secrets.Value, bool, error)
	Take(name string, value secrets.Value) error
	Path(name string) string
}

// Locker hands out the locks of one app.
type Locker interface {
	App(ctx context.Context, id string, wait time.Duration) (*state.Lock, error)
}

// Records is where archy remembers.
type Records interface {
	ReadRecord(app string) (r state.Record, found bool, err error)
	WriteRecord(r state.Record) error
	ReadHistory(app string) (state.History, error)
	WriteHistory(h state.History) error
	SavePrevUnit(container string, text []byte) error
	PrevUnit(container string) (text []byte, found bool, err error)
	DropPrevUnit(container string) error
	SaveLegacy(container string, inspect []byte) error
	AddImage(i state.Image) (warning string, err error)
	ReadIntent() state.Intent
}

// Timing holds the waits of a pass; the zero value means the defaults.
type Timing struct {
	// Alive is how long a changed app must live before its health counts, Settle how long one that was only started.
	Alive, Settle time.Duration
	// Poll is the pause between two looks at an app.
	Poll time.Duration
	// Lock is how long a pass waits for an app that another command holds.
	Lock time.Duration
	// PullPauses are the pauses between the attempts of a pull; nil means those of the images package.
	PullPauses []time.Duration
}

// aliveFor is what "started" means of an app.
const aliveFor = 10 * time.Second

func (t Timing) orDefault() Timing {
	or := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	or(&t.Alive, aliveFor)
	or(&t.Settle, 5*time.Second)
	or(&t.Poll, 200*time.Millisecond)
	or(&t.Lock, 5*time.Second)
	return t
}

// Event is progress for a person: an operation that began, goes on with Text, or ended.
type Event struct {
	Op   Operation
	Done bool
	Err  error
	Text string
	// Bytes of Total of an image have come, where the engine tells.
	Bytes, Total int64
	// Moment is what a start has come to, "" for any other event.
	Moment Moment
	// Ended is set when the last operation of an app has ended.
	Ended *AppResult
}

// Moment is a point on the way of a start.
type Moment string

// The moments that are told: the service runs and its gate is watched; its hooks begin.
const (
	MomentGate  Moment = "gate"
	MomentHooks Moment = "hooks"
)

// Applier executes plans.
type Applier struct {
	Engine  Engine
	Units   Units
	Disk    Disk
	Legacy  LegacyStarter
	Secrets SecretFiles
	Locks   Locker
	Records Records
	// Mirrors are asked for an image before its own registry, Offline is the directory of archives that comes before both.
	Mirrors []images.Mirror
	Offline string
	// Free is the free space where images go, in bytes, when it is asked and known; nil means as the pass has found it.
	Free    func() (free int64, known bool)
	Stage   func(ctx context.Context, a *App) Stage
	Wallets Wallets
	// AskHost asks an app whose health check is a request from the host.
	AskHost func(ctx context.Context, h *spec.Health) bool
	// Names lets the name server forget containers that are gone; nil: nobody can.
	Names   Names
	Now     func() time.Time
	Report  func(Event)
	Options Options
	// warn takes what went wrong and is no app's failure.
	warn func(text string)
}

// Names is the name server of podman's networks, and whatever else still stands for containers that are gone.
type Names interface {
	DropStale(ctx context.Context) error
}

// Apply executes a plan and returns a result for every app in it. A failing app never ends the pass; only a context
// that ends does, after the operations under way.
func (x *Applier) Apply(ctx context.Context, w *World, plan Plan) []AppResult {
	r := newRun(x, w, plan)
	r.ending = ctx
	ranks := r.ranks(plan.Ops)
	newSchedule(plan.Ops, func(op Operation) int { return ranks[op.N] }, x.Options.MaxParallel).run(func(op Operation, leave func()) {
		if c := r.apps[op.App]; c != nil && x.Options.Boot {
			c.leave = leave
		}
		r.do(ctx, op)
	})
	return r.finish(ctx)
}

// ranks are the operations' places in the plan, by their numbers. At a first boot an app without a health check comes first of its tier:
// it must live for a while before it counts as started, and the others can do their starting meanwhile.
func (r *run) ranks(ops []Operation) map[int]int {
	type kind struct {
		Kind
		tier int
	}
	first, ranks := map[kind]int{}, map[int]int{}
	for i, op := range ops {
		ranks[op.N] = 2 * i
		c := r.apps[op.App]
		if c == nil || !r.Options.Boot {
			continue
		}
		k := kind{op.Kind, c.Tier}
		if _, ok := first[k]; !ok {
			first[k] = 2*i - 1
		}
		if c.Spec.Health == nil {
			ranks[op.N] = first[k]
		}
	}
	return ranks
}

// run is one execution of a plan.
type run struct {
	*Applier
	w      *World
	images *images.Fetcher
	timing Timing
	mu     sync.Mutex
	apps   map[string]*change
	order  []string
	// reloadFailed stops every start after a daemon-reload that failed.
	reloadFailed error
	failedOps    map[int]bool
	// wrote are the apps by the number of the operation that has written their unit.
	wrote map[int]*change
	// rollFailed is the app that did not come up after it was moved over.
	rollFailed string
	// ending ends when the pass is to end: nothing new begins, waits are cut short, what is under way is finished.
	ending context.Context
	// deadline is when a pass with --wait has waited long enough, zero when there is none.
	deadline time.Time
	// stuckAt is the app whose migration could neither be done nor undone.
	stuckAt string
}

// change is what a run does to one app.
type change struct {
	*App
	plan    AppPlan
	result  AppResult
	record  state.Record
	history state.History
	lock    *state.Lock
	left    int // operations that have not ended
	began   time.Time
	// started is when the app's start was asked for: its last words are younger.
	started time.Time
	// ended is why nothing more is done to the app in this pass.
	ended   error
	changed bool
	// busy tells that the app is another command's: what this pass knows of it is old.
	busy bool
	// proved tells that the app has passed a gate in this pass.
	proved bool
	// leave lets another app be changed while this one is only watched; nil where that is not wanted.
	leave func()
}

// giveWay lets other apps start while this one comes to itself.
func (c *change) giveWay() {
	if c.leave != nil {
		c.leave()
	}
}

// errStop ends an app's operations without being a failure: it waits, or it is busy.
var errStop = errors.New("nothing more to do")

func newRun(x *Applier, w *World, plan Plan) *run {
	r := &run{Applier: x, w: w, timing: x.Options.Timing.orDefault(), apps: map[string]*change{}, failedOps: map[int]bool{}, wrote: map[int]*change{}}
	r.images = &images.Fetcher{Engine: x.Engine, Offline: x.Offline, Mirrors: x.Mirrors, Pauses: r.timing.PullPauses, Free: x.Free}
	if x.Free == nil {
		r.images.Free = func() (int64, bool) { return w.Free, w.Free > 0 || w.Short }
	}
	if x.Options.Wait && x.Options.Timeout > 0 {
		r.deadline = x.Now().Add(x.Options.Timeout)
	}
	for _, p := range plan.Apps {
		c := &change{App: p.App, plan: p, result: initial(p, w.Now), history: p.History}
		if p.Asked || p.Freed {
			c.forgive() // a command of the owner, or what it lacked is back; what fails from here on counts anew
		}
		if p.Record != nil {
			c.record = *p.Record
		} else {
			c.record = state.Record{App: p.ID, Container: p.Container, Owner: state.Quadlet}
		}
		r.apps[p.ID] = c
		r.order = append(r.order, p.ID)
	}
	for _, op := range plan.Ops {
		if c := r.apps[op.App]; c != nil {
			c.left++
		}
	}
	return r
}

func (r *run) do(ctx context.Context, op Operation) {
	if op.Kind == DropNames {
		r.report(Event{Op: op})
		r.report(Event{Op: op, Done: true, Err: r.dropNames(ctx)})
		return
	}
	if op.Kind == Reload && op.App == "" {
		r.report(Event{Op: op})
		err := r.reload(ctx, op)
		r.report(Event{Op: op, Done: true, Err: err})
		r.endOp(op, err)
		return
	}
	c := r.apps[op.App]
	if c == nil {
		return
	}
	if err := r.mayDo(ctx, c, op); err != nil {
		if c.ended == nil && c.result.Class == ClassFailed {
			_ = r.withdraw(context.WithoutCancel(ctx), c, errors.New(c.result.Cause))
		}
		r.endOp(op, err)
		return
	}
	r.report(Event{Op: op})
	err := r.execute(r.contextOf(ctx, op), c, op)
	if err != nil {
		err = r.withdraw(context.WithoutCancel(ctx), c, r.turnBack(context.WithoutCancel(ctx), c, op, err))
	}
	r.report(Event{Op: op, Done: true, Err: err})
	r.endOp(op, err)
}

// dropNames is the last step of a move-over. That it fails costs no app its result: the next pass tries again.
func (r *run) dropNames(ctx context.Context) error {
	if r.Names == nil || ctx.Err() != nil {
		return nil
	}
	err := r.Names.DropStale(ctx)
	if err != nil && r.warn != nil {
		r.warn(err.Error())
	}
	return err
}

// contextOf: a pass that is told to end breaks off what can be done again at no cost, and finishes what cannot.
func (r *run) contextOf(ctx context.Context, op Operation) context.Context {
	if op.Kind == PullImage || op.Kind == BuildImage {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// mayDo says why an operation is not begun: the app failed before, is busy, or the pass is being ended.
func (r *run) mayDo(ctx context.Context, c *change, op Operation) error {
	switch {
	case c.ended != nil:
		return c.ended
	case ctx.Err() != nil:
		return ctx.Err()
	case r.stuckAt != "" && !r.Options.KeepGoing && r.stuckAt != c.ID:
		c.result.Action, c.result.Class, c.result.Cause = Left, ClassOK, "not reached: "+r.stuckAt+" needs a person first"
		return errStop
	case op.Rolling && r.rollFailed != "":
		c.result.Action, c.result.Class, c.result.Cause = Left, ClassWaiting, "not moved over: "+r.rollFailed+" did not come up"
		return errStop
	case r.inputFailed(op):
		return fmt.Errorf("an earlier step for another app failed: %s", op.Object)
	}
	if err := r.begin(ctx, c); err != nil {
		return err
	}
	if touchesService(op.Kind) && r.reloadFailed != nil {
		return r.reloadFailed
	}
	return r.needsMet(ctx, c, op)
}

// inputFailed: an operation that waits for a secret or network of another app cannot go on without it.
func (r *run) inputFailed(op Operation) bool {
	if op.Kind != Wait || op.Gate != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(op.After, func(n int) bool { return r.failedOps[n] })
}

func touchesService(k Kind) bool {
	return slices.Contains([]Kind{Start, Restart, Replace, Migrate}, k)
}

// begin takes the app's lock at its first operation.
func (r *run) begin(ctx context.Context, c *change) error {
	if c.lock != nil {
		return nil
	}
	c.began = r.Now()
	lock, err := r.Locks.App(ctx, c.ID, r.timing.Lock)
	var locked state.ErrLocked
	if errors.As(err, &locked) {
		return c.leaveBusy(locked.Error())
	}
	if err != nil {
		return err
	}
	c.lock = lock
	if r.overtaken(c) {
		return c.leaveBusy("another command has just changed it; the next pass looks again")
	}
	if c.Want == WantRunning && r.stoppedMeanwhile(c) {
		return c.leaveBusy(justStopped)
	}
	if r.madeAnew(ctx, c) {
		return c.leaveBusy("another command or systemd has just started it anew; the next pass looks again")
	}
	if c.Force {
		c.forgive() // what fails from here on counts anew
	}
	if c.Want == WantRunning && c.plan.installs() && !c.New {
		return r.install(c)
	}
	return nil
}

// leaveBusy leaves the app as it is to the next pass.
func (c *change) leaveBusy(why string) error {
	c.busy = true
	c.result.Action, c.result.Class, c.result.Cause, c.result.Error = Left, ClassOK, "busy: "+why, nil
	return errStop
}

// overtaken tells that another command changed the app between the look at it and its lock. What was planned is for an app
// that is no more: it would be replaced twice, or come back after its removal (incident 9).
func (r *run) overtaken(c *change) bool {
	now, found, err := r.Records.ReadRecord(c.ID)
	if err != nil { // told when it was observed; a write keeps it aside
		return false
	}
	if c.Record == nil || c.RecordLost {
		return found
	}
	return !found || !reflect.DeepEqual(now, *c.Record)
}

const justStopped = "its owner has just stopped it"

// stoppedMeanwhile tells that the owner has stopped, since it was looked at, an app that shall run. systemd heeds that for a unit, nobody does for
// an adopted container.
func (r *run) stoppedMeanwhile(c *change) bool {
	return !slices.Contains(r.Options.Start, c.ID) && r.Records.ReadIntent().Stopped(c.ID, c.Container)
}

// madeAnew tells that the container which would be restarted is not the one that was looked at: another pass has restarted it,
// which changes nothing in its record, or systemd has. What was wrong with the other one is no reason to end this one; but what systemd tries again in
// vain is brought up all the same. An owner's command and a first boot have their locks before they look.
func (r *run) madeAnew(ctx context.Context, c *change) bool {
	if r.Options.Owner || r.Options.Boot || !c.plan.restarts() {
		return false
	}
	list, err := r.Engine.List(ctx)
	if err != nil {
		return false
	}
	i := slices.IndexFunc(list, func(now podman.Container) bool { return now.Name == c.liveName() })
	if i < 0 && c.C == nil {
		return false
	}
	if i >= 0 && c.C != nil && list[i].ID == c.C.ID && list[i].StartedAt.Equal(c.C.StartedAt) {
		return false
	}
	d, err := r.Units.Detail(ctx, c.Container+".service")
	return c.Running() || err != nil || d.NRestarts <= c.Service.NRestarts
}

// endOp keeps what an operation's end means for its app.
func (r *run) endOp(op Operation, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failedOps[op.N] = true
	}
	c := r.apps[op.App]
	if c == nil {
		if err != nil {
			r.reloadFailed = err
		}
		return
	}
	if op.Rolling && err != nil && !errors.Is(err, errStop) && r.rollFailed == "" {
		r.rollFailed = c.ID
	}
	if op.Kind == WriteUnit && err == nil {
		r.wrote[op.N] = c
	}
	c.left--
	if err != nil && c.ended == nil {
		c.ended = err
		switch {
		case errors.Is(err, errStop):
		case errors.Is(err, context.Canceled):
			c.result.Action, c.result.Class, c.result.Cause, c.result.Error = Left, ClassWaiting, "interrupted; the next pass goes on from here", nil
		default:
			c.fail(err)
		}
	}
	if c.left > 0 {
		return
	}
	if c.lock != nil {
		c.lock.Release()
	}
	if r.Report != nil {
		result := c.result
		r.Report(Event{Op: op, Ended: &result})
	}
}

// fail turns an error into the app's result, unless the operation has said it better.
func (c *change) fail(err error) {
	if c.result.Class == ClassNeedsHuman || c.result.Action == RolledBack {
		return
	}
	c.result.Action, c.result.Class = Failed, ClassFailed
	if c.result.Error != nil && c.result.Error.Code == "image" && c.Running() {
		c.result.Action = Left // nothing was touched: what ran goes on
	}
	c.result.Cause = strings.TrimSpace(err.Error())
	if c.result.Error == nil {
		c.result.Error = &AppError{Code: "failed", Message: c.result.Cause}
	}
}

func (r *run) report(e Event) {
	if r.Report != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.Report(e)
	}
}

// finish keeps the histories and returns the results in order.
func (r *run) finish(ctx context.Context) []AppResult {
	final := r.look(ctx)
	list := make([]AppResult, 0, len(r.order)) // none is [] in JSON
	for _, id := range r.order {
		c := r.apps[id]
		r.settle(c, final)
		if err := r.keepHistory(c); err != nil && c.result.Error == nil {
			c.result.Class, c.result.Error = ClassFailed, &AppError{Code: "state", Message: err.Error()}
		}
		if e := c.result.Error; e != nil && e.Code == breakerIsOpen && len(e.LogTail) == 0 {
			c.started = time.Unix(0, 0) // it was given up, however long ago that was
			e.LogTail = r.tail(ctx, c)
		}
		if !c.began.IsZero() {
			c.result.DurationMS = r.Now().Sub(c.began).Milliseconds()
		}
		list = append(list, c.result)
	}
	return list
}

// look lists the containers once more when something was changed; the results say what is, not what was.
func (r *run) look(ctx context.Context) map[string]podman.Container {
	if !slices.ContainsFunc(slices.Collect(maps.Values(r.apps)), func(c *change) bool { return c.changed }) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	list, err := r.Engine.List(ctx)
	if err != nil {
		return nil
	}
	out := map[string]podman.Container{}
	for _, c := range list {
		out[c.Name] = c
	}
	return out
}

func (r *run) settle(c *change, final map[string]podman.Container) {
	c.result.Changed = c.changed
	if !c.changed || final == nil {
		return
	}
	now := *c.App
	now.Dead, now.Conmon = false, 0
	now.Service = systemd.Detail{}
	now.C = nil
	if !c.record.Installed && c.ended == nil || c.New && c.result.Action == RolledBack {
		now.Unit = nil
	}
	got, ok := final[c.Container]
	if !ok && c.record.Owner == state.Legacy {
		got, ok = final[c.liveName()]
	}
	if ok {
		now.C, c.result.Container = &got, got.Name
		c.result.NotKept = now.NotKept()
		c.result.ContainerID, c.result.Health, c.result.Since = got.ID, got.Health, got.StartedAt
	}
	c.result.Running = now.Running()
	if r.Stage != nil && now.Running() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		now.Stage = r.Stage(ctx, &now)
		cancel()
	}
	c.result.Stage = now.Stage.Text
	if c.result.Class == ClassOK || c.result.Class == ClassWaiting || c.result.Action == RolledBack {
		c.result.State = observedState(&now)
	}
	c.result.Owner = c.record.Owner
}

// keepHistory counts what the breaker counts. An app in its desired state with nothing to remember costs no write.
func (r *run) keepHistory(c *change) error {
	if c.busy {
		return nil // the other command has counted, and may have written the record
	}
	now := r.Now()
	h := &c.history
	h.App = c.ID
	switch {
	case c.result.Action == Stopped, c.result.Action == Removed, c.New && c.result.Action == RolledBack:
		h.Close()
	case c.result.Action == NoOp && c.Running(), c.well():
		h.Healthy(now)
	case c.plan.Row == "4" && c.changed, c.plan.Row == "24" && c.Running():
		h.Down() // restarted for its health, or sick for want of another app: it gets the whole patience once more
	case c.result.State == podman.HealthUnhealthy, settles(c.result.State):
		h.Unhealthy(now)
	case !c.Running():
		h.Down()
	}
	if c.result.Action == RolledBack {
		h.Tried = c.record.SpecHash
	}
	h.Stopping(r.w.Now, !c.changed && c.C != nil && c.C.State == podman.StateStopping)
	if c.changed && h.BootAttempt(r.w.BootID) {
		h.UseBootAttempt(r.w.BootID)
	}
	if c.C == nil || c.Managed() && age(c.C.StartedAt, r.w.Now) <= state.HealthyReset { // only then systemd was asked
		c.result.AutoRestarts = c.History.AutoRestartsSince(c.Service.NRestarts)
		c.result.LastRun = strings.TrimPrefix(exitNote(c.App), "; last run: ")
		if c.plan.Lacks != "" || h.Lacked != "" {
			h.AutoRestarts = c.Service.NRestarts // it failed for want of something
		}
		h.CountAutoRestarts(now, c.Service.NRestarts)
	}
	switch {
	case !c.started.IsZero():
		h.AutoRestarts = 0 // systemd's counter began again
	case c.Running() && now.Sub(h.StartedAt) > state.DiesWithin:
		h.StartedAt = time.Time{}
	}
	if c.plan.Counted && c.changed {
		h.Count(now, countedAs(c.plan.Row, c.result.Action))
	}
	switch down := c.Want == WantRunning && !c.Running() && !c.proved && c.plan.Lacks == ""; {
	case down && h.ShouldOpen(now):
		h.Open(now, r.w.BootID, "too many failures in 30 minutes")
	case down && !h.IsOpen() && h.Attempts(now) >= state.SchemaEvents && r.wrongSchema(c):
		h.Open(now, r.w.BootID, schemaReason)
	}
	r.noteLack(c)
	r.reportBreaker(c, now)
	c.result.Breaker = breakerOf(h, now) // what this pass has counted is in it
	return errors.Join(r.writeHistory(c), r.refreshPeers(c), r.refreshAdopted(c), r.refreshWallet(c))
}

// well tells that the app ran healthy and was left alone, whatever else there is to say of it: a change of it is held, or was not possible. Not one
// that was made anew again and again: the count is what keeps it from more of it.
func (c *change) well() bool {
	counted := c.plan.Row == "25" && !c.history.IsOpen()
	return c.Running() && !c.changed && !counted && (c.C.Health == "" || c.C.Health == podman.HealthHealthy)
}

// writeHistory keeps what was counted, unless another command has closed the breaker since this pass looked: a long pass would open it again behind the
// owner's back.
func (r *run) writeHistory(c *change) error {
	if c.History.IsOpen() {
		if now, err := r.Records.ReadHistory(c.ID); err == nil && !now.IsOpen() {
			return nil
		}
	}
	return r.Records.WriteHistory(c.history)
}

// noteLack remembers that the app lacks something, until it is started or has run for ten minutes with it: when it is back the
// app comes back too, whatever it has failed at meanwhile.
func (r *run) noteLack(c *change) {
	h := &c.history
	switch {
	case c.plan.Lacks != "" && (c.started.IsZero() || c.result.Row == "24"):
		h.Lacked = c.plan.Lacks
	case h.Lacked == "":
	case !c.started.IsZero():
		h.Lacked = ""
	case c.Running():
		h.NotItsFault()
		if age(c.C.StartedAt, r.w.Now) > state.HealthyReset {
			h.Lacked = ""
		}
	}
}

// reportBreaker lets an open breaker be an error line when it opens and then once an hour; the table shows it always.
func (r *run) reportBreaker(c *change, now time.Time) {
	switch {
	case !c.history.IsOpen() || c.result.Error == nil:
	case c.history.ReportDue(now):
		c.history.Reported(now)
	default:
		c.result.Repeated = true
	}
}

// settles tells that a container is between two states; one that stays there for more than a pass is repaired.
func settles(st string) bool { return st == podman.StateUnknown || st == podman.StateRemoving }

// refreshPeers notes where peers are that were started anew, so that the next pass need not ask again.
func (r *run) refreshPeers(c *change) error {
	if len(c.PeersNow) == 0 || c.lock != nil || c.record.Op != nil {
		return nil
	}
	addresses, starts := map[string]string{}, map[string]string{}
	maps.Copy(addresses, c.record.Peers)
	maps.Copy(starts, c.record.PeerStarts)
	for id, p := range c.PeersNow {
		addresses[id], starts[id] = p.address, p.start
	}
	c.record.Peers, c.record.PeerStarts = addresses, starts
	return r.writeUnlessOvertaken(c)
}

// writeUnlessOvertaken writes the record of an app that this pass only looked at. Nothing hurries: one that another command holds, or has changed since,
// keeps its record until the next pass.
func (r *run) writeUnlessOvertaken(c *change) error {
	lock, err := r.Locks.App(context.Background(), c.ID, 0)
	if errors.As(err, new(state.ErrLocked)) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	if r.overtaken(c) {
		return nil
	}
	return r.Records.WriteRecord(c.record)
}

func countedAs(row string, a Action) string {
	switch {
	case row == "38":
		return state.EventPeerRestart
	case a == Recreated:
		return state.EventRecreated
	case a == Restarted:
		return state.EventHealthRestart
	}
	return state.EventDied
}
