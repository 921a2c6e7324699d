package release

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// member is one entry of an archive that is going to be packed.
type member struct {
	path   string
	kind   byte
	mode   int64
	size   int64
	link   string
	root   *os.Root // where the content lies
	source string   // below root
	label  string   // for messages
}

// tree is what goes into an archive: read by name and kind, its contents later.
type tree struct {
	members  map[string]member
	leftOut  []string
	found    Findings
	require  []string
	symlinks bool
	roots    []*os.Root
}

func newTree(require []string, symlinks bool) *tree {
	t := &tree{members: map[string]member{}, symlinks: symlinks}
	for _, name := range require {
		t.require = append(t.require, strings.TrimPrefix(name, "./"))
	}
	t.members[root] = member{path: root, kind: typeDir, mode: 0o755}
	return t
}

func (t *tree) close() {
	for _, r := range t.roots {
		_ = r.Close() // opened for reading only
	}
}

// sorted is the order of the archive: bytewise, so that each directory comes before what it holds.
func (t *tree) sorted() []member {
	list := make([]member, 0, len(t.members))
	list = append(list, t.members[root])
	for _, name := range slices.Sorted(maps.Keys(t.members)) {
		if name != root {
			list = append(list, t.members[name])
		}
	}
	return list
}

// open opens a directory of inputs. What its links lead to outside of it is never read.
func (t *tree) open(dir string) *os.Root {
	r, err := os.OpenRoot(dir)
	if err != nil {
		t.found.Add(InputMissing, dir, bare(err).Error(), "a directory")
		return nil
	}
	t.roots = append(t.roots, r)
	return r
}

// add takes a whole directory to prefix; "." is the archive's own.
func (t *tree) add(dir, prefix string) {
	r := t.open(dir)
	if r == nil {
		return
	}
	t.parents(prefix)
	err := fs.WalkDir(r.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		to := name
		if prefix != root {
			to = prefix + "/" + name
		}
		if t.unwanted(to, d) {
			return t.leave(to, d)
		}
		return t.entry(r, dir, name, to, d)
	})
	if err != nil {
		t.found.Add(InputMissing, dir, err.Error(), "a directory that can be read")
	}
}

// apps takes the manifest of each app below dir, and nothing else of it.
func (t *tree) apps(dir string) {
	r := t.open(dir)
	if r == nil {
		return
	}
	files, err := fs.Glob(r.FS(), "*/"+appFile)
	if err != nil || len(files) == 0 {
		t.found.Add(InputMissing, dir, "no app in it", "<id>/"+appFile)
	}
	for _, name := range files {
		to := appsDir + "/" + name
		t.parents(path.Dir(to))
		info, err := r.Lstat(name)
		if err == nil {
			err = t.entry(r, dir, name, to, fs.FileInfoToDirEntry(info))
		}
		if err != nil {
			t.found.Add(InputMissing, filepath.Join(dir, name), bare(err).Error(), "a file")
		}
	}
}

// parents makes the directories of the archive that no source holds.
func (t *tree) parents(dir string) {
	for ; dir != root; dir = parentOf(dir) {
		if _, ok := t.members[dir]; !ok {
			t.members[dir] = member{path: dir, kind: typeDir, mode: 0o755}
		}
	}
}

func (t *tree) entry(r *os.Root, dir, name, to string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	m := member{path: to, kind: typeFile, mode: 0o644, size: info.Size(), root: r, source: name, label: filepath.Join(dir, name)}
	switch {
	case info.IsDir():
		m.kind, m.mode, m.size = typeDir, 0o755, 0
	case info.Mode()&fs.ModeSymlink != 0:
		if m.link, err = r.Readlink(name); err != nil {
			return err
		}
		m.kind, m.mode, m.size = typeSymlink, 0o777, 0
		if !t.symlinks {
			t.found.Add(SymlinkForbidden, m.label, "a symlink to "+m.link, "a file, or --allow-symlinks")
		}
	case info.Mode().Perm()&0o111 != 0:
		m.mode = 0o755
	}
	if before, there := t.members[to]; there && (m.kind != typeDir || before.kind != typeDir) {
		t.found.Add(NameDuplicate, to, "comes from "+before.label+" and from "+m.label, "one of them")
	}
	t.members[to] = m
	return nil
}

// unwanted is what no release wants: of version control, of editors and of desktops, source maps, and what is no file.
func (t *tree) unwanted(to string, d fs.DirEntry) bool {
	name := path.Base(to)
	switch {
	case d.Type()&(fs.ModeSocket|fs.ModeDevice|fs.ModeNamedPipe|fs.ModeIrregular) != 0:
		return true
	case strings.HasPrefix(name, ".git"), name == ".DS_Store", strings.HasPrefix(name, "._"):
		return true
	case strings.HasSuffix(name, "~"), strings.HasSuffix(name, ".swp"), strings.HasPrefix(name, ".#"), strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#"):
		return true
	}
	return strings.HasSuffix(name, ".map") && !slices.Contains(t.require, to)
}

func (t *tree) leave(to string, d fs.DirEntry) error {
	if d.IsDir() {
		t.leftOut = append(t.leftOut, to+"/")
		return fs.SkipDir
	}
	t.leftOut = append(t.leftOut, to)
	return nil
}

// content opens the file of a member. It must still be the file that was seen: nobody waits for a named pipe.
func (m member) content() (*os.File, error) {
	f, err := m.root.OpenFile(m.source, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.label, bare(err))
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err == nil && info.Size() != m.size {
		err = errChanged
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", m.label, err)
	}
	return f, nil
}

var errChanged = errors.New("changed while it was being packed")
