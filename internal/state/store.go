// Package state keeps what archy must remember between passes: install records, the owner's
// stops, restart histories, the image ledger, previous units, and the locks. Everything lies below
// <data directory>/state. Reading never creates a file or a directory; writing is atomic and durable.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"git.tx1138.com/lfg2025/archy/internal/durable"
	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/node"
)

// Schema is the version of the files that this archy writes. A file of a higher one is not understood.
const Schema = 1

// Aside begins what is added to the name of a file that could not be understood and had to be written anew; the UTC time follows.
const Aside = ".unreadable-"

// Store reads and writes archy's state of one node.
type Store struct {
	// Older are the names that earlier releases gave the containers of apps, by app: the owner's list of stopped apps may have them.
	Older map[string][]string

	layout node.Layout
	now    func() time.Time
	ledger sync.Mutex
}

// New returns the state of the node with this layout. Nothing is opened.
func New(l node.Layout) *Store { return &Store{layout: l, now: time.Now} }

// Snapshot is everything that a pass reads from the state at its start.
type Snapshot struct {
	Records   map[string]Record
	Histories map[string]History
	Intent    Intent
	// Problems are the files that could not be read, the owner's list included.
	Problems []Problem
}

// ReadAll reads records, histories and the owner's intent. It changes nothing.
func (s *Store) ReadAll() Snapshot {
	var all Snapshot
	var more []Problem
	all.Records, all.Problems = s.ReadRecords()
	all.Histories, more = s.ReadHistories()
	all.Problems = append(all.Problems, more...)
	all.Intent = s.ReadIntent()
	if all.Intent.Warning != nil {
		all.Problems = append(all.Problems, asProblem(all.Intent.Warning))
	}
	return all
}

// Problem is a state file that could not be read. The file is left as it is; when archy has to write in
// its place, it is kept aside as <name>.unreadable-<UTC time>.
type Problem struct {
	// Path is the file as the node sees it; App is "" for files that belong to no app.
	Path string
	App  string
	Err  error
}

func (p Problem) Error() string { return p.Path + ": " + p.Err.Error() }

// Unwrap gives the cause.
func (p Problem) Unwrap() error { return p.Err }

// Damaged tells that the file is no whole document of archy's, and never will be: nothing is to be read out of it. What a newer archy wrote,
// or what cannot be opened, is not damaged.
func (p Problem) Damaged() bool {
	var newer errNewer
	var errno syscall.Errno
	return !errors.As(p.Err, &newer) && !errors.As(p.Err, &errno)
}

// errNewer marks a file that a later archy wrote.
type errNewer int

func (e errNewer) Error() string {
	return fmt.Sprintf("written by a newer archy (schema %d, this one knows %d)", int(e), Schema)
}

// decode reads a JSON document that carries "schema" into v and refuses what it cannot understand.
func decode(data []byte, v any) error {
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return fmt.Errorf("not a whole JSON document (%d bytes): %w", len(data), err)
	}
	switch {
	case head.Schema > Schema:
		return errNewer(head.Schema)
	case head.Schema < 1:
		return errors.New(`no "schema" number in it`)
	}
	return json.Unmarshal(data, v)
}

// read decodes a state file into v. found is false when it does not exist.
func (s *Store) read(path string, v any) (found bool, err error) {
	data, err := os.ReadFile(s.layout.Host(path))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, Problem{Path: path, Err: bare(err)}
	}
	if err := decode(data, v); err != nil {
		return false, Problem{Path: path, Err: err}
	}
	return true, nil
}

// bare drops the path from an error, because the caller names it as the node sees it.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// writeJSON writes v, indented, 0600.
func (s *Store) writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return s.write(path, append(data, '\n'), 0o600)
}

// write replaces a file atomically and durably and makes its directory, 0700, when it is absent.
// A full disk is met once by giving up the reserve file that first boot laid down for this.
func (s *Store) write(path string, data []byte, mode fs.FileMode) error {
	err := s.writeOnce(path, data, mode)
	if NoRoom(err) && GiveUpReserve(s.layout) {
		err = s.writeOnce(path, data, mode)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, bare(err))
	}
	return nil
}

func (s *Store) writeOnce(path string, data []byte, mode fs.FileMode) error {
	path = s.layout.Host(path)
	dir := filepath.Dir(path)
	if err := mkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(dir), renameio.WithStaticPermissions(mode))
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if err := inheritOwner(f.File, dir); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := failpoint.Write("replace "+path, f.CloseAtomicallyReplace); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

// inheritOwner gives a new file to the owner of its directory: root's steps of first boot write into
// directories of the service user.
func inheritOwner(f *os.File, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := ownerOf(dir)
	if err != nil {
		return err
	}
	return f.Chown(uid, gid)
}

func ownerOf(path string) (uid, gid int, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return int(st.Uid), int(st.Gid), nil
}

// mkdirAll makes the missing directories of a path, each owned like its parent.
func mkdirAll(dir string, mode fs.FileMode) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := mkdirAll(parent, mode); err != nil {
		return err
	}
	if err := os.Mkdir(dir, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := ownerOf(parent)
	if err != nil {
		return err
	}
	return os.Chown(dir, uid, gid)
}

// remove deletes a file; an absent one is fine.
func (s *Store) remove(path string) error {
	err := failpoint.Write("remove "+path, func() error { return os.Remove(s.layout.Host(path)) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", path, bare(err))
	}
	return nil
}

// keepAside gives a file that cannot be understood a second name, so that writing in its place loses nothing. The first name stays until
// then: a list that is not there would be an empty one.
func (s *Store) keepAside(path string) error {
	host := s.layout.Host(path)
	if s.isKept(host) {
		return nil
	}
	err := failpoint.Write("keep "+path, func() error { return os.Link(host, s.asideName(host)) })
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) { // a file system without links, somebody else's file
		return s.moveAside(path)
	}
	if err != nil {
		return fmt.Errorf("%s: cannot keep the unreadable file: %w", path, bare(err))
	}
	return nil
}

func (s *Store) asideName(host string) string {
	return host + Aside + s.now().UTC().Format("20060102T150405Z")
}

// isKept tells that a file has its second name, from a write in its place that failed.
func (s *Store) isKept(host string) bool {
	file, err := os.Lstat(host)
	if err != nil {
		return false
	}
	names, _ := filepath.Glob(host + Aside + "*")
	return slices.ContainsFunc(names, func(name string) bool {
		kept, err := os.Lstat(name)
		return err == nil && os.SameFile(file, kept)
	})
}

// moveAside renames a file that cannot be understood.
func (s *Store) moveAside(path string) error {
	host := s.layout.Host(path)
	if err := failpoint.Write("move aside "+path, func() error { return os.Rename(host, s.asideName(host)) }); err != nil {
		return fmt.Errorf("%s: cannot keep the unreadable file aside: %w", path, bare(err))
	}
	return nil
}

// replaceable lets a file be written anew. readErr is what reading it just gave: a file
// that is there and cannot be understood is kept aside.
func (s *Store) replaceable(path string, readErr error) error {
	var p Problem
	var errno syscall.Errno
	if errors.As(readErr, &p) && !errors.As(p.Err, &errno) {
		return s.keepAside(path)
	}
	return readErr
}

// WriteLast keeps the last result of a kind of run ("reconcile", "update") in state/<kind>-last.json, in the place of whatever is there: nothing
// depends on the result before.
func (s *Store) WriteLast(kind string, result any) error {
	return s.writeJSON(s.layout.State(kind+"-last.json"), result)
}

// ReadLast reads what WriteLast kept into v; found is false when there is none.
func (s *Store) ReadLast(kind string, v any) (found bool, err error) {
	return s.read(s.layout.State(kind+"-last.json"), v)
}

// WriteLastUnsynced is WriteLast for a result that is written at each pass and is no loss: it appears as a whole or not
// at all, and spares the disk two syncs every half minute.
func (s *Store) WriteLastUnsynced(kind string, result any) error {
	data, err := json.Marshal(result)
	if err != nil {
		return err
	}
	path := s.layout.Host(s.layout.State(kind + "-last.json"))
	if err := mkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp := path + ".new"
	if err := os.WriteFile(temp, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return failpoint.Write("replace "+path, func() error { return os.Rename(temp, path) })
}
