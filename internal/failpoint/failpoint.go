// Package failpoint is where a test breaks archy off: each call to something outside (podman, systemd, another program, a
// file that matters, HTTP) passes a point, and a binary built with the tag failpoints can be told to fail, hang or die at
// the n-th (docs/failure-points.md). In any other build the points are empty functions, and nothing of them is in the
// binary.
package failpoint

// The kinds of point: what the call goes to.
const (
	Podman  = "podman"
	Systemd = "systemd"
	Child   = "child"
	File    = "file"
	HTTP    = "http"
)
