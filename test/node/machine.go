package node

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed boot.sh
var bootScript string

// bootTimeout is far above the second that a boot takes: the machine may be busy, and a first boot is part of the boot.
const bootTimeout = 5 * time.Minute

// machine is one power-on of a node: a PID 1 with everything below it.
type machine struct {
	pid     int // of the node's PID 1, as this machine counts
	pidfd   int
	cgroup  string
	root    *os.File      // the node's / as its PID 1 sees it
	gone    chan struct{} // closed when PID 1 has been reaped, and with it every process of the node
	login   string        // cgroup of the service user's session, below cgroup
	sockets []net.Listener
	once    sync.Once
}

// Boot switches the node on and returns when systemd has started what it starts and the user's bus answers.
func (n *Node) Boot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.forgetDead(); n.machine != nil {
		return fmt.Errorf("node %s is running", n.Dir)
	}
	m, err := n.powerOn()
	if err != nil {
		return fmt.Errorf("node %s: %w", n.Dir, err)
	}
	if err := n.settle(ctx, m); err != nil {
		m.kill()
		console, _ := os.ReadFile(filepath.Join(n.Dir, "console.log"))
		return fmt.Errorf("node %s did not come up: %w\n%s", n.Dir, err, tail(string(console), 20))
	}
	n.machine = m
	return n.publish(m)
}

// powerOn starts PID 1 in namespaces and a cgroup of its own.
func (n *Node) powerOn() (*machine, error) {
	cgroup, err := newCgroup()
	if err != nil {
		return nil, err
	}
	console, err := os.Create(filepath.Join(n.Dir, "console.log"))
	if err != nil {
		return nil, err
	}
	defer console.Close()
	group, err := os.Open(cgroup)
	if err != nil {
		return nil, err
	}
	defer group.Close()
	// the cgroup namespace comes second: its root is the cgroup of the process that makes it
	cmd := exec.Command("unshare", "--cgroup", "sh", "-c", bootScript)
	cmd.Env = append(os.Environ(), "BASE="+n.base, "DISK="+n.Dir, "LAN="+n.lan, "BOOT_ID="+n.bootID)
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Setsid:     true, UseCgroupFD: true, CgroupFD: int(group.Fd()),
		// the node dies with this process, however that dies
		Pdeathsig: unix.SIGKILL,
	}
	m := &machine{cgroup: cgroup, gone: make(chan struct{})}
	if err := m.start(cmd); err != nil {
		os.Remove(cgroup)
		return nil, fmt.Errorf("start PID 1: %w", err)
	}
	return m, nil
}

// start runs PID 1 from a thread that lives as long as it does: the death signal follows the thread.
func (m *machine) start(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			m.pid = cmd.Process.Pid
			m.pidfd, err = unix.PidfdOpen(m.pid, 0)
		}
		started <- err
		if cmd.Process == nil {
			return
		}
		_ = cmd.Wait() // a signal ends it, always
		removeCgroup(m.cgroup)
		close(m.gone)
	}()
	return <-started
}

// settle waits for the boot to finish and puts the test's own things in place.
func (n *Node) settle(ctx context.Context, m *machine) error {
	if err := m.enterRoot(ctx); err != nil {
		return err
	}
	if err := n.serveRegistry(m); err != nil {
		return err
	}
	if err := m.waitSystem(ctx); err != nil {
		return err
	}
	return m.openSession(ctx)
}

// enterRoot opens the node's root directory once systemd has taken over from the boot script.
func (m *machine) enterRoot(ctx context.Context) error {
	exe := fmt.Sprintf("/proc/%d/comm", m.pid)
	err := m.poll(ctx, "systemd as PID 1", func() bool {
		name, err := os.ReadFile(exe)
		return err == nil && string(bytes.TrimSpace(name)) == "systemd"
	})
	if err != nil {
		return err
	}
	m.root, err = os.OpenFile(fmt.Sprintf("/proc/%d/root", m.pid), unix.O_PATH|unix.O_DIRECTORY, 0)
	return err
}

func (m *machine) waitSystem(ctx context.Context) error {
	state := ""
	err := m.poll(ctx, "the end of the boot", func() bool {
		res := m.run(ctx, Cmd{Args: []string{"systemctl", "is-system-running", "--wait"}})
		state = strings.TrimSpace(res.Stdout)
		return state == "running" || state == "degraded"
	})
	if err != nil {
		return fmt.Errorf("%w (systemd says %q)", err, state)
	}
	bus := fmt.Sprintf("/run/user/%d/bus", serviceUID)
	return m.poll(ctx, "the user's bus", func() bool { return m.exists(bus) })
}

// openSession logs the service user in, as ssh would, and remembers the session's cgroup: what the test runs as the
// user runs in there.
func (m *machine) openSession(ctx context.Context) error {
	const unit = "node-session.service"
	res := m.run(ctx, Cmd{Args: []string{"systemd-run", "--quiet", "--unit=" + unit, "--uid=" + serviceUser,
		"--property=PAMName=login", "sleep", "infinity"}})
	if err := res.Error(); err != nil {
		return err
	}
	return m.poll(ctx, "the user's session", func() bool {
		res := m.run(ctx, Cmd{Args: []string{"systemctl", "show", "-P", "MainPID", unit}})
		text, err := m.readFile("/proc/" + strings.TrimSpace(res.Stdout) + "/cgroup")
		// read from outside, so the path begins with the node's own cgroup
		m.login = strings.TrimPrefix(unified(string(text)), "/"+filepath.Base(m.cgroup))
		return err == nil && strings.HasPrefix(m.login, "/user.slice/")
	})
}

// poll repeats ok until it holds. It gives up when the context or the machine ends.
func (m *machine) poll(ctx context.Context, what string, ok func() bool) error {
	for {
		if ok() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-m.gone:
			return fmt.Errorf("waiting for %s: the node switched itself off", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// kill ends every process of the machine at once and waits until they are gone.
func (m *machine) kill() {
	_ = unix.PidfdSendSignal(m.pidfd, unix.SIGKILL, nil, 0)
	m.release()
}

// release waits for the end of PID 1, then closes what was open on the machine.
func (m *machine) release() {
	<-m.gone
	m.once.Do(func() {
		for _, l := range m.sockets {
			l.Close()
		}
		if m.root != nil {
			m.root.Close()
		}
		unix.Close(m.pidfd)
	})
}

// Cut is a power cut: everything in the node is killed at the same instant. Its disk stays as it is at that moment,
// with what the programs had written, synced or not.
func (n *Node) Cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.machine != nil {
		n.machine.kill()
		n.machine = nil
	}
}

// Down switches the node off in order: systemd stops everything first.
func (n *Node) Down(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.machine
	if m == nil {
		return nil
	}
	// systemd(1), signals: SIGRTMIN+4 is "power off"
	if err := unix.PidfdSendSignal(m.pidfd, unix.Signal(34+4), nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("power off: %w", err)
	}
	select {
	case <-m.gone:
		m.release()
		n.machine = nil
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the node did not switch off: %w", ctx.Err())
	}
}

// Reboot is Down and Boot.
func (n *Node) Reboot(ctx context.Context) error {
	if err := n.Down(ctx); err != nil {
		return err
	}
	return n.Boot(ctx)
}

// PID is the node's PID 1 as this machine counts; 0 when it is switched off.
func (n *Node) PID() int {
	m, err := n.running()
	if err != nil {
		return 0
	}
	return m.pid
}

func (n *Node) running() (*machine, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.forgetDead(); n.machine == nil {
		return nil, fmt.Errorf("node %s is switched off", n.Dir)
	}
	return n.machine, nil
}

// forgetDead notices that the node switched itself off.
func (n *Node) forgetDead() {
	if n.machine == nil {
		return
	}
	select {
	case <-n.machine.gone:
		n.machine.release()
		n.machine = nil
	default:
	}
}

// ownerAlive tells whether the process in a name like 1234-1 still lives.
func ownerAlive(name string) bool {
	pid, err := strconv.Atoi(strings.SplitN(name, "-", 2)[0])
	return err != nil || unix.Kill(pid, 0) == nil
}

// sweepDisks removes the disks of test processes that died without doing so.
func sweepDisks(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if !ownerAlive(e.Name()) {
			_ = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
}
