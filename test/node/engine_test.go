package node_test

import (
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/test/node"
)

// TestEngine runs the contracts that the fakes keep against the real podman and the real systemd.
func TestEngine(t *testing.T) {
	const internal = "git.tx1138.com/lfg2025/archy/internal/"
	for _, pkg := range []string{"podman/podmantest", "systemd/systemdtest"} {
		t.Run(pkg, func(t *testing.T) {
			n := node.UpT(t, node.Options{})
			out := n.RunTests(t, internal+pkg, "-test.v")
			if !strings.Contains(out, "--- PASS: TestReal") {
				t.Errorf("no test of the real one ran:\n%s", out)
			}
		})
	}
}
