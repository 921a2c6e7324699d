package chaos

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node"
)

// samplePeriod is how often the node's processes are looked at.
const samplePeriod = 100 * time.Millisecond

// container is one that lives: its payload has processes.
type container struct {
	ID, Name string
	// Payload is the first process of the container, Monitor its conmon (0: there is none any more), as this machine counts.
	Payload, Monitor int
}

// sampler looks at the node's processes from outside, whatever podman believes, and notes what must never be.
type sampler struct {
	node *node.Node
	stop chan struct{}
	done chan struct{}

	mu      sync.Mutex
	comm    map[int]string    // names of the processes of the last look
	names   map[string]string // container ids to names, from the monitors
	before  map[string]string // names to ids, when the round began
	starts  map[string]map[string]bool
	mayStop map[string]bool
	mayAll  bool
	broken  map[string]bool
}

func newSampler(n *node.Node) *sampler {
	return &sampler{node: n, comm: map[int]string{}, names: map[string]string{}}
}

// begin forgets the round before and starts looking.
func (s *sampler) begin() {
	s.mu.Lock()
	s.before, s.starts = map[string]string{}, map[string]map[string]bool{}
	s.mayStop, s.mayAll = map[string]bool{}, false
	s.broken = map[string]bool{}
	s.mu.Unlock()
	for _, c := range s.look() {
		s.before[c.Name] = c.ID
	}
	s.stop, s.done = make(chan struct{}), make(chan struct{})
	go s.run()
}

func (s *sampler) run() {
	defer close(s.done)
	for tick := time.Tick(samplePeriod); ; {
		select {
		case <-s.stop:
			return
		case <-tick:
			s.judge(s.look())
		}
	}
}

// end stops looking and gives what was wrong.
func (s *sampler) end() []string {
	close(s.stop)
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.broken))
}

// allow lets these containers stop from now on; without a name, all of them.
func (s *sampler) allow(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mayAll = s.mayAll || len(names) == 0
	for _, name := range names {
		s.mayStop[name] = true
	}
}

// started is how many containers of that name have run since the round began.
func (s *sampler) started(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.starts[name])
}

func (s *sampler) judge(alive []container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := map[string]string{}
	for _, c := range alive {
		if s.starts[c.Name] == nil {
			s.starts[c.Name] = map[string]bool{}
		}
		s.starts[c.Name][c.ID] = true
		if other := now[c.Name]; other != "" && other != c.ID {
			s.broken[fmt.Sprintf("two containers of %s run: %.12s and %.12s", c.Name, other, c.ID)] = true
		}
		now[c.Name] = c.ID
	}
	for name, id := range s.before {
		if now[name] != id && !s.mayAll && !s.mayStop[name] {
			s.broken[name+" stopped, and was not hit"] = true
		}
	}
}

// payloadGroup is the cgroup of a container's own processes: below its unit's, or a scope of its own.
var payloadGroup = regexp.MustCompile(`/libpod-(?:payload-)?([0-9a-f]{64})(?:\.scope)?(?:/|$)`)

// look lists the containers that live now, by name.
func (s *sampler) look() []container {
	s.mu.Lock()
	defer s.mu.Unlock()
	byID, comm := map[string]*container{}, map[int]string{}
	monitors := map[string]int{}
	for _, p := range s.node.Processes() {
		if found := payloadGroup.FindStringSubmatch(p.Cgroup); found != nil {
			c := byID[found[1]]
			if c == nil {
				c = &container{ID: found[1], Payload: p.PID}
				byID[found[1]] = c
			}
			c.Payload = min(c.Payload, p.PID)
			continue
		}
		if comm[p.PID] = s.comm[p.PID]; comm[p.PID] == "" || comm[p.PID] == "podman" {
			comm[p.PID] = commOf(p.PID)
		}
		if comm[p.PID] == "conmon" {
			s.monitor(p.PID, monitors)
		}
	}
	s.comm = comm
	var out []container
	for id, c := range byID {
		c.Name, c.Monitor = s.names[id], monitors[id]
		if c.Name != "" {
			out = append(out, *c)
		}
	}
	slices.SortFunc(out, func(a, b container) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return out
}

// monitor learns from a conmon which container it is of. One of an exec session is of none.
func (s *sampler) monitor(pid int, monitors map[string]int) {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	args := strings.Split(string(text), "\x00")
	id, name := after(args, "-c"), after(args, "-n")
	if id == "" || name == "" || slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--exec-") }) {
		return
	}
	s.names[id], monitors[id] = name, pid
}

func after(args []string, flag string) string {
	if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

func commOf(pid int) string {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	return string(bytes.TrimSpace(text))
}
