// Package podman talks to the service user's podman over its REST API, and runs the few podman commands that the
// API does not have.
//
// Every method applies its own limit (limits.go). The types are small and our own: importing the sub-packages of
// the bindings costs 27 MB and 20 ms per start.
package podman

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containers/podman/v5/pkg/bindings"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
)

// maxAnswer bounds an answer that is read as a whole.
const maxAnswer = 64 << 20

// Client asks one podman service. Its methods may be called from several goroutines.
type Client struct {
	// Limits may be changed before the first call.
	Limits Limits

	socket string
	conn   bindings.Connection
	// version is what the last good answer said of its service.
	version atomic.Pointer[string]
}

// New returns a client for the service behind the socket at path, for example /run/user/1000/podman/podman.sock.
// It does not connect: bindings.NewConnection would spend a round trip on a ping, and three tries on a socket that
// is not there.
func New(path string) *Client {
	c := &Client{Limits: DefaultLimits(), socket: path}
	c.conn.URI = &url.URL{Scheme: "unix", Path: path}
	c.conn.Client = &http.Client{Transport: c.transport()}
	return c
}

// Socket returns the path of the socket.
func (c *Client) Socket() string { return c.socket }

// Close gives the idle connections back; podman's service ends when it has none left.
func (c *Client) Close() { c.conn.Client.CloseIdleConnections() }

// request is one call of the API, below /libpod.
type request struct {
	// op names the call and its object in errors.
	op     string
	method string
	// path may hold one %s, filled with the escaped object.
	path   string
	object []string
	query  url.Values
	body   io.Reader
	// mime is the content type of the body.
	mime  string
	limit time.Duration
}

func (c *Client) get(op, path string, object ...string) request {
	return request{op: op, method: http.MethodGet, path: path, object: object, limit: c.Limits.Query}
}

func (c *Client) post(op, path string, object ...string) request {
	return request{op: op, method: http.MethodPost, path: path, object: object, limit: c.Limits.Change}
}

func (c *Client) remove(op, path string, object ...string) request {
	return request{op: op, method: http.MethodDelete, path: path, object: object, limit: c.Limits.Remove}
}

// call sends the request and decodes the answer into out, unless out is nil.
func (c *Client) call(ctx context.Context, r request, out any) error {
	limited, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	body, err := c.open(ctx, limited, r)
	if err != nil {
		return err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err != nil {
		return c.explain(ctx, limited, r, err)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return c.garbage(r, err)
	}
	return nil
}

// open sends the request and returns the body of a good answer. ctx is the caller's, limited ends it in time.
func (c *Client) open(ctx, limited context.Context, r request) (io.ReadCloser, error) {
	header := http.Header{}
	if r.mime != "" {
		header.Set("Content-Type", r.mime)
	}
	tried, outcome := withOutcome(limited)
	var resp *bindings.APIResponse
	err := failpoint.Do(limited, failpoint.Podman, r.op, func() (err error) {
		resp, err = c.conn.DoRequest(tried, r.body, r.method, r.path, r.query, header, r.object...)
		return cmp.Or(outcome.failed, err)
	})
	if err != nil {
		return nil, c.explain(ctx, limited, r, err)
	}
	if resp.IsSuccess() || resp.StatusCode == http.StatusNotModified {
		if v := resp.Header.Get("Libpod-API-Version"); v != "" {
			c.version.Store(&v)
		}
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, c.refusal(r, resp.StatusCode, resp.Body)
}

// refusal turns an error answer into an error with podman's own text.
func (c *Client) refusal(r request, status int, body io.Reader) error {
	var model struct {
		Message string `json:"message"`
	}
	data, err := io.ReadAll(io.LimitReader(body, 1<<20))
	if err == nil {
		err = json.Unmarshal(data, &model)
	}
	if err != nil || model.Message == "" {
		return c.garbage(r, fmt.Errorf("status %d, body %q", status, short(data)))
	}
	return &APIError{Op: r.op, Status: status, Message: model.Message}
}

// explain finds out what an error of the transport means.
func (c *Client) explain(ctx, limited context.Context, r request, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", r.op, context.Cause(ctx))
	}
	if limited.Err() != nil && r.method != http.MethodGet {
		return &LimitError{Op: r.op, Limit: r.limit}
	}
	if limited.Err() != nil {
		err = fmt.Errorf("no answer after %s: %w", r.limit, context.DeadlineExceeded)
	}
	if isGarbage(err) {
		return c.garbage(r, err)
	}
	return &UnreachableError{Op: r.op, Socket: c.socket, Cause: err}
}

func (c *Client) garbage(r request, cause error) error {
	return fmt.Errorf("%s: podman socket %s: %w: %w; is something else listening there?", r.op, c.socket, ErrGarbage, cause)
}

// short returns the beginning of data for an error message.
func short(data []byte) string {
	const most = 120
	text := strings.ToValidUTF8(string(data[:min(len(data), most)]), "?")
	if len(data) > most {
		text += "..."
	}
	return text
}
