package wallet_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/wallet"
)

// certificate is one as LND signs for itself.
func certificate(t *testing.T, names ...string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: names}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TestURI: both parts are base64url without padding, the certificate in its binary form.
func TestURI(t *testing.T) {
	text := certificate(t, "lnd")
	cert, err := wallet.ParseCertificate(text)
	if err != nil {
		t.Fatal(err)
	}
	macaroon := []byte{2, 1, 0xff, 0xfe, 0xfb, 0xf0, 7}
	cred := wallet.Credentials{Certificate: cert, Macaroon: macaroon}
	u, err := url.Parse(cred.URI("192.0.2.10:8080"))
	if err != nil || u.Scheme != "lndconnect" || u.Host != "192.0.2.10:8080" {
		t.Fatalf("%v, %v", u, err)
	}
	for key, want := range map[string][]byte{"cert": cert.Raw, "macaroon": macaroon} {
		got, err := base64.RawURLEncoding.DecodeString(u.Query().Get(key))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if cred.PEM() != string(text) {
		t.Errorf("the certificate reads %s", cred.PEM())
	}
}

func TestCertificateProblem(t *testing.T) {
	for want, names := range map[string][]string{"": {"localhost", "lnd"}, "remove /d/lnd/tls.cert and /d/lnd/tls.key": {"localhost"}} {
		cert, err := wallet.ParseCertificate(certificate(t, names...))
		if err != nil {
			t.Fatal(err)
		}
		if got := wallet.CertificateProblem(cert, "/d/lnd"); !strings.Contains(got, want) || (got != "") != (want != "") {
			t.Errorf("%q: %q", names, got)
		}
	}
}

// runner is sudo.
type runner struct {
	content string
	err     error
	argv    [][]string
	limit   time.Duration
}

func (r *runner) Run(_ context.Context, c command.Cmd) (command.Result, error) {
	r.argv, r.limit = append(r.argv, c.Argv), c.Limit
	return command.Result{Stdout: []byte(r.content)}, r.err
}

type mapped struct {
	content string
	err     error
}

func (m mapped) ReadFile(context.Context, string) ([]byte, error) { return []byte(m.content), m.err }

// TestReader: directly, then podman unshare, then sudo -n, and nothing is changed on the way.
func TestReader(t *testing.T) {
	denied := errors.New("permission denied")
	dir := t.TempDir()
	open, closed := filepath.Join(dir, "open"), "/closed"
	if err := os.WriteFile(open, []byte("direct"), 0o600); err != nil {
		t.Fatal(err)
	}
	sudo := &runner{content: "sudo"}
	if got, err := (wallet.Reader{Mapped: mapped{err: denied}, Runner: sudo}).ReadFile(t.Context(), open); err != nil || string(got) != "direct" || len(sudo.argv) > 0 {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := (wallet.Reader{Mapped: mapped{err: denied}, Runner: sudo}).ReadFile(t.Context(), open+"no"); !errors.Is(err, fs.ErrNotExist) || len(sudo.argv) > 0 {
		t.Errorf("a missing file: %v", err)
	}
	for _, c := range []struct {
		name   string
		mapped mapped
		sudo   *runner
		want   string
		err    error
	}{
		{"podman unshare", mapped{content: "mapped"}, &runner{}, "mapped", nil},
		{"not there in the namespace", mapped{err: fs.ErrNotExist}, &runner{}, "", fs.ErrNotExist},
		{"sudo", mapped{err: denied}, &runner{content: "sudo"}, "sudo", nil},
		{"not there for root", mapped{err: denied}, &runner{err: &command.ExitError{Stderr: "cat: x: No such file or directory"}}, "", fs.ErrNotExist},
		{"nobody may", mapped{err: denied}, &runner{err: &command.ExitError{Stderr: "sudo: a password is required"}}, "", fs.ErrPermission},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := wallet.Reader{Direct: func(path string) ([]byte, error) {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
			}, Mapped: c.mapped, Runner: c.sudo}.ReadFile(t.Context(), closed)
			if c.err == nil && (err != nil || string(got) != c.want) || c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("%q, %v", got, err)
			}
			if len(c.sudo.argv) > 0 && (fmt.Sprint(c.sudo.argv) != fmt.Sprintf("[[sudo -n cat -- %s]]", closed) || c.sudo.limit != 10*time.Second) {
				t.Errorf("ran %q with %s", c.sudo.argv, c.sudo.limit)
			}
		})
	}
}

func TestCredentialsThatAreMissing(t *testing.T) {
	dir := t.TempDir()
	reader := wallet.Reader{Mapped: mapped{err: fs.ErrNotExist}, Runner: &runner{}}
	problem := func(err error, code, words string) {
		t.Helper()
		var p *wallet.Problem
		if !errors.As(err, &p) || p.Code != code || !strings.Contains(p.Text, words) || p.Hint == "" || strings.Contains(p.Text+p.Hint, dir) {
			t.Errorf("%#v, want %s", err, code)
		}
	}
	_, err := wallet.ReadCertificate(t.Context(), reader, dir, "/d/lnd")
	problem(err, "no-certificate", "/d/lnd/tls.cert is missing")
	touch(t, wallet.Certificate(dir))
	_, err = wallet.ReadCertificate(t.Context(), reader, dir, "/d/lnd")
	problem(err, "no-certificate", "no certificate in PEM form")
	_, err = wallet.ReadMacaroon(t.Context(), reader, dir, "/d/lnd")
	problem(err, "no-macaroon", "admin.macaroon is missing")
	touch(t, wallet.Macaroon(dir))
	if err := os.Truncate(wallet.Macaroon(dir), 0); err != nil {
		t.Fatal(err)
	}
	_, err = wallet.ReadMacaroon(t.Context(), reader, dir, "/d/lnd")
	problem(err, "no-macaroon", "admin.macaroon is missing")
}

func TestCheckState(t *testing.T) {
	for state, code := range map[string]string{"NON_EXISTING": "no-wallet", "LOCKED": "locked", "RPC_ACTIVE": "", "SERVER_ACTIVE": ""} {
		f := newLND(t, state)
		err := wallet.CheckState(t.Context(), strings.TrimPrefix(f.URL, "https://"), f.Certificate())
		var p *wallet.Problem
		if code == "" && err != nil || code != "" && (!errors.As(err, &p) || p.Code != code || p.Hint == "") {
			t.Errorf("%s: %v", state, err)
		}
	}
	f := newLND(t, "RPC_ACTIVE")
	other, err := wallet.ParseCertificate(certificate(t, "lnd"))
	if err != nil {
		t.Fatal(err)
	}
	var p *wallet.Problem
	if err := wallet.CheckState(t.Context(), strings.TrimPrefix(f.URL, "https://"), other); !errors.As(err, &p) || p.Code != "certificate" {
		t.Errorf("another certificate: %v", err)
	}
	f.Close()
	if err := wallet.CheckState(t.Context(), strings.TrimPrefix(f.URL, "https://"), f.Certificate()); !errors.As(err, &p) || p.Code != "not-answering" {
		t.Errorf("nobody: %v", err)
	}
}

func TestReadOnion(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lnd-rest")
	for text, want := range map[string]string{"abc234.onion\n": "abc234.onion", "": "", "not a name\n": "", "evil/x.onion": ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := wallet.ReadOnion(file); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestCheckHost(t *testing.T) {
	for host, good := range map[string]bool{"node.local": true, "192.0.2.10": true, "2001:db8::1": true, "": false, "a b": false, "host:80": false, "a/b": false, "x@y": false, "a?b": false} {
		if err := wallet.CheckHost(host); (err == nil) != good {
			t.Errorf("%q: %v", host, err)
		}
	}
}
