// Package durable holds the last step of every write that must outlive a power cut.
package durable

import "os"

// SyncDir has the entries of a directory on the disk: a file that was made, renamed or removed there stays so (fsync(2)).
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
