package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// module is the path of this repository's packages.
const module = "git.tx1138.com/lfg2025/archy/"

// compileTimeout bounds one build, also on a machine with an empty build cache and other work.
const compileTimeout = 10 * time.Minute

var archy = sync.OnceValues(func() (string, error) {
	dir, err := NewDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "archy")
	return path, Compile(path, "cmd/archy", "-X main.version=test")
})

var breakable = sync.OnceValues(func() (string, error) {
	dir, err := NewDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "archy-breakable")
	return path, Compile(path, "cmd/archy", "-X main.version=test", "failpoints")
})

// Archy builds archy once in a run of the tests and gives its path. It lies among the disks of the running tests, where
// those that are left over are swept.
func Archy(t testing.TB) string {
	t.Helper()
	Need(t)
	path, err := archy()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// ArchyWithMeminfo builds an archy that reads the machine's memory from a file of the node in place of /proc/meminfo: that one is
// this machine's, and with a mount over it no rootless container starts.
func ArchyWithMeminfo(t testing.TB, meminfo string) string {
	t.Helper()
	Need(t)
	path := filepath.Join(t.TempDir(), "archy")
	if err := Compile(path, "cmd/archy", "-X main.version=test -X "+module+"internal/node.meminfo="+meminfo); err != nil {
		t.Fatal(err)
	}
	return path
}

// Breakable is Archy with failure points, which ARCHY_FAILPOINT in its environment sets off.
func Breakable(t testing.TB) string {
	t.Helper()
	Need(t)
	path, err := breakable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Compile builds the program in a folder of this repository, as the Makefile does and with these linker flags and build tags
// added. The working directory must be in the repository, as that of a test is.
func Compile(path, pkg, ldflags string, tags ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), compileTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags="+strings.Join(append(tags, buildTags), ","), "-ldflags=-s -w "+ldflags, "-o", path, module+pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
