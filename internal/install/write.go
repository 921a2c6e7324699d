package install

import (
	"errors"
	"io/fs"
	"os"
	"path"
)

// temporary is what an entry is called while it is being written. The name is always the same, so that an interrupted run
// leaves nothing that the next one does not find.
func temporary(name string) string {
	return path.Join(path.Dir(name), "."+path.Base(name)+".archy-new")
}

// writeFile replaces a file whole: under another name, with its mode and owner, on the disk, then under its own.
func (r *Root) writeFile(name string, data []byte, mode fs.FileMode) error {
	tmp := temporary(name)
	if err := r.create(tmp, data, mode); err != nil {
		return errors.Join(err, r.root.RemoveAll(tmp))
	}
	return r.rename(tmp, name)
}

func (r *Root) create(name string, data []byte, mode fs.FileMode) (err error) {
	f, err := r.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	r.step()
	if err := r.own(f, mode); err != nil {
		return err
	}
	return r.sync(f)
}

// own gives an open file or directory its owner and mode. The mode comes second: a change of owner clears set-id bits.
func (r *Root) own(f *os.File, mode fs.FileMode) error {
	if err := f.Chown(r.UID, r.GID); err != nil {
		return err
	}
	return f.Chmod(mode)
}

// mend corrects mode and owner of what is there.
func (r *Root) mend(name string, mode fs.FileMode) error {
	f, err := r.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(r.own(f, mode), r.sync(f), f.Close())
}

func (r *Root) writeLink(name, to string) error {
	tmp := temporary(name)
	if err := r.root.Symlink(to, tmp); err != nil {
		return err
	}
	if err := r.root.Lchown(tmp, r.UID, r.GID); err != nil {
		return err
	}
	return r.rename(tmp, name)
}

// rename is how everything comes into being: whole, and on the disk.
func (r *Root) rename(from, to string) error {
	r.step()
	if err := r.root.Rename(from, to); err != nil {
		return err
	}
	return r.syncParent(to)
}

// makeParents makes the directories above a path, and puts mode and owner of archy's own right.
func (r *Root) makeParents(name string) error {
	for _, dir := range parents(name) {
		_, err := r.root.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = r.makeDir(dir)
		case err == nil && belongs(dir):
			err = r.mend(dir, 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// makeDir makes a directory with its mode and owner: one of the system's that an interrupted run left half made would never be
// looked at again.
func (r *Root) makeDir(dir string) error {
	tmp := temporary(dir)
	if err := r.root.RemoveAll(tmp); err != nil {
		return err
	}
	if err := r.root.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	r.step()
	if err := r.mend(tmp, 0o755); err != nil {
		return err
	}
	return r.rename(tmp, dir)
}

// syncParent puts the directory of a path on the disk.
func (r *Root) syncParent(name string) error {
	d, err := r.root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(r.sync(d), d.Close())
}
