package doctor

import (
	"context"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

// networks: the bridges of the apps that run or shall, with their addresses.
func networks(ctx context.Context, n *Node) []Finding {
	return n.seen(ctx, func(w *reconcile.World, p reconcile.Plan) []Finding {
		have, err := n.Engine.Networks(ctx)
		if err != nil {
			return []Finding{failure("", "podman network ls: %v", err).by("podman network ls")}
		}
		list := planned(p, Error, reconcile.CreateNetwork)
		for _, want := range usedBridges(w) {
			at := slices.IndexFunc(have, func(b podman.Network) bool { return b.Name == want.Name })
			if at < 0 {
				if !slices.ContainsFunc(list, func(f Finding) bool { return f.Object == want.Name }) {
					list = append(list, failure(want.Name, "the bridge is not there, and apps use it").by("archy reconcile"))
				}
				continue
			}
			list = append(list, bridgeFindings(want, have[at], hostNetworks())...)
		}
		return list
	})
}

// usedBridges are the bridges of the apps that shall run, each once.
func usedBridges(w *reconcile.World) []reconcile.Network {
	byName := map[string]reconcile.Network{}
	for _, a := range w.Apps {
		if a.Network != nil && a.Want == reconcile.WantRunning {
			byName[a.Network.Name] = *a.Network
		}
	}
	var list []reconcile.Network
	for _, name := range sortedKeys(byName) {
		list = append(list, byName[name])
	}
	return list
}

func bridgeFindings(want reconcile.Network, have podman.Network, host []*net.IPNet) []Finding {
	var list []Finding
	if !have.DNS {
		list = append(list, failure(have.Name, "its containers do not find each other by name: name resolution is off").
			by("archy stop every app on it; podman network rm %s; archy reconcile; archy start them again", have.Name))
	}
	if want.Subnet != "" && have.Subnet != want.Subnet {
		list = append(list, info(have.Name, "its addresses are %s and not %s: that range was taken when it was made", have.Subnet, want.Subnet))
	}
	_, mine, err := net.ParseCIDR(have.Subnet)
	if err != nil {
		return append(list, failure(have.Name, "it has no addresses of its own (%q)", have.Subnet).by("podman network inspect %s", have.Name))
	}
	for _, other := range host {
		if other.Contains(mine.IP) || mine.Contains(other.IP) {
			list = append(list, warning(have.Name, "its addresses %s clash with the host's network %s: apps do not reach what is there", have.Subnet, other).
				by("give the host's network another range"))
		}
	}
	return list
}

// hostNetworks are the networks that the host is in, without its loopback.
func hostNetworks() (list []*net.IPNet) {
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && ip.IP.To4() != nil && !ip.IP.IsLinkLocalUnicast() {
			list = append(list, ip)
		}
	}
	return list
}

// hostGateway, incident 14: an address that was computed from the default route is the home router's. What the containers
// really have stands in the file that podman made for them.
func hostGateway(ctx context.Context, n *Node) []Finding {
	return n.seen(ctx, func(w *reconcile.World, _ reconcile.Plan) []Finding {
		router := defaultRouter(n.text("/proc/net/route"))
		var list []Finding
		looked := 0
		for _, a := range w.Apps {
			if !a.Running() || a.Network == nil {
				continue
			}
			address := hostAddress(n.hostsOf(a.C.ID))
			if address == "" {
				continue
			}
			looked++
			if f, bad := gatewayFinding(a.ID, address, router, hostAddresses()); bad {
				list = append(list, f)
			}
		}
		if looked == 0 {
			return skip("no app runs on a bridge")
		}
		return list
	})
}

func gatewayFinding(app, address, router string, own []string) (Finding, bool) {
	mend := "archy reconcile --force --container=" + app
	ip := net.ParseIP(address)
	switch {
	case address == router && router != "":
		return failure(app, "it takes %s for the host, and that is the router: what it dials there is not this node", address).by("%s", mend), true
	case ip != nil && ip.IsLinkLocalUnicast(), slices.Contains(own, address):
		return Finding{}, false
	}
	return warning(app, "it takes %s for the host, and the host does not have that address", address).by("%s", mend), true
}

func hostAddresses() (list []string) {
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok {
			list = append(list, ip.IP.String())
		}
	}
	return list
}

// hostsOf is the hosts file that podman made for a container.
func (n *Node) hostsOf(id string) string {
	return n.text(filepath.Join(n.Layout.RuntimeDir, "containers/overlay-containers", id, "userdata/hosts"))
}

// hostAddress is what a container's hosts file says of the host.
func hostAddress(hosts string) string {
	for line := range strings.Lines(hosts) {
		if f := strings.Fields(line); len(f) > 1 && slices.Contains(f[1:], "host.containers.internal") {
			return f[0]
		}
	}
	return ""
}

// defaultRouter is the router of the default route in a table of proc_net_route, "" without one.
func defaultRouter(table string) string {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 8 || f[1] != "00000000" || f[7] != "00000000" {
			continue
		}
		b, err := hex.DecodeString(f[2])
		if err == nil && len(b) == 4 {
			return net.IPv4(b[3], b[2], b[1], b[0]).String() // the kernel prints it in the machine's order
		}
	}
	return ""
}

// netnsStale: all bridges share one network namespace, which gets its routes when its first container starts. One that
// started before the host had a route has none for ever.
func netnsStale(ctx context.Context, n *Node) []Finding {
	const mend = "archy stop and archy start every app on a bridge, all together: archy status"
	dir := filepath.Join(n.Layout.RuntimeDir, "containers/networks/rootless-netns")
	if !n.exists(dir) {
		return skip("no app runs on a bridge")
	}
	member := n.dnsServer()
	if pid := n.text(filepath.Join(dir, "rootless-netns-conn.pid")); pid != "" && member != "" && !n.exists("/proc/"+pid) {
		return []Finding{warning("", "the process that connects the bridges with the world (pid %s) is gone: apps reach nothing outside", pid).by(mend)}
	}
	if member == "" {
		return skip("no app runs on a bridge")
	}
	inside, err := os.ReadFile(n.Layout.Host("/proc/" + member + "/net/route"))
	switch {
	case err != nil:
		return skip("the routes of the bridges cannot be read: %v", err)
	case hasDefault(n.text("/proc/net/route")) && !hasDefault(string(inside)):
		return []Finding{warning("", "the host has a default route and the network of the bridges has none: it began before the host had one, and apps reach nothing outside").by(mend)}
	}
	return nil
}

func hasDefault(table string) bool {
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) > 7 && f[1] == "00000000" && f[7] == "00000000" {
			return true
		}
	}
	return false
}

// dnsServer is the pid of the bridges' name server, which lives in their network.
func (n *Node) dnsServer() string {
	dirs, _ := os.ReadDir(n.Layout.Host("/proc"))
	for _, d := range dirs {
		if _, err := strconv.Atoi(d.Name()); err == nil && n.text("/proc/"+d.Name()+"/comm") == "aardvark-dns" {
			return d.Name()
		}
	}
	return ""
}

// waited is from how long on a wait for the network is worth a word.
const waited = 5 * time.Second

// bootWait: rootless units are ordered after a unit of podman's that waits for the system to be on line.
func bootWait(ctx context.Context, n *Node) []Finding {
	const unit = "podman-user-wait-network-online.service"
	text, err := n.run(ctx, "systemctl", "--user", "show", "-p", "InactiveExitTimestampMonotonic", "-p", "ActiveEnterTimestampMonotonic",
		"-p", "InactiveEnterTimestampMonotonic", "-p", "ActiveState", unit)
	if err != nil {
		return skip("the user's manager cannot be asked: %v", err)
	}
	props := properties(text)
	began, ended := micros(props["InactiveExitTimestampMonotonic"]), micros(props["ActiveEnterTimestampMonotonic"])
	if ended == 0 {
		ended = micros(props["InactiveEnterTimestampMonotonic"])
	}
	if d := ended - began; began > 0 && d >= waited {
		return []Finding{info(unit, "the apps waited %.0f s for the network at this boot", d.Seconds()).
			by("networkctl, or nmcli: see what the system waits for")}
	}
	return nil
}

func micros(text string) time.Duration {
	us, _ := strconv.ParseInt(text, 10, 64)
	return time.Duration(us) * time.Microsecond
}

// properties reads what systemctl show prints.
func properties(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			out[name] = value
		}
	}
	return out
}
