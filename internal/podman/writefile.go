package podman

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
)

// overflowID is what an owner outside of the user namespace looks like from inside.
const overflowID = 65534

// InternalWriteFileArgs are the arguments with which the archy program runs InternalWriteFile. The size tells the
// whole content from that of an archy that was killed while it wrote.
func InternalWriteFileArgs(path string, mode fs.FileMode, size int) []string {
	return []string{"internal", "write-file", "--path", path, "--mode", fmt.Sprintf("%04o", mode.Perm()), "--size", strconv.Itoa(size)}
}

// InternalWriteFile is the other half of CLI.WriteFile, which runs inside podman's user namespace. args are those
// after "internal write-file".
func InternalWriteFile(args []string, stdin io.Reader) error {
	if len(args) != 6 || args[0] != "--path" || args[2] != "--mode" || args[4] != "--size" {
		return errors.New("internal write-file: wants --path PATH --mode MODE --size BYTES, content on stdin")
	}
	mode, err := strconv.ParseUint(args[3], 8, 9)
	if err != nil {
		return fmt.Errorf("internal write-file: mode %q: not an octal number such as 0600", args[3])
	}
	size, err := strconv.ParseInt(args[5], 10, 64)
	if err != nil {
		return fmt.Errorf("internal write-file: size %q: not a number of bytes", args[5])
	}
	if !filepath.IsAbs(args[1]) {
		return fmt.Errorf("internal write-file: path %s is not absolute", args[1])
	}
	if err := replaceFile(filepath.Clean(args[1]), uint32(mode), stdin, size); err != nil {
		return fmt.Errorf("write %s: %w", args[1], err)
	}
	return nil
}

// replaceFile works through one descriptor of the directory, which may be a symbolic link that the operator made. A
// container may own the directory and change it meanwhile: no step follows a symbolic link in it.
func replaceFile(path string, mode uint32, content io.Reader, size int64) error {
	dir, base := filepath.Dir(path), filepath.Base(path)
	dirfd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open directory %s: %w", dir, err)
	}
	defer unix.Close(dirfd)
	owner, err := ownerFor(dirfd, base)
	if err != nil {
		return err
	}
	prefix := ".archy-" + base + "."
	removeLeftovers(dirfd, prefix)
	temp := prefix + token()
	if err := writeTemp(dirfd, temp, mode, owner, content, size); err != nil {
		_ = unix.Unlinkat(dirfd, temp, 0)
		return err
	}
	if err := failpoint.Write("replace "+base, func() error { return unix.Renameat(dirfd, temp, dirfd, base) }); err != nil {
		_ = unix.Unlinkat(dirfd, temp, 0)
		return fmt.Errorf("rename: %w", err)
	}
	return unix.Fsync(dirfd)
}

type owner struct{ uid, gid int }

// ownerFor returns the owner of the file, or that of the directory when there is no file.
func ownerFor(dirfd int, base string) (owner, error) {
	var st unix.Stat_t
	err := unix.Fstatat(dirfd, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		err = unix.Fstat(dirfd, &st)
	} else if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		return owner{}, errors.New("not a regular file; move it away first")
	}
	if err == nil && st.Uid == overflowID {
		return owner{}, errors.New("its owner is outside the service user's range in /etc/subuid; give the directory back with chown")
	}
	return owner{int(st.Uid), int(st.Gid)}, err
}

func writeTemp(dirfd int, name string, mode uint32, owner owner, content io.Reader, size int64) error {
	fd, err := unix.Openat(dirfd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("create temporary file: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if n, err := io.Copy(f, content); err != nil {
		return err
	} else if n != size {
		return fmt.Errorf("content has %d bytes instead of %d", n, size)
	}
	if err := f.Chown(owner.uid, owner.gid); err != nil {
		return err
	}
	if err := f.Chmod(fs.FileMode(mode)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// removeLeftovers removes what a power cut left of earlier tries: the file may hold a secret.
func removeLeftovers(dirfd int, prefix string) {
	fd, err := unix.Openat(dirfd, ".", unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	dir := os.NewFile(uintptr(fd), ".")
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return
	}
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			_ = unix.Unlinkat(dirfd, name, 0)
		}
	}
}

func token() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
