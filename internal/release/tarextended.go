package release

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// some tells whether anything was said of the next entry.
func (e extended) some() bool { return e.pax != nil || e.longName != nil || e.longLink != nil }

// extend reads a header that describes the next entry, or with PAX global all of them.
func (t *tarReader) extend(h *header) error {
	if h.size > maxExtended {
		return t.stop(LimitEntrySize, h.name, fmt.Sprintf("an extended header of %d bytes", h.size), fmt.Sprintf("at most %d", maxExtended))
	}
	if h.kind == typePaxGlobal {
		t.tell(PaxGlobal, h.name, "a header for all entries", "none")
		return nil
	}
	data := make([]byte, h.size)
	if _, err := io.ReadFull(t, data); err != nil {
		return t.cut(err)
	}
	switch h.kind {
	case typePaxLocal:
		return t.extendPAX(data)
	case typeLongName:
		return t.extendGNU(&t.before.longName, "name", data)
	default:
		return t.extendGNU(&t.before.longLink, "link", data)
	}
}

// extendGNU takes a long name as GNU tar writes it by default, so that what is told of the entry has its name.
func (t *tarReader) extendGNU(field **string, word string, data []byte) error {
	if *field != nil {
		return t.malformed("two long %ss for one entry", word)
	}
	text := string(bytes.TrimSuffix(data, []byte{0}))
	t.tell(TypeForbidden, text, "a GNU header for a long "+word, "a PAX header")
	*field = &text
	return nil
}

func (t *tarReader) extendPAX(data []byte) error {
	if t.before.pax != nil {
		return t.malformed("two PAX headers for one entry")
	}
	records, err := parsePAX(data)
	if err != nil {
		return t.malformed("after %q: PAX header: %v", t.path, err)
	}
	t.before.pax = records
	return nil
}

// parsePAX reads records of the form "LENGTH KEY=VALUE\n", where LENGTH counts the whole record (POSIX pax).
func parsePAX(data []byte) (map[string]string, error) {
	records := map[string]string{}
	for len(data) > 0 {
		digits, _, ok := bytes.Cut(data[:min(len(data), 20)], []byte{' '})
		n, err := strconv.ParseUint(string(digits), 10, 31)
		if !ok || err != nil || n > uint64(len(data)) || n < uint64(len(digits))+4 || data[n-1] != '\n' {
			return nil, fmt.Errorf("broken record %q", printable(string(data[:min(len(data), 40)])))
		}
		key, value, ok := strings.Cut(string(data[len(digits)+1:n-1]), "=")
		if _, again := records[key]; !ok || key == "" || again {
			return nil, fmt.Errorf("record %q is broken or there twice", printable(key))
		}
		records[key] = value
		data = data[n:]
	}
	return records, nil
}

// harmless PAX keys change nothing that an unpacked page depends on.
var harmless = []string{"atime", "ctime", "comment", "charset", "hdrcharset", "LIBARCHIVE.creationtime"}

// apply joins an entry with what was said of it before.
func (t *tarReader) apply(h *header) error {
	e := t.before
	t.before = extended{}
	if e.longName != nil {
		h.name = *e.longName
	}
	if e.longLink != nil {
		h.link = *e.longLink
	}
	t.path = h.name
	if err := t.applyPAX(h, e.pax); err != nil {
		return err
	}
	t.path = h.name
	for h.extendedMore {
		if err := t.readBlock(); err != nil {
			return err
		}
		h.extendedMore = t.block[504] == 1
	}
	return t.bodiless(h)
}

// bodiless refuses a size where some programs read a content and others do not.
func (t *tarReader) bodiless(h *header) error {
	if h.size > 0 && slices.Contains([]byte{typeHardlink, typeSymlink, typeDir, '3', '4', '6'}, h.kind) {
		return t.malformed("%q has type %q and a size of %d", h.name, h.kind, h.size)
	}
	return nil
}

func (t *tarReader) applyPAX(h *header, records map[string]string) error {
	var xattrs, sparse []string
	for _, key := range slices.Sorted(maps.Keys(records)) {
		value := records[key]
		var err error
		switch {
		case key == "path":
			h.name, h.tail = value, strings.ContainsRune(value, 0)
		case key == "linkpath":
			h.link = value
		case key == "uname":
			h.user = value
		case key == "gname":
			h.group = value
		case key == "size":
			err = t.paxSize(h, value)
		case key == "uid":
			h.uid, err = t.paxNumber(key, value)
		case key == "gid":
			h.gid, err = t.paxNumber(key, value)
		case key == "mtime":
			whole, _, _ := strings.Cut(value, ".")
			h.mtime, err = t.paxNumber(key, whole)
		case strings.HasPrefix(key, "GNU.sparse."):
			sparse = append(sparse, key)
		case !slices.Contains(harmless, key):
			xattrs = append(xattrs, key)
		}
		if err != nil {
			return err
		}
	}
	for _, key := range xattrs {
		t.tell(Xattr, h.name, "extended attribute "+key, "none")
	}
	if name := records["GNU.sparse.name"]; name != "" {
		h.name = name
	}
	if len(sparse) > 0 {
		t.tell(TypeForbidden, h.name, "a sparse file", "a regular file")
	}
	return nil
}

// paxSize wants the same size as in the header, unless that cannot hold it: programs that know no PAX see the other one.
func (t *tarReader) paxSize(h *header, value string) error {
	size, err := t.paxNumber("size", value)
	if err != nil {
		return err
	}
	const ustarMost = 1<<33 - 1
	if size < 0 || size <= ustarMost && size != h.size {
		return t.malformed("%q has size %d in its header and %d in PAX", h.name, h.size, size)
	}
	h.size, t.left, t.pad = size, size, -size&(blockSize-1)
	return nil
}

func (t *tarReader) paxNumber(key, value string) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err == nil:
		return n, nil
	case n == math.MaxInt64:
		return 0, t.stop(Overflow, t.path, fmt.Sprintf("PAX %s %s", key, value), "")
	}
	return 0, t.malformed("PAX %s %q is no number", key, printable(value))
}
