package firstboot

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/node"
)

// childGrace is how long the child has to come to an end after SIGTERM; a stop of a container is not part of its work.
const childGrace = 30 * time.Second

// maxLine bounds one event of the child, in bytes.
const maxLine = 1 << 20

// Child runs an AppsStage as the service user: archy itself, with `first-boot --stage apps`.
type Child struct {
	// Argv is the program with its arguments, Env its whole environment.
	Argv []string
	Env  []string
	User node.User
}

// ErrInterrupted says that the child ended because it was told to.
var ErrInterrupted = errors.New("interrupted")

// ChildError says that the child ended with something else than success.
type ChildError struct {
	Code int
	Text string // the last lines of its stderr
}

func (e *ChildError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("the apps stage ended with exit code %d", e.Code)
	}
	return e.Text
}

// Run gives the child its job and passes its events on until it ends. The child dies with this process, however that
// dies: two of them at work on the same containers is what the lock is there to prevent.
func (c Child) Run(ctx context.Context, job AppsJob, report func(Event)) error {
	input, err := json.Marshal(job)
	if err != nil {
		return err
	}
	done := make(chan error)
	go func() {
		// The death signal follows the thread that starts the child, so the thread has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		done <- failpoint.Do(ctx, failpoint.Child, "apps stage", func() error { return c.run(ctx, input, report) })
	}()
	return <-done
}

// Check asks the child what Run would do.
func (c Child) Check(ctx context.Context, job AppsJob) (todo []string, err error) {
	job.Check = true
	err = c.Run(ctx, job, func(ev Event) {
		if ev.Kind == NoteEvent {
			todo = append(todo, ev.Text)
		}
	})
	return todo, err
}

func (c Child) run(ctx context.Context, input []byte, report func(Event)) error {
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	var said lastText
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.Stderr = c.Env, c.User.Home, bytes.NewReader(input), &said
	cmd.SysProcAttr = c.attributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = childGrace
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the apps stage as %s: %w", c.User.Name, err)
	}
	readErr := readEvents(out, report)
	return childEnd(ctx, cmd.Wait(), readErr, said.String())
}

// attributes give the child the service user's ids, and a process group of its own: ^C reaches archy, which tells it.
func (c Child) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if syscall.Geteuid() != c.User.UID {
		groups := make([]uint32, 0, len(c.User.Groups))
		for _, g := range c.User.Groups {
			groups = append(groups, uint32(g))
		}
		attr.Credential = &syscall.Credential{Uid: uint32(c.User.UID), Gid: uint32(c.User.GID), Groups: groups}
	}
	return attr
}

// readEvents passes the events on. A line that is none is a fault of the child's and ends nothing.
func readEvents(out io.Reader, report func(Event)) error {
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	var bad error
	for lines.Scan() {
		var ev Event
		if err := json.Unmarshal(lines.Bytes(), &ev); err != nil || ev.Kind == "" {
			bad = fmt.Errorf("the apps stage said something that is no event: %.80q", lines.Text())
			continue
		}
		report(ev)
	}
	if err := lines.Err(); err != nil {
		_, _ = io.Copy(io.Discard, out)
		return fmt.Errorf("reading the apps stage: %w", err)
	}
	return bad
}

func childEnd(ctx context.Context, err, readErr error, said string) error {
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return ErrInterrupted
	case err == nil:
		return readErr
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return &ChildError{Code: exit.ExitCode(), Text: said}
	}
	return fmt.Errorf("the apps stage: %w %s", err, said)
}

// lastText keeps the last lines that were written to it.
type lastText struct{ text []byte }

const lastTextKept = 4 << 10

func (l *lastText) Write(p []byte) (int, error) {
	l.text = append(l.text, p...)
	if over := len(l.text) - lastTextKept; over > 0 {
		l.text = l.text[over:]
	}
	return len(p), nil
}

// String is what was written in one line, without the word that archy puts before an error.
func (l *lastText) String() string {
	text := strings.TrimPrefix(strings.TrimSpace(string(l.text)), "error: ")
	return strings.ReplaceAll(text, "\n", "; ")
}
