package main

import (
	"io"
	"sync"
)

// output is stdout, and remembers the first write that failed: most of what is printed is printed without asking.
type output struct {
	io.Writer

	once sync.Once
	lost error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil {
		o.once.Do(func() { o.lost = err })
	}
	return n, err
}
