package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/durable"
)

// Inputs are what a release is made of.
type Inputs struct {
	Version    string
	Date       string // YYYY-MM-DD
	Previous   string // "": that of the manifest being replaced, else 0.0.0
	MinVersion string
	Frontend   string // directories and files
	Binary     string
	AIUI       string
	Apps       string
	Catalog    string
	Changelog  string // "": the section of CHANGELOG.md
	Out        string
	BaseURL    string
	Epoch      *int64 // nil: midnight UTC of Date
	Require    []string

	AllowSymlinks bool
	NoFiles       bool
	// Compat puts everything where the old script did: the archive into Temp, the manifest into Out.
	Compat bool
	Temp   string
	// CheckOnly runs every check and writes nothing.
	CheckOnly bool

	Key    *Key // nil: not signed
	Target string
	Tool   string
	Limits Limits
	Now    time.Time
}

// Created is what Create did. Without OK nothing was released.
type Created struct {
	Schema    int       `json:"schema"`
	Version   string    `json:"version"`
	Manifest  string    `json:"manifest"`
	Archive   string    `json:"archive"`
	Binary    string    `json:"binary"`
	Signature string    `json:"signature,omitempty"`
	SHA256    string    `json:"sha256"`
	Size      int64     `json:"size"`
	Entries   int64     `json:"entries"`
	Unpacked  int64     `json:"unpacked_bytes"`
	LeftOut   []string  `json:"left_out"`
	Findings  []Finding `json:"findings"`
	Errors    int       `json:"errors"`
	Warnings  int       `json:"warnings"`
	Unlisted  int       `json:"unlisted,omitempty"`
	CheckOnly bool      `json:"check_only,omitempty"`
	OK        bool      `json:"ok"`
}

// build is one run of Create.
type build struct {
	Inputs
	out      Created
	found    Findings
	tree     *tree
	manifest Manifest
	places   places
	partials []string
}

// places are where the files of a release go. binary is "" where it stays where it is.
type places struct{ archive, binary, manifest string }

// Create builds a release. What it finds wrong is in the result; the error is about reading and writing. The manifest
// comes last: an interrupted run leaves none.
func Create(ctx context.Context, in Inputs) (Created, error) {
	b := &build{Inputs: in, out: Created{Schema: 1, Version: in.Version, CheckOnly: in.CheckOnly}}
	defer b.cleanup()
	err := b.run(ctx)
	b.out.Findings, b.out.Errors, b.out.Warnings, b.out.Unlisted = b.found.List, b.found.Errors, b.found.Warnings, b.found.Unlisted()
	if b.out.Findings == nil {
		b.out.Findings = []Finding{}
	}
	b.out.OK = err == nil && b.out.Errors == 0
	return b.out, err
}

func (b *build) run(ctx context.Context) error {
	b.setPlaces()
	b.check()
	defer b.tree.close()
	b.out.LeftOut = append([]string{}, b.tree.leftOut...)
	if b.found.Errors > 0 {
		return nil
	}
	if b.CheckOnly {
		return b.rehearse(ctx)
	}
	if err := b.makeOut(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{b.packArchive, b.copyBinary, b.publish, b.readBack, b.sign} {
		if err := step(ctx); err != nil || b.found.Errors > 0 {
			return err
		}
	}
	return nil
}

func (b *build) setPlaces() {
	b.places = places{
		archive:  filepath.Join(b.Out, FrontendName(b.Version)),
		binary:   filepath.Join(b.Out, BackendName),
		manifest: filepath.Join(b.Out, ManifestName),
	}
	if b.Compat {
		b.places.archive, b.places.binary = filepath.Join(b.Temp, FrontendName(b.Version)), ""
	}
	b.out.Archive, b.out.Manifest, b.out.Binary = b.places.archive, b.places.manifest, b.Binary
	if b.places.binary != "" {
		b.out.Binary = b.places.binary
	}
}

// makeOut makes the directory of the release, 0755 whatever the umask.
func (b *build) makeOut() error {
	if _, err := os.Stat(b.Out); err == nil {
		return nil
	}
	if err := os.MkdirAll(b.Out, 0o755); err != nil {
		return err
	}
	return os.Chmod(b.Out, 0o755)
}

// partial opens a hidden file beside the one that it becomes. One that a killed run left is replaced.
func (b *build) partial(path string) (*os.File, string, error) {
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".partial")
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		b.partials = append(b.partials, name)
	}
	return f, name, err
}

// cleanup removes what was not finished.
func (b *build) cleanup() {
	for _, name := range b.partials {
		_ = os.Remove(name) // renamed ones are gone
	}
}

// rules are what the finished archive is held to.
func (b *build) rules() Rules {
	return Rules{ReleaseDate: b.manifest.date(), Epoch: b.manifest.SourceDateEpoch, Require: b.Require, AllowSymlinks: b.AllowSymlinks, Limits: b.Limits, Now: b.Now}
}

// packArchive writes the archive and reads it back with every check while it grows, before anything is said of it.
func (b *build) packArchive(ctx context.Context) error {
	f, name, err := b.partial(b.places.archive)
	if err != nil {
		return err
	}
	defer f.Close()
	back, _, err := openRegular(name)
	if err != nil {
		return err
	}
	defer back.Close()
	file, rules := newGrowing(f, back), b.rules()
	rules.packing = newContents(nil)
	var report Report
	read := make(chan error, 1)
	go func() {
		var err error
		report, err = rules.Verify(ctx, file, -1, name)
		read <- err
	}()
	to := newTally(file)
	content, err := pack(ctx, to, b.tree.sorted(), *b.manifest.SourceDateEpoch, rules.packing)
	file.finish(err)
	if err == nil {
		err = seal(f, 0o644) // the disk is slow, and reading back needs a processor only
	}
	if readErr := <-read; err == nil {
		err = readErr
	}
	if err != nil {
		return err
	}
	b.checked(report, to, content)
	return nil
}

// checked puts what was packed into the manifest, and what was read back of it into the report.
func (b *build) checked(report Report, to *tally, content packed) {
	c := b.manifest.Frontend()
	c.SHA256, c.SizeBytes, c.UnpackedBytes = digest(to.sum), to.n, &content.unpacked
	if !b.NoFiles {
		slices.SortFunc(content.files, func(x, y FileEntry) int { return strings.Compare(x.Path, y.Path) })
		c.Files = content.files
	}
	Rules{Frontend: c}.whole(&b.found, report)
	b.take(report)
}

func (b *build) take(r Report) {
	for _, f := range r.Findings {
		b.found.Add(f.Code, f.Path, f.Have, f.Want)
	}
	b.found.Errors += r.Unlisted
	b.out.SHA256, b.out.Size, b.out.Entries, b.out.Unpacked = r.SHA256, r.Size, r.Entries, r.UnpackedBytes
}

// rehearse packs and checks without a file.
func (b *build) rehearse(ctx context.Context) error {
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := pack(ctx, w, b.tree.sorted(), *b.manifest.SourceDateEpoch, nil)
		ended <- err
		_ = w.CloseWithError(err) // never fails
	}()
	report, err := b.rules().Verify(ctx, r, -1, FrontendName(b.Version))
	_ = r.CloseWithError(err) // never fails
	if packErr := <-ended; packErr != nil && err == nil {
		err = packErr
	}
	if err != nil {
		return err
	}
	b.take(report)
	return nil
}

// copyBinary takes size and digest of the backend, of the copy where there is one.
func (b *build) copyBinary(ctx context.Context) error {
	src, _, err := openRegular(b.Binary)
	if err != nil {
		return err
	}
	defer src.Close()
	to := newTally(io.Discard)
	in := &interruptible{ctx, src}
	if b.places.binary == "" {
		_, err = io.Copy(to, in)
	} else {
		err = b.copyInto(to, in)
	}
	c := b.manifest.Backend()
	c.SHA256, c.SizeBytes = digest(to.sum), to.n
	return err
}

// copyInto copies the backend beside its place.
func (b *build) copyInto(to *tally, in io.Reader) error {
	f, _, err := b.partial(b.places.binary)
	if err != nil {
		return err
	}
	defer f.Close()
	to.w = f
	if _, err := io.Copy(to, in); err != nil {
		return err
	}
	return seal(f, 0o755)
}

// interruptible ends a copy when nobody waits any more.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

// publish moves the artefacts into place and writes the manifest. One of an earlier run goes first: there is no moment at
// which a manifest names other files than those beside it.
func (b *build) publish(ctx context.Context) error {
	data, err := b.manifest.Encode()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := b.removeManifest(); err != nil {
		return err
	}
	for _, path := range []string{b.places.archive, b.places.binary} {
		if path == "" {
			continue
		}
		if err := os.Rename(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".partial"), path); err != nil {
			return err
		}
		if err := durable.SyncDir(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return replace(b.places.manifest, data, 0o644)
}

func (b *build) removeManifest() error {
	for _, name := range []string{b.places.manifest, b.places.manifest + ".minisig"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// readBack reads what was written as a stranger would. A manifest that does not fit its files does not stay.
func (b *build) readBack(ctx context.Context) error {
	m, data, found, err := LoadManifest(b.places.manifest)
	if err == nil && m != nil {
		found.Join(m.Check(b.Now))
		err = b.readArtefacts(ctx, &found, m)
		if again, encodeErr := b.manifest.Encode(); encodeErr != nil || !bytes.Equal(again, data) {
			found.Add(ManifestJSON, b.places.manifest, "not what was written", "")
		}
	}
	b.found.Join(found)
	if err != nil || found.Errors > 0 {
		return errors.Join(err, b.removeManifest())
	}
	return nil
}

func (b *build) readArtefacts(ctx context.Context, found *Findings, m *Manifest) error {
	if m.Backend() == nil {
		return nil
	}
	if err := checkBlob(ctx, found, b.places.archive, m.Frontend()); err != nil {
		return err
	}
	binary := b.places.binary
	if binary == "" {
		binary = b.Binary
	}
	return checkBlob(ctx, found, binary, m.Backend())
}

func (b *build) sign(context.Context) error {
	if b.Key == nil {
		return nil
	}
	path, err := b.Key.SignFile(b.places.manifest)
	if err != nil {
		return errors.Join(fmt.Errorf("not signed, so not released: %w", err), b.removeManifest())
	}
	b.out.Signature = path
	return nil
}
