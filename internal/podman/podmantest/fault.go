package podmantest

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// The kinds of a Fault.
const (
	// Fail answers 500 with Text.
	Fail = "fail"
	// Hang answers nothing until the client goes away.
	Hang = "hang"
	// Garbage answers 200 with something that is not JSON.
	Garbage = "garbage"
	// Drop closes the connection without an answer.
	Drop = "drop"
	// Cut lets the request change things and closes the connection instead of answering.
	Cut = "cut"
)

// Fault makes requests go wrong.
type Fault struct {
	Kind string
	// Match is a part of the call as in Changes, or of "GET /containers/json"; empty matches every request.
	Match string
	// At is the number of the matching request to hit, from 1; 0 hits all.
	At int
	// Text is podman's message for Fail.
	Text string

	seen int
}

// Inject adds a fault.
func (s *Server) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Repair takes all faults away.
func (s *Server) Repair() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// inject records each request and lets the faults strike before the request is served.
func (s *Server) inject(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		line := r.Method + " " + apiPath(r)
		change := describe(r)
		switch fault := s.strike(line, change, r.URL.Query()); {
		case fault == nil:
			next.ServeHTTP(w, r)
		case fault.Kind == Fail:
			refuse(w, http.StatusInternalServerError, "%s", fault.Text)
		case fault.Kind == Hang:
			// The server notices that the client went away only once the body is read.
			_, _ = io.Copy(io.Discard, r.Body)
			select {
			case <-r.Context().Done():
			case <-s.hung:
			}
		case fault.Kind == Garbage:
			_, _ = w.Write([]byte("<html>502 bad gateway</html>"))
		case fault.Kind == Cut:
			next.ServeHTTP(&nowhere{header: http.Header{}}, r)
			panic(http.ErrAbortHandler)
		default:
			panic(http.ErrAbortHandler)
		}
	})
}

// strike returns the fault that hits this request, if any.
func (s *Server) strike(line, change string, query url.Values) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if change != "" {
		s.calls, s.lastQuery = append(s.calls, change), query
	}
	for _, f := range s.faults {
		if !strings.Contains(line, f.Match) && (change == "" || !strings.Contains(change, f.Match)) {
			continue
		}
		f.seen++
		if f.At == 0 || f.At == f.seen {
			return f
		}
	}
	return nil
}

// nowhere is an answer that nobody gets.
type nowhere struct {
	header http.Header
	bytes.Buffer
}

func (n *nowhere) Header() http.Header { return n.header }
func (n *nowhere) WriteHeader(int)     {}
func (n *nowhere) Flush()              {}

// apiPath is the path without the version and /libpod.
func apiPath(r *http.Request) string {
	_, path, found := strings.Cut(r.URL.Path, "/libpod")
	if !found {
		return r.URL.Path
	}
	return path
}

// describe puts a request that changes something in words; a reading one is empty.
func describe(r *http.Request) string {
	parts := strings.Split(strings.Trim(apiPath(r), "/"), "/")
	q := r.URL.Query()
	middle := strings.Join(parts[1:max(1, len(parts)-1)], "/")
	last := parts[len(parts)-1]
	switch {
	case r.Method == http.MethodGet:
		return ""
	case r.Method == http.MethodDelete && parts[0] != "containers":
		return "remove-" + strings.TrimSuffix(parts[0], "s") + " " + strings.Join(parts[1:], "/")
	case r.Method == http.MethodDelete:
		return strings.TrimSuffix("remove "+last+" force="+q.Get("force"), " force=false")
	case parts[0] == "build":
		return "build " + q.Get("t")
	case parts[0] == "exec" && last == "start":
		return ""
	case parts[0] == "exec":
		return "kill-exec"
	case last == "rename":
		return "rename " + middle + " " + q.Get("name")
	case last == "update":
		return "update " + middle + " restart=" + q.Get("restartPolicy")
	case last == "pull":
		return "pull " + q.Get("reference")
	case last == "load":
		return "load"
	case last == "tag":
		return "tag " + middle + " " + q.Get("repo") + ":" + q.Get("tag")
	case parts[0] == "secrets":
		return "create-secret " + q.Get("name")
	case parts[0] == "networks":
		return "create-network"
	}
	return last + " " + middle
}
