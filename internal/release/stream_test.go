package release

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/iotest"
	"time"
)

// TestTruncated: cut anywhere, the archive is refused as cut short.
func TestTruncated(t *testing.T) {
	whole := tarOf(goodItems())
	for n := 0; n < len(whole); n += blockSize {
		r := verify(t, testRules(), gz(whole[:n]))
		if codes(r) != "E_TRUNCATED" {
			t.Errorf("tar cut at block %d of %d: %s", n/blockSize, len(whole)/blockSize, codes(r))
		}
	}
	compressed := gz(whole)
	for n := range len(compressed) {
		r := verify(t, testRules(), compressed[:n])
		if codes(r) != "E_TRUNCATED" {
			t.Fatalf("gzip cut at byte %d of %d: %s", n, len(compressed), codes(r))
		}
	}
}

// TestDamagedByte: no damage of one byte goes unseen once the digest is known, and none is taken for a fault of
// reading.
func TestDamagedByte(t *testing.T) {
	archive := tgz(goodItems())
	good := verify(t, testRules(), archive)
	rules := testRules()
	rules.Frontend = &Component{SHA256: good.SHA256, SizeBytes: good.Size}
	for i := 0; i < len(archive); i += 3 {
		damaged := bytes.Clone(archive)
		damaged[i] ^= 0x55
		if r := verify(t, rules, damaged); r.OK {
			t.Errorf("byte %d changed: %v", i, r.Findings)
		}
	}
}

// TestVerifyReadsToTheEnd: the digest is of the whole file also when the archive is hopeless, and whoever feeds a pipe is not
// left with a closed one.
func TestVerifyReadsToTheEnd(t *testing.T) {
	data := append([]byte("not gzip"), make([]byte, 3<<20)...)
	in := bytes.NewReader(data)
	r, err := testRules().Verify(t.Context(), in, int64(len(data)), "x")
	if err != nil || in.Len() != 0 || r.Size != int64(len(data)) || len(r.SHA256) != 64 {
		t.Errorf("%v, %d bytes left, %+v", err, in.Len(), r)
	}
	if r.Stopped != GzipFormat {
		t.Errorf("stopped is %q", r.Stopped)
	}
}

func TestReadErrorIsNoFinding(t *testing.T) {
	broken := errors.New("input/output error")
	archive := tgz(goodItems())
	src := io.MultiReader(bytes.NewReader(archive[:100]), iotest.ErrReader(broken))
	if _, err := testRules().Verify(t.Context(), src, int64(len(archive)), "x"); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := testRules().Verify(ctx, bytes.NewReader(tgz(goodItems())), 1000, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestFindingsAreCapped(t *testing.T) {
	items := goodItems()
	for range 3000 {
		items = append(items, file("/x", ""))
	}
	rules := testRules()
	rules.Limits.Ratio = 1000
	r := verify(t, rules, tgz(items))
	if len(r.Findings) != 1000 || r.Errors != 3000 || r.Unlisted != 2000 {
		t.Errorf("%d listed, %d errors, %d not listed", len(r.Findings), r.Errors, r.Unlisted)
	}
}

// endless writes an archive of files of 64 MiB until it has about total bytes. It compresses 15 to 1, so that the ratio is
// not what ends the pass.
func endless(w io.Writer, total int64) {
	z, _ := gzip.NewWriterLevel(w, 1)
	for _, i := range goodItems() {
		z.Write(i.block())
	}
	content := []byte(random(4096) + string(make([]byte, 60<<10)))
	for n := int64(0); n < total; n += 64 << 20 {
		i := file("./x"+stamp(-n-1_000_000_000), "")
		i.size = "00400000000"
		z.Write(i.block())
		for range 1024 {
			z.Write(content)
		}
	}
	z.Write(make([]byte, 2*blockSize))
	z.Close()
}

// TestMemory: what a pass holds does not grow with the archive: 50 000 entries with long names, or gigabytes.
func TestMemory(t *testing.T) {
	for name, feed := range map[string]func(io.Writer){
		"long names": func(w io.Writer) { manyNames(w, 49_000) },
		"1 GiB":      func(w io.Writer) { endless(w, 1<<30) },
	} {
		t.Run(name, func(t *testing.T) {
			pr, pw := io.Pipe()
			go func() { feed(pw); pw.Close() }()
			rules := testRules()
			stop, most := watchHeap()
			r, err := rules.Verify(t.Context(), pr, -1, "x")
			stop()
			if err != nil || r.Errors > 0 {
				t.Fatalf("%v, %d errors: %v", err, r.Errors, r.Findings[:min(len(r.Findings), 3)])
			}
			t.Logf("%s, heap at most %s", r.Line(), Bytes(int64(*most)))
			if *most > 64<<20 {
				t.Errorf("heap grew to %s", Bytes(int64(*most)))
			}
		})
	}
}

func manyNames(w io.Writer, n int) {
	z, _ := gzip.NewWriterLevel(w, 1)
	for _, i := range goodItems() {
		z.Write(i.block())
	}
	for n := range n {
		i := pax("path=./x" + hexName(n))
		z.Write(i.block())
		z.Write(file("./x", "").block())
	}
	z.Write(make([]byte, 2*blockSize))
	z.Close()
}

// hexName is a name of 250 bytes that does not compress well.
func hexName(n int) string {
	const digits = "0123456789abcdef"
	b := []byte(stamp(-int64(n) - 1_000_000_000))
	state := uint64(n)*0x9e3779b97f4a7c15 + 1
	for len(b) < 250 {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		b = append(b, digits[state&15])
	}
	return string(b)
}

// watchHeap takes the largest heap that it sees until stop.
func watchHeap() (stop func(), most *uint64) {
	debug.FreeOSMemory()
	most = new(uint64)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			*most = max(*most, m.HeapAlloc)
			select {
			case <-quit:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() { close(quit); <-done }, most
}
