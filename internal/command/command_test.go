package command

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func run(t *testing.T, c Cmd) (Result, error) {
	t.Helper()
	return Exec{}.Run(context.Background(), c)
}

func TestRun(t *testing.T) {
	res, err := run(t, Cmd{Argv: []string{"sh", "-c", "cat; echo $COLOUR >&2"}, Stdin: strings.NewReader("in"), Env: []string{"COLOUR=blue"}})
	if err != nil || string(res.Stdout) != "in" || string(res.Stderr) != "blue\n" || res.ExitCode != 0 {
		t.Errorf("result %+v, error %v", res, err)
	}
}

func TestExitCode(t *testing.T) {
	res, err := run(t, Cmd{Argv: []string{"sh", "-c", "echo no such thing >&2; exit 7"}})
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 7 || res.ExitCode != 7 {
		t.Fatalf("result %+v, error %v", res, err)
	}
	if want := "sh -c echo no such thing >&2; exit 7: exit code 7: no such thing"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

func TestNoSuchProgram(t *testing.T) {
	_, err := run(t, Cmd{Argv: []string{"archy-no-such-program"}})
	if !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), "archy-no-such-program") {
		t.Errorf("error %v", err)
	}
	if _, err := run(t, Cmd{}); err == nil {
		t.Error("nothing was run without an error")
	}
}

// test that a limit ends the children of the child too (incident 19)
func TestLimitEndsTheFamily(t *testing.T) {
	res, err := run(t, Cmd{Argv: []string{"sh", "-c", "sleep 600 & echo $!; trap 'echo heeded; exit' TERM; wait"}, Limit: 200 * time.Millisecond})
	var limit *LimitError
	if !errors.As(err, &limit) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v", err)
	}
	child, heeded, _ := strings.Cut(string(res.Stdout), "\n")
	if heeded != "heeded\n" {
		t.Errorf("%q: it was not asked to end before it was killed", res.Stdout)
	}
	wantGone(t, child)
}

// test that who does not heed SIGTERM is killed after five seconds
func TestLimitKills(t *testing.T) {
	start := time.Now()
	res, err := run(t, Cmd{Argv: []string{"sh", "-c", "trap '' TERM; echo $$; while :; do sleep 1; done"}, Limit: time.Second})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v", err)
	}
	if took := time.Since(start); took < KillDelay {
		t.Errorf("killed after %s, and it has %s", took, KillDelay)
	}
	wantGone(t, strings.TrimSpace(string(res.Stdout)))
}

// test that a program which cannot be killed, as sudo cannot by its caller, holds nobody up, and that nobody reads what it still writes
// (incident 19)
func TestLimitLeavesWhatCannotBeEnded(t *testing.T) {
	leaves := func(name string, begin func(t *testing.T, build builder) error) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var cmd *exec.Cmd
			err := begin(t, func(ctx context.Context, c Cmd, stdout, stderr io.Writer) *exec.Cmd {
				cmd = build(ctx, c, stdout, stderr)
				cmd.Cancel, cmd.WaitDelay = func() error { return os.ErrProcessDone }, 0
				t.Cleanup(func() { _ = cmd.Process.Kill() })
				return cmd
			})
			if syscall.Kill(cmd.Process.Pid, 0) != nil {
				t.Error("its end was waited for")
			}
			if err == nil {
				t.Error("no error")
			}
		})
	}
	endless := Cmd{Argv: []string{"sh", "-c", "echo early; exec sleep 60"}, Limit: time.Second}
	leaves("run", func(t *testing.T, build builder) error {
		res, err := execute(t.Context(), endless, build)
		var limit *LimitError
		if !errors.As(err, &limit) {
			t.Errorf("error %v, want a limit", err)
		}
		if len(res.Stdout) > 0 || res.ExitCode != -1 {
			t.Errorf("result %+v of a program that still runs", res)
		}
		return err
	})
	leaves("lines", func(t *testing.T, build builder) error {
		err := lines(t.Context(), endless, build, time.Second, func([]byte) error { return nil })
		if !errors.Is(err, ErrStalled) {
			t.Errorf("error %v", err)
		}
		return err
	})
}

// wantGone waits a moment for a process to be gone, or a zombie that nobody has collected.
func wantGone(t *testing.T, pid string) {
	t.Helper()
	for range 20 {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if errors.Is(err, os.ErrNotExist) || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("process %s still runs", pid)
}

func TestCancelIsNotALimit(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := Exec{}.Run(ctx, Cmd{Argv: []string{"sleep", "60"}, Limit: time.Minute})
	var limit *LimitError
	if errors.As(err, &limit) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// test that podman is not told where archy reports its readiness
func TestEnvironmentIsCleaned(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/archy/notify")
	t.Setenv("LISTEN_FDS", "3")
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1000")
	res, err := run(t, Cmd{Argv: []string{"sh", "-c", "echo $NOTIFY_SOCKET-$LISTEN_FDS-$XDG_RUNTIME_DIR"}})
	if err != nil || string(res.Stdout) != "--/run/user/1000\n" {
		t.Errorf("output %q, error %v", res.Stdout, err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	res, err := run(t, Cmd{Argv: []string{"sh", "-c", "head -c 20000000 /dev/zero"}})
	if err != nil || len(res.Stdout) != maxCapture {
		t.Errorf("%d bytes, error %v", len(res.Stdout), err)
	}
}

func TestOwnProcessGroup(t *testing.T) {
	res, err := run(t, Cmd{Argv: []string{"sh", "-c", "ps -o pgid= -p $$"}})
	if errors.Is(err, exec.ErrNotFound) || res.ExitCode == 127 {
		t.Skip("no ps here")
	}
	if own := syscall.Getpgrp(); strings.TrimSpace(string(res.Stdout)) == "" || strings.TrimSpace(string(res.Stdout)) == strconv.Itoa(own) {
		t.Errorf("the child is in group %s, archy in %d", res.Stdout, own)
	}
}
