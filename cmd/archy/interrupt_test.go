package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInterrupted: a command that was told to end before it was done says so by its exit code: what it had seen by then is not how the node is.
func TestInterrupted(t *testing.T) {
	root := interruptible(t)
	figures := filepath.Join(root, "archy.prom")
	if err := os.WriteFile(figures, []byte("of the last pass"), 0o644); err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(t.TempDir(), "bundle.tar.gz")
	ctx, end := context.WithCancel(context.Background())
	end()
	for _, line := range []string{"doctor", "doctor --bundle " + bundle, "podman check", "podman heal", "podman heal --dry-run", "why lnd", "health", "status", "logs lnd",
		"reconcile --metrics /archy.prom", "reconcile --check-only", "stop lnd", "install lnd", "adopt", "prune", "prune --check-only", "secrets sync", "secrets gen"} {
		for _, form := range []string{"", " --json"} {
			var out, talk bytes.Buffer
			c := &cli{out: &out, err: &talk, environ: []string{}}
			code := c.run(ctx, append([]string{"--root", root}, strings.Fields(line+form)...))
			if code != exitInterrupted || form != "" && !strings.Contains(out.String(), `"exit_code":130`) {
				t.Errorf("archy %s: exit %d\n%s%s", line+form, code, out.String(), talk.String())
			}
		}
	}
	if text, err := os.ReadFile(figures); err != nil || string(text) != "of the last pass" {
		t.Errorf("a pass that was interrupted writes figures: %v\n%s", err, text)
	}
	if _, err := os.Stat(bundle); err == nil {
		t.Error("what an interrupted doctor had found is packed")
	}
}

// interruptible is a node with nothing but a service user, who is the one that runs the test.
func interruptible(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	passwd := fmt.Sprintf("archipelago:x:%d:%d::/home/archipelago:/bin/bash\n", os.Getuid(), os.Getgid())
	for _, dir := range []string{"etc", "var/lib/archipelago/secrets", "var/lib/archipelago/state", "proc", "run/user"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte(passwd), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "proc/meminfo"), []byte("MemTotal:        8000000 kB\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestInterruptedWhileItHeals: a heal that was told to end while a program of its own was at work is no heal that needs a person.
func TestInterruptedWhileItHeals(t *testing.T) {
	root, dir := interruptible(t), t.TempDir()
	asked := filepath.Join(dir, "asked")
	for _, name := range []string{"podman", "systemctl", "loginctl", "sudo"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho $0 $* >>"+asked+"\nexec /bin/sleep 60\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out, talk bytes.Buffer
	c := &cli{out: &out, err: &talk, environ: []string{}}
	code := make(chan int, 1)
	go func() { code <- c.run(ctx, []string{"--root", root, "podman", "heal", "--json"}) }()
	await(t, func() bool { _, err := os.Stat(asked); return err == nil })
	interrupt()
	if got := <-code; got != exitInterrupted || !strings.Contains(out.String(), `"exit_code":130`) {
		t.Errorf("exit %d\n%s%s", got, out.String(), talk.String())
	}
}
