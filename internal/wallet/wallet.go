// Package wallet makes, loads and opens the wallets of a node: bitcoin's over RPC, LND's over REST. A wallet is made
// once and never over another one; none is ever moved, replaced or deleted. What lnd connect shows is read here too.
package wallet

import (
	"context"
	"errors"
	"fmt"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

// The secret files of LND's wallet.
const (
	PasswordSecret = "lnd-wallet-password"
	LegacySecret   = "lnd-wallet-password-legacy" // the operator's own file
	SeedSecret     = "lnd-seed"
)

// Report is what was done about a wallet, in words that hold no secret.
type Report struct {
	// Did is what was changed, "" when nothing was.
	Did string
	// Warnings are what the owner should know.
	Warnings []string
	// Refused is the secret that LND was asked with and that does not open its wallet; missing when there is none.
	Refused secrets.Value
}

// ErrNotReady tells that the app could not be asked in the time that there was. Nothing is wrong with the wallet.
var ErrNotReady = errors.New("not ready yet")

// ErrNoWallet tells that LND has no wallet and that archy is told not to make one.
var ErrNoWallet = errors.New("lnd has no wallet, and lnd.auto_init_wallet is false")

// HumanError is a wallet that only a person can help with. Nothing was changed.
type HumanError struct{ Code, Text, Hint string }

func (e *HumanError) Error() string { return e.Text }

// notReady keeps the last reason of an app that could not be asked.
func notReady(app string, why error) error {
	if why == nil || errors.Is(why, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", app, ErrNotReady)
	}
	return fmt.Errorf("%s: %w: %w", app, ErrNotReady, why)
}
