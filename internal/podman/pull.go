package podman

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

// Pull fetches the image from its registry, whether or not it is here already. progress gets each line that podman
// says and may be nil. Limits.PullStall without a line or Limits.Pull in all is an error.
//
// podman's own three tries are switched off: who calls has an order of mirrors, and pauses of its own.
func (c *Client) Pull(ctx context.Context, ref string, progress func(line string)) error {
	r := c.post("pull image "+ref, "/images/pull")
	r.query = url.Values{"reference": {ref}, "policy": {"always"}, "retry": {"0"}}
	r.limit = c.Limits.Pull
	id := ""
	err := c.stream(ctx, r, c.Limits.PullStall, func(l report) error {
		if l.ID != "" {
			id = l.ID
		}
		say(progress, l.Stream)
		return nil
	})
	if err == nil && id == "" {
		err = fmt.Errorf("%s: podman ended without naming an image; look at: journalctl --user -u podman", r.op)
	}
	return err
}

// say hands text to progress line by line.
func say(progress func(string), text string) {
	if progress == nil {
		return
	}
	for _, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			progress(line)
		}
	}
}
