package reconcile

import (
	"os"
	"strings"
	"testing"
)

// TestADirectoryWithADotInItsName: what a name looks like says nothing; podman does not start a container without its directory.
func TestADirectoryWithADotInItsName(t *testing.T) {
	n := newNode(t, map[string]string{"solo": five()["solo"] + "  volumes:\n    - {type: bind, source: /var/lib/archipelago/solo/v1.2, target: /data}\n"}).firstBootDone()
	n.pass()
	n.converged()
	if info, err := os.Stat(n.layout.Host(n.layout.Data("solo", "v1.2"))); err != nil || !info.IsDir() {
		t.Errorf("not made: %v", err)
	}
}

// TestASecretAsAMountedFile: a secret that the container has as a file is made, or asked of the owner, before the unit is written.
func TestASecretAsAMountedFile(t *testing.T) {
	text := five()["solo"] + "  volumes:\n    - {type: bind, source: /var/lib/archipelago/secrets/token, target: /token, options: [ro]}\n"
	n := newNode(t, map[string]string{"solo": text}).firstBootDone()
	if got := n.result(n.pass(), "solo"); got.Row != "28" || got.State != "needs-config" || n.containers["solo"] != nil {
		t.Fatalf("%+v", got)
	}
	if err := os.WriteFile(n.layout.Host(n.layout.Secrets()+"/token"), []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.pass()
	n.converged()

	n = newNode(t, map[string]string{"solo": strings.Replace(text, "  metadata", "    generated_secrets: [{name: token, kind: hex32}]\n  metadata", 1)}).firstBootDone()
	n.pass()
	n.converged()
	if v, err := n.vault.Read("token"); err != nil || len(v.Reveal()) != 64 {
		t.Errorf("not made: %v", err)
	}
}
