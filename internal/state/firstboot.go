package state

// WriteFirstBoot replaces state/first-boot.json, how far the first boot is, durably. A full disk is met by giving up the
// reserve file.
func (s *Store) WriteFirstBoot(progress any) error {
	return s.writeJSON(s.layout.State("first-boot.json"), progress)
}

// ReadFirstBoot reads it into v; found is false when there was no first boot yet. The error is a Problem when the file
// cannot be understood.
func (s *Store) ReadFirstBoot(v any) (found bool, err error) {
	return s.read(s.layout.State("first-boot.json"), v)
}

// KeepFirstBootAside makes room for the progress of a new run, where reading that of the last one gave err: what cannot be
// understood is renamed.
func (s *Store) KeepFirstBootAside(err error) error {
	return s.replaceable(s.layout.State("first-boot.json"), err)
}
