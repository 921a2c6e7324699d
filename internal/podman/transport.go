package podman

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"
)

// idleLimit is below the five seconds after which an idle podman service ends, so that no request is sent into a
// connection that the other side is closing.
const idleLimit = 2 * time.Second

// transport dials the socket, whatever the address in the URL.
func (c *Client) transport() http.RoundTripper {
	return singleTry{&http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			d := net.Dialer{Timeout: c.Limits.Connect}
			return d.DialContext(ctx, "unix", c.socket)
		},
		DisableCompression: true,
		IdleConnTimeout:    idleLimit,
	}}
}

// singleTry hides a failure from the bindings, which would send the request twice more, with pauses: a second "stop"
// or "create" after a lost connection is not what was asked for, and a body cannot be read again. The failure waits
// in the request's outcome.
type singleTry struct{ next http.RoundTripper }

type outcomeKey struct{}

// outcome is how the one try of a request failed.
type outcome struct{ failed error }

func withOutcome(ctx context.Context) (context.Context, *outcome) {
	o := &outcome{}
	return context.WithValue(ctx, outcomeKey{}, o), o
}

func (s singleTry) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(req)
	o, ok := req.Context().Value(outcomeKey{}).(*outcome)
	if err == nil || !ok {
		return resp, err
	}
	o.failed = err
	return &http.Response{Request: req, Header: http.Header{}, Body: http.NoBody, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}, nil
}

func (s singleTry) CloseIdleConnections() {
	if t, ok := s.next.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// isGarbage reports whether the other side answered, but not in HTTP.
func isGarbage(err error) bool {
	text := err.Error()
	// The second is what net/http says when the other side speaks first.
	return strings.Contains(text, "malformed HTTP") || strings.Contains(text, "readLoopPeekFailLocked")
}
