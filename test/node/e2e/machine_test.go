// Package e2e_test shows on a real node what archy promises: each test is named after what it shows. The nodes are
// those of test/node, so the tests need root. A test boots one node and its subtests share it, one after the other; most of
// a test is waiting, so tests run side by side.
package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/test/node"
)

// Paths of every node.
const (
	dataDir   = "/var/lib/archipelago"
	unitDir   = "/home/archipelago/.config/containers/systemd"
	localDir  = "/etc/archipelago/apps"
	archyPath = "/usr/local/bin/archy"
)

// patience bounds every single command of a test.
const patience = 5 * time.Minute

// The ten apps: container names by app id.
var ten = map[string]string{
	"archy-mempool-db": "archy-mempool-db", "bitcoin-knots": "bitcoin-knots", "electrumx": "electrumx", "lnd": "lnd",
	"mempool-api": "mempool-api", "mempool": "archy-mempool-web", "filebrowser": "filebrowser",
	"bitcoin-ui": "archy-bitcoin-ui", "electrs-ui": "archy-electrs-ui", "lnd-ui": "archy-lnd-ui",
}

// machine is a node with archy on it, and everything that archy has said there.
type machine struct {
	*node.Node

	mu   sync.Mutex
	said bytes.Buffer
}

// blank is a node with archy and its secrets, and without any app.
func blank(t *testing.T, opts node.Options) *machine {
	t.Helper()
	n := &machine{Node: node.UpT(t, opts)}
	n.put(t, node.Archy(t))
	// A disk below 1 TB would be pruned, and nothing indexes a pruned chain.
	n.write(t, "/etc/archipelago/archy.yaml", "bitcoin:\n  prune: 0\n")
	return n
}

// fresh is a blank node that knows ten apps, with its secrets.
func fresh(t *testing.T) *machine {
	t.Helper()
	n := blank(t, node.Options{Apps: node.Ten()})
	n.must(t, 0, "secrets", "gen")
	return n
}

// converged is a node with the ten apps up and healthy.
func converged(t *testing.T) *machine {
	t.Helper()
	n := fresh(t)
	n.must(t, 0, "reconcile", "--create-missing")
	n.healthy(t, tenContainers()...)
	return n
}

// put replaces the archy binary the way a package manager does: a new file under the old name.
func (n *machine) put(t *testing.T, binary string) {
	t.Helper()
	if err := n.Put(binary, archyPath+".new", 0o755); err != nil {
		t.Fatal(err)
	}
	n.MustRoot(t, "mv", archyPath+".new", archyPath)
}

func (n *machine) write(t *testing.T, path, text string) {
	t.Helper()
	if err := n.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (n *machine) read(t *testing.T, path string) string {
	t.Helper()
	text, err := n.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sh runs a script as root.
func (n *machine) sh(t *testing.T, script string) string {
	t.Helper()
	return n.MustRoot(t, "sh", "-ec", script)
}

// user runs a script as the service user.
func (n *machine) user(t *testing.T, script string) string {
	t.Helper()
	return n.MustUser(t, "sh", "-ec", script)
}

// archy runs archy as the service user and keeps what it says.
func (n *machine) archy(args ...string) node.Result {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res := n.User(ctx, append([]string{"archy"}, args...)...)
	n.keep(res)
	return res
}

func (n *machine) keep(res node.Result) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(&n.said, "$ %s\n%s%s\n", strings.Join(res.Args, " "), res.Stdout, res.Stderr)
}

// must runs archy and ends the test unless it exits with code.
func (n *machine) must(t *testing.T, code int, args ...string) node.Result {
	t.Helper()
	res := n.archy(args...)
	if res.Code != code || res.Err != nil {
		t.Fatalf("archy %s: exit code %d (%v), want %d\n%s%s", strings.Join(args, " "), res.Code, res.Err, code, res.Stdout, res.Stderr)
	}
	return res
}

// pass makes one pass and ends the test unless it exits with code.
func (n *machine) pass(t *testing.T, code int, args ...string) reconcile.Result {
	t.Helper()
	return parse(t, n.must(t, code, append([]string{"reconcile", "--json"}, args...)...))
}

// parse reads the one JSON document of a result, strictly.
func parse(t *testing.T, res node.Result) reconcile.Result {
	t.Helper()
	var r reconcile.Result
	dec := json.NewDecoder(strings.NewReader(res.Stdout))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(res.Args, " "), err, res.Stdout, res.Stderr)
	}
	if dec.More() {
		t.Fatalf("%s prints more than one document:\n%s", strings.Join(res.Args, " "), res.Stdout)
	}
	if r.ExitCode != res.Code {
		t.Errorf("the document says exit code %d, the process %d", r.ExitCode, res.Code)
	}
	return r
}

// app is an app's part of a result.
func app(t *testing.T, r reconcile.Result, id string) reconcile.AppResult {
	t.Helper()
	for _, a := range r.Apps {
		if a.App == id {
			return a
		}
	}
	t.Fatalf("no %s in the result: %+v", id, r.Apps)
	return reconcile.AppResult{}
}

// actions are the apps of a result that were changed, with what was done to them.
func actions(r reconcile.Result) map[string]reconcile.Action {
	out := map[string]reconcile.Action{}
	for _, a := range r.Apps {
		if a.Changed {
			out[a.App] = a.Action
		}
	}
	return out
}

// local makes a local manifest of a shipped one, with each pair of old and new text replaced.
func (n *machine) local(t *testing.T, id string, edits ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "apps", id, "manifest.yml"))
	if err != nil {
		t.Fatal(err)
	}
	edited := string(text)
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(edited, edits[i]) {
			t.Fatalf("the manifest of %s has no %q", id, edits[i])
		}
		edited = strings.Replace(edited, edits[i], edits[i+1], 1)
	}
	n.write(t, filepath.Join(localDir, id, "manifest.yml"), edited)
}

// shipped takes a local manifest away again.
func (n *machine) shipped(t *testing.T, id string) {
	t.Helper()
	n.MustRoot(t, "rm", "-rf", filepath.Join(localDir, id))
}

// repository is the top of the checkout, from here.
const repository = "../../.."
