package update

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

var versionForm = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

// maxVersionFile is far above a file that holds a version and nothing else.
const maxVersionFile = 256

// checkVersion wants X.Y.Z or X.Y.Z-pre.
func checkVersion(v string) error {
	switch {
	case versionForm.MatchString(strings.TrimPrefix(v, "v")) && strings.HasPrefix(v, "v"):
		return fmt.Errorf("%q: a version has no leading v here: %s", v, v[1:])
	case !versionForm.MatchString(v) || len(v) > maxVersionFile:
		return fmt.Errorf("%q is no version: X.Y.Z or X.Y.Z-pre", v)
	}
	return nil
}

// readVersion is what a version file holds. It must be a plain file, with no link on the way to it.
func readVersion(l node.Layout, path string) (string, error) {
	if !versionPlace(l, path) {
		return "", fmt.Errorf("%s: not below %s, /opt/archipelago or /etc/archipelago", path, l.DataDir)
	}
	info, err := os.Stat(l.Host(path))
	switch {
	case err != nil:
		return "", bare(path, err)
	case !noLink(l, path):
		return "", fmt.Errorf("%s: there is a link on the way to it", path)
	case !info.Mode().IsRegular() || info.Size() > maxVersionFile:
		return "", fmt.Errorf("%s: not a file that holds a version and nothing else", path)
	}
	data, err := os.ReadFile(l.Host(path))
	return strings.TrimSpace(string(data)), bare(path, err)
}

// noLink tells that a path is there with no link on the way to it.
func noLink(l node.Layout, path string) bool {
	root, err1 := filepath.EvalSymlinks(l.Host("/"))
	real, err2 := filepath.EvalSymlinks(l.Host(path))
	return err1 == nil && err2 == nil && real == filepath.Join(root, path)
}

// Differs names what on the node is not as a decided update left it. What cannot be read by who asks is not compared.
func (m *Marker) Differs(l node.Layout) (list []string) {
	version := map[State]string{Committed: m.NewVersion, RolledBack: m.VersionBefore}[m.State]
	if version == "" {
		return nil
	}
	if m.VersionFile != "" {
		switch has, err := readVersion(l, m.VersionFile); {
		case errors.Is(err, fs.ErrPermission):
		case err != nil:
			list = append(list, err.Error())
		case has != version:
			list = append(list, fmt.Sprintf("%s says %s, the last update left %s", m.VersionFile, has, version))
		}
	}
	if m.State == Committed && sameFile(l.Host(m.Binary), l.Host(m.BinaryBackup)) {
		list = append(list, fmt.Sprintf("%s is still the program of before the update to %s", m.Binary, version))
	}
	return list
}

// sameFile tells that two files are there and have the same bytes.
func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	if err1 != nil || err2 != nil || x.Size() != y.Size() {
		return false
	}
	return bytes.Equal(digest(a, []byte("a")), digest(b, []byte("b")))
}

// digest is that of a file, or otherwise where it cannot be read.
func digest(path string, otherwise []byte) []byte {
	f, err := os.Open(path)
	if err != nil {
		return otherwise
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return otherwise
	}
	return h.Sum(nil)
}
