package node

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// inside calls do on a thread that has joined the given namespaces of the node. The thread ends with the call.
func (m *machine) inside(namespaces int, do func() error) error {
	done := make(chan error)
	go joined(m.pidfd, namespaces, do, done)
	return <-done
}

func joined(pidfd, namespaces int, do func() error, done chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		// the process's first thread cannot end, and /proc/self is what it sees: leave it alone
		again := make(chan error)
		go joined(pidfd, namespaces, do, again)
		err := <-again
		runtime.UnlockOSThread()
		done <- err
		return
	}
	// no unlock from here on: the runtime ends a thread whose goroutine ended with the lock
	done <- func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		unix.Umask(0o022)
		if err := unix.Setns(pidfd, namespaces); err != nil {
			return fmt.Errorf("join the node's namespaces: %w", err)
		}
		return do()
	}()
}

// Listen listens inside the node; the server that accepts is this process's.
func (n *Node) Listen(network, addr string) (net.Listener, error) {
	m, err := n.running()
	if err != nil {
		return nil, err
	}
	return m.listen(network, addr)
}

func (m *machine) listen(network, addr string) (l net.Listener, err error) {
	// a socket keeps the network namespace that it was made in
	err = m.inside(unix.CLONE_NEWNET, func() error {
		l, err = net.Listen(network, addr)
		return err
	})
	return l, err
}

// Dial connects to an IP address and port as a program in the node would.
func (n *Node) Dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	m, err := n.running()
	if err != nil {
		return nil, err
	}
	err = m.inside(unix.CLONE_NEWNET, func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// HTTP is a client whose requests start inside the node, as from a browser on it. Name hosts by IP address.
func (n *Node) HTTP() *http.Client {
	return &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{DialContext: n.Dial, DisableKeepAlives: true},
	}
}

// serveRegistry makes the registry answer in a machine that has just booted.
func (n *Node) serveRegistry(m *machine) error {
	l, err := m.listen("tcp", RegistryAddr)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	m.sockets = append(m.sockets, l)
	go func() { _ = n.Registry.Serve(l) }() // ends when the listener is closed
	return nil
}

// open opens a path as the node sees it: links lead nowhere but into the node.
func (m *machine) open(path string, flags int, mode os.FileMode) (*os.File, error) {
	fd, err := unix.Openat2(int(m.root.Fd()), path, &unix.OpenHow{
		Flags: uint64(flags | unix.O_CLOEXEC), Mode: uint64(mode.Perm()),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &os.PathError{Op: "open in node", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (m *machine) exists(path string) bool {
	f, err := m.open(path, unix.O_PATH, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

func (m *machine) readFile(path string) ([]byte, error) {
	f, err := m.open(path, unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// ReadFile reads a file of the running node.
func (n *Node) ReadFile(path string) ([]byte, error) {
	m, err := n.running()
	if err != nil {
		return nil, err
	}
	return m.readFile(path)
}

// Exists tells whether the running node has something at path.
func (n *Node) Exists(path string) bool {
	m, err := n.running()
	return err == nil && m.exists(path)
}

// WriteFile writes a file in the running node with exactly this mode. A new file, and each directory made on the
// way, gets the owner of the directory that it is in; a file that exists keeps its owner.
func (n *Node) WriteFile(path string, data []byte, mode os.FileMode) error {
	m, err := n.running()
	if err != nil {
		return err
	}
	fresh := !m.exists(path)
	if err := m.mkdirAll(filepath.Dir(path)); err != nil {
		return err
	}
	// A program that another test starts at this moment would have the file open for writing for as long as it is no program yet, and
	// what is written here could not be run ("text file busy").
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := m.open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, mode)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if fresh {
		if err := m.inherit(f, filepath.Dir(path)); err != nil {
			return err
		}
	}
	return f.Chmod(mode)
}

// Put copies a file of this machine into the node, as WriteFile does.
func (n *Node) Put(hostFile, nodePath string, mode os.FileMode) error {
	data, err := os.ReadFile(hostFile)
	if err != nil {
		return err
	}
	return n.WriteFile(nodePath, data, mode)
}

// CopyFS writes the files of src below dir in the node, 0644 and in directories of 0755.
func (n *Node) CopyFS(dir string, src fs.FS) error {
	return fs.WalkDir(src, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(src, name)
		if err != nil {
			return err
		}
		return n.WriteFile(filepath.Join(dir, name), text, 0o644)
	})
}

func (m *machine) mkdirAll(path string) error {
	if m.exists(path) {
		return nil
	}
	up := filepath.Dir(path)
	if err := m.mkdirAll(up); err != nil {
		return err
	}
	parent, err := m.open(up, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := unix.Mkdirat(int(parent.Fd()), filepath.Base(path), 0o755); err != nil {
		return &os.PathError{Op: "mkdir in node", Path: path, Err: err}
	}
	dir, err := m.open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	return m.inherit(dir, up)
}

// inherit gives f the owner of a directory.
func (m *machine) inherit(f *os.File, dir string) error {
	d, err := m.open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(d.Fd()), &st); err != nil {
		return err
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}
