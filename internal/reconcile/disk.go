package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/derived"
	"git.tx1138.com/lfg2025/archy/internal/durable"
	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
)

// Mapped does what only podman's user namespace may do. Chown takes ids inside that namespace.
type Mapped interface {
	MappedReader
	Chown(ctx context.Context, path string, uid, gid int) error
	WriteFile(ctx context.Context, path string, mode fs.FileMode, content []byte) error
	Rename(ctx context.Context, path, dest string) error
}

// NodeDisk is the Disk of a node.
type NodeDisk struct {
	Layout   node.Layout
	Facts    node.Facts
	Mapped   Mapped
	Runner   command.Runner
	Contexts func(app *manifest.App) (fs.FS, error)
	Now      func() time.Time
}

// MakeDir makes one directory, or gives an existing one that may be changed to its app: the top directory alone, never
// what is in it.
func (d NodeDisk) MakeDir(ctx context.Context, dir, owner string, mode fs.FileMode) error {
	host := d.Layout.Host(dir)
	if err := mkdirAll(filepath.Dir(host), 0o755); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	err := mkdir(host, mode)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if err == nil {
		if err := durable.SyncDir(filepath.Dir(host)); err != nil {
			return err
		}
	}
	return d.chown(ctx, host, owner)
}

// mkdirAll makes a directory with those above it that are missing.
func mkdirAll(dir string, mode fs.FileMode) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := mkdirAll(filepath.Dir(dir), mode); err != nil {
		return err
	}
	if err := mkdir(dir, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// mkdir makes a directory with that mode, whatever the umask: under systemd it is 077.
func mkdir(dir string, mode fs.FileMode) error {
	if err := os.Mkdir(dir, mode); err != nil {
		return err
	}
	return os.Chmod(dir, mode)
}

func (d NodeDisk) chown(ctx context.Context, host, owner string) error {
	uid, gid, err := parseOwner(owner)
	if err != nil {
		return err
	}
	info, err := os.Stat(host)
	if err != nil {
		return err
	}
	haveUID, haveGID := ownerIDs(info)
	switch {
	case haveUID == uid && haveGID == gid:
		return nil
	case haveUID == 0 && os.Geteuid() != 0:
		// Only root may take a directory from root; this alone, and it is reported.
		_, err := d.Runner.Run(ctx, command.Cmd{Argv: []string{"sudo", "-n", "chown", "-h", "--", owner, host}, Limit: 10 * time.Second})
		return err
	case uid == d.Facts.UID && haveUID == d.Facts.UID:
		return nil
	}
	return d.Mapped.Chown(ctx, host, inside(uid, d.Facts.UID, d.Facts.SubUID), inside(gid, d.Facts.GID, d.Facts.SubGID))
}

// inside is the id in podman's user namespace of an id of the host: 0 is the service user's.
func inside(id, service int, sub node.SubRange) int {
	if id == service {
		return 0
	}
	return id - sub.Start + 1
}

func parseOwner(owner string) (uid, gid int, err error) {
	u, g, ok := strings.Cut(owner, ":")
	uid, err1 := strconv.Atoi(u)
	gid, err2 := strconv.Atoi(g)
	if !ok || err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("owner %q is not uid:gid", owner)
	}
	return uid, gid, nil
}

// WriteFile replaces a derived file; the old one is kept beside it when it was not archy's yet.
func (d NodeDisk) WriteFile(ctx context.Context, op Operation) error {
	host := d.Layout.Host(op.Path)
	if err := mkdirAll(filepath.Dir(host), 0o750); err != nil {
		return fmt.Errorf("%s: %w", op.Path, err)
	}
	if op.KeepOld {
		if err := d.keepOld(ctx, host); err != nil {
			return fmt.Errorf("%s: keeping the old file: %w", op.Path, err)
		}
	}
	err := replaceFile(host, op.Content, op.Mode)
	if errors.Is(err, fs.ErrPermission) {
		err = d.Mapped.WriteFile(ctx, host, op.Mode, op.Content)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", op.Path, err)
	}
	return nil
}

func (d NodeDisk) keepOld(ctx context.Context, host string) error {
	name := derived.SavedName(host, d.Now())
	old, err := readFile(ctx, d.Mapped, host)
	if err != nil {
		return err
	}
	err = replaceFile(name, old, 0o600)
	if errors.Is(err, fs.ErrPermission) {
		return d.Mapped.WriteFile(ctx, name, 0o600, old)
	}
	return err
}

// halfWritten is the name of a file that renameio was writing: a dot, the file's name, a random number.
var halfWritten = regexp.MustCompile(`^\..+\.(json|jsonl|prev|container|network)[0-9]+$`)

// halfWrittenFor is the age at which nobody can still be writing it.
const halfWrittenFor = time.Hour

// Sweep removes files that a killed run was writing. They were never part of anything; one that cannot be removed is
// left for the next pass.
func (d NodeDisk) Sweep() {
	for _, dir := range []string{d.Layout.UnitDir(), d.Layout.State(), d.Layout.State("apps"), d.Layout.State("restarts"), d.Layout.State("units"), d.Layout.State("history")} {
		entries, err := os.ReadDir(d.Layout.Host(dir))
		if err != nil {
			continue
		}
		for _, e := range entries {
			info, err := e.Info()
			if err == nil && info.Mode().IsRegular() && halfWritten.MatchString(e.Name()) && d.Now().Sub(info.ModTime()) > halfWrittenFor {
				_ = os.Remove(filepath.Join(d.Layout.Host(dir), e.Name()))
			}
		}
	}
}

// CopyInto copies a file of the host into a container: one of the app's data, else one of the release.
func (d NodeDisk) CopyInto(ctx context.Context, a *App, src, dest string) error {
	if !path.IsAbs(src) {
		shipped := path.Join(manifest.Install, src)
		if src = path.Join(a.DataDir(d.Layout.DataDir), src); !exists(ctx, d.Mapped, d.Layout.Host(src)) && exists(ctx, nil, d.Layout.Host(shipped)) {
			src = shipped
		}
	}
	_, err := d.Runner.Run(ctx, command.Cmd{Argv: []string{"podman", "cp", d.Layout.Host(src), a.Container + ":" + dest}, Limit: time.Minute})
	return err
}

// Context gives the build context of an app as a directory: the one on the node, else the one that archy carries, laid
// out for the time of the build.
func (d NodeDisk) Context(a *App) (string, func(), error) {
	onNode := d.Layout.Host(a.Spec.Build.Context)
	if _, err := os.Stat(onNode); err == nil {
		return onNode, func() {}, nil
	}
	carried, err := d.Contexts(a.Manifest)
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "archy-build-")
	if err != nil {
		return "", nil, err
	}
	done := func() { _ = os.RemoveAll(dir) }
	if err := os.CopyFS(dir, carried); err != nil {
		done()
		return "", nil, err
	}
	return dir, done, nil
}

// replaceFile writes atomically and durably, and keeps mode and owner of an existing file where it may.
func replaceFile(file string, content []byte, mode fs.FileMode) error {
	if info, err := os.Stat(file); err == nil {
		mode = info.Mode().Perm()
	}
	dir := filepath.Dir(file)
	f, err := renameio.NewPendingFile(file, renameio.WithTempDir(dir), renameio.WithStaticPermissions(mode))
	if err != nil {
		return err
	}
	defer func() { _ = f.Cleanup() }()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := failpoint.Write("replace "+file, f.CloseAtomicallyReplace); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}
