package node

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// buildTags are those that archy is built with.
const buildTags = "remote,containers_image_openpgp,exclude_graphdriver_btrfs,exclude_graphdriver_devicemapper"

// RunTests compiles the tests of a package and runs them in the node as the service user, with ARCHY_IN_NODE=1. Their
// failure is the failure of t. It returns what they printed.
func (n *Node) RunTests(t testing.TB, pkg string, flags ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	binary := filepath.Join(t.TempDir(), "tests")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-tags="+buildTags, "-o", binary, pkg)
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("compile the tests of %s: %v\n%s", pkg, err, out)
	}
	inside := "/var/tmp/" + filepath.Base(pkg) + ".test"
	if err := n.Put(binary, inside, 0o755); err != nil {
		t.Fatal(err)
	}
	res := n.Run(ctx, Cmd{Args: append([]string{inside}, flags...), User: true, Env: []string{"ARCHY_IN_NODE=1"}})
	if res.Code != 0 || res.Err != nil {
		t.Errorf("tests of %s in the node: exit code %d (%v)\n%s%s", pkg, res.Code, res.Err, res.Stdout, res.Stderr)
	}
	return res.Stdout
}
