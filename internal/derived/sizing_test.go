package derived_test

import (
	"fmt"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/derived"
)

const (
	mib = int64(1) << 20
	gib = int64(1) << 30
	gb  = int64(1e9)
)

func size(t *testing.T, mem, disk int64, cfg derived.SizingConfig) derived.Sizing {
	t.Helper()
	s, err := derived.Size(mem, 4, disk, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestIncident16Sizing(t *testing.T) {
	tests := []struct {
		memory       int64 // bytes
		cache, limit int64 // MiB
	}{
		{1 * gib, 300, 768}, {2 * gib, 300, 1536}, {3 * gib, 300, 2048}, {4 * gib, 300, 2048}, {5 * gib, 320, 2048},
		{6 * gib, 384, 2048}, {8 * gib, 512, 2048}, {9 * gib, 576, 2112}, {12 * gib, 768, 2304}, {16 * gib, 1024, 2560},
		{24 * gib, 1536, 3072}, {32 * gib, 2048, 3584}, {48 * gib, 3072, 4608}, {64 * gib, 4096, 5632}, {96 * gib, 4096, 5632},
		{128 * gib, 4096, 5632},
		// MemTotal is always a little below what was bought, and changes with the kernel.
		{15*gib + 7, 1024, 2560}, {16*gib - 1, 1024, 2560}, {7*gib + 600*mib, 512, 2048},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.memory), func(t *testing.T) {
			s := size(t, tt.memory, 2000*gb, derived.SizingConfig{})
			if s.DBCacheMiB != tt.cache || s.MemoryBytes != tt.limit*mib {
				t.Errorf("dbcache %d, limit %d MiB; want %d, %d", s.DBCacheMiB, s.MemoryBytes/mib, tt.cache, tt.limit)
			}
			if s.MemoryBytes*4 > s.RAMGiB*gib*3 {
				t.Errorf("limit of %d bytes is more than three quarters of %d GiB", s.MemoryBytes, s.RAMGiB)
			}
			if small := tt.memory < 3*gib; small != (len(s.Warnings) > 0) {
				t.Errorf("warnings %q", s.Warnings)
			}
		})
	}
}

func TestSizeSetCache(t *testing.T) {
	tests := []struct{ ram, set, cache, limit int64 }{
		{16, 8192, 8192, 9728}, {8, 8192, 4608, 6144}, {16, 100, 100, 2048}, {2, 2000, 300, 1536}, {2, 100, 100, 1536},
	}
	for _, tt := range tests {
		s := size(t, tt.ram*gib, 2000*gb, derived.SizingConfig{DBCacheMiB: tt.set})
		if s.DBCacheMiB != tt.cache || s.MemoryBytes != tt.limit*mib {
			t.Errorf("%d GiB, %d set: dbcache %d, limit %d; want %d, %d", tt.ram, tt.set, s.DBCacheMiB, s.MemoryBytes/mib, tt.cache, tt.limit)
		}
		if reduced := tt.cache < tt.set; reduced != strings.Contains(strings.Join(s.Warnings, "\n"), "does not fit") {
			t.Errorf("%d GiB, %d set: warnings %q", tt.ram, tt.set, s.Warnings)
		}
	}
}

func TestSizePrune(t *testing.T) {
	tests := []struct {
		disk  int64
		prune int64
		warns int
	}{
		{4000 * gb, 0, 0}, {1000 * gb, 0, 0}, {1000*gb - 1, 100000, 0}, {250 * gb, 100000, 0}, {250*gb - 1, 30000, 0},
		{100 * gb, 30000, 0}, {100*gb - 1, 5000, 1}, {20 * gb, 5000, 1},
	}
	for _, tt := range tests {
		s := size(t, 8*gib, tt.disk, derived.SizingConfig{})
		if s.PruneMiB != tt.prune || s.TxIndex != (tt.prune == 0) || len(s.Warnings) != tt.warns {
			t.Errorf("%d bytes: %v, warnings %q; want prune %d", tt.disk, s.Mode(), s.Warnings, tt.prune)
		}
		if s.Mode().Archival() != (tt.prune == 0) {
			t.Errorf("%d bytes: archival %v", tt.disk, s.Mode().Archival())
		}
	}
}

func TestSizePruneSet(t *testing.T) {
	set := func(n int64) derived.SizingConfig { return derived.SizingConfig{PruneMiB: &n} }
	if s := size(t, 8*gib, 100*gb, set(0)); s.Mode() != (derived.Mode{TxIndex: true}) || len(s.Warnings) != 1 {
		t.Errorf("0 on a small disk: %v %q; want the whole chain and a warning", s.Mode(), s.Warnings)
	}
	if s := size(t, 8*gib, 4000*gb, set(550)); s.Mode() != (derived.Mode{PruneMiB: 550}) || len(s.Warnings) != 0 {
		t.Errorf("550: %v %q", s.Mode(), s.Warnings)
	}
	if s := size(t, 8*gib, 40*gb, set(100000)); len(s.Warnings) != 1 {
		t.Errorf("more than the disk: %q", s.Warnings)
	}
	for _, bad := range []int64{1, 549, -1} {
		if _, err := derived.Size(8*gib, 4, 4000*gb, set(bad)); err == nil || !strings.Contains(err.Error(), "bitcoin.prune") {
			t.Errorf("prune %d: %v", bad, err)
		}
	}
}

func TestSizeRefuses(t *testing.T) {
	for _, in := range [][2]int64{{0, gb}, {gib, 0}, {-1, gb}} {
		if _, err := derived.Size(in[0], 4, in[1], derived.SizingConfig{}); err == nil {
			t.Errorf("%v is accepted", in)
		}
	}
	if _, err := derived.Size(gib, 4, gb, derived.SizingConfig{DBCacheMiB: -1}); err == nil {
		t.Error("a negative cache is accepted")
	}
}

func TestHeavyCPUs(t *testing.T) {
	for cores, want := range map[int]int{0: 1, 1: 1, 2: 1, 4: 3, 16: 15} {
		if s, err := derived.Size(8*gib, cores, gb, derived.SizingConfig{}); err != nil || s.HeavyCPUs != want {
			t.Errorf("%d cores: %d, %v; want %d", cores, s.HeavyCPUs, err, want)
		}
	}
}

func TestRunningMode(t *testing.T) {
	tests := []struct {
		name, conf string
		args       []string
		want       string
		from       string // of prune
	}{
		{"nothing said", "", nil, "prune=0 txindex=0", "default"},
		{"archive", "txindex=1\n", nil, "prune=0 txindex=1", "default"},
		{"file", "prune=550\ntxindex=0\n", nil, "prune=550 txindex=0", "bitcoin.conf"},
		{"manual pruning", "prune=1\n", nil, "prune=1 txindex=0", "bitcoin.conf"},
		{"first in the file wins", "prune=550\nprune=0\n", nil, "prune=550 txindex=0", "bitcoin.conf"},
		{"main wins", "prune=550\n[main]\nprune=700\n", nil, "prune=700 txindex=0", "bitcoin.conf"},
		{"dotted main wins", "prune=550\nmain.prune=700\n", nil, "prune=700 txindex=0", "bitcoin.conf"},
		{"other chains do not count", "[test]\nprune=550\n", nil, "prune=0 txindex=0", "default"},
		{"comments do not count", "#prune=550\n#archy# prune=9\nprune=600 # mine\n", nil, "prune=600 txindex=0", "bitcoin.conf"},
		{"negation undoes", "prune=550\nnoprune=1\n", nil, "prune=0 txindex=0", "bitcoin.conf"},
		{"negation undone", "noprune=1\nprune=550\n", nil, "prune=550 txindex=0", "bitcoin.conf"},
		{"arguments win", "prune=550\ntxindex=0\n", []string{"bitcoind", "-prune=0", "--txindex"}, "prune=0 txindex=1", "arguments"},
		{"last argument wins", "", []string{"-prune=550", "-prune=600"}, "prune=600 txindex=0", "arguments"},
		{"negated argument", "txindex=1\nprune=550", []string{"-noprune", "-notxindex"}, "prune=0 txindex=0", "arguments"},
		{"inside a shell's string", "", []string{"-ec", `exec bitcoind -printtoconsole=0 "-prune=550"; true`}, "prune=550 txindex=0", "arguments"},
		{"a word that only looks so", "", []string{"prune=550", "-pruned=3"}, "prune=0 txindex=0", "default"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := derived.RunningMode([]byte(tt.conf), tt.args)
			if got.String() != tt.want || got.PruneFrom != tt.from {
				t.Errorf("%s from %s; want %s from %s", got, got.PruneFrom, tt.want, tt.from)
			}
		})
	}
}

func TestChain(t *testing.T) {
	asked, small, no, yes := derived.Mode{TxIndex: true}, derived.Mode{PruneMiB: 100000}, 0, true
	for _, tt := range []struct {
		name    string
		chain   derived.Chain
		asked   derived.Mode
		want    string
		decided bool
	}{
		{"nothing there", derived.Chain{}, small, "prune=100000 txindex=0", false},
		{"the record", derived.Chain{Prune: &no, TxIndex: &yes, Args: []string{"-prune=550"}, Conf: []byte("prune=600")}, small, "prune=0 txindex=1", true},
		{"the arguments", derived.Chain{Args: []string{"-prune=550"}, Conf: []byte("prune=600"), Blocks: true}, asked, "prune=550 txindex=0", true},
		{"arguments that say nothing", derived.Chain{Args: []string{}, Blocks: true}, small, "prune=0 txindex=0", true},
		{"the file", derived.Chain{Conf: []byte("prune=600"), Blocks: true}, asked, "prune=600 txindex=0", true},
		{"blocks of which nothing is known", derived.Chain{Blocks: true}, small, "prune=0 txindex=0", true},
		{"such blocks where there is room", derived.Chain{Blocks: true}, asked, "prune=0 txindex=1", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, decided := tt.chain.Mode(tt.asked); got.String() != tt.want || decided != tt.decided {
				t.Errorf("%s, decided %v; want %s, %v", got, decided, tt.want, tt.decided)
			}
		})
	}
}

func TestRefuse(t *testing.T) {
	full, whole, pruned := derived.Mode{}, int64(0), int64(30000)
	if change := full.Refuse(nil) + full.Refuse(&whole); change != "" {
		t.Errorf("nothing else is asked for: %q", change)
	}
	if change := full.Refuse(&pruned); !strings.Contains(change, "asks for 30000") {
		t.Errorf("the chain would be deleted: %q", change)
	}
}
