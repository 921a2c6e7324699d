package secrets

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/durable"
)

const (
	dirMode  fs.FileMode = 0o700
	fileMode fs.FileMode = 0o600

	// MaxSize is the largest secret file that is read, in bytes.
	MaxSize = 64 << 10

	backupMark = ".bak-"
	stampForm  = "20060102T150405Z"
	lockWait   = 30 * time.Second
)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// validName counts by itself: {0,199} in the expression costs each start of the program a millisecond.
func validName(name string) bool { return len(name) <= 200 && nameForm.MatchString(name) }

// Store is a directory of secret files, one value each, mode 0600, owned by UID and GID. A directory is opened anew
// for every call; nothing is cached.
type Store struct {
	Dir  string
	UID  int
	GID  int
	Rand io.Reader        // nil: crypto/rand
	Now  func() time.Time // nil: time.Now; names the backups

	write func(*os.File, []byte) error // nil: File.Write; tests make it fail
}

// Init makes the directory if it is absent. It makes no parents: a missing parent is an unmounted disk.
func (s *Store) Init() error {
	if err := os.Mkdir(s.Dir, dirMode); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return s.checkDirType()
		}
		return fmt.Errorf("making the secrets directory: %w", err)
	}
	if err := os.Chmod(s.Dir, dirMode); err != nil {
		return fmt.Errorf("setting the mode of the secrets directory: %w", err)
	}
	if err := os.Lchown(s.Dir, s.UID, s.GID); err != nil {
		return fmt.Errorf("setting the owner of the secrets directory: %w", err)
	}
	return durable.SyncDir(filepath.Dir(s.Dir))
}

// Path is where the secret of that name is kept.
func (s *Store) Path(name string) string { return filepath.Join(s.Dir, name) }

// Read returns a secret without leading and trailing CR and LF. Its error is a Finding: of code Missing or Empty (see
// IsMissing) when there is no value, else what makes the file untrustworthy.
func (s *Store) Read(name string) (Value, error) {
	if !validName(name) {
		return Value{}, s.finding(BadName, name, fmt.Sprintf("%q is not a secret's name", name),
			"use letters, digits, dot, dash and underscore")
	}
	raw, info, err := s.readRaw(name)
	if err != nil {
		return Value{}, err
	}
	// Another group is a finding of Check; another user could have written the text.
	if uid, _ := owner(info); uid != s.UID {
		f, _ := s.ownerFinding(name, info)
		return Value{}, f
	}
	text := strings.Trim(string(raw), "\r\n")
	if text == "" {
		return Value{}, s.finding(Empty, name, "is empty, which counts as missing", "archy secrets gen")
	}
	return New(text), nil
}

// readRaw opens without following a symlink and without blocking on a pipe.
func (s *Store) readRaw(name string) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(s.Path(name), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, s.openFinding(name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, s.openFinding(name, err)
	}
	if f, bad := s.typeFinding(name, info); bad {
		return nil, info, f
	}
	raw, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, info, s.openFinding(name, err)
	}
	if len(raw) > MaxSize {
		return nil, info, s.tooLarge(name, int64(len(raw)))
	}
	return raw, info, nil
}

func (s *Store) openFinding(name string, err error) Finding {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, dirErr := os.Lstat(s.Dir); errors.Is(dirErr, fs.ErrNotExist) {
			return s.dirMissing()
		}
		return s.missing(name)
	case errors.Is(err, syscall.ELOOP):
		return s.finding(Symlink, name, "is a symbolic link", "replace it by a regular file that holds the value")
	case errors.Is(err, syscall.ENXIO):
		return s.finding(NotRegular, name, "is not a regular file", "move it away, then archy secrets gen")
	case errors.Is(err, fs.ErrPermission):
		return s.finding(Unreadable, name, "permission denied", s.chownHint(name))
	default:
		return s.finding(Unreadable, name, "cannot be read: "+reason(err), "check the disk: dmesg")
	}
}

func (s *Store) typeFinding(name string, info fs.FileInfo) (Finding, bool) {
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		return s.openFinding(name, syscall.ELOOP), true
	case mode.IsDir():
		return s.finding(NotRegular, name, "is a directory", "move it away, then archy secrets gen"), true
	case !mode.IsRegular():
		return s.finding(NotRegular, name, "is not a regular file", "move it away, then archy secrets gen"), true
	case info.Size() > MaxSize:
		return s.tooLarge(name, info.Size()), true
	}
	return Finding{}, false
}

func (s *Store) ownerFinding(name string, info fs.FileInfo) (Finding, bool) {
	uid, gid := owner(info)
	if uid == s.UID && gid == s.GID {
		return Finding{}, false
	}
	return s.finding(Owner, name, fmt.Sprintf("belongs to %d:%d instead of %d:%d", uid, gid, s.UID, s.GID), s.chownHint(name)), true
}

func (s *Store) missing(name string) Finding {
	return s.finding(Missing, name, "is missing", "archy secrets gen")
}

func (s *Store) dirMissing() Finding {
	return Finding{DirMissing, "", s.Dir, "the secrets directory is missing", "check that the data disk is mounted, then archy secrets gen"}
}

func (s *Store) tooLarge(name string, size int64) Finding {
	return s.finding(TooLarge, name, fmt.Sprintf("is %d bytes or more; a secret has at most %d", size, MaxSize), "replace it by a file that holds only the value")
}

func (s *Store) finding(code Code, name, detail, repair string) Finding {
	return Finding{code, name, filepath.Join(s.Dir, filepath.Base(name)), detail, repair}
}

func (s *Store) chownHint(name string) string {
	return fmt.Sprintf("sudo chown %d:%d %s", s.UID, s.GID, s.Path(name))
}

func (s *Store) rand() io.Reader {
	if s.Rand != nil {
		return s.Rand
	}
	return rand.Reader
}

func (s *Store) now() time.Time {
	if s.Now != nil {
		return s.Now().UTC()
	}
	return time.Now().UTC()
}

func owner(info fs.FileInfo) (uid, gid int) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, -1
	}
	return int(st.Uid), int(st.Gid)
}

// reason is the innermost error's text: the path stands in the finding already.
func reason(err error) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}
