package firstboot

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// commentPrefix marks archy's rules; a rule without it is never touched.
const commentPrefix = "archy:"

// Rule lets somebody in: From is a range, "" for everybody.
type Rule struct {
	Proto   string
	From    string
	Port    int
	Comment string
}

// args are the rule in ufw's words, without allow.
func (r Rule) args() []string {
	args := []string{"in", "proto", r.Proto}
	if r.From != "" {
		args = append(args, "from", r.From)
	}
	return append(args, "to", "any", "port", strconv.Itoa(r.Port))
}

// same tells that two rules are about the same packets.
func (r Rule) same(o Rule) bool { return r.Proto == o.Proto && r.From == o.From && r.Port == o.Port }

// AppRules are the firewall's rules of an app: open ports for everybody, the others, and those that it kept of an older container, for private
// ranges. Ports that only the node itself reaches have none.
func AppRules(app *manifest.App, record state.Record) (rules []Rule) {
	add := func(port int, protocol, bind, auth string) {
		r := Rule{Proto: protocol, Port: port, Comment: commentPrefix + app.ID}
		switch {
		case closedPorts[port] || Loopback(bind):
		case auth == "open":
			rules = append(rules, r)
		default:
			for _, from := range privateRanges {
				r.From = from
				rules = append(rules, r)
			}
		}
	}
	for _, p := range app.Ports {
		add(p.Host, p.Protocol, p.Bind, p.Auth)
	}
	for _, p := range record.Pinned.ExtraPorts {
		add(p.Host, p.Protocol, p.HostIP, "gated")
	}
	return rules
}

// Loopback tells that only the node itself reaches what is bound to an address.
func Loopback(bind string) bool { return strings.HasPrefix(bind, "127.") || bind == "::1" }

// found is a rule that ufw has: with other actions than allow, and with conditions that archy does not use, too.
type found struct {
	Rule
	action string
	other  bool // it has conditions beyond those of Rule
}

func (f found) ours() bool { return strings.HasPrefix(f.Comment, commentPrefix) }

// readRules asks ufw for its rules as they were added, which it tells also while it is inactive.
func (h *Host) readRules(ctx context.Context) ([]found, error) {
	text, err := h.run(ctx, "ufw", "show", "added")
	if err != nil {
		return nil, err
	}
	var rules []found
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "ufw "); ok {
			rules = append(rules, parseRule(rest))
		}
	}
	return rules, nil
}

// parseRule reads one rule: allow 5353/udp comment 'x', or allow from 10.0.0.0/8 to any port 8080 proto tcp comment 'x'.
func parseRule(text string) found {
	var f found
	if head, comment, ok := strings.Cut(text, " comment "); ok {
		text, f.Comment = head, strings.Trim(strings.TrimSpace(comment), "'")
	}
	words := strings.Fields(text)
	if len(words) == 0 {
		return f
	}
	f.action = words[0]
	for i := 1; i < len(words); i++ {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch word := words[i]; {
		case word == "in":
		case word == "from" || word == "to" || word == "port" || word == "proto":
			f.condition(word, next)
			i++
		case !f.short(word):
			f.other = true
		}
	}
	return f
}

func (f *found) condition(word, value string) {
	switch {
	case value == "any":
	case word == "from":
		f.From = value
	case word == "proto":
		f.Proto = value
	case word == "port" && f.Port == 0:
		if f.Port, _ = strconv.Atoi(value); f.Port == 0 {
			f.other = true
		}
	default:
		f.other = true
	}
}

// short reads 22, or 22/tcp.
func (f *found) short(word string) bool {
	port, proto, _ := strings.Cut(word, "/")
	n, err := strconv.Atoi(port)
	f.Port, f.Proto = n, proto
	return err == nil
}

// lets tells whether a rule lets everybody reach a TCP port.
func (f found) lets(port int) bool {
	return (f.action == "allow" || f.action == "limit") && !f.other && f.From == "" && f.Port == port && f.Proto != "udp"
}

// opens tells whether a rule lets anybody at all reach a port. One without a port that archy can read, a range or an application's, may be meant for it.
func (f found) opens(port int, protocol string) bool {
	return (f.action == "allow" || f.action == "limit") && (f.Port == port || f.Port == 0) && (f.Proto == protocol || f.Proto == "")
}

// sshPorts are the ports that the SSH server listens on, its socket unit's included.
func (h *Host) sshPorts(ctx context.Context) (ports []int, err error) {
	text, err := h.run(ctx, "ss", "-Hltnp")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 3 && strings.Contains(line, `("sshd"`) {
			ports = append(ports, portOf(f[3]))
		}
	}
	if _, err := h.run(ctx, "systemctl", "is-active", "--quiet", "ssh.socket"); err == nil {
		text, err := h.run(ctx, "systemctl", "show", "-P", "Listen", "ssh.socket")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(text) {
			if f := strings.Fields(line); len(f) > 1 && f[1] == "(Stream)" {
				ports = append(ports, portOf(f[0]))
			}
		}
	}
	slices.Sort(ports)
	return slices.DeleteFunc(slices.Compact(ports), func(p int) bool { return p == 0 }), nil
}

func portOf(address string) int {
	port, _ := strconv.Atoi(address[strings.LastIndex(address, ":")+1:])
	return port
}
