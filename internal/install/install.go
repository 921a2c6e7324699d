package install

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Root is a directory that archy is laid down below, and who owns what lies there.
type Root struct {
	UID, GID int

	root *os.Root
	// sync puts a file or directory on the disk.
	sync func(*os.File) error
	// between, in tests, is called between two changes: a run that ends there must be finished by the next.
	between func()
}

func (r *Root) step() {
	if r.between != nil {
		r.between()
	}
}

// Open opens the directory; everything belongs to uid and gid, 0 and 0 on a node.
func Open(dir string, uid, gid int) (*Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Root{UID: uid, GID: gid, root: root, sync: (*os.File).Sync}, nil
}

// Close ends the use of the directory.
func (r *Root) Close() error { return r.root.Close() }

// Result is what an installation did.
type Result struct {
	// Entries is how many things an installation has.
	Entries int `json:"entries"`
	// Changed is what differed before.
	Changed []Difference `json:"changed"`
	// Kept are build contexts of others, under the names that they have now.
	Kept []string `json:"kept"`
}

// Check compares what lies below the root with what an installation has. It changes nothing.
func (r *Root) Check(src Source) ([]Difference, error) {
	_, diffs, err := r.inspect(src)
	return diffs, err
}

// Install makes the differences go away. What it cannot do without writing outside the root, or without removing a
// directory, is an error before anything is written. A run that was interrupted is finished by the next.
func (r *Root) Install(src Source) (Result, error) {
	unlock, err := r.lock()
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	entries, diffs, err := r.inspect(src)
	if err != nil {
		return Result{}, err
	}
	res := Result{Entries: len(entries), Changed: diffs}
	for _, e := range entries {
		kept, err := r.lay(e)
		if err != nil {
			return res, fmt.Errorf("/%s: %w", e.path, err)
		}
		if kept != "" {
			res.Kept = append(res.Kept, "/"+kept)
		}
	}
	return res, nil
}

// ErrBusy is another installation below the same root.
var ErrBusy = errors.New("another installation is at work below this root")

// lock keeps others off. The lock is on the directory itself, so that it leaves nothing behind.
func (r *Root) lock() (unlock func(), err error) {
	dir, err := r.root.Open(".")
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		// Given back by name: a child that was just forked may have the directory open for a moment longer.
		return func() { _, _ = unix.Flock(int(dir.Fd()), unix.LOCK_UN), dir.Close() }, nil
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrBusy
	}
	return nil, errors.Join(err, dir.Close())
}

// inspect finds what differs, entry by entry, directories first.
func (r *Root) inspect(src Source) ([]entry, []Difference, error) {
	entries, err := newMaterial(src, r.root).entries()
	if err != nil {
		return nil, nil, err
	}
	var diffs []Difference
	seen := map[string]bool{}
	for _, e := range entries {
		found, err := r.differences(e, seen)
		if err != nil {
			return nil, nil, err
		}
		diffs = append(diffs, found...)
	}
	return entries, diffs, nil
}

// lay makes one entry right; kept is the new name of a context that was there and differed.
func (r *Root) lay(e entry) (kept string, err error) {
	if e.kind == retired {
		return "", r.remove(e.path)
	}
	if err := r.root.RemoveAll(temporary(e.path)); err != nil {
		return "", err
	}
	found, err := r.differences(e, map[string]bool{})
	if err != nil || len(found) == 0 {
		return "", err
	}
	if err := r.makeParents(e.path); err != nil {
		return "", err
	}
	switch e.kind {
	case link:
		return "", r.writeLink(e.path, string(e.data))
	case context:
		return r.layContext(e, found)
	case seed:
		if present(found) {
			return "", r.mend(e.path, e.mode)
		}
	}
	return "", r.writeFile(e.path, e.data, e.mode)
}

// present tells that a seed is there, whatever else is wrong with it.
func present(found []Difference) bool {
	for _, d := range found {
		if d.What == Missing {
			return false
		}
	}
	return true
}

func (r *Root) remove(name string) error {
	r.step()
	if err := r.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return r.syncParent(name)
}
