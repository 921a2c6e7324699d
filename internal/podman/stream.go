package podman

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// report is one line of the answer to a pull or a build.
type report struct {
	Stream string `json:"stream"`
	// Error is a text in a pull and an object in a build.
	Error json.RawMessage `json:"error"`
	ID    string          `json:"id"`
	// Status and Detail are what a pull tells of the layer ID.
	Status string        `json:"status"`
	Detail layerProgress `json:"progressDetail"`
}

// message returns the error text of the line, if there is one.
func (r report) message() string {
	var text string
	if json.Unmarshal(r.Error, &text) == nil {
		return text
	}
	var object struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(r.Error, &object)
	return object.Message
}

// errStall is the cause of a stream that was ended because nothing came any more.
var errStall = errors.New("no progress")

// stream sends the request and hands every line of the answer to line. No line for stall ends it; stall 0 waits as
// long as the request's limit allows.
func (c *Client) stream(ctx context.Context, r request, stall time.Duration, line func(report) error) error {
	limited, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	watched, stop := context.WithCancelCause(limited)
	defer stop(nil)
	if stall <= 0 {
		stall = r.limit
	}
	timer := time.AfterFunc(stall, func() { stop(errStall) })
	defer timer.Stop()

	err := c.readStream(ctx, watched, r, func(l report) error {
		timer.Reset(stall)
		return line(l)
	})
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(watched), errStall) {
		return fmt.Errorf("%s: %w for %s; check the network and the registry", r.op, errStall, stall)
	}
	return err
}

func (c *Client) readStream(ctx, limited context.Context, r request, line func(report) error) error {
	body, err := c.open(ctx, limited, r)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := json.NewDecoder(body)
	for {
		var l report
		err := lines.Decode(&l)
		var syntax *json.SyntaxError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &syntax):
			return c.garbage(r, err)
		case err != nil:
			return c.explain(ctx, limited, r, err)
		}
		if text := l.message(); text != "" {
			return &APIError{Op: r.op, Status: http.StatusInternalServerError, Message: text}
		}
		if err := line(l); err != nil {
			return err
		}
	}
}
