package release

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// tarReader reads a tar archive without guessing: one meaning per archive, or none. Where implementations are known to
// differ (two headers for one entry, sizes that contradict each other, data behind an entry's end) it ends the pass.
type tarReader struct {
	in     io.Reader
	tell   func(code Code, path, have, want string)
	block  [blockSize]byte
	left   int64 // of the current entry
	pad    int64 // zero bytes to the next block
	path   string
	before extended
}

// extended is what PAX and GNU headers say of the entry that follows them.
type extended struct {
	pax      map[string]string
	longName *string
	longLink *string
}

// next goes to the next entry; io.EOF after the two zero blocks that end an archive.
func (t *tarReader) next() (*header, error) {
	for {
		if err := t.skip(); err != nil {
			return nil, err
		}
		if err := t.readBlock(); err != nil {
			return nil, err
		}
		if t.zero() {
			return nil, t.end()
		}
		h, err := t.parse()
		if err != nil {
			return nil, err
		}
		t.left, t.pad, t.path = h.size, -h.size&(blockSize-1), h.name
		switch h.kind {
		case typePaxLocal, typePaxGlobal, typeLongName, typeLongLink:
			err = t.extend(h)
		default:
			return h, t.apply(h)
		}
		if err != nil {
			return nil, err
		}
	}
}

func (t *tarReader) parse() (*header, error) {
	h, err := parseHeader(t.block[:])
	switch {
	case errors.Is(err, errOverflow):
		return nil, t.stop(Overflow, "", err.Error(), "")
	case err != nil:
		return nil, t.malformed("after %q: %v", t.path, err)
	}
	return h, nil
}

// Read gives the content of the current entry.
func (t *tarReader) Read(p []byte) (int, error) {
	if t.left == 0 {
		return 0, io.EOF
	}
	n, err := t.in.Read(p[:min(int64(len(p)), t.left)])
	t.left -= int64(n)
	if err == io.EOF && t.left > 0 {
		err = t.truncated()
	}
	return n, err
}

// skip goes to the end of the current entry. What pads its last block must be zero.
func (t *tarReader) skip() error {
	if _, err := io.Copy(io.Discard, t); err != nil {
		return err
	}
	if t.pad == 0 {
		return nil
	}
	pad := t.block[:t.pad]
	t.pad = 0
	if _, err := io.ReadFull(t.in, pad); err != nil {
		return t.cut(err)
	}
	if len(bytes.Trim(pad, "\x00")) > 0 {
		return t.malformed("%q is padded with something else than zeros", t.path)
	}
	return nil
}

func (t *tarReader) readBlock() error {
	if _, err := io.ReadFull(t.in, t.block[:]); err != nil {
		return t.cut(err)
	}
	return nil
}

func (t *tarReader) zero() bool { return t.block == [blockSize]byte{} }

// end wants the second zero block, and zeros until the stream ends.
func (t *tarReader) end() error {
	if t.before.some() {
		return t.malformed("an extended header that no entry follows")
	}
	if err := t.readBlock(); err != nil {
		return err
	}
	if !t.zero() {
		return t.malformed("one zero block, then something else")
	}
	buf := make([]byte, 32<<10)
	told := false
	for {
		n, err := t.in.Read(buf)
		if !told && len(bytes.Trim(buf[:n], "\x00")) > 0 {
			t.tell(TrailingData, "", "data behind the end of the archive", "zeros at most")
			told = true
		}
		if err != nil {
			return err
		}
	}
}

// cut tells apart a stream that ends too early and one that cannot be read.
func (t *tarReader) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return t.truncated()
	}
	return err
}

func (t *tarReader) truncated() error {
	have := "the archive has no end"
	if t.path != "" {
		have = fmt.Sprintf("the archive ends at or after %q", t.path)
	}
	return t.stop(Truncated, "", have, "two zero blocks")
}

func (t *tarReader) malformed(format string, args ...any) error {
	return t.stop(TarFormat, "", fmt.Sprintf(format, args...), "")
}

func (t *tarReader) stop(code Code, path, have, want string) error {
	t.tell(code, path, have, want)
	return halt{code}
}
