package wallet

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

// seedWords is the length of an aezeed mnemonic.
const seedWords = 24

// recoveryWindow is how many addresses are looked for when a wallet is made of a seed that an earlier run stored: it may
// have been used, for all that archy knows. lncli's own default.
const recoveryWindow = 2500

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

// made says whether the words are new: an owner who begins anew for the sake of other words must know.
func (o *opening) made() {
	where := o.Vault.Path(SeedSecret)
	if !o.drew {
		o.changed(fmt.Sprintf("wallet made of the %d words that were in %s already", seedWords, where))
		return
	}
	o.changed(fmt.Sprintf("wallet made; its %d words are in %s", seedWords, where))
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
		"restore " + o.Dir + " from a backup, then: archy reconcile; or, to begin anew with the words in " + o.Vault.Path(SeedSecret) +
			" (with others: move that file away first): archy remove lnd --purge-data, then: archy install lnd"}
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
		reused, o.drew = !created, created
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
