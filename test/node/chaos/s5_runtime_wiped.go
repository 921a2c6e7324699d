package chaos

import (
	"context"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node"
)

// runtimeWiped: what podman keeps in the runtime directory is gone while containers run.
var runtimeWiped = Scenario{
	Number: 5, Name: "runtime-wiped", Whole: true, Timer: true, Heals: true, Limit: moveOverLimit,
	Sooner: map[string]time.Duration{wholeDirectory: 120 * time.Second},
	Faults: []Fault{
		{"containers and libpod", wipe("containers/* libpod/*")},
		{"podman too", wipe("containers/* libpod/* podman")},
		{"containers and libpod, with a stranger that runs", wipeBesideStranger},
		{wholeDirectory, wipeWhole},
	},
}

const wholeDirectory = "the whole directory"

func wipe(what string) func(context.Context, *Round) error {
	return func(ctx context.Context, r *Round) error {
		if err := r.farewell(ctx); err != nil {
			return err
		}
		r.HitAll()
		if err := r.wipeNow(ctx, what); err != nil {
			return err
		}
		r.once = true
		return nil
	}
}

func (r *Round) wipeNow(ctx context.Context, what string) error {
	err := r.sh(ctx, "cd /run/user/1000; rm -rf "+what+" || true").Error()
	r.Struck()
	return err
}

// wipeBesideStranger: the stranger keeps running and archy says with exit code 6 that a human must decide about it.
func wipeBesideStranger(ctx context.Context, r *Round) error {
	r.hit, r.forgets, r.once = r.Fleet, true, true
	for _, a := range r.Fleet {
		r.sampler.allow(a.Container)
	}
	r.healedOnce = func(res node.Result) {
		if res.Code != 6 {
			r.Fail("archy podman heal with a lost stranger: exit code %d, want 6: %s", res.Code, lastLines(res.Stderr+res.Stdout, 4))
		}
		if !slices.ContainsFunc(r.sampler.look(), func(c container) bool { return c.Name == stranger }) {
			r.Fail("the stranger does not run any more")
		}
		r.sampler.allow(stranger)
		r.killStranger()
	}
	return r.wipeNow(ctx, "containers/* libpod/*")
}

// wipeWhole takes the bus and systemd's own sockets away, too: nobody can ask the user's manager for anything, and archy says so and
// touches nothing. Whoever restarts the manager has everything back.
func wipeWhole(ctx context.Context, r *Round) error {
	if err := r.farewell(ctx); err != nil {
		return err
	}
	for _, a := range r.Fleet {
		r.sampler.allow(a.Container)
	}
	r.hit = r.Fleet
	before := r.sampler.look()
	if err := r.wipeNow(ctx, "./* ./.[!.]*"); err != nil {
		return err
	}
	for _, args := range [][]string{{"reconcile"}, {"podman", "heal"}} {
		if res := r.Want(ctx, []int{1, 6}, args...); !strings.Contains(res.Stderr+res.Stdout, "user@1000") {
			r.Fail("archy %s does not say how the manager comes back: %s", args[0], lastLines(res.Stderr+res.Stdout, 3))
		}
	}
	for _, c := range before {
		if !slices.ContainsFunc(r.sampler.look(), func(now container) bool { return now.Name == c.Name && now.Payload == c.Payload }) {
			r.Fail("%s was stopped before its manager was restarted", c.Name)
		}
	}
	r.HitAll()
	if err := r.sh(ctx, "systemctl restart user@1000.service").Error(); err != nil {
		return err
	}
	r.Struck()
	return nil
}
