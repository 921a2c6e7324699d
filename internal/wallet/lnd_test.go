package wallet_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/wallet"
)

const words = "abandon ability able about above absent absorb abstract absurd abuse access accident " +
	"account accuse achieve acid acoustic acquire across act action actor actress actual"

// fakeLND answers the part of LND's REST that needs no macaroon, with LND's own words.
type fakeLND struct {
	*httptest.Server
	vault *secrets.Store
	dir   string

	mu       sync.Mutex
	state    string
	password string // that opens the wallet
	starting int    // so many answers are "not ready"
	slow     int    // so many looks show UNLOCKED before the RPC server is up
	// deaf leaves a question without an answer, after it had its effect when heard is set.
	deaf  string
	heard bool
	calls []string
	seed  string // the words that the wallet was made of
	stuck bool   // the wallet is open, the RPC server never comes up
}

func newLND(t *testing.T, state string) *fakeLND {
	t.Helper()
	f := &fakeLND{state: state, dir: t.TempDir()}
	f.Server = httptest.NewUnstartedServer(f)
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	f.StartTLS()
	t.Cleanup(f.Close)
	f.vault = &secrets.Store{Dir: filepath.Join(t.TempDir(), "secrets"), UID: os.Getuid(), GID: os.Getgid()}
	if err := f.vault.Init(); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fakeLND) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})
}

func (f *fakeLND) client() wallet.LND {
	return wallet.LND{Address: strings.TrimPrefix(f.URL, "https://"), Dir: "/data/lnd", Vault: f.vault, MayCreate: true, Pause: time.Millisecond, Patience: 5 * time.Second,
		Certificate: func(context.Context) ([]byte, error) { return f.pem(), nil },
		Trace:       func(context.Context) (string, error) { return wallet.Trace(f.dir), nil }}
}

func (f *fakeLND) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	call := r.Method + " " + r.URL.Path
	body, _ := io.ReadAll(r.Body)
	if call != "GET /v1/state" {
		f.calls = append(f.calls, strings.TrimPrefix(call, r.Method+" /v1/"))
	}
	if f.starting > 0 {
		f.starting--
		fail(w, http.StatusServiceUnavailable, "the RPC server is in the process of starting up, but not yet ready to accept calls")
		return
	}
	if f.deaf == r.URL.Path {
		f.deaf = ""
		if f.heard {
			f.answer(httptest.NewRecorder(), call, body)
		}
		panic(http.ErrAbortHandler)
	}
	f.answer(w, call, body)
}

func (f *fakeLND) answer(w http.ResponseWriter, call string, body []byte) {
	var q struct {
		Password []byte   `json:"wallet_password"`
		Words    []string `json:"cipher_seed_mnemonic"`
	}
	_ = json.Unmarshal(body, &q)
	switch call {
	case "GET /v1/state":
		f.tick()
		reply(w, map[string]any{"state": f.state})
	case "GET /v1/genseed":
		reply(w, map[string]any{"cipher_seed_mnemonic": strings.Fields(words)})
	case "POST /v1/initwallet":
		if f.state != "NON_EXISTING" {
			fail(w, 500, "wallet already exists")
			return
		}
		f.password, f.seed = string(q.Password), strings.Join(q.Words, " ")
		f.state = "UNLOCKED"
		reply(w, map[string]any{"admin_macaroon": "AgE="})
	case "POST /v1/unlockwallet":
		switch {
		case f.state != "LOCKED":
			fail(w, 500, "wallet already unlocked, WalletUnlocker service is no longer available")
		case string(q.Password) != f.password:
			fail(w, 500, "invalid passphrase for master public key")
		default:
			f.state = "UNLOCKED"
			reply(w, map[string]any{})
		}
	default:
		fail(w, 404, "Not Found")
	}
}

// tick is LND's own way from an open wallet to an RPC server.
func (f *fakeLND) tick() {
	switch {
	case f.stuck || f.state != "UNLOCKED":
	case f.slow > 0:
		f.slow--
	default:
		f.state = "RPC_ACTIVE"
	}
}

func reply(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func fail(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	reply(w, map[string]any{"code": 2, "message": text, "details": []any{}})
}

// put writes a secret as its owner would.
func (f *fakeLND) put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(f.vault.Path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (f *fakeLND) read(name string) string {
	v, _ := f.vault.Read(name)
	return v.Reveal()
}

// secretsOf are the names in the secrets directory, with their modes.
func (f *fakeLND) secretsOf(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(f.vault.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
		names = append(names, e.Name())
	}
	return names
}

// silent fails when what is told holds a secret.
func (f *fakeLND) silent(t *testing.T, report wallet.Report, err error) {
	t.Helper()
	told := fmt.Sprintf("%+v %#v %v", report, report, err)
	for _, s := range []string{f.password, f.read("lnd-wallet-password"), f.read("lnd-wallet-password-legacy"), "abandon ability"} {
		if s != "" && strings.Contains(told, s) {
			t.Errorf("it tells a secret: %s", told)
		}
	}
}

func TestAWalletIsMadeOnce(t *testing.T) {
	f := newLND(t, "NON_EXISTING")
	f.starting, f.slow = 3, 2
	report, err := f.client().Ensure(t.Context())
	f.silent(t, report, err)
	if err != nil || !strings.Contains(report.Did, "wallet made") || !strings.Contains(report.Did, "lnd-seed") {
		t.Fatalf("%+v, %v", report, err)
	}
	if f.state != "RPC_ACTIVE" || f.seed != words || len(f.password) != 64 {
		t.Errorf("state %s, seed %q, password of %d characters", f.state, f.seed, len(f.password))
	}
	if f.read("lnd-seed") != words || f.read("lnd-wallet-password") != f.password {
		t.Error("what is stored is not what the wallet was made with")
	}
	if got := f.secretsOf(t); !slices.Equal(got, []string{"lnd-seed", "lnd-wallet-password"}) {
		t.Errorf("secrets: %q", got)
	}
	calls := len(f.calls)
	if report, err := f.client().Ensure(t.Context()); err != nil || report.Did != "" || len(f.calls) != calls {
		t.Errorf("the second time: %+v, %v, %q", report, err, f.calls)
	}
	if want := []string{"genseed", "initwallet"}; !slices.Equal(dropped(f.calls), want) {
		t.Errorf("asked %q, want %q", f.calls, want)
	}
}

// dropped leaves repeated questions out.
func dropped(list []string) []string { return slices.Compact(slices.Clone(list)) }

// TestTheSeedIsOnTheDiskFirst: LND hears of no words that are not stored, whatever ends archy in between.
func TestTheSeedIsOnTheDiskFirst(t *testing.T) {
	f := newLND(t, "NON_EXISTING")
	inner := f.Config.Handler
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/initwallet" {
			body, _ := io.ReadAll(r.Body)
			if f.read("lnd-seed") != words {
				t.Error("initwallet comes before the seed is stored")
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		inner.ServeHTTP(w, r)
	})
	if _, err := f.client().Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// killer is a vault whose process ends after the nth write.
type killer struct {
	*secrets.Store
	after int
}

var errKilled = errors.New("killed")

func (k *killer) count(err error) error {
	if k.after--; err == nil && k.after < 0 {
		return errKilled
	}
	return err
}

func (k *killer) Generate(name string, kind secrets.Kind) (secrets.Value, bool, error) {
	v, created, err := k.Store.Generate(name, kind)
	return v, created, k.count(err)
}

func (k *killer) Keep(name string, v secrets.Value) (secrets.Value, bool, error) {
	kept, created, err := k.Store.Keep(name, v)
	return kept, created, k.count(err)
}

func (k *killer) Take(name string, v secrets.Value) (string, error) {
	backup, err := k.Store.Take(name, v)
	return backup, k.count(err)
}

// TestKilledWhileAWalletIsMade: the next run makes the wallet of the seed and the password that lie there.
func TestKilledWhileAWalletIsMade(t *testing.T) {
	for after, at := range []string{"after the password", "after the seed"} {
		t.Run(at, func(t *testing.T) {
			f := newLND(t, "NON_EXISTING")
			client := f.client()
			client.Vault = &killer{f.vault, after}
			if _, err := client.Ensure(t.Context()); !errors.Is(err, errKilled) || slices.Contains(f.calls, "initwallet") {
				t.Fatalf("%v after %q", err, f.calls)
			}
			password, seed := f.read("lnd-wallet-password"), f.read("lnd-seed")
			if (seed != "") != (after == 1) {
				t.Fatalf("the seed is %d bytes", len(seed))
			}
			f.calls = nil
			report, err := f.client().Ensure(t.Context())
			if err != nil || strings.Contains(report.Did, "already") != (seed != "") {
				t.Fatalf("%q, %v: are the words new?", report.Did, err)
			}
			if f.password != password || f.seed != f.read("lnd-seed") || seed != "" && (f.seed != seed || slices.Contains(f.calls, "genseed")) {
				t.Errorf("the wallet was made of other secrets; asked %q", f.calls)
			}
		})
	}
}

// TestInitwalletWithoutAnAnswer: whether LND heard it or not, no second wallet and no second seed are made.
func TestInitwalletWithoutAnAnswer(t *testing.T) {
	for _, heard := range []bool{true, false} {
		t.Run(fmt.Sprintf("heard %v", heard), func(t *testing.T) {
			f := newLND(t, "NON_EXISTING")
			f.deaf, f.heard = "/v1/initwallet", heard
			client := f.client()
			client.Patience = 300 * time.Millisecond
			report, err := client.Ensure(t.Context())
			switch {
			case heard && (err != nil || !strings.Contains(report.Did, "made")):
				t.Errorf("%+v, %v", report, err)
			case !heard && (!errors.Is(err, wallet.ErrNotReady) || report.Did != ""):
				t.Errorf("%+v, %v", report, err)
			}
			if _, err := f.client().Ensure(t.Context()); err != nil || f.seed != f.read("lnd-seed") || f.state != "RPC_ACTIVE" {
				t.Errorf("the next run: %v, state %s", err, f.state)
			}
			if n := len(slices.DeleteFunc(slices.Clone(f.calls), func(c string) bool { return c != "genseed" })); n != 1 {
				t.Errorf("%d seeds were drawn", n)
			}
		})
	}
}

func TestNoWalletIsMade(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup func(t *testing.T, f *fakeLND, l *wallet.LND)
		code  string
	}{
		{"when the owner said no", func(_ *testing.T, _ *fakeLND, l *wallet.LND) { l.MayCreate = false }, ""},
		{"over a wallet on the disk", func(t *testing.T, f *fakeLND, _ *wallet.LND) { touch(t, wallet.Wallet(f.dir)) }, "wallet-lost"},
		{"where there was one", func(t *testing.T, f *fakeLND, _ *wallet.LND) { touch(t, wallet.Macaroon(f.dir)) }, "wallet-lost"},
		{"of half a seed", func(t *testing.T, f *fakeLND, _ *wallet.LND) { f.put(t, "lnd-seed", "only three words") }, "seed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newLND(t, "NON_EXISTING")
			client := f.client()
			client.Patience = 300 * time.Millisecond
			c.setup(t, f, &client)
			report, err := client.Ensure(t.Context())
			var human *wallet.HumanError
			if c.code == "" && !errors.Is(err, wallet.ErrNoWallet) || c.code != "" && (!errors.As(err, &human) || human.Code != c.code || human.Hint == "") {
				t.Errorf("%v", err)
			}
			if report.Did != "" || slices.Contains(f.calls, "initwallet") || f.state != "NON_EXISTING" {
				t.Errorf("%+v, asked %q", report, f.calls)
			}
		})
	}
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWalletThatAppearsWhileItIsMade: an LND that makes its wallet denies it for a moment.
func TestWalletThatAppearsWhileItIsMade(t *testing.T) {
	f := newLND(t, "NON_EXISTING")
	touch(t, wallet.Wallet(f.dir))
	looks := 0
	client := f.client()
	client.Trace = func(context.Context) (string, error) {
		if looks++; looks == 5 {
			f.mu.Lock()
			f.state = "RPC_ACTIVE"
			f.mu.Unlock()
		}
		return wallet.Trace(f.dir), nil
	}
	if report, err := client.Ensure(t.Context()); err != nil || report.Did != "" {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestUnlock(t *testing.T) {
	for _, c := range []struct {
		name             string
		password, legacy string
		did, warning     string
		kept             int // secrets beside those that were there
	}{
		{"with the node's password", "right-password", "", "wallet unlocked", "", 0},
		{"with the node's, beside a useless one", "right-password", "wrong-password", "wallet unlocked", "is not the wallet's password", 0},
		{"with the operator's alone", "", "right-password", "which is lnd-wallet-password now", "", 0},
		{"with the operator's", "wrong-password", "right-password", "the old one is kept as lnd-wallet-password.bak-", "", 1},
		{"without any", "", "", "", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newLND(t, "LOCKED")
			f.password = "right-password"
			for name, text := range map[string]string{"lnd-wallet-password": c.password, "lnd-wallet-password-legacy": c.legacy} {
				if text != "" {
					f.put(t, name, text)
				}
			}
			report, err := f.client().Ensure(t.Context())
			f.silent(t, report, err)
			if err != nil || !strings.Contains(report.Did, c.did) || (report.Did != "") != (c.did != "") {
				t.Fatalf("%+v, %v", report, err)
			}
			if got := strings.Join(report.Warnings, " "); !strings.Contains(got, c.warning) {
				t.Errorf("warnings %q", got)
			}
			if c.did == "" {
				if len(f.calls) > 0 || f.state != "LOCKED" {
					t.Errorf("asked %q", f.calls)
				}
				return
			}
			if f.state != "RPC_ACTIVE" || f.read("lnd-wallet-password") != "right-password" || f.read("lnd-wallet-password-legacy") != c.legacy {
				t.Errorf("state %s, or the password that works is not lnd-wallet-password", f.state)
			}
			backups, _ := filepath.Glob(f.vault.Path("lnd-wallet-password.bak-*Z"))
			if len(backups) != c.kept || len(backups) == 1 && readFile(t, backups[0]) != c.password {
				t.Errorf("kept %q", backups)
			}
			f.secretsOf(t)
		})
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestLndWrongPassword: it ends at once, each password was tried once, and nothing was written.
func TestLndWrongPassword(t *testing.T) {
	f := newLND(t, "LOCKED")
	f.password = "right-password"
	f.put(t, "lnd-wallet-password", "wrong-password-1")
	f.put(t, "lnd-wallet-password-legacy", "wrong-password-2")
	before := f.secretsOf(t)
	report, err := f.client().Ensure(t.Context())
	f.silent(t, report, err)
	var human *wallet.HumanError
	if !errors.As(err, &human) || human.Code != wallet.PasswordCode || !strings.Contains(human.Hint, "lnd-wallet-password-legacy") {
		t.Errorf("%v", err)
	}
	if report.Did != "" || report.Refused.Reveal() != "wrong-password-1" || !slices.Equal(f.calls, []string{"unlockwallet", "unlockwallet"}) {
		t.Errorf("%+v, asked %q", report, f.calls)
	}
	if after := f.secretsOf(t); !slices.Equal(before, after) || f.read("lnd-wallet-password") != "wrong-password-1" || f.state != "LOCKED" {
		t.Errorf("secrets %q, state %s", after, f.state)
	}
}

// TestNotReady: an LND that is not ready is asked again until the patience is over, and is no failure of the wallet.
func TestNotReady(t *testing.T) {
	f := newLND(t, "LOCKED")
	f.password = "right-password"
	f.put(t, "lnd-wallet-password", "right-password")
	f.starting = 20
	if report, err := f.client().Ensure(t.Context()); err != nil || report.Did == "" {
		t.Errorf("%+v, %v", report, err)
	}
	for _, state := range []string{"WAITING_TO_START", "something new"} {
		f := newLND(t, state)
		client := f.client()
		client.Patience = 50 * time.Millisecond
		if report, err := client.Ensure(t.Context()); !errors.Is(err, wallet.ErrNotReady) || report.Did != "" || len(f.calls) > 0 {
			t.Errorf("%s: %+v, %v, asked %q", state, report, err, f.calls)
		}
	}
	g := newLND(t, "LOCKED")
	client := g.client()
	client.Patience, client.Certificate = 50*time.Millisecond, func(context.Context) ([]byte, error) { return nil, os.ErrNotExist }
	if _, err := client.Ensure(t.Context()); !errors.Is(err, wallet.ErrNotReady) {
		t.Errorf("without a certificate: %v", err)
	}
}

// TestOpenIsEnough: an RPC server that takes its time does not make an open wallet a failure.
func TestOpenIsEnough(t *testing.T) {
	f := newLND(t, "NON_EXISTING")
	f.stuck = true
	client := f.client()
	client.Patience = 300 * time.Millisecond
	if report, err := client.Ensure(t.Context()); err != nil || report.Did == "" {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestAnotherServer: a password is sent to nobody who does not hold the certificate on the disk.
func TestAnotherServer(t *testing.T) {
	f := newLND(t, "LOCKED")
	f.put(t, "lnd-wallet-password", "right-password")
	client := f.client()
	client.Patience = 50 * time.Millisecond
	client.Certificate = func(context.Context) ([]byte, error) { return certificate(t, "lnd"), nil }
	if _, err := client.Ensure(t.Context()); !errors.Is(err, wallet.ErrNotReady) || !strings.Contains(fmt.Sprint(err), "another certificate") || len(f.calls) > 0 {
		t.Errorf("%v, asked %q", err, f.calls)
	}
}

func TestAnErrorOfLNDsOwn(t *testing.T) {
	f := newLND(t, "NON_EXISTING")
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/initwallet" {
			fail(w, 500, "checksum mismatch")
			return
		}
		f.ServeHTTP(w, r)
	})
	if _, err := f.client().Ensure(t.Context()); err == nil || errors.Is(err, wallet.ErrNotReady) || err.Error() != "lnd: checksum mismatch" {
		t.Errorf("%v", err)
	}
}

func TestASecretThatCannotBeRead(t *testing.T) {
	f := newLND(t, "LOCKED")
	if err := os.Symlink("/etc/passwd", f.vault.Path("lnd-wallet-password")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.client().Ensure(t.Context()); !errors.Is(err, secrets.Finding{Code: secrets.Symlink}) || len(f.calls) > 0 {
		t.Errorf("%v, asked %q", err, f.calls)
	}
}
