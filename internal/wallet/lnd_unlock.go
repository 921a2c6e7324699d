package wallet

import (
	"context"
	"errors"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

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
