package release

import (
	"fmt"
	"math"
	"time"
)

// pass is the state of one reading.
type pass struct {
	rules    Rules
	found    Findings
	gzip     Findings // of the goroutine that inflates
	tar      *tarReader
	inflated *bounded
	names    *names
	members  *members
	links    links

	entries  int64
	unpacked int64
	last     string // the path before, for the order
	unsorted bool
	mixed    int64 // entries with another time than the epoch
	copying  []byte
}

func newPass(r Rules) *pass {
	return &pass{rules: r, names: newNames(), members: newMembers(r)}
}

// entry checks one entry and reads its content.
func (v *pass) entry(h *header) error {
	if v.entries++; v.entries > v.rules.Limits.Entries {
		return v.stop(LimitEntries, h.name, "one entry more", fmt.Sprintf("at most %d", v.rules.Limits.Entries))
	}
	if err := v.size(h); err != nil {
		return err
	}
	path, ok, err := v.name(h)
	if err != nil {
		return err
	}
	known := v.kind(h)
	if !ok {
		return nil
	}
	v.rootRules(path, h)
	v.place(path, h.kind)
	v.order(path)
	v.modes(path, h)
	v.owner(path, h)
	v.times(path, h)
	if !known {
		return nil
	}
	return v.take(path, h)
}

// size looks at what the entry claims before any of it is read.
func (v *pass) size(h *header) error {
	l := v.rules.Limits
	switch {
	case h.size > math.MaxInt64-v.unpacked:
		return v.stop(Overflow, h.name, fmt.Sprintf("%d bytes after %d", h.size, v.unpacked), "a sum of 63 bits")
	case h.size > l.Entry:
		return v.stop(LimitEntrySize, h.name, Bytes(h.size), "at most "+Bytes(l.Entry))
	case v.unpacked+h.size > l.Unpacked:
		return v.stop(LimitUnpacked, h.name, "more than "+Bytes(l.Unpacked)+" unpacked", "")
	}
	v.unpacked += h.size
	return nil
}

// kind tells whether the entry is one of the types that an archive may hold.
func (v *pass) kind(h *header) bool {
	switch h.kind {
	case typeFile, typeDir:
		return true
	case typeSymlink:
		if !v.rules.AllowSymlinks {
			v.found.Add(SymlinkForbidden, h.name, "a symlink to "+h.link, "")
		}
		return true
	case typeHardlink:
		v.found.Add(Hardlink, h.name, "a hard link to "+h.link, "a file of its own")
	default:
		v.found.Add(TypeForbidden, h.name, typeWord(h.kind), "a file or a directory")
	}
	return false
}

func typeWord(kind byte) string {
	words := map[byte]string{'3': "a character device", '4': "a block device", '6': "a named pipe", '7': "a contiguous file", typeSparse: "a sparse file"}
	if word, ok := words[kind]; ok {
		return word
	}
	return fmt.Sprintf("an entry of type %q", kind)
}

// rootRules are those that the two bad releases broke (incident 4).
func (v *pass) rootRules(path string, h *header) {
	first := v.entries == 1
	switch {
	case path != root && first:
		v.found.Add(RootNotFirst, shown(path), "the first entry", "./")
	case path != root:
	case h.kind != typeDir:
		v.found.Add(RootMissing, "./", "no directory", "a directory")
	case h.mode&0o7777 != 0o755:
		v.found.Addf(RootMode, "./", "0755", "mode %04o", h.mode&0o7777)
	}
}

func (v *pass) order(path string) {
	if path == root {
		return
	}
	if path < v.last && !v.unsorted {
		v.found.Add(Order, path, "comes after "+v.last, "bytewise order")
		v.unsorted = true
	}
	v.last = path
}

func (v *pass) modes(path string, h *header) {
	if h.kind == typeSymlink {
		return // nobody looks at the mode of a link
	}
	mode, have := h.mode&0o7777, fmt.Sprintf("mode %04o", h.mode&0o7777)
	switch {
	case path == root:
	case h.kind == typeDir && mode&0o005 != 0o005:
		v.found.Add(DirMode, path, have, "0755")
	case h.kind != typeDir && mode&0o004 == 0:
		v.found.Add(FileMode, path, have, "0644 or 0755")
	}
	if mode&0o7000 != 0 {
		v.found.Add(ModeSpecial, shown(path), have, "no setuid, setgid or sticky bit")
	}
	if mode&0o022 != 0 {
		v.found.Add(ModeWritable, shown(path), have, "writable for its owner alone")
	}
}

func (v *pass) owner(path string, h *header) {
	named := func(s string) bool { return s != "" && s != "root" }
	if h.uid != 0 || h.gid != 0 || named(h.user) || named(h.group) {
		v.found.Addf(Owner, shown(path), "0:0", "%d:%d %s:%s", h.uid, h.gid, h.user, h.group)
	}
}

func (v *pass) times(path string, h *header) {
	newest := v.rules.ReleaseDate
	if newest.IsZero() {
		newest = v.rules.Now
	}
	newest = newest.Add(24 * time.Hour)
	if h.mtime > newest.Unix() {
		v.found.Add(MtimeFuture, shown(path), stamp(h.mtime), "at most "+stamp(newest.Unix()))
	}
	if v.rules.Epoch == nil || h.mtime == *v.rules.Epoch {
		return
	}
	if v.mixed++; v.mixed == 1 {
		v.found.Add(MtimeMixed, shown(path), stamp(h.mtime)+" and perhaps others", stamp(*v.rules.Epoch))
	}
}

// stamp writes seconds since 1970 as a date, and those that no date has as a number.
func stamp(seconds int64) string {
	if seconds < 0 || seconds > 253402300799 {
		return fmt.Sprint(seconds)
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}
