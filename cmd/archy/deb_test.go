package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// The package's removal waits for what is at work: nobody would finish it afterwards. No pass begins meanwhile, and an upgrade waits for nothing.
func TestRemovalOfThePackageWaits(t *testing.T) {
	root, bin := t.TempDir(), t.TempDir()
	script, err := os.ReadFile("../../dist/deb/prerm")
	if err != nil {
		t.Fatal(err)
	}
	prerm := strings.ReplaceAll(string(script), "/run/", root+"/run/")
	if err := os.MkdirAll(filepath.Join(root, "run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(bin, "log")
	if err := os.WriteFile(filepath.Join(bin, "deb-systemd-invoke"), []byte("#!/bin/sh\necho \"$@\" >>"+log+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	stopped := func() string { text, _ := os.ReadFile(log); return string(text) }
	const timers = "stop archy-reconcile.timer archy-doctor.timer archy-update-verify.path\n"
	const services = "stop archy-reconcile.service archy-doctor.service\n"
	remove := func(how string) *exec.Cmd { return exec.Command("sh", "-c", prerm, "prerm", how) }

	if out, err := remove("remove").CombinedOutput(); err != nil || len(out) > 0 || stopped() != timers+services {
		t.Fatalf("with no archy at work: %v, %q, %q", err, out, stopped())
	}
	_ = os.Remove(log)
	lock, err := state.NewLocks(node.NewLayout(root, node.Default(), node.DefaultUser("archipelago"))).NodeShared(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := remove("upgrade").CombinedOutput(); err != nil || len(out) > 0 || stopped() != "" {
		t.Fatalf("an upgrade: %v, %q, %q", err, out, stopped())
	}
	time.AfterFunc(time.Second, func() {
		if got := stopped(); got != timers {
			t.Errorf("while archy is at work: %q", got)
		}
		lock.Release()
	})
	out, err := remove("remove").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "archy is at work") || stopped() != timers+services {
		t.Errorf("%v, %q, %q", err, out, stopped())
	}
}
