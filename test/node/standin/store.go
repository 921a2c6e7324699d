package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// What a server keeps in its data directory, so that a test can tell whether the data survived:
//
//	born       a random id, written once
//	heartbeat  a counter that goes up every second that the server runs
//	unclean    how often a start found the previous run without an orderly stop; absent: never
//	running    there while the server runs
type store struct {
	dir   string
	beats int
}

func openStore(dir string) (*store, error) {
	s := &store{dir: dir}
	if dir == "" {
		return s, nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	if err := s.plant(); err != nil {
		return nil, err
	}
	s.beats = s.number("heartbeat")
	if _, err := os.Stat(s.path("running")); err == nil {
		if err := s.write("unclean", strconv.Itoa(s.number("unclean")+1)); err != nil {
			return nil, err
		}
	}
	return s, s.write("running", strconv.Itoa(os.Getpid()))
}

func (s *store) plant() error {
	f, err := os.OpenFile(s.path("born"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, rand.Text())
	return err
}

func (s *store) beat() {
	if s.dir == "" {
		return
	}
	s.beats++
	if err := s.write("heartbeat", strconv.Itoa(s.beats)); err != nil {
		say("error: %v", err)
	}
}

func (s *store) close() {
	if s.dir != "" {
		_ = os.Remove(s.path("running"))
	}
}

func (s *store) path(name string) string { return filepath.Join(s.dir, name) }

func (s *store) number(name string) int {
	text, _ := os.ReadFile(s.path(name))
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// write replaces a file whole: a power cut leaves the old or the new one.
func (s *store) write(name, text string) error {
	tmp := s.path("." + name + ".tmp")
	if err := os.WriteFile(tmp, []byte(text+"\n"), 0o640); err != nil {
		return err
	}
	return os.Rename(tmp, s.path(name))
}
