// Package install lays archy down below a root directory: the binary, the shipped apps, the units, the scripts under
// their old names, pages and completions. It needs no running systemd or podman and writes nothing outside.
package install

import (
	"fmt"
	"io/fs"
)

// Source is what an installation lays down beside what archy carries in itself.
type Source struct {
	// Binary is the program.
	Binary []byte
	// Pages are the manual pages by file name, Completions the scripts by the name of their shell.
	Pages, Completions map[string][]byte
}

// kind is how an entry is laid down.
type kind int

const (
	// file is replaced when it differs.
	file kind = iota
	// seed is written when it is absent; its content is the owner's from then on.
	seed
	// link is a symbolic link; its content is where it leads.
	link
	// context is a directory of files. One that differs is kept beside.
	context
	// retired is removed.
	retired
)

// row is one line of the contract: the entries of one kind and mode below one directory, by their names.
type row struct {
	dir   string
	kind  kind
	mode  fs.FileMode
	names func(m *material) (map[string][]byte, error)
}

// contract is what lands where. This is the only list of it: installing, checking and the Debian package follow it.
var contract = []row{
	{"usr/local/bin", file, 0o755, (*material).binary},
	{"opt/archipelago/apps", file, 0o644, (*material).manifests},
	{"opt/archipelago/docker", context, 0o644, (*material).contexts},
	{"opt/archipelago/scripts", file, 0o755, (*material).shims},
	{"opt/archipelago/scripts", file, 0o644, (*material).sourced},
	{"opt/archipelago", file, 0o644, (*material).imageVersions},
	{"etc/systemd/system", file, 0o644, distributed("systemd")},
	{"etc/systemd/system", link, 0, (*material).wants},
	{"etc/systemd/journald.conf.d", file, 0o644, distributed("journald.conf.d")},
	{"etc/tmpfiles.d", file, 0o644, distributed("tmpfiles.d")},
	{"etc/archipelago", seed, 0o644, (*material).configuration},
	{"usr/share/man/man1", file, 0o644, func(m *material) (map[string][]byte, error) { return m.Pages, nil }},
	{"usr/share/bash-completion/completions", file, 0o644, completion("bash", "archy")},
	{"usr/share/zsh/vendor-completions", file, 0o644, completion("zsh", "_archy")},
	{"usr/share/fish/vendor_completions.d", file, 0o644, completion("fish", "archy.fish")},
	{"", retired, 0, (*material).retired},
}

// ours are the directories that belong to archy: their mode and owner are part of the installation. Other directories
// are made when they are absent, and left alone when they are there.
var ours = []string{"opt/archipelago", "etc/archipelago"}

// entry is one thing that an installation has. Files are what a context holds.
type entry struct {
	path  string
	kind  kind
	mode  fs.FileMode
	data  []byte
	files map[string][]byte
}

// entries expands the contract, in its order and by name.
func (m *material) entries() ([]entry, error) {
	var list []entry
	for _, r := range contract {
		names, err := r.names(m)
		if err != nil {
			return nil, fmt.Errorf("what belongs into /%s: %w", r.dir, err)
		}
		list = append(list, r.expand(names)...)
	}
	return list, nil
}
