package reconcile

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

// test that only old leftovers of writes go, and nothing that somebody else put there
func TestSweep(t *testing.T) {
	l := node.Layout{Root: t.TempDir(), DataDir: "/var/lib/archipelago", Home: "/home/archipelago"}
	now := time.Now()
	put := func(dir, name string, age time.Duration) string {
		path := filepath.Join(l.Host(dir), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	gone := []string{
		put(l.State("apps"), ".lnd.json123456", 2*time.Hour),
		put(l.UnitDir(), ".lnd.container42", 2*time.Hour),
		put(l.State("units"), ".lnd.prev7", 2*time.Hour),
	}
	kept := []string{
		put(l.State("apps"), ".lnd.json9", time.Minute),
		put(l.State("apps"), "lnd.json", 48*time.Hour),
		put(l.State("apps"), "lnd.json.unreadable-20260101T000000Z", 48*time.Hour),
		put(l.UnitDir(), "mine.container", 48*time.Hour),
		put(l.State(), ".reserve", 48*time.Hour),
	}
	NodeDisk{Layout: l, Now: func() time.Time { return now }}.Sweep()
	for _, path := range gone {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	for _, path := range kept {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
