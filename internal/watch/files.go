package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// Dir is a directory whose files a pass reads.
type Dir struct {
	Path string
	// What is what a change of it is called.
	What string
	// Deep also looks into its directories, one level down.
	Deep bool
	// Matters tells whether a change of a file of that name matters; nil: each.
	Matters func(name string) bool
}

// Files tells of changes in directories. One that is not there yet is waited for in the nearest one above it that is, and
// one that is replaced by another is found again: see Refresh.
type Files struct {
	Dirs []Dir

	mu      sync.Mutex
	watcher *fsnotify.Watcher
	// added are the directories that are watched, with the inode that they had.
	added map[string]uint64
}

// Source is a source that tells of the changes.
func (f *Files) Source() Source {
	return Source{Name: "files", Run: f.run}
}

func (f *Files) run(ctx context.Context, listening func(), happened func(string)) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.watcher, f.added = w, map[string]uint64{}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.watcher = nil
		f.mu.Unlock()
		_ = w.Close()
	}()
	f.Refresh()
	listening()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ev, ok := <-w.Events:
			if !ok {
				return errors.New("inotify has ended")
			}
			if what := f.meaning(ev); what != "" {
				happened(what)
			}
		case err, ok := <-w.Errors:
			if !ok || !errors.Is(err, fsnotify.ErrEventOverflow) {
				return err
			}
			happened("many files changed")
		}
	}
}

// Refresh watches directories that have come since, or that are others now under their old names. The loop calls it before
// each pass: what is not watched yet the pass sees, and what changes after it is watched.
func (f *Files) Refresh() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watcher == nil {
		return
	}
	want := map[string]uint64{}
	for _, d := range f.Dirs {
		for _, path := range d.now() {
			want[path] = inode(path)
		}
	}
	for path, ino := range f.added {
		if want[path] != ino {
			_ = f.watcher.Remove(path)
			delete(f.added, path)
		}
	}
	for path, ino := range want {
		if _, there := f.added[path]; !there && f.watcher.Add(path) == nil {
			f.added[path] = ino
		}
	}
}

// now are the directories to watch for this one.
func (d Dir) now() []string {
	path := d.Path
	for !isDir(path) && path != filepath.Dir(path) {
		path = filepath.Dir(path)
	}
	list := []string{path}
	if !d.Deep || path != d.Path {
		return list
	}
	entries, _ := os.ReadDir(path)
	for _, e := range entries {
		if sub := filepath.Join(path, e.Name()); !strings.HasPrefix(e.Name(), ".") && isDir(sub) {
			list = append(list, sub)
		}
	}
	return list
}

// meaning is what has changed, "" for nothing that a pass reads. Writers of archy and of many others make a file under a
// name that begins with a dot first.
func (f *Files) meaning(ev fsnotify.Event) string {
	name := filepath.Base(ev.Name)
	if strings.HasPrefix(name, ".") {
		return ""
	}
	for _, d := range f.Dirs {
		if d.concerns(ev.Name) {
			return d.What
		}
	}
	return ""
}

func (d Dir) concerns(path string) bool {
	rel, err := filepath.Rel(d.Path, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		// The directory itself, or one above it, has come or gone.
		return strings.HasPrefix(d.Path+"/", path+"/")
	}
	depth := strings.Count(rel, "/")
	return rel == "." || (depth == 0 || d.Deep && depth == 1) && (d.Matters == nil || depth == 0 && d.Deep || d.Matters(filepath.Base(path)))
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
