package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// powered is what another process must know to work on a running node. It is in node.json on its disk.
type powered struct {
	PID    int    `json:"pid"`
	Cgroup string `json:"cgroup"`
	Login  string `json:"login"`
}

func (n *Node) publish(m *machine) error {
	text, err := json.Marshal(powered{PID: m.pid, Cgroup: m.cgroup, Login: m.login})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(n.Dir, "node.json"), append(text, '\n'), 0o644)
}

// Attach works on a node that another process has switched on and holds: everything but Boot.
func Attach(dir string) (*Node, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "node.json"))
	if err != nil {
		return nil, fmt.Errorf("no node in %s: %w", dir, err)
	}
	var p powered
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("%s/node.json: %w", dir, err)
	}
	m := &machine{pid: p.PID, cgroup: p.Cgroup, login: p.Login, gone: make(chan struct{})}
	// the cgroup is named after this machine's boot of the node, so that a reused pid is not taken for it
	if _, err := os.Stat(p.Cgroup); err != nil {
		return nil, fmt.Errorf("node %s is switched off", dir)
	}
	if m.pidfd, err = unix.PidfdOpen(p.PID, 0); err != nil {
		return nil, fmt.Errorf("node %s is switched off", dir)
	}
	go m.watch()
	if m.root, err = os.OpenFile(fmt.Sprintf("/proc/%d/root", p.PID), unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
		return nil, fmt.Errorf("node %s: %w", dir, err)
	}
	return &Node{Dir: dir, machine: m}, nil
}

// watch closes gone when a PID 1 that is not this process's child has ended.
func (m *machine) watch() {
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(m.pidfd), Events: unix.POLLIN}}, -1)
		if !errors.Is(err, unix.EINTR) {
			close(m.gone)
			return
		}
	}
}

// Wait returns when the node is switched off, by whomever.
func (n *Node) Wait() {
	if m, err := n.running(); err == nil {
		<-m.gone
	}
}
