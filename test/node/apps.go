package node

import (
	"io/fs"
	"os"
	"path/filepath"

	"git.tx1138.com/lfg2025/archy/apps"
)

// Ten are the apps of the tests that are not about all of them: a database, bitcoin, what stands on it, files, the pages.
func Ten() []string {
	return []string{"archy-mempool-db", "bitcoin-knots", "bitcoin-ui", "electrs-ui", "electrumx", "filebrowser", "lnd", "lnd-ui", "mempool", "mempool-api"}
}

// ship lays the manifests of the chosen apps down on a new disk, where an installation would.
func (n *Node) ship(ids []string) error {
	for _, id := range ids {
		text, err := fs.ReadFile(apps.FS, id+"/manifest.yml")
		if err != nil {
			return err
		}
		file := filepath.Join(n.Dir, "upper/opt/archipelago/apps", id, "manifest.yml")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
