package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

func (s *Store) historyPath(app string) string { return s.layout.State("restarts", app+".json") }

// ReadHistory reads the restart history of an app; an app without one gets an empty history. The error is a
// Problem, and the history is empty then too.
func (s *Store) ReadHistory(app string) (History, error) {
	h := History{App: app}
	if _, err := s.read(s.historyPath(app), &h); err != nil {
		return History{App: app}, ofApp(err, app)
	}
	h.App = app
	return h, nil
}

// ReadHistories reads all restart histories by app id, and what could not be read.
func (s *Store) ReadHistories() (map[string]History, []Problem) {
	histories := map[string]History{}
	ids, problems := s.ids("restarts")
	for _, id := range ids {
		h, err := s.ReadHistory(id)
		if err != nil {
			problems = append(problems, asProblem(err))
		}
		histories[id] = h
	}
	return histories, problems
}

// WriteHistory keeps a history. Nothing is written when the file says the same already, and a history
// with nothing to remember removes its file.
func (s *Store) WriteHistory(h History) error {
	if h.App == "" {
		return errors.New("restart history without an app id")
	}
	path := s.historyPath(h.App)
	if h.empty() {
		return s.dropHistory(h.App)
	}
	h.Schema = Schema
	data, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	data = append(data, '\n')
	if old, err := os.ReadFile(s.layout.Host(path)); err == nil && bytes.Equal(old, data) {
		return nil
	}
	_, err = s.ReadHistory(h.App)
	if err := s.replaceable(path, err); err != nil {
		return err
	}
	return s.write(path, data, 0o600)
}

// dropHistory removes a history that reads; one that does not stays for a person to look at.
func (s *Store) dropHistory(app string) error {
	if _, err := s.ReadHistory(app); err != nil {
		return nil
	}
	return s.remove(s.historyPath(app))
}
