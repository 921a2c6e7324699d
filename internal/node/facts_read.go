package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ReadFacts reads what is true of the machine now. Files are opened below the layout's root; nothing is
// run and no packet leaves. The facts hold what could be read; the error joins what could not, each with
// its file. Only memory and disk are missed as errors: the rest has an empty value that means unknown.
func ReadFacts(l Layout, u User) (Facts, error) {
	f := Facts{
		Cores:     cores(l),
		HostIP:    routeAddress(),
		HostMDNS:  hostname(l) + ".local",
		TimeZone:  timeZone(l),
		UID:       u.UID,
		GID:       u.GID,
		SubUID:    subRange(l.Host("/etc/subuid"), u.Name, u.UID),
		SubGID:    subRange(l.Host("/etc/subgid"), u.Name, u.UID),
		Delegated: delegated(l, u.UID),
		BootID:    text(l.Host("/proc/sys/kernel/random/boot_id")),
	}
	var errMem, errFree, errDisk error
	f.MemTotal, errMem = memTotal(l)
	_, f.DataFree, errFree = diskSpace(l.Host(l.DataDir))
	f.FewInodes = FewInodes(l.Host(l.DataDir))
	f.DataDisk, _, errDisk = diskSpace(l.Host(l.Data("bitcoin")))
	return f, errors.Join(errMem, errFree, errDisk)
}

// text is the trimmed content of a small file, "" when it cannot be read.
func text(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// meminfo is where the machine's memory is read. The linker names another file in the archy of a test that plays a smaller
// machine: a mount over a file below /proc would keep rootless containers from starting.
var meminfo = "/proc/meminfo"

// memTotal is MemTotal of proc_meminfo(5), in bytes.
func memTotal(l Layout) (int64, error) {
	for line := range strings.Lines(text(l.Host(meminfo))) {
		rest, ok := strings.CutPrefix(line, "MemTotal:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		if err != nil {
			break
		}
		return kib << 10, nil
	}
	return 0, errors.New(meminfo + ": the machine's memory cannot be read from it")
}

// diskSpace is the size and the free space, for an ordinary user, of the file system that holds path or
// the nearest directory above it that exists.
func diskSpace(path string) (size, free int64, err error) {
	st, err := fileSystem(path)
	if err != nil {
		return 0, 0, err
	}
	return int64(st.Blocks) * st.Frsize, int64(st.Bavail) * st.Frsize, nil
}

// FewInodes tells that no file can be made soon. A file system that counts no inodes has enough.
func FewInodes(path string) bool {
	st, err := fileSystem(path)
	return err == nil && st.Files > 0 && st.Ffree < InodesFull
}

// fileSystem is the one that holds path or the nearest directory above it that exists.
func fileSystem(path string) (st unix.Statfs_t, err error) {
	for {
		err = statfs(path, &st)
		if !errors.Is(err, unix.ENOENT) || path == filepath.Dir(path) {
			break
		}
		path = filepath.Dir(path)
	}
	if err != nil {
		return st, fmt.Errorf("%s: free space: %w", path, err)
	}
	return st, nil
}

// FreeSpace is the free space of the file system that path lies on, in bytes, for the service user.
func FreeSpace(path string) (int64, error) {
	_, free, err := diskSpace(path)
	return free, err
}

// DiskSize is the size of the file system that path lies on, in bytes.
func DiskSize(path string) (int64, error) {
	size, _, err := diskSpace(path)
	return size, err
}

// cores counts the processors that are on line, not those that archy's own cgroup may use.
func cores(l Layout) int {
	n := 0
	for _, part := range strings.Split(text(l.Host("/sys/devices/system/cpu/online")), ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, err1 := strconv.Atoi(first)
		b, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || b < a {
			return runtime.NumCPU()
		}
		n += b - a + 1
	}
	return n
}

// routeAddress is the address from which the machine would speak to the outside, "" without a default
// route. Connecting a UDP socket asks the kernel's routing table and sends nothing; the destination is
// reserved for documentation (RFC 5737).
func routeAddress() string {
	conn, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		return ""
	}
	defer conn.Close()
	addr, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok || addr.IP.IsLoopback() || addr.IP.IsUnspecified() {
		return ""
	}
	return addr.IP.String()
}

// hostname is the first label of the machine's name, "archipelago" when it has none.
func hostname(l Layout) string {
	name := text(l.Host("/proc/sys/kernel/hostname"))
	if name == "" || name == "(none)" {
		name = text(l.Host("/etc/hostname"))
	}
	name, _, _ = strings.Cut(name, ".")
	if name == "" {
		return "archipelago"
	}
	return name
}

// timeZone is the name of the zone as in tzfile(5) directories, UTC when the machine does not say.
func timeZone(l Layout) string {
	if target, err := os.Readlink(l.Host("/etc/localtime")); err == nil {
		if _, zone, ok := strings.Cut(target, "zoneinfo/"); ok && zone != "" {
			return zone
		}
	}
	if zone := text(l.Host("/etc/timezone")); zone != "" {
		return zone
	}
	return "UTC"
}

// subRange is the user's first range in subuid(5) or subgid(5), found by name or by number.
func subRange(path, name string, uid int) SubRange {
	for _, f := range colonLines(path) {
		if len(f) != 3 || (f[0] != name && f[0] != strconv.Itoa(uid)) {
			continue
		}
		start, err1 := strconv.Atoi(f[1])
		count, err2 := strconv.Atoi(f[2])
		if err1 == nil && err2 == nil && start > 0 && count > 0 {
			return SubRange{Start: start, Count: count}
		}
	}
	return SubRange{}
}

// delegated reads which controllers the user manager has, see "Delegation" in systemd.resource-control(5).
func delegated(l Layout, uid int) Controllers {
	path := fmt.Sprintf("/sys/fs/cgroup/user.slice/user-%d.slice/user@%d.service/cgroup.controllers", uid, uid)
	var c Controllers
	for _, name := range strings.Fields(text(l.Host(path))) {
		switch name {
		case "cpu":
			c.CPU = true
		case "memory":
			c.Memory = true
		case "pids":
			c.Pids = true
		}
	}
	return c
}
