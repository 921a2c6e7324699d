package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// TestWhoSuffersIsSaidBeforeTheStop: the warnings of a request stand on stderr when the pass begins, and are said once.
func TestWhoSuffersIsSaidBeforeTheStop(t *testing.T) {
	request, later := "lnd will suffer: it does not work without bitcoin-knots", "the journal was cut"
	for _, c := range []struct {
		name        string
		json, quiet bool
		atStart     string
		inResult    []string
	}{
		{name: "text", atStart: "warning: " + request + "\n", inResult: []string{later}},
		{name: "quiet", quiet: true, atStart: "warning: " + request + "\n", inResult: []string{later}},
		{name: "json", json: true, inResult: []string{request, later}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, talk bytes.Buffer
			e := &env{cli: &cli{out: &out, err: &talk, json: c.json, quiet: c.quiet}}
			result, err := e.warnFirst([]string{request}, func() (reconcile.Result, error) {
				if talk.String() != c.atStart {
					t.Errorf("when the pass begins stderr holds %q, want %q", talk.String(), c.atStart)
				}
				return reconcile.Result{Apps: []reconcile.AppResult{}, Warnings: []string{later}}, nil
			})
			if err != nil || !slices.Equal(result.Warnings, c.inResult) {
				t.Errorf("the result has the warnings %q, %v, want %q", result.Warnings, err, c.inResult)
			}
			if err := e.printVerb(result); err != nil {
				t.Fatal(err)
			}
			if times := strings.Count(talk.String()+out.String(), request); times != 1 {
				t.Errorf("it is said %d times:\n%s%s", times, talk.String(), out.String())
			}
		})
	}
	failed := errors.New("locked")
	if _, err := (&cli{err: &bytes.Buffer{}}).warnFirst(nil, func() (reconcile.Result, error) { return reconcile.Result{}, failed }); !errors.Is(err, failed) {
		t.Errorf("the error of the pass is %v", err)
	}
}

// TestEveryVerbWaitsForLocks: also those that take none, so that one call fits all.
func TestEveryVerbWaitsForLocks(t *testing.T) {
	root := new(cli).rootCmd()
	for _, verb := range []string{"install", "start", "stop", "restart", "remove", "upgrade", "status", "logs", "health"} {
		cmd, _, err := root.Find([]string{verb})
		if err != nil || cmd.Name() != verb {
			t.Fatalf("%s: %v, %v", verb, cmd, err)
		}
		if err := cmd.ParseFlags([]string{"--json", "--wait-lock", "10s"}); err != nil {
			t.Errorf("%s: %v", verb, err)
		}
	}
}

// TestAVerbThatIsLockedOut: what is written down before the lock of an app is asked for is said; nothing else is promised.
func TestAVerbThatIsLockedOut(t *testing.T) {
	app, all := state.ErrLocked{Path: "/run/archy/app-lnd.lock"}, state.ErrLocked{Path: "/run/archy/node.lock"}
	for _, c := range []struct {
		verb string
		err  error
		want string
	}{
		{reconcile.VerbStop, app, "the stop is written down"},
		{reconcile.VerbStart, app, "the start is written down"},
		{reconcile.VerbInstall, app, "wait for it"},
		{reconcile.VerbRemove, app, "wait for it"},
		{reconcile.VerbStop, all, "wait for it"},
		{reconcile.VerbStart, all, "wait for it"},
	} {
		o := verbOptions{Request: reconcile.Request{Verb: c.verb}}
		if e := classify(o.lockedOut(c.err)); e.Code != exitLocked || !strings.HasPrefix(e.Hint, c.want) {
			t.Errorf("%s, %v: exit %d, hint %q, want %q", c.verb, c.err, e.Code, e.Hint, c.want)
		}
	}
}
