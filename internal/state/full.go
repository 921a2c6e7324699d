package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/durable"
	"git.tx1138.com/lfg2025/archy/internal/node"
)

// ReserveSize is how many bytes first boot sets aside, to be given up when the disk is full.
const ReserveSize = 64 << 20

// Reserve is the file that holds them.
func Reserve(l node.Layout) string { return l.State(".reserve") }

// NoRoom tells that a write found no space, no inode, or a quota that is used up.
func NoRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// GiveUpReserve makes room for what must be written on a full disk, and notes it, so that it is set aside again. False: there was nothing to
// give up.
func GiveUpReserve(l node.Layout) bool {
	if !dropReserve(l) {
		return false
	}
	_, _ = New(l).DiskFull(time.Now(), false)
	return true
}

func dropReserve(l node.Layout) bool { return os.Remove(l.Host(Reserve(l))) == nil }

// fullDisk is state/disk-full.json: since when the data disk is full. Told: a write found no room on a disk that has space by its figures.
type fullDisk struct {
	Schema int       `json:"schema"`
	Since  time.Time `json:"since"`
	Told   bool      `json:"told,omitempty"`
}

func (s *Store) fullFile() string { return s.layout.State("disk-full.json") }

// DiskFull notes that the data disk was found full, by its figures (measured) or by a write alone, and gives up the reserve. The first time of
// several is told, and the first that it is measured.
func (s *Store) DiskFull(now time.Time, measured bool) (first bool, err error) {
	dropReserve(s.layout)
	since, told := s.DiskFullSince()
	switch {
	case since.IsZero():
		since = now
	case !told || !measured:
		return false, nil
	}
	return true, s.writeJSON(s.fullFile(), fullDisk{Schema: 1, Since: since.UTC(), Told: !measured})
}

// DiskFullSince is when the data disk was found full, zero when it was not, or has had room again since; told says that only a write did. A note
// that cannot be read still says that it was.
func (s *Store) DiskFullSince() (since time.Time, told bool) {
	var f fullDisk
	found, err := s.read(s.fullFile(), &f)
	if err != nil || found && f.Since.IsZero() {
		return time.Unix(1, 0), false
	}
	return f.Since, f.Told
}

// DiskRecovered sets the reserve aside again, and forgets that the disk was full.
func (s *Store) DiskRecovered() error {
	path := s.layout.Host(Reserve(s.layout))
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := s.setAside(path); err != nil {
			return err
		}
	}
	return s.remove(s.fullFile())
}

func (s *Store) setAside(path string) error {
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err = durable.Allocate(f, ReserveSize); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		_ = os.Remove(part)
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}
