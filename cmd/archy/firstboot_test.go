package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/node"
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
