package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/durable"
	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// trashTime is the form of the time in the name of something in the trash.
const trashTime = "20060102T150405Z"

// trashOf is where a directory of an app goes: its name, told apart by the time.
func trashOf(dir string, now time.Time) string {
	return path.Join(path.Dir(dir), "state", "trash", path.Base(dir)+"-"+now.UTC().Format(trashTime))
}

// notData are the directories below the data directory that belong to no app, whatever a manifest says.
var notData = []string{"state", "secrets", "containers", "lost+found"}

// ownData finds the app's own directories below the data directory when they are to go to the trash. One that another
// app writes to stays, unless that app is an alternative which is not installed.
func (ob *observation) ownData(a *App) {
	if !slices.Contains(ob.Options.Purge, a.ID) {
		return
	}
	last := state.Record{}
	if a.Record != nil {
		last = *a.Record
	}
	if last.Pinned.Volumes = ob.placed(a.Manifest); a.Inspect != nil {
		last.Pinned = a.Pins
	}
	a.DataLeft = DataLeft(ob.Layout, a.Manifest, last)
	for _, dir := range dataDirs(a.Manifest, ob.Layout.DataDir) {
		info, err := os.Lstat(ob.Layout.Host(dir))
		if err != nil || !info.IsDir() || slices.Contains(a.DataLeft, dir) {
			continue
		}
		if ob.sharedData(a, dir) {
			a.Shared = append(a.Shared, dir)
			continue
		}
		a.Data = append(a.Data, dir)
	}
}

// DataLeft is what an app has data in and what goes to no trash with it: directories elsewhere and volumes, as its manifest and record say,
// directories that are links, and mount points of disks that are not mounted.
func DataLeft(l node.Layout, app *manifest.App, r state.Record) (left []string) {
	dirs, disks := dataDirs(app, l.DataDir), node.ReadDisks(l)
	source := func(dir string) {
		i := slices.IndexFunc(dirs, func(d string) bool { return dir == d || strings.HasPrefix(dir, d+"/") })
		switch {
		case strings.HasPrefix(dir, l.Secrets()+"/"):
		case i < 0:
			left = append(left, dir)
		case slices.ContainsFunc(r.Disks, func(disk string) bool { return disks.Lies(dirs[i], disk) && !disks.Mounted(disk) }):
			left = append(left, dirs[i])
		default:
			if target, err := os.Readlink(l.Host(dirs[i])); err == nil {
				left = append(left, dirs[i]+" -> "+target)
			}
		}
	}
	volume := func(name string) { left = append(left, "volume "+name) }
	for _, v := range app.Volumes {
		switch {
		case v.Type == manifest.Bind && !v.ReadOnly():
			source(path.Clean(sourceOf(v, r.Pinned.Volumes)))
		case v.Type == "volume":
			volume(v.Source)
		}
	}
	for _, h := range r.Pinned.Held {
		if h.Volume != "" {
			volume(h.Volume)
		} else {
			source(h.Source)
		}
	}
	slices.Sort(left)
	return slices.Compact(left)
}

// dataDirs are the directories directly below base in which the app has data, and the one of its own name.
func dataDirs(app *manifest.App, base string) []string {
	dirs := []string{path.Join(base, app.ID)}
	for _, claim := range app.Claims() {
		if rest, ok := strings.CutPrefix(path.Clean(claim), base+"/"); ok {
			first, _, _ := strings.Cut(rest, "/")
			dirs = append(dirs, path.Join(base, first))
		}
	}
	slices.Sort(dirs)
	return slices.DeleteFunc(slices.Compact(dirs), func(d string) bool { return slices.Contains(notData, path.Base(d)) })
}

func (ob *observation) sharedData(a *App, dir string) bool {
	for id, other := range ob.Set.Apps {
		if id == a.ID || !slices.Contains(claimedDirs(other, ob.Layout.DataDir), dir) {
			continue
		}
		want := ob.wants[id].Want
		if want == WantRunning || want == WantStopped || !slices.Contains(ob.Set.Alternatives(a.ID), id) {
			return true
		}
	}
	return false
}

// claimedDirs are the directories directly below base that an app writes to.
func claimedDirs(app *manifest.App, base string) []string {
	own := path.Join(base, app.ID)
	return slices.DeleteFunc(dataDirs(app, base), func(d string) bool {
		return d == own && !slices.ContainsFunc(app.Claims(), func(c string) bool { return c == own || strings.HasPrefix(c, own+"/") })
	})
}

// Trash renames a directory into the trash. It must be on the same file system: nothing is ever copied.
func (d NodeDisk) Trash(ctx context.Context, dir, dest string) error {
	from, to := d.Layout.Host(dir), d.Layout.Host(dest)
	if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("%s: %w", path.Dir(dest), err)
	}
	err := failpoint.Write("move "+from, func() error { return os.Rename(from, to) })
	switch {
	case errors.Is(err, syscall.EXDEV), errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("%s is a file system of its own and was not moved; empty it by hand", dir)
	case errors.Is(err, fs.ErrPermission):
		err = d.Mapped.Rename(ctx, from, to)
	}
	if err != nil {
		return fmt.Errorf("moving %s to the trash: %w", dir, err)
	}
	return errors.Join(durable.SyncDir(filepath.Dir(from)), durable.SyncDir(filepath.Dir(to)))
}
