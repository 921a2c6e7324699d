package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

// TestStatusCode: the document says what the program ends with, which for a look is 0 unless more is asked for.
func TestStatusCode(t *testing.T) {
	failed, human := reconcile.Result{ExitCode: 3, Summary: reconcile.Summary{Failed: 1}}, reconcile.Result{ExitCode: 6, Summary: reconcile.Summary{NeedsHuman: 1}}
	for _, c := range []struct {
		result reconcile.Result
		asked  bool
		want   int
	}{{failed, false, 0}, {failed, true, 3}, {human, false, 0}, {human, true, 3}, {reconcile.Result{Summary: reconcile.Summary{Waiting: 1}}, true, 0}} {
		if got := statusCode(c.result, c.asked); got != c.want {
			t.Errorf("%+v, asked %v: %d, want %d", c.result.Summary, c.asked, got, c.want)
		}
	}
}

// TestAdoptTellsItsWarnings: exit 3 because of a file that cannot be read would be without a word otherwise.
func TestAdoptTellsItsWarnings(t *testing.T) {
	var talk bytes.Buffer
	e := &env{cli: &cli{out: &bytes.Buffer{}, err: &talk}}
	if err := e.printAdopted(reconcile.Result{ExitCode: 3, Warnings: []string{"user-stopped.json: it is null"}}); err != nil || talk.String() != "warning: user-stopped.json: it is null\n" {
		t.Errorf("%q, %v", talk.String(), err)
	}
}

// TestTables: by tier and id, and whose an app is in the words of the docs. mempool-api is started before mempool.
func TestTables(t *testing.T) {
	r := reconcile.Result{Apps: []reconcile.AppResult{
		{App: "lnd", Tier: 2, Owner: "legacy", State: "ready", Action: reconcile.NoOp},
		{App: "mempool-api", Tier: 3, Owner: "quadlet", State: "ready", Action: reconcile.Started, Changed: true},
		{App: "mempool", Tier: 3, Owner: "quadlet", State: "ready", Action: reconcile.Started, Changed: true},
		{App: "lnd-ui", Tier: 4, Owner: "-", State: "absent", Action: reconcile.Waiting},
		{App: "mine", Tier: 3, Owner: "-", State: "absent", Action: reconcile.Failed, Class: reconcile.ClassFailed},
	}}
	for name, show := range map[string]func(e *env) error{
		"status":    func(e *env) error { return e.printStatus(r, time.Time{}) },
		"reconcile": func(e *env) error { return e.printVerb(r) },
		"adopt":     func(e *env) error { return e.printAdopted(r) },
	} {
		var out bytes.Buffer
		if err := show(&env{cli: &cli{out: &out, err: &bytes.Buffer{}}}); err != nil {
			t.Fatal(err)
		}
		var apps []string
		for line := range strings.Lines(out.String()) {
			if word, _, _ := strings.Cut(line, " "); slices.Contains([]string{"lnd", "mempool", "mempool-api", "mine", "lnd-ui"}, word) {
				apps = append(apps, word)
			}
		}
		if !slices.Equal(apps, []string{"lnd", "mempool", "mempool-api", "mine", "lnd-ui"}) {
			t.Errorf("%s has the order %q", name, apps)
		}
		if name == "status" && (!strings.Contains(out.String(), "legacy") || strings.Contains(out.String(), "adopted")) {
			t.Errorf("whose lnd is:\n%s", out.String())
		}
	}
	if r.Apps[1].App != "mempool-api" {
		t.Error("the result itself has lost the order of starts")
	}
}
