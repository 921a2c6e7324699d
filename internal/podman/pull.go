package podman

import (
	"context"
	"net/url"
	"strings"
)

// TLS says how far the registry of a pull is trusted.
type TLS string

// The ways to ask a registry. The default is podman's own: verified, unless registries.conf says otherwise.
const (
	TLSDefault  TLS = ""
	TLSVerified TLS = "true"
	TLSInsecure TLS = "false" // also plain HTTP, and certificates that nobody vouches for
)

// Progress is how far a pull or a load is.
type Progress struct {
	// Text is for people, without a newline.
	Text string
	// Bytes of Total have come. Total grows while podman learns of further layers.
	Bytes, Total int64
}

// Pull fetches the image from its registry, whether or not it is here already. progress is told about once a second and
// may be nil. Limits.PullStall without anything from podman or Limits.Pull in all is an error.
//
// podman's own three tries are switched off: who calls has an order of mirrors, and pauses of its own. compatMode is what
// makes podman 5.4 tell bytes; without it a layer that takes five minutes looks like a pull that stands still.
func (c *Client) Pull(ctx context.Context, ref string, tls TLS, progress func(Progress)) error {
	r := c.post("pull image "+ref, "/images/pull")
	r.query = url.Values{"reference": {ref}, "policy": {"always"}, "retry": {"0"}, "compatMode": {"true"}}
	if tls != TLSDefault {
		r.query.Set("tlsVerify", string(tls))
	}
	r.limit = c.Limits.Pull
	layers := layerSum{}
	return c.stream(ctx, r, c.Limits.PullStall, func(l report) error {
		if p := layers.add(l); progress != nil {
			progress(p)
		}
		return nil
	})
}

// layerSum adds up what podman tells of the layers of one image.
type layerSum map[string]layerProgress

type layerProgress struct{ Current, Total int64 }

func (s layerSum) add(l report) Progress {
	if l.Detail.Total > 0 {
		s[l.ID] = l.Detail
	} else if got, ok := s[l.ID]; ok && l.Status == "Download complete" {
		got.Current = got.Total
		s[l.ID] = got
	}
	p := Progress{Text: strings.TrimSpace(l.Status + " " + l.ID)}
	for _, layer := range s {
		p.Bytes += layer.Current
		p.Total += layer.Total
	}
	return p
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
