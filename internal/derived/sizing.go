package derived

import "fmt"

const (
	mib = int64(1) << 20
	gib = int64(1) << 30

	dbcacheMin  = 300  // MiB
	dbcacheMax  = 4096 // MiB
	dbcacheMore = 1536 // MiB that bitcoind needs beside its cache
	limitMin    = 2048 // MiB
	pruneMin    = 550  // MiB, bitcoind's own minimum
)

// SizingConfig is what the operator may set.
type SizingConfig struct {
	DBCacheMiB int64  // 0: computed
	PruneMiB   *int64 // nil: by the disk's size; 0: whole chain
}

// Sizing is what a machine can bear of bitcoin.
type Sizing struct {
	RAMGiB      int64 // rounded up, so that a kernel update changes nothing
	DiskGB      int64 // 10^9 bytes, of the file system that holds the chain
	HeavyCPUs   int   // cores of a heavy container: all but one
	DBCacheMiB  int64
	MemoryBytes int64 // memory limit of the container
	PruneMiB    int64 // 0: whole chain
	TxIndex     bool
	Warnings    []string
}

// Mode is whether the node keeps the whole chain and its index. It is frozen once a node has a chain.
func (s Sizing) Mode() Mode { return Mode{PruneMiB: s.PruneMiB, TxIndex: s.TxIndex} }

// Size computes the sizes for a machine with memTotal bytes of memory (MemTotal), that many cores and a file system of
// disk bytes under the chain. What it cannot do is an error; what the operator should know is a warning.
func Size(memTotal int64, cores int, disk int64, cfg SizingConfig) (Sizing, error) {
	if memTotal <= 0 || disk <= 0 {
		return Sizing{}, fmt.Errorf("bitcoin sizing: memory of %d and disk of %d bytes: not a machine", memTotal, disk)
	}
	if cfg.DBCacheMiB < 0 {
		return Sizing{}, fmt.Errorf("bitcoin.dbcache_mib: %d is negative", cfg.DBCacheMiB)
	}
	if p := cfg.PruneMiB; p != nil && *p != 0 && *p < pruneMin {
		return Sizing{}, fmt.Errorf("bitcoin.prune: %d MiB is not possible (hint: 0 for the whole chain, or at least %d)", *p, pruneMin)
	}
	s := Sizing{RAMGiB: (memTotal + gib - 1) / gib, DiskGB: disk / 1e9, HeavyCPUs: max(cores-1, 1)}
	s.memory(cfg.DBCacheMiB)
	s.prune(cfg.PruneMiB)
	return s, nil
}

func (s *Sizing) memory(set int64) {
	cache := min(max(s.RAMGiB*64, dbcacheMin), dbcacheMax)
	if set > 0 {
		cache = set
	}
	limit := max(cache+dbcacheMore, limitMin)
	if most := s.RAMGiB * 1024 * 3 / 4; limit > most {
		limit = most
		fits := max(limit-dbcacheMore, dbcacheMin)
		if cache > fits {
			s.warn("dbcache of %d MiB does not fit into %d GiB of memory; %d MiB is used", cache, s.RAMGiB, fits)
			cache = fits
		}
		s.warn("bitcoin gets %d MiB of memory, three quarters of this machine", limit)
	}
	s.DBCacheMiB, s.MemoryBytes = cache, limit*mib
}

func (s *Sizing) prune(set *int64) {
	switch {
	case set != nil:
		s.PruneMiB = *set
		if *set*mib > s.DiskGB*1e9*9/10 {
			s.warn("bitcoin.prune of %d MiB is more than a disk of %d GB can hold", *set, s.DiskGB)
		}
		if *set == 0 && s.DiskGB < 1000 {
			s.warn("the whole chain with its index will fill a disk of %d GB", s.DiskGB)
		}
	case s.DiskGB >= 1000:
	case s.DiskGB >= 250:
		s.PruneMiB = 100000
	case s.DiskGB >= 100:
		s.PruneMiB = 30000
	default:
		s.PruneMiB = 5000
		s.warn("a disk of %d GB is small: the chain is pruned to 5000 MiB", s.DiskGB)
	}
	s.TxIndex = s.PruneMiB == 0
}

func (s *Sizing) warn(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}
