package firstboot_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/test/node/registry"
)

// withCore are bitcoin-core, its alternative, and those that must find it by name.
var withCore = []string{"archy-mempool-db", "bitcoin-core", "bitcoin-knots", "bitcoin-ui", "electrumx", "lnd", "mempool-api"}

// TestBitcoinCoreInPlaceOfKnots: the owner chose bitcoin-core, and whoever needs a bitcoin is told its name. The registry
// fails twice before it has lnd, and nobody notices.
func TestBitcoinCoreInPlaceOfKnots(t *testing.T) {
	t.Parallel()
	m := bareWith(t, withCore, "first_boot:\n  apps: [bitcoin-core, bitcoin-knots]\n")
	before := m.tree()
	if res := m.want(2, "first-boot"); !strings.Contains(res.Stderr, "bitcoin-core and bitcoin-knots cannot be on one node") {
		t.Errorf("both bitcoins:\n%s", res.Stderr)
	}
	if after := m.tree(); after != before {
		t.Errorf("something changed:\n%s", difference(before, after))
	}

	const lnd = "docker.io/lightninglabs/lnd:v0.18.4-beta"
	m.configure("first_boot:\n  apps: [bitcoin-core, lnd, mempool-api]\n")
	m.Registry.SetFault(lnd, registry.Fault{Status: http.StatusInternalServerError, Times: 2})
	m.want(0, "first-boot")
	if got := m.Registry.Pulls(lnd); got != 3 {
		t.Errorf("the registry was asked %d times for lnd, want 3", got)
	}
	want := []string{"archy-bitcoin-ui", "archy-mempool-db", "bitcoin-core", "electrumx", "lnd", "mempool-api"}
	if got := slices.Sorted(slices.Values(m.running())); !slices.Equal(got, want) {
		t.Fatalf("running: %q, want %q", got, want)
	}
	// Each of them serves only while the bitcoin that it was told of takes its password.
	m.MustUser(t, "archy", "health")
	m.namesBitcoinCore()
	m.refusesKnots()
	if res := m.want(0, "first-boot", "--check", "--profile", "core"); !strings.Contains(res.Stderr, "bitcoin-core is kept in place of bitcoin-knots") {
		t.Errorf("the core profile on this node:\n%s", res.Stderr)
	}
}

func (m *machine) namesBitcoinCore() {
	m.t.Helper()
	conf := m.read(dataDir + "/lnd/lnd.conf")
	for _, line := range []string{"bitcoind.rpchost=bitcoin-core:8332\n", "bitcoind.zmqpubrawblock=tcp://bitcoin-core:28332\n", "bitcoind.zmqpubrawtx=tcp://bitcoin-core:28333\n"} {
		if !strings.Contains(conf, line) {
			m.t.Errorf("lnd.conf has no %q", line)
		}
	}
	for _, name := range []string{"lnd", "electrumx", "mempool-api"} {
		if unit := m.read("/home/archipelago/.config/containers/systemd/" + name + ".container"); !strings.Contains(unit, "bitcoin-core.service") || strings.Contains(unit, "bitcoin-knots") {
			m.t.Errorf("%s.container:\n%s", name, unit)
		}
	}
	if url := m.MustUser(m.t, "podman", "exec", "electrumx", "sh", "-c", "echo $DAEMON_URL"); !strings.HasSuffix(url, "@bitcoin-core:8332/\n") {
		m.t.Error("electrumx asks another bitcoin")
	}
	if host := m.MustUser(m.t, "podman", "exec", "mempool-api", "sh", "-c", "echo $CORE_RPC_HOST"); host != "bitcoin-core\n" {
		m.t.Errorf("mempool-api asks %s", host)
	}
}

// refusesKnots: the alternative cannot be had beside it, and asking for it touches nothing.
func (m *machine) refusesKnots() {
	m.t.Helper()
	before := m.containers()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res := m.User(ctx, "archy", "install", "bitcoin-knots")
	if res.Code != 2 || !strings.Contains(res.Stderr, "bitcoin-core") {
		m.t.Errorf("archy install bitcoin-knots: exit code %d\n%s", res.Code, res.Stderr)
	}
	if now := m.containers(); now != before || m.Exists("/home/archipelago/.config/containers/systemd/bitcoin-knots.container") {
		m.t.Errorf("something changed:\n%s", difference(before, now))
	}
}
