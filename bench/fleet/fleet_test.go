package fleet

import (
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
)

// TestManifestsAreGood: an invented app that archy finds fault with would be left alone, and cost nothing.
func TestManifestsAreGood(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir, New(33)); err != nil {
		t.Fatal(err)
	}
	set, findings := manifest.LoadFrom(manifest.Source{Prefix: dir}, manifest.Source{Prefix: t.TempDir(), Local: true})
	for _, f := range findings {
		t.Error(f)
	}
	if len(set.Apps) != 33 {
		t.Errorf("%d apps, want 33", len(set.Apps))
	}
}
