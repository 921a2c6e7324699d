package wallet_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/stage"
	"git.tx1138.com/lfg2025/archy/internal/wallet"
)

// bitcoind is the wallets of a bitcoind.
type bitcoind struct {
	none           bool // built without wallets
	loaded, onDisk []string
	fails          map[string]error
	warmingUp      int // so many answers are "warming up"
	calls          []string
	atStart        []string
}

func (b *bitcoind) call(_ context.Context, method string, params, result any) error {
	if b.warmingUp > 0 {
		b.warmingUp--
		return &stage.RPCError{Code: stage.RPCWarmingUp, Message: "Loading block index..."}
	}
	if b.none {
		return &stage.RPCError{Code: stage.RPCMethodNotFound, Message: "Method not found"}
	}
	named, _ := params.(map[string]any)
	if method == "createwallet" || method == "loadwallet" {
		b.calls = append(b.calls, fmt.Sprintf("%s %v", method, params))
	}
	if err := b.fails[method]; err != nil {
		return err
	}
	var answer any
	switch method {
	case "listwallets":
		answer = b.loaded
	case "listwalletdir":
		list := []map[string]string{}
		for _, name := range b.onDisk {
			list = append(list, map[string]string{"name": name})
		}
		answer = map[string]any{"wallets": list}
	case "createwallet":
		b.use(named["wallet_name"].(string), named)
		b.onDisk = append(b.onDisk, named["wallet_name"].(string))
	case "loadwallet":
		b.use(named["filename"].(string), named)
	default:
		return &stage.RPCError{Code: stage.RPCMethodNotFound, Message: method}
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, result)
}

func (b *bitcoind) use(name string, params map[string]any) {
	b.loaded = append(b.loaded, name)
	if params["load_on_startup"] == true {
		b.atStart = append(b.atStart, name)
	}
}

// TestBitcoin has a case for each row of the table in docs/wallets.md.
func TestBitcoin(t *testing.T) {
	broken := &stage.RPCError{Code: -4, Message: "Wallet file verification failed"}
	for _, c := range []struct {
		name    string
		node    bitcoind
		loaded  []string
		did     string
		warning string
		err     string
	}{
		{"no wallet support", bitcoind{none: true}, nil, "", "", ""},
		{"one is loaded", bitcoind{loaded: []string{"mine"}, onDisk: []string{"mine", "other"}}, []string{"mine"}, "", "", ""},
		{"one on disk", bitcoind{onDisk: []string{"mine"}}, []string{"mine"}, `"mine" loaded`, "", ""},
		{"one without a name", bitcoind{onDisk: []string{""}}, []string{""}, `"" loaded`, "", ""},
		{"several, one of archy's name", bitcoind{onDisk: []string{"mine", "archipelago"}}, []string{"archipelago"}, `"archipelago" loaded`, "", ""},
		{"several others", bitcoind{onDisk: []string{"z", "a"}}, nil, "", `none is called archipelago: "a", "z"`, ""},
		{"none", bitcoind{}, []string{"archipelago"}, `"archipelago" made`, "", ""},
		{"warming up at first", bitcoind{warmingUp: 2}, []string{"archipelago"}, `"archipelago" made`, "", ""},
		{"cannot be loaded", bitcoind{onDisk: []string{"mine"}, fails: map[string]error{"loadwallet": broken}}, nil, "", "", `bitcoin wallet "mine" cannot be loaded: RPC error -4`},
		{"loaded meanwhile", bitcoind{onDisk: []string{"mine"}, fails: map[string]error{"loadwallet": &stage.RPCError{Code: -35}}}, nil, "", "", ""},
		{"cannot be made", bitcoind{fails: map[string]error{"createwallet": broken}}, nil, "", "", `"archipelago" cannot be made`},
		{"refuses the password", bitcoind{fails: map[string]error{"listwallets": stage.ErrRPCRefused}}, nil, "", "", "refuses archy's password"},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, err := wallet.Bitcoin{Call: c.node.call}.Ensure(t.Context())
			if !reflect.DeepEqual(c.node.loaded, c.loaded) {
				t.Errorf("loaded %q, want %q", c.node.loaded, c.loaded)
			}
			if c.did != "" && !reflect.DeepEqual(c.node.atStart, c.loaded) {
				t.Errorf("loaded at the next start: %q", c.node.atStart)
			}
			if got := report.Did; !strings.Contains(got, c.did) || (got != "") != (c.did != "") {
				t.Errorf("did %q, want %q", got, c.did)
			}
			if got := strings.Join(report.Warnings, "\n"); !strings.Contains(got, c.warning) || (got != "") != (c.warning != "") {
				t.Errorf("warnings %q, want %q", got, c.warning)
			}
			if got := fmt.Sprint(err); c.err != "" && !strings.Contains(got, c.err) || c.err == "" && err != nil {
				t.Errorf("error %q, want %q", got, c.err)
			}
		})
	}
}

// TestBitcoinWalletHasNoPassphrase: it is one of descriptors, and nobody has to type anything after a restart.
func TestBitcoinWalletHasNoPassphrase(t *testing.T) {
	b := bitcoind{}
	var params map[string]any
	_, err := wallet.Bitcoin{Call: func(ctx context.Context, method string, p, result any) error {
		if method == "createwallet" {
			params = maps.Clone(p.(map[string]any))
		}
		return b.call(ctx, method, p, result)
	}}.Ensure(t.Context())
	if want := map[string]any{"wallet_name": "archipelago", "descriptors": true, "load_on_startup": true}; err != nil || !reflect.DeepEqual(params, want) {
		t.Errorf("%v, %v", params, err)
	}
}

func TestBitcoinThatDoesNotAnswer(t *testing.T) {
	for name, b := range map[string]*bitcoind{"warming up": {warmingUp: 1 << 30}, "silent": {fails: map[string]error{"listwallets": stage.ErrRPCSilent}},
		"silent later": {fails: map[string]error{"listwalletdir": stage.ErrRPCSilent}}} {
		t.Run(name, func(t *testing.T) {
			_, err := wallet.Bitcoin{Call: b.call, Patience: 50 * time.Millisecond}.Ensure(t.Context())
			if !errors.Is(err, wallet.ErrNotReady) || len(b.calls) > 0 {
				t.Errorf("%v after %q", err, b.calls)
			}
		})
	}
}
