package chaos

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node"
)

// Round is one time that a scenario strikes a node.
type Round struct {
	*Rig
	Scenario Scenario
	Fault    Fault
	Number   int
	seed     uint64
	rand     *rand.Rand
	only     string

	mu       sync.Mutex
	hit      []App
	began    time.Time
	times    map[string]time.Duration
	exits    []Exit
	failures []string
	late     []string
	// secretsChange: the scenario changes secrets, and only their other files must stay.
	secretsChange map[string]bool
	// forgets: podman loses its list, the stranger is judged by its files alone.
	forgets bool
	// once: the first pass moves everybody over, each once. Nobody is back before.
	once bool
	// trashed: archy was asked to move all data to the trash, and they may lie there.
	trashed bool
	// undo takes back what the strike did, once everybody is back.
	undo func(context.Context) error
	// healedOnce judges the first of the heals that the timer makes.
	healedOnce func(node.Result)
}

// Exit is what a command of archy ended with during a round.
type Exit struct {
	Command string `json:"command"`
	Code    int    `json:"code"`
	// Says is the end of what a heal said that did not end with 0: such a round may have passed.
	Says string `json:"says,omitempty"`
}

func newRound(rig *Rig, s Scenario, number int, seed uint64, only string) *Round {
	return &Round{
		Rig: rig, Scenario: s, Fault: s.Faults[(number-1)%len(s.Faults)], Number: number, seed: seed, only: only,
		rand:  rand.New(rand.NewPCG(seed, uint64(s.Number)<<32|uint64(number))),
		times: map[string]time.Duration{}, secretsChange: map[string]bool{},
	}
}

// run is the whole round. What went wrong is in its failures.
func (r *Round) run(ctx context.Context) {
	r.log()
	before, err := r.before(ctx)
	if err != nil {
		r.Fail("before: %v", err)
		return
	}
	r.sampler.begin()
	r.began = time.Now()
	if err := r.Fault.Strike(ctx, r); err != nil {
		r.Fail("%v", err)
	}
	r.recover(ctx)
	if r.undo != nil {
		if err := r.undo(ctx); err != nil {
			r.Fail("%v", err)
		}
	}
	if err := r.settle(ctx); err != nil {
		r.Fail("%v", err)
	}
	for _, broken := range r.sampler.end() {
		r.Fail("%s", broken)
	}
	r.after(ctx, before)
}

// before: the round begins with a node that has nothing left to do.
func (r *Round) before(ctx context.Context) (kept, error) {
	if err := r.forgive(ctx); err != nil {
		return kept{}, err
	}
	if err := r.welcome(ctx); err != nil {
		return kept{}, err
	}
	if res := r.archy(ctx, "reconcile", "--check-only", "--exit-code"); res.Code != 0 {
		return kept{}, fmt.Errorf("the node is not converged: %w", res.Error())
	}
	return r.keeping(ctx)
}

// forgive makes the rounds lie more than an hour apart for whoever counts: systemd's limit, archy's breaker, and the one climb an hour
// that heals podman.
func (r *Round) forgive(ctx context.Context) error {
	return r.user(ctx, "systemctl --user reset-failed '*'; rm -f "+dataDir+"/state/restarts/*.json "+dataDir+"/state/heal.json "+dataDir+"/state/podman-silent-last.json").Error()
}

// after: nothing is lost, and everything is there once.
func (r *Round) after(ctx context.Context, before kept) {
	now, err := r.keeping(ctx)
	if err != nil {
		r.Fail("after: %v", err)
		return
	}
	if r.trashed {
		found := inTrash(now.data)
		maps.DeleteFunc(before.data, func(_, sum string) bool { return found[sum] })
	}
	for _, what := range lost(before.data, now.data) {
		r.Fail("data: %s", what)
	}
	maps.DeleteFunc(before.secrets, func(file, _ string) bool { return r.secretsChange[strings.TrimPrefix(file, "./")] })
	for _, what := range lost(before.secrets, now.secrets) {
		r.Fail("secret: %s", what)
	}
	if !r.forgets && now.stranger != before.stranger {
		r.Fail("the stranger was touched: it was %q and is %q", before.stranger, now.stranger)
	}
	for _, what := range slices.Concat(r.counted(ctx), r.torn(ctx)) {
		r.Fail("%s", what)
	}
	for _, value := range r.values(ctx) {
		if strings.Contains(r.peek(), value) {
			r.Fail("a secret was printed")
		}
	}
}

// Fail notes that a rule was broken.
func (r *Round) Fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// Late notes that a time was longer than its limit.
func (r *Round) Late(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = append(r.late, fmt.Sprintf(format, args...))
}

// Hit says whom the round counts for, and that these and who stands on them may stop from now on.
func (r *Round) Hit(apps ...App) {
	r.hit = apps
	r.sampler.allow(r.Fleet.Downstream(apps...)...)
}

// HitAll is a round that hits the whole node: everything may stop.
func (r *Round) HitAll() {
	r.hit = r.Fleet
	r.sampler.allow()
}

// Struck starts the clock of the recovery.
func (r *Round) Struck() { r.began = time.Now() }

// Archy runs archy and notes its exit code.
func (r *Round) Archy(ctx context.Context, args ...string) node.Result {
	res := r.archy(ctx, args...)
	r.note(res)
	return res
}

// Want runs archy and is broken unless it ends with one of the codes.
func (r *Round) Want(ctx context.Context, codes []int, args ...string) node.Result {
	res := r.Archy(ctx, args...)
	if !slices.Contains(codes, res.Code) {
		r.Fail("archy %s: exit code %d, want %v: %s", strings.Join(args, " "), res.Code, codes, lastLines(res.Stderr+res.Stdout, 4))
	}
	return res
}

func (r *Round) note(res node.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := Exit{Command: strings.Join(res.Args, " "), Code: res.Code}
	if res.Code != 0 && slices.Contains(res.Args, "heal") {
		e.Says = lastLines(res.Stdout, 6) + " | " + lastLines(res.Stderr, 8)
	}
	r.exits = append(r.exits, e)
}

// Some picks a part of these apps, at least one: the others are witnesses.
func (r *Round) Some(from []App) []App {
	if r.only != "" {
		return slices.DeleteFunc(slices.Clone(from), func(a App) bool { return a.ID != r.only })
	}
	var out []App
	for _, a := range from {
		if r.rand.IntN(2) == 0 {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		out = append(out, from[r.rand.IntN(len(from))])
	}
	return out
}

// few is how many apps are struck at the same time where each must come back within a limit that is meant for one.
const few = 3

// Few picks at most three of these apps.
func (r *Round) Few(from []App) []App { return r.next(from, few) }

// next picks n of these apps, or the one that is struck alone. A fault goes through them in an order that the seed alone decides, so that all
// apps are struck equally often; each fault begins elsewhere.
func (r *Round) next(from []App, n int) []App {
	if i := slices.IndexFunc(from, func(a App) bool { return a.ID == r.only }); i >= 0 {
		return from[i : i+1]
	}
	order := slices.Clone(from)
	rand.New(rand.NewPCG(r.seed, 0)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	faults := len(r.Scenario.Faults)
	at := n * ((r.Number-1)/faults + (r.Number-1)%faults*len(order)/faults/n)
	var out []App
	for i := range min(n, len(order)) {
		out = append(out, order[(at+i)%len(order)])
	}
	return out
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}

// isHit tells whether the round hits this app.
func (r *Round) isHit(a App) bool {
	return slices.ContainsFunc(r.hit, func(h App) bool { return h.ID == a.ID })
}
