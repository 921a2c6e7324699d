//go:build failpoints

package failpoint

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain is also the program that the tests break off: three calls, each of which leaves a file.
func TestMain(m *testing.M) {
	dir := os.Getenv("FAILPOINT_TEST")
	if dir == "" {
		os.Exit(m.Run())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	failed := 0
	for _, name := range []string{"a", "b", "c"} {
		if err := Do(ctx, Podman, "make "+name, func() error { return os.WriteFile(filepath.Join(dir, name), nil, 0o600) }); err != nil {
			failed++
			ctx = context.Background()
		}
	}
	os.Exit(failed)
}

func TestPoint(t *testing.T) {
	for _, c := range []struct {
		at, made string
		killed   bool
		code     int
	}{
		{"", "a b c log", false, 0}, {"4:fail", "a b c log", false, 0}, {"2:fail", "a c log", false, 1}, {"2:hang", "a c log", false, 1},
		{"2:die-before", "a log", true, -1}, {"2:die-after", "a b log", true, -1},
		{"podman 2:fail", "a c log", false, 1}, {"file 1:fail", "a b c log", false, 0},
	} {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "FAILPOINT_TEST="+dir, "ARCHY_FAILPOINT="+c.at, "ARCHY_FAILPOINT_LOG="+dir+"/log")
		err := cmd.Run()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if killed := status.Signal() == syscall.SIGKILL; killed != c.killed || status.ExitStatus() != c.code {
			t.Errorf("%q: %v", c.at, err)
		}
		entries, _ := os.ReadDir(dir)
		var made []string
		for _, e := range entries {
			made = append(made, e.Name())
		}
		if got := strings.Join(made, " "); got != c.made {
			t.Errorf("%q: made %s, want %s", c.at, got, c.made)
		}
		log, _ := os.ReadFile(dir + "/log")
		if !strings.HasPrefix(string(log), "1 podman make a\n2 podman make b\n") {
			t.Errorf("%q: log\n%s", c.at, log)
		}
	}
}

func TestRead(t *testing.T) {
	for _, bad := range []string{"x", "0:fail", "3", "3:explode", "file:fail"} {
		if _, err := read(bad, ""); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, p := range []*points{{at: 2, what: fail}, {kind: File, at: 1, what: fail}} {
		if p.here(Child, "x") || !p.here(File, "x") || p.here(File, "x") {
			t.Error("without a log this process counts")
		}
	}
	plan = &points{at: 1, what: fail}
	if err := Write("x", func() error { return nil }); !errors.Is(err, errInjected) {
		t.Errorf("error %v", err)
	}
}
