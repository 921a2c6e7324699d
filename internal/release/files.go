package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"

	"git.tx1138.com/lfg2025/archy/internal/durable"
)

// writeNew writes a file that is not there yet, whole and durable.
func writeNew(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if err := finishFile(f, data, mode); err != nil {
		_ = os.Remove(path)
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

func finishFile(f *os.File, data []byte, mode fs.FileMode) error {
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return seal(f, mode)
}

// seal gives a file its mode, whatever the umask, and has it on the disk before it is closed.
func seal(f *os.File, mode fs.FileMode) error {
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// replace writes a file as a whole or not at all.
func replace(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	if err := renameio.WriteFile(path, data, mode, renameio.WithTempDir(dir), renameio.WithStaticPermissions(mode)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return durable.SyncDir(dir)
}

// openRegular opens a file for reading. A named pipe or a device is refused and does not make anybody wait.
func openRegular(path string) (*os.File, int64, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}
