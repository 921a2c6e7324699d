package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

// The codes of bitcoind's RPC that archy acts on (src/rpc/protocol.h).
const (
	RPCWarmingUp      = -28    // it is loading its index
	RPCMethodNotFound = -32601 // built or started without the wallet
	RPCWalletIsLoaded = -35
)

// maxRPCAnswer bounds what is read of an answer, in bytes.
const maxRPCAnswer = 1 << 20

// Errors of a bitcoind that does not come to answer the question itself.
var (
	ErrRPCNoPassword = errors.New("no RPC password")
	ErrRPCSilent     = errors.New(Silent)
	ErrRPCRefused    = errors.New("refuses archy's password")
)

// RPCError is an error that bitcoind itself reports.
type RPCError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *RPCError) Error() string { return fmt.Sprintf("RPC error %d: %s", e.Code, e.Message) }

// Address is where a container's port is published; ports maps the container's ports to those of the host.
func (p Prober) Address(ports map[int]int, container int) string {
	return p.published(ports, container)
}

// CallBitcoin asks the bitcoind at address, and reads its answer into result. params are a list, or a map of names; nil
// means none. The password travels in a header and is in no error.
func (p Prober) CallBitcoin(ctx context.Context, address, method string, params, result any) error {
	password, err := p.Password()
	if err != nil {
		return ErrRPCNoPassword
	}
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "1.0", "id": "archy", "method": method, "params": params})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth(secrets.RPCUser, password.Reveal())
	req.Header.Set("Content-Type", "application/json")
	return askBitcoin(req, result)
}

func askBitcoin(req *http.Request, result any) error {
	resp, err := client(nil).Do(req)
	if err != nil {
		return ErrRPCSilent
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		return ErrRPCRefused
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *RPCError       `json:"error"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, maxRPCAnswer)).Decode(&answer); err != nil {
		return ErrRPCSilent
	}
	if answer.Error != nil {
		return answer.Error
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		return ErrRPCSilent
	}
	return nil
}
