package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
)

const (
	indexFile   = "index.html"
	catalogFile = "catalog.json"
	aiuiDir     = "aiui"
	aiuiIndex   = "aiui/index.html"
	assetsDir   = "assets"
	runtimeDir  = "archipelago-runtime"
	appsDir     = "archipelago-runtime/apps"
	appFile     = "manifest.yml"
)

// members knows what must be in an archive and what was there.
type members struct {
	required []string
	sizes    map[string]int64 // of the required ones that were seen
	script   bool             // assets/ holds a .js
	assets   []string         // what index.html names
	apps     map[string][]byte
	appBytes int
	listed   *contents // nil: not known
	seen     map[string]bool
}

func newMembers(r Rules) *members {
	m := &members{required: []string{indexFile, aiuiIndex, catalogFile}, sizes: map[string]int64{}, apps: map[string][]byte{}}
	for _, name := range r.Require {
		m.required = append(m.required, strings.TrimPrefix(name, "./"))
	}
	if m.listed = r.packing; m.listed == nil && r.Frontend != nil && r.Frontend.Files != nil {
		m.listed = newContents(r.Frontend.Files)
		m.listed.finish()
	}
	if m.listed != nil {
		m.seen = map[string]bool{}
	}
	return m
}

func (m *members) requires(name string) bool {
	for _, r := range m.required {
		if r == name {
			return true
		}
	}
	return false
}

// appOf is the id when the path is the manifest of an app.
func appOf(name string) (id string, ok bool) {
	dir, file := path.Split(name)
	up, id := path.Split(strings.TrimSuffix(dir, "/"))
	return id, file == appFile && up == appsDir+"/" && id != ""
}

// take reads an entry: remembers links, and of files what the checks at the end want to know.
func (v *pass) take(name string, h *header) error {
	switch h.kind {
	case typeDir:
		return v.takeDirectory(name, h)
	case typeSymlink:
		return v.takeLink(name, h)
	}
	if v.members.requires(name) {
		v.members.sizes[name] = h.size
	}
	if strings.HasPrefix(name, assetsDir+"/") && strings.HasSuffix(name, ".js") {
		v.members.script = true
	}
	return v.content(name, h)
}

func (v *pass) takeDirectory(name string, h *header) error {
	if v.rules.sink == nil {
		return nil
	}
	return v.rules.sink.directory(name, h)
}

// content sends what a file holds to whoever wants it: the digest, the checks of its text, the sink.
func (v *pass) content(name string, h *header) error {
	var to []io.Writer
	var sum hash.Hash
	if v.members.listed != nil {
		sum = sha256.New()
		to = append(to, sum)
	}
	text := v.text(name, h)
	if text != nil {
		to = append(to, text)
	}
	done := func() error { return nil }
	if v.rules.sink != nil {
		w, end, err := v.rules.sink.file(name, h)
		if err != nil {
			return err
		}
		to, done = append(to, w), end
	}
	if len(to) == 0 {
		return nil // the reader skips it
	}
	if _, err := io.CopyBuffer(onlyWriter{io.MultiWriter(to...)}, v.tar, v.buffer()); err != nil {
		return err
	}
	if sum != nil {
		v.compare(name, h, hex.EncodeToString(sum.Sum(nil)))
	}
	if text != nil {
		v.read(name, text.Bytes())
	}
	return done()
}

// onlyWriter hides ReadFrom, so that the buffer given is the one used.
type onlyWriter struct{ io.Writer }

func (v *pass) buffer() []byte {
	if v.copying == nil {
		v.copying = make([]byte, 128<<10)
	}
	return v.copying
}

// text is where the content of a file goes whose text is checked; nil for others and for those that are too long.
func (v *pass) text(name string, h *header) *bytes.Buffer {
	_, app := appOf(name)
	switch {
	case app && h.size > maxManifest:
		v.found.Add(AppManifest, name, Bytes(h.size), "at most "+Bytes(maxManifest))
	case app && v.members.appBytes+int(h.size) > maxManifests:
		v.found.Add(AppManifest, name, "the manifests are too long together", "at most "+Bytes(maxManifests))
	case app:
		v.members.appBytes += int(h.size)
		return &bytes.Buffer{}
	case name != indexFile && name != catalogFile:
	case h.size > maxText:
		v.found.Add(MemberInvalid, name, Bytes(h.size), "at most "+Bytes(maxText))
	default:
		return &bytes.Buffer{}
	}
	return nil
}

// read looks at the text of a member.
func (v *pass) read(name string, data []byte) {
	switch name {
	case indexFile:
		v.members.assets = assetsOf(data)
	case catalogFile:
		if len(data) > 0 && !json.Valid(data) {
			v.found.Add(MemberInvalid, name, "not JSON", "")
		}
	default:
		id, _ := appOf(name)
		v.members.apps[id] = data
	}
}

// compare holds a file to the manifest's list.
func (v *pass) compare(name string, h *header, sum string) {
	want := v.members.listed.get(name)
	if want == nil {
		v.found.Add(FileExtra, name, "not in the manifest's list", "")
		return
	}
	v.members.seen[name] = true
	var have, wants []string
	differ := func(a, b string) {
		if a != b {
			have, wants = append(have, a), append(wants, b)
		}
	}
	differ(fmt.Sprintf("mode %04o", h.mode&0o7777), "mode "+want.Mode)
	differ(fmt.Sprintf("size %d", h.size), fmt.Sprintf("size %d", want.Size))
	differ("sha256 "+sum, "sha256 "+want.SHA256)
	if have != nil {
		v.found.Add(FileDigest, name, strings.Join(have, ", "), strings.Join(wants, ", "))
	}
}

// finish is what can only be said when everything was seen. compressed is the length of the file.
func (v *pass) finish(compressed int64) {
	if v.inflated.n > v.rules.Limits.Ratio*compressed {
		v.found.Addf(LimitRatio, "", "", "more than %d times the compressed size", v.rules.Limits.Ratio)
	}
	if v.names.kind(root) == 0 {
		v.found.Add(RootMissing, "./", "no entry for the archive's own directory", "the first entry, 0755")
	}
	v.finishMembers()
	v.resolveLinks()
	v.finishApps()
	if v.members.listed == nil {
		return
	}
	for _, path := range slices.Sorted(maps.Keys(v.members.listed.all())) {
		if !v.members.seen[path] {
			v.found.Add(FileAbsent, path, "not in the archive", "")
		}
	}
}

func (v *pass) finishMembers() {
	for _, name := range v.members.required {
		size, seen := v.members.sizes[name]
		switch {
		case !seen:
			v.found.Add(MemberMissing, name, "not in the archive", "")
		case size == 0:
			v.found.Add(MemberEmpty, name, "0 bytes", "")
		}
	}
	if !v.members.script {
		v.found.Add(MemberMissing, assetsDir+"/*.js", "not in the archive", "at least one script")
	}
	for _, name := range v.members.assets {
		if end, err := v.follow(name); err != nil || v.names.kind(end) != typeFile {
			v.found.Add(AssetMissing, name, "named by index.html, not in the archive", "")
		}
	}
}

// finishApps checks the manifests of all apps together: one may need another.
func (v *pass) finishApps() {
	if len(v.members.apps) == 0 {
		v.found.Add(MemberMissing, appsDir+"/*/"+appFile, "not in the archive", "at least one app")
		return
	}
	for _, f := range manifest.LintTexts(appsDir, v.members.apps) {
		if f.Severity == manifest.Error {
			have := strings.TrimPrefix(f.String(), f.File+":")
			v.found.Add(AppManifest, f.File, strings.TrimSpace(have), "")
		}
	}
}
