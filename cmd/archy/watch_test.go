package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/watch"
)

// Each file that a pass reads, as people and programs change them, wakes a pass of the loop; what a pass does not read wakes none.
func TestChangedFilesWakeAPass(t *testing.T) {
	root := t.TempDir()
	e := &env{cli: &cli{root: root}, Layout: node.NewLayout(root, node.Default(), node.DefaultUser("archipelago"))}
	host := e.Layout.Host
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(file, text string) {
		t.Helper()
		must(os.MkdirAll(filepath.Dir(file), 0o755))
		must(os.WriteFile(file, []byte(text), 0o644))
	}
	replace := func(file, text string) {
		t.Helper()
		write(filepath.Join(filepath.Dir(file), ".new"), text)
		must(os.Rename(filepath.Join(filepath.Dir(file), ".new"), file))
	}
	shipped, local := host(e.Layout.ManifestDir+"/lnd/manifest.yml"), host(e.Layout.LocalManifestDir+"/mine/manifest.yml")
	secret, dropIn := host(e.Layout.Secrets()+"/bitcoin-rpc-password"), host(e.Layout.UnitDir()+"/lnd.container.d/10-mine.conf")
	for _, file := range []string{shipped, local, secret, dropIn, host(e.Layout.UserStopped()), host(node.ConfigPath)} {
		write(file, "as it was\n")
	}
	files := watch.Files{Dirs: e.watched()}
	passes := make(chan string)
	ctx, end := context.WithCancel(context.Background())
	l := &watch.Loop{Pace: watch.Pace{Interval: time.Hour, Quiet: 50 * time.Millisecond, Most: time.Second}, Sources: []watch.Source{files.Source()}, Before: files.Refresh,
		Pass: func(ctx context.Context, because string) time.Duration {
			select {
			case passes <- because:
			case <-ctx.Done():
			}
			return 0
		}}
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run(ctx) }()
	defer func() { end(); <-ended }()
	next := func() string {
		t.Helper()
		select {
		case because := <-passes:
			return because
		case <-time.After(20 * time.Second):
			t.Fatal("no pass")
			return ""
		}
	}
	if because := next(); because != "started" {
		t.Fatalf("the first pass: %s", because)
	}
	for _, c := range []struct {
		name, want string
		change     func()
	}{
		{"a local manifest is edited", "local manifests", func() { write(local, "edited\n") }},
		{"a local manifest is replaced by an editor", "local manifests", func() { replace(local, "replaced\n") }},
		{"a local app comes", "local manifests", func() { write(host(e.Layout.LocalManifestDir+"/new/manifest.yml"), "x\n") }},
		{"a shipped manifest is replaced", "manifests", func() { replace(shipped, "replaced\n") }},
		{"a secret is replaced", "secrets", func() { replace(secret, "another") }},
		{"a secret is removed", "secrets", func() { must(os.Remove(secret)) }},
		{"the owner stops an app", "user-stopped.json", func() { replace(host(e.Layout.UserStopped()), "[]\n") }},
		{"the configuration is replaced", "configuration", func() { replace(host(node.ConfigPath), "bitcoin: {prune: 0}\n") }},
		{"a unit is written", "units", func() { replace(host(e.Layout.Unit("lnd")), "[Container]\n") }},
		{"a drop-in is edited", "units", func() { write(dropIn, "[Service]\n") }},
		// What nobody reads is told of by no pass of its own: the next one has another cause.
		{"what no pass reads, and then a secret", "secrets", func() {
			write(host(e.Layout.Data("notes.json")), "x")
			write(host(filepath.Dir(node.ConfigPath)+"/other.yaml"), "x")
			write(filepath.Join(filepath.Dir(dropIn), "README"), "x")
			time.Sleep(200 * time.Millisecond)
			write(secret, "x")
		}},
	} {
		c.change()
		if because := next(); because != c.want {
			t.Errorf("%s: a pass because of %q, want %q", c.name, because, c.want)
		}
	}
}

// slow is a node whose every program takes its time.
type slow time.Duration

func (s slow) Run(context.Context, command.Cmd) (command.Result, error) {
	time.Sleep(time.Duration(s))
	return command.Result{}, nil
}

// A climb of the heal ladder may take longer than a pass may go without progress: each program that it runs is some. One that hangs is none.
func TestTheWatchdogSeesAClimb(t *testing.T) {
	for _, c := range []struct {
		name     string
		each     time.Duration
		programs int
		pings    int
	}{
		{"twenty programs of two minutes", 2 * time.Minute, 20, 121},
		{"one that hangs", time.Hour + time.Second, 1, 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "notify")
			conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for name, value := range map[string]string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": fmt.Sprint(os.Getpid())} {
				t.Setenv(name, value)
			}
			l := node.NewLayout(t.TempDir(), node.Default(), node.DefaultUser("archipelago"))
			heard := make(chan int)
			go func() { heard <- pings(conn) }()
			synctest.Test(t, func(t *testing.T) {
				e := &env{cli: &cli{beat: watch.NewBeat()}, Layout: l, State: state.New(l), Set: &manifest.Set{}}
				defer e.beat.Stop()
				h, done := e.healer()
				defer done()
				h.Runner = renewing{slow(c.each), h.Runner.(renewing).beat}
				e.beat.Begin("test")
				climbed := make(chan struct{})
				go func() {
					defer close(climbed)
					for range c.programs {
						_, _ = h.Runner.Run(t.Context(), command.Cmd{})
					}
					time.Sleep(time.Millisecond) // not at the moment of a tick
				}()
				e.beat.Until(climbed)
				e.beat.Tell("STOPPING=1")
			})
			if got := <-heard; got != c.pings {
				t.Errorf("%d pings, want %d", got, c.pings)
			}
		})
	}
}

// pings counts what the watchdog hears up to the end.
func pings(conn *net.UnixConn) (n int) {
	buf := make([]byte, 200)
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		got, err := conn.Read(buf)
		switch {
		case err != nil || string(buf[:got]) == "STOPPING=1":
			return n
		case string(buf[:got]) == "WATCHDOG=1":
			n++
		}
	}
}
