package spec

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/fstest"
)

func TestContextTag(t *testing.T) {
	base := func() fstest.MapFS {
		return fstest.MapFS{
			"Dockerfile":     {Data: []byte("FROM nginx\n"), Mode: 0o444},
			"www/index.html": {Data: []byte("<html>"), Mode: 0o444},
			"run.sh":         {Data: []byte("#!/bin/sh\n"), Mode: 0o555},
		}
	}
	tag := func(fsys fs.FS) string {
		t.Helper()
		got, err := ContextTag(fsys)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	want := tag(base())
	// The rule is a contract: an image that exists is found again by its tag.
	equal(t, "the tag", want, "ctx-8300153cb939")

	for name, change := range map[string]func(fstest.MapFS){
		"content":       func(f fstest.MapFS) { f["Dockerfile"].Data = []byte("FROM nginx:2\n") },
		"a new file":    func(f fstest.MapFS) { f["www/a.css"] = &fstest.MapFile{} },
		"a moved file":  func(f fstest.MapFS) { f["www/i.html"] = f["www/index.html"]; delete(f, "www/index.html") },
		"executability": func(f fstest.MapFS) { f["run.sh"].Mode = 0o644 },
	} {
		f := base()
		change(f)
		if tag(f) == want {
			t.Errorf("a change of %s gave the same tag", name)
		}
	}
	checkout := base()
	checkout["Dockerfile"].Mode, checkout["run.sh"].Mode = 0o664, 0o775
	equal(t, "the tag under another umask", tag(checkout), want)

	dir := t.TempDir()
	for name, f := range base() {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, f.Data, f.Mode|0o200); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "the tag of a directory", tag(os.DirFS(dir)), want)
	if err := os.Symlink("Dockerfile", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	linked := tag(os.DirFS(dir))
	if linked == want {
		t.Error("a new link gave the same tag")
	}
	if err := os.Remove(filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/shadow", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if got := tag(os.DirFS(dir)); got == linked {
		t.Error("another target gave the same tag")
	}
	if _, err := ContextTag(fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty context gives %v", err)
	}
}

// TestContextTagTakesLittle: of each pass, every file of every app that is built was once a tenth of its memory.
func TestContextTagTakesLittle(t *testing.T) {
	dir := t.TempDir()
	const files = 100
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), make([]byte, 1000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, err := ContextTag(os.DirFS(dir)); err != nil {
				b.Fatal(err)
			}
		}
	})
	if each := r.AllocedBytesPerOp() / files; each > 5000 {
		t.Errorf("%d bytes for a file of 1000", each)
	}
}
