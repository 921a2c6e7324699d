// Package durable holds what every write that must outlive a power cut or a full disk ends with.
package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// SyncDir has the entries of a directory on the disk: a file that was made, renamed or removed there stays so (fsync(2)).
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Allocate makes a file of size bytes that really takes its space.
func Allocate(f *os.File, size int64) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	block := make([]byte, 1<<20)
	for range size >> 20 {
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return nil
}
