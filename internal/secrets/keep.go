package secrets

import "fmt"

// Keep writes a given text where there is no secret of that name. An existing one is never replaced: created is false then,
// and kept is the value that counts.
func (s *Store) Keep(name string, v Value) (kept Value, created bool, err error) {
	if err := v.SingleLine(name); err != nil {
		return Value{}, false, err
	}
	err = s.locked(func() error {
		kept, created, err = s.generateLocked(name, func() (Value, error) { return v, nil })
		return err
	})
	if err != nil {
		return Value{}, false, fmt.Errorf("keeping %s: %w", name, err)
	}
	return kept, created, nil
}
