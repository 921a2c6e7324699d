package release

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// A reader that is faster than the writer gets all bytes, and the reason why no more come.
func TestGrowing(t *testing.T) {
	failed := errors.New("the disk is full")
	for _, end := range []error{nil, failed} {
		path := filepath.Join(t.TempDir(), "f")
		w, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		g, want := newGrowing(w, r), sha256.New()
		go func() {
			for i := range 1000 {
				piece := bytes.Repeat([]byte{byte(i)}, i)
				want.Write(piece)
				if _, err := g.Write(piece); err != nil {
					t.Error(err)
				}
			}
			g.finish(end)
		}()
		got := sha256.New()
		n, err := io.Copy(got, g)
		if n != 999*1000/2 || !errors.Is(err, end) || digest(got) != digest(want) {
			t.Errorf("%d bytes, %v, %s", n, err, digest(got))
		}
	}
}

// Who reads an archive while it is being packed waits for a file that is not known yet, and not for one that never comes.
func TestContentsAreWaitedFor(t *testing.T) {
	c := newContents([]FileEntry{{Path: "a", Size: 1}})
	got := make(chan *FileEntry)
	for _, path := range []string{"b", "c"} {
		go func() { got <- c.get(path) }()
	}
	c.add(FileEntry{Path: "b", Size: 2})
	if b := <-got; b == nil || b.Size != 2 {
		t.Errorf("b is %v", b)
	}
	c.finish()
	if f := <-got; f != nil {
		t.Errorf("c is %v", f)
	}
	if a := c.get("a"); a == nil || a.Size != 1 || len(c.all()) != 2 {
		t.Errorf("a is %v of %v", a, c.all())
	}
}
