package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Set is what a node knows of its apps. An app is either in Apps, and usable, or in Broken with the
// findings that say why; the others go on.
type Set struct {
	Apps   map[string]*App
	Broken map[string][]Finding

	docs map[string]*document // of both
}

// Load reads the shipped apps and the owner's: a local app replaces the shipped one of its name as a
// whole, or adds one. The local directory may be absent or "". All findings of all files come at once,
// sorted by file and line; a size that cannot be read counts as absent and is a warning here, while Lint
// calls it an error.
func Load(shippedDir, localDir string) (*Set, []Finding) {
	sources := []Source{{Prefix: shippedDir}}
	if localDir != "" {
		sources = append(sources, Source{Prefix: localDir, Local: true})
	}
	return LoadFrom(sources...)
}

// LoadFS reads apps that are embedded, <id>/manifest.yml; prefix is how fsys is called in findings.
func LoadFS(fsys fs.FS, prefix string) (*Set, []Finding) {
	return LoadFrom(Source{Prefix: prefix, FS: fsys})
}

// LoadFrom reads several sources; a later one replaces the apps of those before it.
func LoadFrom(sources ...Source) (*Set, []Finding) {
	docs := map[string]*document{}
	var findings []Finding
	for _, s := range sources {
		found, more := s.documents()
		if s.Local && found == nil {
			refuse(docs, more)
		}
		for id, doc := range found {
			if was := docs[id]; was != nil && was.app != nil && doc.app != nil {
				doc.app.Shipped = was.app.Container.Image
			}
			docs[id] = doc
		}
		findings = append(findings, more...)
	}
	set, more := newSet(slices.Collect(maps.Values(docs)), true)
	findings = append(findings, more...)
	demote(findings)
	return set, sortFindings(findings)
}

// refuse breaks the apps so far when the owner's directory cannot be listed: which of them it replaces is not known, and the shipped
// manifest would change the app of one that it does.
func refuse(docs map[string]*document, why []Finding) {
	for _, f := range why {
		f.Message = fmt.Sprintf("%s: %s, and it may replace this one", f.File, f.Message)
		for _, doc := range docs {
			doc.add(f)
		}
	}
}

// LoadFile reads one manifest, which lies in the folder of its app's name, without looking at other apps.
// The app is nil when it is broken.
func LoadFile(path string) (*App, []Finding) {
	doc := fileDocument(path)
	findings := sortFindings(doc.findings)
	demote(findings)
	if doc.broken() {
		return nil, findings
	}
	return doc.app, findings
}

// fileDocument reads a manifest by its path. A file of another name than manifest.yml may lie anywhere.
func fileDocument(path string) *document {
	dir, id := filepath.Dir(path), ""
	if filepath.Base(path) == manifestName {
		if full, err := filepath.Abs(dir); err == nil {
			id = filepath.Base(full)
		}
	}
	data, err := readFile(path)
	if err != nil {
		return unreadable(id, path, err)
	}
	doc := decodeAndCheck(data, id, path)
	doc.app.Dir = dir
	if doc.id == "" {
		doc.rename(doc.app.ID)
	}
	return doc
}

// rename gives a document that lies in no app's folder the id that it names itself.
func (d *document) rename(id string) {
	d.id = id
	for i := range d.findings {
		d.findings[i].App = id
	}
}

// readFile reads a file of its own folder: a link that leads out is refused.
func readFile(path string) ([]byte, error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := openNonblocking(root, filepath.Base(path))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readRegular(file)
}

// documents reads all apps of a source, side by side.
func (s Source) documents() (map[string]*document, []Finding) {
	o, err := s.open()
	if err != nil {
		return nil, s.absent(err)
	}
	defer o.close()
	ids, err := o.ids()
	if err != nil {
		return nil, s.absent(err)
	}
	docs := make([]*document, len(ids))
	said := make([]*Finding, len(ids))
	parallel(len(ids), func(i int) { docs[i], said[i] = o.load(ids[i]) })

	byID := make(map[string]*document, len(ids))
	var findings []Finding
	for i, id := range ids {
		if docs[i] != nil {
			byID[id] = docs[i]
		}
		if said[i] != nil {
			findings = append(findings, *said[i])
		}
	}
	return byID, findings
}

// absent is the finding for a directory that cannot be listed; the owner's need not exist.
func (s Source) absent(err error) []Finding {
	if s.Local && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return []Finding{s.finding(err)}
}

// parallel calls work for 0 to n-1 on all cores.
func parallel(n int, work func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := range next {
				work(i)
			}
		})
	}
	wg.Wait()
}

// newSet applies the rules that look at more than one app. closed: an app that is not among docs does not exist.
func newSet(docs []*document, closed bool) (*Set, []Finding) {
	slices.SortFunc(docs, func(a, b *document) int { return strings.Compare(a.file, b.file) })
	s := &Set{Apps: map[string]*App{}, Broken: map[string][]Finding{}, docs: map[string]*document{}}
	x := &crossCheck{set: s, docs: docs, closed: closed}
	x.run()

	var findings []Finding
	for _, doc := range docs {
		findings = append(findings, doc.findings...)
	}
	return s, findings
}

// ids lists the usable apps, sorted.
func (s *Set) ids() []string { return slices.Sorted(maps.Keys(s.Apps)) }
