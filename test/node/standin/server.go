package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// server is what all servers have in common: data, ports, and something they need before they serve.
type server struct {
	name string
	data string // its data directory; empty: none
	// ports are opened once the server is ready, and closed while it is told to be unhealthy.
	ports []port
	// ready tells why the server cannot serve yet; nil: nothing is needed. It is asked every second.
	ready func(context.Context) error
	// fatal makes a first ready error the end of the server.
	fatal bool
	// stopping runs at an orderly stop.
	stopping func()
}

// port is an address to listen on and what to do there; a nil handle holds connections open and says nothing.
type port struct {
	network, addr string
	handle        func(net.Listener)
}

func tcp(addr string, handle func(net.Listener)) port { return port{"tcp", addr, handle} }

func serveHTTP(h http.Handler) func(net.Listener) {
	return func(l net.Listener) { _ = http.Serve(l, h) }
}

// A server looks at its faults and its dependencies often while it starts, then once a second.
const (
	quick   = 100 * time.Millisecond
	slow    = time.Second
	settled = 100
)

// run is a server's life. It returns the exit code.
func (s *server) run() int {
	start := time.Now()
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	f := readFaults(s.data)
	if f.fail != 0 {
		say("%s: fatal: cannot start, as it was told", s.name)
		return f.fail
	}
	store, err := openStore(s.data)
	if err != nil {
		say("%s: fatal: %v", s.name, err)
		return 1
	}
	say("%s: started", s.name)
	doors := &doors{ports: s.ports}
	defer doors.shut()
	checked, readyErr := time.Time{}, error(nil)
	tick := time.NewTicker(quick)
	for looks := 0; ; looks++ {
		if looks == settled {
			tick.Reset(slow) // a node has dozens of these, and they share its processors with what is tested
		}
		f = readFaults(s.data)
		if f.crashAfter > 0 && time.Since(start) >= f.crashAfter {
			say("%s: segmentation fault, as it was told", s.name)
			return 139
		}
		if time.Since(checked) >= time.Second && time.Since(start) >= f.slow {
			checked = time.Now()
			store.beat()
			if readyErr = s.check(readyErr); readyErr != nil && s.fatal {
				return 1
			}
		}
		if err := doors.set(!f.unhealthy && readyErr == nil && time.Since(start) >= f.slow); err != nil {
			say("%s: fatal: %v", s.name, err)
			return 1
		}
		select {
		case <-tick.C:
		case <-stop:
			return s.end(f, store)
		}
	}
}

// check asks whether the server may serve, and says so when the answer changes.
func (s *server) check(last error) error {
	if s.ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := s.ready(ctx)
	switch {
	case err == nil && last != nil:
		say("%s: ready", s.name)
	case err != nil && (last == nil || last.Error() != err.Error()):
		say("%s: error: %v", s.name, err)
	}
	return err
}

func (s *server) end(f faults, store *store) int {
	say("%s: stopping", s.name)
	time.Sleep(f.stop)
	if s.stopping != nil {
		s.stopping()
	}
	store.close()
	return 0
}

// doors are a server's open ports.
type doors struct {
	ports []port
	open  []io.Closer
}

func (d *doors) set(open bool) error {
	if open == (d.open != nil) {
		return nil
	}
	if !open {
		d.shut()
		return nil
	}
	for _, p := range d.ports {
		c, err := p.listen()
		if err != nil {
			d.shut()
			return err
		}
		d.open = append(d.open, c)
	}
	if d.open == nil {
		d.open = []io.Closer{}
	}
	return nil
}

func (d *doors) shut() {
	for _, c := range d.open {
		c.Close()
	}
	d.open = nil
}

func (p port) listen() (io.Closer, error) {
	if p.network == "udp" {
		return net.ListenPacket("udp", p.addr)
	}
	l, err := net.Listen(p.network, p.addr)
	if err != nil {
		return nil, err
	}
	t := &tracked{Listener: l}
	handle := p.handle
	if handle == nil {
		handle = hold
	}
	go handle(t)
	return t, nil
}

// hold accepts connections and drops what they say.
func hold(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(io.Discard, c)
		}()
	}
}

// tracked closes a listener's connections with it.
type tracked struct {
	net.Listener

	mu    sync.Mutex
	conns []net.Conn
}

func (t *tracked) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.conns) > 256 {
		t.conns = t.conns[128:] // old ones are long over
	}
	t.conns = append(t.conns, c)
	return c, nil
}

func (t *tracked) Close() error {
	err := t.Listener.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.conns {
		err = errors.Join(err, c.Close())
	}
	return err
}
