package podman

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// Load brings an image from an archive, OCI's or docker's, compressed or not, and returns the references it has here
// now. name is the archive in errors. size is its length in bytes, for progress, which may be nil. Limits.PullStall
// without a byte taken and without an answer, or Limits.Pull in all, is an error.
//
// podman 5.4 copies what it gets to its temporary directory (image_copy_tmp_dir) before it reads it.
func (c *Client) Load(ctx context.Context, archive io.Reader, name string, size int64, progress func(Progress)) ([]string, error) {
	r := c.post("load image from "+name, "/images/load")
	r.limit, r.mime = c.Limits.Pull, "application/x-tar"
	watched, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	timer := time.AfterFunc(c.Limits.PullStall, func() { stop(errStall) })
	defer timer.Stop()
	r.body = &counted{Reader: archive, told: func(n int64) {
		timer.Reset(c.Limits.PullStall)
		if progress != nil {
			progress(Progress{Text: "loading " + name, Bytes: n, Total: size})
		}
	}}
	var answer struct{ Names []string }
	err := c.call(watched, r, &answer)
	switch {
	case err != nil && ctx.Err() == nil && errors.Is(context.Cause(watched), errStall):
		return nil, fmt.Errorf("%s: %w for %s; look at: journalctl --user -u podman", r.op, errStall, c.Limits.PullStall)
	case err == nil && len(answer.Names) == 0:
		return nil, fmt.Errorf("%s: podman ended without naming an image", r.op)
	}
	return answer.Names, err
}

// counted tells how much has been read, each time another mebibyte is full.
type counted struct {
	io.Reader
	n    atomic.Int64
	told func(n int64)
}

func (c *counted) Read(p []byte) (int, error) {
	got, err := c.Reader.Read(p)
	before := c.n.Load()
	now := c.n.Add(int64(got))
	if now>>20 != before>>20 || err != nil {
		c.told(now)
	}
	return got, err
}
