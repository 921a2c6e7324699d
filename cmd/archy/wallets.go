package main

import (
	"context"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/stage"
	"git.tx1138.com/lfg2025/archy/internal/wallet"
)

// nodeWallets are the wallets of the apps of a node.
type nodeWallets struct {
	*env
	prober stage.Prober
	reader wallet.Reader
}

func (e *env) wallets(prober stage.Prober, mapped wallet.Mapped) nodeWallets {
	return nodeWallets{e, prober, wallet.Reader{Mapped: mapped, Runner: command.Exec{}}}
}

// Ensure implements reconcile.Wallets.
func (w nodeWallets) Ensure(ctx context.Context, a *reconcile.App) (wallet.Report, error) {
	if a.ID == lndApp {
		return w.lnd(a).Ensure(ctx)
	}
	address := w.prober.Address(published(a), rpcPort)
	return wallet.Bitcoin{Call: func(ctx context.Context, method string, params, result any) error {
		return w.prober.CallBitcoin(ctx, address, method, params, result)
	}}.Ensure(ctx)
}

func (w nodeWallets) lnd(a *reconcile.App) wallet.LND {
	dir := a.DataDir(w.Layout.DataDir)
	host := w.Layout.Host(dir)
	return wallet.LND{
		Address: w.prober.Address(published(a), restPort), Dir: dir, Vault: walletVault{w.secrets()}, MayCreate: w.Config.LND.AutoInitWallet,
		Certificate: func(ctx context.Context) ([]byte, error) { return w.reader.ReadFile(ctx, wallet.Certificate(host)) },
		Trace:       func(context.Context) (string, error) { return wallet.Trace(host), nil },
	}
}

// walletVault makes the secrets directory with the first secret.
type walletVault struct{ *secrets.Store }

// Generate implements wallet.Vault.
func (v walletVault) Generate(name string, kind secrets.Kind) (secrets.Value, bool, error) {
	if err := v.Init(); err != nil {
		return secrets.Value{}, false, err
	}
	return v.Store.Generate(name, kind)
}
