package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

func config(_ context.Context, n *Node) []Finding {
	if n.ConfigErr == nil {
		return nil
	}
	return []Finding{failure(node.ConfigPath, "%v; the defaults are looked at instead", n.ConfigErr).by("sudoedit %s", node.ConfigPath)}
}

func user(_ context.Context, n *Node) []Finding {
	if n.UserErr != nil {
		return []Finding{failure(n.User.Name, "%v", n.UserErr).by("sudo useradd --create-home --uid 1000 --shell /bin/bash %s", n.User.Name)}
	}
	if info, err := os.Stat(n.Layout.Host(n.User.Home)); err != nil || !info.IsDir() {
		return []Finding{failure(n.User.Home, "the home of %s is not there", n.User.Name).by("sudo mkhomedir_helper %s", n.User.Name)}
	}
	return nil
}

// volume, incident 17: whatever is written below a bare mount point is lost to sight.
func volume(_ context.Context, n *Node) []Finding {
	if err := node.CheckVolume(n.Layout); err != nil {
		f := failure(n.Layout.DataDir, "%v; nothing is written there, and the apps stay as they are", err)
		var fault *node.VolumeError
		if errors.As(err, &fault) && fault.ReadOnly {
			return []Finding{f.by("%s", fault.Hint()).human()}
		}
		return []Finding{f.by("sudo mount %s; cat %s %s", n.Layout.DataDir, node.VolumeIDPath, n.Layout.VolumeMark()).human()}
	}
	if !n.exists(node.VolumeIDPath) {
		return []Finding{info(node.VolumeIDPath, "the data volume has no name yet: this machine had no first boot").by("sudo archy first-boot")}
	}
	return nil
}

// Free space below which the node behaves differently, in bytes.
func space(_ context.Context, n *Node) []Finding {
	var st unix.Statfs_t
	dir := nearest(n.Layout.Host(n.Layout.DataDir))
	if err := unix.Statfs(dir, &st); err != nil {
		return []Finding{failure(n.Layout.DataDir, "free space: %v", err).by("sudo dmesg | tail")}
	}
	free := int64(st.Bavail) * st.Frsize
	list := spaceFindings(n.Layout.DataDir, free)
	switch {
	case free < node.SpaceFull:
	case st.Files > 0 && st.Ffree < node.InodesFull:
		list = append(list, failure(n.Layout.DataDir, "full: %d of %d inodes are left; nothing can be written, the apps are left as they are", st.Ffree, st.Files).by("archy prune").human())
	case st.Files > 0 && st.Ffree*100 < st.Files*2:
		list = append(list, failure(n.Layout.DataDir, "%d of %d inodes are left: no file can be made soon", st.Ffree, st.Files).by("archy prune"))
	}
	if n.firstBootDone() && !n.exists(state.Reserve(n.Layout)) {
		list = append(list, warning(state.Reserve(n.Layout), "the space that is set aside for a full disk is gone: the disk was full").by(again))
	}
	return list
}

func spaceFindings(dir string, free int64) []Finding {
	switch {
	case free < node.SpaceFull:
		return []Finding{failure(dir, "full: %s free; nothing can be written, the apps are left as they are", size(free)).
			by("archy prune; sudo journalctl --vacuum-size=100M").human()}
	case free < node.SpaceNeeded:
		return []Finding{failure(dir, "%s free: no image is fetched, built or upgraded below 2 GiB", size(free)).by("archy prune")}
	case free < node.SpaceAdvised:
		return []Finding{warning(dir, "%s free, 10 GiB are advised", size(free)).by("archy prune")}
	}
	return nil
}

func size(bytes int64) string {
	if bytes < 1<<30 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
}

// nearest is a path, or the nearest directory above it that is there.
func nearest(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == "/" || path == "." {
			return path
		}
		path = filepath.Dir(path)
	}
}

// Memory that is too little: of the machine in bytes, available in percent, and the share of time in which every program
// waits for memory (proc_pressure, "full avg300").
const (
	memoryAdvised  = 4 << 30
	availablePart  = 5
	pressureLittle = 10.0
)

func memory(_ context.Context, n *Node) []Finding {
	info := meminfo(n.text("/proc/meminfo"))
	total, available := info["MemTotal"], info["MemAvailable"]
	if total == 0 {
		return []Finding{warning("/proc/meminfo", "it does not say how much memory there is")}
	}
	var list []Finding
	// What a machine of 4 GiB has is a little less: the kernel keeps some.
	if total < memoryAdvised*9/10 {
		list = append(list, warning("", "the machine has %s of memory, 4 GiB are advised", size(total)))
	}
	if available > 0 && available*100 < total*availablePart {
		list = append(list, warning("", "%s of %s memory are available", size(available), size(total)).by("archy status; systemctl --user status; then stop what is not needed: archy stop APP"))
	}
	if p := pressure(n.text("/proc/pressure/memory")); p > pressureLittle {
		list = append(list, warning("", "all programs waited for memory %.0f %% of the last five minutes", p).by("archy stop APP, for one that is not needed"))
	}
	return list
}

// meminfo reads proc_meminfo(5), in bytes.
func meminfo(text string) map[string]int64 {
	out := map[string]int64{}
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, ":")
		if kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64); err == nil {
			out[name] = kib << 10
		}
	}
	return out
}

func pressure(text string) float64 {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "full ") {
			continue
		}
		for _, word := range strings.Fields(line) {
			if value, ok := strings.CutPrefix(word, "avg300="); ok {
				p, _ := strconv.ParseFloat(value, 64)
				return p
			}
		}
	}
	return 0
}

// future is how far ahead a time on the disk may be before the clock is said to have jumped back.
const future = 5 * time.Minute

func clock(ctx context.Context, n *Node) []Finding {
	const mend = "timedatectl; sudo systemctl restart systemd-timesyncd"
	now := n.Now()
	var list []Finding
	if now.Year() < 2025 {
		list = append(list, failure("", "the clock says %s: certificates are not valid yet and no image can be fetched", now.UTC().Format("2006-01-02")).by(mend))
	}
	if name, at := n.newest(); at.After(now.Add(future)) {
		list = append(list, warning(name, "it was written %s, and the clock says %s: the clock jumped back", stamp(at), stamp(now)).by(mend))
	}
	text, err := n.run(ctx, "timedatectl", "show", "-p", "NTP", "-p", "NTPSynchronized")
	switch {
	case errors.Is(err, errElsewhere):
	case err != nil:
		list = append(list, warning("", "whether the clock is synchronised cannot be asked: %v", err).by("timedatectl"))
	case !strings.Contains(text, "NTPSynchronized=yes") && strings.Contains(text, "NTP=yes"):
		list = append(list, warning("", "the clock is not synchronised yet").by(mend))
	case !strings.Contains(text, "NTPSynchronized=yes"):
		list = append(list, warning("", "nothing synchronises the clock").by("sudo apt install systemd-timesyncd; sudo timedatectl set-ntp true"))
	}
	return list
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// newest is the file of archy's that was written last, by the time that it bears.
func (n *Node) newest() (name string, at time.Time) {
	paths := []string{n.Layout.FirstBootDone()}
	for _, dir := range []string{n.Layout.State(), n.Layout.State("apps"), n.Layout.State("restarts")} {
		entries, _ := os.ReadDir(n.Layout.Host(dir))
		for _, e := range entries {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	for _, p := range paths {
		if info, err := os.Lstat(n.Layout.Host(p)); err == nil && info.Mode().IsRegular() && info.ModTime().After(at) {
			name, at = p, info.ModTime()
		}
	}
	return name, at
}

// registry is the name that most images come from.
const registry = "registry-1.docker.io"

func dns(ctx context.Context, n *Node) []Finding {
	if n.Resolve == nil {
		return skip(elsewhere)
	}
	err := n.Resolve(ctx, registry)
	switch {
	case err == nil:
		return nil
	case n.Facts.HostIP == "":
		return []Finding{warning(registry, "names do not resolve, and there is no route to the outside: the node is offline").by("ip route; ip addr")}
	}
	return []Finding{warning(registry, "names do not resolve: %v", err).by("resolvectl status, or cat /etc/resolv.conf")}
}

// journalCap is what dist's configuration of the journal allows, with what one file more may take.
const journalCap = (500 + 128) << 20

func journal(ctx context.Context, n *Node) []Finding {
	list := reportOnly(part(ctx, n, firstboot.PartJournal, Warning, firstboot.JournalConf(firstboot.Owner{}).Path))
	var used int64
	_ = filepath.WalkDir(n.Layout.Host("/var/log/journal"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			used += info.Size()
		}
		return nil
	})
	if used > journalCap {
		list = append(list, warning("/var/log/journal", "it takes %s, its cap is 500 MiB", size(used)).by("sudo journalctl --vacuum-size=400M"))
	}
	return list
}

func reservedPorts(ctx context.Context, n *Node) []Finding {
	return reportOnly(part(ctx, n, firstboot.PartEphemeral, Warning, firstboot.SysctlConf(firstboot.Owner{}, nil).Path))
}

func directories(ctx context.Context, n *Node) []Finding {
	if !n.firstBootDone() {
		return skip("this machine had no first boot")
	}
	return reportOnly(part(ctx, n, firstboot.PartDirectories, Warning, ""))
}
