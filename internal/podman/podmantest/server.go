// Package podmantest is a podman service for tests: the part of the REST API that archy uses, over a unix socket, with
// its state in memory. The real client talks to it, so that what a test sees is what the client does.
//
// Contract holds the fake to the real thing: the same test runs against both.
package podmantest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// Server is a podman service in memory. The hooks are set before the first request.
type Server struct {
	// Socket is the path that clients connect to.
	Socket string

	// OnExec answers a command in a container; nil answers nothing, with code 0.
	OnExec func(container string, argv []string) (output string, exitCode int)
	// OnCheck answers a health check that is run by request; nil answers the health that the container has.
	OnCheck func(container string) (health string)
	// OnStop is told that a container is stopped and with what grace, before it happens; an error is podman's answer.
	OnStop func(container string, grace time.Duration) error
	// Now is the clock, time.Now unless set.
	Now func() time.Time

	mu         sync.Mutex
	containers []*podman.Inspect
	logs       map[string][]string
	images     map[string]podman.Image
	registry   map[string]string
	secrets    map[string]secret
	networks   []podman.Network
	sessions   map[string]*session
	faults     []*Fault
	calls      []string
	requests   int
	lastQuery  url.Values
	lastID     int
	hung       chan struct{}
}

type secret struct {
	podman.Secret
	value []byte
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	// Not t.TempDir: the path of a socket has at most 107 bytes.
	dir, err := os.MkdirTemp("", "podman")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		Socket: filepath.Join(dir, "podman.sock"), Now: time.Now,
		logs: map[string][]string{}, images: map[string]podman.Image{}, registry: map[string]string{},
		secrets: map[string]secret{}, sessions: map[string]*session{}, hung: make(chan struct{}),
		networks: []podman.Network{{Name: "podman", Subnet: "10.88.0.0/16", Gateway: "10.88.0.1"}},
	}
	listener, err := net.Listen("unix", s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s.inject(s.routes())}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() {
		close(s.hung)
		server.Close()
		os.RemoveAll(dir)
	})
	return s
}

// Client returns a client of this server.
func (s *Server) Client() *podman.Client { return podman.New(s.Socket) }

// AddContainer puts a container there. What is left empty and a container always has (id, creation time, status,
// image id, restart policy) is filled in; one whose State.Running is set gets a pid.
func (s *Server) AddContainer(c podman.Inspect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.complete(&c)
	s.containers = append(s.containers, &c)
}

func (s *Server) complete(c *podman.Inspect) {
	if c.ID == "" {
		c.ID = s.id("container")
	}
	if c.Created.IsZero() {
		c.Created = s.Now()
	}
	if c.State.Status == "" {
		c.State.Status = podman.StateCreated
		if c.State.Running {
			c.State.Status = podman.StateRunning
		}
	}
	if c.ImageID == "" {
		c.ImageID = s.images[c.Image].ID
	}
	if c.RestartPolicy == "" {
		c.RestartPolicy = "no"
	}
	if c.State.Status == podman.StateRunning {
		s.run(c)
	}
}

// run makes a container a running one.
func (s *Server) run(c *podman.Inspect) {
	c.State.Status, c.State.Running, c.State.Paused = podman.StateRunning, true, false
	if c.State.Pid == 0 {
		s.lastID++
		c.State.Pid, c.State.ConmonPid = 100000+2*s.lastID, 100001+2*s.lastID
	}
	if c.State.StartedAt.IsZero() {
		c.State.StartedAt = s.Now()
	}
	if c.Healthcheck != nil && c.Health == nil {
		c.Health = &podman.Health{Status: podman.HealthStarting}
	}
}

// end makes a container one that has ended.
func (s *Server) end(c *podman.Inspect, code int) {
	c.State.Status, c.State.Running, c.State.Paused = podman.StateExited, false, false
	c.State.Pid, c.State.ConmonPid, c.State.ExitCode, c.State.FinishedAt = 0, 0, code, s.Now()
}

// Start makes the container run, as "podman start" does.
func (s *Server) Start(name string) error {
	return s.Update(name, func(c *podman.Inspect) {
		if !c.State.Running {
			c.State.StartedAt, c.Health = time.Time{}, nil
		}
		s.run(c)
	})
}

// Exit makes the container end by itself.
func (s *Server) Exit(name string, code int) error {
	return s.Update(name, func(c *podman.Inspect) { s.end(c, code) })
}

// Drop takes the container away, as --rm does at its end.
func (s *Server) Drop(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.containers = slices.DeleteFunc(s.containers, func(c *podman.Inspect) bool { return c.Name == name })
}

// Update changes the container of that name.
func (s *Server) Update(name string, change func(*podman.Inspect)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.find(name)
	if c == nil {
		return fmt.Errorf("no container with name or ID %q found: no such container", name)
	}
	change(c)
	return nil
}

// Container returns a copy of the container of that name.
func (s *Server) Container(name string) (podman.Inspect, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.find(name); c != nil {
		return *c, true
	}
	return podman.Inspect{}, false
}

// find looks for a container by name or id; the lock is held.
func (s *Server) find(name string) *podman.Inspect {
	for _, c := range s.containers {
		if c.Name == name || c.ID == name {
			return c
		}
	}
	return nil
}

// SetLogs sets what the container has said.
func (s *Server) SetLogs(name string, lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs[name] = lines
}

// AddImage puts an image there and returns its id.
func (s *Server) AddImage(ref string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store(ref, hash("image "+ref))
}

// Offer makes a reference one that can be pulled and returns the id that it will have.
func (s *Server) Offer(ref string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registry[ref] = hash("image " + ref)
	return s.registry[ref]
}

// store adds an image under a reference; the lock is held.
func (s *Server) store(ref, id string) string {
	image := podman.Image{ID: id, Digest: "sha256:" + hash("digest "+id), Size: 1 << 20, Names: []string{ref}}
	for name, known := range s.images {
		if known.ID == id && name != ref {
			image.Names = append(image.Names, name)
		}
	}
	slices.Sort(image.Names)
	for _, name := range image.Names {
		s.images[name] = image
	}
	return id
}

// SecretValue returns the value of a podman secret.
func (s *Server) SecretValue(name string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.secrets[name]
	return v.value, ok
}

// AddNetwork puts a network there.
func (s *Server) AddNetwork(n podman.Network) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.networks = append(s.networks, n)
}

// Changes returns the requests that changed something or would have, in order: "stop lnd", "rename lnd lnd-old".
func (s *Server) Changes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Requests returns how many requests came, the failed ones included.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// LastQuery returns the query of the last request that changed something.
func (s *Server) LastQuery() url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastQuery
}

// id makes up an id that is the same in every run of the test; the lock is held.
func (s *Server) id(kind string) string {
	s.lastID++
	return hash(fmt.Sprintf("%s %d", kind, s.lastID))
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
