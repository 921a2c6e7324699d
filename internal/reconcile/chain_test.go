package reconcile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// bitcoins are the manifests of both; knots is not optional.
func bitcoins() map[string]string {
	app := func(id, other string) string {
		return manifestOf(id, 1, "  conflicts: ["+other+"]\n", fmt.Sprintf(dataOf, "bitcoin"),
			"  extensions:\n    archipelago:\n      sizing: bitcoin\n      derived: bitcoin.conf\n")
	}
	return map[string]string{"bitcoin-knots": app("bitcoin-knots", "bitcoin-core"),
		"bitcoin-core": strings.Replace(app("bitcoin-core", "bitcoin-knots"), "optional: false", "optional: true", 1)}
}

// bitcoinNode is a node with the two bitcoins on a disk of 983 GB.
func bitcoinNode(t *testing.T) *fakeNode {
	t.Helper()
	n := newNode(t, bitcoins()).firstBootDone()
	n.facts.DataDisk, n.wallets = 983e9, &fakeWallets{n: n}
	if _, _, err := n.vault.Generate(rpcSecret, secrets.Hex16); err != nil {
		t.Fatal(err)
	}
	return n
}

// lay lays a file down below the data directory.
func (n *fakeNode) lay(name, text string) {
	n.t.Helper()
	file := n.layout.Host(name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// lose takes a secret file away.
func (n *fakeNode) lose(secret string) {
	n.t.Helper()
	if err := os.Remove(n.vault.Path(secret)); err != nil {
		n.t.Fatal(err)
	}
}

func (n *fakeNode) text(name string) string {
	text, _ := os.ReadFile(n.layout.Host(name))
	return string(text)
}

// keeps asks for the lines of bitcoin.conf about the chain, and for what the record of the app says.
func (n *fakeNode) keeps(id string, prune int, index bool) {
	n.t.Helper()
	want := fmt.Sprintf("\nprune=%d\ntxindex=0\n", prune)
	if index {
		want = strings.Replace(want, "txindex=0", "txindex=1", 1)
	}
	if conf := n.text("/var/lib/archipelago/bitcoin/bitcoin.conf"); !strings.Contains(conf, want) {
		n.t.Errorf("bitcoin.conf lacks %q:\n%s", want, conf)
	}
	if p := n.record(id).Pinned; p.Prune == nil || *p.Prune != prune || *p.TxIndex != index {
		n.t.Errorf("pinned %+v", p)
	}
}

// A chain without a bitcoin.conf is not taken for no chain: with a smaller mode bitcoind would delete most of it.
func TestAChainWithoutItsFileIsNotPruned(t *testing.T) {
	n := bitcoinNode(t)
	n.lay("/var/lib/archipelago/bitcoin/blocks/blk00000.dat", "block")
	n.pass()
	n.keeps("bitcoin-knots", 0, false)
	n = bitcoinNode(t)
	n.facts.DataDisk = 2e12
	n.lay("/var/lib/archipelago/bitcoin/blocks/blk00000.dat", "block")
	n.pass()
	n.keeps("bitcoin-knots", 0, true)
	n = bitcoinNode(t)
	n.pass()
	n.keeps("bitcoin-knots", 100000, false)
}

// closedDir is a user namespace in which a directory holds something, or nothing, or that cannot be entered.
type closedDir struct {
	noMapped
	full bool
	err  error
}

func (c closedDir) Holds(context.Context, string) (bool, error) { return c.full, c.err }

func TestHoldsMapped(t *testing.T) {
	n := bitcoinNode(t)
	n.lay("/var/lib/archipelago/bitcoin/blocks/blk00000.dat", "block")
	dir := n.layout.Host("/var/lib/archipelago/bitcoin")
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	defer asNobody(t)()
	for want, mapped := range map[bool][]closedDir{true: {{full: true}, {err: errors.New("no way in")}}, false: {{}}} {
		for _, m := range mapped {
			ob := n.observation()
			ob.Mapped = m
			if got := ob.holdsMapped(t.Context(), "/var/lib/archipelago/bitcoin/blocks"); got != want {
				t.Errorf("%+v: %v", m, got)
			}
		}
	}
}

// The bitcoin that takes the directory of the other over keeps its chain as it is, also when it was here before.
func TestTheOtherBitcoinKeepsTheMode(t *testing.T) {
	n := bitcoinNode(t)
	n.pass()
	n.keeps("bitcoin-knots", 100000, false)
	full := func(id string) {
		r := n.record(id)
		*r.Pinned.Prune, *r.Pinned.TxIndex = 0, true
		if err := n.store.WriteRecord(r); err != nil {
			t.Fatal(err)
		}
	}
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"bitcoin-knots"}})
	n.later(time.Hour)
	n.mustVerb(0, Request{Verb: VerbInstall, Apps: []string{"bitcoin-core"}})
	n.keeps("bitcoin-core", 100000, false)
	full("bitcoin-core") // its owner has made a whole chain meanwhile
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"bitcoin-core"}})
	n.later(time.Hour)
	n.mustVerb(0, Request{Verb: VerbInstall, Apps: []string{"bitcoin-knots"}})
	n.keeps("bitcoin-knots", 0, true)
}

// A bitcoin of a lower major version does not get the directory of the other; it gets an empty one, and one of the same version.
func TestAnOlderBitcoinTakesNothingOver(t *testing.T) {
	for name, c := range map[string]struct {
		tag   string
		empty bool
		want  Action
	}{"older": {"v27.2", false, NeedsHuman}, "a lower minor version": {"v28.0", false, Installed}, "no data": {"v27.2", true, Installed}} {
		t.Run(name, func(t *testing.T) {
			n := bitcoinNode(t)
			apps := map[string]string{}
			for id, tag := range map[string]string{"bitcoin-knots": "v28.1", "bitcoin-core": c.tag} {
				apps[id] = upgraded(bitcoins()[id], tag)
			}
			n.load(apps)
			n.pass()
			n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"bitcoin-knots"}})
			n.later(time.Hour)
			if c.empty {
				if err := os.RemoveAll(n.layout.Host(n.layout.Data("bitcoin"))); err != nil {
					t.Fatal(err)
				}
			}
			r, err := n.verb(Request{Verb: VerbInstall, Apps: []string{"bitcoin-core"}})
			if err != nil {
				t.Fatal(err)
			}
			if got := n.result(r, "bitcoin-core"); got.Action != c.want || c.want == NeedsHuman && !strings.Contains(got.Cause, "v28.1 of bitcoin-knots") {
				t.Errorf("%s: %s", got.Action, got.Cause)
			}
		})
	}
}

// Another bitcoin.prune than that of the chain is a person's matter, and keeps bitcoin neither down nor broken; a smaller disk is none.
func TestAnotherPruneIsRefused(t *testing.T) {
	n := bitcoinNode(t)
	n.facts.DataDisk = 2e12
	n.pass()
	n.later(3 * time.Minute)
	n.pass() // its wallets are looked at
	n.facts.DataDisk = 5e11
	if r := n.pass(); r.ExitCode != 0 || len(r.Warnings) > 0 {
		t.Errorf("a smaller disk: exit %d, %q", r.ExitCode, r.Warnings)
	}
	pass := func() Result {
		p := n.passOf()
		p.Observer.Config.Bitcoin.Prune = "5000"
		r, err := p.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := pass()
	if got := n.result(r, "bitcoin-knots"); got.Action != NeedsHuman || r.ExitCode != ExitNeedsHuman || !strings.Contains(got.Cause, "asks for 5000") || !n.runs("bitcoin-knots") {
		t.Errorf("exit %d, %+v", r.ExitCode, got)
	}
	n.keeps("bitcoin-knots", 0, true)
	n.drop(n.containers["bitcoin-knots"])
	n.services["bitcoin-knots.service"].ActiveState = "inactive"
	if got := n.result(pass(), "bitcoin-knots"); got.Action != Started || got.Class != ClassOK || !n.runs("bitcoin-knots") {
		t.Errorf("%+v", got)
	}
	n.keeps("bitcoin-knots", 0, true)
}

// An adopted bitcoin that lets archy in, or never had a line for it, is left alone; one whose line is of another password is not.
func TestTheFileOfAnAdoptedBitcoin(t *testing.T) {
	for name, c := range map[string]struct {
		conf, arg string // with the secret in place of %s
		want      Action
	}{
		"user and password":     {"rpcuser=archipelago\nrpcpassword=%s\n", "", NoOp},
		"in the arguments":      {"rpcauth=archipelago:00$00\n", "-rpcuser=archipelago -rpcpassword=%s", NoOp},
		"rpcauth argument":      {"server=1\n", "-rpcauth=%a", NoOp},
		"both lines":            {"rpcauth=archipelago:00$00\nrpcauth=%a\n", "", NoOp},
		"argument beside":       {"rpcauth=archipelago:00$00\n", "-rpcauth=%a", NoOp},
		"never had one":         {"rpcauth=alice:00$00\n", "", NoOp},
		"another password":      {"rpcauth=archipelago:00$00\n", "", Restarted},
		"another password, too": {"rpcauth=archipelago:00$00\nrpcuser=archipelago\nrpcpassword=other\n", "", Restarted},
	} {
		t.Run(name, func(t *testing.T) {
			n := bitcoinNode(t)
			v, err := n.vault.Read(rpcSecret)
			if err != nil {
				t.Fatal(err)
			}
			fill := strings.NewReplacer("%s", v.Reveal(), "%a", secrets.RPCAuth(secrets.RPCUser, v, []byte("salt")))
			n.lay("/var/lib/archipelago/bitcoin/bitcoin.conf", fill.Replace(c.conf))
			n.script("bitcoin-knots", "docker.io/example/bitcoin-knots:v0.9", func(i *podman.Inspect) { i.Cmd = strings.Fields("bitcoind " + fill.Replace(c.arg)) })
			n.pass()
			n.later(time.Minute)
			got := n.result(n.pass(), "bitcoin-knots")
			if conf := n.text("/var/lib/archipelago/bitcoin/bitcoin.conf"); c.want == NoOp && (got.Action != NoOp || conf != fill.Replace(c.conf) || len(n.touched()) > 0) {
				t.Errorf("%s %s, touched %q", got.Action, got.Cause, n.touched())
			}
			if c.want != NoOp && len(n.touched()) == 0 {
				t.Errorf("left: %s %s", got.Action, got.Cause)
			}
		})
	}
}

// What an adopted container was told counts when it is moved to a unit, whatever an older record of the other bitcoin says.
func TestTheArgumentsOfAnAdoptedBitcoin(t *testing.T) {
	n := bitcoinNode(t)
	prune, index := 100000, false
	old := state.Record{App: "bitcoin-core", Container: "bitcoin-core", Owner: state.Quadlet, InstalledAt: n.peek().Add(-time.Hour), RemovedAt: n.peek()}
	old.Pinned.Prune, old.Pinned.TxIndex = &prune, &index
	if err := n.store.WriteRecord(old); err != nil {
		t.Fatal(err)
	}
	n.lay("/var/lib/archipelago/bitcoin/blocks/blk00000.dat", "block")
	n.script("bitcoin-knots", "docker.io/example/bitcoin-knots:v0.9", func(c *podman.Inspect) { c.Cmd = []string{"bitcoind", "-txindex=1"} })
	if got := n.result(n.pass(migrateAll), "bitcoin-knots"); got.Action != Migrated {
		t.Fatalf("%+v", got)
	}
	n.keeps("bitcoin-knots", 0, true)
}

// A bridge that was there before archy may have other addresses than archy would give it, and bitcoin lets its apps in all the same. On any other node nothing changes.
func TestBitcoinLetsTheNodesBridgeIn(t *testing.T) {
	const conf, bridge = "/var/lib/archipelago/bitcoin/bitcoin.conf", "/var/lib/archipelago/containers/storage/networks/archy-net.json"
	n := bitcoinNode(t)
	n.pass()
	if text := n.text(conf); strings.Count(text, "rpcallowip=") != 2 || !strings.Contains(text, "\nrpcallowip=10.89.0.0/16\n") {
		t.Fatalf("without a bridge:\n%s", text)
	}
	for _, c := range []struct{ name, file, want, touched string }{
		{"archy's", `{"name":"archy-net","subnets":[{"subnet":"10.89.7.0/24","gateway":"10.89.7.1"}]}`, "", ""},
		{"another", `{"name":"archy-net","subnets":[{"subnet":"172.30.4.0/24","gateway":"172.30.4.1"}]}`, "rpcallowip=10.89.0.0/16\nrpcallowip=172.30.4.0/24\n", "restart bitcoin-knots"},
		{"a wider one", `{"name":"archy-net","subnets":[{"subnet":"10.0.0.0/8"}]}`, "rpcallowip=10.89.0.0/16\nrpcallowip=10.0.0.0/8\n", "restart bitcoin-knots"},
		{"one that cannot be read", `{"name":"archy`, "", "restart bitcoin-knots"},
	} {
		n.lay(bridge, c.file)
		n.later(time.Hour)
		n.calls = nil
		n.pass()
		text, _, _ := strings.Cut(n.text(conf), "# END archy")
		if c.want == "" && strings.Count(text, "rpcallowip=") != 2 || !strings.Contains(text, c.want) {
			t.Errorf("%s:\n%s", c.name, text)
		}
		equal(t, c.name, strings.Join(n.touched(), " "), c.touched)
	}
}
