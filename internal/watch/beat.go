package watch

import (
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Beat tells systemd how the loop is (sd_notify(3)) and that it has progress. A nil Beat tells nobody.
//
// The ping of the watchdog never comes from a clock alone: while the loop sleeps the loop itself sends it, and during a
// pass it is sent only as long as what is under way is within its own limits. A pass that hangs goes silent, and systemd
// ends it.
type Beat struct {
	socket string
	every  time.Duration

	mu sync.Mutex
	// allowed is until when the pass is believed to have progress, by operation under way; 0 is the pass itself.
	allowed map[int]time.Time
	ticker  *time.Ticker
}

// Allowance is how long a pass may do something that is no operation, such as looking at everything: three calls of 30 s
// and some room.
const Allowance = 3 * time.Minute

// NewBeat reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and takes them out of the environment: what archy starts must not
// speak in its name. Without a socket it is nil.
func NewBeat() *Beat {
	socket, usec, pid := os.Getenv("NOTIFY_SOCKET"), os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		_ = os.Unsetenv(name)
	}
	if socket == "" {
		return nil
	}
	b := &Beat{socket: socket, allowed: map[int]time.Time{}}
	if n, err := strconv.ParseInt(usec, 10, 64); err == nil && n > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		b.every = time.Duration(n) * time.Microsecond / 3
		b.ticker = time.NewTicker(b.every)
	}
	return b
}

// Tell sends states such as READY=1 or STATUS=text. Nobody listening is no error: it is news, not work.
func (b *Beat) Tell(states ...string) {
	if b == nil {
		return
	}
	name := b.socket
	if strings.HasPrefix(name, "@") {
		name = "\x00" + name[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write([]byte(strings.Join(states, "\n")))
}

// Status is what systemctl status shows.
func (b *Beat) Status(text string) { b.Tell("STATUS=" + strings.ReplaceAll(text, "\n", " ")) }

// Ping tells the watchdog that there is progress.
func (b *Beat) Ping() { b.Tell("WATCHDOG=1") }

// Tick comes several times within the watchdog's limit, never without a watchdog.
func (b *Beat) Tick() <-chan time.Time {
	if b == nil || b.ticker == nil {
		return nil
	}
	return b.ticker.C
}

// Begin begins a pass.
func (b *Beat) Begin(because string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	clear(b.allowed)
	b.allowed[0] = time.Now().Add(Allowance)
	b.mu.Unlock()
	b.Tell("STATUS=a pass: "+because, "WATCHDOG=1")
}

// Allow believes that operation n of the pass has progress for d from now; 0 forgets it, since it has ended.
func (b *Beat) Allow(n int, d time.Duration) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.allowed[0] = time.Now().Add(Allowance)
	if n != 0 && d <= 0 {
		delete(b.allowed, n)
	} else if n != 0 {
		b.allowed[n] = time.Now().Add(d)
	}
}

// progressing tells that something under way is within its limit.
func (b *Beat) progressing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, until := range b.allowed {
		if now.Before(until) {
			return true
		}
	}
	return false
}

// Until waits for a pass to be done, and pings as long as it has progress.
func (b *Beat) Until(done <-chan struct{}) {
	for {
		select {
		case <-done:
			if b != nil {
				b.Ping()
			}
			return
		case <-b.Tick():
			if b.progressing() {
				b.Ping()
			}
		}
	}
}

// Stop ends the ticking.
func (b *Beat) Stop() {
	if b != nil && b.ticker != nil {
		b.ticker.Stop()
	}
}
