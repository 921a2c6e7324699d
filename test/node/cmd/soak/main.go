// Command soak measures by hand what it costs to keep a node right: the processor time of a node with ten apps that nobody
// looks after, of one with the timer, of one with bench/reference.sh by a timer, and of one with reconcile --watch, at rest and under
// random faults; and what the watch holds, at its start and as the time goes by. As root, at the top of the repository:
//
//	go run ./test/node/cmd/soak -for 1h
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/dist"
	"git.tx1138.com/lfg2025/archy/test/node"
)

const service = "archy-reconcile.service"

func main() {
	struck := flag.Duration("for", time.Hour, "how long the watch is struck")
	rest := flag.Duration("rest", 10*time.Minute, "how long each of the others is measured: nothing, the timer, the reference and the watch at rest")
	every := flag.Duration("fault", time.Minute, "a fault strikes this often")
	seed := flag.Uint64("seed", uint64(time.Now().Unix()), "what the faults come from")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *struck, *rest, *every, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		stop()
		os.Exit(1)
	}
}

// soak is one node that is measured.
type soak struct {
	*node.Node
	ctx  context.Context
	rand *rand.Rand
}

func run(ctx context.Context, struck, rest, every time.Duration, seed uint64) error {
	n, err := node.Up(ctx, node.Options{Apps: node.Ten()})
	if err != nil {
		return err
	}
	defer func() { _ = n.Remove() }()
	s := soak{n, ctx, rand.New(rand.NewPCG(seed, 0))}
	if err := s.prepare(); err != nil {
		return err
	}
	fmt.Println("seed", seed)
	fmt.Println("| form | whole node, s/h | passes/h |\n|---|---|---|")
	for _, phase := range []struct {
		name  string
		part  time.Duration
		start func() error
		stop  string
	}{
		{"nobody looks", rest, func() error { return nil }, ""},
		{"timer, 30 s", rest, func() error { return s.sh("systemctl start archy-reconcile.timer " + service + " || true") }, "systemctl stop archy-reconcile.timer"},
		{"bench/reference.sh, 30 s", rest, s.reference, "systemctl stop reference.timer"},
	} {
		if err := phase.start(); err != nil {
			return err
		}
		if err := s.measure(phase.name, phase.part, nil); err != nil {
			return err
		}
		if err := s.sh(phase.stop); err != nil {
			return err
		}
	}
	return s.watch(struck, rest, every)
}

// sh runs a script as root.
func (s soak) sh(script string) error {
	return s.Root(s.ctx, "sh", "-ec", script).Error()
}

func (s soak) prepare() error {
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "archy")
	if err := node.Compile(binary, "cmd/archy", "-X main.version=soak"); err != nil {
		return err
	}
	for path, text := range map[string][]byte{
		"/etc/archipelago/archy.yaml":               []byte("bitcoin:\n  prune: 0\n"),
		"/etc/systemd/system/" + service:            dist.Text("systemd/" + service),
		"/etc/systemd/system/archy-reconcile.timer": dist.Text("systemd/archy-reconcile.timer"),
		"/etc/systemd/system/reference.timer":       []byte("[Timer]\nOnActiveSec=1s\nOnUnitInactiveSec=30s\nAccuracySec=1s\n"),
		"/etc/systemd/system/reference.service":     []byte(referenceUnit),
	} {
		err = errors.Join(err, s.WriteFile(path, text, 0o644))
	}
	if err := errors.Join(err, s.Put(binary, "/usr/local/bin/archy", 0o755), s.Put("bench/reference.sh", "/usr/local/bin/reference.sh", 0o755)); err != nil {
		return err
	}
	for _, args := range [][]string{{"archy", "secrets", "gen"}, {"archy", "reconcile", "--create-missing"}} {
		if err := s.User(s.ctx, args...).Error(); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stderr, "waiting for the apps to be as desired")
	for range 60 {
		if s.User(s.ctx, "archy", "reconcile", "--exit-code", "--quiet").Code == 0 && s.ctx.Err() == nil {
			break
		}
		time.Sleep(2 * time.Second)
	}
	return s.sh("systemctl daemon-reload")
}

const referenceUnit = `[Service]
Type=oneshot
User=archipelago
Environment=HOME=/home/archipelago XDG_RUNTIME_DIR=/run/user/1000
ExecStart=/usr/local/bin/reference.sh /var/tmp/reference.table
`

// reference makes the table of bench/reference.sh, from what is on the node.
func (s soak) reference() error {
	const script = `podman inspect --format '{{.Name}}|{{.ImageName}}|{{.HostConfig.Memory}}|{{range $p, $b := .HostConfig.PortBindings}}{{range $b}}{{.HostPort}} {{end}}{{end}}|PATH' $(podman ps -q) >/var/tmp/reference.table`
	return errors.Join(s.User(s.ctx, "sh", "-ec", script).Error(), s.sh("systemctl daemon-reload; systemctl start reference.timer"))
}

// usage is the processor time of the whole node so far, in seconds, and the passes. The time of processes that have ended
// is in it, podman's service and the containers are too: "nobody looks" is what to compare with.
type usage struct {
	whole  float64
	passes int
}

func (s soak) usage() (usage, error) {
	const script = `cat /sys/fs/cgroup/system.slice/cpu.stat /sys/fs/cgroup/user.slice/cpu.stat | awk '/^usage_usec/ {n += $2} END {printf "%.3f\n", n / 1e6}'
journalctl --no-pager -o cat -u archy-reconcile.service | grep -c ' apps: ' || true`
	res := s.Root(s.ctx, "sh", "-c", script)
	f := strings.Fields(res.Stdout)
	if res.Error() != nil || len(f) != 2 {
		return usage{}, fmt.Errorf("usage: %q: %w", res.Stdout, res.Error())
	}
	whole, err1 := strconv.ParseFloat(f[0], 64)
	passes, err2 := strconv.Atoi(f[1])
	return usage{whole, passes}, errors.Join(err1, err2)
}

// measure lets time pass and prints what was used in it, for an hour. During it fault is called each minute.
func (s soak) measure(name string, d time.Duration, each func()) error {
	fmt.Fprintf(os.Stderr, "%s, for %s\n", name, d)
	before, err := s.usage()
	if err != nil {
		return err
	}
	began := time.Now()
	if each == nil {
		sleep(s.ctx, d)
	} else {
		each()
	}
	after, err := s.usage()
	if err != nil {
		return errors.Join(err, s.ctx.Err())
	}
	perHour := float64(time.Hour) / float64(time.Since(began))
	fmt.Printf("| %s (%s) | %.0f | %.0f |\n", name, d, (after.whole-before.whole)*perHour, float64(after.passes-before.passes)*perHour)
	return s.ctx.Err()
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// watch runs the watch, first without faults.
func (s soak) watch(d, rest, every time.Duration) error {
	const dropIn = "[Service]\nType=notify\nExecStart=\nExecStart=/usr/local/bin/archy reconcile --watch --metrics " + figures + "\nWatchdogSec=2min\n"
	if err := errors.Join(s.WriteFile("/etc/systemd/system/"+service+".d/watch.conf", []byte(dropIn), 0o644),
		s.sh("systemctl daemon-reload; systemctl start "+service)); err != nil {
		return err
	}
	sleep(s.ctx, time.Minute)
	held := []string{"| after | descriptors | threads | resident, KiB | goroutines | processor time, ms | process |", "|---|---|---|---|---|---|---|", s.holds("1 min")}
	if err := s.measure("watch, 30 s", rest, nil); err != nil {
		return err
	}
	held = append(held, s.holds("the rest"))
	var not []string
	faults, longest := 0, time.Duration(0)
	err := s.measure("watch, 30 s, a fault each "+every.String(), d, func() {
		began, quarter := time.Now(), d/4
		for n := time.Duration(1); time.Since(began) < d && s.ctx.Err() == nil; {
			next := time.Now().Add(every)
			faults++
			name, took, mended := s.fault()
			longest = max(longest, took)
			if !mended {
				not = append(not, name)
			}
			sleep(s.ctx, time.Until(next))
			if time.Since(began) >= n*quarter {
				held = append(held, s.holds(fmt.Sprintf("%s of faults", n*quarter)))
				n++
			}
		}
	})
	fmt.Printf("\n%d faults; mended within %.0f s; not mended within %s: %d %s\n\n%s\n", faults, longest.Seconds(), patience, len(not), strings.Join(not, ", "), strings.Join(held, "\n"))
	return err
}

// figures is where the watch writes what it says of itself.
const figures = "/var/lib/archipelago/archy.prom"

// patience is how long the watch has to mend a fault.
const patience = 2 * time.Minute

// faults are scripts with an app's container as $1. Each leaves a node that is not as desired.
var faults = []struct{ name, script string }{
	{"container removed", "podman rm -f -t 0 $1"},
	{"payload killed", "podman kill -s KILL $1"},
	{"unit stopped", "systemctl --user stop $1"},
	{"unit deleted", "rm ~/.config/containers/systemd/$1.container"},
	{"unit edited", "sed -i s/^RestartSec=10/RestartSec=9/ ~/.config/containers/systemd/$1.container"},
	{"unit and container gone", "rm ~/.config/containers/systemd/$1.container; systemctl --user stop $1"},
	{"podman's service killed", "pkill -KILL -f 'podman.* system service' || true"},
}

// fault strikes one app and waits until its unit is what it was and its container runs.
func (s soak) fault() (name string, took time.Duration, mended bool) {
	kind := faults[s.rand.IntN(len(faults))]
	apps := s.containers()
	if len(apps) == 0 {
		return kind.name + " on a node without containers", 0, false
	}
	app := apps[s.rand.IntN(len(apps))]
	const right = `cmp -s "/var/tmp/$1.container" ~/.config/containers/systemd/$1.container && podman ps --format '{{.Names}}' | grep -qx "$1"`
	s.User(s.ctx, "sh", "-c", "cp ~/.config/containers/systemd/$1.container /var/tmp; "+kind.script, "sh", app)
	began := time.Now()
	for time.Since(began) < patience && s.ctx.Err() == nil {
		if s.User(s.ctx, "sh", "-c", right, "sh", app).Code == 0 {
			return kind.name + " of " + app, time.Since(began), true
		}
		sleep(s.ctx, time.Second)
	}
	return kind.name + " of " + app, time.Since(began), false
}

// containers are the node's, by name.
func (s soak) containers() []string {
	return slices.Sorted(slices.Values(strings.Fields(s.User(s.ctx, "podman", "ps", "--format", "{{.Names}}").Stdout)))
}

// holds says in a line of a table what the watch holds.
func (s soak) holds(after string) string {
	res := s.Root(s.ctx, "sh", "-c", `p=$(systemctl show --property=MainPID --value archy-reconcile.service)
echo "| $(ls /proc/$p/fd | wc -l) | $(awk '/^Threads/ {print $2}' /proc/$p/status) | $(awk '/^VmRSS/ {print $2}' /proc/$p/status) | $(awk '/^archy_goroutines/ {print $2}' `+figures+`) | $(($(systemctl show --property=CPUUsageNSec --value archy-reconcile.service) / 1000000)) | $p |"`)
	return "| " + after + " " + strings.TrimSpace(res.Stdout)
}
