package firstboot

import (
	"slices"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

func chooser(present, removed []string, archival bool) Chooser {
	return Chooser{Set: shipped(), Archival: archival, Present: func(id string) bool { return slices.Contains(present, id) },
		Removed: func(id string) bool { return slices.Contains(removed, id) }}
}

func TestProfiles(t *testing.T) {
	core := []string{"archy-mempool-db", "bitcoin-knots", "bitcoin-ui", "electrs-ui", "electrumx", "fedimint-clientd", "filebrowser", "lnd", "lnd-ui", "mempool", "mempool-api"}
	pruned := []string{"bitcoin-knots", "bitcoin-ui", "fedimint-clientd", "filebrowser", "lnd", "lnd-ui"}
	withCore := slices.Clone(core)
	withCore[1] = "bitcoin-core"
	tests := map[string]struct {
		c       Chooser
		profile string
		list    []string
		want    []string
		note    string
	}{
		"core":                       {chooser(nil, nil, true), "core", nil, core, ""},
		"pruned":                     {chooser(nil, nil, false), "core", nil, pruned, "archy-mempool-db, electrs-ui, electrumx, mempool, mempool-api"},
		"bitcoin-core runs":          {chooser([]string{"bitcoin-core"}, nil, true), "core", nil, withCore, "bitcoin-core is kept in place of bitcoin-knots"},
		"removed":                    {chooser(nil, []string{"filebrowser"}, true), "core", nil, without(core, "filebrowser"), "filebrowser was removed"},
		"a list, with what it needs": {chooser(nil, nil, true), "", []string{"lnd-ui"}, []string{"bitcoin-knots", "lnd", "lnd-ui"}, ""},
		"a list with bitcoin-core":   {chooser(nil, nil, true), "", []string{"lnd", "bitcoin-core"}, []string{"bitcoin-core", "lnd"}, ""},
		"a removed app, named":       {chooser(nil, []string{"filebrowser"}, true), "", []string{"filebrowser"}, []string{"filebrowser"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := tt.c.Choose(tt.profile, tt.list)
			if err != nil {
				t.Fatal(err)
			}
			got := slices.Sorted(slices.Values(s.Apps))
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if !strings.Contains(strings.Join(s.Notes, "\n"), tt.note) || tt.note == "" && len(s.Notes) > 0 {
				t.Errorf("notes %q, want %q", s.Notes, tt.note)
			}
			for _, id := range s.Apps {
				for _, d := range tt.c.Set.Needs(id) {
					if at := slices.Index(s.Apps, d.AppID); at > slices.Index(s.Apps, id) {
						t.Errorf("%s comes before %s", id, d.AppID)
					}
				}
			}
		})
	}
}

func without(list []string, id string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == id })
}

func TestFullIsAllButTheSecondBitcoin(t *testing.T) {
	s, err := chooser(nil, nil, true).Choose("full", nil)
	if err != nil || len(s.Apps) != 32 || slices.Contains(s.Apps, "bitcoin-core") {
		t.Errorf("%d apps, %v: %q", len(s.Apps), err, s.Apps)
	}
}

func TestTwoBitcoinsAreRefused(t *testing.T) {
	if _, err := chooser(nil, nil, true).Choose("", []string{"bitcoin-core", "bitcoin-knots"}); err == nil || !strings.Contains(err.Error(), "bitcoin-core") {
		t.Errorf("%v", err)
	}
}

func TestArchival(t *testing.T) {
	f := newHost(t)
	if !f.Archival() {
		t.Error("a disk of 2 TB keeps the chain")
	}
	f.Facts.DataDisk = 5e11
	if f.Archival() {
		t.Error("a disk of 500 GB does not")
	}
	f.Config.Bitcoin.Prune = "0"
	if !f.Archival() {
		t.Error("the configuration wins over the disk")
	}
	f.write("/var/lib/archipelago/bitcoin/blocks/blk0", "x", 0o644)
	f.write("/var/lib/archipelago/bitcoin/bitcoin.conf", "prune=5000\n", 0o600)
	if f.Archival() {
		t.Error("a chain that is there wins over the configuration")
	}
}

// A chain without a bitcoin.conf is kept whole, and what a container was told counts, as in a pass.
func TestArchivalOfAChainWithoutItsFile(t *testing.T) {
	f := newHost(t)
	f.write("/var/lib/archipelago/bitcoin/blocks/blk00000.dat", "x", 0o600)
	if !f.Archival() {
		t.Error("a copied chain on a disk of 2 TB is left without its index")
	}
	f.Facts.DataDisk = 5e11
	storage := Graphroot(f.Layout) + "/overlay-containers/"
	f.write(storage+"containers.json", `[{"id":"abc","names":["bitcoin-knots"]}]`, 0o600)
	config := func(args, mounts string) {
		f.write(storage+"abc/userdata/config.json", `{"process":{"args":[`+args+`]},"mounts":[`+mounts+`]}`, 0o600)
	}
	config(`"bitcoind","-txindex=1"`, "")
	if !f.Archival() {
		t.Error("the container has the index")
	}
	config(`"bitcoind"`, `{"source":"/mnt/old/bitcoin","destination":"/data/.bitcoin"}`)
	f.write("/mnt/old/bitcoin/bitcoin.conf", "txindex=1\n", 0o600)
	if !f.Archival() {
		t.Error("the container's directory is another one, and its file has the index")
	}
	config(`"bitcoind","-prune=550"`, "")
	if f.Archival() {
		t.Error("the container prunes")
	}
	f.install("bitcoin-knots")
	r, _, err := f.State.ReadRecord("bitcoin-knots")
	f.must(err)
	no, yes := 0, true
	r.Pinned.Prune, r.Pinned.TxIndex = &no, &yes
	f.must(f.State.WriteRecord(r))
	if !f.Archival() {
		t.Error("the record wins")
	}
}

// The chain of a bitcoin whose record says where it lies is looked at there, and so is its disk.
func TestArchivalOfAChainElsewhere(t *testing.T) {
	f := newHost(t)
	f.Facts.DataDisk = 1 << 60
	f.install("bitcoin-knots")
	r, _, err := f.State.ReadRecord("bitcoin-knots")
	f.must(err)
	r.Pinned.Volumes = []state.PinnedVolume{{Source: "/mnt/old/bitcoin", Target: f.Set.Apps["bitcoin-knots"].Volumes[0].Target}}
	f.must(f.State.WriteRecord(r))
	f.write("/mnt/old/bitcoin/.lock", "", 0o600)
	want, err := node.DiskSize(f.Layout.Host("/mnt/old/bitcoin"))
	f.must(err)
	if got := f.Disk(); got != want {
		t.Errorf("a disk of %d bytes, the chain's has %d", got, want)
	}
	f.write("/mnt/old/bitcoin/blocks/blk0", "x", 0o644)
	f.write("/mnt/old/bitcoin/bitcoin.conf", "prune=5000\n", 0o600)
	if f.Archival() {
		t.Error("the chain that is there is pruned")
	}
}
