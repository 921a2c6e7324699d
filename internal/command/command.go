// Package command runs other programs with a limit on their time and on what they may print.
//
// Every child gets a process group of its own, so that a limit reached ends the whole family: SIGTERM, five
// seconds, SIGKILL (incident 19: a podman call that never came back held up every later one). What cannot be ended
// is left to itself.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
)

// KillDelay is the time between the SIGTERM and the SIGKILL that a child gets when its limit is reached.
const KillDelay = 5 * time.Second

// maxCapture bounds what is kept of a child's output; the rest is read and dropped.
const maxCapture = 16 << 20

// Cmd is one program to run. Secrets belong into Stdin, never into Argv: every user can read those.
type Cmd struct {
	Argv  []string
	Stdin io.Reader
	// Env is added to the environment of archy itself.
	Env []string
	Dir string
	// Join lets Lines read stderr as well as stdout, in the order of writing.
	Join bool
	// Limit is the longest the program may take; zero means that the context alone decides.
	Limit time.Duration
}

// Result is what a program that ended left behind.
type Result struct {
	Stdout   []byte
	Stderr   []byte
	ExitCode int
}

// Runner runs programs. Exec is the real one.
type Runner interface {
	// Run waits for the program to end. A program that ends with another code than 0 is an *ExitError; one
	// that was stopped because its limit was reached is a *LimitError.
	Run(ctx context.Context, cmd Cmd) (Result, error)
}

// ExitError tells that a program ended with a code other than 0.
type ExitError struct {
	Argv   []string
	Code   int
	Stderr string
}

func (e *ExitError) Error() string {
	msg := fmt.Sprintf("%s: exit code %d", strings.Join(e.Argv, " "), e.Code)
	if e.Stderr != "" {
		msg += ": " + e.Stderr
	}
	return msg
}

// LimitError tells that a program was stopped because it took too long. It proves nothing else.
type LimitError struct {
	Argv  []string
	Limit time.Duration
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: not finished after %s", strings.Join(e.Argv, " "), e.Limit)
}

// Unwrap makes a LimitError a context.DeadlineExceeded.
func (e *LimitError) Unwrap() error { return context.DeadlineExceeded }

// Exec runs programs on this machine.
type Exec struct{}

// Run implements Runner.
func (Exec) Run(ctx context.Context, c Cmd) (Result, error) { return execute(ctx, c, build) }

func execute(ctx context.Context, c Cmd, build builder) (Result, error) {
	if len(c.Argv) == 0 {
		return Result{}, errors.New("no program to run")
	}
	parent := ctx
	if c.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Limit)
		defer cancel()
	}
	var stdout, stderr capture
	cmd := build(ctx, c, &stdout, &stderr)
	err := failpoint.Do(ctx, failpoint.Child, strings.Join(c.Argv, " "), func() error {
		if err := cmd.Start(); err != nil {
			return err
		}
		return reap(ctx, cmd)
	})
	if errors.Is(err, errLeft) { // it may still write what would be read here
		return Result{ExitCode: -1}, explain(parent, ctx, c, Result{}, err)
	}
	res := Result{Stdout: stdout.kept.Bytes(), Stderr: stderr.kept.Bytes(), ExitCode: cmd.ProcessState.ExitCode()}
	return res, explain(parent, ctx, c, res, err)
}

// builder makes the program that is started; a test makes one that cannot be ended.
type builder func(ctx context.Context, c Cmd, stdout, stderr io.Writer) *exec.Cmd

func build(ctx context.Context, c Cmd, stdout, stderr io.Writer) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, stdout, stderr
	cmd.Dir = c.Dir
	cmd.Env = append(environment(os.Environ()), c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return endGroup(cmd.Process.Pid) }
	// A grandchild that left the group may hold the pipes open; do not wait for it.
	cmd.WaitDelay = KillDelay + time.Second
	return cmd
}

// leaveDelay is the time between the end of a program's limit and archy's going on without it.
const leaveDelay = KillDelay + 3*time.Second

// errLeft tells that a program still runs.
var errLeft = errors.New("it cannot be ended")

// reap waits for a program that was started, and for one whose time is over only so long as its death takes. sudo makes itself
// root's as a whole, so that who called it cannot kill it, and nobody kills a program that waits for a disk.
func reap(ctx context.Context, cmd *exec.Cmd) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(leaveDelay):
		return errLeft
	}
}

// endGroup asks the process group to end and makes sure of it after KillDelay.
func endGroup(pgid int) error {
	if err := syscall.Kill(-pgid, syscall.SIGTERM); err != nil {
		return os.ErrProcessDone
	}
	go killGroup(pgid)
	return nil
}

// killGroup watches the group until it is gone: afterwards its number may belong to somebody else.
func killGroup(pgid int) {
	const look = 50 * time.Millisecond
	for range KillDelay / look {
		time.Sleep(look)
		if syscall.Kill(-pgid, 0) != nil {
			return
		}
	}
	_ = syscall.Kill(-pgid, syscall.SIGKILL)
}

// environment leaves out what systemd tells archy about archy: podman would take NOTIFY_SOCKET for its own and
// report to the wrong service.
func environment(own []string) []string {
	kept := make([]string, 0, len(own))
	for _, kv := range own {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID", "WATCHDOG_USEC":
		default:
			kept = append(kept, kv)
		}
	}
	return kept
}

func explain(parent, limited context.Context, c Cmd, res Result, err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case parent.Err() != nil:
		return fmt.Errorf("%s: %w", strings.Join(c.Argv, " "), parent.Err())
	case limited.Err() != nil:
		return &LimitError{Argv: c.Argv, Limit: c.Limit}
	case errors.As(err, &exit):
		return &ExitError{Argv: c.Argv, Code: res.ExitCode, Stderr: lastLines(res.Stderr, 5)}
	}
	return fmt.Errorf("%s: %w", c.Argv[0], err)
}

// lastLines returns the last n lines of text, joined for one line of an error.
func lastLines(text []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "; ")
}

// capture keeps the first maxCapture bytes written to it. The buffer is no embedded one: io.Copy would find its
// ReadFrom and pass Write by.
type capture struct{ kept bytes.Buffer }

func (c *capture) Write(p []byte) (int, error) {
	if room := maxCapture - c.kept.Len(); room > 0 {
		c.kept.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
