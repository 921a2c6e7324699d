package node

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// commandTimeout bounds each command of a test that does not bring its own context.
const commandTimeout = 5 * time.Minute

// UpT boots a node for a test and removes it at the end. Without root the test is skipped, loudly; where CI=true it
// fails instead.
func UpT(t testing.TB, opts Options) *Node {
	t.Helper()
	Need(t)
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	n, err := Up(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(n.diagnosis())
		}
		if err := n.Remove(); err != nil {
			t.Errorf("remove the node: %v", err)
		}
	})
	return n
}

// Need ends a test that cannot have a node.
func Need(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("the node tests need root")
	}
	const skipped = "SKIPPED: the node tests need root"
	fmt.Fprintln(os.Stderr, skipped+" ("+t.Name()+")")
	t.Skip(skipped)
}

// diagnosis is what one wants to read when a test with this node has failed.
func (n *Node) diagnosis() string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	text := "the node when the test failed:\n"
	for _, args := range [][]string{
		{"podman", "ps", "-a", "--format", "{{.Names}}\t{{.Status}}\t{{.Image}}"},
		{"systemctl", "--user", "--failed", "--no-pager", "--plain"},
		{"journalctl", "--no-pager", "-n", "40", "-o", "cat"},
	} {
		res := n.User(ctx, args...)
		text += res.Stdout + res.Stderr + "\n"
	}
	return text
}

// MustRoot runs a command as root and returns its output; the test ends when it fails.
func (n *Node) MustRoot(t testing.TB, args ...string) string {
	t.Helper()
	return n.must(t, Cmd{Args: args})
}

// MustUser runs a command as the service user and returns its output; the test ends when it fails.
func (n *Node) MustUser(t testing.TB, args ...string) string {
	t.Helper()
	return n.must(t, Cmd{Args: args, User: true})
}

func (n *Node) must(t testing.TB, c Cmd) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	res := n.Run(ctx, c)
	if err := res.Error(); err != nil {
		t.Fatal(err)
	}
	return res.Stdout
}
