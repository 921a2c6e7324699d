package firstboot

import (
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
)

// reservedPorts is the kernel's list of ports that no connection is given by itself, see ip_local_reserved_ports in ip-sysctl of the kernel.
const reservedPorts = "/proc/sys/net/ipv4/ip_local_reserved_ports"

// The range from which the kernel gives a connection its own port, unless it is told otherwise: ip_local_port_range in ip-sysctl.
const (
	ephemeralFirst = 32768
	ephemeralLast  = 60999
)

// EphemeralPorts are the ports of apps that the kernel could give to any connection, sorted.
func EphemeralPorts(set *manifest.Set) []int {
	var list []int
	for _, app := range set.Apps {
		for _, port := range app.Ports {
			if port.Host >= ephemeralFirst && port.Host <= ephemeralLast {
				list = append(list, port.Host)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// SysctlConf keeps the ports of apps free at each boot. Its name comes early: what the operator reserves in another file counts.
func SysctlConf(system Owner, ports []int) File {
	return File{"/etc/sysctl.d/10-archipelago.conf", 0o644, system, lines(
		"# Laid down by archy first-boot. A connection that happens to have the port of an app keeps the app from starting.",
		"net.ipv4.ip_local_reserved_ports = "+portList(ports))}
}

// portsWritten bounds what the kernel takes of a list in one write: a page, less its end (proc_do_large_bitmap).
const portsWritten = 4095

// readPorts gives the kernel's list, of which only the first read gets anything, and no more than it asks for.
func readPorts(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text := make([]byte, 1<<20)
	n, err := f.Read(text)
	if err != nil && err != io.EOF {
		return "", err
	}
	return strings.TrimSpace(string(text[:n])), nil
}

func portList(ports []int) string {
	words := make([]string, len(ports))
	for i, port := range ports {
		words[i] = strconv.Itoa(port)
	}
	return strings.Join(words, ",")
}

// ephemeral plans that no connection takes the port of an app. Where the kernel's list cannot be written, as in a container, apps take their chance.
func (h *Host) ephemeral(p *Plan) error {
	ports := EphemeralPorts(h.Set)
	if len(ports) == 0 {
		return nil
	}
	if _, err := h.fileChange(p, SysctlConf(h.System, ports)); err != nil {
		return err
	}
	name := h.Layout.Host(reservedPorts)
	have, err := readPorts(name)
	if err != nil {
		return nil // this kernel has no such list
	}
	lacks := func(port int) bool { return !listsPort(have, port) }
	if !slices.ContainsFunc(ports, lacks) {
		return nil
	}
	want := strings.TrimPrefix(have+","+portList(ports), ",")
	// Who only looks may not be allowed to write what root may.
	switch err := unix.Access(name, unix.W_OK); {
	case errors.Is(err, unix.EROFS), err != nil && os.Geteuid() == 0:
		p.warn("%s cannot be written here: a connection may take one of the ports %s", reservedPorts, portList(ports))
		return nil
	case len(want) >= portsWritten:
		p.warn("%s is too long to add to: a connection may take one of the ports %s; write it with ranges", reservedPorts, portList(ports))
		return nil
	}
	p.add(does(func() error {
		return failpoint.Write("write "+reservedPorts, func() error { return os.WriteFile(name, []byte(want+"\n"), 0o644) })
	}), "reserve the ports %s", portList(ports))
	return nil
}

// listsPort tells whether a list of ports and ranges, as the kernel writes it, has a port.
func listsPort(list string, port int) bool {
	for item := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(item, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err1 == nil && err2 == nil && from <= port && port <= to {
			return true
		}
	}
	return false
}
