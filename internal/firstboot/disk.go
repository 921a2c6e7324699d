package firstboot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// Root writes into directories of the service user, who could put a link in any place of a path. So no link is followed
// here: each path is walked from the top by the kernel, which refuses links, and what is done is done to the inode found.

// Dir is a directory with its mode and owner.
type Dir struct {
	Path  string
	Mode  fs.FileMode
	Owner Owner
}

// File is a file with its whole content.
type File struct {
	Path  string
	Mode  fs.FileMode
	Owner Owner
	Text  []byte
}

// errKind says that a path is something else than it has to be.
type errKind struct{ Path, Is, Want string }

func (e *errKind) Error() string { return fmt.Sprintf("%s is %s, not %s", e.Path, e.Is, e.Want) }

// parent opens the directory that a path is in.
func (h *Host) parent(p string) (dir *os.File, base string, err error) {
	dir, err = h.open(filepath.Dir(p), unix.O_DIRECTORY|unix.O_RDONLY)
	return dir, filepath.Base(p), err
}

func (h *Host) open(p string, flags int) (*os.File, error) {
	top, err := os.Open(filepath.Join("/", h.Layout.Root))
	if err != nil {
		return nil, err
	}
	defer top.Close()
	rel := strings.TrimPrefix(filepath.Clean(p), "/")
	if rel == "" {
		rel = "."
	}
	fd, err := unix.Openat2(int(top.Fd()), rel, &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC | unix.O_NONBLOCK),
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH})
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, &errKind{h.linkIn(p), "a symbolic link", "a directory or file of its own"}
	case err != nil:
		return nil, &fs.PathError{Op: "open", Path: p, Err: err}
	}
	return os.NewFile(uintptr(fd), p), nil
}

// linkIn is the first link in a path, for the message.
func (h *Host) linkIn(p string) string {
	at := "/"
	for part := range strings.SplitSeq(strings.Trim(p, "/"), "/") {
		at = filepath.Join(at, part)
		if info, err := os.Lstat(h.Layout.Host(at)); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return at
		}
	}
	return p
}

// stat looks at a path without following a link. found is false when nothing is there.
func (h *Host) stat(p string) (st unix.Stat_t, found bool, err error) {
	dir, base, err := h.parent(p)
	if errors.Is(err, fs.ErrNotExist) {
		return st, false, nil
	}
	if err != nil {
		return st, false, err
	}
	defer dir.Close()
	err = unix.Fstatat(int(dir.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return st, false, nil
	}
	return st, err == nil, err
}

func kindOf(st unix.Stat_t) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFREG:
		return "a file"
	}
	return "a special file"
}

// right tells whether mode and owner are as they must be.
func right(st unix.Stat_t, mode fs.FileMode, o Owner) bool {
	return st.Mode&0o7777 == uint32(mode) && int(st.Uid) == o.UID && int(st.Gid) == o.GID
}

// makeDir makes one directory or corrects its mode and owner, of that inode alone. A new one has them before it has its name: one that is there
// may be its owner's choice, so a later run could not tell that a killed one had left it half made.
func (h *Host) makeDir(d Dir) error {
	dir, base, err := h.parent(d.Path)
	if err != nil {
		return err
	}
	defer dir.Close()
	_, found, err := h.stat(d.Path)
	switch {
	case err != nil:
		return err
	case found:
		return errors.Join(h.ownDir(d.Path, d), dir.Sync())
	}
	temp := tempName(base)
	if err := unix.Mkdirat(int(dir.Fd()), temp, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%s: %w", d.Path, err)
	}
	if err := h.ownDir(filepath.Join(filepath.Dir(d.Path), temp), d); err != nil {
		return err
	}
	err = failpoint.Write("mkdir "+d.Path, func() error { return unix.Renameat(int(dir.Fd()), temp, int(dir.Fd()), base) })
	if err != nil {
		_ = unix.Unlinkat(int(dir.Fd()), temp, unix.AT_REMOVEDIR)
		return fmt.Errorf("%s: %w", d.Path, err)
	}
	return dir.Sync()
}

// ownDir gives a directory the mode and the owner of d.
func (h *Host) ownDir(name string, d Dir) error {
	f, err := h.open(name, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &errKind{name, "a file", "a directory"}
	}
	if err := own(f, d.Mode, d.Owner); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// own sets owner and mode; the mode comes last, because a change of owner takes bits away.
func own(f *os.File, mode fs.FileMode, o Owner) error {
	if err := f.Chown(o.UID, o.GID); err != nil {
		return err
	}
	return f.Chmod(mode)
}

// readFile reads a regular file. An absent one has no text and found false.
func (h *Host) readFile(p string) (text []byte, found bool, err error) {
	f, err := h.open(p, unix.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	if !info.Mode().IsRegular() {
		return nil, false, &errKind{p, "no regular file", "a file"}
	}
	const most = 4 << 20
	text, err = io.ReadAll(io.LimitReader(f, most))
	return text, err == nil, err
}

// same tells whether a file is there as it must be.
func (h *Host) same(f File) (bool, error) {
	st, found, err := h.stat(f.Path)
	if err != nil || !found {
		return false, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false, &errKind{f.Path, kindOf(st), "a file"}
	}
	text, _, err := h.readFile(f.Path)
	return err == nil && bytes.Equal(text, f.Text) && right(st, f.Mode, f.Owner), err
}

// writeFile replaces a file at once and durably: a temporary one beside it with owner and mode, synced, renamed, and
// the directory synced.
func (h *Host) writeFile(f File) error {
	dir, base, err := h.parent(f.Path)
	if err != nil {
		return err
	}
	defer dir.Close()
	err = writeAt(dir, base, f)
	if state.NoRoom(err) && state.GiveUpReserve(h.Layout) {
		err = writeAt(dir, base, f)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	return nil
}

// tempName is what a file is written as before it takes its place.
func tempName(base string) string { return "." + base + ".archy-new" }

// leftover plans to remove what a run that was killed while it put the former text back has left beside a file that is right.
func (h *Host) leftover(p *Plan, file string) error {
	return h.remove(p, filepath.Join(filepath.Dir(file), tempName(filepath.Base(file))))
}

// remove plans that a file of an interrupted run goes.
func (h *Host) remove(p *Plan, temp string) error {
	if _, found, err := h.stat(temp); err != nil || !found {
		return err
	}
	p.add(does(func() error {
		dir, base, err := h.parent(temp)
		if err != nil {
			return err
		}
		defer dir.Close()
		return errors.Join(unix.Unlinkat(int(dir.Fd()), base, 0), dir.Sync())
	}), "remove %s, left by an interrupted run", temp)
	return nil
}

func writeAt(dir *os.File, base string, f File) error {
	// One name per file: what a killed run left is written over, and only one first boot runs.
	temp := tempName(base)
	if err := unix.Unlinkat(int(dir.Fd()), temp, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	fd, err := unix.Openat(int(dir.Fd()), temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), temp)
	defer file.Close()
	if err := fill(file, f); err != nil {
		_ = unix.Unlinkat(int(dir.Fd()), temp, 0)
		return err
	}
	if err := failpoint.Write("replace "+f.Path, func() error { return unix.Renameat(int(dir.Fd()), temp, int(dir.Fd()), base) }); err != nil {
		return err
	}
	return dir.Sync()
}

func fill(file *os.File, f File) error {
	if err := own(file, f.Mode, f.Owner); err != nil {
		return err
	}
	if _, err := file.Write(f.Text); err != nil {
		return err
	}
	return file.Sync()
}

// dirChange plans a directory that is missing or has another mode or owner.
func (h *Host) dirChange(p *Plan, d Dir) error {
	st, found, err := h.stat(d.Path)
	switch {
	case err != nil:
		return err
	case found && st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return &errKind{d.Path, kindOf(st), "a directory"}
	case found && right(st, d.Mode, d.Owner):
		return nil
	}
	verb := "make"
	if found {
		verb = fmt.Sprintf("correct %04o %d:%d of", st.Mode&0o7777, st.Uid, st.Gid)
	}
	p.add(does(func() error { return h.makeDir(d) }), "%s %s (%04o, %d:%d)", verb, d.Path, d.Mode, d.Owner.UID, d.Owner.GID)
	return nil
}

// absentDir plans a directory only where there is none: one that is there stays as its owner has it.
func (h *Host) absentDir(p *Plan, d Dir) error {
	st, found, err := h.stat(d.Path)
	switch {
	case err != nil:
		return err
	case found && st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return &errKind{d.Path, kindOf(st), "a directory"}
	case found:
		return nil
	}
	p.add(does(func() error { return h.makeDir(d) }), "make %s (%04o, %d:%d)", d.Path, d.Mode, d.Owner.UID, d.Owner.GID)
	return nil
}

// fileChange plans a file that is missing or differs, and tells whether it does.
func (h *Host) fileChange(p *Plan, f File) (differs bool, err error) {
	same, err := h.same(f)
	if err != nil || same {
		return false, err
	}
	p.add(does(func() error { return h.writeFile(f) }), "write %s (%04o)", f.Path, f.Mode)
	return true, nil
}
