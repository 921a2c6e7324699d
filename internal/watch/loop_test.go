package watch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// In these tests time is that of the bubble: it goes on at once when everything waits.

// node is what a loop sees and does.
type node struct {
	t     *testing.T
	began time.Time
	bell  chan string
	fail  chan error
	loop  *Loop
	// during is called in each pass; due is what the passes say.
	during func(n int)
	due    time.Duration

	mu     sync.Mutex
	passes []string
}

func newNode(t *testing.T) *node {
	n := &node{t: t, began: time.Now(), bell: make(chan string), fail: make(chan error)}
	n.loop = &Loop{Pace: DefaultPace(30 * time.Second), Pass: n.pass, Sources: []Source{{Name: "test", Run: n.source}}}
	return n
}

func (n *node) source(ctx context.Context, listening func(), happened func(string)) error {
	listening()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-n.fail:
			return err
		case what := <-n.bell:
			happened(what)
		}
	}
}

func (n *node) pass(_ context.Context, because string) time.Duration {
	n.mu.Lock()
	n.passes = append(n.passes, fmt.Sprintf("%s %s", time.Since(n.began), because))
	count := len(n.passes)
	n.mu.Unlock()
	if n.during != nil {
		n.during(count)
	}
	return n.due
}

// run runs the loop for that long and gives the passes, by the second from the start.
func (n *node) run(d time.Duration, script func()) string {
	ctx, end := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { n.loop.Run(ctx); close(done) }()
	if script != nil {
		go script()
	}
	time.Sleep(d)
	end()
	<-done
	return strings.Join(n.passes, "; ")
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("passes\n%s\nwant\n%s", got, want)
	}
}

func TestNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want(t, newNode(t).run(100*time.Second, nil), "0s started; 30s interval; 1m0s interval; 1m30s interval")
	})
}

// An app that backs off is tried when its time has come, which no event tells.
func TestATryThatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.due = 20 * time.Second
		n.during = func(count int) {
			switch count {
			case 2:
				n.due = time.Millisecond
			case 3:
				n.due = 5 * time.Minute
			}
		}
		want(t, n.run(60*time.Second, nil), "0s started; 20s a try is due; 21s a try is due; 51s interval")
	})
}

func TestABurstIsOnePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		got := n.run(20*time.Second, func() {
			time.Sleep(10 * time.Second)
			for i := range 40 {
				n.bell <- fmt.Sprintf("event %d", i%5)
				time.Sleep(10 * time.Millisecond)
			}
		})
		want(t, got, "0s started; 10.89s event 0, event 1, event 2 ...")
	})
}

// What never grows quiet is looked at all the same, and does not make a storm of passes.
func TestWhatNeverGrowsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		got := n.run(5*time.Minute, func() {
			for range 290 * 5 {
				n.bell <- "crash loop"
				time.Sleep(200 * time.Millisecond)
			}
		})
		if !strings.HasPrefix(got, "0s started; 5s crash loop; 10s crash loop; 15s crash loop") {
			t.Errorf("passes %s", got)
		}
		if k := strings.Count(got, ";"); k < 300/9 || k > 300/5 {
			t.Errorf("%d passes in five minutes: %s", k, got)
		}
	})
}

// The changes of a pass are followed by one look more, and that is the last: a pass with nothing to do makes nothing happen.
func TestItsOwnChangesDoNotMakeItLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.during = func(count int) {
			if count == 2 {
				time.Sleep(3 * time.Second)
				n.bell <- "container lnd start"
			}
		}
		got := n.run(25*time.Second, func() {
			time.Sleep(5 * time.Second)
			n.bell <- "container lnd died"
		})
		want(t, got, "0s started; 5.5s container lnd died; 9.5s container lnd start")
	})
}

func TestASourceThatEndsIsRunAgainAndAPassFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		var said []string
		n.loop.Log = func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
		got := n.run(20*time.Second, func() {
			time.Sleep(10 * time.Second)
			n.fail <- errors.New("the socket is gone")
		})
		want(t, got, "0s started; 11.5s test is back")
		want(t, strings.Join(said, "; "), "test: the socket is gone; looking each 30s until it listens again; test: listening again")
	})
}

// A source that cannot listen is told once, and tried again at a growing pace; the interval goes on.
func TestASourceThatNeverListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		tries, said := 0, 0
		n.loop.Log = func(string, ...any) { said++ }
		n.loop.Sources = []Source{{Name: "test", Run: func(context.Context, func(), func(string)) error { tries++; return errors.New("no bus") }}}
		want(t, n.run(95*time.Second, nil), "0s started; 30s interval; 1m0s interval; 1m30s interval")
		if tries != 8 || said != 1 { // after 0, 1, 3, 7, 15, 31, 61, 91 s
			t.Errorf("%d tries, told %d times", tries, said)
		}
	})
}

func TestASourceThatHangsDoesNotKeepTheFirstPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.loop.Sources = append(n.loop.Sources, Source{Name: "mute", Run: func(ctx context.Context, _ func(), _ func(string)) error { <-ctx.Done(); return ctx.Err() }})
		want(t, n.run(10*time.Second, nil), "5s started")
	})
}

// Being told to end cuts the sleep short, and waits for a pass.
func TestTheEnd(t *testing.T) {
	defer goleak.VerifyNone(t)
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		ctx, end := context.WithCancel(context.Background())
		finished := false
		n.during = func(count int) {
			if count == 2 {
				end()
				time.Sleep(7 * time.Second) // the app that is at hand
				finished = true
			}
		}
		n.loop.Run(ctx)
		if took := time.Since(n.began); took != 37*time.Second || !finished {
			t.Errorf("ended after %s, the pass %v", took, finished)
		}
	})
}

// A pass with progress keeps the watchdog quiet however long it takes; one that hangs goes silent as soon as what is under way is beyond its limit. It is
// told over a real socket, three times a minute and once at the end of the pass.
func TestWatchdog(t *testing.T) {
	for name, c := range map[string]struct {
		during func(b *Beat)
		pings  int
	}{
		"a pull of an hour": {func(b *Beat) {
			for range 60 {
				b.Allow(1, 2*time.Minute)
				time.Sleep(time.Minute)
			}
		}, 181},
		"a long stop":   {func(b *Beat) { b.Allow(1, 30*time.Minute); time.Sleep(20 * time.Minute) }, 61},
		"a hung pass":   {func(*Beat) { time.Sleep(time.Hour) }, 9},
		"a hung stop":   {func(b *Beat) { b.Allow(1, 10*time.Minute); time.Sleep(time.Hour) }, 30},
		"after the end": {func(b *Beat) { b.Allow(1, time.Hour); b.Allow(1, 0); time.Sleep(time.Hour) }, 9},
	} {
		t.Run(name, func(t *testing.T) {
			conn := listen(t)
			t.Setenv("WATCHDOG_USEC", "60000000")
			heard := make(chan int)
			go func() { heard <- pings(conn) }()
			synctest.Test(t, func(*testing.T) {
				b := NewBeat()
				defer b.Stop()
				b.Begin("test")
				done := make(chan struct{})
				go func() {
					c.during(b)
					time.Sleep(time.Millisecond) // not at the moment of a tick
					close(done)
				}()
				b.Until(done)
				b.Tell("STOPPING=1")
			})
			if got := <-heard; got != c.pings {
				t.Errorf("%d pings, want %d", got, c.pings)
			}
		})
	}
}

// listen is where systemd would be told.
func listen(t *testing.T) *net.UnixConn {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); os.RemoveAll(dir) })
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	return conn
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

// What systemd is told, over a real socket.
func TestNotify(t *testing.T) {
	conn := listen(t)
	t.Setenv("WATCHDOG_USEC", "30000000")
	b := NewBeat()
	defer b.Stop()
	if b.every != 10*time.Second || os.Getenv("NOTIFY_SOCKET")+os.Getenv("WATCHDOG_USEC") != "" {
		t.Errorf("every %s; what archy starts would speak in its name: %q", b.every, os.Getenv("NOTIFY_SOCKET"))
	}
	b.Tell("READY=1", "STATUS=here")
	b.Status("two\nlines")
	for _, want := range []string{"READY=1\nSTATUS=here", "STATUS=two lines"} {
		buf := make([]byte, 200)
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := conn.Read(buf)
		if got := string(buf[:n]); err != nil || got != want {
			t.Errorf("%q, %v", got, err)
		}
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if b := NewBeat(); b != nil {
		t.Error("a beat without anybody who listens")
	}
	var none *Beat
	none.Tell("READY=1")
	none.Allow(1, time.Second)
}

func TestWhichEventsMatter(t *testing.T) {
	health := map[string]string{}
	for _, c := range []struct {
		e    podman.Event
		want bool
	}{
		{podman.Event{Type: "container", Action: "died", Name: "lnd"}, true},
		{podman.Event{Type: "container", Action: "exec", Name: "lnd"}, false},
		{podman.Event{Type: "container", Action: "exec_died", Name: "lnd"}, false},
		{podman.Event{Type: "container", Action: "health_status", Name: "web", Health: "healthy"}, false},
		{podman.Event{Type: "container", Action: "health_status", Name: "web", Health: "unhealthy"}, true},
		{podman.Event{Type: "container", Action: "start", Name: "lnd"}, true},
		{podman.Event{Type: "container", Action: "health_status", Name: "lnd", Health: "healthy"}, true},
		{podman.Event{Type: "container", Action: "health_status", Name: "lnd", Health: "healthy"}, false},
		{podman.Event{Type: "container", Action: "health_status", Name: "lnd", Health: "unhealthy"}, true},
		{podman.Event{Type: "container", Action: "remove", Name: "lnd"}, true},
		{podman.Event{Type: "container", Action: "health_status", Name: "lnd", Health: "unhealthy"}, true},
		{podman.Event{Type: "secret", Action: "remove", Name: "archy.x"}, true},
		{podman.Event{Type: "image", Action: "pull", Name: "x"}, false},
	} {
		if got := matters(c.e, health); got != c.want {
			t.Errorf("%+v: %v", c.e, got)
		}
	}
}
