package update

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	failedInfix = ".failed."
	stampLayout = "20060102T150405Z"
	// keptFailed is how many of each kind stay.
	keptFailed = 2
)

// pruneQuarantine removes what earlier rollbacks put aside, but for the newest two of each kind.
func (u *Updater) pruneQuarantine() {
	for _, path := range []string{webUI, u.Layout.ManifestDir, binary} {
		old := u.quarantined(path)
		for _, name := range old[:max(0, len(old)-keptFailed)] {
			u.say("removing %s", name)
			u.warn("quarantine", u.Disk.Remove(name))
		}
	}
}

// quarantined are what rollbacks put aside of a path, oldest first. A name without a time of ours is somebody else's.
func (u *Updater) quarantined(path string) []string {
	dir, prefix := filepath.Dir(path), filepath.Base(path)+failedInfix
	entries, _ := os.ReadDir(u.Layout.Host(dir))
	var names []string
	for _, e := range entries {
		stamp, ours := strings.CutPrefix(e.Name(), prefix)
		if _, err := time.Parse(stampLayout, stamp); ours && err == nil {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(names)
	return names
}
