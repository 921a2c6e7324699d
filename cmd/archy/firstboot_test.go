package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/dist"
	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// TestAMarkerWithoutANode: a machine with the marker of a first boot is left alone, and told what of a node it lacks.
func TestAMarkerWithoutANode(t *testing.T) {
	user := node.DefaultUser("archipelago")
	layout := node.NewLayout(t.TempDir(), node.Default(), user)
	put := func(path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(layout.Host(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(layout.Host(path), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(layout.FirstBootDone())
	parts := []string{node.VolumeIDPath, layout.Secrets(), firstboot.LingerPath(user)}
	for there := range len(parts) + 1 {
		var out, talk, doc, none bytes.Buffer
		if err := (&env{cli: &cli{out: &out, err: &talk}, Layout: layout, User: user}).printDoneBefore(); err != nil {
			t.Fatal(err)
		}
		if err := (&env{cli: &cli{out: &doc, err: &none, json: true}, Layout: layout, User: user}).printDoneBefore(); err != nil {
			t.Fatal(err)
		}
		wantTalk, wantDoc := "", `{"event":"result","exit_code":0,"result":"already done","schema":1,"warnings":[]}`
		if missing := parts[there:]; len(missing) > 0 {
			text := "the marker /var/lib/archipelago/.first-boot-containers-done says that this is a node, but it has no " + strings.Join(missing, ", no ")
			wantTalk = "warning: " + text + "\nhint: if the data disk is mounted, run: sudo archy first-boot --again\n"
			wantDoc = strings.Replace(wantDoc, "[]", `["`+text+`"]`, 1)
		}
		if out.String() != "already done\n" || talk.String() != wantTalk {
			t.Errorf("without %q: stdout %q, stderr %q, want %q", parts[there:], out.String(), talk.String(), wantTalk)
		}
		if strings.TrimSpace(doc.String()) != wantDoc || none.Len() > 0 {
			t.Errorf("without %q: document %s, want %s; stderr %q", parts[there:], doc.String(), wantDoc, none.String())
		}
		if there < len(parts) {
			put(parts[there])
		}
	}
}

// TestTwoFirstBootsAtOnce: while one boots, a second that does not wait ends with 5; one that waits finds all done and does
// nothing, as the script of the old name does. test/node/firstboot has the same with three processes.
func TestTwoFirstBootsAtOnce(t *testing.T) {
	layout := node.NewLayout(t.TempDir(), node.Default(), node.DefaultUser("archipelago"))
	for _, dir := range []string{layout.DataDir, layout.LockDir} {
		if err := os.MkdirAll(layout.Host(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	runAt := func(out *bytes.Buffer, wait time.Duration, boot func() error) error {
		e := &env{cli: &cli{out: out, err: &bytes.Buffer{}}, Layout: layout, Locks: state.NewLocks(layout)}
		return (&firstBootOptions{waitLock: wait}).alone(t.Context(), e, boot)
	}
	never := func() error { t.Error("a second one boots"); return nil }
	var first, second, third bytes.Buffer
	waited := make(chan error, 1)
	err := runAt(&first, 0, func() error {
		if err := runAt(&second, 0, never); classify(err).Code != exitLocked {
			t.Errorf("one that does not wait: %v", err)
		}
		go func() { waited <- runAt(&third, time.Minute, never) }()
		select {
		case err := <-waited:
			t.Fatalf("one that waits has ended already: %v", err)
		case <-time.After(300 * time.Millisecond):
		}
		return os.WriteFile(layout.Host(layout.FirstBootDone()), nil, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil || third.String() != "already done\n" {
		t.Errorf("one that has waited says %q, %v", third.String(), err)
	}
	if first.Len()+second.Len() > 0 {
		t.Errorf("the others say %q, %q", first.String(), second.String())
	}
	if shim := string(dist.Text("scripts/first-boot-containers.sh")); !strings.Contains(shim, "\nexec /usr/local/bin/archy first-boot --wait-lock 2h \"$@\"\n") {
		t.Errorf("the script of the old name does not wait:\n%s", shim)
	}
}

// TestFirstBootNamesTheConfiguredUser: where the service user is not there, the hint makes the one that the configuration names.
func TestFirstBootNamesTheConfiguredUser(t *testing.T) {
	file := filepath.Join(t.TempDir(), "archy.yaml")
	if err := os.WriteFile(file, []byte("service_user: keeper-of-nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := &cobra.Command{}
	cmd.SetContext(context.WithValue(t.Context(), cliKey{}, &cli{config: file}))
	_, err := openFirstBoot(cmd)
	if got := classify(err); got.Class != "preflight" || got.Hint != "useradd --create-home --uid 1000 --shell /bin/bash keeper-of-nothing" {
		t.Errorf("%+v", got)
	}
}
