package release

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

const blockSize = 512

// Types of entries, as in the header (POSIX ustar, and GNU's and PAX's additions).
const (
	typeFile      = '0'
	typeFileV7    = 0
	typeHardlink  = '1'
	typeSymlink   = '2'
	typeDir       = '5'
	typePaxLocal  = 'x'
	typePaxGlobal = 'g'
	typeLongName  = 'L'
	typeLongLink  = 'K'
	typeSparse    = 'S'
)

// header is one entry as the archive describes it, with the PAX and GNU headers before it applied.
type header struct {
	kind         byte
	name, link   string
	user, group  string
	mode         int64
	uid, gid     int64
	size         int64
	mtime        int64 // seconds since 1970
	tail         bool  // hidden bytes behind the end of name or link
	extendedMore bool  // GNU sparse: more of its map follows
}

// errOverflow is a number that 63 bits do not hold.
var errOverflow = errors.New("does not fit 63 bits")

// parseHeader reads one header block. archive/tar would guess where this refuses.
func parseHeader(block []byte) (*header, error) {
	if err := checksum(block); err != nil {
		return nil, err
	}
	h := &header{kind: block[156]}
	f := fields{block: block}
	h.name = f.text(0, 100)
	h.link = f.text(157, 100)
	h.mode = f.number("mode", 100, 8)
	h.uid = f.number("uid", 108, 8)
	h.gid = f.number("gid", 116, 8)
	h.size = f.number("size", 124, 12)
	h.mtime = f.number("mtime", 136, 12)
	h.tail = f.tail
	switch magic := string(block[257:265]); magic {
	case "ustar\x0000":
		if prefix := f.text(345, 155); prefix != "" {
			h.name = prefix + "/" + h.name
		}
		h.tail = f.tail
		h.user, h.group = f.text(265, 32), f.text(297, 32)
	case "ustar  \x00":
		h.user, h.group = f.text(265, 32), f.text(297, 32)
		h.extendedMore = h.kind == typeSparse && block[482] == 1
	case "\x00\x00\x00\x00\x00\x00\x00\x00":
	default:
		return nil, fmt.Errorf("unknown magic %q", magic)
	}
	if h.kind == typeFileV7 {
		h.kind = typeFile
	}
	if f.err == nil && h.size < 0 {
		return nil, fmt.Errorf("size %d", h.size)
	}
	return h, f.err
}

// checksum is the sum of all bytes with the eight of the sum itself taken as spaces.
func checksum(block []byte) error {
	f := fields{block: block}
	want := f.number("checksum", 148, 8)
	if f.err != nil {
		return f.err
	}
	sum := int64(8 * ' ')
	for i, b := range block {
		if i < 148 || i >= 156 {
			sum += int64(b)
		}
	}
	if sum != want {
		return fmt.Errorf("header checksum %d instead of %d", want, sum)
	}
	return nil
}

// fields reads the fields of a block and keeps the first error.
type fields struct {
	block []byte
	err   error
	tail  bool
}

// text is what stands before the first NUL.
func (f *fields) text(at, length int) string {
	field := f.block[at : at+length]
	text, rest, _ := bytes.Cut(field, []byte{0})
	f.tail = f.tail || len(bytes.Trim(rest, "\x00")) > 0
	return string(text)
}

// number is octal text, or GNU's base 256: the first bit set, a two's complement number in the others.
func (f *fields) number(name string, at, length int) int64 {
	field := f.block[at : at+length]
	parse := octal
	if field[0]&0x80 != 0 {
		parse = base256
	}
	n, err := parse(field)
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("%s %q: %w", name, field, err)
	}
	return n
}

func octal(field []byte) (int64, error) {
	text := strings.TrimLeft(strings.TrimRight(string(field), " \x00"), " ")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 8, 63)
	if err != nil {
		return 0, errors.New("not an octal number")
	}
	return int64(n), nil
}

func base256(field []byte) (int64, error) {
	fill := byte(0)
	if field[0] == 0xff {
		fill = 0xff
	} else if field[0] != 0x80 {
		return 0, errOverflow
	}
	low := field[max(1, len(field)-8):]
	for _, b := range field[1 : len(field)-len(low)] {
		if b != fill {
			return 0, errOverflow
		}
	}
	wide := bytes.Repeat([]byte{fill}, 8)
	copy(wide[8-len(low):], low)
	n := binary.BigEndian.Uint64(wide)
	if fill == 0 && n > math.MaxInt64 || fill != 0 && n <= math.MaxInt64 {
		return 0, errOverflow
	}
	return int64(n), nil
}
