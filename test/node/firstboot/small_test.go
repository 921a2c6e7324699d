package firstboot_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/test/node"
)

// TestSmallMachine: 2 GB of memory and a data volume of 60 GB. bitcoin gets the least that it can live with and prunes its
// chain; what needs all of it is left out, and told so when somebody asks for it.
func TestSmallMachine(t *testing.T) {
	t.Parallel()
	m := bareWith(t, []string{"bitcoin-knots", "electrs-ui", "electrumx", "filebrowser"}, "")
	const meminfo = "/etc/meminfo"
	m.must(m.Put(node.ArchyWithMeminfo(t, meminfo), archyPath, 0o755))
	m.must(m.WriteFile(meminfo, []byte("MemTotal:        2014528 kB\n"), 0o644))
	m.must(m.WriteFile(configPath, nil, 0o644)) // sizes are the machine's
	m.sh("mount -t tmpfs -o size=60000000000,uid=1000,gid=1000,mode=755 tmpfs " + dataDir)

	said := m.want(0, "first-boot").Stderr
	for _, want := range []string{"left out, they need the whole chain and this node prunes it: electrs-ui, electrumx", "a disk of 60 GB is small: the chain is pruned to 5000 MiB",
		"bitcoin gets 1536 MiB of memory, three quarters of this machine"} {
		if !strings.Contains(said, want) {
			t.Errorf("first boot does not say %q:\n%s", want, said)
		}
	}
	if got := slices.Sorted(slices.Values(m.running())); !slices.Equal(got, []string{"bitcoin-knots", "filebrowser"}) {
		t.Errorf("running: %q", got)
	}
	conf := m.read(dataDir + "/bitcoin/bitcoin.conf")
	if !strings.Contains(conf, "\nprune=5000\n") || !strings.Contains(conf, "\ntxindex=0\n") {
		t.Error("bitcoin.conf does not prune the chain")
	}
	if args := m.sh("pgrep -a bitcoind"); !strings.Contains(args+" ", " -dbcache=300 ") && !strings.Contains(args, " -dbcache=300\n") {
		t.Errorf("bitcoind runs as %s", args)
	}
	m.wantsAnArchivalNode("electrumx")
}

// wantsAnArchivalNode: an app that indexes the chain is blocked, which is no failure.
func (m *machine) wantsAnArchivalNode(id string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res := m.User(ctx, "archy", "install", id, "--json")
	var r reconcile.Result
	m.must(json.Unmarshal([]byte(res.Stdout), &r))
	i := slices.IndexFunc(r.Apps, func(a reconcile.AppResult) bool { return a.App == id })
	if i < 0 || r.Apps[i].Row != "30" || r.Apps[i].Class != reconcile.ClassBlocked || r.Apps[i].Cause != "needs an archival node" {
		m.t.Errorf("archy install %s: exit code %d\n%s", id, res.Code, res.Stdout)
	}
	m.MustUser(m.t, "archy", "reconcile")
	if slices.Contains(m.running(), id) {
		m.t.Errorf("%s runs", id)
	}
}
