package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
)

// Generate makes the secret if it is missing or empty, and returns its value either way; created says which. An
// existing value is never replaced, whoever else writes at the same time and wherever a run is killed. For Bcrypt the
// plain text comes first, in NAME.pw, and the hash is made of it: a run that was killed in between is completed by the
// next with the same plain text, and a NAME.pw that the operator put there is used.
func (s *Store) Generate(name string, kind Kind) (v Value, created bool, err error) {
	if err := checkGenerate(name, kind); err != nil {
		return Value{}, false, err
	}
	if kind != Bcrypt {
		// The common case of a pass: it is there, and no lock is needed.
		if v, err := s.Read(name); err == nil || !IsMissing(err) {
			return v, false, err
		}
	}
	err = s.locked(func() error {
		if kind == Bcrypt {
			v, created, err = s.generateHash(name)
			return err
		}
		v, created, err = s.generateLocked(name, func() (Value, error) { return kind.make(s.rand()) })
		return err
	})
	return v, created, err
}

func checkGenerate(name string, kind Kind) error {
	switch {
	case !kind.Generated():
		return fmt.Errorf("secret %s: kind %q is not made by archy (hint: write the file yourself)", name, string(kind))
	case !validName(name):
		return fmt.Errorf("secret %q: not a secret's name (hint: use letters, digits, dot, dash and underscore)", name)
	case strings.HasSuffix(name, PlainSuffix) || strings.Contains(name, backupMark):
		return fmt.Errorf("secret %s: names with %s and %s are kept for plain texts and backups", name, PlainSuffix, backupMark)
	}
	return nil
}

func (s *Store) generateHash(name string) (Value, bool, error) {
	if err := s.finishRotation(name); err != nil {
		return Value{}, false, err
	}
	if v, err := s.Read(name); err == nil || !IsMissing(err) {
		return v, false, err
	}
	plain, _, err := s.generateLocked(name+PlainSuffix, func() (Value, error) { return Bcrypt.make(s.rand()) })
	if err != nil {
		return Value{}, false, err
	}
	return s.generateLocked(name, func() (Value, error) { return hashPlain(plain) })
}

// generateLocked needs the lock: it makes room for a new value by removing an empty file.
func (s *Store) generateLocked(name string, draw func() (Value, error)) (Value, bool, error) {
	v, err := s.Read(name)
	if err == nil || !IsMissing(err) {
		return v, false, err
	}
	if v, err = draw(); err != nil {
		return Value{}, false, fmt.Errorf("making %s: %w", name, err)
	}
	if err := s.removeEmpty(name); err != nil {
		return Value{}, false, err
	}
	err = s.create(name, v)
	if errors.Is(err, fs.ErrExist) {
		// Somebody who does not take our lock was faster; theirs counts.
		v, err = s.Read(name)
		return v, false, err
	}
	return v, err == nil, err
}

func (s *Store) removeEmpty(name string) error {
	raw, _, err := s.readRaw(name)
	if IsMissing(err) {
		return nil
	}
	if err != nil || strings.Trim(string(raw), "\r\n") != "" {
		return err
	}
	if err := failpoint.Write("remove "+s.Path(name), func() error { return os.Remove(s.Path(name)) }); err != nil {
		return fmt.Errorf("removing the empty %s: %w", s.Path(name), err)
	}
	return nil
}
