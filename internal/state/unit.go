package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

func (s *Store) prevUnitPath(container string) string {
	return s.layout.State("units", container+".prev")
}

func (s *Store) legacyPath(container string) string {
	return s.layout.State("units", container+".legacy.json")
}

// SavePrevUnit keeps the unit text that a replacement is about to overwrite.
func (s *Store) SavePrevUnit(container string, text []byte) error {
	return s.write(s.prevUnitPath(container), text, 0o600)
}

// PrevUnit reads the kept unit text; found is false when there is none.
func (s *Store) PrevUnit(container string) (text []byte, found bool, err error) {
	return s.readBytes(s.prevUnitPath(container))
}

// DropPrevUnit forgets the kept unit text.
func (s *Store) DropPrevUnit(container string) error { return s.remove(s.prevUnitPath(container)) }

// SaveLegacy keeps what inspect said about a container before its migration. The caller removes secrets first.
func (s *Store) SaveLegacy(container string, inspect []byte) error {
	return s.write(s.legacyPath(container), inspect, 0o600)
}

// Legacy reads what SaveLegacy kept; found is false when there is none.
func (s *Store) Legacy(container string) (inspect []byte, found bool, err error) {
	return s.readBytes(s.legacyPath(container))
}

func (s *Store) readBytes(path string) ([]byte, bool, error) {
	data, err := os.ReadFile(s.layout.Host(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", path, bare(err))
	}
	return data, true, nil
}
