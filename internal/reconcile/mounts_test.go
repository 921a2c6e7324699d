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

// TestFilesOfAManifest: a file is written before the first start, and again only when the manifest says so, the app was removed
// meanwhile, or the container could not start without it.
func TestFilesOfAManifest(t *testing.T) {
	const inside, itself = "/data/seed.conf", "/etc/solo.conf"
	for _, c := range []struct {
		name, file, overwrite string
		remove, again         bool
	}{
		{"kept away", inside, "false", false, false},
		{"overwrite", inside, "true", false, true},
		{"installed again", inside, "false", true, true},
		{"mounted itself", itself, "false", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t, map[string]string{"solo": five()["solo"] + "  volumes:\n    - {type: bind, source: /var/lib/archipelago/solo, target: /data}\n" +
				"    - {type: bind, source: /var/lib/archipelago/solo-conf/solo.conf, target: " + itself + "}\n" +
				"  files:\n    - {path: " + c.file + ", content: abc, overwrite: " + c.overwrite + "}\n"}).firstBootDone()
			file := n.layout.Host(n.layout.Data("solo", "seed.conf"))
			if c.file == itself {
				file = n.layout.Host(n.layout.Data("solo-conf", "solo.conf"))
			}
			n.pass()
			n.converged()
			if text, err := os.ReadFile(file); err != nil || string(text) != "abc" {
				t.Fatalf("before the first start: %q, %v", text, err)
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			if c.remove {
				n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"solo"}})
				n.mustVerb(0, Request{Verb: VerbInstall, Apps: []string{"solo"}})
			} else {
				n.drop(n.containers["solo"])
				n.pass()
			}
			n.converged()
			if _, err := os.Stat(file); (err == nil) != c.again {
				t.Errorf("after it was gone: %v", err)
			}
		})
	}
}
