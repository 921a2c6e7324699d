package release

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// FuzzVerify gives the reader anything. Half of what it makes is packed as gzip first, so that it gets past the
// compression. A pass ends, says the same twice, and what GNU tar and the others would unpack differently is not clean.
func FuzzVerify(f *testing.F) {
	for _, a := range zoo() {
		if data := a.archive(); len(data) < 64<<10 {
			f.Add(data, false)
		}
		if a.items != nil {
			if data := tarOf(a.items); len(data) < 64<<10 {
				f.Add(data, true)
			}
		}
	}
	f.Add(tgz(goodItems()), false)
	f.Add(tarOf(goodItems()), true)
	f.Fuzz(func(t *testing.T, data []byte, pack bool) {
		if pack {
			data = gz(data)
		}
		rules := testRules()
		rules.AllowSymlinks = true
		rules.Limits.Unpacked = 8 << 20
		r := verify(t, rules, data)
		if r.Size != int64(len(data)) || r.SHA256 != digestText(data) {
			t.Errorf("read %d of %d bytes", r.Size, len(data))
		}
		if again := verify(t, rules, data); codes(again) != codes(r) {
			t.Errorf("first %s, then %s", codes(r), codes(again))
		}
		for _, finding := range r.Findings {
			if text := finding.String(); strings.ContainsAny(text, "\x1b\n\r\x00") {
				t.Errorf("finding %q", text)
			}
		}
		if r.OK {
			extractable(t, rules, data)
		}
	})
}

// extractable: what is clean can be unpacked, and stays where it is unpacked.
func extractable(t *testing.T, rules Rules, data []byte) {
	work := t.TempDir()
	must(t, os.WriteFile(work+"/a.tar.gz", data, 0o600))
	must(t, os.Mkdir(work+"/in", 0o700))
	if report, err := rules.Extract(t.Context(), work+"/a.tar.gz", work+"/in/out"); err != nil || !report.OK {
		t.Errorf("clean, but not unpacked: %v %v", err, report.Findings)
	}
	if got := namesIn(t, work) + " " + namesIn(t, work+"/in"); got != "a.tar.gz in out" {
		t.Errorf("unpacked %s", got)
	}
}

// FuzzManifest: whatever comes, it ends; what is accepted reads the same after it was written.
func FuzzManifest(f *testing.F) {
	in := testInputs(f, f.TempDir())
	f.Add(read(f, created(f, in).Manifest))
	_, small := testManifest("1.2.3")
	f.Add(small)
	for _, text := range []string{"", "{}", "[]", "null", `{"version":1}`, `{"components":[{},{}]}`, `{"components":[null,1,2]}`, `{"a":1,"a":2}`, "{\"version\":\"\xff\"}", strings.Repeat("[", 9999)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, found := ReadManifest(data)
		if m == nil {
			if found.Errors == 0 {
				t.Error("nothing read and nothing wrong")
			}
			return
		}
		found.Join(m.Check(now))
		if found.Errors > 0 {
			return
		}
		if !json.Valid(data) || m.Frontend() == nil || !goodDigest(m.Backend().SHA256) {
			t.Errorf("accepted %s", data)
		}
		first, err := m.Encode()
		must(t, err)
		again, found := ReadManifest(first)
		found.Join(again.Check(now))
		second, err := again.Encode()
		must(t, err)
		if found.Errors > 0 || !bytes.Equal(first, second) {
			t.Errorf("written and read again: %v", found.List)
		}
	})
}
