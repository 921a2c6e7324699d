package release

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"time"
)

// packed is what went into an archive.
type packed struct {
	files    []FileEntry
	unpacked int64
}

// add takes a file that is in the archive as a whole.
func (p *packer) add(f FileEntry) {
	p.out.unpacked += f.Size
	p.out.files = append(p.out.files, f)
	if p.tell != nil {
		p.tell.add(f)
	}
}

// packer writes the members of a tree as a compressed archive.
type packer struct {
	ctx    context.Context
	tar    *tar.Writer
	epoch  time.Time
	out    packed
	tell   *contents // who reads the archive meanwhile
	buffer []byte
}

// pack streams the archive to w. There is no directory where it is put together before: its mode was what went wrong
// (incident 4). tell, if not nil, is told of each file, and that no more will come.
func pack(ctx context.Context, w io.Writer, members []member, epoch int64, tell *contents) (packed, error) {
	if tell != nil {
		defer tell.finish()
	}
	z := newGzipWriter(w)
	p := &packer{ctx: ctx, tar: tar.NewWriter(z), epoch: time.Unix(epoch, 0), tell: tell, buffer: make([]byte, 128<<10)}
	err := p.all(members)
	if err == nil {
		err = p.tar.Close()
	}
	if closeErr := z.Close(); err == nil {
		err = closeErr
	}
	return p.out, err
}

func (p *packer) all(members []member) error {
	for _, m := range members {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		if err := p.one(m); err != nil {
			return err
		}
	}
	return nil
}

// header has no owner, no second time and nothing else that differs between build hosts. PAX is what archive/tar takes
// when a path does not fit.
func (p *packer) header(m member) *tar.Header {
	h := &tar.Header{Typeflag: m.kind, Name: "./" + m.path, Mode: m.mode, Size: m.size, Linkname: m.link, ModTime: p.epoch}
	if m.path == root {
		h.Name = "./"
	} else if m.kind == typeDir {
		h.Name += "/"
	}
	return h
}

func (p *packer) one(m member) error {
	if m.kind != typeFile {
		return p.head(m)
	}
	f, err := m.content()
	if err != nil {
		return err
	}
	defer f.Close()
	if err := p.head(m); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.CopyBuffer(onlyWriter{io.MultiWriter(p.tar, sum)}, onlyReader{io.LimitReader(f, m.size+1)}, p.buffer)
	if err == nil && n != m.size {
		err = errChanged
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.label, err)
	}
	p.add(FileEntry{Path: m.path, Mode: fmt.Sprintf("%04o", m.mode), Size: n, SHA256: digest(sum)})
	return nil
}

func (p *packer) head(m member) error {
	if err := p.tar.WriteHeader(p.header(m)); err != nil {
		return fmt.Errorf("%s: %w", m.path, err)
	}
	return nil
}

// onlyReader hides WriteTo, so that the buffer given is the one used.
type onlyReader struct{ io.Reader }

func digest(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// tally counts and hashes what goes through it.
type tally struct {
	w   io.Writer
	sum hash.Hash
	n   int64
}

func newTally(w io.Writer) *tally { return &tally{w: w, sum: sha256.New()} }

func (t *tally) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.sum.Write(p[:n])
	t.n += int64(n)
	return n, err
}
