package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Release is a release on a disk: a manifest and the directory of its artefacts.
type Release struct {
	ManifestPath string
	Dir          string
	Keys         Keys
	Policy       Policy
	// Target is the architecture of the backend.
	Target string
	Rules  Rules
	// Installed, when not "", is the version that this one shall replace; only a higher one may, and only from its min_version on.
	Installed      string
	AllowDowngrade bool
	Now            time.Time
}

// Result is what Verify of a release found.
type Result struct {
	Schema   int       `json:"schema"`
	Manifest string    `json:"manifest"`
	Version  string    `json:"version"`
	SHA256   string    `json:"sha256"`
	Signed   bool      `json:"signed"`
	Archive  *Report   `json:"archive,omitempty"`
	Findings []Finding `json:"findings"`
	Errors   int       `json:"errors"`
	Warnings int       `json:"warnings"`
	Unlisted int       `json:"unlisted,omitempty"`
	OK       bool      `json:"ok"`
}

// Verify checks a manifest and every artefact that it names. The error is about reading the manifest, never about what
// it says.
func (r Release) Verify(ctx context.Context) (Result, error) {
	out := Result{Schema: 1, Manifest: r.ManifestPath}
	m, data, found, err := LoadManifest(r.ManifestPath)
	if err != nil {
		return out, err
	}
	sum := sha256.Sum256(data)
	out.SHA256 = hex.EncodeToString(sum[:])
	if m != nil {
		out.Version = m.Version
		found.Join(m.Check(r.Now))
		r.checkUpgrade(&found, m)
		if out.Signed, err = r.checkSignature(&found, m, data); err != nil {
			return out, err
		}
		if out.Archive, err = r.checkArtefacts(ctx, &found, m); err != nil {
			return out, err
		}
	}
	out.Findings, out.Errors, out.Warnings, out.Unlisted = found.List, found.Errors, found.Warnings, found.Unlisted()
	if out.Findings == nil {
		out.Findings = []Finding{}
	}
	out.OK = out.Errors == 0
	return out, nil
}

// Line sums it up.
func (r Result) Line() string {
	signed := "not signed"
	if r.Signed {
		signed = "signed"
	}
	line := fmt.Sprintf("release %s, %s, %s, %s", printable(r.Version), signed, Count(int64(r.Errors), "error", "errors"), Count(int64(r.Warnings), "warning", "warnings"))
	if a := r.Archive; a != nil {
		line += fmt.Sprintf("; archive of %s, %s", Count(a.Entries, "entry", "entries"), Bytes(a.UnpackedBytes))
		if a.Stopped != "" {
			line += fmt.Sprintf(", stopped early by %s", a.Stopped)
		}
	}
	return line
}

// LoadManifest reads a manifest from a file. m is nil when it cannot be understood at all.
func LoadManifest(path string) (m *Manifest, data []byte, found Findings, err error) {
	f, _, err := openRegular(path)
	if err != nil {
		return nil, nil, found, err
	}
	defer f.Close()
	if data, err = io.ReadAll(io.LimitReader(f, MaxManifestBytes+1)); err != nil {
		return nil, nil, found, err
	}
	m, found = ReadManifest(data)
	return m, data, found, nil
}

func (r Release) checkUpgrade(found *Findings, m *Manifest) {
	if r.Installed == "" {
		return
	}
	if !r.AllowDowngrade && !newer(m.Version, r.Installed) {
		found.Add(ManifestVersion, "version", m.Version, "higher than the installed "+r.Installed+", or --allow-downgrade")
	}
	if newer(m.MinVersion, r.Installed) {
		found.Add(ManifestVersion, "min_version", m.MinVersion, "not above the installed "+r.Installed+": a release in between comes first")
	}
}

func (r Release) checkSignature(found *Findings, m *Manifest, data []byte) (signed bool, err error) {
	signature, err := ReadSignature(r.ManifestPath)
	if err != nil {
		return false, err
	}
	wrong := r.Keys.Check(r.Policy, m, data, signature)
	found.Join(wrong)
	return signature != nil && wrong.Errors == 0 && r.Policy != PolicyNever, nil
}

// checkArtefacts reads backend and archive. Without two components there is nothing to look for.
func (r Release) checkArtefacts(ctx context.Context, found *Findings, m *Manifest) (*Report, error) {
	if m.Backend() == nil {
		return nil, nil
	}
	if err := r.checkBackend(ctx, found, m.Backend()); err != nil {
		return nil, err
	}
	name := m.Frontend().Name
	f, size, ok := r.open(found, name)
	if !ok {
		return nil, nil
	}
	defer f.Close()
	report, err := r.Rules.ForManifest(m).Verify(ctx, f, size, name)
	if err != nil {
		return nil, err
	}
	for _, finding := range report.Findings {
		if finding.Path == "" {
			finding.Path = name
		}
		found.Add(finding.Code, finding.Path, finding.Have, finding.Want)
	}
	found.Errors += report.Unlisted
	return &report, nil
}

// open opens an artefact of the directory. A name that leads out of it is none.
func (r Release) open(found *Findings, name string) (f *os.File, size int64, ok bool) {
	if name == "" || filepath.Base(name) != name {
		return nil, 0, false // told by the check of the names
	}
	f, size, err := openRegular(filepath.Join(r.Dir, name))
	if err != nil {
		found.Add(FileAbsent, name, bare(err).Error(), "a file in "+r.Dir)
	}
	return f, size, err == nil
}

func (r Release) checkBackend(ctx context.Context, found *Findings, c *Component) error {
	f, _, ok := r.open(found, c.Name)
	if !ok {
		return nil
	}
	defer f.Close()
	if err := checkBinary(f.Name(), r.Target, false); err != nil {
		found.Add(Binary, c.Name, bare(err).Error(), "")
	}
	return checkBlob(ctx, found, f.Name(), c)
}

// checkBlob compares size and digest of a file with a component.
func checkBlob(ctx context.Context, found *Findings, path string, c *Component) error {
	f, size, err := openRegular(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if size != c.SizeBytes {
		found.Addf(SizeMismatch, c.Name, fmt.Sprint(c.SizeBytes), "%d bytes", size)
	}
	to := newTally(io.Discard)
	if _, err := io.Copy(to, &interruptible{ctx, f}); err != nil {
		return err
	}
	if sum := digest(to.sum); sum != c.SHA256 {
		found.Add(SHA256Mismatch, c.Name, sum, c.SHA256)
	}
	return nil
}

// bare is an error without the path that the finding names already.
func bare(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
