package podmantest

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/podman"
)

func (s *Server) listImages(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]bool{}
	list := []any{}
	for _, image := range s.images {
		if seen[image.ID] {
			continue
		}
		seen[image.ID] = true
		list = append(list, map[string]any{
			"Id": image.ID, "Digest": image.Digest, "RepoTags": image.Names, "RepoDigests": image.Digests, "Size": image.Size,
		})
	}
	answer(w, list)
}

// lookup finds an image by reference or id; the lock is held.
func (s *Server) lookup(name string) (podman.Image, bool) {
	if image, ok := s.images[name]; ok {
		return image, true
	}
	for _, image := range s.images {
		if image.ID == name {
			return image, true
		}
	}
	return podman.Image{}, false
}

func (s *Server) inspectImage(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.PathValue("name")
	image, ok := s.lookup(name)
	if !ok {
		refuse(w, http.StatusNotFound, "failed to find image %s: %s: image not known", name, name)
		return
	}
	answer(w, map[string]any{"Id": image.ID, "Digest": image.Digest, "RepoTags": image.Names})
}

func (s *Server) tag(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.PathValue("name")
	image, ok := s.lookup(name)
	if !ok {
		refuse(w, http.StatusNotFound, "%s: image not known", name)
		return
	}
	s.store(r.URL.Query().Get("repo")+":"+r.URL.Query().Get("tag"), image.ID)
	w.WriteHeader(http.StatusCreated)
}

func (s *Server) removeImage(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.PathValue("name")
	image, ok := s.lookup(name)
	if !ok {
		refuse(w, http.StatusNotFound, "failed to find image %s: %s: image not known", name, name)
		return
	}
	for _, c := range s.containers {
		if c.ImageID == image.ID && len(image.Names) < 2 {
			refuse(w, http.StatusConflict, "image used by %s: image is in use by a container: consider removing the container", c.ID)
			return
		}
	}
	delete(s.images, name)
	for _, other := range image.Names {
		if known, ok := s.images[other]; ok {
			known.Names = slices.DeleteFunc(slices.Clone(known.Names), func(n string) bool { return n == name })
			s.images[other] = known
		}
	}
	answer(w, map[string]any{"Untagged": []string{name}})
}

// pull tells of one layer, as podman does with compatMode.
func (s *Server) pull(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ref := r.URL.Query().Get("reference")
	id, ok := s.registry[ref]
	if !ok {
		refuse(w, http.StatusNotFound, "manifest unknown")
		return
	}
	layer, line := hash("layer " + id)[:12], json.NewEncoder(w)
	_ = line.Encode(map[string]any{"status": "Pulling fs layer", "progressDetail": map[string]any{}, "id": layer})
	for _, n := range []int64{layerSize / 2, layerSize} {
		_ = line.Encode(map[string]any{"status": "Downloading", "progressDetail": map[string]int64{"current": n, "total": layerSize}, "id": layer})
	}
	_ = line.Encode(map[string]any{"status": "Download complete", "progressDetail": map[string]any{}, "id": layer})
	s.store(ref, id)
	_ = line.Encode(map[string]any{"status": "Download complete", "progressDetail": map[string]any{}, "id": id[:12]})
}

// layerSize is the compressed size of every image that can be pulled.
const layerSize = 1 << 20

// load takes an archive of either kind for the image: its id is the hash of the archive.
func (s *Server) load(w http.ResponseWriter, r *http.Request) {
	content, err := readTar(r.Body)
	names := archived(content)
	if err != nil || len(names) == 0 {
		refuse(w, http.StatusInternalServerError, "unable to load image: payload does not match any of the supported image formats:\n * oci: (%v)", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.store(name, hash(content["id"]))
	}
	answer(w, map[string]any{"Names": names})
}

// archived are the references in an archive.
func archived(content map[string]string) []string {
	var docker []struct{ RepoTags []string }
	var oci struct {
		Manifests []struct{ Annotations map[string]string }
	}
	_ = json.Unmarshal([]byte(content["manifest.json"]), &docker)
	_ = json.Unmarshal([]byte(content["index.json"]), &oci)
	var names []string
	for _, image := range docker {
		names = append(names, image.RepoTags...)
	}
	for _, image := range oci.Manifests {
		names = append(names, image.Annotations["org.opencontainers.image.ref.name"])
	}
	return names
}

// build takes the archive for the image: its id is the hash of names and contents. A Dockerfile with the line
// "RUN false" fails.
func (s *Server) build(w http.ResponseWriter, r *http.Request) {
	var files []string
	_ = json.Unmarshal([]byte(r.URL.Query().Get("dockerfile")), &files)
	content, err := readTar(r.Body)
	if err != nil || len(files) != 1 {
		refuse(w, http.StatusInternalServerError, "reading the build context: %v", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	line := json.NewEncoder(w)
	_ = line.Encode(map[string]string{"stream": "STEP 1/1: " + content[files[0]]})
	if strings.Contains(content[files[0]], "RUN false") {
		text := "building at STEP \"RUN false\": while running runtime: exit status 1\n"
		_ = line.Encode(map[string]any{"errorDetail": text, "error": map[string]string{"message": text}})
		return
	}
	id := s.store(r.URL.Query().Get("t"), hash(fmt.Sprint(content)))
	_ = line.Encode(map[string]string{"stream": id + "\n"})
}

func readTar(r io.Reader) (map[string]string, error) {
	content := map[string]string{}
	archive := tar.NewReader(r)
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return content, nil
		}
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			return nil, err
		}
		content[head.Name] = string(data)
	}
}

func (s *Server) listSecrets(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []any{}
	for _, v := range s.secrets {
		list = append(list, map[string]any{"ID": v.ID, "Spec": map[string]any{"Name": v.Name, "Labels": v.Labels}})
	}
	answer(w, list)
}

func (s *Server) createSecret(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	name := q.Get("name")
	if _, taken := s.secrets[name]; taken && q.Get("replace") != "true" {
		refuse(w, http.StatusInternalServerError, "%s: secret name in use", name)
		return
	}
	value, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	labels := map[string]string{}
	if text := q.Get("labels"); text != "" {
		_ = json.Unmarshal([]byte(text), &labels)
	}
	id := s.id("secret")[:25]
	s.secrets[name] = secret{Secret: podman.Secret{ID: id, Name: name, Labels: labels}, value: value}
	answer(w, map[string]string{"ID": id})
}

func (s *Server) removeSecret(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.PathValue("name")
	if _, ok := s.secrets[name]; !ok {
		refuse(w, http.StatusNotFound, "no secret with name or id %q: no such secret", name)
		return
	}
	delete(s.secrets, name)
	w.WriteHeader(http.StatusNoContent)
}

// network is podman's form of a network.
type network struct {
	Name    string            `json:"name"`
	Driver  string            `json:"driver"`
	DNS     bool              `json:"dns_enabled"`
	Labels  map[string]string `json:"labels"`
	Subnets []struct {
		Subnet  string `json:"subnet"`
		Gateway string `json:"gateway"`
	} `json:"subnets"`
}

func (s *Server) listNetworks(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []any{}
	for _, n := range s.networks {
		list = append(list, map[string]any{
			"name": n.Name, "driver": "bridge", "dns_enabled": n.DNS, "labels": n.Labels,
			"subnets": []map[string]string{{"subnet": n.Subnet, "gateway": n.Gateway}},
		})
	}
	answer(w, list)
}

func (s *Server) createNetwork(w http.ResponseWriter, r *http.Request) {
	var n network
	if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
		refuse(w, http.StatusInternalServerError, "failed to decode request JSON payload: %s", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	made := podman.Network{Name: n.Name, DNS: n.DNS, Labels: n.Labels}
	if len(n.Subnets) > 0 {
		made.Subnet, made.Gateway = n.Subnets[0].Subnet, n.Subnets[0].Gateway
	}
	for _, known := range s.networks {
		if known.Name == n.Name {
			refuse(w, http.StatusConflict, "network name %s already used: network already exists", n.Name)
			return
		}
		if made.Subnet != "" && known.Subnet == made.Subnet {
			refuse(w, http.StatusInternalServerError, "subnet %s is already used on the host or by another config", made.Subnet)
			return
		}
	}
	s.networks = append(s.networks, made)
	answer(w, n)
}

func (s *Server) removeNetwork(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.PathValue("name")
	i := slices.IndexFunc(s.networks, func(n podman.Network) bool { return n.Name == name })
	if i < 0 {
		refuse(w, http.StatusNotFound, "unable to find network with name or ID %s: network not found", name)
		return
	}
	for _, c := range s.containers {
		if _, used := c.Networks[name]; used || c.NetworkMode == name {
			refuse(w, http.StatusInternalServerError, "%q has associated containers with it. Use -f to forcibly delete containers and pods: network is being used", name)
			return
		}
	}
	s.networks = slices.Delete(s.networks, i, i+1)
	answer(w, []map[string]any{{"Name": name, "Err": nil}})
}
