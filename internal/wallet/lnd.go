package wallet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/wait"
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
		over := wait.For(limited, l.Pause) != nil
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
	// drew tells that its words are new, and of nobody's before.
	drew bool
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
