package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"

	"git.tx1138.com/lfg2025/archy/test/node/registry"
)

// The service user of every node.
const (
	serviceUser = "archipelago"
	serviceUID  = 1000
)

// RegistryAddr is where the image registry answers inside the node.
const RegistryAddr = "127.0.0.1:5000"

// LANAddr is the address of a node with Options.LAN.
const LANAddr = "192.0.2.10"

// Options say what is different from the usual node. The zero value is a fresh node past its first boot, with a
// registry that holds a stand-in under every reference that apps/ names.
type Options struct {
	// Dir is the node's disk; empty: a new one in the cache, which Remove deletes. An existing disk boots again.
	Dir string
	// Registry is what docker.io and ghcr.io are in the node; nil: a new one with every stand-in.
	Registry *registry.Server
	// LAN gives the node an interface lan0 with LANAddr and a default route, that lead nowhere.
	LAN bool
	// Apps are the shipped apps whose manifests are on a new disk; nil: none, and archy uses those in its binary.
	Apps []string
	// FirstBoot leaves out the marker that says that first boot is done.
	FirstBoot bool
	// BootIDs gives each boot an id of its own, as on a machine. No rootless container can start in such a node.
	BootIDs bool
	// Keep leaves the disk of a node whose boot failed.
	Keep bool
	// Progress hears about the slow things (building the base); nil: stderr.
	Progress io.Writer
}

// Node is one machine, running or switched off. Its methods may be called from several goroutines, except those
// that switch it on and off.
type Node struct {
	// Dir is the node's disk on this machine.
	Dir string
	// Registry serves the node's pulls; its faults and counters are for tests.
	Registry *registry.Server

	base, lan, bootID string

	mu      sync.Mutex
	machine *machine // nil: switched off
}

// Up makes a node and boots it.
func Up(ctx context.Context, opts Options) (*Node, error) {
	n, err := build(ctx, opts)
	if err != nil {
		return nil, err
	}
	err = n.Boot(ctx)
	if err != nil && !opts.Keep {
		err = errors.Join(err, n.Remove())
	}
	if err != nil {
		return nil, err
	}
	return n, nil
}

func build(ctx context.Context, opts Options) (*Node, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a node needs root: run the tests as root")
	}
	if opts.Progress == nil {
		opts.Progress = os.Stderr
	}
	base, err := Base(ctx, opts.Progress)
	if err != nil {
		return nil, err
	}
	n := &Node{Dir: opts.Dir, Registry: opts.Registry, base: base}
	if opts.LAN {
		n.lan = LANAddr
	}
	if opts.BootIDs {
		n.bootID = "own"
	}
	if n.Dir == "" {
		if n.Dir, err = NewDir(); err != nil {
			return nil, err
		}
	}
	if n.Dir, err = filepath.Abs(n.Dir); err != nil {
		return nil, err
	}
	if n.Registry == nil {
		if n.Registry, err = Registry(ctx, base); err != nil {
			return nil, err
		}
	}
	return n, n.makeDisk(opts)
}

var serial atomic.Int32

// NewDir makes the directory of a new disk. It names it after this process, so that a later one can tell whose it was.
func NewDir() (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	nodes := filepath.Join(cache, "nodes")
	sweepDisks(nodes)
	dir := filepath.Join(nodes, fmt.Sprintf("%d-%d", os.Getpid(), serial.Add(1)))
	return dir, os.MkdirAll(dir, 0o755)
}

// makeDisk lays out a new disk; an existing one stays as it is.
func (n *Node) makeDisk(opts Options) error {
	home := filepath.Join(n.Dir, "data", "home")
	if _, err := os.Stat(home); err == nil {
		return nil
	}
	data := filepath.Join(n.Dir, "data", serviceUser)
	for _, dir := range []string{"upper", "work", "root", "data/" + serviceUser, "data/containers"} {
		if err := os.MkdirAll(filepath.Join(n.Dir, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chown(data, serviceUID, serviceUID); err != nil {
		return err
	}
	if err := n.ship(opts.Apps); err != nil {
		return err
	}
	if !opts.FirstBoot {
		marker := filepath.Join(data, ".first-boot-containers-done")
		if err := os.WriteFile(marker, []byte("{}\n"), 0o644); err != nil {
			return err
		}
		if err := os.Chown(marker, serviceUID, serviceUID); err != nil {
			return err
		}
		if err := n.reservePorts(); err != nil {
			return err
		}
	}
	out, err := exec.Command("cp", "-a", filepath.Join(n.base, "home"), home).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy the base's home: %w: %s", err, out)
	}
	return nil
}

// reservePorts does what first boot would have done: no connection of a test happens to have the port of electrumx or of its page.
func (n *Node) reservePorts() error {
	dir := filepath.Join(n.Dir, "upper/etc/sysctl.d")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "10-node.conf"), []byte("net.ipv4.ip_local_reserved_ports = 50001,50002\n"), 0o644)
}

// Remove switches the node off, as a power cut would, and deletes its disk.
func (n *Node) Remove() error {
	n.Cut()
	return os.RemoveAll(n.Dir)
}
