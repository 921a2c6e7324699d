package firstboot

import (
	"encoding/hex"
	"os"
	"strconv"
	"strings"
)

// ports warns of host ports that somebody else listens on: those apps fail when they are made, and the others go on.
func (h *Host) ports(p *Plan) {
	held := h.foreignPorts()
	for _, id := range h.Chosen {
		app, ok := h.Set.Apps[id]
		if !ok {
			continue
		}
		for _, port := range app.Ports {
			if uid, ok := held[port.Host]; ok && port.Protocol == "tcp" {
				p.warn("%s: port %d is held by a process of uid %d; the app cannot start before it is free", id, port.Host, uid)
			}
		}
	}
}

// foreignPorts are the listening TCP ports of processes that are not the service user's, see proc_net_tcp(5).
func (h *Host) foreignPorts() map[int]int {
	held := map[int]int{}
	for _, name := range []string{"tcp", "tcp6"} {
		text, _ := os.ReadFile(h.Layout.Host("/proc/net/" + name))
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 8 || f[3] != "0A" {
				continue
			}
			_, text, _ := strings.Cut(f[1], ":")
			port, err1 := hex.DecodeString(text)
			uid, err2 := strconv.Atoi(f[7])
			if err1 == nil && err2 == nil && len(port) == 2 && uid != h.User.UID {
				held[int(port[0])<<8|int(port[1])] = uid
			}
		}
	}
	return held
}
