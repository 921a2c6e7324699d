package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/durable"
	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/quadlet"
)

// WriteUnit replaces a unit file. One that archy did not write is kept beside it, under a name that podman's generator does not read.
func (d NodeDisk) WriteUnit(container string, text []byte) (kept string, err error) {
	file := d.Layout.Unit(container)
	kept, err = d.keepForeign(file, func(have []byte) bool { _, ours := quadlet.App(have); return ours })
	if err != nil {
		return "", err
	}
	return kept, d.writeUnit(file, text)
}

// keepForeign gives a unit that archy did not write a second name, so that its own may be replaced. An empty file is nobody's.
func (d NodeDisk) keepForeign(file string, ours func(have []byte) bool) (kept string, err error) {
	have, err := os.ReadFile(d.Layout.Host(file))
	if err != nil || ours(have) || len(bytes.TrimSpace(have)) == 0 {
		return "", nil
	}
	kept = file + ".pre-archy-" + d.Now().UTC().Format("20060102T150405Z")
	if err := failpoint.Write("keep "+file, func() error { return os.Link(d.Layout.Host(file), d.Layout.Host(kept)) }); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("keeping somebody else's %s: %w", file, err)
	}
	return kept, nil
}

func (d NodeDisk) writeUnit(file string, text []byte) error {
	host := d.Layout.Host(file)
	if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := replaceFile(host, text, 0o644); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// RemoveUnit removes a unit file of archy's; an absent one is fine, one of somebody else's is refused.
func (d NodeDisk) RemoveUnit(container string) error {
	host := d.Layout.Host(d.Layout.Unit(container))
	text, err := os.ReadFile(host)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, ours := quadlet.App(text); !ours {
		return fmt.Errorf("%s was not written by archy and is left alone", d.Layout.Unit(container))
	}
	if err := failpoint.Write("remove "+host, func() error { return os.Remove(host) }); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(host))
}

// CheckUnits finds a unit, whoever wrote it, that would end podman's generator: the services of all apps would be gone
// after the next daemon-reload.
func (d NodeDisk) CheckUnits() error {
	files, err := filepath.Glob(filepath.Join(d.Layout.Host(d.Layout.UnitDir()), "*.container"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if _, err := quadlet.Convert(filepath.Base(file), text); errors.Is(err, quadlet.ErrCrash) {
			return fmt.Errorf("%s: %w; the daemon-reload was not done, move the file away first", file, err)
		}
	}
	return nil
}

// WriteNetworkUnit writes the .network unit of a bridge if it differs. Somebody else's is kept as in WriteUnit.
func (d NodeDisk) WriteNetworkUnit(n Network) error {
	text, err := quadlet.RenderNetwork(n.Name, n.Subnet, n.Gateway)
	if err != nil {
		return err
	}
	file := path.Join(d.Layout.UnitDir(), n.Name+".network")
	if have, err := os.ReadFile(d.Layout.Host(file)); err == nil && string(have) == string(text) {
		return nil
	}
	if _, err := d.keepForeign(file, func(have []byte) bool { return bytes.HasPrefix(have, []byte(quadlet.NetworkHeader)) }); err != nil {
		return err
	}
	return d.writeUnit(file, text)
}

// TryUnit lets the node's own generator read a unit, beside the networks that it may name, in a directory of its own. An
// error says why there would be no service after the next daemon-reload.
func (d NodeDisk) TryUnit(ctx context.Context, container string, text []byte) error {
	dir, err := os.MkdirTemp("", "archy-unit-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := d.copyNetworks(dir); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, container+".container"), text, 0o600); err != nil {
		return err
	}
	_, err = quadlet.DryRun(ctx, generator{d.Runner}, dir)
	return err
}

func (d NodeDisk) copyNetworks(dir string) error {
	files, err := filepath.Glob(filepath.Join(d.Layout.Host(d.Layout.UnitDir()), "*.network"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// generator runs podman's generator as a child with a limit.
type generator struct{ command.Runner }

func (g generator) Run(ctx context.Context, env []string, argv ...string) (stdout, stderr []byte, err error) {
	got, err := g.Runner.Run(ctx, command.Cmd{Argv: argv, Env: env, Limit: quadlet.DryRunLimit})
	return got.Stdout, got.Stderr, err
}
