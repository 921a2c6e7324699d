package firstboot_test

import (
	"context"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/firstboot"
)

// TestTheOperatorsMachine: what somebody set up before archy came stays.
func TestTheOperatorsMachine(t *testing.T) {
	m := bare(t, "first_boot:\n  apps: [filebrowser]\nwireguard:\n  enabled: true\n")
	t.Run("bad input changes nothing", func(t *testing.T) { badInput(t, m) })
	const torrc = "# mine\nHiddenServiceDir /var/lib/tor/mine/\nHiddenServicePort 22 127.0.0.1:22\n"
	m.must(m.WriteFile(firstboot.Torrc, []byte(torrc), 0o644))
	m.sh("ufw default allow incoming; ufw limit 22/tcp; ufw allow 2222/tcp comment 'mine'; ufw --force enable; mkdir /etc/wireguard/wg-archy.peers.d")
	m.must(m.WriteFile("/etc/wireguard/wg-archy.peers.d/phone.conf", []byte("[Peer]\nPublicKey = A\nAllowedIPs = 10.77.0.2/32\n"), 0o600))

	res := m.want(0, "first-boot")
	if !strings.Contains(res.Stderr, "warning: wireguard: ") { // no machine in a namespace has such interfaces
		t.Errorf("no warning of WireGuard:\n%s", res.Stderr)
	}
	if got := m.read(firstboot.Torrc); !strings.HasPrefix(got, torrc+"# BEGIN archy\n") {
		t.Errorf("torrc:\n%s", got)
	}
	if !m.Exists("/var/lib/tor/mine/hostname") {
		t.Error("the operator's own onion service is gone")
	}
	rules := m.sh("ufw show added; ufw status verbose")
	for _, want := range []string{"ufw limit 22/tcp\n", "ufw allow 2222/tcp comment 'mine'\n", "Default: allow (incoming)", "ufw allow 80/tcp comment 'archy:http'",
		"ufw allow from 192.168.0.0/16 to any port 8083 proto tcp comment 'archy:filebrowser'", "ufw allow 51820/udp comment 'archy:wireguard'"} {
		if !strings.Contains(rules, want) {
			t.Errorf("no %q in\n%s", want, rules)
		}
	}
	if strings.Contains(rules, "archy:ssh") {
		t.Errorf("the operator's limit on SSH was loosened:\n%s", rules)
	}
	key, conf := strings.TrimSpace(m.read(firstboot.WireGuardKey)), m.read(firstboot.WireGuardConf)
	if len(key) != 44 || !strings.Contains(conf, "PrivateKey = "+key+"\n") || !strings.Contains(conf, "PublicKey = A\n") || m.stat(firstboot.WireGuardKey) != "regular file 600 0 0" {
		t.Errorf("the tunnel: %s", m.stat(firstboot.WireGuardKey))
	}
	if strings.Contains(m.said.String(), key) || strings.Contains(m.sh("journalctl -o cat"), key) {
		t.Error("the key was said")
	}
}

// badInput: whoever calls it wrongly is told, and the machine stays as it is.
func badInput(t *testing.T, m *machine) {
	before := m.tree()
	for _, tt := range []struct {
		code int
		want string
		args []string
	}{
		{2, "did you mean full?", []string{"--profile", "ful"}},
		{2, "did you mean filebrowser?", []string{"--apps", "filebrowsr"}},
		{2, "did you mean firewall?", []string{"--skip", "firewal"}},
		{2, "contradict", []string{"--profile", "core", "--apps", "lnd"}},
		{2, "takes no --root", []string{"--root", "/mnt"}},
	} {
		if res := m.want(tt.code, append([]string{"first-boot"}, tt.args...)...); !strings.Contains(res.Stderr, tt.want) {
			t.Errorf("%q says\n%s", tt.args, res.Stderr)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if res := m.User(ctx, "archy", "first-boot"); res.Code != 2 || !strings.Contains(res.Stderr, "sudo archy first-boot") {
		t.Errorf("as the service user: %d\n%s", res.Code, res.Stderr)
	}
	m.sh("mkdir -p /etc/archipelago; echo another > /etc/archipelago/volume-id")
	if res := m.want(6, "first-boot"); !strings.Contains(res.Stderr, "no data volume") {
		t.Errorf("%s", res.Stderr)
	}
	m.sh("rm /etc/archipelago/volume-id")
	m.locked()
	if after := m.tree(); after != before {
		t.Errorf("something changed:\n%s", difference(before, after))
	}
}

// locked: two at once are one and an exit code.
func (m *machine) locked() {
	m.t.Helper()
	m.sh("systemd-run --quiet --unit=holder flock -x /run/archy/node.lock sleep 600")
	m.until("the lock", func() bool { return m.sh("flock -n -s /run/archy/node.lock true && echo free || true") == "" })
	if res := m.want(5, "first-boot"); !strings.Contains(res.Stderr, "/run/archy/node.lock is locked by another run") {
		m.t.Errorf("%s", res.Stderr)
	}
	m.sh("systemctl stop holder")
}
