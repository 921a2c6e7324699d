package update

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
)

// Limits of a probe: what one request may take, and how much of an answer is read.
const (
	requestLimit = 5 * time.Second
	maxPage      = 4 << 20
	maxAsset     = 64 << 20
)

// rpcBody is a question that changes nothing, whether the backend knows the answer or not.
const rpcBody = `{"jsonrpc":"2.0","id":"archy","method":"server.echo","params":{"message":"archy"}}`

// HTTPProber asks the node's own web server.
type HTTPProber struct {
	// Base is where it answers: https://127.0.0.1/.
	Base   string
	client *http.Client
}

// NewHTTPProber asks base. The certificate is the node's own and not checked; a redirect is an answer and not followed.
func NewHTTPProber(base string) *HTTPProber {
	transport := &http.Transport{
		DialContext:     (&net.Dialer{Timeout: requestLimit}).DialContext,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		// Each probe meets nginx as a browser would that comes for the first time.
		DisableKeepAlives: true,
	}
	return &HTTPProber{Base: base, client: &http.Client{Transport: failpoint.Transport(transport),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// probeError is the request that failed, and how.
type probeError struct{ request, how string }

func (e *probeError) Error() string { return e.request + " → " + e.how }

// Probe implements Prober: the page, what it is made of, and the backend behind it.
func (p *HTTPProber) Probe(ctx context.Context) (ok bool, detail string) {
	for _, part := range []func(context.Context) error{p.probePage, p.probeBackend} {
		if err := part(ctx); err != nil {
			return false, err.Error()
		}
	}
	return true, ""
}

// probePage wants the start page to be HTML that is not empty, and each script and style sheet that it names to be there
// (a page that names a missing one is blank).
func (p *HTTPProber) probePage(ctx context.Context) error {
	base, err := url.Parse(p.Base)
	if err != nil {
		return err
	}
	page, kind, err := p.get(ctx, base, maxPage)
	switch {
	case err != nil:
		return err
	case kind != "text/html":
		return &probeError{"GET /", dash(kind) + ", not HTML"}
	case len(bytes.TrimSpace(page)) == 0:
		return &probeError{"GET /", "an empty page"}
	}
	for _, asset := range pageAssets(base, page) {
		_, kind, err := p.get(ctx, asset, maxAsset)
		if err != nil {
			return err
		}
		// A web server of a one-page application answers every unknown path with the page itself.
		if kind == "text/html" {
			return &probeError{"GET " + asset.Path, "the page instead of a script or style sheet"}
		}
	}
	return nil
}

// get wants 200 and returns the first bytes of the body, and its media type.
func (p *HTTPProber) get(ctx context.Context, u *url.URL, limit int64) (body []byte, kind string, err error) {
	name := "GET " + u.Path
	err = p.do(ctx, http.MethodGet, u, "", func(res *http.Response) error {
		if res.StatusCode != http.StatusOK {
			return &probeError{name, fmt.Sprint(res.StatusCode)}
		}
		kind, _, _ = mime.ParseMediaType(res.Header.Get("Content-Type"))
		body, err = io.ReadAll(io.LimitReader(res.Body, limit))
		return err
	})
	return body, kind, err
}

// probeBackend wants the web server to reach the backend, and that one not to fail.
func (p *HTTPProber) probeBackend(ctx context.Context) error {
	u, err := url.Parse(p.Base)
	if err != nil {
		return err
	}
	u = u.JoinPath("rpc/v1")
	return p.do(ctx, http.MethodPost, u, rpcBody, func(res *http.Response) error {
		if res.StatusCode >= http.StatusInternalServerError {
			return &probeError{"POST " + u.Path, fmt.Sprint(res.StatusCode)}
		}
		return nil
	})
}

func (p *HTTPProber) do(ctx context.Context, method string, u *url.URL, body string, use func(*http.Response) error) error {
	limited, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, method, u.String(), strings.NewReader(body))
	if err != nil {
		return err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "archy update verify")
	res, err := p.client.Do(req)
	if err == nil {
		defer res.Body.Close()
		err = use(res)
	}
	var said *probeError
	if err == nil || errors.As(err, &said) {
		return err
	}
	return &probeError{method + " " + u.Path, transportWords(err)}
}

// transportWords are the reason why there was no whole answer, without the address that the request had anyway.
func transportWords(err error) string {
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	}
	return err.Error()
}
