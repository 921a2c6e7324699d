package podman

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Stop asks the container to end, and kills it after grace. One that does not run is a success. The call takes at
// most grace + Limits.StopMargin.
func (c *Client) Stop(ctx context.Context, name string, grace time.Duration) error {
	r := c.post("stop container "+name, "/containers/%s/stop", name)
	r.query = url.Values{"timeout": {strconv.Itoa(int(grace.Round(time.Second) / time.Second))}}
	r.limit = grace + c.Limits.StopMargin
	return c.call(ctx, r, nil)
}

// Unpause lets a paused container go on.
func (c *Client) Unpause(ctx context.Context, name string) error {
	return c.call(ctx, c.post("unpause container "+name, "/containers/%s/unpause", name), nil)
}

// Rename gives the container another name. A name that is taken is an ErrConflict.
func (c *Client) Rename(ctx context.Context, old, name string) error {
	r := c.post(fmt.Sprintf("rename container %s to %s", old, name), "/containers/%s/rename", old)
	r.query = url.Values{"name": {name}}
	return c.call(ctx, r, nil)
}

// SetRestartPolicy sets the policy of an existing container: no, always, unless-stopped or on-failure.
func (c *Client) SetRestartPolicy(ctx context.Context, name, policy string) error {
	r := c.post("set restart policy of container "+name, "/containers/%s/update", name)
	r.query = url.Values{"restartPolicy": {policy}}
	r.body, r.mime = strings.NewReader("{}"), "application/json"
	return c.call(ctx, r, nil)
}

// Remove removes the container, and never a volume. With force a running one is killed first.
func (c *Client) Remove(ctx context.Context, name string, force bool) error {
	r := c.remove("remove container "+name, "/containers/%s", name)
	r.query = url.Values{"force": {strconv.FormatBool(force)}, "volumes": {"false"}}
	return c.call(ctx, r, nil)
}
