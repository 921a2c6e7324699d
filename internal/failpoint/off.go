//go:build !failpoints

package failpoint

import (
	"context"
	"net/http"
)

// Do makes one external call. A call that hangs ends with ctx.
func Do(_ context.Context, _, _ string, call func() error) error { return call() }

// Write makes a change to a file that matters, and is a point. What hangs there ends only with the process, as on a disk
// that does not answer.
func Write(_ string, change func() error) error { return change() }

// Transport makes each request over it a point.
func Transport(next http.RoundTripper) http.RoundTripper { return next }

// Variable tells that an environment variable is one of this package's. In a production build there are none, and archy
// refuses them as it refuses any that it does not know.
func Variable(string) bool { return false }
