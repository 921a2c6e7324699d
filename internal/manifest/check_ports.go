package manifest

import (
	"fmt"
	"net/netip"
	"strings"
)

// takenPorts are those that the node itself listens on.
var takenPorts = map[string]string{
	"22/tcp": "ssh", "80/tcp": "the node's web server", "443/tcp": "the node's web server", "5353/udp": "mDNS",
	"5678/tcp": "the node's backend", "9050/tcp": "tor", "51820/udp": "WireGuard",
}

func (c checker) ports() {
	for i := range c.app.Ports {
		p := &c.app.Ports[i]
		field := fmt.Sprintf("ports[%d]", i)
		c.portNumbers(field, p)
		c.portAddress(field, *p)
		for j, other := range c.app.Ports[:i] {
			if p.clashes(other) {
				c.errorf(field+".host", "remove one of the two", "%s is already in app.ports[%d]", p, j)
				break
			}
		}
	}
	if len(c.app.Ports) > 0 && c.app.Container.Network == NoNetwork {
		c.errorf("ports", "remove them", "a container without a network has no ports")
	}
}

// portNumbers compares the two sides: on the host's own network there is only one.
func (c checker) portNumbers(field string, p *Port) {
	host := c.app.Container.Network == HostNetwork
	switch {
	case c.bad(field, field+".host", field+".container"):
	case host && p.Container == 0:
		p.Container = p.Host
	case host && p.Container != p.Host:
		c.errorf(field+".container", "leave it out", "%d differs from host %d, but the network is host", p.Container, p.Host)
	case !host && p.Container == 0:
		c.errorf(field+".container", "name the port inside", "is missing")
	}
	if owner, taken := takenPorts[fmt.Sprintf("%d/%s", p.Host, p.Protocol)]; taken {
		c.warnf(field+".host", "choose another", "%s belongs to %s", p, owner)
	}
}

func (c checker) portAddress(field string, p Port) {
	if p.Bind != "" {
		if addr, err := netip.ParseAddr(p.Bind); err != nil || addr.Zone() != "" {
			c.errorf(field+".bind", "as in 127.0.0.1", "%s is not an IP address", quote(p.Bind))
		}
	}
	if p.Auth == "open" && strings.TrimSpace(p.AuthRationale) == "" && !c.bad(field+".auth_rationale") {
		c.errorf(field+".auth", "say in auth_rationale why strangers may reach it", "open needs a rationale")
	}
}

// String is the port as it is seen on the node: 8080/tcp, or 127.0.0.1:8080/tcp.
func (p Port) String() string {
	port := fmt.Sprintf("%d/%s", p.Host, p.Protocol)
	switch {
	case p.Bind == "":
		return port
	case strings.Contains(p.Bind, ":"):
		return "[" + p.Bind + "]:" + port
	}
	return p.Bind + ":" + port
}

// clashes tells whether two ports cannot be listened on at once. A wildcard takes the port of every address.
func (p Port) clashes(o Port) bool {
	if p.Host == 0 || p.Host != o.Host || p.Protocol != o.Protocol {
		return false
	}
	a, errA := netip.ParseAddr(p.Bind)
	b, errB := netip.ParseAddr(o.Bind)
	return errA != nil || errB != nil || a.IsUnspecified() || b.IsUnspecified() || a.Unmap() == b.Unmap()
}
