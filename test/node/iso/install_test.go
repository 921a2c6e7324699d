package iso_test

import (
	"context"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/test/node"
	"git.tx1138.com/lfg2025/archy/test/node/registry"
)

// units are those that an installation brings.
const units = "archy-first-boot.service archy-reconcile.service archy-reconcile.timer archy-update-verify.service archy-update-verify.path archy-doctor.service archy-doctor.timer"

// laid is a node that archy was laid down on while it ran, by a binary from elsewhere as an ISO builder's is.
func laid(t *testing.T) *node.Node {
	t.Helper()
	binary := node.Archy(t)
	n := node.UpT(t, node.Options{})
	put(t, n, binary, "/var/tmp/archy", 0o755)
	sh(t, n, "umask 077; /var/tmp/archy iso install --root /; rm /var/tmp/archy")
	return n
}

// TestInstall lays archy down on a node.
func TestInstall(t *testing.T) {
	n := laid(t)
	t.Run("check", func(t *testing.T) { checks(t, n) })
	t.Run("units", func(t *testing.T) { unitsAreSound(t, n) })
	t.Run("shims", func(t *testing.T) { shims(t, n) })
	t.Run("sourced", func(t *testing.T) { sourced(t, n) })
	t.Run("boot", func(t *testing.T) { boot(t, n) })
}

// checks: what was laid down is right, and each kind of tampering is found.
func checks(t *testing.T, n *node.Node) {
	if out := sh(t, n, "archy iso check --root /"); out != "" {
		t.Errorf("check says %q", out)
	}
	for _, c := range []struct{ do, says string }{
		{"chmod 700 /opt/archipelago", "/opt/archipelago: mode 0700, want 0755"},
		{"chmod u+s /usr/local/bin/archy", "/usr/local/bin/archy: mode 4755, want 0755"},
		{"chown archipelago /etc/archipelago/archy.yaml", "/etc/archipelago/archy.yaml: owner 1000:0, want 0:0"},
		{"echo >>/opt/archipelago/apps/lnd/manifest.yml", "/opt/archipelago/apps/lnd/manifest.yml: content differs"},
		{"rm /usr/share/man/man1/archy.1", "/usr/share/man/man1/archy.1: missing"},
		{"systemctl disable archy-reconcile.timer", "/etc/systemd/system/timers.target.wants/archy-reconcile.timer: missing"},
		{"ln -sf /dev/null /etc/systemd/system/archy-doctor.service", "/etc/systemd/system/archy-doctor.service: is a link, want a file"},
	} {
		out := sh(t, n, c.do+`; code=0; archy iso check --root / || code=$?; echo "exit $code"`)
		if !strings.HasSuffix(out, c.says+"\nexit 4\n") {
			t.Errorf("%s: check says %q", c.do, out)
		}
		if out := sh(t, n, "archy iso install --root /; archy iso check --root /"); out != "" {
			t.Errorf("%s: after install %q", c.do, out)
		}
	}
}

// unitsAreSound: systemd has nothing to say about them, and says how exposed they are.
func unitsAreSound(t *testing.T, n *node.Node) {
	sh(t, n, "systemctl daemon-reload")
	// The pages that the units name are archy's own, and a bare node has no man to look them up with.
	out := sh(t, n, "cd /etc/systemd/system; systemd-analyze --man=no --recursive-errors=yes verify "+units+" 2>&1")
	if out != "" {
		t.Errorf("systemd-analyze verify says\n%s", out)
	}
	for unit := range strings.FieldsSeq(units) {
		if strings.HasSuffix(unit, ".service") {
			t.Log(strings.TrimSpace(sh(t, n, "systemd-analyze security --no-pager "+unit+" | tail -1")))
		}
	}
}

// shims: the old names take the backend's flags, and hand through how it ended.
func shims(t *testing.T, n *node.Node) {
	if err := n.WriteFile("/etc/archipelago/archy.yaml", []byte("bitcoin:\n  prune: 0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const reconcile = "/opt/archipelago/scripts/reconcile-containers.sh"
	code(t, n, 0, "archy", "secrets", "gen")
	code(t, n, 0, reconcile)
	code(t, n, 0, reconcile, "--create-missing", "--container=filebrowser")
	before := n.MustUser(t, "podman", "inspect", "--format", "{{.Id}}", "filebrowser")
	code(t, n, 0, reconcile, "--force", "--container=filebrowser")
	if after := n.MustUser(t, "podman", "inspect", "--format", "{{.Id}}", "filebrowser"); after == before {
		t.Error("--force made no new container")
	}
	code(t, n, 2, reconcile, "--container=nothing")
	code(t, n, 2, reconcile, "--no-such-flag")
	// An app that cannot be had is exit 3, and the script says the same as the program.
	n.Registry.SetFault("docker.io/grafana/grafana:10.2.0", registry.Fault{Status: 404})
	code(t, n, 3, reconcile, "--create-missing", "--container=grafana")
	n.Registry.ClearFaults()
}

// sourced: the two scripts that others source work in both shells, with archy behind load_spec.
func sourced(t *testing.T, n *node.Node) {
	for _, shell := range []string{"sh", "bash"} {
		out := n.MustUser(t, shell, "-euc", `
			. /opt/archipelago/scripts/container-specs.sh
			set -- $ALL_CONTAINER_SPECS
			echo $#
			for name; do load_spec "$name"; test "$SPEC_NAME" = "$name" || echo "$name: $SPEC_NAME"; done
			load_spec archy-mempool-web; echo "$SPEC_IMAGE $SPEC_PORTS"
			if load_spec nothing 2>/dev/null; then echo unknown names pass; else echo "exit $?"; fi
			. /opt/archipelago/image-versions.sh
			echo "$MEMPOOL_IMAGE"
			. /opt/archipelago/scripts/image-versions.sh
			echo "$BTCPAY_POSTGRES_IMAGE"`)
		want := "33\ndocker.io/mempool/frontend:v3.0.1 4080:8080/tcp\nexit 2\ndocker.io/mempool/frontend:v3.0.1\ndocker.io/library/postgres:15-alpine\n"
		if out != want {
			t.Errorf("%s prints\n%swant\n%s", shell, out, want)
		}
	}
}

// boot: at the next start the timers tick by themselves, and first boot, being done, does not run.
func boot(t *testing.T, n *node.Node) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Reboot(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the timer starts a pass", func() bool {
		res := n.Root(ctx, "systemctl", "show", "-P", "ExecMainExitTimestampMonotonic", "archy-reconcile.service")
		return strings.TrimSpace(res.Stdout) != "0"
	})
	for unit, want := range map[string]string{
		"archy-reconcile.timer": "active", "archy-doctor.timer": "active", "archy-update-verify.path": "active", "archy-first-boot.service": "inactive",
	} {
		if is := strings.TrimSpace(n.Root(ctx, "systemctl", "is-active", unit).Stdout); is != want {
			t.Errorf("%s is %s, want %s", unit, is, want)
		}
	}
	if result := n.MustRoot(t, "systemctl", "show", "-P", "Result", "archy-reconcile.service"); result != "success\n" {
		t.Errorf("the pass ended with %s%s", result, n.Root(ctx, "journalctl", "-u", "archy-reconcile.service", "--no-pager").Stdout)
	}
	// grafana's image could not be had before: the timer's pass has it now.
	eventually(t, "both apps run", func() bool {
		return n.User(ctx, "sh", "-c", "podman ps --format '{{.Names}}' | sort").Stdout == "filebrowser\ngrafana\n"
	})
}
