package spec

import "strconv"

const gib = 1 << 30

func (r *resolver) limits(c *Container) {
	c.PidsLimit = defaultPids
	c.Memory = int64(r.App.Resources.MemoryLimit)
	if r.App.Ext("sizing") == "bitcoin" {
		c.Memory = r.Bitcoin.MemoryBytes
		if r.Bitcoin.DBCacheMiB > 0 {
			c.Command = append(c.Command, "-dbcache="+strconv.Itoa(r.Bitcoin.DBCacheMiB))
		}
	}
	if limit := memoryCap(r.Facts.MemTotal); limit > 0 {
		c.Memory = min(c.Memory, limit)
	}
	if r.App.Resources.CPULimit != nil {
		c.CPUs = *r.App.Resources.CPULimit
	}
	if r.App.Ext("cpu") == "heavy" && r.Facts.Cores > 0 {
		c.CPUs = float64(max(1, r.Facts.Cores-1))
	}
}

// memoryCap is 75 % of the machine's memory, rounded up to a whole GiB before, so that a new kernel that reports a few
// pages more or less does not change every container that the cap bites. 0 for unknown memory.
func memoryCap(total int64) int64 { return (total + gib - 1) / gib * gib / 4 * 3 }
