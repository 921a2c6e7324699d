package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/durable"
	"git.tx1138.com/lfg2025/archy/internal/failpoint"
)

const (
	tempPrefix   = ".archy-tmp-"
	stagedPrefix = ".archy-rotate-"
)

// locked runs do while this process alone may write in the directory, and removes what a killed writer left. The lock
// is on the directory itself, so it leaves no file.
func (s *Store) locked(do func() error) error {
	if err := s.checkDirType(); err != nil {
		return err
	}
	dir, err := os.Open(s.Dir)
	if err != nil {
		return fmt.Errorf("opening the secrets directory: %w", err)
	}
	defer dir.Close()
	if err := lockDir(dir); err != nil {
		return fmt.Errorf("%s: %w", s.Dir, err)
	}
	if err := s.removeTemps(); err != nil {
		return err
	}
	return do()
}

func lockDir(dir *os.File) error {
	deadline := time.Now().Add(lockWait)
	for {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("locking: %w", err)
		case time.Now().After(deadline):
			return fmt.Errorf("another archy has been writing secrets for %s (hint: try again, or look for it with ps)", lockWait)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *Store) removeTemps() error {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return fmt.Errorf("reading the secrets directory: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			if err := os.Remove(s.Path(e.Name())); err != nil {
				return fmt.Errorf("removing a half-written secret: %w", err)
			}
		}
	}
	return nil
}

// create writes a file that must not exist yet. A run that is killed, or another writer that was faster, can never
// cost an existing secret: the name appears at once, complete, and only where there was none (fs.ErrExist otherwise).
func (s *Store) create(name string, v Value) error {
	return s.place(name, v, func(temp, target string) error {
		err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, target, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
			return os.Link(temp, target) // file systems without the flag; place removes the other name
		}
		return err
	})
}

// replace writes a file over what is there, or leaves what is there intact.
func (s *Store) replace(name string, v Value) error { return s.place(name, v, os.Rename) }

func (s *Store) place(name string, v Value, put func(temp, target string) error) error {
	temp, err := s.writeTemp(v)
	if err != nil {
		return fmt.Errorf("writing %s: %w", s.Path(name), err)
	}
	err = failpoint.Write("place "+s.Path(name), func() error { return put(temp, s.Path(name)) })
	if rmErr := os.Remove(temp); err == nil && rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
		err = rmErr
	}
	if err != nil {
		return fmt.Errorf("placing %s: %w", s.Path(name), err)
	}
	return durable.SyncDir(s.Dir)
}

func (s *Store) writeTemp(v Value) (path string, err error) {
	f, err := os.CreateTemp(s.Dir, tempPrefix)
	if err != nil {
		return "", err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if err := f.Chmod(fileMode); err != nil {
		return "", err
	}
	if err := f.Chown(s.UID, s.GID); err != nil {
		return "", err
	}
	if err := s.writeAll(f, []byte(v.Reveal())); err != nil {
		return "", err
	}
	return f.Name(), f.Sync()
}

func (s *Store) writeAll(f *os.File, b []byte) error {
	if s.write != nil {
		return s.write(f, b)
	}
	_, err := f.Write(b)
	return err
}

func (s *Store) checkDirType() error {
	info, err := os.Lstat(s.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.dirMissing()
	case err != nil:
		return fmt.Errorf("looking at the secrets directory: %w", err)
	case !info.IsDir():
		return Finding{DirNotDir, "", s.Dir, "is not a directory", "move it away, then archy secrets gen"}
	}
	return nil
}
