package podman

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A command in a container whose caller is told to end is ended too: podman would let it run on.
func TestCancelledExecIsEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan string, 1)
	c := eventServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/containers/lnd/exec"):
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"Id":"session"}`)
		case strings.HasSuffix(r.URL.Path, "/exec/session/start"):
			cancel()
			<-r.Context().Done()
		case strings.HasSuffix(r.URL.Path, "/exec/session/remove"):
			body, _ := io.ReadAll(r.Body)
			ended <- string(body)
		}
	})
	defer c.Close()
	if _, _, err := c.Exec(ctx, "lnd", []string{"lncli", "state"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	select {
	case body := <-ended:
		if body != `{"Force":true}` {
			t.Errorf("asked with %s", body)
		}
	default:
		t.Error("it runs on")
	}
}
