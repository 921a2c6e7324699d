package update

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/durable"
	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// NodeDisk is the disk below a node's root.
type NodeDisk struct{ Layout node.Layout }

// Write implements Disk. A full disk is met once by giving up the reserve file that first boot laid down for this.
func (d NodeDisk) Write(path string, data []byte) error {
	err := d.write(path, data)
	if state.NoRoom(err) && state.GiveUpReserve(d.Layout) {
		err = d.write(path, data)
	}
	return bare(path, err)
}

func (d NodeDisk) write(path string, data []byte) error {
	host := d.Layout.Host(path)
	uid, gid, mode := os.Geteuid(), os.Getegid(), fs.FileMode(0o644)
	if info, err := os.Lstat(host); err == nil && info.Mode().IsRegular() {
		st := info.Sys().(*syscall.Stat_t)
		uid, gid, mode = int(st.Uid), int(st.Gid), info.Mode().Perm()
	}
	f, err := renameio.NewPendingFile(host, renameio.WithTempDir(filepath.Dir(host)), renameio.WithStaticPermissions(mode))
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if err := f.Chown(uid, gid); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := failpoint.Write("replace "+path, f.CloseAtomicallyReplace); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(host))
}

// Rename implements Disk.
func (d NodeDisk) Rename(from, to string) error {
	a, b := d.Layout.Host(from), d.Layout.Host(to)
	err := failpoint.Write("rename "+from, func() error {
		return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_NOREPLACE)
	})
	// Not every file system knows the flag.
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		if _, there := os.Lstat(b); !errors.Is(there, fs.ErrNotExist) {
			return bare(to, fs.ErrExist)
		}
		err = failpoint.Write("rename "+from, func() error { return unix.Rename(a, b) })
	}
	if err != nil {
		return bare("rename "+from+" to "+filepath.Base(to), err)
	}
	return d.syncParents(from, to)
}

// Supersede implements Disk.
func (d NodeDisk) Supersede(from, to string) error {
	if err := failpoint.Write("rename "+from, func() error { return os.Rename(d.Layout.Host(from), d.Layout.Host(to)) }); err != nil {
		return bare("rename "+from+" to "+filepath.Base(to), err)
	}
	return d.syncParents(from, to)
}

func (d NodeDisk) syncParents(from, to string) error {
	err := durable.SyncDir(d.Layout.Host(filepath.Dir(to)))
	if filepath.Dir(from) != filepath.Dir(to) {
		err = errors.Join(err, durable.SyncDir(d.Layout.Host(filepath.Dir(from))))
	}
	return bare(filepath.Dir(to), err)
}

// Keep implements Disk.
func (d NodeDisk) Keep(from, to string) error {
	if failpoint.Write("keep "+from, func() error { return os.Link(d.Layout.Host(from), d.Layout.Host(to)) }) != nil {
		return d.Install(from, to)
	}
	return bare(filepath.Dir(to), durable.SyncDir(d.Layout.Host(filepath.Dir(to))))
}

// Install implements Disk. The name of the copy in the making is always the same, so that a power cut leaves one at most
// and the next run takes its place.
func (d NodeDisk) Install(from, to string) error {
	host := d.Layout.Host(to)
	temp := filepath.Join(filepath.Dir(host), "."+filepath.Base(host)+".archy-new")
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return bare(to, err)
	}
	if err := copyProgram(d.Layout.Host(from), temp); err != nil {
		_ = os.Remove(temp)
		return bare(to, err)
	}
	if err := failpoint.Write("install "+to, func() error { return os.Rename(temp, host) }); err != nil {
		return bare(to, err)
	}
	return bare(to, durable.SyncDir(filepath.Dir(host)))
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if err := out.Chmod(0o755); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return out.Close()
}

// Publish implements Disk. It follows no link, neither out of the directory nor within it.
func (d NodeDisk) Publish(dir string) error {
	root, err := os.OpenRoot(d.Layout.Host(dir))
	if err != nil {
		return bare(dir, err)
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() && !entry.Type().IsRegular() {
			return err
		}
		return publishOne(root, name)
	})
	return bare(dir, err)
}

// publishOne opens a file or directory up for others, and syncs it when that changed something.
func publishOne(root *os.Root, name string) error {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	want := info.Mode() | 0o004
	if info.IsDir() {
		want |= 0o001
	}
	if name == "." {
		want = fs.ModeDir | 0o755
		if err := f.Chown(os.Geteuid(), os.Getegid()); err != nil {
			return err
		}
	}
	if want == info.Mode() && name != "." {
		return nil
	}
	if err := f.Chmod(want); err != nil {
		return err
	}
	return f.Sync()
}

// Remove implements Disk.
func (d NodeDisk) Remove(path string) error {
	if err := failpoint.Write("remove "+path, func() error { return os.RemoveAll(d.Layout.Host(path)) }); err != nil {
		return bare(path, err)
	}
	return bare(filepath.Dir(path), durable.SyncDir(d.Layout.Host(filepath.Dir(path))))
}
