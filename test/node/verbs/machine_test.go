// Package verbs_test shows on a real node what the daily verbs do to an app in each state. The nodes are those of test/node,
// so the tests need root.
package verbs_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/test/node"
)

const (
	dataDir  = "/var/lib/archipelago"
	unitDir  = "/home/archipelago/.config/containers/systemd"
	patience = 5 * time.Minute
)

// repository is the top of the checkout, from here.
const repository = "../../.."

// machine is a node with archy on it.
type machine struct{ *node.Node }

// fresh is a node that knows ten apps and has none, with its secrets.
func fresh(t *testing.T) machine {
	t.Helper()
	return freshWith(t, node.Ten()...)
}

func freshWith(t *testing.T, apps ...string) machine {
	t.Helper()
	n := machine{node.UpT(t, node.Options{Apps: apps})}
	if err := n.Put(node.Archy(t), "/usr/local/bin/archy", 0o755); err != nil {
		t.Fatal(err)
	}
	// A disk below 1 TB would be pruned, and nothing indexes a pruned chain.
	if err := n.WriteFile("/etc/archipelago/archy.yaml", []byte("bitcoin:\n  prune: 0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	n.archy(t, 0, "secrets", "gen")
	return n
}

// archy runs archy as the service user and wants an exit code.
func (n machine) archy(t *testing.T, code int, args ...string) node.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res := n.User(ctx, append([]string{"archy"}, args...)...)
	if res.Code != code || res.Err != nil {
		t.Fatalf("archy %s: exit code %d (%v), want %d\n%s%s", strings.Join(args, " "), res.Code, res.Err, code, res.Stdout, res.Stderr)
	}
	return res
}

// verb runs a verb with --json and gives the app's part of the result.
func (n machine) verb(t *testing.T, code int, id string, args ...string) reconcile.AppResult {
	t.Helper()
	res := n.archy(t, code, append(args, "--json")...)
	var r reconcile.Result
	dec := json.NewDecoder(strings.NewReader(res.Stdout))
	if err := dec.Decode(&r); err != nil || dec.More() {
		t.Fatalf("archy %s: not one document (%v):\n%s", strings.Join(args, " "), err, res.Stdout)
	}
	for _, a := range r.Apps {
		if a.App == id {
			return a
		}
	}
	if code == 2 {
		return reconcile.AppResult{}
	}
	t.Fatalf("archy %s: nothing about %s:\n%s", strings.Join(args, " "), id, res.Stdout)
	return reconcile.AppResult{}
}

func (n machine) sh(t *testing.T, script string) string {
	t.Helper()
	return n.MustRoot(t, "sh", "-ec", script)
}

func (n machine) user(t *testing.T, script string) string {
	t.Helper()
	return n.MustUser(t, "sh", "-ec", script)
}

// container is what podman says of one.
type container struct {
	ID, Image string
	Running   bool
}

// container gives the container of that name; the zero value when there is none.
func (n machine) container(t *testing.T, name string) container {
	t.Helper()
	out := n.user(t, `podman ps -a --no-trunc --format '{{.Names}}|{{.ID}}|{{.Image}}|{{.State}}'`)
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) == 4 && f[0] == name {
			return container{f[1], f[2], f[3] == "running"}
		}
	}
	return container{}
}

func (n machine) record(t *testing.T, id string) state.Record {
	t.Helper()
	var r state.Record
	text, err := n.ReadFile(dataDir + "/state/apps/" + id + ".json")
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (n machine) stoppedByOwner(t *testing.T, id string) bool {
	t.Helper()
	text, err := n.ReadFile(dataDir + "/user-stopped.json")
	if err != nil {
		return false
	}
	var list []string
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return strings.Contains(" "+strings.Join(list, " ")+" ", " "+id+" ")
}

// hasUnit tells whether the unit is on disk and systemd knows its service; one without the other is an error.
func (n machine) hasUnit(t *testing.T, name string) bool {
	t.Helper()
	file := n.Exists(unitDir + "/" + name + ".container")
	loaded := strings.Contains(n.user(t, "systemctl --user show -p LoadState "+name+".service"), "=loaded")
	if file != loaded {
		t.Errorf("%s: unit on disk: %v, loaded by systemd: %v", name, file, loaded)
	}
	return file
}

// quiet asks that a pass has nothing left to do.
func (n machine) quiet(t *testing.T) {
	t.Helper()
	n.archy(t, 0, "reconcile", "--check-only", "--exit-code")
}

// eventually repeats ok until it holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within two minutes", what)
		}
		time.Sleep(200 * time.Millisecond)
	}
}
