package install

import (
	"errors"
	"io/fs"
	"path"
	"strings"
)

// retiredUnits did the work of archy-reconcile before; two that repair the same containers would fight.
var retiredUnits = []string{"archipelago-reconcile.service", "archipelago-reconcile.timer"}

// retiredDirs are where they can lie.
var retiredDirs = []string{"etc/systemd/system", "usr/lib/systemd/system"}

// retired finds these units and the links that enable them.
func (m *material) retired() (map[string][]byte, error) {
	found := map[string][]byte{}
	for _, dir := range retiredDirs {
		enabling, err := m.enabling(dir)
		if err != nil {
			return nil, err
		}
		for _, d := range append(enabling, dir) {
			if err := m.findUnits(found, d); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// enabling lists the directories of links below a directory of units.
func (m *material) enabling(dir string) ([]string, error) {
	list, err := fs.ReadDir(m.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var dirs []string
	for _, e := range list {
		switch path.Ext(e.Name()) {
		case ".wants", ".requires", ".upholds":
			dirs = append(dirs, path.Join(dir, e.Name()))
		}
	}
	return dirs, escape(dir, err)
}

func (m *material) findUnits(found map[string][]byte, dir string) error {
	for _, unit := range retiredUnits {
		name := path.Join(dir, unit)
		switch _, err := m.root.Lstat(name); {
		case err == nil:
			found[name] = nil
		case !errors.Is(err, fs.ErrNotExist):
			return escape(name, err)
		}
	}
	return nil
}

// OutsideError is a link below the root that leads out of it: nothing is written through it.
type OutsideError struct{ Path string }

func (e *OutsideError) Error() string {
	return "/" + e.Path + ": a link on the way leads outside the root"
}

// escape names the reason for which os.Root has no error value of its own.
func escape(name string, err error) error {
	if err != nil && strings.Contains(err.Error(), "escapes from parent") {
		return &OutsideError{Path: name}
	}
	return err
}
