package node

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// Proc is a process of the node.
type Proc struct {
	// PID is as this machine counts.
	PID int
	// Cgroup is below the node's own.
	Cgroup string
}

// Processes lists the processes of the service user's manager and sessions, from outside: nothing runs in the node for it.
// A node that is switched off has none.
func (n *Node) Processes() []Proc {
	m, err := n.running()
	if err != nil {
		return nil
	}
	var out []Proc
	_ = filepath.WalkDir(filepath.Join(m.cgroup, "user.slice"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // it may have gone since its directory was read
		}
		text, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			if pid, err := strconv.Atoi(lines.Text()); err == nil {
				out = append(out, Proc{PID: pid, Cgroup: path[len(m.cgroup):]})
			}
		}
		return nil
	})
	return out
}
