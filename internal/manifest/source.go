package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// manifestName is the file that makes a folder an app.
const manifestName = "manifest.yml"

// Source is a directory of apps, on disk or embedded.
type Source struct {
	// Prefix is how the directory is called in findings; on disk it is also where it lies.
	Prefix string
	// FS holds the apps; nil means the directory Prefix on disk.
	FS fs.FS
	// Local marks the owner's directory: it replaces what the sources before it hold, and may be absent.
	Local bool
}

// errOutside is a link that leads out of the folder that it lies in.
var errOutside = errors.New("leads out of its folder")

// open begins to read a source; close ends it.
func (s Source) open() (o opened, err error) {
	if s.FS != nil {
		return opened{source: s, fsys: s.FS}, nil
	}
	root, err := os.OpenRoot(s.Prefix)
	if err != nil {
		return opened{}, err
	}
	return opened{source: s, root: root, fsys: root.FS()}, nil
}

// opened is a source that is being read. Root, when set, keeps links inside.
type opened struct {
	source Source
	root   *os.Root
	fsys   fs.FS
}

func (o opened) close() {
	if o.root != nil {
		_ = o.root.Close() // opened for reading only
	}
}

// ids lists the folders, also those that are links; files and hidden folders are not apps.
func (o opened) ids() ([]string, error) {
	entries, err := fs.ReadDir(o.fsys, ".")
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || e.Type().IsRegular() {
			continue
		}
		ids = append(ids, e.Name())
	}
	return ids, nil
}

// read reads the manifest of one app; its error is made for a finding.
func (o opened) read(id string) ([]byte, error) {
	var file fs.File
	var err error
	if o.root != nil {
		file, err = openInside(o.root, id)
	} else {
		file, err = o.fsys.Open(id + "/" + manifestName)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readRegular(file)
}

// openInside opens the manifest of an app. Neither the folder nor the file may be a link that leads out.
func openInside(root *os.Root, id string) (*os.File, error) {
	dir, err := root.OpenRoot(id)
	if err != nil {
		return nil, insideError(err)
	}
	defer dir.Close()
	return openNonblocking(dir, manifestName)
}

// openNonblocking opens a file for reading; a named pipe does not make it wait.
func openNonblocking(root *os.Root, name string) (*os.File, error) {
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	return file, insideError(err)
}

// insideError names the reason for which os.Root has no error value of its own.
func insideError(err error) error {
	if err != nil && strings.Contains(err.Error(), "escapes from parent") {
		return errOutside
	}
	return err
}

func readRegular(file fs.File) ([]byte, error) {
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	}
	return io.ReadAll(io.LimitReader(file, maxBytes+1))
}

// display is the name of an app's manifest in findings.
func (s Source) display(id string) string { return filepath.Join(s.Prefix, id, manifestName) }

// load reads one app of the source; nil for a folder without a manifest, with the finding that says so.
func (o opened) load(id string) (*document, *Finding) {
	name := o.source.display(id)
	data, err := o.read(id)
	if errors.Is(err, fs.ErrNotExist) && !o.dangling(id) {
		return nil, o.noManifest(id)
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	var doc *document
	if err != nil {
		doc = unreadable(id, name, err)
	} else {
		doc = decodeAndCheck(data, id, name)
	}
	doc.local = o.source.Local
	doc.app.Local = o.source.Local
	doc.app.Dir = filepath.Join(o.source.Prefix, id)
	return doc, nil
}

// dangling tells whether the manifest is there as a link to nothing.
func (o opened) dangling(id string) bool {
	if o.root == nil {
		return false
	}
	_, err := o.root.Lstat(id + "/" + manifestName)
	return err == nil
}

// noManifest tells of a folder whose manifest has another name. A folder without any YAML is not an app.
func (o opened) noManifest(id string) *Finding {
	others, err := fs.Glob(o.fsys, id+"/*.y*ml")
	if err != nil || len(others) == 0 {
		return nil
	}
	return &Finding{
		App: id, File: filepath.Join(o.source.Prefix, id), Severity: Error,
		Message: "has no " + manifestName, Hint: "rename " + path.Base(others[0]),
	}
}

// unreadable is the document of a file that could not be read.
func unreadable(id, name string, err error) *document {
	doc := &document{id: id, file: name, app: &App{ID: id, File: name}, failed: map[string]bool{}}
	f := Finding{Severity: Error, Message: "cannot be read: " + reason(err)}
	if errors.Is(err, errOutside) {
		f.Message, f.Hint = errOutside.Error(), "put the file itself there"
	}
	doc.add(f)
	return doc
}

// reason is an error without the path, which the finding names already.
func reason(err error) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}

func decodeAndCheck(data []byte, id, name string) *document {
	doc := decode(data, id, name)
	if doc.lines["app"] > 0 && !doc.failed["app"] {
		check(doc)
	}
	return doc
}

// sourceFinding tells that a directory of apps could not be listed.
func (s Source) finding(err error) Finding {
	f := Finding{File: cmp.Or(s.Prefix, "."), Severity: Error, Message: fmt.Sprintf("cannot list the apps: %s", reason(err)),
		Hint: "let everybody read and enter it"}
	if !errors.Is(err, fs.ErrPermission) {
		f.Hint = ""
	}
	if errors.Is(err, fs.ErrNotExist) {
		f.Message, f.Hint = "there is no such directory", "install a release, or name the directory of the apps"
	}
	return f
}
