package release

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
)

// check looks at all inputs and lists everything that is wrong with them. Nothing is written.
func (b *build) check() {
	b.checkDate()
	b.checkOut()
	b.checkVersions(b.replaced())
	b.checkURL()
	b.checkChangelog()
	if err := checkBinary(b.Binary, b.Target, true); err != nil {
		b.found.Add(Binary, b.Binary, bare(err).Error(), "the backend, built for "+b.Target)
	}
	b.checkTree()
	b.checkCatalog()
	b.checkApps()
	b.fillManifest()
}

// replaced is the manifest that this release takes the place of, nil for none.
func (b *build) replaced() *Manifest {
	m, _, found, err := LoadManifest(b.places.manifest)
	if err != nil || m == nil || found.Errors > 0 {
		return nil
	}
	return m
}

// checkVersions finds out what is replaced: the same version built again replaces what it replaced before.
func (b *build) checkVersions(before *Manifest) {
	switch {
	case b.Previous != "":
	case before == nil || before.Backend() == nil:
		b.Previous = "0.0.0"
	case before.Version == b.Version:
		b.Previous = before.Backend().CurrentVersion
	default:
		b.Previous = before.Version
	}
	if !newer(b.Version, b.Previous) {
		b.found.Add(InputVersion, "--version", b.Version, "higher than the previous "+b.Previous)
	}
	if b.MinVersion != "" && !newer(b.Version, b.MinVersion) {
		b.found.Add(InputVersion, "--min-version", b.MinVersion, "lower than "+b.Version)
	}
	if b.Compat && b.BaseURL == "" {
		b.BaseURL = baseURL(before, b.Version)
	}
}

// baseURL is where the manifest before had its files, with its version in the path replaced by the new one.
func baseURL(before *Manifest, version string) string {
	if before == nil || before.Frontend() == nil {
		return ""
	}
	u, err := url.Parse(before.Frontend().DownloadURL)
	if err != nil {
		return ""
	}
	elements := strings.Split(path.Dir(u.Path), "/")
	for i, e := range elements {
		switch e {
		case before.Version, "v" + before.Version:
			elements[i] = strings.Replace(e, before.Version, version, 1)
		}
	}
	u.Path, u.RawPath = strings.Join(elements, "/"), ""
	return u.String()
}

func (b *build) checkDate() {
	day, err := time.Parse(time.DateOnly, b.Date)
	switch {
	case err != nil:
		b.found.Add(InputDate, "--date", b.Date, "YYYY-MM-DD")
	case day.After(b.Now):
		b.found.Add(InputDate, "--date", b.Date, "not after "+b.Now.UTC().Format(time.DateOnly))
	}
	if b.Epoch == nil {
		midnight := day.Unix()
		b.Epoch = &midnight
	}
	// Beyond 33 bits a time needs an extended header.
	if *b.Epoch < 0 || *b.Epoch >= 1<<33 {
		b.found.Addf(InputDate, "--source-date-epoch", "seconds since 1970", "%d", *b.Epoch)
	}
}

// checkOut keeps two versions out of one directory. The old script's places hold whatever they hold.
func (b *build) checkOut() {
	if b.Compat {
		return
	}
	entries, err := os.ReadDir(b.Out)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		b.found.Add(InputOut, b.Out, bare(err).Error(), "a directory")
		return
	}
	for _, e := range entries {
		other, isArchive := strings.CutPrefix(e.Name(), "archipelago-frontend-")
		if isArchive && other != b.Version+".tar.gz" {
			b.found.Add(InputOut, filepath.Join(b.Out, e.Name()), "another version", "an empty directory")
		}
	}
	if _, err := os.Stat(b.places.manifest); err != nil {
		return
	}
	if m := b.replaced(); m == nil || m.Version != b.Version {
		b.found.Add(InputOut, b.places.manifest, "not of "+b.Version, "an empty directory")
	}
}

func (b *build) checkURL() {
	u, err := url.Parse(b.BaseURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		b.found.Add(InputURL, "--base-url", b.BaseURL, "an http or https URL of a directory")
	}
}

func (b *build) checkChangelog() {
	file, parse := b.Changelog, ParseChangelog
	if file == "" {
		file, parse = "CHANGELOG.md", func(text string) ([]string, error) { return ChangelogSection(text, b.Version) }
	}
	data, err := readText(file)
	if err == nil {
		b.manifest.Changelog, err = parse(string(data))
	}
	if err != nil {
		b.found.Add(InputChangelog, file, bare(err).Error(), "what is new, an entry a line")
	}
}

func readText(path string) ([]byte, error) {
	f, _, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err == nil && len(data) > maxText {
		err = fmt.Errorf("longer than %s", Bytes(maxText))
	}
	return data, err
}

func (b *build) checkTree() {
	b.tree = newTree(b.Require, b.AllowSymlinks)
	b.tree.add(b.Frontend, root)
	b.tree.add(b.AIUI, aiuiDir)
	b.tree.apps(b.Apps)
	b.found.Join(b.tree.found)
	for _, name := range append([]string{indexFile, aiuiIndex, catalogFile}, b.Require...) {
		m, ok := b.tree.members[strings.TrimPrefix(name, "./")]
		switch {
		case !ok || m.kind == typeDir:
			b.found.Add(MemberMissing, name, "not among the inputs", "")
		case m.size == 0 && m.kind == typeFile:
			b.found.Add(MemberEmpty, name, "0 bytes", "")
		}
	}
}

// checkCatalog: the page must list the apps that the catalogue has.
func (b *build) checkCatalog() {
	want, err := readText(b.Catalog)
	if err != nil {
		b.found.Add(InputMissing, b.Catalog, bare(err).Error(), "the catalogue")
		return
	}
	m, ok := b.tree.members[catalogFile]
	if !ok || m.kind != typeFile {
		return // told above
	}
	f, err := m.content()
	if err != nil {
		b.found.Add(InputCatalog, m.label, err.Error(), "")
		return
	}
	defer f.Close()
	have, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err != nil || !bytes.Equal(have, want) {
		b.found.Add(InputCatalog, m.label, "not the same as "+b.Catalog, "the same bytes")
	}
}

func (b *build) checkApps() {
	for _, f := range manifest.LintSources(false, manifest.Source{Prefix: b.Apps}) {
		if f.Severity == manifest.Error {
			b.found.Add(AppManifest, f.File, strings.TrimSpace(strings.TrimPrefix(f.String(), f.File+":")), "")
		}
	}
}

// fillManifest writes down what is known before anything is packed.
func (b *build) fillManifest() {
	m := &b.manifest
	m.Version, m.ReleaseDate, m.MinVersion = b.Version, b.Date, b.MinVersion
	m.Schema, m.Tool, m.SourceDateEpoch = ManifestSchema, b.Tool, b.Epoch
	base := strings.TrimRight(b.BaseURL, "/")
	for _, name := range []string{BackendName, FrontendName(b.Version)} {
		m.Components = append(m.Components, Component{
			Name: name, CurrentVersion: b.Previous, NewVersion: b.Version, DownloadURL: base + "/" + url.PathEscape(name),
		})
	}
}
