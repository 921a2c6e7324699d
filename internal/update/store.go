package update

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const schema = 1

// maxMarker is far above a marker with all its probes.
const maxMarker = 1 << 20

func (u *Updater) pendingPath() string { return u.Layout.State("update-pending.json") }
func (u *Updater) lastPath() string    { return u.Layout.State("update-last.json") }

// BadMarker says that a marker cannot be trusted or understood.
type BadMarker struct {
	Path string
	Err  error
}

func (e *BadMarker) Error() string { return fmt.Sprintf("%s: %v", e.Path, e.Err) }

// Unwrap gives the cause.
func (e *BadMarker) Unwrap() error { return e.Err }

// Pending is the marker of the update that is not decided yet; nil without one.
func (u *Updater) Pending() (*Marker, error) { return u.read(u.pendingPath()) }

// Last is the update that was decided last; nil without one.
func (u *Updater) Last() (*Marker, error) { return u.read(u.lastPath()) }

func (u *Updater) read(path string) (*Marker, error) {
	data, err := u.readMarker(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := &Marker{}
	switch err := json.Unmarshal(data, m); {
	case err != nil:
		return nil, &BadMarker{path, fmt.Errorf("not a whole JSON document (%d bytes): %w", len(data), err)}
	case m.Schema > schema:
		return nil, &BadMarker{path, fmt.Errorf("written by a newer archy (schema %d, this one knows %d)", m.Schema, schema)}
	case m.Schema < 1:
		return nil, &BadMarker{path, errors.New(`no "schema" number in it`)}
	}
	if err := m.check(u.Layout); err != nil {
		return nil, &BadMarker{path, err}
	}
	return m, nil
}

// readMarker reads a marker that is a plain file of root's. Root acts on it, and the directory that it lies in is the
// service user's, who could put another one there.
func (u *Updater) readMarker(path string) ([]byte, error) {
	f, err := os.OpenFile(u.Layout.Host(path), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, &BadMarker{path, errors.New("it is a link")}
	}
	if err != nil {
		return nil, bare(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, bare(path, err)
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	switch {
	case !info.Mode().IsRegular():
		return nil, &BadMarker{path, errors.New("it is not a plain file")}
	case os.Geteuid() == 0 && owner != 0:
		return nil, &BadMarker{path, fmt.Errorf("it belongs to uid %d, not to root", owner)}
	case info.Size() > maxMarker:
		return nil, &BadMarker{path, fmt.Errorf("it has %d bytes", info.Size())}
	}
	data := make([]byte, info.Size())
	_, err = f.ReadAt(data, 0)
	return data, bare(path, err)
}

// save puts the marker on the disk.
func (u *Updater) save(m *Marker) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", u.pendingPath(), err)
	}
	return u.Disk.Write(u.pendingPath(), append(data, '\n'))
}

// record saves what a run would only repeat if it were lost.
func (u *Updater) record(m *Marker) { u.warn("record", u.save(m)) }

// keepAside renames a marker that nobody can act on: left in its place it would start the verification again and again.
func (u *Updater) keepAside() (string, error) {
	aside := u.pendingPath() + ".unreadable-" + u.Clock.Now().UTC().Format(stampLayout)
	return aside, u.Disk.Rename(u.pendingPath(), aside)
}

// bare drops the path below --root from an error and names the one that the node sees.
func bare(path string, err error) error {
	if err == nil {
		return nil
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	var le *os.LinkError
	if errors.As(err, &le) {
		err = le.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}
