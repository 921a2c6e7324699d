package firstboot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Paths and names of the system's Tor.
const (
	Torrc       = "/etc/tor/torrc"
	torDir      = "/var/lib/tor"
	torDefaults = "/usr/share/tor/tor-service-defaults-torrc"
	torUnit     = "tor@default.service"
	blockBegin  = "# BEGIN archy"
	blockEnd    = "# END archy"
)

// torWaits are the pauses before each look for the names that Tor makes.
var torWaits = []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute}

// tor keeps archy's block in the configuration of the system's Tor and copies the names of its services.
func (h *Host) tor(ctx context.Context, p *Plan) error {
	if !h.Config.Tor.Manage || h.otherTor() {
		return h.copyNames(p, h.foreignNames())
	}
	if !h.anywhere("tor", toolDirs...) {
		return errors.New("tor is not installed: apt install tor")
	}
	if err := h.torConfig(p); err != nil {
		return err
	}
	if err := h.torRuns(ctx, p); err != nil {
		return err
	}
	return h.torNames(p)
}

// otherTor tells that the node's own set-up of Tor is there: archy leaves the configuration to it.
func (h *Host) otherTor() bool {
	return slices.ContainsFunc([]string{"/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"}, func(dir string) bool {
		_, err := os.Stat(h.Layout.Host(filepath.Join(dir, "archipelago-setup-tor.service")))
		return err == nil
	})
}

// onions are the services of this node: those for every node, for its apps, and for those that are about to be made.
func (h *Host) onions() (list []Onion) {
	apps := slices.Concat(h.installed(), h.unread(), slices.DeleteFunc(slices.Clone(h.Chosen), h.Removed))
	for _, o := range Onions {
		if o.Apps == nil || slices.ContainsFunc(o.Apps, func(id string) bool { return slices.Contains(apps, id) }) {
			list = append(list, o)
		}
	}
	return list
}

// TorBlock is archy's part of torrc.
func TorBlock(onions []Onion) string {
	list := []string{blockBegin, "SocksPort 0.0.0.0:9050"}
	for _, from := range []string{"127.0.0.0/8", "10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} {
		list = append(list, "SocksPolicy accept "+from)
	}
	list = append(list, "SocksPolicy reject *")
	for _, o := range onions {
		list = append(list, "HiddenServiceDir "+onionDir(o.Name)+"/", "HiddenServiceVersion 3",
			fmt.Sprintf("HiddenServicePort %d %s", o.Port, o.Target))
	}
	return strings.Join(append(list, blockEnd), "\n") + "\n"
}

func onionDir(name string) string { return filepath.Join(torDir, "archy_"+name) }

// withBlock puts a block in the place of the one that a text has, or after it. The rest stays byte for byte.
func withBlock(text, block string) (string, error) {
	var before, after strings.Builder
	begins, ends := 0, 0
	for line := range strings.Lines(text) {
		switch word := strings.TrimSpace(line); {
		case word == blockBegin:
			begins++
		case word == blockEnd && begins == 1:
			ends++
		case begins == 0:
			before.WriteString(line)
		case ends == 1:
			after.WriteString(line)
		}
	}
	switch head := before.String(); {
	case begins != ends || begins > 1:
		return "", fmt.Errorf("the lines %q and %q do not come as one pair: mend them by hand", blockBegin, blockEnd)
	case begins == 0 && head != "" && !strings.HasSuffix(head, "\n"):
		return head + "\n" + block, nil
	default:
		return head + block + after.String(), nil
	}
}

func (h *Host) torConfig(p *Plan) error {
	old, found, err := h.readFile(Torrc)
	if err != nil {
		return err
	}
	text, err := withBlock(string(old), TorBlock(h.onions()))
	if err != nil {
		return fmt.Errorf("%s: %w", Torrc, err)
	}
	if found && bytes.Equal(old, []byte(text)) {
		return h.leftover(p, Torrc)
	}
	f := File{Torrc, 0o644, h.System, []byte(text)}
	if st, there, _ := h.stat(Torrc); there {
		f.Mode, f.Owner = fs.FileMode(st.Mode&0o777), Owner{int(st.Uid), int(st.Gid)}
	}
	p.add(func(ctx context.Context) error { return h.applyTor(ctx, f, old) }, "write archy's block into %s and let Tor read it", Torrc)
	return nil
}

// applyTor changes the configuration only when Tor accepts it, and puts the old one back when it does not run with it.
func (h *Host) applyTor(ctx context.Context, f File, old []byte) error {
	try := f
	try.Path = f.Path + ".archy-check"
	if err := h.writeFile(try); err != nil {
		return err
	}
	err := h.torAccepts(ctx, try.Path)
	_ = os.Remove(h.Layout.Host(try.Path))
	if err != nil {
		return err
	}
	if err := h.writeFile(f); err != nil {
		return err
	}
	if err := h.reloadTor(ctx); err != nil {
		f.Text = old
		return errors.Join(fmt.Errorf("tor does not run with archy's block, the old configuration was put back: %w", err),
			h.writeFile(f), h.reloadTor(ctx))
	}
	return nil
}

// torAccepts lets Tor check a configuration. Why it refuses one Tor says on its standard output.
func (h *Host) torAccepts(ctx context.Context, file string) error {
	out, err := h.run(ctx, "tor", "--defaults-torrc", torDefaults, "-f", h.Layout.Host(file), "--RunAsDaemon", "0", "--verify-config")
	if err == nil {
		return nil
	}
	for line := range strings.Lines(out) {
		if _, why, ok := strings.Cut(line, "[warn] "); ok {
			err = errors.New(strings.TrimSpace(why)) // the last says what it comes to
		}
	}
	return fmt.Errorf("tor refuses its configuration, which was left as it was: %w", err)
}

func (h *Host) reloadTor(ctx context.Context) error {
	if _, err := h.run(ctx, "systemctl", "reload-or-restart", torUnit); err != nil {
		return err
	}
	// What Tor cannot do with a new configuration ends it a moment after the reload.
	h.Pause(ctx, time.Second)
	_, err := h.run(ctx, "systemctl", "is-active", "--quiet", torUnit)
	return err
}

func (h *Host) torRuns(ctx context.Context, p *Plan) error {
	state, _ := h.run(ctx, "systemctl", "is-enabled", "tor.service")
	switch strings.TrimSpace(state) {
	case "masked":
		return errors.New("tor.service is masked: systemctl unmask tor, or tor.manage: false")
	case "disabled":
		p.add(func(ctx context.Context) error {
			_, err := h.run(ctx, "systemctl", "enable", "tor.service")
			return err
		}, "start Tor at each boot")
	}
	if _, err := h.run(ctx, "systemctl", "is-active", "--quiet", torUnit); err != nil {
		p.add(h.reloadTor, "start Tor")
		return nil
	}
	h.torReads(ctx, p)
	return nil
}

// torReads plans that a Tor that runs reads its configuration, where that was written after Tor last did: a run may have been killed in between. An
// owner may have written it as well, and Tor ends when it is told to read what it does not understand.
func (h *Host) torReads(ctx context.Context, p *Plan) {
	if read, ok := h.since(ctx, "StateChangeTimestamp", torUnit); ok && h.writtenSince(read, Torrc) {
		p.add(func(ctx context.Context) error {
			if err := h.torAccepts(ctx, Torrc); err != nil {
				return err
			}
			return h.reloadTor(ctx)
		}, "let Tor read %s", Torrc)
	}
}

// torNames plans to copy each service's name to where everybody may read it, and to wait for those that Tor makes yet.
func (h *Host) torNames(p *Plan) error {
	var absent []string
	names := map[string]string{}
	for _, o := range h.onions() {
		text, found, err := h.readFile(filepath.Join(onionDir(o.Name), "hostname"))
		switch {
		case err != nil:
			return err
		case !found || len(bytes.TrimSpace(text)) == 0:
			absent = append(absent, o.Name)
		default:
			names[o.Name] = string(text)
		}
	}
	if err := h.copyNames(p, names); err != nil {
		return err
	}
	if len(absent) > 0 {
		p.add(func(ctx context.Context) error { return h.awaitNames(ctx, absent) }, "wait for Tor to make the names of %s", strings.Join(absent, ", "))
	}
	return nil
}

func (h *Host) copyNames(p *Plan, names map[string]string) error {
	var errs []error
	for _, name := range sortedNames(names) {
		_, err := h.fileChange(p, File{filepath.Join(h.Layout.Data("tor-hostnames"), name), 0o644, h.service(), []byte(names[name])})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// awaitNames returns when all names are there; copying them is the next round's.
func (h *Host) awaitNames(ctx context.Context, names []string) error {
	missing := func() []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			text, _, _ := h.readFile(filepath.Join(onionDir(name), "hostname"))
			return len(bytes.TrimSpace(text)) > 0
		})
	}
	for _, wait := range torWaits {
		for range wait / time.Second {
			if len(missing()) == 0 {
				return nil
			}
			if !h.Pause(ctx, time.Second) {
				return ctx.Err()
			}
		}
	}
	if left := missing(); len(left) > 0 {
		return fmt.Errorf("no name from Tor yet for %s; they are copied later", strings.Join(left, ", "))
	}
	return nil
}

// foreignNames are the names of services that somebody else set up, by their directories.
func (h *Host) foreignNames() map[string]string {
	names := map[string]string{}
	entries, _ := os.ReadDir(h.Layout.Host(torDir))
	for _, e := range entries {
		text, found, err := h.readFile(filepath.Join(torDir, e.Name(), "hostname"))
		if err == nil && found {
			name := strings.TrimPrefix(strings.TrimPrefix(e.Name(), "archy_"), "hidden_service_")
			names[name] = string(text)
		}
	}
	return names
}

// lateNames copies the names that there are by now; the others are told, and wait for the doctor.
func (h *Host) lateNames(p *Plan) error {
	if !h.Config.Tor.Manage || h.otherTor() {
		return h.copyNames(p, h.foreignNames())
	}
	names := map[string]string{}
	for _, o := range h.onions() {
		if text, found, err := h.readFile(filepath.Join(onionDir(o.Name), "hostname")); err == nil && found {
			names[o.Name] = string(text)
		}
	}
	return h.copyNames(p, names)
}
