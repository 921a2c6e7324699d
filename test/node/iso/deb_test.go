package iso_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"git.tx1138.com/lfg2025/archy/test/node"
)

var packed struct {
	sync.Once
	err error
}

// makeDeb builds the package as make deb does, once in a run of the tests.
func makeDeb(t *testing.T) string {
	t.Helper()
	binary := node.Archy(t)
	out := filepath.Join(filepath.Dir(binary), "archy.deb")
	packed.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", repository+"/dist/deb/build.sh", binary, "0.1.0~test", out)
		if text, err := cmd.CombinedOutput(); err != nil {
			packed.err = fmt.Errorf("build the package: %w\n%s", err, text)
		}
	})
	if packed.err != nil {
		t.Fatal(packed.err)
	}
	return out
}

// TestPackage installs archy as a package on a node with a page of somebody else's, runs an app, and removes the package.
func TestPackage(t *testing.T) {
	deb := makeDeb(t)
	n := node.UpT(t, node.Options{})
	put(t, n, deb, "/var/tmp/archy.deb", 0o644)
	sh(t, n, `mkdir -p /opt/archipelago/docker/lnd-ui
		echo mine >/opt/archipelago/docker/lnd-ui/page
		echo '[Timer]' >/etc/systemd/system/archipelago-reconcile.timer
		echo '[Service]' >/usr/lib/systemd/system/archipelago-reconcile.service
		mkdir -p /etc/systemd/system/multi-user.target.wants
		ln -s /etc/systemd/system/archipelago-reconcile.service /etc/systemd/system/multi-user.target.wants/
		DEBIAN_FRONTEND=noninteractive dpkg -i /var/tmp/archy.deb`)

	// It is what an installation is, the enabling links included; lnd-ui's context is archy's now.
	if out := sh(t, n, "archy iso check --root /"); out != "" {
		t.Errorf("archy iso check says\n%s", out)
	}
	if out := sh(t, n, "cat /opt/archipelago/docker/lnd-ui.pre-archy/page; test ! -e /etc/systemd/system/archipelago-reconcile.timer; dpkg --verify archy"); out != "mine\n" {
		t.Errorf("what was there, and dpkg --verify: %q", out)
	}
	for unit, want := range map[string]string{
		"archy-reconcile.timer": "active", "archy-doctor.timer": "active", "archy-update-verify.path": "active", "archy-first-boot.service": "inactive",
	} {
		if is := state(n, "is-active", unit); is != want {
			t.Errorf("%s is %s, want %s", unit, is, want)
		}
		if is := state(n, "is-enabled", unit); is != "enabled" {
			t.Errorf("%s is %s, want enabled", unit, is)
		}
	}

	code(t, n, 0, "archy", "secrets", "gen")
	code(t, n, 0, "archy", "reconcile", "--create-missing", "--container=filebrowser")
	container := n.MustUser(t, "podman", "inspect", "--format", "{{.Id}} {{.State.Pid}} {{.State.StartedAt}}", "filebrowser")
	data := sh(t, n, "cat /var/lib/archipelago/filebrowser/db/born; sha256sum /var/lib/archipelago/secrets/*")

	// What an operator switched off stays off over an upgrade, and what he wrote stays.
	sh(t, n, `systemctl disable --now archy-doctor.timer
		echo 'bitcoin: {prune: 0}' >/etc/archipelago/archy.yaml
		DEBIAN_FRONTEND=noninteractive dpkg -i /var/tmp/archy.deb`)
	if is := state(n, "is-enabled", "archy-doctor.timer"); is != "disabled" {
		t.Errorf("after an upgrade archy-doctor.timer is %s", is)
	}
	if got := sh(t, n, "cat /etc/archipelago/archy.yaml"); got != "bitcoin: {prune: 0}\n" {
		t.Errorf("after an upgrade the configuration is %q", got)
	}

	sh(t, n, "dpkg -r archy")
	if got := n.MustUser(t, "podman", "inspect", "--format", "{{.Id}} {{.State.Pid}} {{.State.StartedAt}}", "filebrowser"); got != container {
		t.Errorf("after dpkg -r the container is %q, was %q", got, container)
	}
	if got := sh(t, n, "cat /var/lib/archipelago/filebrowser/db/born; sha256sum /var/lib/archipelago/secrets/*"); got != data {
		t.Errorf("after dpkg -r the data are %q, were %q", got, data)
	}
	if is := state(n, "is-active", "archy-reconcile.timer"); is != "inactive" {
		t.Errorf("after dpkg -r the timer is %s", is)
	}
	left := sh(t, n, "find /usr/local/bin/archy /etc/systemd/system /opt/archipelago/apps /opt/archipelago/scripts -name '*archy*' 2>/dev/null || true")
	if left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	if got := sh(t, n, "cat /etc/archipelago/archy.yaml"); got != "bitcoin: {prune: 0}\n" {
		t.Errorf("after dpkg -r the configuration is %q", got)
	}

	// Without archy a reboot brings the container back, because it is systemd's.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Reboot(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the container runs again", func() bool {
		return n.User(ctx, "podman", "ps", "--format", "{{.Names}}").Stdout == "filebrowser\n"
	})

	sh(t, n, "dpkg -P archy; test ! -e /etc/archipelago/archy.yaml")
	if got := sh(t, n, "sha256sum /var/lib/archipelago/secrets/*"); !strings.HasSuffix(data, got) {
		t.Error("dpkg -P touched the secrets")
	}
}

func state(n *node.Node, verb, unit string) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return strings.TrimSpace(n.Root(ctx, "systemctl", verb, unit).Stdout)
}

// TestPackageIsClean: Debian's checker has nothing to say that has no reason.
func TestPackageIsClean(t *testing.T) {
	if _, err := exec.LookPath("lintian"); err != nil {
		t.Skip("needs lintian: apt-get install lintian")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "lintian", "--allow-root", "--fail-on=error,warning", makeDeb(t)).CombinedOutput()
	if err != nil || strings.Contains(string(out), "W: archy") || strings.Contains(string(out), "E: archy") {
		t.Errorf("lintian: %v\n%s", err, out)
	}
}
