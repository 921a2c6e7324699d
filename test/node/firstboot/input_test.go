package firstboot_test

import (
	"context"
	"slices"
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
	t.Run("a rule that the kernel lacks", func(t *testing.T) { kernelLacksARule(t, m) })
	t.Run("the tunnel has what its configuration says", func(t *testing.T) { tunnelFollows(t, m) })
	if strings.Contains(m.said.String(), key) || strings.Contains(m.sh("journalctl -o cat"), key) {
		t.Error("the key was said")
	}
}

// kernelLacksARule: ufw was killed after it wrote its file. It answers from the file; the kernel is asked, and gets the rule, and the operator's stay.
func kernelLacksARule(t *testing.T, m *machine) {
	const rules = "iptables -S ufw-user-input; ip6tables -S ufw6-user-input; iptables -S INPUT"
	before := m.sh(rules)
	m.sh("iptables -D ufw-user-input -p tcp --dport 80 -j ACCEPT; ip6tables -D ufw6-user-input -p tcp --dport 443 -j ACCEPT")
	if res := m.want(4, "first-boot", "--check"); !strings.Contains(res.Stdout, "load the rules of ufw into the kernel") {
		t.Errorf("%s", res.Stdout)
	}
	m.want(0, "first-boot", "--again")
	if after := m.sh(rules); after != before || !strings.Contains(m.sh("ufw status verbose; cat /etc/ufw/ufw.conf"), "ENABLED=yes") {
		t.Errorf("the kernel's rules differ:\n%s", difference(before, after))
	}
}

// tunnelFollows: a real interface gets what the configuration says while it runs: its sessions live in it, so it must stay the one that it is.
func tunnelFollows(t *testing.T, m *machine) {
	m.must(m.WireGuard(t.Context()))
	peer := strings.TrimSpace(m.sh("wg genkey | wg pubkey"))
	m.must(m.WriteFile("/etc/wireguard/wg-archy.peers.d/phone.conf", []byte("[Peer]\nPublicKey = "+peer+"\nAllowedIPs = 10.77.0.2/32, 10.78.0.2/32\n"), 0o600))
	m.want(0, "first-boot", "--again")
	has := func(what string, addresses ...string) {
		t.Helper()
		if got := strings.Fields(m.sh("ip -o -4 address show dev wg-archy | awk '{print $4}' | sort")); !slices.Equal(got, addresses) {
			t.Errorf("%s: %q, want %q", what, got, addresses)
		}
		if peers := strings.TrimSpace(m.sh("wg show wg-archy peers")); peers != peer {
			t.Errorf("%s: peers %q", what, peers)
		}
		if res := m.want(0, "first-boot", "--check"); res.Stdout != "nothing to do\n" {
			t.Errorf("%s: left to do:\n%s", what, res.Stdout)
		}
	}
	has("started", "10.77.0.1/24")
	const same = "cat /sys/class/net/wg-archy/ifindex; systemctl show -P ActiveEnterTimestampMonotonic wg-quick@wg-archy"
	before := m.sh(same)
	m.sh("ip address add 192.0.2.9/32 dev wg-archy") // somebody's own
	for _, address := range []string{"10.78.0.1/24", "10.78.0.9/24", "10.78.0.9/16"} {
		m.configure("first_boot:\n  apps: [filebrowser]\nwireguard:\n  enabled: true\n  address: " + address + "\n")
		m.want(0, "first-boot", "--again")
		has(address, address, "192.0.2.9/32")
	}
	m.sh("ip address del 10.78.0.9/16 dev wg-archy; ip address add 10.77.0.1/24 dev wg-archy")
	if res := m.want(4, "first-boot", "--check"); !strings.Contains(res.Stdout, "give wg-archy the address 10.78.0.9/16") {
		t.Errorf("%s", res.Stdout)
	}
	m.want(0, "first-boot", "--again")
	has("the file is right", "10.77.0.1/24", "10.78.0.9/16", "192.0.2.9/32")
	if after := m.sh(same); after != before {
		t.Errorf("it is another interface, or was started anew: %q, was %q", after, before)
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
	m.sh("touch /dev/console; mkdir -p /etc/archipelago; echo another > /etc/archipelago/volume-id")
	if res := m.want(6, "first-boot"); !strings.Contains(res.Stderr, "no data volume") {
		t.Errorf("%s", res.Stderr)
	}
	if console := m.read("/dev/console"); !strings.Contains(console, "archy: first boot stopped: /var/lib/archipelago: no data volume") {
		t.Errorf("the console says %q", console)
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
