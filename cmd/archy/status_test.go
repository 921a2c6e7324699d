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
