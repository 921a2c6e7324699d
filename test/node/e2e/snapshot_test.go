package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// container is one container as podman lists it. A restart changes ID (of a unit's) or StartedAt and PID.
type container struct {
	ID, PID, StartedAt, State, Status, Image string
	Managed                                  bool
}

func (c container) healthy() bool {
	return c.State == "running" && strings.Contains(c.Status, "(healthy)")
}

// since is what changes when a container is restarted or made anew.
func (c container) since() string {
	return fmt.Sprintf("%.12s, process %s, started at %s", c.ID, c.PID, c.StartedAt)
}

type containers map[string]container

func tenContainers() []string { return slices.Sorted(maps.Values(ten)) }

// containers lists all containers of the service user.
func (n *machine) containers(t *testing.T) containers {
	t.Helper()
	list, err := n.list()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

const listing = `{{.Names}}|{{.ID}}|{{.Pid}}|{{.StartedAt}}|{{.State}}|{{.Status}}|{{.Image}}|{{index .Labels "io.archipelago.managed"}}`

func (n *machine) list() (containers, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	res := n.User(ctx, "podman", "ps", "-a", "--no-trunc", "--format", listing)
	if err := res.Error(); err != nil {
		return nil, err
	}
	out := containers{}
	for line := range strings.Lines(res.Stdout) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 8 {
			return nil, fmt.Errorf("podman ps prints %q", line)
		}
		if _, twice := out[f[0]]; twice {
			return nil, fmt.Errorf("two containers are called %s:\n%s", f[0], res.Stdout)
		}
		out[f[0]] = container{f[1], f[2], f[3], f[4], f[5], f[6], f[7] == "true"}
	}
	return out, nil
}

// healthy waits until the containers are healthy.
func (n *machine) healthy(t *testing.T, names ...string) containers {
	t.Helper()
	var list containers
	eventually(t, 2*time.Minute, strings.Join(names, " ")+" healthy", func() (bool, string) {
		var err error
		if list, err = n.list(); err != nil {
			return false, err.Error()
		}
		for _, name := range names {
			if !list[name].healthy() {
				return false, fmt.Sprintf("%s is %s, %s", name, list[name].State, list[name].Status)
			}
		}
		return true, ""
	})
	return list
}

// eventually repeats ok until it holds.
func eventually(t *testing.T, limit time.Duration, what string, ok func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		done, last := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %s", what, limit, last)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// onlyChanged fails unless exactly the named containers are new or restarted.
func onlyChanged(t *testing.T, before, after containers, names ...string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(before)) {
		same := before[name].since() == after[name].since()
		switch {
		case slices.Contains(names, name) && same:
			t.Errorf("%s was not restarted", name)
		case !slices.Contains(names, name) && !same:
			t.Errorf("%s was touched: %s, then %s", name, before[name].since(), after[name].since())
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok && !slices.Contains(names, name) {
			t.Errorf("%s is new", name)
		}
	}
}

// files lists everything that a pass could touch, with owner, mode, size and time, without podman's storage and
// without what the servers themselves go on writing.
func (n *machine) files(t *testing.T) string {
	t.Helper()
	return n.MustRoot(t, "sh", "-c", `find /home /etc/archipelago /var/lib/archipelago /run/archy \
		-path /var/lib/archipelago/containers -prune -o -path '*/.local/share/containers' -prune -o \
		-name heartbeat -prune -o -exec test -e {}/heartbeat \; -printf '%p %y %m %U:%G\n' -o \
		-printf '%p %y %m %U:%G %s %T@ %C@\n' | sort`)
}

// born are the marks that the servers left in their data at their first start, by app.
func (n *machine) born(t *testing.T) string {
	t.Helper()
	return n.sh(t, `cd /var/lib/archipelago; find . -path ./containers -prune -o -name born -print | sort | while read f; do echo "$f $(cat $f)"; done`)
}
