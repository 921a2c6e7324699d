package state

// WriteHeal replaces state/heal.json, the last climbs of the heal ladder, durably. A full disk is met by giving up the reserve file.
func (s *Store) WriteHeal(history any) error {
	return s.writeJSON(s.layout.State("heal.json"), history)
}

// ReadHeal reads it into v; found is false when podman was never healed. The error is a Problem when the file cannot be understood.
func (s *Store) ReadHeal(v any) (found bool, err error) {
	return s.read(s.layout.State("heal.json"), v)
}

// KeepHealAside makes room for a new history where reading the last one gave err: what cannot be understood is renamed.
func (s *Store) KeepHealAside(err error) error {
	return s.replaceable(s.layout.State("heal.json"), err)
}
