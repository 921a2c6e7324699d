package install

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

// What is wrong with a path.
type What string

// The ways in which a path differs.
const (
	Missing  What = "missing"
	Content  What = "content"
	Mode     What = "mode"
	Owner    What = "owner"
	Kind     What = "kind"
	Target   What = "target"
	Leftover What = "leftover"
	Retired  What = "retired"
)

// Difference is one thing that is not as an installation leaves it. Path is as the node sees it.
type Difference struct {
	Path string `json:"path"`
	What What   `json:"what"`
	Is   string `json:"is,omitempty"`
	Want string `json:"want,omitempty"`
}

func (d Difference) String() string {
	switch d.What {
	case Missing:
		return d.Path + ": missing"
	case Content:
		return d.Path + ": content differs"
	case Leftover:
		return d.Path + ": left by an interrupted installation"
	case Retired:
		return d.Path + ": belongs to the scripts before archy"
	case Target:
		return fmt.Sprintf("%s: leads to %s, want %s", d.Path, d.Is, d.Want)
	case Kind:
		return fmt.Sprintf("%s: is %s, want %s", d.Path, d.Is, d.Want)
	}
	return fmt.Sprintf("%s: %s %s, want %s", d.Path, d.What, d.Is, d.Want)
}

// differences looks at one entry and at the directories above it that no entry of seen has looked at.
func (r *Root) differences(e entry, seen map[string]bool) ([]Difference, error) {
	if e.kind == retired {
		return []Difference{{Path: "/" + e.path, What: Retired}}, nil
	}
	found, err := r.parentDifferences(e.path, seen)
	if err != nil {
		return nil, err
	}
	own, err := r.entryDifferences(e)
	return append(found, own...), escape(e.path, err)
}

func (r *Root) entryDifferences(e entry) ([]Difference, error) {
	var found []Difference
	if _, err := r.root.Lstat(temporary(e.path)); err == nil {
		found = append(found, Difference{Path: "/" + temporary(e.path), What: Leftover})
	}
	var more []Difference
	var err error
	switch e.kind {
	case link:
		more, err = r.linkDifferences(e)
	case context:
		more, err = r.contextDifferences(e)
	default:
		more, err = r.fileDifferences(e)
	}
	return append(found, more...), err
}

// parentDifferences looks at the directories above a path: they must be directories, and ours have a mode and an owner.
func (r *Root) parentDifferences(name string, seen map[string]bool) ([]Difference, error) {
	var found []Difference
	for _, dir := range parents(name) {
		if seen[dir] {
			continue
		}
		seen[dir] = true
		info, err := r.root.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if _, err := r.root.Lstat(dir); err == nil {
				return nil, fmt.Errorf("/%s is a link to nothing, not a directory", dir)
			}
			continue // the entry itself is missing then
		case err != nil:
			return nil, escape(dir, err)
		case !info.IsDir():
			return nil, fmt.Errorf("/%s is %s, not a directory", dir, kindOf(info))
		case belongs(dir):
			found = append(found, r.modeDifferences(dir, info, 0o755)...)
		}
	}
	return found, nil
}

func (r *Root) fileDifferences(e entry) ([]Difference, error) {
	info, err := r.root.Lstat(e.path)
	if errors.Is(err, fs.ErrNotExist) {
		return []Difference{{Path: "/" + e.path, What: Missing}}, nil
	}
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir():
		return nil, fmt.Errorf("/%s is a directory, not a file", e.path)
	case !info.Mode().IsRegular() && e.kind == seed:
		return nil, fmt.Errorf("/%s is %s, not a file", e.path, kindOf(info))
	case !info.Mode().IsRegular():
		return []Difference{{Path: "/" + e.path, What: Kind, Is: kindOf(info), Want: "a file"}}, nil
	}
	found := r.modeDifferences(e.path, info, e.mode)
	if e.kind == seed {
		return found, nil
	}
	same, err := r.sameContent(e.path, info.Size(), e.data)
	if err == nil && !same {
		found = append(found, Difference{Path: "/" + e.path, What: Content})
	}
	return found, err
}

func (r *Root) sameContent(name string, size int64, want []byte) (bool, error) {
	if size != int64(len(want)) {
		return false, nil
	}
	is, err := r.root.ReadFile(name)
	return bytes.Equal(is, want), err
}

func (r *Root) linkDifferences(e entry) ([]Difference, error) {
	info, err := r.root.Lstat(e.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []Difference{{Path: "/" + e.path, What: Missing}}, nil
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("/%s is a directory, not a link", e.path)
	case info.Mode()&fs.ModeSymlink == 0:
		return []Difference{{Path: "/" + e.path, What: Kind, Is: kindOf(info), Want: "a link"}}, nil
	}
	if to, err := r.root.Readlink(e.path); err != nil || to == string(e.data) {
		return nil, err
	} else {
		return []Difference{{Path: "/" + e.path, What: Target, Is: to, Want: string(e.data)}}, nil
	}
}

// modeDifferences compares permissions, set-id bits included, and the owner.
func (r *Root) modeDifferences(name string, info fs.FileInfo, want fs.FileMode) []Difference {
	var found []Difference
	if is := info.Mode() &^ fs.ModeType; is != want {
		found = append(found, Difference{Path: "/" + name, What: Mode, Is: octal(is), Want: octal(want)})
	}
	st := info.Sys().(*syscall.Stat_t)
	if is, want := owner(int(st.Uid), int(st.Gid)), owner(r.UID, r.GID); is != want {
		found = append(found, Difference{Path: "/" + name, What: Owner, Is: is, Want: want})
	}
	return found
}

func owner(uid, gid int) string { return fmt.Sprintf("%d:%d", uid, gid) }

// octal is a mode as chmod takes it.
func octal(mode fs.FileMode) string {
	bits := mode.Perm()
	for bit, value := range map[fs.FileMode]fs.FileMode{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if mode&bit != 0 {
			bits |= value
		}
	}
	return fmt.Sprintf("%04o", uint32(bits))
}

func kindOf(info fs.FileInfo) string {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return "a file"
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a link"
	}
	return "a special file"
}

// parents are the directories above a path, the topmost first.
func parents(name string) []string {
	var dirs []string
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		dirs = append([]string{dir}, dirs...)
	}
	return dirs
}

// belongs tells whether a directory is one of archy's own.
func belongs(dir string) bool {
	for _, own := range ours {
		if dir == own || strings.HasPrefix(dir, own+"/") {
			return true
		}
	}
	return false
}
