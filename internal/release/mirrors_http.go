package release

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
)

// statusError is an answer other than 200.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("http %d", int(s)) }

var errTooLong = errors.New("longer than a manifest may be")

const maxRedirects = 3

// MirrorClient is how mirrors are asked: 5 s to connect, three redirects on the same origin, no keeping of connections.
func MirrorClient() *http.Client {
	return &http.Client{
		CheckRedirect: sameOrigin,
		Transport: failpoint.Transport(&http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second,
			DisableKeepAlives:   true,
			DisableCompression:  true,
		}),
	}
}

// sameOrigin follows few redirects, and none to another server: what that says is not what the mirror says.
func sameOrigin(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects || req.URL.Scheme != via[0].URL.Scheme || req.URL.Host != via[0].URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// do asks; an answer other than 200 is an error.
func (m Mirrors) do(ctx context.Context, method string, u *url.URL) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := m.Client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, statusError(resp.StatusCode)
	}
	return resp, nil
}

func (m Mirrors) get(ctx context.Context, u *url.URL, limit int64) ([]byte, error) {
	resp, err := m.do(ctx, http.MethodGet, u)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errTooLong
	}
	return data, err
}

// isTLS tells a server whose certificate is wrong from one that is not there.
func isTLS(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		record       tls.RecordHeaderError
		alert        tls.AlertError
		authority    x509.UnknownAuthorityError
	)
	return errors.As(err, &verification) || errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &authority)
}
