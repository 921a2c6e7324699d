package reconcile

import (
	"fmt"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

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

// SecretModes sees and mends who may read the secret files.
type SecretModes interface {
	CheckModes() []secrets.Finding
	Repair(f secrets.Finding) error
}

// closeSecrets mends the modes of the secret files in a full pass, and tells which were wrong. An owner is only told: the service user
// cannot take a file over, and root does it in `archy doctor --fix`.
func (p *Pass) closeSecrets(r *Result) {
	o := p.Observer.Options
	if p.Modes == nil || len(o.Only) > 0 || o.AdoptOnly {
		return
	}
	for _, f := range p.Modes.CheckModes() {
		text := fmt.Sprintf("secret access: %s %s", f.Path, f.Detail)
		switch {
		case f.Code != secrets.Mode && f.Code != secrets.DirMode:
			text += " (hint: " + f.Repair + ")"
		case o.CheckOnly:
			r.openSecrets = true
			text += "; a pass mends it"
		default:
			r.openSecrets = true
			if err := p.Modes.Repair(f); err != nil {
				text += ": " + err.Error()
			} else {
				text += "; mended"
			}
		}
		r.Warnings = append(r.Warnings, text)
	}
}
