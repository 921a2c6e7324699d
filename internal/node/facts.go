package node

// Facts is what is true of the machine during one pass.
type Facts struct {
	// MemTotal and DataDisk are bytes: the machine's memory, the size of the file system of the bitcoin data at their usual place.
	MemTotal, DataDisk int64
	// DataFree is the free space of the data directory's file system, in bytes.
	DataFree int64
	// FewInodes tells that it has fewer than InodesFull inodes left.
	FewInodes bool
	Cores     int
	// HostIP is the address of the route to the LAN ("" offline), HostMDNS the name <hostname>.local.
	HostIP, HostMDNS string
	TimeZone         string
	UID, GID         int
	SubUID, SubGID   SubRange
	Delegated        Controllers
	BootID           string
}

// SubRange is a range of subordinate ids (subuid(5)): container id N >= 1 is host id Start+N-1.
type SubRange struct{ Start, Count int }

// Controllers are the cgroup v2 controllers that the user manager may use.
type Controllers struct{ CPU, Memory, Pids bool }

// Missing are the names of those that it may not use.
func (c Controllers) Missing() (names []string) {
	for _, one := range []struct {
		name string
		ok   bool
	}{{"memory", c.Memory}, {"cpu", c.CPU}, {"pids", c.Pids}} {
		if !one.ok {
			names = append(names, one.name)
		}
	}
	return names
}
