package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"git.tx1138.com/lfg2025/archy/test/node"
	"git.tx1138.com/lfg2025/archy/test/node/registry"
)

const (
	// memory is what the machine has, in MiB.
	memory = 3072
	// bootLimit is how long a boot up to the service user's bus may take.
	bootLimit = 10 * time.Minute
	// commandLimit bounds a command whose context has no end of its own.
	commandLimit = 10 * time.Minute
	// host is this machine, seen from inside.
	host = "10.0.2.2"
)

// Machine is a virtual machine, running or switched off.
type Machine struct {
	// Dir holds its disk and its console.
	Dir string
	// Registry serves its pulls.
	Registry *registry.Server

	image    string
	progress io.Writer
	pulls    net.Listener
	port     int
	emulator *exec.Cmd
	ended    chan struct{}
	client   *ssh.Client
}

// Up makes a machine with a disk of its own and boots it.
func Up(ctx context.Context, progress io.Writer) (*Machine, error) {
	image, err := Image(ctx, progress)
	if err != nil {
		return nil, err
	}
	base, err := node.Base(ctx, progress)
	if err != nil {
		return nil, err
	}
	m := &Machine{image: image, progress: progress}
	if m.Registry, err = node.Registry(ctx, base); err != nil {
		return nil, err
	}
	if m.Dir, err = node.NewDir(); err != nil {
		return nil, err
	}
	if err = m.plug(ctx); err == nil {
		err = m.Boot(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, m.Remove())
	}
	return m, nil
}

// plug gives the machine its disk, which holds only what differs from the image, and its registry.
func (m *Machine) plug(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-b", filepath.Join(m.image, "disk.img"), "-F", "raw", m.disk()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("the machine's disk: %w: %s", err, out)
	}
	if m.pulls, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	go func() { _ = m.Registry.Serve(m.pulls) }() // until it is closed
	return nil
}

func (m *Machine) disk() string { return filepath.Join(m.Dir, "disk.qcow2") }

// errPanic says that the kernel ended itself while it booted. The emulator does that to it now and then: a processor runs into an instruction
// that another one is just replacing, and sees half of it.
var errPanic = errors.New("the kernel panicked while it booted")

// panicWords are how a kernel says so on its console.
const panicWords = "Kernel panic"

// Boot switches the machine on and waits for the service user's bus. A kernel that panics is given two more tries.
func (m *Machine) Boot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	err := m.bootOnce(ctx)
	for range 2 {
		if !errors.Is(err, errPanic) {
			break
		}
		fmt.Fprintf(m.progress, "%v\nit is switched on again\n", err)
		m.Cut()
		err = m.bootOnce(ctx)
	}
	return err
}

func (m *Machine) bootOnce(ctx context.Context) error {
	began := time.Now()
	if err := m.start(); err != nil {
		return err
	}
	for {
		if err := m.login(ctx); err == nil && m.Root(ctx, "test -S /run/user/1000/bus").Error() == nil {
			break
		}
		select {
		case <-m.ended:
			if m.Panicked() {
				return fmt.Errorf("%w:\n%s", errPanic, m.tail("console.log"))
			}
			return fmt.Errorf("the emulator ended:\n%s", m.tail("qemu.log"))
		case <-ctx.Done():
			return fmt.Errorf("the machine does not come up: %w; its console:\n%s", ctx.Err(), m.tail("console.log"))
		case <-time.After(time.Second):
		}
	}
	fmt.Fprintf(m.progress, "the machine is up after %.0f s\n", time.Since(began).Seconds())
	_, port, err := net.SplitHostPort(m.pulls.Addr().String())
	if err != nil {
		return err
	}
	return m.Root(ctx, fmt.Sprintf(`sed -i -E 's/"(127\.0\.0\.1|%[1]s):[0-9]+/"%[1]s:%[2]s/' /etc/containers/registries.conf.d/50-archy-test.conf`, host, port)).Error()
}

func (m *Machine) start() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	m.port = l.Addr().(*net.TCPAddr).Port
	_ = l.Close() // the emulator takes it in a moment
	log, err := os.Create(filepath.Join(m.Dir, "qemu.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	m.emulator = exec.Command("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", fmt.Sprint(memory),
		"-display", "none", "-no-reboot", "-monitor", "none", "-kernel", filepath.Join(m.image, "kernel"), "-initrd", filepath.Join(m.image, "initrd"),
		"-append", "root=/dev/vda rw console=ttyS0 quiet panic=-1", "-drive", "file="+m.disk()+",if=virtio,format=qcow2,cache=none",
		"-nic", fmt.Sprintf("user,model=virtio,hostfwd=tcp:127.0.0.1:%d-:22", m.port), "-serial", "file:"+filepath.Join(m.Dir, "console.log"))
	m.emulator.Stdout, m.emulator.Stderr = log, log
	m.emulator.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.emulator.Start(); err != nil {
		return err
	}
	m.ended = make(chan struct{})
	go func() { _ = m.emulator.Wait(); close(m.ended) }()
	return nil
}

func (m *Machine) login(ctx context.Context) error {
	if m.client != nil {
		return nil
	}
	var keys [2]ssh.Signer
	for i, name := range []string{"key", "hostkey"} {
		text, err := os.ReadFile(filepath.Join(m.image, name))
		if err != nil {
			return err
		}
		if keys[i], err = ssh.ParsePrivateKey(text); err != nil {
			return err
		}
	}
	addr := fmt.Sprintf("127.0.0.1:%d", m.port)
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second)) // emulated handshakes are slow
	c, chans, reqs, err := ssh.NewClientConn(conn, addr, &ssh.ClientConfig{User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(keys[0])},
		HostKeyCallback: ssh.FixedHostKey(keys[1].PublicKey())})
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	_ = conn.SetDeadline(time.Time{})
	m.client = ssh.NewClient(c, chans, reqs)
	return nil
}

// Root runs a script as root.
func (m *Machine) Root(ctx context.Context, script string) node.Result {
	return m.run(ctx, script, nil, "sh -euc "+quote(script))
}

// User runs a command in the service user's session.
func (m *Machine) User(ctx context.Context, args ...string) node.Result {
	line := "systemd-run --quiet --pipe --wait --collect --uid=archipelago --working-directory=/home/archipelago -E HOME=/home/archipelago " +
		"-E XDG_RUNTIME_DIR=/run/user/1000 -E DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus --"
	for _, a := range args {
		line += " " + quote(a)
	}
	return m.run(ctx, strings.Join(args, " "), nil, line)
}

// Put copies a file of this machine into it.
func (m *Machine) Put(ctx context.Context, file, dest, mode string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return m.run(ctx, "put "+dest, f, fmt.Sprintf("cat >%[1]s && chmod %[2]s %[1]s && sync -f %[1]s", quote(dest), mode)).Error()
}

func (m *Machine) run(ctx context.Context, name string, stdin io.Reader, line string) node.Result {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	var out, errs bytes.Buffer
	res := node.Result{Args: []string{name}, Code: -1}
	if m.client == nil {
		res.Err = errors.New("the machine is off")
		return res
	}
	session, err := m.client.NewSession()
	if err != nil {
		res.Err = err
		return res
	}
	defer session.Close()
	session.Stdin, session.Stdout, session.Stderr = stdin, &out, &errs
	done := make(chan error, 1)
	go func() { done <- session.Run(line) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		res.Err = ctx.Err()
		return res
	}
	res.Stdout, res.Stderr, res.Code = out.String(), errs.String(), 0
	var exit *ssh.ExitError
	switch {
	case errors.As(err, &exit):
		res.Code = exit.ExitStatus()
	case err != nil && m.Panicked():
		res.Code, res.Err = -1, fmt.Errorf("%w, and the machine's console says\n%s", err, m.tail("console.log"))
	case err != nil:
		res.Code, res.Err = -1, err
	}
	return res
}

// Panicked tells that the kernel has ended itself, as under an emulator it does now and then.
func (m *Machine) Panicked() bool {
	select {
	case <-m.ended:
		return m.emulator != nil && strings.Contains(m.tail("console.log"), panicWords)
	default:
		return false
	}
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// Cut is a power cut: the emulator dies, and what the machine had not flushed to its disk is lost.
func (m *Machine) Cut() {
	if m.client != nil {
		_ = m.client.Close()
		m.client = nil
	}
	if m.emulator != nil {
		_ = m.emulator.Process.Kill()
		<-m.ended
		m.emulator = nil
	}
}

// Remove cuts the power and deletes the disk.
func (m *Machine) Remove() error {
	m.Cut()
	if m.pulls != nil {
		_ = m.pulls.Close()
	}
	return os.RemoveAll(m.Dir)
}

func (m *Machine) tail(name string) string {
	text, _ := os.ReadFile(filepath.Join(m.Dir, name))
	return string(text[max(0, len(text)-3000):])
}
