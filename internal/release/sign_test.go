package release

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// quickKDF takes no time; quickKey is a key of the tests.
var quickKDF = kdf{ops: 32768, mem: 1 << 20, n: 1 << 10, r: 8, p: 1}

func quickKey(t testing.TB, name string) (*Key, Keys) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, quickKDF.generate(path, "open sesame", rand.Reader))
	key, err := OpenKey(path+".key", func() (string, error) { return "open sesame", nil })
	must(t, err)
	keys, err := ReadKeys([]string{path + ".pub"})
	must(t, err)
	return key, keys
}

func testManifest(version string) (*Manifest, []byte) {
	m := &Manifest{Version: version, ReleaseDate: "2026-01-01", Changelog: []string{"new"}, Schema: 2}
	data, err := m.Encode()
	if err != nil {
		panic(err)
	}
	return m, data
}

func TestSignature(t *testing.T) {
	key, keys := quickKey(t, "a")
	other, otherKeys := quickKey(t, "b")
	m, data := testManifest("1.2.3")
	older, olderData := testManifest("1.2.2")
	sign := func(k *Key, m *Manifest, data []byte) []byte {
		s, err := k.Sign(m, data)
		must(t, err)
		return s
	}
	good := sign(key, m, data)
	// The same key signs the same bytes, but says of them that they are another version.
	renamed := sign(key, &Manifest{Version: "1.2.4", ReleaseDate: m.ReleaseDate}, data)
	tests := map[string]struct {
		keys      Keys
		policy    Policy
		signature []byte
		codes     string
	}{
		"good":                       {keys, PolicyAlways, good, ""},
		"one of several keys":        {append(otherKeys[:1:1], keys...), PolicyAlways, good, ""},
		"none, never":                {nil, PolicyNever, nil, ""},
		"none, if present":           {keys, PolicyIfPresent, nil, ""},
		"none, always":               {keys, PolicyAlways, nil, "E_SIGNATURE_MISSING"},
		"wrong, never":               {keys, PolicyNever, []byte("x"), ""},
		"unknown key":                {keys, PolicyIfPresent, sign(other, m, data), "E_SIGNATURE_KEY"},
		"no keys":                    {nil, PolicyIfPresent, good, "E_SIGNATURE_KEY"},
		"not a signature":            {keys, PolicyIfPresent, []byte("hello"), "E_SIGNATURE_INVALID"},
		"empty":                      {keys, PolicyIfPresent, []byte{}, "E_SIGNATURE_INVALID"},
		"of another manifest":        {keys, PolicyIfPresent, sign(key, older, olderData), "E_SIGNATURE_INVALID"},
		"comment changed":            {keys, PolicyIfPresent, []byte(strings.Replace(string(good), "version=1.2.3", "version=1.2.9", 1)), "E_SIGNATURE_INVALID"},
		"version in the comment":     {keys, PolicyIfPresent, renamed, "E_SIGNATURE_COMMENT"},
		"key id changed, same bytes": {otherKeys, PolicyAlways, good, "E_SIGNATURE_KEY"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			found := test.keys.Check(test.policy, m, data, test.signature)
			if got := codes(Report{Findings: found.List}); got != test.codes {
				t.Errorf("codes %q, want %q", got, test.codes)
			}
		})
	}
	if text := string(good); !strings.Contains(text, "\ntrusted comment: archipelago version=1.2.3 date=2026-01-01 sha256="+digestText(data)+"\n") {
		t.Errorf("signature:\n%s", text)
	}
}

func digestText(data []byte) string {
	to := newTally(discard{})
	_, _ = to.Write(data)
	return digest(to.sum)
}

func TestWrongPassword(t *testing.T) {
	name := filepath.Join(t.TempDir(), "k")
	must(t, quickKDF.generate(name, "right", rand.Reader))
	if _, err := OpenKey(name+".key", func() (string, error) { return "wrong", nil }); !errors.Is(err, ErrPassword) {
		t.Errorf("error %v", err)
	}
	info, err := os.Stat(name + ".key")
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %04o", info.Mode().Perm())
	}
	before := read(t, name+".key")
	if err := quickKDF.generate(name, "other", rand.Reader); !errors.Is(err, os.ErrExist) || string(before) != string(read(t, name+".key")) {
		t.Errorf("an existing key was replaced: %v", err)
	}
}

func TestKeyFromElsewhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	must(t, os.WriteFile(path, []byte("untrusted comment: x\nAAAA\n"), 0o600))
	if _, err := OpenKey(path, nil); err == nil || !strings.Contains(err.Error(), "no private key") {
		t.Errorf("error %v", err)
	}
	greedy := kdf{ops: 1 << 40, mem: 1 << 40, n: 1 << 10, r: 8, p: 1}
	must(t, greedy.generate(path+"2", "x", rand.Reader))
	if _, err := OpenKey(path+"2.key", func() (string, error) { return "x", nil }); err == nil || !strings.Contains(err.Error(), "1.0 GiB") {
		t.Errorf("a key that wants a terabyte: %v", err)
	}
}

// TestKeyOfFullStrength: what keygen writes is what the other side derives from the file's own numbers.
func TestKeyOfFullStrength(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 1 GiB")
	}
	name := filepath.Join(t.TempDir(), "k")
	must(t, GenerateKey(name, "pass", rand.Reader))
	key, err := OpenKey(name+".key", func() (string, error) { return "pass", nil })
	must(t, err)
	keys, err := ReadKeys([]string{name + ".pub"})
	must(t, err)
	m, data := testManifest("1.2.3")
	signature, err := key.Sign(m, data)
	must(t, err)
	if found := keys.Check(PolicyAlways, m, data, signature); found.Errors > 0 {
		t.Errorf("%v", found.List)
	}
}

// TestMinVersion: a release may say from which version on it can be installed directly.
func TestMinVersion(t *testing.T) {
	in := testInputs(t, t.TempDir())
	in.MinVersion = "1.2.0"
	r := created(t, in)
	for installed, want := range map[string]string{"": "", "1.1.9": "E_MANIFEST_VERSION", "1.2.0-rc.1": "E_MANIFEST_VERSION", "1.2.0": "", "1.2.2": ""} {
		check := Release{ManifestPath: r.Manifest, Dir: in.Out, Target: "amd64", Rules: testRules(), Now: now, Installed: installed, AllowDowngrade: true}
		if result, err := check.Verify(t.Context()); err != nil || codes(Report{Findings: result.Findings}) != want {
			t.Errorf("installed %q: %v %+v", installed, err, result.Findings)
		}
	}
}

// TestSignedRelease: create signs, verify accepts; a release that is older than the installed one needs to be asked for.
func TestSignedRelease(t *testing.T) {
	key, keys := quickKey(t, "k")
	in := testInputs(t, t.TempDir())
	in.Key = key
	r := created(t, in)
	check := Release{ManifestPath: r.Manifest, Dir: in.Out, Keys: keys, Policy: PolicyAlways, Target: "amd64", Rules: testRules(), Now: now, Installed: "1.2.2"}
	if result, err := check.Verify(t.Context()); err != nil || !result.OK || !result.Signed {
		t.Errorf("%v %+v", err, result)
	}
	check.Installed = "1.2.3"
	if result, err := check.Verify(t.Context()); err != nil || codes(Report{Findings: result.Findings}) != "E_MANIFEST_VERSION" {
		t.Errorf("%v %+v", err, result.Findings)
	}
	check.AllowDowngrade = true
	if result, err := check.Verify(t.Context()); err != nil || !result.OK {
		t.Errorf("%v %+v", err, result.Findings)
	}
	must(t, os.Remove(r.Signature))
	if result, err := check.Verify(t.Context()); err != nil || codes(Report{Findings: result.Findings}) != "E_SIGNATURE_MISSING" {
		t.Errorf("%v %+v", err, result.Findings)
	}
}
