// Package stage asks the apps that take days to get ready how far they are: bitcoin while it syncs, lnd while its wallet
// is locked, electrumx while it indexes. It only reads, on the node itself, and for a moment.
package stage

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

// Limits on asking an app.
const (
	connectLimit = 3 * time.Second
	askLimit     = 15 * time.Second
	// electrumLimit is short: an index that is open answers its version from memory, and one that is busy is open too.
	electrumLimit = 250 * time.Millisecond
)

// Silent is the text of an app that gives no answer, or none in time.
const Silent = "not answering"

// State is an app's own word on how far it is. Ready is false while others that need it have to wait.
type State struct {
	Text  string
	Ready bool
}

// Prober asks the apps of one node.
type Prober struct {
	// Host is where the apps' ports are published; "" means 127.0.0.1.
	Host     string
	Password func() (secrets.Value, error)
}

// published is where a container's port is found on the host. Containers of older releases have other ports than ours.
func (p Prober) published(ports map[int]int, container int) string {
	host := p.Host
	if host == "" {
		host = "127.0.0.1"
	}
	port := container
	if other, ok := ports[container]; ok {
		port = other
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// Probe asks the app; one that has nothing to say is ready and has no text.
// ports maps the container's ports to those of the host.
func (p Prober) Probe(ctx context.Context, app string, ports map[int]int) State {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	switch app {
	case "bitcoin-knots", "bitcoin-core":
		return p.bitcoin(ctx, p.published(ports, 8332))
	case "lnd":
		return p.lnd(ctx, p.published(ports, 8080))
	case "electrumx":
		return p.electrumx(ctx, p.published(ports, 50001))
	}
	return State{Ready: true}
}

type chainInfo struct {
	Blocks               int     `json:"blocks"`
	Headers              int     `json:"headers"`
	Progress             float64 `json:"verificationprogress"`
	InitialBlockDownload bool    `json:"initialblockdownload"`
}

func (p Prober) bitcoin(ctx context.Context, address string) State {
	var info chainInfo
	err := p.CallBitcoin(ctx, address, "getblockchaininfo", nil, &info)
	var rpc *RPCError
	switch {
	case errors.As(err, &rpc) && rpc.Code == RPCWarmingUp:
		return State{Text: "warming up"}
	case errors.As(err, &rpc):
		return State{Text: fmt.Sprintf("RPC error %d", rpc.Code)}
	case err != nil:
		return State{Text: err.Error()}
	}
	return info.state()
}

func (i chainInfo) state() State {
	if i.InitialBlockDownload || i.Blocks < i.Headers-1 {
		return State{Text: fmt.Sprintf("syncing %.1f %%", 100*i.Progress), Ready: true}
	}
	return State{Text: "ready", Ready: true}
}

// lnd tells its state without a macaroon and with a locked or missing wallet.
func (p Prober) lnd(ctx context.Context, address string) State {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/v1/state", nil)
	if err != nil {
		return State{}
	}
	// The certificate is lnd's own and names no address; nothing secret is sent.
	resp, err := client(&tls.Config{InsecureSkipVerify: true}).Do(req) //nolint:gosec
	if err != nil {
		return State{Text: Silent}
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		State string `json:"state"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 1<<16)).Decode(&answer); err != nil {
		return State{Text: Silent}
	}
	switch answer.State {
	case "NON_EXISTING":
		return State{Text: "needs wallet"}
	case "LOCKED":
		return State{Text: "locked"}
	case "RPC_ACTIVE", "SERVER_ACTIVE":
		return State{Text: "ready", Ready: true}
	}
	return State{Text: "starting"}
}

// electrumx opens its port when the index has caught up. The port forwarder takes every connection and hangs up when
// nothing listens behind it, so only an answer counts.
func (p Prober) electrumx(ctx context.Context, address string) State {
	indexing := State{Text: "indexing"}
	conn, err := (&net.Dialer{Timeout: connectLimit}).DialContext(ctx, "tcp", address)
	if err != nil {
		return indexing
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(electrumLimit))
	if _, err := conn.Write([]byte(`{"id":0,"method":"server.version","params":["archy","1.4"]}` + "\n")); err != nil {
		return indexing
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	var timeout net.Error
	if strings.Contains(line, `"id"`) || (errors.As(err, &timeout) && timeout.Timeout()) {
		return State{Text: "ready", Ready: true}
	}
	return indexing
}

// AskHost tells whether an HTTP request from the host is answered with one of the accepted statuses, or any below 400
// when none are named.
func AskHost(ctx context.Context, url string, accepted []int) bool {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	c := client(&tls.Config{InsecureSkipVerify: true})                                              //nolint:gosec
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // a redirect is an answer
	resp, err := c.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	if len(accepted) == 0 {
		return resp.StatusCode < http.StatusBadRequest
	}
	return slices.Contains(accepted, resp.StatusCode)
}

func client(t *tls.Config) *http.Client {
	return &http.Client{Timeout: askLimit, Transport: failpoint.Transport(&http.Transport{DisableKeepAlives: true, TLSClientConfig: t,
		DialContext: (&net.Dialer{Timeout: connectLimit}).DialContext})}
}
