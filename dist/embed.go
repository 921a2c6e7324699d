// Package dist carries what an installation lays down beside the binary. Each folder holds files under the names that
// they have on the node.
package dist

import "embed"

// FS holds archy.yaml, journald.conf.d, scripts, systemd and tmpfiles.d.
//
//go:embed archy.yaml journald.conf.d scripts systemd tmpfiles.d
var FS embed.FS

// Text is the content of one of the files. It panics on a name that is not there: the names are fixed in the program.
func Text(name string) []byte {
	data, err := FS.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return data
}
