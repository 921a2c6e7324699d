package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

func TestStatusTellsThatTheShippedImageMovedOn(t *testing.T) {
	got := statusNotes(reconcile.AppResult{Local: true, UpgradeShipped: "docker.io/example/solo:v1.1"}, time.Time{})
	if want := []string{"upgrade available (shipped): docker.io/example/solo:v1.1", "local manifest"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestStatusTellsWhatASilentAppSaidLast: with its age, so that nobody takes it for the present.
func TestStatusTellsWhatASilentAppSaidLast(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a := reconcile.AppResult{State: "not answering", Stage: "not answering", Said: &reconcile.Said{Stage: "syncing 43.1 %", At: at}}
	const want = "said 40s ago: syncing 43.1 %"
	if got := statusNotes(a, at.Add(40*time.Second)); !slices.Equal(got, []string{want}) {
		t.Errorf("%q", got)
	}
	a.Cause = "adopted"
	if got := detail(a, at.Add(40*time.Second)); got != "adopted, "+want {
		t.Errorf("%q", got)
	}
}

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
