package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const cgroupPrefix = "archy-node-"

// newCgroup makes the cgroup that becomes the root of a node's tree: two nodes must not see each other's slices.
func newCgroup() (string, error) {
	tree, err := cgroupTree()
	if err != nil {
		return "", err
	}
	sweepCgroups(tree)
	dir := filepath.Join(tree, fmt.Sprintf("%s%d-%d", cgroupPrefix, os.Getpid(), serial.Add(1)))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the node's cgroup: %w", err)
	}
	return dir, nil
}

// cgroupTree finds where this machine has mounted cgroup version 2, pure or beside version 1.
func cgroupTree() (string, error) {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1], nil
		}
	}
	return "", errors.New("no cgroup2 file system is mounted: a node needs one (mount -t cgroup2 cgroup2 /sys/fs/cgroup)")
}

// unified picks the version 2 entry out of a /proc/PID/cgroup.
func unified(text string) string {
	for line := range strings.Lines(text) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(path)
		}
	}
	return ""
}

// removeCgroup removes a cgroup and those below it, once no process is left in them.
func removeCgroup(dir string) {
	var dirs []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		_ = os.Remove(dirs[i])
	}
}

// sweepCgroups removes what test processes left behind that died with their nodes.
func sweepCgroups(tree string) {
	dirs, _ := filepath.Glob(filepath.Join(tree, cgroupPrefix+"*"))
	for _, dir := range dirs {
		if !ownerAlive(strings.TrimPrefix(filepath.Base(dir), cgroupPrefix)) {
			removeCgroup(dir)
		}
	}
}
