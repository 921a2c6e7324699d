package release

import "io"

// ahead reads from r in a goroutine of its own, so that inflating, hashing and checking run side by side. It holds
// aheadBuffers pieces at most.
type ahead struct {
	full  chan piece
	empty chan []byte
	quit  chan struct{}
	done  chan struct{}
	now   piece
	rest  []byte
}

// piece is what one Read gave.
type piece struct {
	data []byte
	err  error
}

const (
	aheadBuffers = 4
	aheadSize    = 256 << 10
)

func newAhead(r io.Reader) *ahead {
	a := &ahead{full: make(chan piece, aheadBuffers), empty: make(chan []byte, aheadBuffers), quit: make(chan struct{}), done: make(chan struct{})}
	for range aheadBuffers {
		a.empty <- nil // made when needed: most archives need one or two
	}
	go a.run(r)
	return a
}

func (a *ahead) run(r io.Reader) {
	defer close(a.done)
	for {
		var buf []byte
		select {
		case buf = <-a.empty:
		case <-a.quit:
			return
		}
		if buf == nil {
			buf = make([]byte, aheadSize)
		}
		n, err := fill(r, buf)
		a.full <- piece{buf[:n], err} // never waits: as many places as buffers
		if err != nil {
			return
		}
	}
}

// fill reads until the buffer is full or an error comes.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.now.data != nil {
			a.empty <- a.now.data[:aheadSize]
		}
		a.now = <-a.full
		a.rest = a.now.data
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// stop ends the goroutine and waits for it: what it wrote may be read after that.
func (a *ahead) stop() {
	close(a.quit)
	<-a.done
}
