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
			if uid, ok := held[listener{port.Protocol, port.Host}]; ok {
				p.warn("%s: port %d/%s is held by a process of uid %d; the app cannot start before it is free", id, port.Host, port.Protocol, uid)
			}
		}
	}
}

// listener is a port that somebody listens on.
type listener struct {
	protocol string
	port     int
}

// listening is the state of a socket that waits for whoever comes: TCP_LISTEN, and with UDP that of one without a peer, TCP_CLOSE.
var listening = map[string]string{"tcp": "0A", "udp": "07"}

// foreignPorts are those that processes of others than the service user listen on, with their uids, see proc_net_tcp(5).
func (h *Host) foreignPorts() map[listener]int {
	held := map[listener]int{}
	for protocol, state := range listening {
		for _, name := range []string{protocol, protocol + "6"} {
			text, _ := os.ReadFile(h.Layout.Host("/proc/net/" + name))
			for line := range strings.Lines(string(text)) {
				f := strings.Fields(line)
				if len(f) < 8 || f[3] != state {
					continue
				}
				_, text, _ := strings.Cut(f[1], ":")
				port, err1 := hex.DecodeString(text)
				uid, err2 := strconv.Atoi(f[7])
				if err1 == nil && err2 == nil && len(port) == 2 && uid != h.User.UID {
					held[listener{protocol, int(port[0])<<8 | int(port[1])}] = uid
				}
			}
		}
	}
	return held
}
