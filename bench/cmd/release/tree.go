package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

const appManifest = "app:\n  id: web\n  name: Web\n  version: 1.0.0\n  container:\n    image: registry.example/web:1.0.0\n"

// makeTree lays down what a release is made of: files of 1 KB to 5 MB, four of five bytes text as a bundler writes it,
// the others as incompressible as pictures. The same on every machine.
func makeTree(dir, backend string, size int64) (string, error) {
	g := &generator{dir: dir, random: rand.New(rand.NewPCG(1, 2))}
	g.write("dist/index.html", []byte("<script src=/assets/app.js></script>"))
	g.write("dist/assets/app.js", g.text(100_000))
	g.write("dist/catalog.json", []byte("{}"))
	g.write("catalog.json", []byte("{}"))
	g.write("aiui/index.html", []byte("<p>chat"))
	g.write("apps/web/manifest.yml", []byte(appManifest))
	g.write("news.txt", []byte("faster\n"))
	program, err := os.ReadFile(backend)
	if err != nil {
		return "", err
	}
	g.write("archipelago", program)
	var total int64
	var files int
	for ; total < size; files++ {
		// Evenly spread over the orders of magnitude, as the files of a page are.
		n := int(1000 * math.Pow(5000, g.random.Float64()))
		name, data := fmt.Sprintf("dist/assets/%02d/chunk-%05d.js", files%40, files), []byte(nil)
		if files%5 == 4 {
			name, data = fmt.Sprintf("dist/assets/%02d/picture-%05d.png", files%40, files), g.noise(n)
		} else {
			data = g.text(n)
		}
		g.write(name, data)
		total += int64(n)
	}
	if g.err == nil {
		g.err = os.Chmod(filepath.Join(dir, "archipelago"), 0o755)
	}
	return fmt.Sprintf("%d files of 1 KB to 5 MB, %d MB, four fifths text", files, total/1_000_000), g.err
}

// generator keeps the first error.
type generator struct {
	dir    string
	random *rand.Rand
	words  []string
	err    error
}

func (g *generator) write(name string, data []byte) {
	path := filepath.Join(g.dir, name)
	if g.err == nil {
		g.err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if g.err == nil {
		g.err = os.WriteFile(path, data, 0o644)
	}
}

// text is minified script: names that come again and again, short ones more often, and numbers.
func (g *generator) text(n int) []byte {
	if g.words == nil {
		g.words = []string{"function(", "return ", "const ", "=>{", "})", "===", "&&", ".map(", "this.", "null", "void 0", ",", ";", "e.", "t(", "n="}
		for range 3000 {
			g.words = append(g.words, fmt.Sprintf("%x", g.random.Uint64N(1<<(8+g.random.Uint64N(40)))))
		}
	}
	var b bytes.Buffer
	for b.Len() < n {
		at := g.random.Float64()
		b.WriteString(g.words[int(at*at*at*float64(len(g.words)))])
	}
	return b.Bytes()[:n]
}

func (g *generator) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.random.Uint32())
	}
	return b
}

// makeLarge writes an archive of that many bytes unpacked which compresses well, but not so well that it is a bomb.
func makeLarge(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewWriterLevel(f, 1)
	if err != nil {
		return err
	}
	w := tar.NewWriter(z)
	g := &generator{random: rand.New(rand.NewPCG(3, 4))}
	content := append(g.noise(4096), make([]byte, 60<<10)...)
	large := func(n int64) io.Reader { return &repeat{data: content, left: n} }
	const one = 250_000_000
	steps := []struct {
		name string
		data string
	}{{"./", ""}, {"./aiui/", ""}, {"./aiui/index.html", "x"}, {"./archipelago-runtime/", ""}, {"./archipelago-runtime/apps/", ""}, {"./archipelago-runtime/apps/web/", ""},
		{"./archipelago-runtime/apps/web/manifest.yml", appManifest}, {"./assets/", ""}, {"./assets/a.js", "x"}, {"./catalog.json", "{}"}, {"./index.html", "<p>"}}
	for _, s := range steps {
		if err := add(w, s.name, int64(len(s.data)), bytes.NewReader([]byte(s.data))); err != nil {
			return err
		}
	}
	for n := int64(0); n < size; n += one {
		if err := add(w, fmt.Sprintf("./x%03d", n/one), one, large(one)); err != nil {
			return err
		}
	}
	for _, c := range []io.Closer{w, z, f} {
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

func add(w *tar.Writer, name string, size int64, content io.Reader) error {
	h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: size, ModTime: time.Unix(1767225600, 0)}
	if name[len(name)-1] == '/' {
		h.Typeflag, h.Mode = tar.TypeDir, 0o755
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(w, content)
	return err
}

// repeat is the same data again and again.
type repeat struct {
	data []byte
	at   int
	left int64
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), r.left)], r.data[r.at:])
	r.at, r.left = (r.at+n)%len(r.data), r.left-int64(n)
	return n, nil
}
