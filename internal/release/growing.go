package release

import (
	"io"
	"os"
	"sync"
)

// growing is a file that one writes while another reads what was written, so that an archive can be checked while it is
// being packed. The writer never waits for the reader.
type growing struct {
	w, r *os.File

	mu   sync.Mutex
	more sync.Cond
	n    int64 // bytes written
	end  error // nil while it grows, io.EOF when it is whole
	at   int64 // of the reader
}

// newGrowing writes to w; r is the same file, opened for reading.
func newGrowing(w, r *os.File) *growing {
	g := &growing{w: w, r: r}
	g.more.L = &g.mu
	return g
}

func (g *growing) Write(p []byte) (int, error) {
	n, err := g.w.Write(p)
	g.mu.Lock()
	g.n += int64(n)
	g.mu.Unlock()
	g.more.Broadcast()
	return n, err
}

// finish says that nothing more comes: because of err, or because the file is whole.
func (g *growing) finish(err error) {
	if err == nil {
		err = io.EOF
	}
	g.mu.Lock()
	g.end = err
	g.mu.Unlock()
	g.more.Broadcast()
}

// Read gives what was written, and waits where nothing more is there yet.
func (g *growing) Read(p []byte) (int, error) {
	g.mu.Lock()
	for g.at == g.n && g.end == nil {
		g.more.Wait()
	}
	left, end := g.n-g.at, g.end
	g.mu.Unlock()
	if left == 0 {
		return 0, end
	}
	n, err := g.r.Read(p[:min(int64(len(p)), left)])
	g.at += int64(n)
	return n, err
}

// contents are the files that an archive must hold. They may become known while it is being read.
type contents struct {
	mu    sync.Mutex
	more  sync.Cond
	files map[string]*FileEntry
	whole bool
}

// newContents knows these files; more may follow until finish.
func newContents(files []FileEntry) *contents {
	c := &contents{files: map[string]*FileEntry{}}
	c.more.L = &c.mu
	for i := range files {
		c.files[files[i].Path] = &files[i]
	}
	return c
}

func (c *contents) add(f FileEntry) {
	c.mu.Lock()
	c.files[f.Path] = &f
	c.mu.Unlock()
	c.more.Broadcast()
}

// finish says that no further file follows.
func (c *contents) finish() {
	c.mu.Lock()
	c.whole = true
	c.mu.Unlock()
	c.more.Broadcast()
}

// get waits until the file is known, or known not to be one of them: nil.
func (c *contents) get(path string) *FileEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.files[path] == nil && !c.whole {
		c.more.Wait()
	}
	return c.files[path]
}

// all waits until no further file can follow.
func (c *contents) all() map[string]*FileEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.whole {
		c.more.Wait()
	}
	return c.files
}
