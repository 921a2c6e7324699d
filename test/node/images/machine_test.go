// Package images_test shows on a real node where images come from: archives, mirrors, the registry, and what happens when
// one of them fails. The nodes are those of test/node, so the tests need root.
package images_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/test/node"
)

const (
	archives   = "/opt/archipelago/images"
	registries = "/etc/containers/registries.conf.d/50-archy-test.conf"
)

// Three apps: one of a registry, and a page that is built on an image of a registry and needs another app.
const (
	bitcoin  = "ghcr.io/retropex/bitcoin:v28.1"
	files    = "docker.io/filebrowser/filebrowser:v2.27.0"
	nginx    = "docker.io/library/nginx:1.28.0-alpine"
	patience = 5 * time.Minute
)

type machine struct{ *node.Node }

// fresh is a node with archy, its secrets and a configuration, that knows the apps and runs none.
func fresh(t *testing.T, config string, apps ...string) machine {
	t.Helper()
	return freshWith(t, node.Options{Apps: apps}, config)
}

func freshWith(t *testing.T, o node.Options, config string) machine {
	t.Helper()
	n := machine{node.UpT(t, o)}
	if err := n.Put(node.Archy(t), "/usr/local/bin/archy", 0o755); err != nil {
		t.Fatal(err)
	}
	n.write(t, "/etc/archipelago/archy.yaml", "bitcoin:\n  prune: 0\n"+config)
	n.MustUser(t, "archy", "secrets", "gen")
	return n
}

func (n machine) write(t *testing.T, path, text string) {
	t.Helper()
	n.MustRoot(t, "mkdir", "-p", filepath.Dir(path))
	if err := n.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// pass makes everything that is missing; the test ends unless it exits with code.
func (n machine) pass(t *testing.T, code int) reconcile.Result {
	t.Helper()
	return n.reconcile(t, code, "--create-missing")
}

func (n machine) reconcile(t *testing.T, code int, args ...string) reconcile.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res := n.User(ctx, append([]string{"archy", "reconcile", "--json"}, args...)...)
	var r reconcile.Result
	if err := json.Unmarshal([]byte(res.Stdout), &r); err != nil || res.Code != code {
		t.Fatalf("archy reconcile: exit code %d, want %d (%v)\n%s%s", res.Code, code, err, res.Stdout, res.Stderr)
	}
	return r
}

func app(t *testing.T, r reconcile.Result, id string) reconcile.AppResult {
	t.Helper()
	for _, a := range r.Apps {
		if a.App == id {
			return a
		}
	}
	t.Fatalf("no %s in the result", id)
	return reconcile.AppResult{}
}

func wantUp(t *testing.T, r reconcile.Result, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if a := app(t, r, id); a.Class != reconcile.ClassOK || a.State == "absent" {
			t.Errorf("%s: %s, %s, %s, error %+v", id, a.Class, a.State, a.Cause, a.Error)
		}
	}
}

// here are the references of the images that the node has.
func (n machine) here(t *testing.T) []string {
	t.Helper()
	return strings.Fields(n.MustUser(t, "podman", "images", "--noheading", "--format", "{{.Repository}}:{{.Tag}}"))
}
