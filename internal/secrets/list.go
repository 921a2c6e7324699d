package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// Info describes a secret without its value.
type Info struct {
	Name     string    `json:"name"`
	Kind     Kind      `json:"kind,omitempty"` // empty when no manifest names it
	Present  bool      `json:"present"`        // a file is there and is not empty
	Backup   bool      `json:"backup"`         // an older value, kept by a rotation
	Size     int64     `json:"size"`           // bytes
	Mode     string    `json:"mode,omitempty"` // octal, as in chmod
	UID      int       `json:"uid"`
	GID      int       `json:"gid"`
	Modified time.Time `json:"modified,omitzero"` // UTC
	Readers  []string  `json:"readers,omitempty"` // ids of the apps that read it, sorted
}

// List describes every secret that is there or wanted, by name.
func (s *Store) List(wanted []Wanted) ([]Info, error) {
	if err := s.checkDirType(); err != nil {
		return nil, err
	}
	names, err := s.names(wanted)
	if err != nil {
		return nil, fmt.Errorf("listing the secrets: %w", err)
	}
	byName := index(wanted)
	list := make([]Info, 0, len(names))
	for _, name := range names {
		info, err := s.describe(name, byName)
		if err != nil {
			return nil, err
		}
		list = append(list, info)
	}
	return list, nil
}

func (s *Store) describe(name string, byName map[string]Wanted) (Info, error) {
	w := byName[name]
	if plainOf := strings.TrimSuffix(name, PlainSuffix); plainOf != name && byName[plainOf].Kind == Bcrypt {
		w = Wanted{Kind: Hex16, Apps: byName[plainOf].Apps}
	}
	info := Info{Name: name, Kind: w.Kind, Backup: strings.Contains(name, backupMark), Readers: slices.Sorted(slices.Values(w.Apps))}
	st, err := os.Lstat(s.Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return info, nil
	}
	if err != nil {
		return info, fmt.Errorf("looking at secret %s: %w", name, err)
	}
	info.Present = st.Mode().IsRegular() && st.Size() > 0
	info.Size, info.Mode, info.Modified = st.Size(), fmt.Sprintf("%04o", octal(st.Mode())), st.ModTime().UTC()
	info.UID, info.GID = owner(st)
	return info, nil
}

// names are those of the directory and of what is wanted, sorted; archy's own temporary files are left out.
func (s *Store) names(wanted []Wanted) ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return nil, err
	}
	all := map[string]bool{}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tempPrefix) && !strings.HasPrefix(e.Name(), stagedPrefix) {
			all[e.Name()] = true
		}
	}
	for _, w := range wanted {
		all[w.Name] = true
	}
	return slices.Sorted(maps.Keys(all)), nil
}

// index merges what several apps want of one secret.
func index(wanted []Wanted) map[string]Wanted {
	byName := map[string]Wanted{}
	for _, w := range wanted {
		if old, dup := byName[w.Name]; dup {
			w.Apps = slices.Compact(slices.Sorted(slices.Values(slices.Concat(old.Apps, w.Apps))))
			w.FirstBoot = w.FirstBoot || old.FirstBoot
			w.Optional = w.Optional && old.Optional
			w.OneLine = w.OneLine || old.OneLine
			if w.Kind == "" || w.Kind == Text && old.Kind != "" {
				w.Kind = old.Kind
			}
		}
		byName[w.Name] = w
	}
	return byName
}
