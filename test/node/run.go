package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Cmd is a program to run in the node.
type Cmd struct {
	Args []string
	// User runs it as the service user in that user's login session; otherwise it is root's.
	User bool
	// Env is added to the session's environment, as NAME=value.
	Env []string
	// Dir is the working directory in the node; empty: the home directory.
	Dir string
	// Stdin, Stdout and Stderr may be nil. Run collects what goes to a nil Stdout or Stderr.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Result is how a program ended.
type Result struct {
	Args           []string
	Stdout, Stderr string
	// Code is the exit code; 128 + n when signal n ended it, as in a shell, and -1 when it was never started.
	Code int
	// Err is what kept it from being run or waited for, not an exit code.
	Err error
}

// Error says what went wrong in a line or two, or is nil when the program ended with 0.
func (r Result) Error() error {
	if r.Err == nil && r.Code == 0 {
		return nil
	}
	return fmt.Errorf("%s: exit code %d: %w", strings.Join(r.Args, " "), r.Code,
		errors.Join(r.Err, errors.New(tail(r.Stderr+r.Stdout, 10))))
}

// Root runs a program as root.
func (n *Node) Root(ctx context.Context, args ...string) Result { return n.Run(ctx, Cmd{Args: args}) }

// User runs a program as the service user, in that user's session: with its runtime directory and its bus.
func (n *Node) User(ctx context.Context, args ...string) Result {
	return n.Run(ctx, Cmd{Args: args, User: true})
}

// Run runs a program to its end. When the context ends first, the program is killed.
func (n *Node) Run(ctx context.Context, c Cmd) Result {
	m, err := n.running()
	if err != nil {
		return Result{Args: c.Args, Code: -1, Err: err}
	}
	return m.run(ctx, c)
}

// UserStart starts a program as the service user and does not wait for it.
func (n *Node) UserStart(ctx context.Context, args ...string) (*Process, error) {
	return n.Start(ctx, Cmd{Args: args, User: true})
}

// Start starts a program and does not wait for it.
func (n *Node) Start(ctx context.Context, c Cmd) (*Process, error) {
	m, err := n.running()
	if err != nil {
		return nil, err
	}
	return m.startCmd(ctx, c)
}

// Process is a program that runs in a node. It is reaped when it ends, whether or not anybody calls Wait: a zombie whose
// parent is outside keeps the node's PID 1 from ending.
type Process struct {
	cmd            *exec.Cmd
	args           []string
	stdout, stderr bytes.Buffer
	ended          chan struct{} // closed after err is set
	err            error
}

// PID is the program's process id as this machine counts; it is also its process group and session.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill is kill -9 of that one process. What it started lives on.
func (p *Process) Kill() error { return p.cmd.Process.Kill() }

// Signal sends any other signal.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Wait waits for the program's end, and at most two seconds longer for those who hold its output open.
func (p *Process) Wait() Result {
	<-p.ended
	err := p.err
	res := Result{Args: p.args, Stdout: p.stdout.String(), Stderr: p.stderr.String(), Code: -1, Err: err}
	state, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		return res
	}
	res.Code = state.ExitStatus()
	if state.Signaled() {
		res.Code = 128 + int(state.Signal())
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) || errors.Is(err, exec.ErrWaitDelay) {
		res.Err = nil
	}
	return res
}

func (m *machine) run(ctx context.Context, c Cmd) Result {
	p, err := m.startCmd(ctx, c)
	if err != nil {
		return Result{Args: c.Args, Code: -1, Err: err}
	}
	res := p.Wait()
	if ctx.Err() != nil {
		res.Err = ctx.Err()
	}
	return res
}

func (m *machine) startCmd(ctx context.Context, c Cmd) (*Process, error) {
	if len(c.Args) == 0 {
		return nil, errors.New("no command")
	}
	cgroup, home, env, become := m.session(c)
	group, err := os.Open(filepath.Join(m.cgroup, cgroup))
	if err != nil {
		return nil, fmt.Errorf("enter the node: %w", err)
	}
	defer group.Close()
	// the chain of programs replaces itself: one process, one PID. It enters the cgroup namespace from
	// within the node's cgroup, because a tree with nsdelegate lets nobody in from outside.
	args := append(become, c.Args...)
	cmd := exec.CommandContext(ctx, "/usr/bin/nsenter", append([]string{"--cgroup=/proc/1/ns/cgroup", "--"}, args...)...)
	cmd.Env = append(env, c.Env...)
	cmd.Dir = c.Dir
	if cmd.Dir == "" {
		cmd.Dir = home
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(group.Fd())}
	cmd.WaitDelay = 2 * time.Second
	p := &Process{cmd: cmd, args: c.Args, ended: make(chan struct{})}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	if cmd.Stdout == nil {
		cmd.Stdout = &p.stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &p.stderr
	}
	err = m.inside(unix.CLONE_NEWNS|unix.CLONE_NEWPID|unix.CLONE_NEWNET|unix.CLONE_NEWUTS|unix.CLONE_NEWIPC, cmd.Start)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Args[0], err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// session gives the cgroup, the home, the environment and the change of user that make a command root's or the user's.
func (m *machine) session(c Cmd) (cgroup, home string, env, become []string) {
	const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	env = []string{path, "LANG=C.UTF-8"}
	if !c.User {
		return "init.scope", "/root", append(env, "HOME=/root", "USER=root", "LOGNAME=root"), nil
	}
	uid := strconv.Itoa(serviceUID)
	runtimeDir := "/run/user/" + uid
	home = "/home/" + serviceUser
	env = append(env, "HOME="+home, "USER="+serviceUser, "LOGNAME="+serviceUser, "SHELL=/bin/bash",
		"XDG_RUNTIME_DIR="+runtimeDir, "DBUS_SESSION_BUS_ADDRESS=unix:path="+runtimeDir+"/bus")
	return m.login, home, env, []string{"setpriv", "--reuid=" + uid, "--regid=" + uid, "--init-groups", "--"}
}
