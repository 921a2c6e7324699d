package update

import (
	"fmt"
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
	root, err := filepath.EvalSymlinks(l.Host("/"))
	if err != nil {
		return "", bare("/", err)
	}
	real, err := filepath.EvalSymlinks(l.Host(path))
	if err != nil {
		return "", bare(path, err)
	}
	if real != filepath.Join(root, path) {
		return "", fmt.Errorf("%s: there is a link on the way to it", path)
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		return "", bare(path, err)
	case !info.Mode().IsRegular() || info.Size() > maxVersionFile:
		return "", fmt.Errorf("%s: not a file that holds a version and nothing else", path)
	}
	data, err := os.ReadFile(real)
	return strings.TrimSpace(string(data)), bare(path, err)
}
