package e2e_test

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node"
)

// TestSecretsAreNowhere: what archy knows and nobody may see is in no output, no log, no argument of any process at any
// moment, no unit, no inspection and no state.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	n := blank(t, node.Options{Apps: node.Ten()})
	if err := n.WriteFile(dataDir+"/secrets/filebrowser-admin-hash.pw", []byte("of the owner, & 100% / secret+\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.sh(t, "chmod 700 /var/lib/archipelago/secrets; chown -R archipelago: /var/lib/archipelago/secrets")
	watch := watchProcesses()
	n.must(t, 0, "secrets", "gen")
	known := n.secretValues(t)
	n.must(t, 0, "reconcile", "--check-only", "--create-missing")
	n.must(t, 0, "reconcile", "--check-only", "--create-missing", "--json")
	n.must(t, 0, "reconcile", "--create-missing", "--verbose")
	n.healthy(t, tenContainers()...)
	n.must(t, 0, "secrets", "rotate", "bitcoin-rpc-password")
	known = append(known, n.secretValues(t)...)
	n.must(t, 0, "reconcile", "--check-only", "--verbose")
	n.local(t, "electrumx", "    - NET=mainnet\n", "    - NET=mainnet\n    - STANDIN_FAIL=exit:3\n")
	n.must(t, 3, "reconcile", "--verbose")
	for _, args := range [][]string{{"status"}, {"status", "--json"}, {"secrets", "list"}, {"secrets", "check"}, {"secrets", "list", "--json"},
		{"adopt", "--json"}, {"apps", "lint"}, {"apps", "list", "--json"}, {"reconcile", "--json"}} {
		n.archy(args...)
	}
	for id := range ten {
		n.must(t, 0, "apps", "render", id)
	}
	const marker = "seen-although-it-was-short"
	n.MustUser(t, "sh", "-c", "sleep 0.1; :", marker)
	seen := watch()
	if !strings.Contains(strings.Join(seen, "\n"), marker) {
		t.Fatal("a process of 100 ms was not seen")
	}
	if len(known) < 10 || len(seen) < 100 {
		t.Fatalf("%d secrets, %d command lines", len(known), len(seen))
	}
	places := map[string]string{
		"what archy said": n.said.String(),
		"the journal":     n.MustRoot(t, "journalctl", "--no-pager", "-o", "export"),
		"podman inspect":  n.user(t, "podman inspect $(podman ps -aq); podman ps -a --format json; podman secret inspect $(podman secret ls -q); podman image inspect $(podman images -q)"),
		"the units":       n.user(t, "cat "+unitDir+"/*; systemctl --user show '*.service'; systemctl --user cat '*.service' 2>/dev/null || true"),
		"archy's state":   n.sh(t, "find /var/lib/archipelago/state /run/archy /etc/archipelago -type f -exec cat {} +"),
		"the processes":   strings.Join(seen, "\n"),
	}
	for place, text := range places {
		if text == "" {
			t.Errorf("nothing was read of %s", place)
		}
		for _, secret := range known {
			for _, form := range forms(secret) {
				if i := strings.Index(text, form); i >= 0 {
					around := strings.ReplaceAll(text[max(0, i-200):min(len(text), i+len(form)+50)], form, "<<HERE>>")
					t.Errorf("a secret is in %s: …%s…", place, around)
				}
			}
		}
	}
	t.Run("the last words of an app are masked", func(t *testing.T) { lastWords(t, n) })
}

// lastWords: an app that prints its own password and dies does so into its own log. Archy shows the words without it.
func lastWords(t *testing.T, n *machine) {
	n.shipped(t, "electrumx")
	n.local(t, "filebrowser", "    network: pasta\n", "    network: pasta\n    entrypoint: [/bin/sh, -c, 'echo the password is $FB_PASSWORD; exit 3']\n")
	hash := strings.TrimSpace(n.read(t, dataDir+"/secrets/filebrowser-admin-hash"))
	for _, res := range []string{n.must(t, 3, "reconcile").Stderr, n.archy("reconcile", "--json", "--force", "--container=filebrowser").Stdout,
		n.archy("status", "--json").Stdout, n.read(t, dataDir+"/state/reconcile-last.json")} {
		if strings.Contains(res, hash) {
			t.Errorf("the password is in\n%s", strings.ReplaceAll(res, hash, "<<HERE>>"))
		}
	}
	if text := n.said.String(); !strings.Contains(text, "the password is hidden") {
		t.Error("the app's last words were not shown")
	}
}

// secretValues are the contents of the secret files.
func (n *machine) secretValues(t *testing.T) []string {
	t.Helper()
	var out []string
	text := n.sh(t, `for f in /var/lib/archipelago/secrets/*; do cat $f; echo; done`)
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// forms are the ways in which a secret could be written.
func forms(secret string) []string {
	list := []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
	for _, user := range []string{"archipelago", "admin", "mempool", "root"} {
		list = append(list, base64.StdEncoding.EncodeToString([]byte(user+":"+secret)))
	}
	return append(list, base64.StdEncoding.EncodeToString([]byte(secret)))
}

// watchProcesses reads, as often as it can, the command line of every process of this machine and with it of its nodes,
// and the environment of each archy. The function it returns ends that and gives all that was seen.
func watchProcesses() (end func() []string) {
	stop, done := make(chan struct{}), make(chan struct{})
	seen := map[string]bool{}
	go func() {
		defer close(done)
		for {
			readProcesses(seen)
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return sync.OnceValue(func() []string {
		close(stop)
		<-done
		list := make([]string, 0, len(seen))
		for text := range seen {
			list = append(list, text)
		}
		return list
	})
}

func readProcesses(seen map[string]bool) {
	proc, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		if _, err := strconv.Atoi(name); err != nil {
			continue
		}
		args, _ := os.ReadFile(filepath.Join("/proc", name, "cmdline"))
		if len(args) == 0 {
			continue
		}
		seen[string(bytes.ReplaceAll(args, []byte{0}, []byte{' '}))] = true
		program, _, _ := bytes.Cut(args, []byte{0})
		if filepath.Base(string(program)) == "archy" {
			env, _ := os.ReadFile(filepath.Join("/proc", name, "environ"))
			seen["environ of archy: "+string(bytes.ReplaceAll(env, []byte{0}, []byte{' '}))] = true
		}
	}
}
