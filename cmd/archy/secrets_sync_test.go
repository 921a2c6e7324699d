package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman/podmantest"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// syncNode is a node of the user who runs the test, with a podman in memory and the secrets of a first boot.
func syncNode(t *testing.T, installed ...string) (root string, engine *podmantest.Server) {
	t.Helper()
	root, engine = t.TempDir(), podmantest.New(t)
	runtimeDir := filepath.Join(root, "run/user", fmt.Sprint(os.Getuid()), "podman")
	for _, dir := range []string{"etc", "proc", "run/archy", "var/lib/archipelago"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{
		"etc/passwd":   fmt.Sprintf("archipelago:x:%d:%d::/home/archipelago:/bin/sh\n", os.Getuid(), os.Getgid()),
		"proc/meminfo": "MemTotal: 16318484 kB\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(runtimeDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(engine.Socket, filepath.Join(runtimeDir, "podman.sock")); err != nil {
		t.Fatal(err)
	}
	u, err := node.LookupUser(root, "archipelago")
	if err != nil {
		t.Fatal(err)
	}
	store := state.New(node.NewLayout(root, node.Default(), u))
	for _, id := range installed {
		if err := store.WriteRecord(state.Record{App: id, Container: id, Owner: state.Quadlet, Installed: true}); err != nil {
			t.Fatal(err)
		}
	}
	archy(t, 0, "secrets", "gen", "--root", root)
	return root, engine
}

// archy runs the program in this process and wants an exit code.
func archy(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	c := &cli{out: &out, err: &err}
	if got := c.run(t.Context(), args); got != want {
		t.Fatalf("archy %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, want, &out, &err)
	}
	return out.String(), err.String()
}

func secretFile(t *testing.T, root, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "var/lib/archipelago/secrets", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestSecretsSync(t *testing.T) {
	root, engine := syncNode(t, "mempool-api", "electrumx")
	out, _ := archy(t, 0, "secrets", "sync", "--root", root)
	set := strings.Split(strings.TrimSpace(out), "\n")
	if !slices.Contains(set, "set archy.mempool-api.DATABASE_PASSWORD") || !slices.Contains(set, "set archy.electrumx.DAEMON_URL") {
		t.Fatalf("set %q", set)
	}
	if slices.ContainsFunc(set, func(s string) bool { return strings.Contains(s, "filebrowser") }) {
		t.Errorf("an app that is not installed got secrets: %q", set)
	}
	value, _ := engine.SecretValue("archy.mempool-api.DATABASE_PASSWORD")
	if string(value) != secretFile(t, root, "mempool-db-password") {
		t.Error("the value is not that of the file")
	}

	changes := len(engine.Changes())
	if out, _ := archy(t, 0, "secrets", "sync", "--root", root); out != "" || len(engine.Changes()) != changes {
		t.Errorf("a second run changed something: %q %q", out, engine.Changes()[changes:])
	}

	archy(t, 0, "secrets", "rotate", "bitcoin-rpc-password", "--root", root)
	out, talk := archy(t, 0, "secrets", "sync", "--root", root)
	if strings.Contains(out, "DATABASE_PASSWORD") || !strings.Contains(out, "set archy.electrumx.DAEMON_URL\n") {
		t.Errorf("after the rotation: %q", out)
	}
	value, _ = engine.SecretValue("archy.electrumx.DAEMON_URL")
	if password := secretFile(t, root, "bitcoin-rpc-password"); !strings.Contains(string(value), password) || strings.Contains(out+talk, password) {
		t.Error("the new value did not arrive, or was printed")
	}
}

func TestSecretsSyncWithoutPodman(t *testing.T) {
	root, _ := syncNode(t, "electrumx")
	if err := os.Remove(filepath.Join(root, "run/user", fmt.Sprint(os.Getuid()), "podman/podman.sock")); err != nil {
		t.Fatal(err)
	}
	_, talk := archy(t, exitFailed, "secrets", "sync", "--root", root)
	if !strings.Contains(talk, "error: ") || !strings.Contains(talk, "hint: ") {
		t.Errorf("said %q", talk)
	}
}

func TestSecretsSyncLeavesAnAppWithoutItsSecret(t *testing.T) {
	root, engine := syncNode(t, "electrumx", "mempool-api")
	if err := os.Remove(filepath.Join(root, "var/lib/archipelago/secrets/mempool-db-password")); err != nil {
		t.Fatal(err)
	}
	_, talk := archy(t, 0, "secrets", "sync", "--root", root)
	if !strings.Contains(talk, "mempool-api: left, ") {
		t.Errorf("said %q", talk)
	}
	if _, ok := engine.SecretValue("archy.mempool-api.DATABASE_PASSWORD"); ok {
		t.Error("podman got a draft that is in no file")
	}
	if _, ok := engine.SecretValue("archy.electrumx.DAEMON_URL"); !ok {
		t.Error("the other app got nothing")
	}
}

// TestNoPasswordForDataOfABrokenManifest: where a database has its data only its manifest says, and a new password would lock everybody out of them.
func TestNoPasswordForDataOfABrokenManifest(t *testing.T) {
	root, _ := syncNode(t, "archy-btcpay-db")
	password := filepath.Join(root, "var/lib/archipelago/secrets/btcpay-db-password")
	local := filepath.Join(root, "etc/archipelago/apps/archy-btcpay-db")
	if err := errors.Join(os.Remove(password), os.MkdirAll(local, 0o755), os.WriteFile(filepath.Join(local, "manifest.yml"), []byte("app: {\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, stderr := archy(t, exitHuman, "secrets", "gen", "--root", root); !strings.Contains(stderr, "btcpay-db-password") {
		t.Error(stderr)
	}
	if _, err := os.Lstat(password); !errors.Is(err, os.ErrNotExist) {
		t.Error("a password was made")
	}
}
