package install

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/dist"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
)

// shipped are the manifests in the binary.
var shipped = manifest.Source{Prefix: "apps", FS: apps.FS}

// material is everything that the entries are made of.
type material struct {
	Source
	root *os.Root
	// images is imagesOf root, once.
	images func() ([]byte, error)
}

func newMaterial(src Source, root *os.Root) *material {
	return &material{src, root, sync.OnceValues(func() ([]byte, error) { return imagesOf(root) })}
}

func (m *material) binary() (map[string][]byte, error) {
	return map[string][]byte{"archy": m.Binary}, nil
}

func (m *material) manifests() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, id := range apps.IDs() {
		name := id + "/manifest.yml"
		text, err := fs.ReadFile(apps.FS, name)
		if err != nil {
			return nil, err
		}
		files[name] = text
	}
	return files, nil
}

// contexts are the files of all build contexts, each below the name of its app.
func (m *material) contexts() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, id := range apps.IDs() {
		context, err := apps.Context(id)
		if err != nil {
			continue // an app that is not built on the node
		}
		if err := readAll(files, id, context); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// readAll adds the files of fsys to files, with prefix before their names.
func readAll(files map[string][]byte, prefix string, fsys fs.FS) error {
	return fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(fsys, name)
		files[path.Join(prefix, name)] = text
		return err
	})
}

// distributed are the files of a directory of dist.
func distributed(dir string) func(*material) (map[string][]byte, error) {
	return func(*material) (map[string][]byte, error) {
		sub, err := fs.Sub(dist.FS, dir)
		if err != nil {
			return nil, err
		}
		files := map[string][]byte{}
		return files, readAll(files, "", sub)
	}
}

// shims are the scripts that others on a node call by their old names; that of the release pipeline belongs to a source tree.
func (m *material) shims() (map[string][]byte, error) {
	scripts, err := distributed("scripts")(m)
	delete(scripts, "create-release-manifest.sh")
	return scripts, err
}

func (m *material) sourced() (map[string][]byte, error) {
	images, err := m.images()
	return map[string][]byte{"container-specs.sh": containerSpecs(), "image-versions.sh": images}, err
}

func (m *material) imageVersions() (map[string][]byte, error) {
	images, err := m.images()
	return map[string][]byte{"image-versions.sh": images}, err
}

// imagesOf makes the text of image-versions.sh for the shipped apps and the owner's below a root.
func imagesOf(root *os.Root) ([]byte, error) {
	local, err := fs.Sub(root.FS(), "etc/archipelago/apps")
	if err != nil {
		return nil, err
	}
	set, _ := manifest.LoadFrom(shipped, manifest.Source{Prefix: "/etc/archipelago/apps", FS: local, Local: true})
	return ImageVersions(set), nil
}

func (m *material) configuration() (map[string][]byte, error) {
	return map[string][]byte{"archy.yaml": dist.Text("archy.yaml")}, nil
}

func completion(shell, name string) func(*material) (map[string][]byte, error) {
	return func(m *material) (map[string][]byte, error) {
		text, ok := m.Completions[shell]
		if !ok {
			return nil, fmt.Errorf("there is no completion for %s", shell)
		}
		return map[string][]byte{name: text}, nil
	}
}

// unitDir is where the units lie, as the node sees it.
const unitDir = "/etc/systemd/system"

// wants are the links that `systemctl enable` would make, from the units' own WantedBy=.
func (m *material) wants() (map[string][]byte, error) {
	units, err := distributed("systemd")(m)
	if err != nil {
		return nil, err
	}
	links := map[string][]byte{}
	for name, text := range units {
		for _, target := range wantedBy(text) {
			links[target+".wants/"+name] = []byte(path.Join(unitDir, name))
		}
	}
	return links, nil
}

func wantedBy(unit []byte) []string {
	var targets []string
	for lines := bufio.NewScanner(bytes.NewReader(unit)); lines.Scan(); {
		if list, ok := strings.CutPrefix(lines.Text(), "WantedBy="); ok {
			targets = append(targets, strings.Fields(list)...)
		}
	}
	return targets
}

// expand makes the entries of a row, by name.
func (r row) expand(names map[string][]byte) []entry {
	if r.kind == context {
		return r.expandContexts(names)
	}
	var list []entry
	for _, name := range slices.Sorted(maps.Keys(names)) {
		list = append(list, entry{path: path.Join(r.dir, name), kind: r.kind, mode: r.mode, data: names[name]})
	}
	return list
}

// expandContexts makes one entry of all files below the same first name.
func (r row) expandContexts(files map[string][]byte) []entry {
	byName := map[string]map[string][]byte{}
	for file, text := range files {
		name, rest, _ := strings.Cut(file, "/")
		if byName[name] == nil {
			byName[name] = map[string][]byte{}
		}
		byName[name][rest] = text
	}
	var list []entry
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		list = append(list, entry{path: path.Join(r.dir, name), kind: context, mode: r.mode, files: byName[name]})
	}
	return list
}
