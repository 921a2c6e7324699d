package podman

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// eventServer answers /events with handle, over a socket.
func eventServer(t *testing.T, handle http.HandlerFunc) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "events")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "podman.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handle}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); _ = os.RemoveAll(dir) })
	return New(socket)
}

func TestEvents(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	said := make(chan struct{})
	c := eventServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("stream") != "true" {
			t.Errorf("asked for %s", r.URL)
		}
		w.(http.Flusher).Flush()
		<-said // nothing happens before the client listens
		fmt.Fprintln(w, `{"status":"health_status","id":"ab","Type":"container","Action":"health_status","Actor":{"ID":"ab","Attributes":{"name":"lnd"}},"HealthStatus":"healthy"}`)
		fmt.Fprintln(w, `{"Type":"secret","Action":"remove","Actor":{"ID":"cd","Attributes":{"name":"archy.lnd.pw"}}}`)
	})
	defer c.Close()
	var got []Event
	err := c.Events(context.Background(), func() { close(said) }, func(e Event) { got = append(got, e) })
	if !errors.Is(err, io.EOF) {
		t.Errorf("the end of the stream: %v", err)
	}
	want := []Event{{"container", "health_status", "lnd", "healthy"}, {"secret", "remove", "archy.lnd.pw", ""}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A service that takes the request and says nothing is given up; one that has begun may say nothing for ever.
func TestEventsHaveALimitOnTheAnswerAlone(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	mute := eventServer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mute.Limits.Query = 50 * time.Millisecond
	defer mute.Close()
	if err := mute.Events(context.Background(), func() { t.Error("listening") }, func(Event) {}); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("error %v", err)
	}
	quiet := eventServer(t, func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); <-r.Context().Done() })
	quiet.Limits.Query = 50 * time.Millisecond
	defer quiet.Close()
	ctx, end := context.WithCancel(context.Background())
	time.AfterFunc(300*time.Millisecond, end)
	if err := quiet.Events(ctx, func() {}, func(Event) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
