package registry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"git.tx1138.com/lfg2025/archy/apps"
)

func stock(t *testing.T) *Stock {
	t.Helper()
	s, err := NewStock([]byte("standin"), []byte("busybox"), Files{"/usr/sbin/nginx": {Data: []byte("nginx"), Mode: 0o755}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(s *Server, path string) *httptest.ResponseRecorder {
	res := httptest.NewRecorder()
	s.ServeHTTP(res, httptest.NewRequest(http.MethodGet, path, nil))
	return res
}

func TestAnImageUnderEveryReferenceOfApps(t *testing.T) {
	wanted, err := FindWanted(apps.FS)
	if err != nil {
		t.Fatal(err)
	}
	s := New()
	if err := s.Stock(stock(t), wanted); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"docker.io/library/mariadb:10.11", "ghcr.io/retropex/bitcoin:v28.1", "docker.io/library/nginx:1.28.0-alpine"} {
		if !s.Has(ref) {
			t.Errorf("%s is missing; apps/ was found to want %v", ref, wanted)
		}
	}
	for _, w := range wanted {
		for _, suffix := range []string{"", Bad, Sick, Next} {
			if name, tag := split(key(w.Ref + suffix)); get(s, "/v2/"+name+"/manifests/"+tag).Code != http.StatusOK {
				t.Errorf("%s%s is not served", w.Ref, suffix)
			}
		}
	}
}

// TestSameInputSameDigest: a node that pulls a stand-in again must see the image that it has.
func TestSameInputSameDigest(t *testing.T) {
	digest := func(env ...string) string {
		img, err := stock(t).image(mariadb, env...)
		if err != nil {
			t.Fatal(err)
		}
		d, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return d.String()
	}
	one, two, next := digest(), digest(), digest("STANDIN_VARIANT=next")
	if one != two {
		t.Errorf("two builds of one image: %s and %s", one, two)
	}
	if one == next {
		t.Error("a variant has the digest of the original")
	}
}

func TestFindWanted(t *testing.T) {
	wanted, err := FindWanted(fstest.MapFS{
		"photos/manifest.yml": {Data: []byte(`
app:
  id: photos
  container: {image: "ghcr.io/photos/server:1"}
  ports: [{host: 2, container: 80}, {host: 3, container: 81, protocol: udp}]
  volumes:
    - {type: tmpfs, target: /tmp}
    - {type: bind, source: /var/lib/archipelago/lnd, target: /lnd, options: [ro]}
    - {type: bind, source: /var/lib/archipelago/photos, target: /photos}
  health_check: {type: cmd, endpoint: photos-health --quick}
`)},
		"page/manifest.yml":      {Data: []byte("app: {id: page, container: {build: {context: docker}}}")},
		"page/docker/Dockerfile": {Data: []byte("FROM --platform=linux/amd64 docker.io/library/go:1 AS build\nFROM build\nFROM scratch\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(wanted) != 2 || wanted[0].Ref != "docker.io/library/go:1" {
		t.Fatalf("wanted %v", wanted)
	}
	photos := wanted[1]
	if photos.Ref != "ghcr.io/photos/server:1" || strings.Join(photos.Ports, " ") != "80 81/udp" ||
		photos.Data != "/photos" || strings.Join(photos.Programs, " ") != "photos-health" {
		t.Errorf("photos: %+v", photos)
	}
}

func TestKey(t *testing.T) {
	for ref, want := range map[string]string{
		"docker.io/library/nginx:1.28.0-alpine": "library/nginx:1.28.0-alpine",
		"ghcr.io/retropex/bitcoin:v28.1":        "ghcr.io/retropex/bitcoin:v28.1",
		"docker.io/mempool/backend":             "mempool/backend:latest",
		"docker.io/a/b:1@sha256:00":             "a/b:sha256:00",
		"":                                      "",
	} {
		if got := key(ref); got != want {
			t.Errorf("%q is looked up as %q, want %q", ref, got, want)
		}
	}
}

func TestFaults(t *testing.T) {
	const ref, path = "docker.io/library/mariadb:10.11", "/v2/library/mariadb/manifests/10.11"
	s := New()
	if err := s.Stock(stock(t), []Wanted{{Ref: ref}}); err != nil {
		t.Fatal(err)
	}
	code := func() int { return get(s, path).Code }
	s.SetFault(ref, Fault{Status: 500, Times: 2})
	if a, b, c := code(), code(), code(); a != 500 || b != 500 || c != 200 {
		t.Errorf("500 twice, then well: got %d %d %d", a, b, c)
	}
	s.SetFault("", Fault{Status: 404})
	if got := code(); got != 404 {
		t.Errorf("a fault for all references: got %d", got)
	}
	s.SetFault("", Fault{Hang: true})
	time.AfterFunc(50*time.Millisecond, s.ClearFaults)
	if got := code(); got != 503 {
		t.Errorf("a request that hung until the faults were cleared: got %d", got)
	}
	if got := code(); got != 200 {
		t.Errorf("after the faults: got %d", got)
	}
	if got := s.Pulls(ref); got != 6 {
		t.Errorf("counted %d requests, want 6", got)
	}
}
