package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Check looks at the directory, at every file in it and at what is wanted, and returns all findings, the directory's
// first, then by name. It costs no hashing; see CheckPlain.
func (s *Store) Check(wanted []Wanted) []Finding {
	found, ok := s.checkDir()
	if !ok {
		return found
	}
	names, err := s.names(wanted)
	if err != nil {
		return append(found, Finding{Unreadable, "", s.Dir, "cannot be listed: " + reason(err),
			fmt.Sprintf("sudo chown %d:%d %s", s.UID, s.GID, s.Dir)})
	}
	byName := index(wanted)
	for _, name := range names {
		w, known := byName[name]
		if known && w.Kind == Bcrypt {
			found = append(found, s.checkHash(name)...)
		}
		oneLine := w.oneLine() || byName[strings.TrimSuffix(name, PlainSuffix)].Kind == Bcrypt
		f := s.checkFile(name, known && !w.Optional, oneLine)
		found = append(found, f...)
	}
	return found
}

// CheckModes is Check without a look into the files: the modes and owners of the directory and of all that is in it, a stat each.
func (s *Store) CheckModes() []Finding {
	found, ok := s.checkDir()
	if !ok {
		return nil
	}
	names, _ := s.names(nil)
	for _, name := range names {
		info, err := os.Lstat(s.Path(name))
		if err == nil && info.Mode().IsRegular() {
			found = append(found, s.access(name, info)...)
		}
	}
	return found
}

// access is what is wrong with the owner and the mode of a file.
func (s *Store) access(name string, info fs.FileInfo) (found []Finding) {
	if f, bad := s.ownerFinding(name, info); bad {
		found = append(found, f)
	}
	if mode := permissions(info.Mode()); mode != fileMode {
		detail := fmt.Sprintf("has mode %04o instead of %04o", octal(mode), fileMode)
		if mode&0o077 != 0 {
			detail += ", with which others could read it"
		}
		found = append(found, s.finding(Mode, name, detail, fmt.Sprintf("chmod %04o %s", fileMode, s.Path(name))))
	}
	return found
}

// CheckPlain reports the bcrypt secrets whose hash and plain text do not fit each other. One comparison takes about
// 60 ms, which is why Check leaves it out; text that is no hash is Check's to report.
func (s *Store) CheckPlain(wanted []Wanted) []Finding {
	var found []Finding
	for _, w := range wanted {
		if w.Kind != Bcrypt {
			continue
		}
		hash, err := s.Read(w.Name)
		plain, plainErr := s.Read(w.Name + PlainSuffix)
		if err == nil && plainErr == nil && looksHashed(hash) && !hashMatches(hash, plain) {
			found = append(found, s.finding(PlainOther, w.Name, "does not fit the plain text in "+w.Name+PlainSuffix,
				"put the password that opens the app into "+s.Path(w.Name+PlainSuffix)))
		}
	}
	return found
}

func (s *Store) checkDir() (found []Finding, ok bool) {
	if err := s.checkDirType(); err != nil {
		var f Finding
		if !errors.As(err, &f) {
			f = Finding{Unreadable, "", s.Dir, reason(err), "check the disk: dmesg"}
		}
		return []Finding{f}, false
	}
	info, err := os.Lstat(s.Dir)
	if err != nil {
		return []Finding{{Unreadable, "", s.Dir, reason(err), "check the disk: dmesg"}}, false
	}
	if uid, gid := owner(info); uid != s.UID || gid != s.GID {
		found = append(found, Finding{DirOwner, "", s.Dir, fmt.Sprintf("belongs to %d:%d instead of %d:%d", uid, gid, s.UID, s.GID),
			fmt.Sprintf("sudo chown %d:%d %s", s.UID, s.GID, s.Dir)})
	}
	if mode := permissions(info.Mode()); mode != dirMode {
		found = append(found, Finding{DirMode, "", s.Dir, fmt.Sprintf("has mode %04o instead of %04o", octal(mode), dirMode),
			fmt.Sprintf("chmod %04o %s", dirMode, s.Dir)})
	}
	return found, true
}

func (s *Store) checkFile(name string, required, oneLine bool) []Finding {
	info, err := os.Lstat(s.Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		if !required {
			return nil
		}
		return []Finding{s.missing(name)}
	}
	if err != nil {
		return []Finding{s.openFinding(name, err)}
	}
	if f, bad := s.typeFinding(name, info); bad {
		return []Finding{f}
	}
	return append(s.access(name, info), s.checkContent(name, oneLine)...)
}

func (s *Store) checkContent(name string, oneLine bool) []Finding {
	raw, _, err := s.readRaw(name)
	if err != nil {
		var f Finding
		errors.As(err, &f)
		return []Finding{f}
	}
	text := strings.TrimRight(string(raw), "\r\n")
	switch {
	case strings.TrimLeft(text, "\r\n") == "":
		return []Finding{s.finding(Empty, name, "is empty, which counts as missing", "archy secrets gen")}
	case oneLine && strings.ContainsAny(strings.TrimLeft(text, "\r\n"), "\r\n\x00"):
		return []Finding{s.finding(Lines, name, "holds more than one line, or a NUL byte; no app gets it", "leave only the line with the value in "+s.Path(name))}
	case len(text) != len(raw):
		return []Finding{s.finding(Newline, name, "ends with a line break, which an app that mounts the file would read too",
			fmt.Sprintf("truncate -s %d %s", len(text), s.Path(name)))}
	}
	return nil
}

func (s *Store) checkHash(name string) []Finding {
	var found []Finding
	if _, err := os.Lstat(s.Path(stagedPrefix + name)); err == nil {
		found = append(found, s.finding(Unfinished, name, "a rotation was interrupted", "archy secrets gen completes it"))
	}
	hash, err := s.Read(name)
	if err != nil {
		return found
	}
	if !looksHashed(hash) {
		found = append(found, s.finding(NotAHash, name, "is not a bcrypt hash", "move it away, then archy secrets gen"))
	}
	if _, err := s.Read(name + PlainSuffix); IsMissing(err) {
		found = append(found, s.finding(PlainAbsent, name, "has no plain text beside it: nobody can look the password up",
			"if you know the password, write it to "+s.Path(name+PlainSuffix)))
	}
	return found
}

// Repair mends a mode or an owner. It refuses everything else: content is never repaired.
func (s *Store) Repair(f Finding) error {
	if !f.Fixable() {
		return fmt.Errorf("%s: archy does not repair %q itself (hint: %s)", f.Path, string(f.Code), f.Repair)
	}
	path, mode, flags := s.Dir, dirMode, unix.O_DIRECTORY
	if f.Code == Mode || f.Code == Owner {
		if !validName(f.Name) {
			return fmt.Errorf("repairing %q: not a secret's name", f.Name)
		}
		path, mode, flags = s.Path(f.Name), fileMode, 0
	}
	// O_PATH needs no permission on the file, and what it opened cannot be exchanged for a link afterwards.
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return fmt.Errorf("repairing %s: %w", path, err)
	}
	defer unix.Close(fd)
	if err := s.repairFD(fd, f.Code, mode); err != nil {
		return fmt.Errorf("repairing %s: %w (hint: %s)", path, err, f.Repair)
	}
	return nil
}

func (s *Store) repairFD(fd int, code Code, mode fs.FileMode) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return errors.New("neither a file nor a directory")
	}
	if code == Owner || code == DirOwner {
		return unix.Fchownat(fd, "", s.UID, s.GID, unix.AT_EMPTY_PATH)
	}
	return os.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), mode)
}

// permissions keeps the bits that chmod sets.
func permissions(m fs.FileMode) fs.FileMode {
	return m & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
}

// octal is the mode as chmod(1) writes it.
func octal(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return bits
}
