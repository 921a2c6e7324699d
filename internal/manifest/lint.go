package manifest

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Lint checks manifests: each path is a manifest, the folder of an app, or a directory of apps. A single
// app is checked against its neighbours, whose own findings are not shown. A strict lint calls unknown keys errors.
func Lint(paths []string, strict bool) []Finding {
	l := linter{docs: map[string]*document{}, shown: map[string]bool{}}
	for _, p := range paths {
		l.add(p)
	}
	return l.finish(strict)
}

// LintSources checks all apps of some sources, where an app of a later one replaces those before it.
func LintSources(strict bool, sources ...Source) []Finding {
	l := linter{docs: map[string]*document{}, shown: map[string]bool{}, closed: true}
	docs := map[string]*document{}
	for _, s := range sources {
		found, said := s.documents()
		maps.Copy(docs, found)
		l.findings = append(l.findings, said...)
	}
	for _, doc := range docs {
		l.keep(doc, true)
	}
	return l.finish(strict)
}

type linter struct {
	docs     map[string]*document // by file
	shown    map[string]bool      // files whose findings were asked for
	closed   bool                 // all apps there are were read
	findings []Finding
}

func (l *linter) add(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.findings = append(l.findings, Finding{File: path, Severity: Error, Message: "cannot be read: " + reason(err), Hint: "name a manifest, the folder of an app, or a directory of apps"})
	case !info.IsDir():
		l.file(path)
	case isFile(filepath.Join(path, manifestName)):
		l.file(filepath.Join(path, manifestName))
	default:
		l.dir(path, true)
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// file reads one manifest, and its neighbours when it lies in a directory of apps.
func (l *linter) file(path string) {
	path = filepath.Clean(path)
	l.keep(fileDocument(path), true)
	if filepath.Base(path) == manifestName {
		l.dir(filepath.Join(filepath.Dir(path), ".."), false)
	}
}

func (l *linter) dir(path string, shown bool) {
	docs, said := Source{Prefix: path}.documents()
	if shown {
		l.findings = append(l.findings, said...)
		if len(docs) == 0 && len(said) == 0 {
			l.findings = append(l.findings, Finding{File: path, Severity: Error, Message: "holds no apps", Hint: "an app is a folder with a " + manifestName})
		}
	}
	l.closed = l.closed || shown || len(docs) > 1
	for _, doc := range docs {
		l.keep(doc, shown)
	}
}

// keep adds a document; the same file is read under one name only.
func (l *linter) keep(doc *document, shown bool) {
	key := doc.file
	if full, err := filepath.Abs(key); err == nil {
		key = full
	}
	if _, there := l.docs[key]; !there {
		l.docs[key] = doc
	}
	l.shown[l.docs[key].file] = l.shown[l.docs[key].file] || shown
}

func (l *linter) finish(strict bool) []Finding {
	_, found := newSet(slices.Collect(maps.Values(l.docs)), l.closed)
	for _, f := range found {
		if l.shown[f.File] {
			l.findings = append(l.findings, f)
		}
	}
	if strict {
		promote(l.findings)
	}
	return sortFindings(l.findings)
}

// LintTexts checks manifests that lie in memory, by the id of their app, as if there were no others. dir is how their
// directory is called in findings.
func LintTexts(dir string, texts map[string][]byte) []Finding {
	l := linter{docs: map[string]*document{}, shown: map[string]bool{}, closed: true}
	for id, data := range texts {
		l.keep(decodeAndCheck(data, id, filepath.Join(dir, id, manifestName)), true)
	}
	return l.finish(false)
}
