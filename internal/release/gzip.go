package release

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/flate"
)

const (
	gzipBlock = 1 << 20 // compressed on its own; part of the format: the same whatever the number of cores
	gzipLevel = 6
)

// gzipHeader: deflate, no flags, no time, no hint, operating system unknown.
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// finalBlock is an empty deflate block marked as the last.
var finalBlock = []byte{3, 0}

// gzipWriter writes one gzip member whose blocks of 1 MiB are compressed side by side. Each ends on a byte (a deflate
// flush), so they are simply put one after the other; the bytes depend on the content alone.
type gzipWriter struct {
	out   io.Writer
	block *gzipJob
	order chan *gzipJob
	done  chan struct{}
	crc   uint32
	size  uint32
	jobs  sync.Pool

	mu  sync.Mutex
	err error
}

// gzipJob is one block on its way.
type gzipJob struct {
	in    []byte
	out   bytes.Buffer
	w     *flate.Writer
	ready chan error
}

func newGzipWriter(out io.Writer) *gzipWriter {
	g := &gzipWriter{out: out, order: make(chan *gzipJob, runtime.GOMAXPROCS(0)), done: make(chan struct{})}
	g.jobs.New = func() any {
		w, _ := flate.NewWriter(nil, gzipLevel)
		return &gzipJob{in: make([]byte, 0, gzipBlock), w: w, ready: make(chan error, 1)}
	}
	go g.write()
	return g
}

// Write takes content. An error of the output comes with a later call.
func (g *gzipWriter) Write(p []byte) (n int, err error) {
	g.crc = crc32.Update(g.crc, crc32.IEEETable, p)
	g.size += uint32(len(p))
	for len(p) > 0 {
		if g.block == nil {
			g.block = g.jobs.Get().(*gzipJob)
		}
		part := p[:min(len(p), gzipBlock-len(g.block.in))]
		g.block.in = append(g.block.in, part...)
		p, n = p[len(part):], n+len(part)
		if len(g.block.in) == gzipBlock {
			g.submit()
		}
	}
	return n, g.failed()
}

func (g *gzipWriter) submit() {
	job := g.block
	g.block = nil
	g.order <- job
	go job.compress()
}

func (j *gzipJob) compress() {
	j.out.Reset()
	j.w.Reset(&j.out)
	_, err := j.w.Write(j.in)
	if err == nil {
		err = j.w.Flush()
	}
	j.ready <- err
}

// write puts out what is ready, in order.
func (g *gzipWriter) write() {
	defer close(g.done)
	g.put(gzipHeader, nil)
	for job := range g.order {
		err := <-job.ready
		g.put(job.out.Bytes(), err)
		job.in = job.in[:0]
		g.jobs.Put(job)
	}
}

// put writes unless something failed before.
func (g *gzipWriter) put(data []byte, err error) {
	if g.failed() != nil {
		return
	}
	if err == nil {
		_, err = g.out.Write(data)
	}
	g.mu.Lock()
	g.err = err
	g.mu.Unlock()
}

func (g *gzipWriter) failed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// Close ends the member. It must be called also after an error.
func (g *gzipWriter) Close() error {
	if g.block != nil {
		g.submit()
	}
	close(g.order)
	<-g.done
	end := binary.LittleEndian.AppendUint32(finalBlock[:2:2], g.crc)
	g.put(binary.LittleEndian.AppendUint32(end, g.size), nil)
	return g.failed()
}
