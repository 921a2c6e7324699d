package main

import (
	"slices"
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
