package secrets

import (
	"crypto/rand"
	"io"
)

// Draft draws a value of a kind without writing it, so that a plan can be made with it. For Bcrypt plain is the
// password that fits the hash. A nil source is crypto/rand.
func Draft(kind Kind, source io.Reader) (v, plain Value, err error) {
	if source == nil {
		source = rand.Reader
	}
	v, err = kind.make(source)
	if kind == Bcrypt && err == nil {
		plain = v
		v, err = hashPlain(plain)
	}
	return v, plain, err
}

// Create writes a drafted secret if there is none; an existing value is never replaced. created is false then, and v
// is the value that counts. For Bcrypt the plain text comes first, as in Generate.
func (s *Store) Create(name string, kind Kind, value, plain Value) (v Value, created bool, err error) {
	if err := checkGenerate(name, kind); err != nil {
		return Value{}, false, err
	}
	err = s.locked(func() error {
		if kind == Bcrypt {
			v, created, err = s.createHash(name, value, plain)
			return err
		}
		v, created, err = s.generateLocked(name, func() (Value, error) { return value, nil })
		return err
	})
	return v, created, err
}

// createHash leaves a hash alone that is there without a plain text, and hashes a plain text anew that another run left.
func (s *Store) createHash(name string, hash, plain Value) (Value, bool, error) {
	if err := s.finishRotation(name); err != nil {
		return Value{}, false, err
	}
	if v, err := s.Read(name); err == nil || !IsMissing(err) {
		return v, false, err
	}
	have, _, err := s.generateLocked(name+PlainSuffix, func() (Value, error) { return plain, nil })
	if err != nil {
		return Value{}, false, err
	}
	if !have.Equal(plain) {
		return s.generateHash(name)
	}
	return s.generateLocked(name, func() (Value, error) { return hash, nil })
}
