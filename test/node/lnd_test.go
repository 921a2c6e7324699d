package node

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/wallet"
)

// realLND is an LND without a chain on this machine, and what archy knows of it.
type realLND struct {
	program, dir string
	vault        *secrets.Store
	cmd          *exec.Cmd
}

const lndREST = "127.0.0.1:28080"

func (l *realLND) start(t *testing.T, flags ...string) {
	t.Helper()
	l.cmd = exec.Command(l.program, append([]string{"--lnddir=" + l.dir, "--listen=127.0.0.1:19735", "--rpclisten=127.0.0.1:20009", "--restlisten=" + lndREST,
		"--tlsextradomain=lnd", "--bitcoin.active", "--bitcoin.mainnet", "--bitcoin.node=neutrino", "--fee.url=http://127.0.0.1:1/fee"}, flags...)...)
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (l *realLND) stop() {
	if l.cmd != nil {
		_ = l.cmd.Process.Signal(os.Interrupt)
		_ = l.cmd.Wait()
		l.cmd = nil
	}
}

func (l *realLND) ensure(t *testing.T) (wallet.Report, error) {
	t.Helper()
	return wallet.LND{Address: lndREST, Dir: l.dir, Vault: l.vault, MayCreate: true,
		Certificate: func(context.Context) ([]byte, error) { return os.ReadFile(wallet.Certificate(l.dir)) },
		Trace:       func(context.Context) (string, error) { return wallet.Trace(l.dir), nil }}.Ensure(t.Context())
}

func (l *realLND) put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(l.vault.Path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWalletOfARealLND: package wallet knows LND's states, its errors and its words as they are, not as a stand-in has them.
func TestWalletOfARealLND(t *testing.T) {
	if testing.Short() {
		t.Skip("builds LND")
	}
	Need(t)
	dir, err := buildLND(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := &realLND{program: filepath.Join(dir, "lnd"), dir: t.TempDir(),
		vault: &secrets.Store{Dir: filepath.Join(t.TempDir(), "secrets"), UID: os.Getuid(), GID: os.Getgid()}}
	if err := l.vault.Init(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.stop)
	l.start(t)
	if report, err := l.ensure(t); err != nil || !strings.Contains(report.Did, "wallet made") || len(report.Warnings) > 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	if report, err := l.ensure(t); err != nil || report.Did != "" {
		t.Errorf("the second time: %+v, %v", report, err)
	}
	l.stop()
	l.opens(t)
	l.refuses(t)
}

// opens: a restart locks the wallet, and the node's password opens it.
func (l *realLND) opens(t *testing.T) {
	t.Helper()
	l.start(t)
	if report, err := l.ensure(t); err != nil || report.Did != "wallet unlocked" {
		t.Errorf("%+v, %v", report, err)
	}
	l.stop()
}

// refuses: a wrong password is known as one, over REST and in the log of an LND that is told to use it; the right one
// opens the wallet all the same.
func (l *realLND) refuses(t *testing.T) {
	t.Helper()
	right, err := l.vault.Read(wallet.PasswordSecret)
	if err != nil {
		t.Fatal(err)
	}
	l.put(t, wallet.PasswordSecret, "wrong-password")
	l.start(t, "--wallet-unlock-password-file="+l.vault.Path(wallet.PasswordSecret))
	_ = l.cmd.Wait()
	l.cmd = nil
	log, err := os.ReadFile(filepath.Join(l.dir, "logs/bitcoin/mainnet/lnd.log"))
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	if err != nil || !wallet.RefusedIn(lines[max(0, len(lines)-20):]) {
		t.Errorf("lnd's last words are not understood: %v\n%s", err, tail(string(log), 5))
	}
	l.start(t)
	report, err := l.ensure(t)
	var human *wallet.HumanError
	if !errors.As(err, &human) || human.Code != wallet.PasswordCode || report.Refused.Reveal() != "wrong-password" {
		t.Errorf("%+v, %v", report, err)
	}
	l.put(t, wallet.LegacySecret, right.Reveal())
	report, err = l.ensure(t)
	if now, _ := l.vault.Read(wallet.PasswordSecret); err != nil || report.Did == "" || !now.Equal(right) {
		t.Errorf("with the owner's password: %+v, %v", report, err)
	}
}
