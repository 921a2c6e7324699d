package secrets

import "fmt"

// Take replaces a secret by a value that an existing container uses. The old file is kept as NAME.bak-<UTC time>; its name
// is returned, "" when there was none.
func (s *Store) Take(name string, v Value) (backup string, err error) {
	if err := v.SingleLine(name); err != nil {
		return "", err
	}
	err = s.locked(func() error {
		if have, err := s.Read(name); err == nil {
			if have.Equal(v) {
				return nil
			}
			kept, err := s.backUp(name)
			if err != nil {
				return err
			}
			backup = kept[0]
		} else if !IsMissing(err) {
			return err
		}
		return s.replace(name, v)
	})
	if err != nil {
		return backup, fmt.Errorf("taking over %s: %w", name, err)
	}
	return backup, nil
}
