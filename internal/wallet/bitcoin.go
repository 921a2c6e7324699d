package wallet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/stage"
	"git.tx1138.com/lfg2025/archy/internal/wait"
)

// BitcoinName is the wallet that archy makes.
const BitcoinName = "archipelago"

// The patience with a bitcoind that has just started. One that needs longer is asked by a later pass.
const (
	bitcoinPatience = 10 * time.Second
	bitcoinPause    = 500 * time.Millisecond
)

// Bitcoin is a bitcoind's wallets.
type Bitcoin struct {
	// Call asks the RPC.
	Call func(ctx context.Context, method string, params, result any) error
	// Patience is how long to wait for the RPC to answer; zero means ten seconds.
	Patience time.Duration
}

// Ensure loads a wallet, or makes the one of a node that has none. ErrNotReady is for a bitcoind that starts.
func (b Bitcoin) Ensure(ctx context.Context) (Report, error) {
	var loaded []string
	err := b.read(ctx, "listwallets", &loaded)
	switch {
	case hasCode(err, stage.RPCMethodNotFound):
		return Report{}, nil // no wallet support
	case err != nil:
		return Report{}, err
	case len(loaded) > 0:
		return Report{}, nil
	}
	names, err := b.onDisk(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("bitcoin's wallets: %w", err)
	}
	switch {
	case len(names) == 0:
		return b.create(ctx)
	case len(names) == 1:
		return b.load(ctx, names[0])
	case slices.Contains(names, BitcoinName):
		return b.load(ctx, BitcoinName)
	}
	return Report{Warnings: []string{fmt.Sprintf("no bitcoin wallet is loaded: there are several and none is called %s: %s", BitcoinName, quoted(names))}}, nil
}

// read asks what may be asked again, and waits for an RPC that does not answer yet.
func (b Bitcoin) read(ctx context.Context, method string, answer any) error {
	patience := b.Patience
	if patience == 0 {
		patience = bitcoinPatience
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := b.Call(limited, method, nil, answer)
		if !errors.Is(err, stage.ErrRPCSilent) && !hasCode(err, stage.RPCWarmingUp) {
			return err
		}
		if wait.For(limited, bitcoinPause) != nil {
			return notReady("bitcoin", err)
		}
	}
}

func (b Bitcoin) onDisk(ctx context.Context) ([]string, error) {
	var dir struct {
		Wallets []struct {
			Name string `json:"name"`
		} `json:"wallets"`
	}
	if err := b.read(ctx, "listwalletdir", &dir); err != nil {
		return nil, err
	}
	var names []string
	for _, w := range dir.Wallets {
		names = append(names, w.Name)
	}
	slices.Sort(names)
	return names, nil
}

func (b Bitcoin) load(ctx context.Context, name string) (Report, error) {
	err := b.Call(ctx, "loadwallet", map[string]any{"filename": name, "load_on_startup": true}, new(any))
	switch {
	case hasCode(err, stage.RPCWalletIsLoaded):
		return Report{}, nil
	case err != nil:
		return Report{}, fmt.Errorf("bitcoin wallet %q cannot be loaded: %w", name, err)
	}
	return Report{Did: fmt.Sprintf("bitcoin wallet %q loaded", name)}, nil
}

// create makes a wallet of descriptors without a passphrase. bitcoind refuses a name that is there.
func (b Bitcoin) create(ctx context.Context) (Report, error) {
	err := b.Call(ctx, "createwallet", map[string]any{"wallet_name": BitcoinName, "descriptors": true, "load_on_startup": true}, new(any))
	if err != nil {
		return Report{}, fmt.Errorf("bitcoin wallet %q cannot be made: %w", BitcoinName, err)
	}
	return Report{Did: fmt.Sprintf("bitcoin wallet %q made", BitcoinName)}, nil
}

func hasCode(err error, code int) bool {
	var rpc *stage.RPCError
	return errors.As(err, &rpc) && rpc.Code == code
}

func quoted(names []string) string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(list, ", ")
}
