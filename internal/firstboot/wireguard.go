package firstboot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/command"
)

// Paths of the tunnel.
const (
	WireGuardKey   = "/etc/wireguard/wg-archy.key"
	WireGuardConf  = "/etc/wireguard/wg-archy.conf"
	wireGuardPeers = "/etc/wireguard/wg-archy.peers.d"
	wireGuardName  = "wg-archy"
	wireGuardUnit  = "wg-quick@wg-archy.service"
	// wireGuardNew is what the interface is given before it takes the place of WireGuardConf.
	wireGuardNew = "/etc/wireguard/wg-archy.new.conf"
)

// quoted is what wg repeats of a line that it cannot read: it may be a key.
var quoted = regexp.MustCompile("`[^']*'")

// wireguard keeps the key, the configuration and the interface of the tunnel. It is asked only where it is enabled.
func (h *Host) wireguard(ctx context.Context, p *Plan) error {
	if !h.anywhere("wg", toolDirs...) {
		return errors.New("wireguard-tools are not installed: apt install wireguard-tools")
	}
	if err := h.absentDir(p, Dir{"/etc/wireguard", 0o700, h.System}); err != nil {
		return err
	}
	key, found, err := h.readFile(WireGuardKey)
	if err != nil {
		return err
	}
	if !found || len(strings.TrimSpace(string(key))) == 0 {
		p.add(h.makeKey, "make the key %s", WireGuardKey)
		p.add(func(context.Context) error { return nil }, "write %s and start %s", WireGuardConf, wireGuardUnit)
		return nil // the configuration holds the key
	}
	if _, err := h.fileChange(p, File{WireGuardKey, 0o600, h.System, key}); err != nil {
		return err
	}
	conf, err := h.wireGuardConf(strings.TrimSpace(string(key)))
	if err != nil {
		return err
	}
	return h.tunnel(ctx, p, conf)
}

// tunnel plans that the interface is up, and has a changed configuration without losing its sessions. The file changes after the interface: as
// long as it differs, there is something to do, also after a run that was killed in between.
func (h *Host) tunnel(ctx context.Context, p *Plan, conf File) error {
	same, err := h.same(conf)
	if err != nil {
		return err
	}
	_, notActive := h.run(ctx, "systemctl", "is-active", "--quiet", wireGuardUnit)
	_, notEnabled := h.run(ctx, "systemctl", "is-enabled", "--quiet", wireGuardUnit)
	if same {
		err = h.remove(p, wireGuardNew)
	}
	switch {
	case notActive == nil:
		err = errors.Join(err, h.runningTunnel(ctx, p, conf, same))
	case !same:
		_, err = h.fileChange(p, conf)
	}
	if notActive != nil || notEnabled != nil {
		p.add(func(ctx context.Context) error {
			_, err := h.run(ctx, "systemctl", "enable", "--now", wireGuardUnit)
			return err
		}, "start %s", wireGuardUnit)
	}
	return err
}

// runningTunnel plans what the interface lacks of its configuration. Its addresses are asked for: wg knows of none, so one that was given by an
// archy that did not look, or by a killed run, is found here.
func (h *Host) runningTunnel(ctx context.Context, p *Plan, conf File, same bool) error {
	have, err := h.tunnelAddresses(ctx)
	if err != nil {
		return err
	}
	old, _, err := h.readFile(conf.Path)
	if err != nil {
		return err
	}
	want := addresses(conf.Text)
	add := slices.DeleteFunc(slices.Clone(want), func(a netip.Prefix) bool { return slices.Contains(have, a) })
	drop := slices.DeleteFunc(addresses(old), func(a netip.Prefix) bool { return slices.Contains(want, a) || !slices.Contains(have, a) })
	gets, loses := "", ""
	if len(add) > 0 {
		gets = " with the address " + joined(add)
	}
	if len(drop) > 0 {
		loses = ", take " + joined(drop) + " from it"
	}
	switch {
	case !same:
		p.add(func(ctx context.Context) error { return h.syncTunnel(ctx, conf, add, drop) }, "give %s its new configuration%s%s and write %s", wireGuardName, gets, loses, conf.Path)
	case len(add) > 0:
		p.add(func(ctx context.Context) error { return h.readdress(ctx, add, nil) }, "give %s the address %s", wireGuardName, joined(add))
	}
	return nil
}

// addresses are those that a configuration gives the interface: several in a line, and without a length those of one machine; see wg-quick(8).
func addresses(conf []byte) (list []netip.Prefix) {
	for line := range strings.Lines(string(conf)) {
		line, _, _ = strings.Cut(line, "#")
		key, values, _ := strings.Cut(line, "=")
		if !strings.EqualFold(strings.TrimSpace(key), "Address") {
			continue
		}
		for value := range strings.SplitSeq(values, ",") {
			value = strings.TrimSpace(value)
			if a, err := netip.ParsePrefix(value); err == nil {
				list = append(list, a)
			} else if a, err := netip.ParseAddr(value); err == nil {
				list = append(list, netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	return list
}

func joined(list []netip.Prefix) string {
	var words []string
	for _, a := range list {
		words = append(words, a.String())
	}
	return strings.Join(words, ", ")
}

// tunnelAddresses are the addresses that the interface has.
func (h *Host) tunnelAddresses(ctx context.Context) (list []netip.Prefix, err error) {
	text, err := h.run(ctx, "ip", "-j", "address", "show", "dev", wireGuardName)
	if err != nil {
		return nil, err
	}
	var links []struct {
		Addresses []struct {
			Local  netip.Addr `json:"local"`
			Length int        `json:"prefixlen"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(text), &links); err != nil {
		return nil, fmt.Errorf("ip address show dev %s: %w", wireGuardName, err)
	}
	for _, l := range links {
		for _, a := range l.Addresses {
			list = append(list, netip.PrefixFrom(a.Local, a.Length))
		}
	}
	return list, nil
}

// readdress gives the interface addresses, and then takes others from it, so that it is never without one. Only of two that differ in nothing but
// their length the old one goes first: IPv6 keeps no two of them.
func (h *Host) readdress(ctx context.Context, add, drop []netip.Prefix) error {
	var before, after []netip.Prefix
	for _, d := range drop {
		if slices.ContainsFunc(add, func(a netip.Prefix) bool { return a.Addr() == d.Addr() }) {
			before = append(before, d)
		} else {
			after = append(after, d)
		}
	}
	for _, step := range []struct {
		verb string
		list []netip.Prefix
	}{{"del", before}, {"replace", add}, {"del", after}} {
		for _, a := range step.list {
			if _, err := h.run(ctx, "ip", "address", step.verb, a.String(), "dev", wireGuardName); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *Host) makeKey(ctx context.Context) error {
	key, err := h.run(ctx, "wg", "genkey")
	if err != nil {
		return err
	}
	return h.writeFile(File{WireGuardKey, 0o600, h.System, []byte(key)})
}

// wireGuardConf renders the configuration; the operator's fragments follow in the order of their names.
func (h *Host) wireGuardConf(key string) (File, error) {
	w := h.Config.WireGuard
	text := fmt.Sprintf("# Written by archy; peers belong into %s/*.conf.\n[Interface]\nAddress = %s\nListenPort = %d\nPrivateKey = %s\n",
		wireGuardPeers, w.Address, w.Port, key)
	entries, err := os.ReadDir(h.Layout.Host(wireGuardPeers))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return File{}, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".conf") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fragment, _, err := h.readFile(filepath.Join(wireGuardPeers, name))
		if err != nil {
			return File{}, err
		}
		text += "\n# " + name + "\n" + strings.TrimRight(string(fragment), "\n") + "\n"
	}
	return File{WireGuardConf, 0o600, h.System, []byte(text)}, nil
}

// syncTunnel gives the interface a configuration and its addresses, which wg does not take, and writes it when it was taken: the former file says
// until then which addresses are to go. It goes through a pipe: it holds the key.
func (h *Host) syncTunnel(ctx context.Context, conf File, add, drop []netip.Prefix) error {
	try := conf
	try.Path = wireGuardNew
	if err := h.writeFile(try); err != nil {
		return err
	}
	defer os.Remove(h.Layout.Host(try.Path))
	stripped, err := h.run(ctx, "wg-quick", "strip", h.Layout.Host(try.Path))
	if err != nil {
		return err
	}
	_, err = h.Runner.Run(ctx, command.Cmd{Argv: []string{"wg", "syncconf", wireGuardName, "/dev/stdin"}, Stdin: strings.NewReader(stripped), Limit: limit})
	var exit *command.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("the tunnel keeps its old configuration: %w",
			&command.ExitError{Argv: exit.Argv, Code: exit.Code, Stderr: quoted.ReplaceAllString(exit.Stderr, "a line that is not shown")})
	}
	if err != nil {
		return err
	}
	if err := h.readdress(ctx, add, drop); err != nil {
		return err
	}
	return h.writeFile(conf)
}
