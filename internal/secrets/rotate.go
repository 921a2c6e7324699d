package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"git.tx1138.com/lfg2025/archy/internal/durable"
	"git.tx1138.com/lfg2025/archy/internal/failpoint"
)

// Rotate replaces a secret by a new value of its kind. The old one is kept as NAME.bak-<UTC time>; for Bcrypt so is
// the old plain text. It refuses what RotationRuleFor refuses. It returns the new value and the names of the backups.
func (s *Store) Rotate(name string, kind Kind, dataPresent bool) (v Value, backups []string, err error) {
	if err := checkGenerate(name, kind); err != nil {
		return Value{}, nil, err
	}
	if ok, why := RotationRuleFor(name, dataPresent); !ok {
		return Value{}, nil, errors.New(why)
	}
	err = s.locked(func() error {
		if kind == Bcrypt {
			v, backups, err = s.rotateHash(name)
			return err
		}
		if v, err = kind.make(s.rand()); err != nil {
			return err
		}
		if backups, err = s.backUp(name); err != nil {
			return err
		}
		return s.replace(name, v)
	})
	if err != nil {
		return Value{}, backups, fmt.Errorf("rotating %s: %w", name, err)
	}
	return v, backups, nil
}

// rotateHash changes two files that must fit each other. The new hash is staged first, so that a run killed after the
// plain text was replaced is completed by the next one (finishRotation), not found with a hash that no password fits.
func (s *Store) rotateHash(name string) (Value, []string, error) {
	if err := s.finishRotation(name); err != nil {
		return Value{}, nil, err
	}
	plain, err := Bcrypt.make(s.rand())
	if err != nil {
		return Value{}, nil, err
	}
	hash, err := hashPlain(plain)
	if err != nil {
		return Value{}, nil, err
	}
	backups, err := s.backUp(name, name+PlainSuffix)
	if err != nil {
		return Value{}, nil, err
	}
	for _, step := range []struct {
		name string
		v    Value
	}{{stagedPrefix + name, hash}, {name + PlainSuffix, plain}} {
		if err := s.replace(step.name, step.v); err != nil {
			return Value{}, backups, err
		}
	}
	return hash, backups, s.finishRotation(name)
}

// finishRotation completes or forgets a rotation that was killed: a staged hash that fits the plain text takes its
// place; one that does not was staged before the plain text changed, and goes.
func (s *Store) finishRotation(name string) error {
	staged := stagedPrefix + name
	hash, _, err := s.readRaw(staged)
	if IsMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	plain, err := s.Read(name + PlainSuffix)
	switch {
	case err != nil && !IsMissing(err):
		return err
	case err == nil && hashMatches(New(string(hash)), plain):
		err = failpoint.Write("place "+s.Path(name), func() error { return os.Rename(s.Path(staged), s.Path(name)) })
	default:
		err = failpoint.Write("remove "+s.Path(staged), func() error { return os.Remove(s.Path(staged)) })
	}
	if err != nil {
		return fmt.Errorf("finishing the rotation of %s: %w", name, err)
	}
	return durable.SyncDir(s.Dir)
}

// backUp copies the named secrets. The first must exist, the others are copied if they do.
func (s *Store) backUp(names ...string) ([]string, error) {
	var made []string
	stamp := s.now().Format(stampForm)
	for i, name := range names {
		old, err := s.Read(name)
		if IsMissing(err) && i > 0 {
			continue
		}
		if err != nil {
			return made, err
		}
		backup := name + backupMark + stamp
		err = s.create(backup, old)
		if errors.Is(err, fs.ErrExist) {
			return made, fmt.Errorf("%s exists: it was rotated within this second (hint: try again)", s.Path(backup))
		}
		if err != nil {
			return made, err
		}
		made = append(made, backup)
	}
	return made, nil
}
