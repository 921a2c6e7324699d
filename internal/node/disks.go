package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// Disks are the file systems that are mounted at one moment, and what lies on which.
type Disks struct {
	layout Layout
	// list is in the order of the mounts: a later one lies over an earlier one.
	list []mounted
	// root and data are the devices of the root's file system and of the data volume.
	root, data string
	// due are the mount points that the node is set up with, in fstab(5) or in a systemd.mount(5), mounted or not.
	due []string
	// plain are the paths that are known to be no symbolic links.
	plain map[string]bool
}

// mounted is a mount point with the device that is mounted there ("8:17").
type mounted struct{ at, device string }

// ReadDisks reads proc_pid_mountinfo(5).
func ReadDisks(l Layout) *Disks {
	d := &Disks{layout: l, plain: map[string]bool{}}
	for line := range strings.Lines(text(l.Host("/proc/self/mountinfo"))) {
		if f := strings.Fields(line); len(f) > 4 {
			d.list = append(d.list, mounted{mountPoint(f[4]), f[2]})
		}
	}
	d.root, d.data = d.over("/").device, d.over(d.resolve(l.DataDir)).device
	d.readDue()
	return d
}

// readDue reads which mount points there are to be. Those that the data directory itself lies on are CheckVolume's.
func (d *Disks) readDue() {
	add := func(point string) {
		if point = d.resolve(mountPoint(point)); filepath.IsAbs(point) && !within(d.resolve(d.layout.DataDir), point) {
			d.due = append(d.due, point)
		}
	}
	for line := range strings.Lines(text(d.layout.Host("/etc/fstab"))) {
		if f := strings.Fields(line); len(f) > 1 && !strings.HasPrefix(f[0], "#") {
			add(f[1])
		}
	}
	for _, dir := range []string{"/etc/systemd/system", "/run/systemd/system"} {
		units, _ := filepath.Glob(d.layout.Host(dir) + "/*.mount")
		for _, unit := range units {
			for line := range strings.Lines(text(unit)) {
				if where, ok := strings.CutPrefix(strings.TrimSpace(line), "Where="); ok {
					add(where)
				}
			}
		}
	}
}

// Due are the mount points of which the node's set-up says that a directory lies on them, or they in it, and that are not mounted,
// while nothing lies there in place of what is to be mounted.
func (d *Disks) Due(dir string) (points []string) {
	dir = d.resolve(dir)
	for _, point := range d.due {
		lower := point
		if within(dir, point) {
			lower = dir
		}
		if d.Lies(dir, point) && !d.Mounted(point) && d.empty(lower) && !slices.Contains(points, point) {
			points = append(points, point)
		}
	}
	return points
}

// empty tells that a directory is not there, or holds nothing. What this user cannot look into may hold anything.
func (d *Disks) empty(dir string) bool {
	list, err := os.ReadDir(d.layout.Host(dir))
	return errors.Is(err, fs.ErrNotExist) || err == nil && len(list) == 0
}

// Mounted tells that a file system is mounted there.
func (d *Disks) Mounted(point string) bool {
	return slices.ContainsFunc(d.list, func(m mounted) bool { return m.at == point })
}

// In are the mount points at a directory and below it, whatever is mounted there: a bind of the same file system too.
func (d *Disks) In(dir string) (points []string) {
	for _, m := range d.list {
		if within(m.at, dir) {
			points = append(points, m.at)
		}
	}
	return points
}

// Of are the mount points that a directory depends on: of the file system that it lies on and of those below it, but not of the root's and the
// data volume's own, which are looked at by CheckVolume. A directory that is not there depends on none.
func (d *Disks) Of(dir string) (points []string) {
	dir = d.resolve(dir)
	if _, err := os.Lstat(d.layout.Host(dir)); err != nil {
		return nil
	}
	for _, m := range append(d.below(dir), d.over(dir)) {
		if point := d.uppermost(m).at; d.own(m) && !slices.Contains(points, point) {
			points = append(points, point)
		}
	}
	return points
}

// Lies tells that a directory would be another one without the mount at that point.
func (d *Disks) Lies(dir, point string) bool {
	dir = d.resolve(dir)
	return within(dir, point) || within(point, dir)
}

// over is the mount that a directory lies on.
func (d *Disks) over(dir string) (on mounted) {
	for _, m := range d.list {
		if within(dir, m.at) && len(m.at) >= len(on.at) {
			on = m
		}
	}
	return on
}

// below are the mounts in a directory, as far as this user can see them.
func (d *Disks) below(dir string) (list []mounted) {
	for _, m := range d.list {
		if m.at == dir || !within(m.at, dir) {
			continue
		}
		if _, err := os.Lstat(d.layout.Host(m.at)); err == nil {
			list = append(list, m)
		}
	}
	return list
}

// own tells a file system that is neither the root's nor the data volume's, with a mount point that can stand in a unit.
func (d *Disks) own(m mounted) bool {
	odd := strings.Contains(m.at, `\`) || strings.TrimSpace(m.at) != m.at || strings.ContainsFunc(m.at, unicode.IsControl)
	return m.device != "" && m.device != d.data && m.device != d.root && !odd
}

// uppermost is the mount of the same device that lies over all others of it: a service with a mount namespace of its own (ReadWritePaths= and
// the like) has more mount points than the node.
func (d *Disks) uppermost(m mounted) mounted {
	for _, other := range d.list {
		if other.device == m.device && within(m.at, other.at) && len(other.at) < len(m.at) {
			m = other
		}
	}
	return m
}

func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// resolve follows symbolic links as far as the path exists, also where what it leads to is not mounted.
func (d *Disks) resolve(path string) string {
	path = filepath.Clean(path)
	for range 40 { // as many as the kernel follows
		next, linked := d.follow(path)
		if !linked {
			break
		}
		path = next
	}
	return path
}

// follow puts what the first link in a path points at in its place.
func (d *Disks) follow(path string) (next string, linked bool) {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' || d.plain[path[:i]] {
			continue
		}
		target, err := os.Readlink(d.layout.Host(path[:i]))
		switch {
		case err != nil:
			d.plain[path[:i]] = true
		case filepath.IsAbs(target):
			return filepath.Join(target, path[i:]), true
		default:
			return filepath.Join(filepath.Dir(path[:i]), target, path[i:]), true
		}
	}
	return path, false
}
