// Package registry is the image registry of a test node: it lives in the test's process, holds stand-in images that
// it builds without a container engine, and misbehaves on demand.
package registry

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Fault is how the registry misbehaves for a reference. The zero value is no fault.
type Fault struct {
	// Status answers every request for the image's manifest with this HTTP status, such as 404 or 500.
	Status int
	// Hang never answers; the client's own time limit ends it.
	Hang bool
	// Delay answers late.
	Delay time.Duration
	// Times limits the fault to so many requests; 0: until it is cleared.
	Times int
}

// Server is a registry over plain HTTP. The zero value is not usable: see New.
type Server struct {
	store http.Handler

	mu     sync.Mutex
	images map[string]v1.Image
	faults map[string]Fault
	pulls  map[string]int
	hanged chan struct{} // closed to let go of requests that hang
}

// New returns an empty registry.
func New() *Server {
	return &Server{
		store:  ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))),
		images: map[string]v1.Image{},
		faults: map[string]Fault{},
		pulls:  map[string]int{},
		hanged: make(chan struct{}),
	}
}

// Serve answers on l until l is closed.
func (s *Server) Serve(l net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		// podman tries TLS first, and that is not worth a line
		ErrorLog: log.New(io.Discard, "", 0),
	}
	return srv.Serve(l)
}

// SetFault makes the registry misbehave for a reference, or for all of them when ref is "".
func (s *Server) SetFault(ref string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[key(ref)] = f
}

// ClearFaults makes everything work again and answers the requests that hang with an error.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = map[string]Fault{}
	close(s.hanged)
	s.hanged = make(chan struct{})
}

// Pulls counts the requests for a reference's manifest, or for any when ref is "".
func (s *Server) Pulls(ref string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ref != "" {
		return s.pulls[key(ref)]
	}
	total := 0
	for _, n := range s.pulls {
		total += n
	}
	return total
}

// Has tells whether the registry holds an image under this reference.
func (s *Server) Has(ref string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.images[key(ref)] != nil
}

// Store answers for the same images, without faults and without counting: what a mirror holds.
func (s *Server) Store() http.Handler { return s.store }

// ServeHTTP answers as a registry does, unless a fault is set for the manifest that is asked for.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, tag, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.store.ServeHTTP(w, r)
		return
	}
	fault, hanged := s.note(name+":"+tag, r.Method)
	if fault.Hang {
		wait(r.Context(), hanged, time.Hour)
		fault.Status = http.StatusServiceUnavailable
	}
	if fault.Delay > 0 {
		wait(r.Context(), hanged, fault.Delay)
	}
	if fault.Status != 0 {
		refuse(w, fault.Status)
		return
	}
	s.store.ServeHTTP(w, r)
}

func (s *Server) note(k, method string) (Fault, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if method == http.MethodGet {
		s.pulls[k]++
	}
	for _, k := range []string{k, key("")} {
		f, ok := s.faults[k]
		if !ok {
			continue
		}
		switch f.Times {
		case 0:
		case 1:
			delete(s.faults, k)
		default:
			rest := f
			rest.Times--
			s.faults[k] = rest
		}
		return f, s.hanged
	}
	return Fault{}, s.hanged
}

func wait(ctx context.Context, hanged <-chan struct{}, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-hanged:
	case <-time.After(d):
	}
}

func refuse(w http.ResponseWriter, status int) {
	code := "UNKNOWN"
	if status == http.StatusNotFound {
		code = "MANIFEST_UNKNOWN"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"refused by the test"}]}`, code)
}

// key is where the node's registries.conf makes podman look for a reference, as name:tag without this server's
// address: docker.io stands at the top, ghcr.io below its own name.
func key(ref string) string {
	if ref == "" {
		return ""
	}
	name, tag := split(ref)
	if rest, ok := strings.CutPrefix(name, "docker.io/"); ok {
		name = rest
	}
	return name + ":" + tag
}

// split cuts a reference into its name and its tag or digest.
func split(ref string) (name, tag string) {
	if name, digest, ok := strings.Cut(ref, "@"); ok {
		name, _ = split(name)
		return name, digest
	}
	if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
		return ref[:i], ref[i+1:]
	}
	return ref, "latest"
}
