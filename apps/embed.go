// Package apps carries the shipped manifests and the build contexts of the pages that are built
// on the node, so that an installation needs nothing beside the binary.
package apps

import (
	"embed"
	"io/fs"
	"path"
)

//go:generate sh -c "go run ./matrix > ../docs/apps.md"

// FS holds <id>/manifest.yml of every app and <id>/docker/ of every app that is built on the node.
//
//go:embed */manifest.yml */docker
var FS embed.FS

// IDs lists the shipped apps in the order of their names.
func IDs() []string {
	files, err := fs.Glob(FS, "*/manifest.yml")
	if err != nil {
		panic(err) // only a malformed pattern fails
	}
	ids := make([]string, len(files))
	for i, f := range files {
		ids[i] = path.Dir(f)
	}
	return ids
}

// Context is the build context of an app; its error wraps fs.ErrNotExist when the app has none.
func Context(id string) (fs.FS, error) {
	dir := path.Join(id, "docker")
	if _, err := fs.Stat(FS, dir); err != nil {
		return nil, err
	}
	return fs.Sub(FS, dir)
}
