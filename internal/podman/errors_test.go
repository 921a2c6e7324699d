package podman

import (
	"errors"
	"testing"
)

// A container that dies between podman's two looks at it is gone, not a failure of podman: a change whose app ends at once
// must be undone, not left half done.
func TestAContainerThatGoesAwayIsNotFound(t *testing.T) {
	for _, c := range []struct {
		status int
		text   string
		want   bool
	}{
		{404, "no such container: lnd", true},
		{500, "no container with ID 9b76d1b5 found in database: no such container", true},
		{500, "open /proc/self/fd: permission denied", false},
		{409, "container is running", false},
	} {
		err := error(&APIError{Op: "inspect container lnd", Status: c.status, Message: c.text})
		if got := errors.Is(err, ErrNotFound); got != c.want {
			t.Errorf("%d %s: not found is %v", c.status, c.text, got)
		}
	}
}
