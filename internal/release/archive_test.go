package release

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// now is when the tests take place; epoch is the time in their archives.
var now = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

const epoch = 1767225600 // 2026-01-01

// item is one entry of a hand-made archive, or bytes that are put there as they are.
type item struct {
	name, link   string
	kind         byte
	mode         int64
	uid, gid     int64
	user, group  string
	mtime        int64
	data         string
	size         string // the field's 12 bytes instead of the length of data
	magic        string
	fill         byte // of the padding
	raw          []byte
	badSum       bool
	afterName    string // behind the NUL
	extendedMore bool
}

func dir(name string) item { return item{name: name, kind: typeDir, mode: 0o755, mtime: epoch} }
func file(name, data string) item {
	return item{name: name, data: data, kind: typeFile, mode: 0o644, mtime: epoch}
}
func link(name, target string) item {
	i := file(name, "")
	i.kind, i.link, i.mode = typeSymlink, target, 0o777
	return i
}
func blocks(data ...byte) item         { return item{raw: data} }
func (i item) with(f func(*item)) item { f(&i); return i }

// block is the header and the content of an item.
func (i item) block() []byte {
	if i.raw != nil {
		return i.raw
	}
	h := make([]byte, blockSize)
	put := func(at int, s string) { copy(h[at:], s) }
	put(0, i.name+"\x00"+i.afterName)
	if i.afterName == "" {
		put(0, i.name)
	}
	put(100, fmt.Sprintf("%07o", i.mode))
	put(108, fmt.Sprintf("%07o", i.uid))
	put(116, fmt.Sprintf("%07o", i.gid))
	put(124, fmt.Sprintf("%011o", len(i.data)))
	if i.size != "" {
		put(124, i.size)
	}
	put(136, fmt.Sprintf("%011o", i.mtime))
	h[156] = i.kind
	put(157, i.link)
	if i.magic == "" {
		i.magic = "ustar\x0000"
	}
	put(257, i.magic)
	put(265, i.user)
	put(297, i.group)
	if i.extendedMore {
		h[482] = 1
	}
	sum := int64(8 * ' ')
	for _, b := range h {
		sum += int64(b)
	}
	if i.badSum {
		sum++
	}
	put(148, fmt.Sprintf("%06o\x00 ", sum))
	h = append(h, i.data...)
	for len(h)%blockSize != 0 {
		h = append(h, i.fill)
	}
	return h
}

// pax is a local PAX header.
func pax(records ...string) item {
	var data string
	for _, r := range records {
		data += record(r)
	}
	return item{name: "PaxHeaders/x", kind: typePaxLocal, mode: 0o644, mtime: epoch, data: data}
}

func record(text string) string {
	n := len(text) + 3
	for len(fmt.Sprintf("%d %s\n", n, text)) != n {
		n++
	}
	return fmt.Sprintf("%d %s\n", n, text)
}

const appManifest = `app:
  id: web
  name: Web
  version: 1.0.0
  container:
    image: registry.example/web:1.0.0
`

// goodItems are an archive that has nothing wrong.
func goodItems() []item {
	return []item{
		dir("./"), dir("./aiui/"), file("./aiui/index.html", "<p>chat"),
		dir("./archipelago-runtime/"), dir("./archipelago-runtime/apps/"), dir("./archipelago-runtime/apps/web/"),
		file("./archipelago-runtime/apps/web/manifest.yml", appManifest),
		dir("./assets/"), file("./assets/app.css", "p{}"), file("./assets/app.js", "alert(1)"),
		file("./catalog.json", "{}"),
		file("./index.html", `<!doctype html><script src="/assets/app.js"></script><link rel=stylesheet href=./assets/app.css?v=1><script src="https://elsewhere.example/x.js"></script>`),
	}
}

// plus is the good archive with further entries at its end, where names sort last.
func plus(items ...item) []item { return append(goodItems(), items...) }

// changed is the good archive with one entry changed.
func changed(name string, f func(*item)) []item {
	items := goodItems()
	i := slices.IndexFunc(items, func(i item) bool { return i.name == name })
	f(&items[i])
	return items
}

func without(names ...string) []item {
	return slices.DeleteFunc(goodItems(), func(i item) bool { return slices.Contains(names, i.name) })
}

// tarOf lays items out and ends the archive.
func tarOf(items []item) []byte {
	var b bytes.Buffer
	for _, i := range items {
		b.Write(i.block())
	}
	b.Write(make([]byte, 2*blockSize))
	return b.Bytes()
}

func gz(data []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, 6)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func tgz(items []item) []byte { return gz(tarOf(items)) }

func testRules() Rules { return Rules{Limits: DefaultLimits(), Now: now} }

func verify(t testing.TB, r Rules, archive []byte) Report {
	t.Helper()
	report, err := r.Verify(t.Context(), bytes.NewReader(archive), int64(len(archive)), "a.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// codes are the different codes of a report, sorted.
func codes(r Report) string {
	var list []string
	for _, f := range r.Findings {
		list = append(list, string(f.Code))
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), " ")
}
