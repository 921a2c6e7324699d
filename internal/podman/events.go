package podman

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"time"
)

// Event is something that happened to an object of podman.
type Event struct {
	// Type is container, image, secret, network ...; Action is died, start, remove, health_status ...
	Type, Action string
	// Name is the object's; Health is what a health_status found.
	Name, Health string
}

// Events hands out what happens from now on, until ctx ends or podman closes the stream; listening is called once, when
// nothing is missed any more. Only the answer to the request has a limit: nothing may happen for days. Its end is an
// error in any case, io.EOF when podman has closed it in order.
func (c *Client) Events(ctx context.Context, listening func(), event func(Event)) error {
	r := c.get("podman events", "/events")
	r.query = url.Values{"stream": {"true"}, "filters": {`{"type":["container","secret","network","image"]}`}}
	limited, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	timer := time.AfterFunc(r.limit, func() { stop(context.DeadlineExceeded) })
	defer timer.Stop()
	body, err := c.open(ctx, limited, r)
	if err != nil {
		return err
	}
	defer body.Close()
	if !timer.Stop() {
		return c.explain(ctx, limited, r, context.DeadlineExceeded)
	}
	listening()
	return c.readEvents(ctx, limited, r, body, event)
}

func (c *Client) readEvents(ctx, limited context.Context, r request, body io.Reader, event func(Event)) error {
	lines := json.NewDecoder(body)
	for {
		var l struct {
			Type, Action string
			Actor        struct{ Attributes map[string]string }
			HealthStatus string
		}
		var syntax *json.SyntaxError
		switch err := lines.Decode(&l); {
		case errors.Is(err, io.EOF):
			return io.EOF
		case errors.As(err, &syntax):
			return c.garbage(r, err)
		case err != nil:
			return c.explain(ctx, limited, r, err)
		}
		event(Event{Type: l.Type, Action: l.Action, Name: l.Actor.Attributes["name"], Health: l.HealthStatus})
	}
}
