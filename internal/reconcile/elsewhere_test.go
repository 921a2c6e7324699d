package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

// binds gives a script's container a directory of the host.
func binds(source, target string) func(*podman.Inspect) {
	return func(c *podman.Inspect) {
		c.Mounts = append(c.Mounts, podman.Mount{Type: "bind", Source: source, Target: target})
	}
}

// An lnd whose data lie somewhere else keeps them there after its migration: archy's files go there, and its wallet is seen.
func TestTheWalletOfAnLndElsewhere(t *testing.T) {
	n := walletNode(t)
	n.pass(func(o *Options) { o.Only = []string{"bitcoin-knots"} })
	n.later(3 * time.Minute)
	n.lay("/mnt/old/lnd/data/chain/bitcoin/mainnet/wallet.db", "the owner's")
	n.script("lnd", "docker.io/example/lnd:v0.9", binds("/mnt/old/lnd", "/data"))
	n.pass(func(o *Options) { o.AdoptOnly = true })
	p := n.passOf(migrateAll)
	w, err := p.Observer.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a := w.app("lnd"); !a.Wallet.Exists || len(a.Fresh) > 0 || a.DataDir(n.layout.DataDir) != "/mnt/old/lnd" {
		t.Errorf("wallet seen %v, made %v, directory %s", a.Wallet.Exists, a.Fresh, a.DataDir(n.layout.DataDir))
	}
	if got := n.result(n.pass(migrateAll), "lnd"); got.Action != Migrated {
		t.Fatalf("%+v", got)
	}
	for range 2 { // the second pass knows it from the record
		if n.text("/mnt/old/lnd/lnd.conf") == "" || n.text("/var/lib/archipelago/lnd/lnd.conf") != "" || len(n.Calls("write secret lnd-wallet-password")) > 0 {
			t.Errorf("calls %q", n.calls)
		}
		n.later(time.Minute)
		n.pass()
	}
	if a := n.observed("lnd"); !a.Wallet.Exists || a.DataDir(n.layout.DataDir) != "/mnt/old/lnd" {
		t.Errorf("after the migration: wallet seen %v, directory %s", a.Wallet.Exists, a.DataDir(n.layout.DataDir))
	}
}

// An adopted lnd that vanishes is made anew over the data that it had, also after a migration that was undone.
func TestAnLndElsewhereThatVanishes(t *testing.T) {
	for _, undone := range []bool{false, true} {
		n := walletNode(t)
		n.pass(func(o *Options) { o.Only = []string{"bitcoin-knots"} })
		n.later(3 * time.Minute)
		n.lay("/mnt/old/lnd/data/chain/bitcoin/mainnet/wallet.db", "the owner's")
		n.script("lnd", "docker.io/example/lnd:v0.9", binds("/mnt/old/lnd", "/data"))
		n.pass()
		if undone {
			n.onCall = nil
			n.behave[lndImage] = behaviour{dies: 1}
			if got := n.result(n.pass(migrateAll), "lnd"); got.Action != RolledBack {
				t.Fatalf("%+v", got)
			}
			n.behave = map[string]behaviour{}
		}
		n.drop(n.containers["lnd"])
		n.later(10 * time.Minute)
		n.pass()
		unit := n.text(n.layout.Unit("lnd"))
		if !strings.Contains(unit, "Volume=/mnt/old/lnd:/data") || len(n.Calls("write secret lnd-wallet-password")) > 0 || !n.runs("lnd") {
			t.Errorf("undone %v: calls %q\n%s", undone, n.Calls("write secret"), unit)
		}
	}
}

func (n *fakeNode) observed(id string) *App {
	n.t.Helper()
	w, err := n.passOf().Observer.Observe(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	return w.app(id)
}

// The chain of a bitcoin elsewhere says how much of it is kept.
func TestTheChainOfABitcoinElsewhere(t *testing.T) {
	n := bitcoinNode(t)
	n.lay("/mnt/old/bitcoin/bitcoin.conf", "txindex=1\n")
	n.script("bitcoin-knots", "docker.io/example/bitcoin-knots:v0.9", binds("/mnt/old/bitcoin", "/data"))
	for range 2 {
		n.pass(migrateAll)
		n.later(time.Minute)
	}
	if conf := n.text("/mnt/old/bitcoin/bitcoin.conf"); !strings.Contains(conf, "\nprune=0\ntxindex=1\n") || n.text("/var/lib/archipelago/bitcoin/bitcoin.conf") != "" {
		t.Errorf("%s", conf)
	}
	if p := n.record("bitcoin-knots").Pinned; *p.Prune != 0 || !*p.TxIndex {
		t.Errorf("pinned %+v", p)
	}
}

// Guards look at the data where they lie, and so does the rule about lost passwords.
func TestGuardsLookElsewhere(t *testing.T) {
	n := newNode(t, map[string]string{"immich-postgres": strings.Replace(shared(manifestOf("immich-postgres", 0, fmt.Sprintf(dataOf, "immich-db")), true), ":v1.0", ":14-alpine", 1)}).firstBootDone()
	n.lay("/mnt/old/db/PG_VERSION", "13\n")
	n.script("immich-postgres", "docker.io/example/immich-postgres:13", binds("/mnt/old/db", "/data"))
	if _, _, err := n.vault.Generate("db-password", secrets.Hex32); err != nil {
		t.Fatal(err)
	}
	if got := n.result(n.pass(migrateAll), "immich-postgres"); got.Action != NeedsHuman || !strings.Contains(got.Cause, "data of PostgreSQL 13, image of 14") {
		t.Errorf("%+v", got)
	}
	n.lay("/mnt/old/db/PG_VERSION", "14\n")
	if got := n.result(n.pass(migrateAll), "immich-postgres"); got.Action != Migrated {
		t.Fatalf("%+v", got)
	}
	n.lose("db-password")
	if got := n.result(n.pass(), "immich-postgres"); got.Action != NeedsHuman || got.Row != "27" {
		t.Errorf("%+v", got)
	}
}
