package state

// followed is the file state/host.json.
type followed struct {
	Schema int                 `json:"schema"`
	Apps   map[string][]string `json:"apps"`
}

func (s *Store) followedPath() string { return s.layout.State("host.json") }

// ReadFollowed gives what root has done for each app outside of its container: a line for each rule of the firewall and each service of Tor.
// The error is a Problem when the file cannot be understood.
func (s *Store) ReadFollowed() (map[string][]string, error) {
	var f followed
	if _, err := s.read(s.followedPath(), &f); err != nil {
		return nil, err
	}
	return f.Apps, nil
}

// WriteFollowed replaces state/host.json, durably. One that cannot be understood is renamed first.
func (s *Store) WriteFollowed(apps map[string][]string) error {
	_, err := s.ReadFollowed()
	if err := s.replaceable(s.followedPath(), err); err != nil {
		return err
	}
	return s.writeJSON(s.followedPath(), followed{Schema, apps})
}
