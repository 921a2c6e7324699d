package release

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
)

// halt ends a pass: what follows in the archive cannot be understood or must not be read. The finding is already told.
type halt struct{ code Code }

func (h halt) Error() string { return "stopped by " + string(h.code) }

// gunzip inflates one gzip member (RFC 1952) and wants nothing behind it. compress/gzip would read several members as
// one and say nothing.
type gunzip struct {
	in      *bufio.Reader
	inflate io.Reader
	crc     uint32
	size    uint32 // modulo 2^32, as in the trailer
	tell    func(code Code, path, have, want string)
	err     error
}

func newGunzip(r io.Reader, tell func(code Code, path, have, want string)) *gunzip {
	return &gunzip{in: bufio.NewReaderSize(r, 64<<10), tell: tell}
}

// Read gives the content. It tells of a wrong trailer and of what follows when the content has ended.
func (g *gunzip) Read(p []byte) (int, error) {
	if g.err == nil && g.inflate == nil {
		g.err = g.header()
		g.inflate = flate.NewReader(g.in)
	}
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.inflate.Read(p)
	g.crc = crc32.Update(g.crc, crc32.IEEETable, p[:n])
	g.size += uint32(n)
	switch {
	case err == io.EOF:
		g.err = g.trailer()
	case err != nil:
		g.err = g.broken(err)
	}
	return n, g.err
}

// broken tells why the compressed stream cannot be read on. An error of the file itself stays an error.
func (g *gunzip) broken(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), err == io.EOF:
		g.tell(Truncated, "", "the file ends inside the gzip stream", "a whole file")
		return halt{Truncated}
	case errors.As(err, &corrupt):
		return g.malformed("damaged deflate data at byte %d", int64(corrupt))
	}
	return err
}

func (g *gunzip) malformed(format string, args ...any) error {
	g.tell(GzipFormat, "", fmt.Sprintf(format, args...), "a gzip file")
	return halt{GzipFormat}
}

const (
	flagHeaderCRC = 1 << 1
	flagExtra     = 1 << 2
	flagName      = 1 << 3
	flagComment   = 1 << 4
	flagsReserved = 0xe0
)

// header reads the fixed part and skips the optional ones.
func (g *gunzip) header() error {
	var h [10]byte
	if n, err := io.ReadFull(g.in, h[:]); err != nil {
		if n >= 2 && (h[0] != 0x1f || h[1] != 0x8b) {
			return g.malformed("magic bytes %x", h[:2])
		}
		return g.broken(err)
	}
	flags := h[3]
	switch {
	case h[0] != 0x1f || h[1] != 0x8b:
		return g.malformed("magic bytes %x", h[:2])
	case h[2] != 8:
		return g.malformed("compression method %d", h[2])
	case flags&flagsReserved != 0:
		return g.malformed("reserved flags %#x", flags)
	}
	return g.optional(flags, crc32.ChecksumIEEE(h[:]))
}

// optional reads extra field, name, comment and the checksum of the header, in this order.
func (g *gunzip) optional(flags byte, crc uint32) error {
	if flags&flagExtra != 0 {
		length, err := g.bytes(2, &crc)
		if err == nil {
			_, err = g.bytes(int(binary.LittleEndian.Uint16(length)), &crc)
		}
		if err != nil {
			return g.broken(err)
		}
	}
	for _, flag := range []byte{flagName, flagComment} {
		if flags&flag == 0 {
			continue
		}
		text, err := g.in.ReadSlice(0)
		if errors.Is(err, bufio.ErrBufferFull) {
			return g.malformed("a header of more than 64 KiB")
		}
		if err != nil {
			return g.broken(err)
		}
		crc = crc32.Update(crc, crc32.IEEETable, text)
	}
	if flags&flagHeaderCRC == 0 {
		return nil
	}
	want := uint16(crc)
	sum, err := g.bytes(2, &crc)
	if err != nil {
		return g.broken(err)
	}
	if binary.LittleEndian.Uint16(sum) != want {
		return g.malformed("a header with a wrong checksum")
	}
	return nil
}

func (g *gunzip) bytes(n int, crc *uint32) ([]byte, error) {
	data := make([]byte, n)
	_, err := io.ReadFull(g.in, data)
	*crc = crc32.Update(*crc, crc32.IEEETable, data)
	return data, err
}

// trailer compares checksum and length, and looks at what follows.
func (g *gunzip) trailer() error {
	var t [8]byte
	if _, err := io.ReadFull(g.in, t[:]); err != nil {
		return g.broken(err)
	}
	if crc := binary.LittleEndian.Uint32(t[:4]); crc != g.crc {
		g.tell(GzipChecksum, "", fmt.Sprintf("checksum %08x", crc), fmt.Sprintf("%08x", g.crc))
	}
	if size := binary.LittleEndian.Uint32(t[4:]); size != g.size {
		g.tell(GzipChecksum, "", fmt.Sprintf("length %d in the trailer", size), fmt.Sprint(g.size))
	}
	next, err := g.in.Peek(2)
	switch {
	case len(next) == 2 && next[0] == 0x1f && next[1] == 0x8b:
		g.tell(GzipMultimember, "", "another gzip member follows", "exactly one")
	case len(next) > 0:
		g.tell(TrailingData, "", "data behind the gzip stream", "nothing")
	case err != io.EOF:
		return err
	}
	return io.EOF
}
