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
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/spec"
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

// sharedData tells that another app has data in a directory: by its manifest, by its record, which knows where the data of an adopted container
// lie, or by its unit, also when its manifest is broken or gone.
func (ob *observation) sharedData(a *App, dir string) bool {
	left := ob.Set.Alternatives(a.ID)
	for id, other := range ob.Set.Apps {
		if id == a.ID || !slices.Contains(claimedDirs(other, ob.Layout.DataDir), dir) {
			continue
		}
		want := ob.wants[id].Want
		if want == WantRunning || want == WantStopped || !slices.Contains(left, id) {
			return true
		}
	}
	for id, r := range ob.records {
		if id != a.ID && (r.Installed || !slices.Contains(left, id)) && ob.recordedIn(r, dir) {
			return true
		}
	}
	return ob.unitsIn(a, dir)
}

// recordedIn tells that a record knows of data in a directory.
func (ob *observation) recordedIn(r state.Record, dir string) bool {
	reads := func(target string) bool {
		app := ob.Set.Apps[r.App]
		return app != nil && slices.ContainsFunc(app.Volumes, func(v manifest.Volume) bool { return v.ReadOnly() && path.Clean(v.Target) == path.Clean(target) })
	}
	return slices.ContainsFunc(r.Pinned.Volumes, func(v state.PinnedVolume) bool { return liesIn(v.Source, dir) && !reads(v.Target) }) ||
		slices.ContainsFunc(r.Pinned.Held, func(h state.HeldMount) bool { return h.Volume == "" && liesIn(h.Source, dir) })
}

// unitsIn tells that a unit, whoever wrote it, mounts something of a directory to write to it. The app's own does not count.
func (ob *observation) unitsIn(a *App, dir string) bool {
	files, _ := filepath.Glob(filepath.Join(ob.Layout.Host(ob.Layout.UnitDir()), "*.container"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || filepath.Base(file) == a.Container+".container" {
			continue
		}
		if slices.ContainsFunc(unitMounts(text), func(m spec.Mount) bool { return m.Type == "bind" && !readOnly(m) && liesIn(m.Source, dir) }) {
			return true
		}
	}
	return false
}

// spareHeld leaves the directories that another container writes to, whoever made that one. One that cannot be looked at may be such.
func (ob *observation) spareHeld(ctx context.Context, a *App) {
	for _, name := range sortedKeys(ob.containers) {
		if len(a.Data) == 0 {
			return
		}
		if ob.ownContainer(a, name) {
			continue
		}
		got, err := ob.Engine.Inspect(ctx, name)
		if errors.Is(err, podman.ErrNotFound) {
			continue
		}
		a.Data = slices.DeleteFunc(a.Data, func(dir string) bool {
			held := err != nil || slices.ContainsFunc(got.Mounts, func(m podman.Mount) bool { return m.Type == "bind" && m.RW && liesIn(m.Source, dir) })
			if held {
				a.Shared = append(a.Shared, dir)
			}
			return held
		})
	}
}

// ownContainer tells that a container is the app's, or one that a migration of it or of its alternatives has set aside.
func (ob *observation) ownContainer(a *App, name string) bool {
	if name == a.Container || name == a.liveName() {
		return true
	}
	for _, id := range append([]string{a.ID}, ob.Set.Alternatives(a.ID)...) {
		r := ob.records[id]
		if r.Op != nil && r.Op.OldName == name || slices.ContainsFunc(r.OldContainers, func(old state.OldContainer) bool { return old.Name == name }) {
			return true
		}
	}
	return false
}

func liesIn(source, dir string) bool {
	source = path.Clean(source)
	return source == dir || strings.HasPrefix(source, dir+"/")
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
