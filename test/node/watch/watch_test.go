// Package watch_test shows on a real node that reconcile --watch mends what breaks without waiting for its interval, and
// costs no more after many faults than before.
package watch_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/dist"
	"git.tx1138.com/lfg2025/archy/test/node"
)

const (
	service = "archy-reconcile.service"
	top     = "../../.."
	// patience bounds each wait; the interval is far above it, so nothing in the test is mended by the interval.
	patience = 90 * time.Second
	interval = "1h"
)

// machine is a node whose archy-reconcile.service watches.
type machine struct {
	*node.Node
	t *testing.T
}

// watching is a node with three apps that are up, and the watch form of the service as docs/watch.md has it.
func watching(t *testing.T) *machine {
	t.Helper()
	n := &machine{node.UpT(t, node.Options{Apps: []string{"filebrowser", "bitcoin-knots", "bitcoin-ui"}}), t}
	if err := n.Put(node.Archy(t), "/usr/local/bin/archy", 0o755); err != nil {
		t.Fatal(err)
	}
	n.write("/etc/archipelago/archy.yaml", "bitcoin:\n  prune: 0\nreconcile:\n  interval: "+interval+"\n  metrics: /var/lib/archipelago/metrics/archy.prom\n")
	n.MustUser(t, "mkdir", "-p", "/var/lib/archipelago/metrics")
	n.MustUser(t, "archy", "secrets", "gen")
	n.MustUser(t, "archy", "reconcile", "--create-missing")
	n.await("all apps are up", func() bool { return n.running("filebrowser", "bitcoin-knots", "archy-bitcoin-ui") })
	n.write("/etc/systemd/system/"+service, string(dist.Text("systemd/"+service)))
	n.write("/etc/systemd/system/"+service+".d/watch.conf", dropIn(t))
	n.MustRoot(t, "systemctl", "daemon-reload")
	n.MustRoot(t, "systemctl", "start", service)
	return n
}

// dropIn is the one in docs/watch.md: what is documented is what is tested.
func dropIn(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "docs/watch.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```ini\n(.*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatal("docs/watch.md has no drop-in")
	}
	return string(m[1])
}

func (n *machine) write(path, text string) {
	n.t.Helper()
	if err := n.WriteFile(path, []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

func (n *machine) user(script string) string {
	n.t.Helper()
	return strings.TrimSpace(n.MustUser(n.t, "sh", "-ec", script))
}

// ask runs a script whose failure is an answer.
func (n *machine) ask(script string) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return strings.TrimSpace(n.User(ctx, "sh", "-c", script).Stdout)
}

func (n *machine) running(names ...string) bool {
	list := strings.Fields(n.ask("podman ps --format '{{.Names}}'"))
	for _, name := range names {
		if !strings.Contains(" "+strings.Join(list, " ")+" ", " "+name+" ") {
			return false
		}
	}
	return true
}

func (n *machine) id(name string) string {
	return n.ask("podman ps --no-trunc --filter name=^" + name + "$ --format '{{.ID}}'")
}

func (n *machine) await(what string, yes func() bool) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); !yes(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Fatalf("not within %s: %s\n%s", patience, what, n.said())
		}
	}
}

// said is what the service has written to the journal.
func (n *machine) said() string {
	return n.MustRoot(n.t, "journalctl", "--no-pager", "-o", "cat", "-u", service)
}

// passes are the passes so far.
func (n *machine) passes() int { return strings.Count("\n"+n.said(), " apps: ") }

// calm waits until no pass has been made for a while, and gives their number.
func (n *machine) calm() int {
	n.t.Helper()
	last, since := n.passes(), time.Now()
	n.await("no more passes", func() bool {
		underWay := strings.HasPrefix(n.MustRoot(n.t, "systemctl", "show", "--property=StatusText", "--value", service), "a pass: ")
		if now := n.passes(); now != last || underWay {
			last, since = now, time.Now()
		}
		return time.Since(since) > 4*time.Second
	})
	return last
}

// cost is what the process uses now.
type cost struct{ fds, threads, rssKiB int }

func (n *machine) cost() cost {
	n.t.Helper()
	pid := strings.TrimSpace(n.MustRoot(n.t, "systemctl", "show", "--property=MainPID", "--value", service))
	out := n.MustRoot(n.t, "sh", "-ec", "ls /proc/$1/fd | wc -l; awk '/^Threads|^VmRSS/ {print $2}' /proc/$1/status", "sh", pid)
	var numbers []int
	for _, word := range strings.Fields(out) {
		k, err := strconv.Atoi(word)
		if err != nil {
			n.t.Fatalf("%q", out)
		}
		numbers = append(numbers, k)
	}
	if len(numbers) != 3 {
		n.t.Fatalf("%q", out)
	}
	return cost{fds: numbers[0], rssKiB: numbers[1], threads: numbers[2]}
}

// fault breaks something; mended says that the watch has seen to it.
type fault struct {
	name string
	make func(n *machine) (mended func() bool)
	// most is how many passes may be made for it.
	most int
}

// anew waits for another container under a name.
func anew(n *machine, name string) func() bool {
	old := n.id(name)
	return func() bool { now := n.id(name); return now != "" && now != old }
}

const filebrowserUnit = "/home/archipelago/.config/containers/systemd/filebrowser.container"

func deleteUnit(n *machine) func() bool {
	n.user("rm " + filebrowserUnit)
	return func() bool { return n.Exists(filebrowserUnit) }
}

var faults = []fault{
	{name: "a container is removed", most: 5, make: func(n *machine) func() bool {
		f := anew(n, "filebrowser")
		n.user("podman rm -f -t 0 filebrowser")
		return f
	}},
	{name: "a service is stopped by hand", most: 5, make: func(n *machine) func() bool {
		f := anew(n, "filebrowser")
		n.user("systemctl --user stop filebrowser")
		return f
	}},
	{name: "a unit is deleted", most: 4, make: deleteUnit},
}

func TestWatch(t *testing.T) {
	n := watching(t)
	passes, before := n.calm(), n.cost()
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			n := &machine{n.Node, t}
			began := time.Now()
			mended := f.make(n)
			n.await(f.name, mended)
			took := time.Since(began)
			now := n.calm()
			t.Logf("mended after %s, %d passes", took.Round(100*time.Millisecond), now-passes)
			if now == passes || now-passes > f.most {
				t.Errorf("%d passes, want 1 to %d:\n%s", now-passes, f.most, n.said())
			}
			passes = now
		})
		if t.Failed() {
			t.FailNow()
		}
	}
	after := n.cost()
	t.Logf("before %+v, after %+v", before, after)
	if after.fds > before.fds+3 || after.threads > before.threads+6 || after.rssKiB > before.rssKiB+20<<10 {
		t.Errorf("%+v after %d faults, %+v before", after, len(faults), before)
	}
}
