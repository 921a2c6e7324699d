package wallet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

// The states of LND (lnrpc/stateservice.proto).
const (
	stateNoWallet = "NON_EXISTING"
	stateLocked   = "LOCKED"
	stateOpen     = "UNLOCKED" // the wallet is open, the RPC server starts
	stateRPC      = "RPC_ACTIVE"
	stateServer   = "SERVER_ACTIVE"
)

// The patience with an LND that says that it is not ready.
const (
	lndPatience = 120 * time.Second
	lndPause    = 500 * time.Millisecond
	// lndSettle is how long to wait for the RPC server of a wallet that was just opened. Not reaching it is no failure.
	lndSettle = 30 * time.Second
)

// seedWords is the length of an aezeed mnemonic.
const seedWords = 24

// recoveryWindow is how many addresses are looked for when a wallet is made of a seed that an earlier run stored: it may
// have been used, for all that archy knows. lncli's own default.
const recoveryWindow = 2500

// Vault holds the secret files.
type Vault interface {
	Read(name string) (secrets.Value, error)
	// Generate makes a secret that is missing; Keep writes a given one where there is none. Both return what counts.
	Generate(name string, kind secrets.Kind) (v secrets.Value, created bool, err error)
	Keep(name string, v secrets.Value) (kept secrets.Value, created bool, err error)
	// Take replaces a secret and keeps the old one beside it.
	Take(name string, v secrets.Value) (backup string, err error)
	Path(name string) string
}

// LND is an LND's wallet.
type LND struct {
	// Address is where its REST answers, Dir its data directory as the owner knows it.
	Address, Dir string
	// Certificate reads tls.cert, which LND writes at its first start.
	Certificate func(ctx context.Context) ([]byte, error)
	// Trace names a file on the disk that only an LND with a wallet has, "" when there is none.
	Trace func(ctx context.Context) (string, error)
	Vault Vault
	// MayCreate says whether a wallet may be made at all.
	MayCreate bool
	// Patience is how long to wait for an LND that is not ready, Pause the time between two questions; zero means 120 s
	// and 0.5 s.
	Patience, Pause time.Duration
}

// Ensure brings the wallet to be there and open, whatever state it is in. A wrong password ends it at once; an LND that is
// not ready is asked again until the patience is over.
func (l LND) Ensure(ctx context.Context) (Report, error) {
	if l.Patience == 0 {
		l.Patience = lndPatience
	}
	if l.Pause == 0 {
		l.Pause = lndPause
	}
	limited, cancel := context.WithTimeout(ctx, l.Patience)
	defer cancel()
	o := &opening{LND: l}
	for {
		done, err := o.step(limited)
		if done || final(err) {
			return o.report, err
		}
		if limited.Err() == nil {
			o.why = err
		}
		over := pause(limited, l.Pause) != nil
		switch {
		case ctx.Err() != nil:
			return o.report, ctx.Err()
		case o.report.Did != "" && (over || time.Since(o.did) > lndSettle):
			return o.report, nil // the wallet is there and open; the rest is LND's own start
		case over && o.denied != "":
			return o.report, o.lost(o.denied)
		case over:
			return o.report, notReady("lnd", o.why)
		}
	}
}

// opening is one Ensure under way.
type opening struct {
	LND
	report Report
	did    time.Time
	// denied is a wallet on the disk that LND does not see.
	denied string
	// why is the last reason for asking again.
	why error
	// sent tells that LND was told to make the wallet and has not said no: it may be at it.
	sent bool
}

// warn tells something once, however often it is seen.
func (o *opening) warn(words string) {
	if !slices.Contains(o.report.Warnings, words) {
		o.report.Warnings = append(o.report.Warnings, words)
	}
}

// changed notes what was done.
func (o *opening) changed(words string) { o.report.Did, o.did = words, time.Now() }

// final tells an error that asking again does not help.
func final(err error) bool {
	var human *HumanError
	var answer *restError
	var fatal *fatalError
	switch {
	case err == nil:
		return false
	case errors.As(err, &answer):
		return !answer.again()
	}
	return errors.As(err, &human) || errors.As(err, &fatal) || errors.Is(err, ErrNoWallet)
}

// fatalError is a failure on this side: a secret that cannot be read or written.
type fatalError struct{ error }

func (e *fatalError) Unwrap() error { return e.error }

// step asks LND for its state and does what that state needs. The certificate is read each time: an LND that starts for the
// first time has not written it yet.
func (o *opening) step(ctx context.Context) (done bool, err error) {
	text, err := o.Certificate(ctx)
	if err != nil {
		return false, fmt.Errorf("lnd's tls.cert: %w", err)
	}
	cert, err := ParseCertificate(text)
	if err != nil {
		return false, fmt.Errorf("lnd's tls.cert: %w", err)
	}
	if p := CertificateProblem(cert, o.Dir); p != "" {
		o.warn(p)
	}
	r := newREST(o.Address, cert)
	state, err := r.state(ctx)
	if err != nil {
		return false, err
	}
	o.denied = ""
	switch state {
	case stateNoWallet:
		return false, o.create(ctx, r)
	case stateLocked:
		return o.unlock(ctx, r)
	case stateOpen:
		return false, nil
	case stateRPC, stateServer:
		if o.sent && o.report.Did == "" {
			o.made()
		}
		return true, nil
	}
	return false, fmt.Errorf("lnd is in state %s", state)
}

func (r *rest) state(ctx context.Context) (string, error) {
	var answer struct {
		State string `json:"state"`
	}
	err := r.get(ctx, "/v1/state", &answer)
	return answer.State, err
}

// create makes the wallet. The words are on the disk before LND hears of them: a run that is killed in between leaves a seed
// without a wallet, and the next one makes the wallet of that seed.
func (o *opening) create(ctx context.Context, r *rest) error {
	if o.sent {
		return errors.New("lnd is making the wallet")
	}
	if err := o.mayCreate(ctx); err != nil {
		return err
	}
	password, _, err := o.Vault.Generate(PasswordSecret, secrets.Hex32)
	if err != nil {
		return &fatalError{err}
	}
	seed, reused, err := o.seed(ctx, r)
	if err != nil {
		return err
	}
	question := map[string]any{"wallet_password": []byte(password.Reveal()), "cipher_seed_mnemonic": strings.Fields(seed.Reveal())}
	if reused {
		question["recovery_window"] = recoveryWindow
	}
	err = r.post(ctx, "/v1/initwallet", question, new(any))
	var answer *restError
	o.sent = !errors.As(err, &answer) // without an answer it may have been heard
	if err == nil {
		o.made()
	}
	return err
}

func (o *opening) made() {
	o.changed(fmt.Sprintf("wallet made; its %d words are in %s", seedWords, o.Vault.Path(SeedSecret)))
}

// mayCreate does not take LND's word that there is no wallet when the disk says that there was one: a new wallet would be
// empty, and the old one's channels would be lost. While LND makes a wallet it denies the file that it writes, on a slow
// machine for a minute: such a wallet is lost only when the patience is over.
func (o *opening) mayCreate(ctx context.Context) error {
	trace, err := o.Trace(ctx)
	switch {
	case err != nil:
		return &fatalError{fmt.Errorf("lnd's data: %w", err)}
	case strings.HasSuffix(trace, walletFile):
		o.denied = trace
		return fmt.Errorf("lnd does not see %s yet", trace)
	case trace != "":
		return o.lost(trace)
	case !o.MayCreate:
		return ErrNoWallet
	}
	return nil
}

func (o *opening) lost(trace string) error {
	return &HumanError{"wallet-lost", fmt.Sprintf("lnd says that it has no wallet, but %s shows that it had one; none is made over it", trace),
		"restore " + o.Dir + " from a backup; or, to begin with a new wallet, move that file away and run: archy reconcile"}
}

// seed is the stored one, or a new one that is stored now.
func (o *opening) seed(ctx context.Context, r *rest) (words secrets.Value, reused bool, err error) {
	words, err = o.Vault.Read(SeedSecret)
	reused = err == nil
	if secrets.IsMissing(err) {
		if words, err = r.drawSeed(ctx); err != nil {
			return secrets.Value{}, false, err
		}
		var created bool
		words, created, err = o.Vault.Keep(SeedSecret, words)
		reused = !created
	}
	if err != nil {
		return secrets.Value{}, false, &fatalError{err}
	}
	if n := len(strings.Fields(words.Reveal())); n != seedWords {
		return secrets.Value{}, false, &HumanError{"seed", fmt.Sprintf("%s holds %d words instead of %d; no wallet was made", o.Vault.Path(SeedSecret), n, seedWords),
			"put the right words back, or move the file away if it belongs to no wallet"}
	}
	return words, reused, nil
}

func (r *rest) drawSeed(ctx context.Context) (secrets.Value, error) {
	var answer struct {
		Words []string `json:"cipher_seed_mnemonic"`
	}
	if err := r.get(ctx, "/v1/genseed", &answer); err != nil {
		return secrets.Value{}, err
	}
	if len(answer.Words) != seedWords {
		return secrets.Value{}, &fatalError{fmt.Errorf("lnd drew a seed of %d words instead of %d", len(answer.Words), seedWords)}
	}
	return secrets.New(strings.Join(answer.Words, " ")), nil
}

// unlock tries the node's password, then the operator's. Without any the wallet stays as it is: whoever opened it before
// goes on doing so.
func (o *opening) unlock(ctx context.Context, r *rest) (done bool, err error) {
	keys, err := o.keys()
	if err != nil {
		return false, &fatalError{err}
	}
	if len(keys) == 0 {
		return true, nil
	}
	for _, k := range keys {
		err := r.post(ctx, "/v1/unlockwallet", map[string]any{"wallet_password": []byte(k.value.Reveal())}, new(any))
		var answer *restError
		switch {
		case errors.As(err, &answer) && strings.Contains(answer.message, wrongPassphrase):
			if k.name == PasswordSecret {
				o.report.Refused = k.value
			}
			continue
		case err != nil:
			return false, err
		}
		return false, o.opened(k, keys)
	}
	return false, o.shut(keys)
}

// key is a password that may open the wallet.
type key struct {
	name  string
	value secrets.Value
}

func (o *opening) keys() ([]key, error) {
	var list []key
	for _, name := range []string{PasswordSecret, LegacySecret} {
		v, err := o.Vault.Read(name)
		switch {
		case secrets.IsMissing(err), err == nil && len(list) > 0 && list[0].value.Equal(v):
			continue
		case err != nil:
			return nil, err
		}
		list = append(list, key{name, v})
	}
	return list, nil
}

// opened keeps the password that works as the node's own.
func (o *opening) opened(k key, keys []key) error {
	if k.name == PasswordSecret {
		o.changed("wallet unlocked")
		if len(keys) > 1 {
			o.warn(o.Vault.Path(LegacySecret) + " is not the wallet's password: remove it, and lnd opens its wallet by itself")
		}
		return nil
	}
	backup, err := o.Vault.Take(PasswordSecret, k.value)
	if err != nil {
		return &fatalError{err}
	}
	words := "wallet unlocked with " + k.name + ", which is " + PasswordSecret + " now"
	if backup != "" {
		words += "; the old one is kept as " + backup
	}
	o.changed(words)
	return nil
}

// shut is a wallet that no password opens.
func (o *opening) shut(keys []key) error {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	return Refusal(strings.Join(names, " and "), o.Vault.Path(LegacySecret))
}

// PasswordCode names the error of a wallet that no password opens.
const PasswordCode = "wallet-password"

// Refusal is what is said of a wallet that the named secrets do not open. file is where the owner's own password belongs.
func Refusal(tried, file string) *HumanError {
	return &HumanError{PasswordCode, "no password opens lnd's wallet: tried " + tried + "; the wallet was not touched",
		"write the wallet's real password to " + file + " (mode 0600), then run: archy reconcile"}
}

// RefusedIn tells that a line of LND's log says that the password in its password file is wrong: LND ends then.
func RefusedIn(log []string) bool {
	for _, line := range log {
		if strings.Contains(line, wrongPassphrase) {
			return true
		}
	}
	return false
}
