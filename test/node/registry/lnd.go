package registry

import v1 "github.com/google/go-containerregistry/pkg/v1"

// LND is an image of the real LND, laid out like the official one: files are its programs.
func (s *Stock) LND(files Files) (v1.Image, error) {
	programs, err := files.Layer()
	if err != nil {
		return nil, err
	}
	config := lnd.config
	config.Env = append([]string{pathEnv}, config.Env...)
	return Image(config, s.busybox, programs)
}
