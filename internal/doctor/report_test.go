package doctor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const seed = "abandon ability able about above absent absorb abstract absurd abuse access accident"

// secretsOf are values as a node has them.
var secretsOf = []string{"0123456789abcdef0123456789abcdef", "$2a$10$abcdefghijklmnopqrstuv", seed, `quo"te\d secret`, "tskey-auth-k1/2+3=="}

// TestMask: a secret is hidden in each form in which a program prints it.
func TestMask(t *testing.T) {
	m := NewMask(secretsOf)
	for _, s := range secretsOf {
		for _, text := range []string{
			"password is " + s + ".", s, "X=" + base64.StdEncoding.EncodeToString([]byte(s)), hex.EncodeToString([]byte(s)),
			"https://u:" + url.QueryEscape(s) + "@host/", fmt.Sprintf("%q", s), strings.ToUpper("a ") + s + s,
		} {
			clean := m.Clean(text)
			if strings.Contains(clean, s) || m.Leaks(clean) || !strings.Contains(clean, hidden) {
				t.Errorf("%q is cleaned to %q", text, clean)
			}
		}
	}
	for _, text := range []string{
		"1. abandon 2. ability 3. able 4. about 5. above 6. absent 7. absorb 8. abstract 9. absurd 10. abuse 11. access 12. accident",
		strings.ReplaceAll(seed, " ", "\n"), strings.ToUpper(seed),
	} {
		if clean := m.Clean(text); strings.Contains(strings.ToLower(clean), "ability") {
			t.Errorf("%q is cleaned to %q", text, clean)
		}
	}
}

// TestMaskUnknown: what looks like a secret is hidden whoever made it, and what does not is left.
func TestMaskUnknown(t *testing.T) {
	m := NewMask(nil)
	for _, text := range []string{
		"https://user:planted@host/x", "Authorization: Basic planted12=", `"authorization": "Bearer planted"`, "rpcpassword=planted", "RPCAUTH=planted:x$y",
		`{"password":"planted"}`, "PrivateKey = planted1234", "macaroon: 0201planted", strings.Repeat("0a", 60) + "planted"[:0],
		"-----BEGIN RSA PRIVATE KEY-----\nplanted\n-----END RSA PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nplanted",
	} {
		if clean := m.Clean(text); strings.Contains(clean, "planted") || strings.Contains(clean, "0a0a") {
			t.Errorf("%q is cleaned to %q", text, clean)
		}
	}
	for _, text := range []string{"image docker.io/library/mariadb@sha256:" + strings.Repeat("ab", 32), "the password was refused", "secret files: 12", "Secret=archy.lnd.KEY,type=env"} {
		if clean := m.Clean(text); clean != text {
			t.Errorf("%q is cleaned to %q", text, clean)
		}
	}
}

// TestSaysNoSecret: an error that quotes a secret does not reach the report.
func TestSaysNoSecret(t *testing.T) {
	f := newNode(t)
	f.Mask = NewMask([]string{"planted-secret-1"}).Clean
	f.ConfigErr = errors.New("bad value planted-secret-1")
	f.Publish = func(string) error { return errors.New("planted-secret-1") }
	f.must(os.Chmod(f.at(webUIDir), 0o700))
	for _, r := range f.everybody(Full) {
		if strings.Contains(fmt.Sprintf("%+v", r), "planted-secret-1") {
			t.Errorf("%s says a secret: %+v", r.Code, r)
		}
	}
}

func source(name, text string) Source {
	return Source{Name: name, Read: func(context.Context) (string, error) { return text, nil }}
}

// TestBundle: a report holds its sources, masked, is private, and says what was left out and why.
func TestBundle(t *testing.T) {
	says := source("journal.txt", "value "+secretsOf[0]+"\n")
	says.Says = true
	b := Bundle{Mask: NewMask(secretsOf), Now: time.Now, Sources: []Source{
		source("z.txt", "z"), says, source("a/b.txt", secretsOf[1]),
		{Name: "absent", Read: func(context.Context) (string, error) { return "", fs.ErrNotExist }},
		{Name: "broken", Read: func(context.Context) (string, error) { return "", errors.New("said " + secretsOf[0]) }},
	}}
	path := filepath.Join(t.TempDir(), "report.tar.gz")
	left, err := b.Write(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(left, "|"); got != "absent: there is none|broken: said hidden" {
		t.Errorf("left out: %s", got)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %s", info.Mode())
	}
	files := unpacked(t, path)
	if got := files["journal.txt"] + files["a/b.txt"] + files["z.txt"]; got != "value hidden\nhiddenz" {
		t.Errorf("%q", files)
	}
	for name, text := range files {
		for _, s := range secretsOf {
			if strings.Contains(text, s) {
				t.Errorf("%s holds a secret", name)
			}
		}
	}
}

// TestBundleUnread: a secret that cannot be read cannot be masked, so what programs say stays out.
func TestBundleUnread(t *testing.T) {
	says := source("journal.txt", "value unreadable-secret\n")
	says.Says = true
	b := Bundle{Mask: NewMask(nil), Unread: []string{"lnd-seed"}, Now: time.Now, Sources: []Source{says, source("versions.txt", "1")}}
	path := filepath.Join(t.TempDir(), "report.tar.gz")
	if _, err := b.Write(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	files := unpacked(t, path)
	if files["journal.txt"] != "" || files["versions.txt"] != "1" || !strings.Contains(files["left-out.txt"], "lnd-seed") {
		t.Errorf("%q", files)
	}
}

// TestBundleKeepsTheOld: a report that cannot be written leaves the file of that name as it was.
func TestBundleKeepsTheOld(t *testing.T) {
	b := Bundle{Mask: NewMask(nil), Now: time.Now}
	if _, err := b.Write(t.Context(), filepath.Join(t.TempDir(), "absent", "report.tar.gz")); err == nil {
		t.Error("written into a directory that is not there")
	}
}

func unpacked(t *testing.T, path string) map[string]string {
	t.Helper()
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for in := tar.NewReader(zip); ; {
		h, err := in.Next()
		if err == io.EOF {
			return files
		}
		if err != nil || h.Mode != 0o600 {
			t.Fatalf("%v, %+v", err, h)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(h.Name, "archy-report/")] = string(text)
	}
}

// restorer puts back on a fake node; quiet notes that podman was quiet.
func (f *fake) restorer(live ...string) Restorer {
	return Restorer{Layout: f.Layout, Now: func() time.Time { return now }, Live: func() []string { return live },
		Quiet: func(context.Context) (func(), error) {
			f.calls = append(f.calls, "quiet")
			return func() { f.calls = append(f.calls, "loud") }, nil
		}}
}

// TestRestoreDatabase: all parts of a database go back together, and what is in their place is set aside.
func TestRestoreDatabase(t *testing.T) {
	f := newNode(t)
	const name = "db.sql.20260102T030405Z"
	q, db := f.Layout.State("quarantine"), f.Layout.Data("containers/storage/db.sql")
	f.write(q+"/"+name, "old", 0o600)
	f.write(q+"/db.sql-wal.20260102T030405Z", "old wal", 0o600)
	f.write(q+"/db.sql.20260101T000000Z", "older", 0o600)
	f.write(db, "new", 0o600)
	f.write(db+"-shm", "new shm", 0o600)
	said, err := f.restorer().Restore(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	stamp := now.UTC().Format(quarantineTime)
	for path, want := range map[string]string{db: "old", db + "-wal": "old wal", q + "/db.sql." + stamp: "new", q + "/db.sql-shm." + stamp: "new shm", q + "/db.sql.20260101T000000Z": "older"} {
		if got := f.read(path); got != want {
			t.Errorf("%s holds %q, want %q", path, got, want)
		}
	}
	if f.exists(db+"-shm") || f.exists(q+"/"+name) || len(said) != 4 || strings.Join(f.calls, " ") != "quiet loud" {
		t.Errorf("%v, podman was told %v", said, f.calls)
	}
}

// TestRestoreBeside: what was renamed beside its place goes back there.
func TestRestoreBeside(t *testing.T) {
	f := newNode(t)
	dir := filepath.Join(f.Layout.RuntimeDir, "libpod/tmp")
	f.write(dir+"/pause.pid.archy-20260102T030405Z", "1", 0o600)
	if _, err := f.restorer().Restore(t.Context(), "pause.pid.archy-20260102T030405Z"); err != nil {
		t.Fatal(err)
	}
	if f.read(dir+"/pause.pid") != "1" {
		t.Error("it is not back")
	}
	locks := "/dev/shm/libpod_rootless_lock_" + itoa(f.User.UID)
	f.write(locks+".archy-20260102T030405Z", "old", 0o600)
	f.write(locks, "new", 0o600)
	f.write("/dev/shm/other.archy-20260102T030405Z", "", 0o600)
	if r := f.one("D_QUARANTINE", Report); len(r.Findings) != 1 || !strings.HasPrefix(r.Findings[0].Object, locks) {
		t.Errorf("%+v", r.Findings)
	}
	if _, err := f.restorer().Restore(t.Context(), filepath.Base(locks)+".archy-20260102T030405Z"); err != nil {
		t.Fatal(err)
	}
	if f.read(locks) != "old" || f.read(locks+".archy-"+now.UTC().Format(quarantineTime)) != "new" {
		t.Error("the locks are not back")
	}
}

// TestRestoreRefuses: nothing is touched while containers live, and a name that is not there is told with those that are.
func TestRestoreRefuses(t *testing.T) {
	f := newNode(t)
	const name = "db.sql.20260102T030405Z"
	f.write(f.Layout.State("quarantine/"+name), "old", 0o600)
	before := f.tree()
	var live *LiveError
	if _, err := f.restorer("lnd").Restore(t.Context(), name); !errors.As(err, &live) || live.Live[0] != "lnd" {
		t.Errorf("%v", err)
	}
	var absent *NotFoundError
	for _, wrong := range []string{"db.sql", "../../secrets/bitcoin-rpc-password", "", "db.sql.20260102T030405Z/"} {
		if _, err := f.restorer().Restore(t.Context(), wrong); !errors.As(err, &absent) || len(absent.Have) != 1 || absent.Have[0] != name {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if f.tree() != before || len(f.calls) > 0 {
		t.Errorf("something was touched: %v", f.calls)
	}
}
