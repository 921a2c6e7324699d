// Package iso_test shows on a real node what an installation lays down: with archy iso install, and as a Debian package.
package iso_test

import (
	"context"
	"os"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node"
)

const (
	repository = "../../.."
	archyPath  = "/usr/local/bin/archy"
	// patience bounds every single command of a test.
	patience = 5 * time.Minute
)

// put copies a file into a node.
func put(t *testing.T, n *node.Node, from, to string, mode os.FileMode) {
	t.Helper()
	if err := n.Put(from, to, mode); err != nil {
		t.Fatal(err)
	}
}

// sh runs a script as root.
func sh(t *testing.T, n *node.Node, script string) string {
	t.Helper()
	return n.MustRoot(t, "sh", "-ec", script)
}

// code runs a command as the service user and wants an exit code.
func code(t *testing.T, n *node.Node, want int, args ...string) node.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res := n.User(ctx, args...)
	if res.Code != want || res.Err != nil {
		t.Errorf("%v: exit code %d (%v), want %d\n%s%s", args, res.Code, res.Err, want, res.Stdout, res.Stderr)
	}
	return res
}

// eventually waits for what systemd does by itself.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		if holds() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
