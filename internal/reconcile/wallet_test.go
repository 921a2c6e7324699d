package reconcile

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/wallet"
)

// fakeWallets are an LND and a bitcoind as they behave towards archy. LND's wallet is a file that holds its password; it is
// open in the container that opened it.
type fakeWallets struct {
	mu sync.Mutex
	n  *fakeNode
	// never is lnd.auto_init_wallet: false.
	never bool
	// openIn is the container in which LND's wallet is open.
	openIn string
	// asked are the apps whose wallets were looked at.
	asked []string
	err   error
	// waiting is called by an LND that is not ready, and does not become so.
	waiting func()
	// warmingUp is a bitcoind that does not answer yet.
	warmingUp bool
	// says is what an app answers in place of all that.
	says map[string]Stage
}

const lndImage = "docker.io/example/lnd:v1.0"

func walletNode(t *testing.T) *fakeNode {
	t.Helper()
	ext := func(derived string) string {
		return "  extensions:\n    archipelago:\n      sizing: bitcoin\n      derived: " + derived + "\n"
	}
	n := newNode(t, map[string]string{
		"bitcoin-knots": manifestOf("bitcoin-knots", 1, fmt.Sprintf(dataOf, "bitcoin"), ext("bitcoin.conf")),
		"lnd":           manifestOf("lnd", 2, fmt.Sprintf(dataOf, "lnd"), dependsOn("bitcoin-knots"), strings.Replace(ext("lnd.conf"), "      sizing: bitcoin\n", "", 1)),
		"page":          manifestOf("page", 3, strings.Replace(dependsOn("lnd"), "healthy", "unlocked", 1)),
	}).firstBootDone()
	n.wallets = &fakeWallets{n: n}
	if _, _, err := n.vault.Generate(rpcSecret, secrets.Hex16); err != nil {
		t.Fatal(err)
	}
	n.onCall = n.wallets.start
	return n
}

func (w *fakeWallets) dir() string { return w.n.layout.Host(w.n.layout.Data("lnd")) }

func (w *fakeWallets) text(file string) string {
	text, _ := os.ReadFile(file)
	return string(text)
}

// opensItself tells that lnd.conf names the password file.
func (w *fakeWallets) opensItself() bool {
	return strings.Contains(w.text(filepath.Join(w.dir(), "lnd.conf")), "wallet-unlock-password-file=")
}

// start: an LND whose password file is wrong ends at once.
func (w *fakeWallets) start(call string) {
	if call != "start lnd.service" && call != "restart lnd.service" {
		return
	}
	password := w.text(wallet.Wallet(w.dir()))
	wrong := password != "" && w.opensItself() && w.text(filepath.Join(w.dir(), "wallet-password")) != password
	b := behaviour{}
	if wrong {
		b = behaviour{dies: 1, says: "[ERR] error unlocking wallet with password from file: invalid passphrase for master public key"}
	}
	w.n.behave[lndImage] = b
}

func (w *fakeWallets) stage(_ context.Context, a *App) Stage {
	if s, ok := w.says[a.ID]; ok {
		return s
	}
	switch {
	case a.ID == "bitcoin-knots" && w.warmingUp:
		return Stage{Text: "warming up"}
	case a.ID != "lnd":
		return Stage{Ready: true}
	case w.text(wallet.Wallet(w.dir())) == "":
		return Stage{Text: "needs wallet"}
	case w.opensItself() || w.openIn == w.n.containers["lnd"].ID:
		return Stage{Text: "ready", Ready: true}
	}
	return Stage{Text: "locked"}
}

// Ensure is short for what package wallet does with the real ones, and shows in its own tests.
func (w *fakeWallets) Ensure(ctx context.Context, a *App) (wallet.Report, error) {
	w.mu.Lock() // two apps are asked side by side
	w.asked = append(w.asked, a.ID)
	w.mu.Unlock()
	if w.waiting != nil && a.ID == "lnd" {
		w.waiting()
		<-ctx.Done()
		return wallet.Report{}, ctx.Err()
	}
	if w.err != nil {
		return wallet.Report{}, w.err
	}
	if a.ID == "bitcoin-knots" {
		return wallet.Report{}, nil
	}
	file := wallet.Wallet(w.dir())
	if w.text(file) == "" {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return wallet.Report{}, err
		}
		w.openIn = a.C.ID
		v, _ := w.n.vault.Read(walletSecret)
		return wallet.Report{Did: "wallet made"}, os.WriteFile(file, []byte(v.Reveal()), 0o600)
	}
	var report wallet.Report
	for _, name := range []string{walletSecret, wallet.LegacySecret} {
		v, err := w.n.vault.Read(name)
		if err == nil && v.Reveal() == w.text(file) {
			w.openIn = a.C.ID
			report.Did = "wallet unlocked"
			_, err := w.n.vault.Take(walletSecret, v)
			return report, err
		}
		if err == nil && name == walletSecret {
			report.Refused = v
		}
	}
	return report, wallet.Refusal(walletSecret, "/secrets/"+wallet.LegacySecret)
}

// put writes a secret as its owner would, a while after the last pass.
func (n *fakeNode) put(name, text string) {
	n.t.Helper()
	if err := os.WriteFile(n.vault.Path(name), []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// hasWallet gives LND a wallet that the password opens.
func (n *fakeNode) hasWallet(password string) {
	n.t.Helper()
	file := wallet.Wallet(n.wallets.dir())
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

func TestAPassMakesTheWallet(t *testing.T) {
	n := walletNode(t)
	plan := n.plan().String()
	for _, want := range []string{"write secret    lnd               lnd-wallet-password", "open            lnd               wallet", "lnd has no wallet", "open            bitcoin-knots     wallet"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan lacks %q:\n%s", want, plan)
		}
	}
	r := n.pass()
	if got := n.result(r, "lnd"); r.ExitCode != 0 || got.State != "ready" || got.Class != ClassOK || !strings.Contains(got.Detail, "wallet made") {
		t.Errorf("exit %d, %+v", r.ExitCode, got)
	}
	if got := n.result(r, "page"); got.Action != Installed || got.Class != ClassOK {
		t.Errorf("what needs an open wallet: %+v", got)
	}
	password := n.wallets.text(wallet.Wallet(n.wallets.dir()))
	if !n.wallets.opensItself() || len(password) != 64 || n.wallets.text(filepath.Join(n.wallets.dir(), "wallet-password")) != password {
		t.Errorf("lnd cannot open the wallet by itself at its next start")
	}
	i, j := slices.Index(n.calls, "write unit lnd"), slices.IndexFunc(n.calls, func(c string) bool {
		return strings.HasPrefix(c, "create secret file lnd-wallet") || c == "write secret lnd-wallet-password"
	})
	if j < 0 || i < j {
		t.Errorf("the password is not made before the unit: %q", n.calls)
	}
	n.later(3 * time.Minute)
	n.converged()
	asked := len(n.wallets.asked)
	n.pass()
	if len(n.wallets.asked) != asked {
		t.Errorf("a pass with nothing to do looked at %q", n.wallets.asked[asked:])
	}
}

// An lnd whose wallet is gone, because its directory was moved away or a backup of it is being put back, gets no other one of the same seed: it would have the
// node's name and none of its channels.
func TestAWalletThatIsGone(t *testing.T) {
	n := walletNode(t)
	n.pass()
	n.later(3 * time.Minute)
	n.converged()
	dir, password := n.wallets.dir(), n.wallets.text(wallet.Wallet(n.wallets.dir()))
	r := n.record("lnd")
	if !r.Wallet.Made {
		t.Error("not noted")
	}
	r.Wallet.Made = false // as an older archy wrote it
	if err := n.store.WriteRecord(r); err != nil {
		t.Fatal(err)
	}
	n.pass()
	n.converged()
	refused := func(when string, runs bool) {
		t.Helper()
		id, asked := n.containers["lnd"], len(n.wallets.asked)
		for range 2 {
			got := n.result(n.pass(), "lnd")
			if got.Action != NeedsHuman || got.Error.Code != "wallet-lost" || n.runs("lnd") != runs || n.containers["lnd"] != id || len(n.wallets.asked) != asked {
				t.Errorf("%s: %+v", when, got)
			}
			n.later(time.Hour)
		}
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	refused("it runs", true)
	n.drop(n.containers["lnd"])
	n.services["lnd.service"].ActiveState = "inactive"
	refused("it is down", false)
	if _, err := os.Stat(dir); err == nil {
		t.Error("its directory was made anew")
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	n.pass()
	n.converged()
	if n.wallets.text(wallet.Wallet(dir)) != password {
		t.Error("another wallet")
	}
	// The way that is told.
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"lnd"}, Cascade: true, Purge: true})
	n.mustVerb(0, Request{Verb: VerbInstall, Apps: []string{"lnd"}})
	if n.wallets.text(wallet.Wallet(dir)) == "" {
		t.Error("no new wallet")
	}
}

// TestANewBitcoinContainer: its wallets are looked at once, whoever made it, and not before it answers.
func TestANewBitcoinContainer(t *testing.T) {
	n := walletNode(t)
	n.pass()
	n.later(3 * time.Minute)
	n.wallets.asked = nil
	c := n.containers["bitcoin-knots"]
	c.ID = strings.Repeat("f", 64) // systemd started it anew
	n.wallets.warmingUp = true
	n.pass()
	if len(n.wallets.asked) > 0 {
		t.Errorf("looked at %q while it warms up", n.wallets.asked)
	}
	n.wallets.warmingUp = false
	for range 2 {
		if r := n.pass(); r.ExitCode != 0 {
			t.Errorf("exit %d", r.ExitCode)
		}
	}
	if !slices.Equal(n.wallets.asked, []string{"bitcoin-knots"}) || n.record("bitcoin-knots").Wallet.ContainerID != c.ID {
		t.Errorf("looked at %q", n.wallets.asked)
	}
}

// TestBitcoinsWalletIsNeverFatal: it is told, and looked at again.
func TestBitcoinsWalletIsNeverFatal(t *testing.T) {
	n := walletNode(t)
	n.wallets.err = fmt.Errorf("bitcoin wallet cannot be loaded")
	n.wallets.never = true
	r := n.pass()
	if got := n.result(r, "bitcoin-knots"); got.Class != ClassOK || !strings.Contains(got.Detail, "warning: bitcoin wallet cannot be loaded") {
		t.Errorf("%+v", got)
	}
	n.wallets.err = nil
	if !strings.Contains(n.plan().String(), "open            bitcoin-knots") {
		t.Error("the next pass does not look at it")
	}
}

func TestNoWalletIsMadeWhenTheOwnerSaidNo(t *testing.T) {
	n := walletNode(t)
	n.wallets.never = true
	n.pass()
	r := n.pass()
	if got := n.result(r, "lnd"); r.ExitCode != 0 || got.State != "needs-config" || got.Class != ClassNeedsConfig || !strings.Contains(got.Cause, "auto_init_wallet") {
		t.Errorf("exit %d, %+v", r.ExitCode, got)
	}
	if _, err := n.vault.Read(walletSecret); !secrets.IsMissing(err) || n.wallets.opensItself() || slices.Contains(n.wallets.asked, "lnd") {
		t.Errorf("a password was made, or a wallet asked for: %v", err)
	}
}

// TestAWalletWithoutASecret: lnd.conf opens nothing by itself, the wallet is shown as locked, and nothing is done.
func TestAWalletWithoutASecret(t *testing.T) {
	n := walletNode(t)
	n.hasWallet("of-its-owner")
	r := n.pass()
	if got := n.result(r, "lnd"); r.ExitCode != 0 || got.State != "locked" || got.Class != ClassOK {
		t.Errorf("exit %d, %+v", r.ExitCode, got)
	}
	if got := n.result(r, "page"); got.Class != ClassWaiting {
		t.Errorf("what needs an open wallet: %+v", got)
	}
	n.later(3 * time.Minute)
	r = n.pass()
	if got := n.result(r, "lnd"); got.Action != NoOp || got.State != "locked" || got.Changed {
		t.Errorf("%+v", got)
	}
	if _, err := n.vault.Read(walletSecret); !secrets.IsMissing(err) || n.wallets.opensItself() || slices.Contains(n.wallets.asked, "lnd") {
		t.Errorf("a password was made, or one tried: %v", err)
	}
}

// TestThePasswordOfTheOwner: it opens the wallet, becomes the node's own, and the next start needs nobody.
func TestThePasswordOfTheOwner(t *testing.T) {
	for name, own := range map[string]string{"alone": "", "beside a wrong one": "wrong-password"} {
		t.Run(name, func(t *testing.T) {
			n := walletNode(t)
			n.hasWallet("of-its-owner")
			n.put(wallet.LegacySecret, "of-its-owner")
			if own != "" {
				n.put(walletSecret, own)
			}
			r := n.pass()
			if got := n.result(r, "lnd"); r.ExitCode != 0 || got.State != "ready" || !strings.Contains(got.Detail, "unlocked") {
				t.Errorf("exit %d, %+v", r.ExitCode, got)
			}
			n.later(3 * time.Minute)
			n.pass()
			if !n.wallets.opensItself() {
				t.Error("lnd does not open it by itself")
			}
			n.later(3 * time.Minute)
			n.converged()
		})
	}
}

// TestAWrongPassword: no pass calls itself whole, LND ends up running and locked, and neither wallet nor secret is touched.
func TestAWrongPassword(t *testing.T) {
	n := walletNode(t)
	n.hasWallet("of-its-owner")
	n.put(walletSecret, "wrong-password")
	told := ""
	for i := range 3 {
		r := n.pass()
		got := n.result(r, "lnd")
		told += fmt.Sprintf("%+v %+v", got, got.Error)
		if r.ExitCode != ExitNeedsHuman || got.Class != ClassNeedsHuman || got.Error == nil || got.Error.Code != wallet.PasswordCode || !strings.Contains(got.Error.Hint, "lnd-wallet-password-legacy") {
			t.Fatalf("pass %d: exit %d, %+v %+v", i+1, r.ExitCode, got, got.Error)
		}
		n.later(3 * time.Minute)
	}
	if c := n.containers["lnd"]; c == nil || !c.State.Running || n.wallets.opensItself() {
		t.Error("lnd does not run with a locked wallet")
	}
	if strings.Contains(told, "wrong-password") || strings.Contains(told, "of-its-owner") {
		t.Errorf("a password is told: %s", told)
	}
	entries, _ := os.ReadDir(n.vault.Dir)
	if v, _ := n.vault.Read(walletSecret); v.Reveal() != "wrong-password" || len(entries) != 2 || n.wallets.text(wallet.Wallet(n.wallets.dir())) != "of-its-owner" {
		t.Errorf("secrets or wallet changed: %v", entries)
	}
	n.put(walletSecret, "of-its-owner")
	n.pass()
	n.later(3 * time.Minute)
	n.converged()
	if !n.wallets.opensItself() {
		t.Error("with the right password lnd does not open its wallet by itself")
	}
}

// TestThePasswordFileOfTheOwner: LND's data come with a password file of the same name, and the secret says something else; later the owner writes another password into
// the file, and not into the secret. Each that is overwritten is kept, once.
func TestThePasswordFileOfTheOwner(t *testing.T) {
	n := walletNode(t)
	n.hasWallet("of-its-owner")
	n.lay(n.layout.Data("lnd", "lnd.conf"), "[Application Options]\nalias=mine\nwallet-unlock-password-file=/root/.lnd/wallet-password\n")
	n.lay(n.layout.Data("lnd", "wallet-password"), "of-its-owner")
	n.put(walletSecret, "wrong-password")
	n.pass()
	kept := func(name string) []string {
		files, _ := filepath.Glob(filepath.Join(n.wallets.dir(), name+".pre-archy-*"))
		return files
	}
	if files := kept("wallet-password"); len(files) != 1 || n.wallets.text(files[0]) != "of-its-owner" || len(kept("lnd.conf")) != 1 {
		t.Fatalf("kept: %q", files)
	}
	for _, secret := range []string{"wrong-password", "of-its-owner"} {
		n.put(walletSecret, secret)
		n.later(3 * time.Minute)
		n.pass()
	}
	n.later(3 * time.Minute)
	n.converged()
	if files := kept("wallet-password"); len(files) != 2 || n.wallets.text(filepath.Join(n.wallets.dir(), "wallet-password")) != "of-its-owner" {
		t.Errorf("kept: %q", files)
	}
	n.lay(n.layout.Data("lnd", "wallet-password"), "changed-by-hand")
	n.pass()
	n.later(3 * time.Minute)
	n.converged()
	files := kept("wallet-password")
	if len(files) != 3 || n.wallets.text(files[2]) != "changed-by-hand" || n.wallets.text(filepath.Join(n.wallets.dir(), "wallet-password")) != "of-its-owner" {
		t.Errorf("kept: %q", files)
	}
}

// TestAPasswordThatBecameWrong: the owner changes the secret of an LND that runs well. It is not taken down for long, and a
// roll-back that could not help is not tried.
func TestAPasswordThatBecameWrong(t *testing.T) {
	n := walletNode(t)
	n.pass()
	n.later(3 * time.Minute)
	right := n.wallets.text(wallet.Wallet(n.wallets.dir()))
	n.put(walletSecret, "wrong-password")
	r := n.pass()
	if got := n.result(r, "lnd"); r.ExitCode != ExitNeedsHuman || got.Error == nil || got.Error.Code != wallet.PasswordCode {
		t.Errorf("exit %d, %+v %+v", r.ExitCode, got, got.Error)
	}
	if op := n.record("lnd").Op; op != nil {
		t.Errorf("it is being rolled back: %+v", op)
	}
	n.later(3 * time.Minute)
	r = n.pass()
	if got := n.result(r, "lnd"); r.ExitCode != ExitNeedsHuman || got.State != "locked" || n.containers["lnd"] == nil {
		t.Errorf("exit %d, %+v", r.ExitCode, got)
	}
	n.put(wallet.LegacySecret, right)
	n.later(3 * time.Minute)
	if r = n.pass(); r.ExitCode != 0 || n.result(r, "lnd").State != "ready" {
		t.Errorf("with the owner's password: exit %d, %+v", r.ExitCode, n.result(r, "lnd"))
	}
}

// TestAnAdoptedLND: nothing is made for it, and a password that its owner gave opens its wallet.
func TestAnAdoptedLND(t *testing.T) {
	n := walletNode(t)
	n.script("lnd", lndImage)
	for range 2 {
		r := n.pass()
		if got := n.result(r, "lnd"); got.Changed && got.Action != Adopted || got.State != "needs wallet" {
			t.Errorf("%+v", got)
		}
	}
	if _, err := n.vault.Read(walletSecret); !secrets.IsMissing(err) || slices.Contains(n.wallets.asked, "lnd") {
		t.Errorf("a password was made: %v", err)
	}
	n.hasWallet("of-its-owner")
	n.put(wallet.LegacySecret, "of-its-owner")
	id := n.containers["lnd"].ID
	if r := n.pass(); n.result(r, "lnd").State != "ready" || n.containers["lnd"].ID != id {
		t.Errorf("%+v", n.result(r, "lnd"))
	}
	if n.wallets.opensItself() {
		t.Error("its lnd.conf was written")
	}
}

func TestAnLNDThatIsNotReady(t *testing.T) {
	n := walletNode(t)
	n.wallets.err = fmt.Errorf("lnd: %w", wallet.ErrNotReady)
	r := n.pass()
	if got := n.result(r, "lnd"); r.ExitCode != 0 || got.Class != ClassWaiting || !strings.Contains(got.Cause, "the wallet has to wait") {
		t.Errorf("exit %d, %+v", r.ExitCode, got)
	}
	n.wallets.err = nil
	n.later(time.Minute)
	n.pass()
	n.later(3 * time.Minute)
	n.converged()
}

// TestAnInterruptedPassWaitsForNoWallet: it is no failure, and the next pass goes on.
func TestAnInterruptedPassWaitsForNoWallet(t *testing.T) {
	n := walletNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n.wallets.waiting = cancel
	r, err := n.passOf().Run(ctx)
	if got := n.result(r, "lnd"); err != nil || r.ExitCode != ExitInterrupted || got.Class != ClassWaiting || got.Error != nil {
		t.Errorf("exit %d, %v, %+v", r.ExitCode, err, got)
	}
	n.wallets.waiting = nil
	n.later(6 * time.Minute)
	n.pass()
	n.later(6 * time.Minute)
	n.converged()
}

// TestWalletDue: what a running LND gets for what it says.
func TestWalletDue(t *testing.T) {
	key := secrets.New(marker)
	for _, c := range []struct {
		name   string
		wallet Wallet
		stage  string
		more   build
		action Action
		state  string
		plan   string
	}{
		{"ready", Wallet{Exists: true, Password: key}, "ready", nil, NoOp, "ready", ""},
		{"starting", Wallet{Exists: true, Password: key}, "starting", nil, NoOp, "starting", ""},
		{"no wallet", Wallet{MayCreate: true, Password: key}, "needs wallet", nil, Updated, "needs wallet", "1 open app wallet lnd has no wallet"},
		{"none wanted", Wallet{}, "needs wallet", nil, Left, "needs-config", ""},
		{"locked, with a password", Wallet{Exists: true, Password: key}, "locked", nil, Updated, "locked", "1 open app wallet the wallet is locked"},
		{"locked, and opening", Wallet{Exists: true, Password: key}, "locked", startedBefore(30 * time.Second), Waiting, "locked", ""},
		{"locked, without", Wallet{Exists: true}, "locked", nil, NoOp, "locked", ""},
		{"locked, while its check fails", Wallet{Exists: true, Legacy: key}, "locked", health(podman.HealthUnhealthy), Updated, "locked", "1 open app wallet the wallet is locked"},
		{"locked and restarted", Wallet{Exists: true, Legacy: key}, "locked", all([]build{wants(moreMemory)}...), Recreated, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.wallet.Kind = lndWallet
			a := healthyApp("app", func(a *App) {
				a.Wallet, a.Stage = &c.wallet, Stage{Text: c.stage, Ready: c.stage == "ready"}
				if c.more != nil {
					c.more(a)
				}
			})
			plan := MakePlan(world(a), Options{})
			v := verdictOf(t, plan, "app")
			if v.Action != c.action || c.state != "" && v.State != c.state {
				t.Errorf("%+v", v)
			}
			text := planText(plan)
			if c.action == Recreated {
				if !strings.HasSuffix(text, "open app wallet the wallet is locked after 3") && !strings.Contains(text, "open app wallet the wallet is locked") {
					t.Errorf("plan:\n%s", text)
				}
			} else if text != c.plan {
				t.Errorf("plan:\n%s\nwant:\n%s", text, c.plan)
			}
			if strings.Contains(fmt.Sprintf("%+v %s", v, plan), marker) {
				t.Error("a secret is told")
			}
		})
	}
}

// TestKilledAroundTheWallet: whatever a pass was doing when it was killed, the next ones end with one wallet, and with its
// password where LND finds it.
func TestKilledAroundTheWallet(t *testing.T) {
	total := len(func() []string { n := walletNode(t); n.pass(); return n.calls }())
	for at := 1; at <= total; at++ {
		n := walletNode(t)
		n.fault = fault{kind: "kill", at: at}
		_, _ = n.tryPass()
		n.revive()
		n.later(6 * time.Minute)
		n.pass()
		n.later(6 * time.Minute)
		n.pass()
		n.later(6 * time.Minute)
		n.converged()
		password := n.wallets.text(wallet.Wallet(n.wallets.dir()))
		if v, _ := n.vault.Read(walletSecret); v.Reveal() != password || password == "" || !n.wallets.opensItself() {
			t.Fatalf("killed at %d of %d (%s): the wallet does not open", at, total, path.Base(n.fault.hit))
		}
	}
}
