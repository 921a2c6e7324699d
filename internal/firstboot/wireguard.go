package firstboot

import (
	"context"
	"errors"
	"fmt"
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
	switch {
	case same:
		err = h.remove(p, wireGuardNew)
	case notActive != nil:
		_, err = h.fileChange(p, conf)
	default:
		p.add(func(ctx context.Context) error { return h.syncTunnel(ctx, conf) }, "give %s its new configuration and write %s", wireGuardName, conf.Path)
	}
	if notActive != nil || notEnabled != nil {
		p.add(func(ctx context.Context) error {
			_, err := h.run(ctx, "systemctl", "enable", "--now", wireGuardUnit)
			return err
		}, "start %s", wireGuardUnit)
	}
	return err
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

// syncTunnel gives the interface a configuration, and writes it when it was taken. It goes through a pipe: it holds the key.
func (h *Host) syncTunnel(ctx context.Context, conf File) error {
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
	return h.writeFile(conf)
}
