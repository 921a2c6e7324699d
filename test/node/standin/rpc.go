package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// rpcCall asks a bitcoind. The error is an *rpcError when bitcoind itself reported one.
func rpcCall(ctx context.Context, addr, user, pass, method string, params ...any) (json.RawMessage, error) {
	body, err := json.Marshal(map[string]any{"id": 1, "method": method, "params": append([]any{}, params...)})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(user, pass)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusUnauthorized:
		return nil, errors.New("bitcoind: 401 Unauthorized: wrong user or password")
	case http.StatusForbidden:
		return nil, errors.New("bitcoind: 403 Forbidden: not in rpcallowip")
	}
	var answer struct {
		Result json.RawMessage
		Error  *rpcError
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, answer.Error
	}
	return answer.Result, nil
}

// reaches is a readiness check: bitcoind answers and takes the password. Warming up counts.
func reaches(addr, user, pass string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := rpcCall(ctx, addr, user, pass, "getblockchaininfo")
		if rpcErr := (*rpcError)(nil); errors.As(err, &rpcErr) {
			return nil
		}
		return err
	}
}

// bitcoinCLI logs in with the cookie of -datadir. It exits with the RPC's error code, 1 when nobody answers.
func bitcoinCLI(args []string) int {
	named, words := flags(args)
	if len(words) == 0 {
		say("error: too few parameters")
		return 1
	}
	dir := first(named, "datadir", os.Getenv("HOME")+"/.bitcoin")
	cookie, err := os.ReadFile(filepath.Join(dir, ".cookie"))
	if err != nil {
		say("error: could not locate RPC credentials: %v", err)
		return 1
	}
	user, pass, _ := strings.Cut(string(cookie), ":")
	ctx, cancel := context.WithTimeout(context.Background(), max(time.Second, duration(first(named, "rpcclienttimeout", "900"))))
	defer cancel()
	var params []any
	for _, w := range words[1:] {
		params = append(params, literal(w))
	}
	result, err := rpcCall(ctx, "127.0.0.1:"+first(named, "rpcport", "8332"), user, pass, words[0], params...)
	if rpcErr := (*rpcError)(nil); errors.As(err, &rpcErr) {
		say("error code: %d\nerror message:\n%s", rpcErr.Code, rpcErr.Message)
		return -rpcErr.Code & 0xff
	}
	if err != nil {
		say("error: %v", err)
		return 1
	}
	fmt.Println(strings.Trim(string(result), `"`))
	return 0
}

// literal turns a word of a command line into a JSON value: a number, true, false, or else a string.
func literal(word string) any {
	var v any
	if json.Unmarshal([]byte(word), &v) == nil {
		return v
	}
	return word
}
