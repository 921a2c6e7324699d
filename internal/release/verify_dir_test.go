package release

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestVerifyRelease changes a good release in one place and wants the code of that place.
func TestVerifyRelease(t *testing.T) {
	in := testInputs(t, t.TempDir())
	r := created(t, in)
	good := read(t, r.Manifest)
	archive, binary := read(t, r.Archive), read(t, r.Binary)
	text := func(from, to string) func(*testing.T) {
		return func(t *testing.T) {
			if !bytes.Contains(good, []byte(from)) {
				t.Fatalf("no %s in the manifest", from)
			}
			must(t, os.WriteFile(r.Manifest, bytes.Replace(good, []byte(from), []byte(to), 1), 0o644))
		}
	}
	tests := map[string]struct {
		spoil func(*testing.T)
		codes string
	}{
		"nothing":                    {func(*testing.T) {}, ""},
		"a field that nobody knows":  {text(`"schema"`, `"new_field": [1], "schema"`), ""},
		"not JSON":                   {text(`{`, `<html>`), "E_MANIFEST_JSON"},
		"a second document":          {text("\n}\n", "\n}\n{}"), "E_MANIFEST_JSON"},
		"a field twice":              {text(`"schema"`, `"version": "9.9.9", "schema"`), "E_MANIFEST_JSON"},
		"not UTF-8":                  {text("faster", "f\xffster"), "E_MANIFEST_JSON"},
		"version in capitals only":   {text(`"version"`, `"Version"`), "E_MANIFEST_COMPONENTS E_MANIFEST_FIELD E_MANIFEST_VERSION"},
		"version a number":           {text(`"1.2.3"`, `123`), "E_MANIFEST_COMPONENTS E_MANIFEST_FIELD E_MANIFEST_VERSION"},
		"version with v":             {text(`"1.2.3"`, `"v1.2.3"`), "E_MANIFEST_COMPONENTS E_MANIFEST_VERSION"},
		"new version differs":        {text(`"new_version": "1.2.3"`, `"new_version": "1.2.4"`), "E_MANIFEST_VERSION"},
		"current is not lower":       {text(`"current_version": "0.0.0"`, `"current_version": "1.2.3"`), "E_MANIFEST_VERSION"},
		"date in the future":         {text(`"2026-01-01"`, `"2026-01-03"`), "E_MANIFEST_DATE"},
		"no date":                    {text(`"2026-01-01"`, `"yesterday"`), "E_MANIFEST_DATE"},
		"expires in time":            {text(`"schema"`, `"expires": "2026-01-02T12:00:01Z", "schema"`), ""},
		"expires no time":            {text(`"schema"`, `"expires": "soon", "schema"`), "E_MANIFEST_DATE"},
		"expired":                    {text(`"schema"`, `"expires": "2026-01-01T00:00:00Z", "schema"`), "W_EXPIRED"},
		"changelog a text":           {text("[\n    \"faster\",\n    \"better\"\n  ]", `"faster"`), "E_MANIFEST_FIELD"},
		"no components":              {text(`"components"`, `"parts"`), "E_MANIFEST_COMPONENTS E_MANIFEST_FIELD"},
		"backend of another name":    {text(`"name": "archipelago"`, `"name": "archy"`), "E_FILE_ABSENT E_MANIFEST_COMPONENTS E_MANIFEST_URL"},
		"name that leads out":        {text(`"name": "archipelago"`, `"name": "../archipelago"`), "E_MANIFEST_COMPONENTS E_MANIFEST_URL"},
		"URL of another file":        {text(`v1.2.3/archipelago"`, `v1.2.3/other"`), "E_MANIFEST_URL"},
		"URL without a host":         {text(`https://updates.example/v1.2.3/archipelago"`, `/archipelago"`), "E_MANIFEST_URL"},
		"URL of another kind":        {text(`https://updates.example/v1.2.3/archipelago"`, `file:///archipelago"`), "E_MANIFEST_URL"},
		"digest in capitals":         {text(digestText(binary), strings.ToUpper(digestText(binary))), "E_MANIFEST_FIELD E_SHA256_MISMATCH"},
		"size negative":              {text(`"size_bytes": 4096`, `"size_bytes": -1`), "E_MANIFEST_FIELD E_SIZE_MISMATCH"},
		"size a fraction":            {text(`"size_bytes": 4096`, `"size_bytes": 1.5`), "E_MANIFEST_FIELD E_SIZE_MISMATCH"},
		"size beyond 64 bits":        {text(`"size_bytes": 4096`, `"size_bytes": 99999999999999999999`), "E_MANIFEST_FIELD E_SIZE_MISMATCH"},
		"a later schema":             {text(`"schema": 2`, `"schema": 3`), "E_MANIFEST_FIELD"},
		"a file's digest":            {text(digestText([]byte("<svg/>")), strings.Repeat("0", 64)), "E_FILE_DIGEST"},
		"a file's mode":              {text(`"mode": "0755"`, `"mode": "0644"`), "E_FILE_DIGEST"},
		"a file more":                {text(`"path": "catalog.json"`, `"path": "catalog2.json"`), "E_FILE_ABSENT E_FILE_EXTRA"},
		"files out of order":         {text(`"path": "catalog.json"`, `"path": "zzz.json"`), "E_FILE_ABSENT E_FILE_EXTRA E_MANIFEST_FIELD"},
		"unpacked size":              {text(`"unpacked_bytes": 2`, `"unpacked_bytes": 3`), "E_MANIFEST_FIELD"},
		"backend changed":            {func(t *testing.T) { must(t, os.WriteFile(r.Binary, append(binary[:4095:4095], 1), 0o755)) }, "E_SHA256_MISMATCH"},
		"backend cut":                {func(t *testing.T) { must(t, os.WriteFile(r.Binary, binary[:100], 0o755)) }, "E_SHA256_MISMATCH E_SIZE_MISMATCH"},
		"backend gone":               {func(t *testing.T) { must(t, os.Remove(r.Binary)) }, "E_FILE_ABSENT"},
		"backend a pipe":             {func(t *testing.T) { must(t, os.Remove(r.Binary)); must(t, syscall.Mkfifo(r.Binary, 0o644)) }, "E_FILE_ABSENT"},
		"archive cut":                {func(t *testing.T) { must(t, os.WriteFile(r.Archive, archive[:len(archive)-1], 0o644)) }, "E_SHA256_MISMATCH E_SIZE_MISMATCH E_TRUNCATED"},
		"archive longer":             {func(t *testing.T) { must(t, os.WriteFile(r.Archive, append(bytes.Clone(archive), 0), 0o644)) }, "E_SHA256_MISMATCH E_SIZE_MISMATCH E_TRAILING_DATA"},
		"archive of another release": {func(t *testing.T) { must(t, os.WriteFile(r.Archive, tgz(goodItems()), 0o644)) }, "E_FILE_ABSENT E_FILE_DIGEST E_FILE_EXTRA E_SHA256_MISMATCH E_SIZE_MISMATCH"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			must(t, os.WriteFile(r.Manifest, good, 0o644))
			for path, data := range map[string][]byte{r.Archive: archive, r.Binary: binary} {
				must(t, os.RemoveAll(path))
				must(t, os.WriteFile(path, data, 0o755))
			}
			test.spoil(t)
			result, err := Release{ManifestPath: r.Manifest, Dir: in.Out, Policy: PolicyIfPresent, Target: "amd64", Rules: testRules(), Now: now}.Verify(t.Context())
			must(t, err)
			if got := codes(Report{Findings: result.Findings}); got != test.codes || result.OK == strings.Contains(test.codes, "E_") {
				t.Errorf("codes %s, want %s: %v", got, test.codes, result.Findings[:min(4, len(result.Findings))])
			}
		})
	}
}

// TestOldManifest: what the old script wrote has none of our fields and passes.
func TestOldManifest(t *testing.T) {
	in := testInputs(t, t.TempDir())
	r := created(t, in)
	var all map[string]any
	must(t, json.Unmarshal(read(t, r.Manifest), &all))
	for _, name := range []string{"schema", "source_date_epoch", "tool"} {
		delete(all, name)
	}
	delete(all["components"].([]any)[1].(map[string]any), "files")
	delete(all["components"].([]any)[1].(map[string]any), "unpacked_bytes")
	data, err := json.Marshal(all)
	must(t, err)
	must(t, os.WriteFile(r.Manifest, data, 0o644))
	result, err := Release{ManifestPath: r.Manifest, Dir: in.Out, Policy: PolicyIfPresent, Target: "amd64", Rules: testRules(), Now: now}.Verify(t.Context())
	must(t, err)
	if !result.OK || len(result.Findings) > 0 {
		t.Errorf("%v", result.Findings)
	}
}

func TestVersions(t *testing.T) {
	order := []string{"0.0.0", "0.0.1", "0.9.10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-2", "1.0.0-rc.1", "1.0.0-rc.11", "1.0.0", "1.2.0", "1.10.0", "2.0.0"}
	order[6], order[3], order[4], order[5] = "1.0.0-alpha.beta", "1.0.0-2", "1.0.0-alpha", "1.0.0-alpha.1"
	for i, a := range order {
		for j, b := range order {
			if got := newer(a, b); got != (i > j) {
				t.Errorf("%s newer than %s: %v", a, b, got)
			}
		}
	}
	for _, bad := range []string{"", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.3-", "1.2.3+build", "v1.2.3", "1.2.x", "1.2.3-a..b", " 1.2.3", "1.2.3\n", "9999999999.0.0"} {
		if _, err := ParseVersion(bad); err == nil {
			t.Errorf("%q is taken for a version", bad)
		}
	}
}

func TestChangelogSection(t *testing.T) {
	const text = "# Changelog\n\n## Unreleased\n\n- not yet\n\n## [1.2.3] - 2026-01-01\n\n### Features\n\n- one\n  goes on\n* two\n\n## 1.2.2\n- old\n"
	got, err := ChangelogSection(text, "1.2.3")
	if err != nil || strings.Join(got, "|") != "one goes on|two" {
		t.Errorf("%q %v", got, err)
	}
	if _, err := ChangelogSection(text, "1.2.4"); err == nil {
		t.Error("a section that is not there was found")
	}
}

func TestExtract(t *testing.T) {
	in := testInputs(t, t.TempDir())
	r := created(t, in)
	dir := filepath.Join(t.TempDir(), "web-ui")
	defer syscall.Umask(syscall.Umask(0o077))
	report, err := testRules().Extract(t.Context(), r.Archive, dir)
	if err != nil || !report.OK {
		t.Fatalf("%v %v", err, report.Findings)
	}
	for name, mode := range map[string]os.FileMode{".": 0o755, "assets": 0o755, "index.html": 0o644, "tools/run.sh": 0o755} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if info.Mode().Perm() != mode || info.ModTime().Unix() != 1767225600 {
			t.Errorf("%s: mode %04o, %s", name, info.Mode().Perm(), info.ModTime())
		}
	}
	if !bytes.Equal(read(t, dir+"/assets/app.js"), read(t, in.Frontend+"/assets/app.js")) {
		t.Error("app.js differs")
	}
	if _, err := testRules().Extract(t.Context(), r.Archive, dir); err == nil {
		t.Error("a directory that is there was written into")
	}
}

// TestExtractRefuses: of each hostile archive nothing at all is written.
func TestExtractRefuses(t *testing.T) {
	work := t.TempDir()
	for _, a := range zoo() {
		if !strings.Contains(a.codes, "E_") || a.codes == "E_MTIME_MIXED" {
			continue
		}
		file := filepath.Join(t.TempDir(), "a.tar.gz")
		must(t, os.WriteFile(file, a.archive(), 0o644))
		report, err := a.check().Extract(t.Context(), file, filepath.Join(work, "out"))
		if err != nil || report.OK || namesIn(t, work) != "" {
			t.Fatalf("%s: %v, ok %v, wrote %s", a.name, err, report.OK, namesIn(t, work))
		}
	}
}

// TestExtractLinks: links that stay inside are made as they are.
func TestExtractLinks(t *testing.T) {
	rules := testRules()
	rules.AllowSymlinks = true
	file, dir := filepath.Join(t.TempDir(), "a.tar.gz"), filepath.Join(t.TempDir(), "out")
	must(t, os.WriteFile(file, tgz(plus(link("./x", "assets/app.js"))), 0o644))
	if report, err := rules.Extract(t.Context(), file, dir); err != nil || !report.OK {
		t.Fatalf("%v %v", err, report.Findings)
	}
	if target, err := os.Readlink(dir + "/x"); err != nil || target != "assets/app.js" {
		t.Errorf("%s %v", target, err)
	}
}

// TestExtractDiskFull: a file system that is too small ends with the error and without a directory.
func TestExtractDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	small := t.TempDir()
	if err := syscall.Mount("none", small, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	defer syscall.Unmount(small, 0)
	file := filepath.Join(t.TempDir(), "a.tar.gz")
	must(t, os.WriteFile(file, tgz(plus(item{name: "./x", kind: typeFile, mode: 0o644, mtime: epoch, data: random(3 << 20)})), 0o644))
	if _, err := testRules().Extract(t.Context(), file, small+"/out"); err == nil || !strings.Contains(err.Error(), "no space left") || namesIn(t, small) != "" {
		t.Errorf("%v, left %s", err, namesIn(t, small))
	}
}
