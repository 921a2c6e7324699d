package update

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/release"
)

// UnsoundError says that backups are missing or damaged. Nothing was changed.
type UnsoundError struct{ Findings []string }

func (e *UnsoundError) Error() string { return strings.Join(e.Findings, "\n") }

// sound checks the backups that a marker names; the error is an *UnsoundError with all findings.
func (u *Updater) sound(m *Marker) error {
	findings := u.soundDir(m.WebUI, m.WebUIBackup)
	if f := u.soundIndex(m.WebUIBackup); f != "" {
		findings = append(findings, f)
	}
	if f := u.soundBinary(m); f != "" {
		findings = append(findings, f)
	}
	if m.AppsBackup != "" {
		findings = append(findings, u.soundDir(u.Layout.ManifestDir, m.AppsBackup)...)
	}
	if len(findings) > 0 {
		return &UnsoundError{findings}
	}
	return nil
}

// soundDir finds what would keep the backup of a directory from taking its place by a rename.
func (u *Updater) soundDir(dir, backup string) (findings []string) {
	info, err := os.Lstat(u.Layout.Host(backup))
	switch {
	case err != nil:
		return []string{bare(backup, err).Error()}
	case !info.IsDir():
		return []string{backup + ": not a directory"}
	}
	parent := filepath.Dir(dir)
	for _, path := range []string{backup, dir} {
		if u.device(path) != u.device(parent) && u.exists(path) {
			findings = append(findings, path+": on another file system than "+parent+", so it cannot be renamed")
		}
	}
	return findings
}

func (u *Updater) soundIndex(backup string) string {
	path := filepath.Join(backup, "index.html")
	info, err := os.Lstat(u.Layout.Host(path))
	switch {
	case err != nil:
		return bare(path, err).Error()
	case !info.Mode().IsRegular():
		return path + ": not a plain file"
	case info.Size() == 0:
		return path + ": empty"
	}
	return ""
}

// soundBinary finds what is wrong with the backup of the program. A digest that was recorded must be its.
func (u *Updater) soundBinary(m *Marker) string {
	info, err := os.Lstat(u.Layout.Host(m.BinaryBackup))
	switch {
	case err != nil:
		return bare(m.BinaryBackup, err).Error()
	case !info.Mode().IsRegular():
		return m.BinaryBackup + ": not a plain file"
	}
	if err := release.CheckProgram(u.Layout.Host(m.BinaryBackup)); err != nil {
		return bare(m.BinaryBackup, err).Error()
	}
	digest, err := u.digest(m.BinaryBackup)
	switch {
	case err != nil:
		return err.Error()
	case m.BinaryBackupSHA256 != "" && digest != m.BinaryBackupSHA256:
		return fmt.Sprintf("%s: its SHA-256 is %s, recorded was %s", m.BinaryBackup, digest, m.BinaryBackupSHA256)
	}
	return ""
}

// writable checks that a rollback could change what it has to: a unit may see these places read-only. The error is an
// *UnsoundError.
func (u *Updater) writable() error {
	var findings []string
	for _, dir := range []string{filepath.Dir(webUI), filepath.Dir(u.Layout.ManifestDir), filepath.Dir(binary)} {
		if err := unix.Access(u.Layout.Host(dir), unix.W_OK); err != nil {
			findings = append(findings, fmt.Sprintf("%s: not writable here: %v", dir, err))
		}
	}
	if len(findings) > 0 {
		return &UnsoundError{findings}
	}
	return nil
}

func (u *Updater) exists(path string) bool {
	_, err := os.Lstat(u.Layout.Host(path))
	return !errors.Is(err, fs.ErrNotExist)
}

func (u *Updater) device(path string) uint64 {
	info, err := os.Lstat(u.Layout.Host(path))
	if err != nil {
		return 0
	}
	return info.Sys().(*syscall.Stat_t).Dev
}

// digest is the SHA-256 of a file, in hex. What was read is on the platter: the backup may be a copy of this moment.
func (u *Updater) digest(path string) (string, error) {
	f, err := os.Open(u.Layout.Host(path))
	if err != nil {
		return "", bare(path, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", bare(path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), bare(path, f.Sync())
}
