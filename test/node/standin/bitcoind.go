package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// bitcoin is a bitcoind: RPC with the passwords and networks of its bitcoin.conf, and ports that accept.
type bitcoin struct {
	dir     string
	conf    map[string][]string
	cookie  string
	started time.Time
	wallets wallets
}

func bitcoind(args []string) int {
	named, _ := flags(args)
	b := &bitcoin{dir: first(named, "datadir", os.Getenv("HOME")+"/.bitcoin"), started: time.Now()}
	conf, err := readConf(first(named, "conf", filepath.Join(b.dir, "bitcoin.conf")))
	if err != nil && named["conf"] != nil {
		// bitcoind refuses to start when -conf names a file that is not there
		say("Error: Error reading configuration file: %v", err)
		return 1
	}
	b.conf = conf
	if b.conf == nil {
		b.conf = map[string][]string{}
	}
	for name, values := range named {
		b.conf[name] = values // an argument wins over the file
	}
	b.wallets.open(b.dir)
	srv := &server{name: "bitcoind", data: b.dir, ports: b.ports(), stopping: func() { os.Remove(b.path(".cookie")) }}
	if readFaults(b.dir).fail == 0 {
		if err := b.writeCookie(); err != nil {
			say("Error: %v", err)
			return 1
		}
	}
	return srv.run()
}

func (b *bitcoin) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bitcoin) ports() []port {
	ports := []port{tcp(":"+first(b.conf, "rpcport", "8332"), serveHTTP(b))}
	if first(b.conf, "listen", "1") == "1" {
		ports = append(ports, tcp(first(b.conf, "bind", ":8333"), nil))
	}
	for _, name := range []string{"zmqpubrawblock", "zmqpubrawtx"} {
		for _, addr := range b.conf[name] {
			ports = append(ports, tcp(strings.TrimPrefix(addr, "tcp://"), nil))
		}
	}
	return ports
}

func (b *bitcoin) writeCookie() error {
	if err := os.MkdirAll(b.dir, 0o750); err != nil {
		return err
	}
	b.cookie = "__cookie__:" + rand.Text()
	tmp := b.path(".cookie.tmp")
	if err := os.WriteFile(tmp, []byte(b.cookie), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, b.path(".cookie"))
}

// ServeHTTP is the RPC: https://github.com/bitcoin/bitcoin/blob/master/doc/JSON-RPC-interface.md
func (b *bitcoin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !b.allowed(r.RemoteAddr) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if user, pass, _ := r.BasicAuth(); !b.knows(user, pass) {
		w.Header().Set("WWW-Authenticate", `Basic realm="jsonrpc"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var req struct {
		ID     any             `json:"id"`
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	result, rpcErr := b.call(req.Method, params(req.Params))
	w.Header().Set("Content-Type", "application/json")
	if rpcErr != nil {
		w.WriteHeader(rpcErr.status())
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"result": result, "error": rpcErr, "id": req.ID})
}

// allowed follows rpcallowip; without such a line only the machine itself may ask.
func (b *bitcoin) allowed(remote string) bool {
	host, _, _ := net.SplitHostPort(remote)
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	addr = addr.Unmap()
	if addr.IsLoopback() {
		return true
	}
	for _, text := range b.conf["rpcallowip"] {
		if one, err := netip.ParseAddr(text); err == nil && one == addr {
			return true
		}
		if net, err := netip.ParsePrefix(text); err == nil && net.Contains(addr) {
			return true
		}
	}
	return false
}

// knows checks a login against the cookie, the rpcauth lines and rpcuser with rpcpassword.
func (b *bitcoin) knows(user, pass string) bool {
	if user+":"+pass == b.cookie {
		return true
	}
	if p := first(b.conf, "rpcpassword", ""); p != "" && p == pass && user == first(b.conf, "rpcuser", "") {
		return true
	}
	for _, line := range b.conf["rpcauth"] {
		name, rest, _ := strings.Cut(line, ":")
		salt, want, _ := strings.Cut(rest, "$")
		mac := hmac.New(sha256.New, []byte(salt))
		mac.Write([]byte(pass))
		if name == user && hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(want)) {
			return true
		}
	}
	return false
}

// rpcError is an error as bitcoind reports it.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *rpcError) Error() string { return fmt.Sprintf("error code: %d: %s", e.Code, e.Message) }

func (e *rpcError) status() int {
	if e.Code == -32601 {
		return http.StatusNotFound
	}
	return http.StatusInternalServerError
}

func (b *bitcoin) call(method string, p args) (any, *rpcError) {
	if readFaults(b.dir).warmup {
		return nil, &rpcError{-28, "Loading block index..."}
	}
	chain := b.chain()
	switch method {
	case "getblockchaininfo":
		return chain, nil
	case "getblockcount":
		return chain["blocks"], nil
	case "uptime":
		return int(time.Since(b.started).Seconds()), nil
	case "getnetworkinfo":
		return map[string]any{"version": 280100, "subversion": "/Satoshi:28.1.0/", "protocolversion": 70016,
			"connections": 8, "connections_in": 0, "connections_out": 8, "networkactive": true, "warnings": []string{}}, nil
	case "getindexinfo":
		if first(b.conf, "txindex", "0") != "1" {
			return map[string]any{}, nil
		}
		return map[string]any{"txindex": map[string]any{"synced": true, "best_block_height": chain["blocks"]}}, nil
	case "getmempoolinfo":
		return map[string]any{"loaded": true, "size": 1200, "bytes": 480000, "usage": 2400000, "maxmempool": 300000000}, nil
	}
	return b.wallets.call(method, p)
}

// chain is what getblockchaininfo says: a node that is up to date, unless standin.chain in the data directory, a
// JSON object, says otherwise field by field.
func (b *bitcoin) chain() map[string]any {
	prune, _ := strconv.Atoi(first(b.conf, "prune", "0"))
	chain := map[string]any{
		"chain": "main", "blocks": 840000, "headers": 840000, "verificationprogress": 0.9999995,
		"initialblockdownload": false, "pruned": prune > 0, "difficulty": 86388558925171.02,
		"bestblockhash": "0000000000000000000320283a032748cef8227873ff4872689bf23f1cda83a5",
		"time":          time.Now().Add(-5 * time.Minute).Unix(), "mediantime": time.Now().Add(-time.Hour).Unix(),
		"size_on_disk": 650_000_000_000, "warnings": []string{},
	}
	if prune > 0 {
		chain["pruneheight"], chain["automatic_pruning"], chain["prune_target_size"] = 800000, true, int64(prune)<<20
	}
	text, err := os.ReadFile(b.path("standin.chain"))
	if err != nil {
		return chain
	}
	if err := json.Unmarshal(text, &chain); err != nil {
		say("error: standin.chain: %v", err)
	}
	return chain
}
