package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/node"
)

// TestHalfOfRoot is the other process of the test below: root, which has a half of the doctor made by a user, and waits for it.
func TestHalfOfRoot(t *testing.T) {
	if os.Getenv("ARCHY_TEST_HALF") == "" {
		return
	}
	e := &examiner{env: &env{cli: &cli{}, User: node.User{Name: "nobody", UID: 65534, GID: 65534}}}
	_, _ = half(t.Context(), command.Cmd{Argv: append(e.becoming(), "sleep", "600"), Dir: "/"})
}

// The half of the service user works under the locks of root's process, so it ends when that is killed: a ladder that is climbed on would be
// climbed beside a first boot.
func TestAHalfEndsWithWhoStartedIt(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	root := exec.Command(os.Args[0], "-test.run=^TestHalfOfRoot$")
	root.Env = append(os.Environ(), "ARCHY_TEST_HALF=1")
	if err := root.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Process.Kill(); _ = root.Wait() }()
	sleeps := func(pid string) bool { // what has ended has no arguments any more
		args, _ := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
		return bytes.HasPrefix(args, []byte("sleep\x00"))
	}
	within := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	var child string
	within("no half was begun", func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", root.Process.Pid))
		for _, file := range threads {
			text, _ := os.ReadFile(file)
			child = strings.TrimSpace(string(text)) + child
		}
		if sleeps(child) {
			return true
		}
		child = ""
		return false
	})
	if err := root.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = root.Wait()
	defer func() {
		if pid, err := strconv.Atoi(child); err == nil && sleeps(child) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}()
	within("it goes on by itself", func() bool { return !sleeps(child) })
}
