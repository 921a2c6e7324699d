package install

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
)

// contextDifferences compares a build context: exactly these files, each with its mode. Everything in it counts, because
// all of it decides the name of the image.
func (r *Root) contextDifferences(e entry) ([]Difference, error) {
	info, err := r.root.Lstat(e.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []Difference{{Path: "/" + e.path, What: Missing}}, nil
	case err != nil:
		return nil, err
	case !info.IsDir():
		return []Difference{{Path: "/" + e.path, What: Kind, Is: kindOf(info), Want: "a directory"}}, nil
	}
	there, found, err := r.contextEntries(e)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(e.files)) {
		if !there[name] {
			found = append(found, Difference{Path: "/" + path.Join(e.path, name), What: Missing})
		}
	}
	return found, nil
}

// contextEntries walks a context: which of its files are there, and what is wrong with what is there.
func (r *Root) contextEntries(e entry) (there map[string]bool, found []Difference, err error) {
	there = map[string]bool{}
	err = fs.WalkDir(r.root.FS(), e.path, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := r.root.Lstat(full)
		if err != nil {
			return err
		}
		if d.IsDir() {
			found = append(found, r.modeDifferences(full, info, 0o755)...)
			return nil
		}
		name := full[len(e.path)+1:]
		data, wanted := e.files[name]
		if !wanted || !info.Mode().IsRegular() {
			found = append(found, Difference{Path: "/" + full, What: Kind, Is: kindOf(info), Want: wantedKind(wanted)})
			return nil
		}
		there[name] = true
		more, err := r.fileDifferences(entry{path: full, mode: e.mode, data: data})
		found = append(found, more...)
		return err
	})
	return there, found, err
}

func wantedKind(wanted bool) string {
	if wanted {
		return "a file"
	}
	return "nothing"
}

// layContext mends modes and owners in place. A context whose files differ may be somebody's work: it is kept beside,
// and a new one takes its name.
func (r *Root) layContext(e entry, found []Difference) (kept string, err error) {
	if onlyModes(found) {
		return "", r.mendContext(e)
	}
	tmp := temporary(e.path)
	for _, name := range slices.Sorted(maps.Keys(e.files)) {
		file := path.Join(tmp, name)
		if err := r.makeParents(file); err != nil {
			return "", err
		}
		if err := errors.Join(r.create(file, e.files[name], e.mode), r.syncParent(file)); err != nil {
			return "", err
		}
	}
	if kept, err = r.keepBeside(e.path); err != nil {
		return "", err
	}
	return kept, r.rename(tmp, e.path)
}

func onlyModes(found []Difference) bool {
	return !slices.ContainsFunc(found, func(d Difference) bool { return d.What != Mode && d.What != Owner })
}

func (r *Root) mendContext(e entry) error {
	return fs.WalkDir(r.root.FS(), e.path, func(full string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return r.mend(full, 0o755)
		}
		return r.mend(full, e.mode)
	})
}

// keepBeside moves a context to the first free name of NAME.pre-archy, NAME.pre-archy-2 and so on; "" when there is none.
func (r *Root) keepBeside(name string) (string, error) {
	if _, err := r.root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	kept := name + ".pre-archy"
	for n := 2; ; n++ {
		if _, err := r.root.Lstat(kept); errors.Is(err, fs.ErrNotExist) {
			return kept, r.rename(name, kept)
		} else if err != nil {
			return "", err
		}
		kept = fmt.Sprintf("%s.pre-archy-%d", name, n)
	}
}
