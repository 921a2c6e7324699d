package e2e_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/test/node"
)

const (
	lndDir     = dataDir + "/lnd"
	walletDB   = lndDir + "/data/chain/bitcoin/mainnet/wallet.db"
	macaroon   = lndDir + "/data/chain/bitcoin/mainnet/admin.macaroon"
	seedFile   = dataDir + "/secrets/lnd-seed"
	walletPass = dataDir + "/secrets/lnd-wallet-password"
	legacyPass = walletPass + "-legacy"
)

// lightning is a node with a bitcoind and an LND to be installed.
func lightning(t *testing.T) *machine {
	t.Helper()
	n := blank(t, node.Options{Apps: []string{"bitcoin-knots", "lnd"}, LAN: true})
	n.must(t, 0, "secrets", "gen")
	return n
}

// TestWallets: they are made once, open themselves, and no password that is wrong costs anything.
func TestWallets(t *testing.T) {
	t.Parallel()
	n := lightning(t)
	if !t.Run("a pass makes both", func(t *testing.T) { walletsMade(t, n) }) {
		t.FailNow()
	}
	made := n.read(t, walletDB)
	t.Run("a second pass does nothing", func(t *testing.T) { walletsKept(t, n) })
	t.Run("after a restart they are open", func(t *testing.T) { walletsOpen(t, n) })
	t.Run("lnd connect", func(t *testing.T) { connects(t, n) })
	t.Run("a wrong password", func(t *testing.T) { wrongPassword(t, n) })
	t.Run("the owner's password", func(t *testing.T) { ownersPassword(t, n) })
	t.Run("no password at all", func(t *testing.T) { noPassword(t, n) })
	if n.read(t, walletDB) != made {
		t.Error("the wallet is not the one that was made at first")
	}
}

func walletsMade(t *testing.T, n *machine) {
	plan := n.must(t, 0, "reconcile", "--check-only", "--create-missing").Stdout
	for _, want := range []string{"lnd-wallet-password", "lnd has no wallet", "its container is new"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan lacks %q:\n%s", want, plan)
		}
	}
	if n.Exists(seedFile) || n.Exists(walletPass) {
		t.Fatal("a look made a secret")
	}
	r := n.pass(t, 0, "--create-missing")
	if a := app(t, r, "lnd"); a.State != "ready" || !strings.Contains(a.Detail, "wallet made") {
		t.Fatalf("lnd: %s, %s, %s", a.State, a.Cause, a.Detail)
	}
	if words := strings.Fields(n.read(t, seedFile)); len(words) != 24 {
		t.Errorf("the seed has %d words", len(words))
	}
	if password := n.read(t, walletPass); len(password) != 64 || n.read(t, lndDir+"/wallet-password") != password {
		t.Errorf("the password has %d characters, or lnd has another one", len(password))
	}
	if got := n.sh(t, "stat -c '%a %U:%G' "+seedFile+" "+walletPass); got != "600 archipelago:archipelago\n600 archipelago:archipelago\n" && got != "600 archipelago:archipelago\n600 archipelago:archipelago" {
		t.Errorf("the secrets are\n%s", got)
	}
	n.madeOf(t, n.read(t, seedFile))
	n.bitcoinWallet(t)
}

// madeOf: the stand-in's wallet.db holds the digests of its password and of its words.
func (n *machine) madeOf(t *testing.T, words string) {
	t.Helper()
	want := [...][32]byte{sha256.Sum256([]byte(n.read(t, walletPass))), sha256.Sum256([]byte(words))}
	if got := n.read(t, walletDB); got != hex.EncodeToString(want[0][:])+"\n"+hex.EncodeToString(want[1][:])+"\n" {
		t.Error("the wallet was made of another password or other words than those that are stored")
	}
}

func (n *machine) bitcoinWallet(t *testing.T) {
	t.Helper()
	if got := n.user(t, "podman exec bitcoin-knots bitcoin-cli -datadir=/data/.bitcoin listwallets"); !strings.Contains(got, `["archipelago"]`) {
		t.Errorf("bitcoin's wallets: %s", got)
	}
}

func walletsKept(t *testing.T, n *machine) {
	before, containers := n.sh(t, "sha256sum "+dataDir+"/secrets/* "+walletDB), n.containers(t)
	for range 2 {
		if r := n.pass(t, 0); len(actions(r)) != 0 {
			t.Errorf("changed: %v", actions(r))
		}
	}
	if plan := n.must(t, 0, "reconcile", "--check-only", "--exit-code").Stdout; strings.Contains(plan, "wallet") {
		t.Errorf("it plans:\n%s", plan)
	}
	if after := n.sh(t, "sha256sum "+dataDir+"/secrets/* "+walletDB); after != before {
		t.Errorf("files changed:\n%s", after)
	}
	onlyChanged(t, containers, n.containers(t))
}

// walletsOpen: LND needs nobody, thanks to its password file; bitcoin's wallet is one that is loaded at each start.
func walletsOpen(t *testing.T, n *machine) {
	n.user(t, "systemctl --user restart bitcoin-knots lnd")
	n.lndIs(t, "SERVER_ACTIVE", "RPC_ACTIVE")
	n.healthy(t, "bitcoin-knots", "lnd")
	n.pass(t, 0)
	n.bitcoinWallet(t)
	if r := n.pass(t, 0); len(actions(r)) != 0 {
		t.Errorf("changed: %v", actions(r))
	}
}

// lndIs waits until LND says one of the states.
func (n *machine) lndIs(t *testing.T, states ...string) {
	t.Helper()
	client := n.HTTP()
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	eventually(t, 2*time.Minute, "lnd is "+strings.Join(states, " or "), func() (bool, string) {
		var answer struct{ State string }
		res, err := client.Get("https://127.0.0.1:8080/v1/state")
		if err != nil {
			return false, err.Error()
		}
		defer res.Body.Close()
		err = json.NewDecoder(res.Body).Decode(&answer)
		return err == nil && slices.Contains(states, answer.State), answer.State
	})
}

// connection is the document of lnd connect --json.
type connection struct {
	Schema    int
	Endpoints []struct{ Interface, Where, Address, URI string }
	Onion     string

	Certificate, Macaroon string
	Warnings              []string
}

func (n *machine) connection(t *testing.T, flags ...string) (c connection) {
	t.Helper()
	res := n.must(t, 0, append([]string{"lnd", "connect", "--json"}, flags...)...)
	if err := json.Unmarshal([]byte(res.Stdout), &c); err != nil {
		t.Fatalf("%v: %s", err, res.Stdout)
	}
	if !strings.Contains(res.Stderr, "can spend all") || strings.Contains(res.Stderr, c.Macaroon) {
		t.Errorf("it says on stderr: %s", res.Stderr)
	}
	return c
}

func connects(t *testing.T, n *machine) {
	c := n.connection(t)
	if len(c.Endpoints) != 2 || c.Endpoints[0].Address != node.LANAddr+":8080" || c.Endpoints[1].Address != node.LANAddr+":10009" || c.Onion != "" || len(c.Warnings) != 0 {
		t.Errorf("%+v", c)
	}
	n.talks(t, c.Endpoints[0].URI)
	n.refuses(t, "no-onion", "lnd", "connect", "--onion")
	n.sh(t, "install -d -o archipelago "+dataDir+"/tor-hostnames; echo abcdefghijklmnop.onion >"+dataDir+"/tor-hostnames/lnd-rest")
	if c = n.connection(t, "--onion"); len(c.Endpoints) != 1 || c.Endpoints[0].Address != "abcdefghijklmnop.onion:8080" || c.Onion != "abcdefghijklmnop.onion" {
		t.Errorf("%+v", c)
	}
	if c = n.connection(t, "--grpc", "--host", "node.local"); len(c.Endpoints) != 1 || c.Endpoints[0].Address != "node.local:10009" {
		t.Errorf("%+v", c)
	}
	plain := n.must(t, 0, "lnd", "connect").Stdout
	for _, want := range []string{"lndconnect://" + node.LANAddr, "abcdefghijklmnop.onion", "BEGIN CERTIFICATE", c.Macaroon} {
		if !strings.Contains(plain, want) {
			t.Errorf("the text lacks %q", want)
		}
	}
	if strings.Contains(plain, "▄") || !strings.Contains(n.must(t, 0, "lnd", "connect", "--qr").Stdout, "▄") {
		t.Error("there is a QR code without a terminal, or none when it is asked for")
	}
	n.must(t, 2, "lnd", "connect", "--host", "a b")
}

// refuses wants exit code 1 with that error, in both forms.
func (n *machine) refuses(t *testing.T, code string, args ...string) {
	t.Helper()
	var doc struct {
		Error struct{ Code, Message, Hint string }
	}
	if err := json.Unmarshal([]byte(n.must(t, 1, append(args, "--json")...).Stdout), &doc); err != nil || doc.Error.Code != code || doc.Error.Hint == "" {
		t.Errorf("%v: %v, %+v", args, err, doc.Error)
	}
	if res := n.must(t, 1, args...); res.Stdout != "" || !strings.Contains(res.Stderr, "hint: ") {
		t.Errorf("%v: %s%s", args, res.Stdout, res.Stderr)
	}
}

// talks uses a URI as a wallet app does: the certificate is the one that LND must have, the macaroon opens everything.
func (n *machine) talks(t *testing.T, uri string) {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "lndconnect" {
		t.Fatalf("%v", err)
	}
	der, err1 := base64.RawURLEncoding.DecodeString(u.Query().Get("cert"))
	mac, err2 := base64.RawURLEncoding.DecodeString(u.Query().Get("macaroon"))
	cert, err3 := x509.ParseCertificate(der)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	client := n.HTTP()
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool, ServerName: "lnd"}
	ask := func(macaroon string) int {
		req, err := http.NewRequest(http.MethodGet, "https://127.0.0.1:"+u.Port()+"/v1/getinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Grpc-Metadata-Macaroon", macaroon)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	if got := ask(hex.EncodeToString(mac)); got != http.StatusOK {
		t.Errorf("lnd answers %d to the macaroon", got)
	}
	if got := ask("00"); got == http.StatusOK {
		t.Error("lnd answers everybody")
	}
}

// passWithLnd makes passes until one does not meet LND in the moment in which systemd starts it anew: it ends when it cannot open its wallet.
func (n *machine) passWithLnd(t *testing.T) reconcile.Result {
	t.Helper()
	for range 10 {
		r := parse(t, n.archy("reconcile", "--json"))
		a := app(t, r, "lnd")
		if r.ExitCode == reconcile.ExitNeedsHuman {
			return r
		}
		if !strings.HasPrefix(a.Cause, "busy: ") {
			t.Fatalf("exit code %d: %+v", r.ExitCode, a)
		}
		time.Sleep(time.Second)
	}
	t.Fatal("in ten passes LND was just being started")
	return reconcile.Result{}
}

// wrongPassword: archy exits with 6 again and again, LND ends up running with a locked wallet, and nothing is written.
func wrongPassword(t *testing.T, n *machine) {
	n.sh(t, "cp -p "+walletPass+" /var/tmp/right; printf wrong-password >"+walletPass)
	files := n.sh(t, "sha256sum "+dataDir+"/secrets/* "+walletDB)
	for range 3 {
		a := app(t, n.passWithLnd(t), "lnd")
		if a.Action != reconcile.NeedsHuman || a.Error == nil || a.Error.Code != "wallet-password" || !strings.Contains(a.Error.Hint, "lnd-wallet-password-legacy") {
			t.Fatalf("lnd: %s, %s, %+v", a.Action, a.Cause, a.Error)
		}
	}
	n.lndIs(t, "LOCKED")
	if got := n.sh(t, "sha256sum "+dataDir+"/secrets/* "+walletDB); got != files {
		t.Errorf("files changed:\n%s", got)
	}
	if a := app(t, n.passWithLnd(t), "lnd"); a.State != "locked" {
		t.Errorf("lnd is %s", a.State)
	}
	n.refuses(t, "locked", "lnd", "connect")
	if strings.Contains(n.said.String(), "wrong-password") {
		t.Error("archy said the password")
	}
}

func ownersPassword(t *testing.T, n *machine) {
	n.sh(t, "cp -p /var/tmp/right "+legacyPass)
	r := n.pass(t, 0)
	if a := app(t, r, "lnd"); a.State != "ready" || !strings.Contains(a.Detail, "lnd-wallet-password-legacy") {
		t.Errorf("lnd: %s, %s, %s", a.State, a.Cause, a.Detail)
	}
	if n.read(t, walletPass) != n.read(t, "/var/tmp/right") {
		t.Error("the password that works is not the node's own")
	}
	if got := n.sh(t, "cat "+walletPass+".bak-*Z; stat -c %a "+walletPass+".bak-*Z"); !strings.HasPrefix(got, "wrong-password600") {
		t.Errorf("the old one is not kept as it was: %q", got)
	}
	n.pass(t, 0)
	n.lndIs(t, "SERVER_ACTIVE")
	if r := n.pass(t, 0); len(actions(r)) != 0 {
		t.Errorf("changed: %v", actions(r))
	}
	n.user(t, "systemctl --user restart lnd")
	n.lndIs(t, "SERVER_ACTIVE")
}

// noPassword: LND starts locked, and is left to its owner.
func noPassword(t *testing.T, n *machine) {
	n.sh(t, "rm "+walletPass+"*")
	n.pass(t, 0)
	n.lndIs(t, "LOCKED")
	r := n.pass(t, 0)
	if a := app(t, r, "lnd"); a.State != "locked" || a.Class != reconcile.ClassOK || a.Changed {
		t.Errorf("lnd: %s, %s, %s", a.State, a.Class, a.Cause)
	}
	if text := n.must(t, 0, "status").Stdout; !strings.Contains(text, "locked") {
		t.Errorf("status says:\n%s", text)
	}
	if n.Exists(walletPass) {
		t.Error("a new password was made beside a wallet that it does not open")
	}
}

// TestASeedThatWasLeft: a pass that is killed before LND has the words leaves them, and the next makes the wallet of them.
func TestASeedThatWasLeft(t *testing.T) {
	t.Parallel()
	n := lightning(t)
	words := strings.TrimSpace(strings.Repeat("abandon ", 24))
	n.sh(t, "printf '"+words+"' >"+seedFile+"; chown archipelago: "+seedFile+"; chmod 600 "+seedFile)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	first, err := n.UserStart(ctx, "archy", "reconcile", "--create-missing")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Minute, "the password is there", func() (bool, string) { return n.Exists(walletPass), "" })
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	password := n.read(t, walletPass)
	eventually(t, 2*time.Minute, "the wallet is made", func() (bool, string) {
		a := app(t, n.pass(t, 0, "--create-missing"), "lnd")
		return a.State == "ready", a.State + " " + a.Cause
	})
	if n.read(t, walletPass) != password {
		t.Error("the password changed")
	}
	n.madeOf(t, words)
}

// TestARealLND: what holds for the stand-in holds for LND itself, whose macaroon the service user cannot read.
func TestARealLND(t *testing.T) {
	if testing.Short() {
		t.Skip("builds LND")
	}
	t.Parallel()
	n := lightning(t)
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Minute)
	defer cancel()
	if err := n.RealLND(ctx); err != nil {
		t.Fatal(err)
	}
	// The stand-in of bitcoind has no chain: LND looks for one among its peers, and finds none.
	n.local(t, "lnd", "      - --configfile=/root/.lnd/lnd.conf\n",
		"      - --configfile=/root/.lnd/lnd.conf\n      - --bitcoin.node=neutrino\n      - --fee.url=http://127.0.0.1:1/fee\n")
	eventually(t, 4*time.Minute, "the wallet is made", func() (bool, string) {
		a := app(t, n.pass(t, 0, "--create-missing"), "lnd")
		return a.State == "ready", a.State + ", " + a.Cause + ", " + a.Detail
	})
	if words := strings.Fields(n.read(t, seedFile)); len(words) != 24 {
		t.Errorf("the seed has %d words", len(words))
	}
	n.hidden(t)
	n.talks(t, n.connection(t).Endpoints[0].URI)
	n.user(t, "systemctl --user restart lnd")
	n.lndIs(t, "RPC_ACTIVE", "SERVER_ACTIVE")
	n.talks(t, n.connection(t).Endpoints[0].URI)
	n.realWrongPassword(t)
}

// hidden gives the macaroon to another user of the container, as an image that does not run as root does.
func (n *machine) hidden(t *testing.T) {
	t.Helper()
	n.sh(t, "chown 100999:100999 "+macaroon+"; chmod 600 "+macaroon)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if res := n.User(ctx, "cat", macaroon); res.Code == 0 {
		t.Error("the service user can read the macaroon")
	}
	before := n.sh(t, "stat -c '%a %u %g %Y' "+macaroon)
	n.connection(t)
	if after := n.sh(t, "stat -c '%a %u %g %Y' "+macaroon); after != before {
		t.Errorf("the macaroon was touched: %s", after)
	}
}

// realWrongPassword: the words by which archy knows that a password is wrong are LND's own.
func (n *machine) realWrongPassword(t *testing.T) {
	t.Helper()
	n.sh(t, "cp -p "+walletPass+" "+legacyPass+".later; printf wrong-password >"+walletPass)
	eventually(t, 5*time.Minute, "lnd runs with a locked wallet", func() (bool, string) {
		res := n.archy("reconcile", "--json")
		a := app(t, parse(t, res), "lnd")
		locked := a.State == "locked" && res.Code == reconcile.ExitNeedsHuman && a.Error != nil && a.Error.Code == "wallet-password"
		return locked, a.State + ", " + a.Cause
	})
	n.sh(t, "mv "+legacyPass+".later "+legacyPass)
	eventually(t, 4*time.Minute, "the owner's password opens it", func() (bool, string) {
		a := app(t, parse(t, n.archy("reconcile", "--json")), "lnd")
		return a.State == "ready" && n.read(t, walletPass) == n.read(t, legacyPass), a.State + ", " + a.Cause
	})
}
