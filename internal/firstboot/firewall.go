package firstboot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// ufwActive is how the status of a firewall that is on begins.
const ufwActive = "Status: active"

// firewall keeps archy's rules in ufw: the node's own and those of the installed apps.
func (h *Host) firewall(ctx context.Context, p *Plan) error {
	if !h.anywhere("ufw", toolDirs...) {
		return errors.New("firewall not configured: ufw is not installed")
	}
	if err := h.planFirewall(ctx, p); err != nil {
		return fmt.Errorf("firewall not configured: %w", err)
	}
	return nil
}

func (h *Host) planFirewall(ctx context.Context, p *Plan) error {
	status, err := h.run(ctx, "ufw", "status")
	if err != nil {
		return err
	}
	active := strings.Contains(status, ufwActive)
	// Switched on but not loaded, as when it failed at this boot: ufw takes no rule until it is.
	unloaded := !active && h.firewallOn()
	switch {
	case unloaded:
		p.add(h.enableFirewall, "load the rules of ufw")
	case !active:
		h.defaults(p)
	}
	have, err := h.readRules(ctx)
	if err != nil {
		return err
	}
	h.rules(p, h.wantedRules(), have, func(string) bool { return true })
	switch {
	case active:
		return h.rulesInKernel(ctx, p)
	case !unloaded:
		p.add(h.enableFirewall, "enable ufw")
	}
	return nil
}

// ufwInit loads all rules of ufw. "ufw reload" does the same but writes in between that ufw is off: killed there, it would stay off.
const ufwInit = "/usr/lib/ufw/ufw-init"

// rulesInKernel plans that the kernel has the rules that ufw has. ufw writes a rule into its file before it tells the kernel, and answers from the file, so
// that nobody sees where it was killed in between. The rules are counted, because iptables writes them in other words than ufw: the kernel has one too few
// then, or one too many.
func (h *Host) rulesInKernel(ctx context.Context, p *Plan) error {
	for _, c := range []struct{ tool, file, chain string }{
		{"iptables", "/etc/ufw/user.rules", "ufw-user-input"}, {"ip6tables", "/etc/ufw/user6.rules", "ufw6-user-input"},
	} {
		if c.tool == "ip6tables" && !h.firewallIPv6() {
			continue
		}
		text, _, err := h.readFile(c.file)
		if err != nil {
			return err
		}
		loaded, err := h.run(ctx, c.tool, "-w", "10", "-S", c.chain)
		if err != nil {
			return err
		}
		rule := "\n-A " + c.chain + " "
		if want, have := strings.Count("\n"+string(text), rule), strings.Count("\n"+loaded, rule); want != have {
			p.add(h.reloadFirewall, "load the rules of ufw into the kernel, which has %d where %s has %d", have, c.file, want)
			return nil
		}
	}
	return nil
}

// ufwSetting is a line of /etc/default/ufw as ufw reads it: the last of its name, without quotes, in small letters.
func (h *Host) ufwSetting(name string) (value string, found bool) {
	conf, _ := os.ReadFile(h.Layout.Host("/etc/default/ufw"))
	for line := range strings.Lines(string(conf)) {
		if said, ok := strings.CutPrefix(line, name+"="); ok {
			value, found = strings.ToLower(strings.Trim(strings.TrimSpace(said), `"'`)), true
		}
	}
	return value, found
}

// firewallIPv6 tells that ufw has rules for IPv6 too: it is not told otherwise, and the kernel has it.
func (h *Host) firewallIPv6() bool {
	_, err := os.Stat(h.Layout.Host("/proc/sys/net/ipv6"))
	said, found := h.ufwSetting("IPV6")
	return err == nil && (said == "yes" || !found)
}

// Closed tells of a published port that ufw lets nobody reach, and that no rule which archy wants would open. A firewall that is off or lets in what
// no rule names closes nothing, and ports of the node's own apps are closed on purpose.
func (h *Host) Closed(ctx context.Context) (closed func(port int, protocol string) bool, err error) {
	status, err := h.run(ctx, "ufw", "status")
	if err != nil {
		return nil, err
	}
	if policy, _ := h.ufwSetting("DEFAULT_INPUT_POLICY"); policy == "accept" || !strings.Contains(status, ufwActive) {
		return func(int, string) bool { return false }, nil
	}
	rules, err := h.readRules(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range h.wantedRules() {
		rules = append(rules, found{Rule: w, action: "allow"})
	}
	return func(port int, protocol string) bool {
		return !closedPorts[port] && !slices.ContainsFunc(rules, func(f found) bool { return f.opens(port, protocol) })
	}, nil
}

// firewallOn tells that ufw is to run at each boot.
func (h *Host) firewallOn() bool {
	text, _ := os.ReadFile(h.Layout.Host("/etc/ufw/ufw.conf"))
	return slices.Contains(strings.Split(string(text), "\n"), "ENABLED=yes")
}

// defaults plans the policies of a firewall that is off; one that is on keeps its own.
func (h *Host) defaults(p *Plan) {
	for _, d := range []struct{ setting, is, policy, direction string }{
		{"DEFAULT_INPUT_POLICY", "drop", "deny", "incoming"}, {"DEFAULT_OUTPUT_POLICY", "accept", "allow", "outgoing"},
	} {
		if have, _ := h.ufwSetting(d.setting); have != d.is {
			p.add(h.ufw("default", d.policy, d.direction), "ufw default %s %s", d.policy, d.direction)
		}
	}
}

func (h *Host) ufw(args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := h.run(ctx, append([]string{"ufw"}, args...)...)
		return err
	}
}

// wantedRules are the rules of this node, each packet's once.
func (h *Host) wantedRules() (rules []Rule) {
	all := BaseRules(h.Config)
	records, _ := h.State.ReadRecords()
	for _, id := range h.installed() {
		all = append(all, AppRules(h.Set.Apps[id], records[id])...)
	}
	ipv6 := h.firewallIPv6()
	for _, r := range all {
		if (ipv6 || !strings.Contains(r.From, ":")) && !slices.ContainsFunc(rules, r.same) {
			rules = append(rules, r)
		}
	}
	return rules
}

// rules plans the difference in the rules whose comments are meant. A rule of the operator about the same packets stays and counts, whatever
// it says: ufw would put archy's in its place.
func (h *Host) rules(p *Plan, want []Rule, have []found, meant func(comment string) bool) {
	for _, w := range want {
		at := slices.IndexFunc(have, func(f found) bool { return !f.other && f.same(w) })
		if at >= 0 && (have[at].Comment == w.Comment || !have[at].ours()) {
			continue
		}
		if !meant(w.Comment) && (at < 0 || !meant(have[at].Comment)) {
			continue
		}
		p.add(h.ufw(append(append([]string{"allow"}, w.args()...), "comment", w.Comment)...), "ufw allow %s comment %s", strings.Join(w.args(), " "), w.Comment)
	}
	unread := h.unread()
	for _, f := range have {
		switch {
		case slices.Contains(unread, strings.TrimPrefix(f.Comment, commentPrefix)):
		case !f.ours() || !meant(f.Comment) || slices.ContainsFunc(want, f.same) && !f.other:
		case f.other || f.action != "allow":
			p.warn("a firewall rule with the comment %s is not one of archy's and was left", f.Comment)
		default:
			p.add(h.ufw(append([]string{"--force", "delete", "allow"}, f.args()...)...), "ufw delete allow %s (%s)", strings.Join(f.args(), " "), f.Comment)
		}
	}
}

// enableFirewall comes last, and never shuts out the one who works on the node.
func (h *Host) enableFirewall(ctx context.Context) error {
	if err := h.sshStaysOpen(ctx); err != nil {
		return fmt.Errorf("firewall not enabled: %w", err)
	}
	return h.ufw("--force", "enable")(ctx)
}

// reloadFirewall shuts nobody out either: what the kernel has beyond ufw's rules goes, and may be how somebody comes in.
func (h *Host) reloadFirewall(ctx context.Context) error {
	if err := h.sshStaysOpen(ctx); err != nil {
		return fmt.Errorf("the rules of ufw were not loaded: %w", err)
	}
	_, err := h.run(ctx, ufwInit, "force-reload")
	return err
}

// sshStaysOpen wants a rule of ufw for each port of the SSH server.
func (h *Host) sshStaysOpen(ctx context.Context) error {
	ports, err := h.sshPorts(ctx)
	if err != nil {
		return err
	}
	have, err := h.readRules(ctx)
	if err != nil {
		return err
	}
	for _, port := range ports {
		if !slices.ContainsFunc(have, func(f found) bool { return f.lets(port) }) {
			return fmt.Errorf("sshd listens on port %d and no rule allows it: ufw allow %s/tcp, then archy first-boot --again", port, strconv.Itoa(port))
		}
	}
	return nil
}
