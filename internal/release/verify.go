package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// Rules are what an archive is held to.
type Rules struct {
	// Frontend is the manifest's component that the archive must be; nil: only its own inside is checked.
	Frontend *Component
	// ReleaseDate is midnight UTC of the release, zero when not known: then Now counts.
	ReleaseDate time.Time
	// Epoch is what all times must be, nil when not known.
	Epoch *int64
	// Require names further members that must be there and not be empty.
	Require       []string
	AllowSymlinks bool
	Limits        Limits
	Now           time.Time

	// packing are the files of an archive that is just being packed; nil: those of Frontend.
	packing *contents
	// sink receives what the archive holds while it is being checked.
	sink sink
}

// sink receives entries whose names were found good.
type sink interface {
	directory(path string, h *header) error
	symlink(path string, h *header) error
	// file returns where the content goes; done is called after the last byte.
	file(path string, h *header) (w io.Writer, done func() error, err error)
}

// ForManifest takes from a manifest what an archive must agree with.
func (r Rules) ForManifest(m *Manifest) Rules {
	r.Frontend, r.Epoch, r.ReleaseDate = m.Frontend(), m.SourceDateEpoch, m.date()
	return r
}

// Verify reads an archive once, from its first to its last byte, and reports everything that is wrong with it. Nothing
// is written and memory does not grow with the archive. size is the length of the file, -1 when src is no file; name is
// for the report. The error is about reading, never about what was read.
func (r Rules) Verify(ctx context.Context, src io.Reader, size int64, name string) (Report, error) {
	v := newPass(r)
	report := Report{Schema: 1, File: name}
	raw := &source{ctx: ctx, in: src, sum: sha256.New()}
	stopped, err := v.run(raw, size)
	if err == nil && size <= r.Limits.Compressed {
		_, err = io.Copy(io.Discard, raw)
		report.SHA256, size = hex.EncodeToString(raw.sum.Sum(nil)), raw.n
	}
	if err != nil {
		return report, err
	}
	report.Size = size
	report.Entries, report.UnpackedBytes, report.Stopped = v.entries, v.unpacked, stopped
	if stopped == "" {
		v.finish(raw.n)
	}
	var all Findings
	r.whole(&all, report)
	all.Join(v.gzip)
	all.Join(v.found)
	report.take(all)
	return report, nil
}

// VerifyFile is Verify of a file.
func (r Rules) VerifyFile(ctx context.Context, path string) (Report, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return Report{}, err
	}
	defer f.Close()
	return r.Verify(ctx, f, size, path)
}

// whole compares the file with the manifest. One that was too long to be read has no digest.
func (r Rules) whole(found *Findings, report Report) {
	c := r.Frontend
	if c == nil {
		return
	}
	if report.Size != c.SizeBytes {
		found.Addf(SizeMismatch, "", fmt.Sprint(c.SizeBytes), "%d bytes", report.Size)
	}
	if report.SHA256 != "" && report.SHA256 != c.SHA256 {
		found.Add(SHA256Mismatch, "", report.SHA256, c.SHA256)
	}
}

// source is the file: counted, hashed, and given up when nobody waits any more.
type source struct {
	ctx context.Context
	in  io.Reader
	sum hash.Hash
	n   int64
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.in.Read(p)
	s.sum.Write(p[:n])
	s.n += int64(n)
	return n, err
}

// run reads the archive. stopped is the code that ended it early.
func (v *pass) run(raw *source, size int64) (stopped Code, err error) {
	if most := v.rules.Limits.Compressed; size > most {
		v.found.Addf(LimitUnpacked, "", "at most "+Bytes(most), "%s compressed", Bytes(size))
		return LimitUnpacked, nil
	}
	file := newAhead(raw)
	defer file.stop()
	inflated := newAhead(newGunzip(&capped{in: file, left: v.rules.Limits.Compressed}, v.gzip.Add))
	defer inflated.stop()
	v.bound(inflated, size)
	err = v.archive()
	var h halt
	if errors.As(err, &h) {
		return h.code, nil
	}
	return "", err
}

// capped ends a stream without a known length at the limit of a compressed archive.
type capped struct {
	in   io.Reader
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, fmt.Errorf("the archive is longer than the limit of a compressed one")
	}
	return n, err
}

// archive reads all entries.
func (v *pass) archive() error {
	for {
		h, err := v.tar.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := v.entry(h); err != nil {
			return err
		}
	}
}

// bounded counts what was inflated and ends the pass at the limits.
type bounded struct {
	in   io.Reader
	n    int64
	most int64
	tell func(n int64) error
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	if b.n += int64(n); b.n > b.most {
		return 0, b.tell(b.n)
	}
	return n, err
}

func (v *pass) bound(in io.Reader, size int64) {
	l := v.rules.Limits
	b := &bounded{in: in, most: l.Unpacked, tell: func(int64) error {
		return v.stop(LimitUnpacked, "", "more than "+Bytes(l.Unpacked)+" unpacked", "")
	}}
	if size >= 0 && size < l.Unpacked/l.Ratio {
		b.most = size * l.Ratio
		b.tell = func(n int64) error {
			return v.stop(LimitRatio, "", fmt.Sprintf("more than %d times the compressed size", l.Ratio), "")
		}
	}
	v.inflated = b
	v.tar = &tarReader{in: b, tell: v.found.Add}
}

func (v *pass) stop(code Code, path, have, want string) error {
	v.found.Add(code, path, have, want)
	return halt{code}
}
