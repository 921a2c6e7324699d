package reconcile

import "git.tx1138.com/lfg2025/archy/internal/secrets"

// SecretStore is the SecretFiles of a node. The directory is made with the first secret.
type SecretStore struct{ *secrets.Store }

// Take replaces a secret by the value that a container uses; the old one is kept beside it.
func (s SecretStore) Take(name string, value secrets.Value) error {
	_, err := s.Store.Take(name, value)
	return err
}

// Create writes a drafted secret.
func (s SecretStore) Create(name string, kind secrets.Kind, value, plain secrets.Value) (secrets.Value, bool, error) {
	if err := s.Init(); err != nil {
		return secrets.Value{}, false, err
	}
	return s.Store.Create(name, kind, value, plain)
}
