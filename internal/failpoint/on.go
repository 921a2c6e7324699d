//go:build failpoints

package failpoint

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// What can be done at a point.
const (
	fail      = "fail"       // the call gives errInjected and has no effect
	hang      = "hang"       // the call never comes back: it ends by its limit
	dieBefore = "die-before" // the process is killed before the call
	dieAfter  = "die-after"  // the process is killed after it
)

// The variables that this package reads.
const (
	pointVariable = "ARCHY_FAILPOINT"
	logVariable   = "ARCHY_FAILPOINT_LOG"
)

var errInjected = errors.New("made to fail by ARCHY_FAILPOINT")

// plan is what the environment asks for.
var plan = mustRead(os.Getenv(pointVariable), os.Getenv(logVariable))

// points counts the calls of this process, or with a log those of all processes that share it: a run of first boot and its
// child are counted as one.
type points struct {
	kind string // counts the calls of this kind alone; "" counts all
	at   int
	what string
	log  string

	mu   sync.Mutex
	n    int
	kept int // of the kind
}

// Variable tells that an environment variable is one of this package's.
func Variable(name string) bool { return name == pointVariable || name == logVariable }

func mustRead(asked, log string) *points {
	p, err := read(asked, log)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error: ARCHY_FAILPOINT:", err)
		os.Exit(2)
	}
	return p
}

func read(asked, log string) (*points, error) {
	p := &points{log: log}
	if asked == "" {
		return p, nil
	}
	number, what, _ := strings.Cut(asked, ":")
	if kind, n, ok := strings.Cut(number, " "); ok {
		p.kind, number = kind, n
	}
	if _, err := fmt.Sscanf(number, "%d", &p.at); err != nil || p.at < 1 {
		return nil, fmt.Errorf("%q: want a number from 1 and what happens there, as in 7:die-before, or of which kind, as in file 2:fail", asked)
	}
	switch p.what = what; what {
	case fail, hang, dieBefore, dieAfter:
		return p, nil
	}
	return nil, fmt.Errorf("%q: want fail, hang, die-before or die-after", what)
}

// Do makes one external call. A call that hangs ends with ctx.
func Do(ctx context.Context, kind, object string, call func() error) error {
	if !plan.here(kind, object) {
		return call()
	}
	switch plan.what {
	case fail:
		return errInjected
	case hang:
		<-ctx.Done()
		return ctx.Err()
	case dieAfter:
		_ = call()
	}
	return die()
}

// Write makes a change to a file that matters, and is a point. What hangs there ends only with the process, as on a disk
// that does not answer.
func Write(object string, change func() error) error {
	return Do(forever{context.Background()}, File, object, change)
}

// forever is never done; unlike the background it can be waited for.
type forever struct{ context.Context }

func (forever) Done() <-chan struct{} { time.Sleep(1<<63 - 1); return nil }

// Transport makes each request over it a point.
func Transport(next http.RoundTripper) http.RoundTripper { return transport{next} }

type transport struct{ next http.RoundTripper }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var resp *http.Response
	err := Do(r.Context(), HTTP, r.Method+" "+r.URL.Host+r.URL.Path, func() (err error) {
		resp, err = t.next.RoundTrip(r)
		return err
	})
	return resp, err
}

// CloseIdleConnections is what http.Client looks for.
func (t transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// die is kill -9: no deferred function, no handler, no exit code of archy's own.
func die() error {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	time.Sleep(1<<63 - 1)
	return nil
}

// here gives the next point its number, writes it down, and tells that this is where it happens.
func (p *points) here(kind, object string) bool {
	n, same := p.number(kind, object)
	if p.kind == "" {
		return n == p.at
	}
	return kind == p.kind && same == p.at
}

// number is that of the next point, among all and among those of the kind that is asked for.
func (p *points) number(kind, object string) (n, same int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log == "" {
		if p.n++; kind == p.kind {
			p.kept++
		}
		return p.n, p.kept
	}
	n, same, err := appendLine(p.log, kind, strings.ReplaceAll(object, "\n", " "))
	if err != nil {
		fmt.Fprintln(os.Stderr, "error: ARCHY_FAILPOINT_LOG:", err)
		os.Exit(2)
	}
	return n, same
}

// appendLine adds a numbered line and returns its number, and how many of this kind there are. Several processes may do so at a time.
func appendLine(name, kind, object string) (n, same int, err error) {
	f, err := openLog(name)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return 0, 0, err
	}
	have, err := os.ReadFile(name)
	if err != nil {
		return 0, 0, err
	}
	n, same = 1, 1
	for line := range strings.Lines(string(have)) {
		if _, call, _ := strings.Cut(line, " "); strings.HasPrefix(call, kind+" ") {
			same++
		}
		n++
	}
	_, err = fmt.Fprintf(f, "%d %s %s\n", n, kind, object)
	return n, same, err
}

// openLog lets root's run and its child of the service user write into the same file, whoever came first.
func openLog(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	if f, err = os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666); err != nil {
		return nil, err
	}
	return f, f.Chmod(0o666)
}
