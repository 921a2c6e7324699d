package release

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/durable"
	"git.tx1138.com/lfg2025/archy/internal/failpoint"
)

// Extract unpacks an archive into dir, which must not be there yet. The archive is checked as a whole before the first
// file is made; every file is read back from the disk and compared before dir appears under its name. With findings, or
// after an error, there is no dir.
func (r Rules) Extract(ctx context.Context, file, dir string) (Report, error) {
	f, size, err := openRegular(file)
	if err != nil {
		return Report{}, err
	}
	defer f.Close()
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return Report{File: file}, fmt.Errorf("%s is there already", dir)
	}
	first, err := r.Verify(ctx, f, size, file)
	if err != nil || !first.OK {
		return first, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return first, err
	}
	return first, r.extract(ctx, f, first, dir)
}

// extract reads the archive a second time. It must be the same one.
func (r Rules) extract(ctx context.Context, f *os.File, first Report, dir string) (err error) {
	temp := filepath.Join(filepath.Dir(filepath.Clean(dir)), "."+filepath.Base(dir)+".partial")
	if err := os.RemoveAll(temp); err != nil { // what a killed run left
		return err
	}
	if err := os.Mkdir(temp, 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	out, err := os.OpenRoot(temp)
	if err != nil {
		return err
	}
	defer out.Close()
	to := &extraction{root: out}
	defer to.close()
	r.sink = to
	second, err := r.Verify(ctx, f, first.Size, first.File)
	switch {
	case err != nil:
		return err
	case !second.OK || second.SHA256 != first.SHA256:
		return fmt.Errorf("%s changed while it was being read", first.File)
	}
	if err := to.finish(ctx); err != nil {
		return err
	}
	return land(temp, dir)
}

// land has everything on the disk and gives the directory its name, unless somebody else took that meanwhile.
func land(temp, dir string) error {
	d, err := os.Open(temp)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("%s: sync: %w", temp, err)
	}
	if err := failpoint.Write("place "+dir, func() error { return unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, dir, unix.RENAME_NOREPLACE) }); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return durable.SyncDir(filepath.Dir(filepath.Clean(dir)))
}

// extraction writes below a root that nothing in the archive can lead out of.
type extraction struct {
	root  *os.Root
	open  *os.File // what is being written
	files []extracted
	dirs  []extracted
}

// close ends a file that was not finished; one that was is closed already.
func (x *extraction) close() {
	if x.open != nil {
		_ = x.open.Close()
	}
}

// extracted is what was written, to be compared with what lies on the disk.
type extracted struct {
	path string
	mode fs.FileMode
	time time.Time
	size int64
	sum  [sha256.Size]byte
}

func (x *extraction) directory(path string, h *header) error {
	if path != root {
		if err := x.root.Mkdir(path, 0o700); err != nil {
			return err
		}
	}
	x.dirs = append(x.dirs, extracted{path: path, mode: fs.FileMode(h.mode & 0o777), time: time.Unix(h.mtime, 0)})
	return nil
}

func (x *extraction) symlink(path string, h *header) error { return x.root.Symlink(h.link, path) }

func (x *extraction) file(path string, h *header) (io.Writer, func() error, error) {
	f, err := x.root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, nil, err
	}
	x.open = f
	sum := sha256.New()
	done := func() error {
		x.files = append(x.files, extracted{path: path, mode: fs.FileMode(h.mode & 0o777), time: time.Unix(h.mtime, 0), size: h.size, sum: sumOf(sum)})
		return f.Close()
	}
	return io.MultiWriter(f, sum), done, nil
}

func sumOf(h hash.Hash) (sum [sha256.Size]byte) {
	h.Sum(sum[:0])
	return sum
}

// finish reads every file back, and gives modes and times; those of a directory come last, after all in it.
func (x *extraction) finish(ctx context.Context) error {
	for _, f := range x.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := x.compare(f); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		if err := x.settle(f); err != nil {
			return err
		}
	}
	for i := len(x.dirs) - 1; i >= 0; i-- {
		if err := x.settle(x.dirs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (x *extraction) compare(want extracted) error {
	f, err := x.root.Open(want.path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err == nil && (n != want.size || sumOf(sum) != want.sum) {
		err = errors.New("the disk holds something else than was written")
	}
	return err
}

func (x *extraction) settle(e extracted) error {
	if err := x.root.Chmod(e.path, e.mode); err != nil {
		return err
	}
	return x.root.Chtimes(e.path, e.time, e.time)
}
