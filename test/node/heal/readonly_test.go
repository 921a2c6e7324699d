package heal_test

import (
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/doctor"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/test/node"
)

// TestReadOnlyDisk: after an error of the disk the kernel mounts it read-only. Whatever changes something ends for a person and writes nothing, whoever
// looks is told, the app goes on; and once the disk can be written to again the next pass is an ordinary one.
func TestReadOnlyDisk(t *testing.T) {
	n := machine{Node: node.UpT(t, node.Options{Apps: []string{"filebrowser"}})}
	if err := n.Put(node.Archy(t), "/usr/local/bin/archy", 0o755); err != nil {
		t.Fatal(err)
	}
	n.archy(t, 0, "secrets", "gen")
	n.archy(t, 0, "reconcile", "--create-missing", "--wait")
	id := n.user(t, "podman inspect -f '{{.Id}}' filebrowser")
	// A mount above it: the one below has files open for writing, and only the kernel makes such a one read-only.
	n.MustRoot(t, "sh", "-ec", "mount --bind "+dataDir+" "+dataDir+"; mount -o remount,bind,ro "+dataDir)

	n.MustRoot(t, "touch", "/tmp/then")
	for _, verb := range []string{"reconcile", "restart filebrowser", "reconcile --container=filebrowser", "prune", "podman heal", "secrets gen"} {
		res := n.archy(t, 6, strings.Fields(verb)...)
		if !strings.Contains(res.Stderr, "read-only") || !strings.Contains(res.Stderr, "remount,rw") {
			t.Errorf("archy %s does not say what is wrong, and what to do:\n%s", verb, res.Stderr)
		}
	}
	if res := n.Root(t.Context(), "archy", "first-boot", "--again"); res.Code != 6 || !strings.Contains(res.Stderr, "read-only") {
		t.Errorf("first boot: exit code %d\n%s", res.Code, res.Stderr)
	}
	for _, look := range []string{"status", "why filebrowser", "logs filebrowser", "restart filebrowser --check-only", "reconcile --check-only"} {
		n.archy(t, 0, strings.Fields(look)...)
	}
	n.check(t, heal.ReadOnly)
	var d doctor.Document
	ill := n.Root(t.Context(), "archy", "doctor", "--json")
	document(t, ill, &d)
	if r := result(d, "D_VOLUME"); ill.Code != 6 || r.Status != doctor.Error || !strings.Contains(r.Findings[0].Mend, "journalctl -k") || !r.Findings[0].Human {
		t.Errorf("exit code %d, %+v", ill.Code, r)
	}
	if r := result(d, "D_STATE"); r.Status != doctor.OK {
		t.Errorf("what can be read is not looked at: %+v", r)
	}

	n.MustRoot(t, "mount", "-o", "remount,bind,rw", dataDir)
	if written := n.MustRoot(t, "find", dataDir+"/state", dataDir+"/secrets", "-newer", "/tmp/then"); written != "" {
		t.Errorf("written meanwhile:\n%s", written)
	}
	n.archy(t, 0, "reconcile")
	n.archy(t, 0, "reconcile", "--check-only", "--exit-code")
	if now := n.user(t, "podman inspect -f '{{.Id}}' filebrowser"); now != id {
		t.Errorf("the container is another one: %s, it was %s", now, id)
	}
}

func result(d doctor.Document, code string) doctor.Result {
	for _, r := range d.Checks {
		if r.Code == code {
			return r
		}
	}
	return doctor.Result{}
}
