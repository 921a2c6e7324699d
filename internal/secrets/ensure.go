package secrets

import "errors"

// Ensure generates the wanted secrets that are missing and returns the names of those it made, in the order asked.
// One that fails does not keep the others from being made; all errors come back joined. Kinds that archy does not
// make are passed over. Secrets of apps that have data are asked of GenerationRule first.
func (s *Store) Ensure(wanted []Wanted) (made []string, err error) {
	var errs []error
	for _, w := range wanted {
		if !w.Kind.Generated() {
			continue
		}
		_, created, err := s.Generate(w.Name, w.Kind)
		if err != nil {
			errs = append(errs, err)
		}
		if created {
			made = append(made, w.Name)
		}
	}
	return made, errors.Join(errs...)
}
