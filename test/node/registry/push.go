package registry

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Add puts an image under a reference, in place of one that may be there.
func (s *Server) Add(ref string, img v1.Image) error {
	k := key(ref)
	name, tag := split(k)
	if err := s.addBlobs(name, img); err != nil {
		return fmt.Errorf("registry: %s: %w", ref, err)
	}
	manifest, err := img.RawManifest()
	if err != nil {
		return fmt.Errorf("registry: %s: %w", ref, err)
	}
	media, err := img.MediaType()
	if err != nil {
		return fmt.Errorf("registry: %s: %w", ref, err)
	}
	if err := s.send(http.MethodPut, "/v2/"+name+"/manifests/"+tag, media, manifest); err != nil {
		return fmt.Errorf("registry: %s: %w", ref, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images[k] = img
	return nil
}

// Archive writes the image of a reference as podman save does, with the reference in it.
func (s *Server) Archive(ref, path string) error {
	s.mu.Lock()
	img := s.images[key(ref)]
	s.mu.Unlock()
	if img == nil {
		return fmt.Errorf("registry: no image under %s", ref)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	return tarball.WriteToFile(path, tag, img)
}

func (s *Server) addBlobs(name string, img v1.Image) error {
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	digest, err := img.ConfigName()
	if err != nil {
		return err
	}
	if err := s.addBlob(name, digest, config); err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return err
		}
		if s.hasBlob(name, digest) {
			continue
		}
		if err := s.addLayer(name, digest, layer); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) addLayer(name string, digest v1.Hash, layer v1.Layer) error {
	r, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	var data bytes.Buffer
	if _, err := data.ReadFrom(r); err != nil {
		return err
	}
	return s.addBlob(name, digest, data.Bytes())
}

func (s *Server) addBlob(name string, digest v1.Hash, data []byte) error {
	return s.send(http.MethodPost, "/v2/"+name+"/blobs/uploads/?digest="+digest.String(), "", data)
}

func (s *Server) hasBlob(name string, digest v1.Hash) bool {
	req := httptest.NewRequest(http.MethodHead, "/v2/"+name+"/blobs/"+digest.String(), nil)
	res := httptest.NewRecorder()
	s.store.ServeHTTP(res, req)
	return res.Code == http.StatusOK
}

// send asks the store without a network.
func (s *Server) send(method, path string, media types.MediaType, body []byte) error {
	req := httptest.NewRequest(method, path, bytes.NewReader(body))
	if media != "" {
		req.Header.Set("Content-Type", string(media))
	}
	res := httptest.NewRecorder()
	s.store.ServeHTTP(res, req)
	if res.Code >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, res.Code, res.Body)
	}
	return nil
}
