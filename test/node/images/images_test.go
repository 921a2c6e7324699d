package images_test

import (
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/test/node/registry"
)

// archive saves an image of the node's registry as an archive, takes the image away again, and returns its line of the index.
func (n machine) archive(t *testing.T, ref, format string) string {
	t.Helper()
	file := strings.NewReplacer("/", "_", ":", "_").Replace(ref) + ".tar"
	path := filepath.Join("/var/tmp", file)
	n.MustUser(t, "podman", "pull", "--quiet", ref)
	n.MustUser(t, "podman", "save", "--quiet", "--format", format, "--output", path, ref)
	n.MustUser(t, "podman", "rmi", ref)
	n.MustRoot(t, "install", "-D", "-m", "0644", path, filepath.Join(archives, file))
	sum, _, _ := strings.Cut(n.MustRoot(t, "sha256sum", path), " ")
	size := strings.TrimSpace(n.MustRoot(t, "stat", "-c", "%s", path))
	return fmt.Sprintf("%q: {%q: %q, %q: %q, %q: %s}", ref, "file", file, "sha256", sum, "size", size)
}

func (n machine) index(t *testing.T, lines ...string) {
	t.Helper()
	n.write(t, archives+"/index.json", "{"+strings.Join(lines, ",\n")+"}\n")
}

// nowhere makes the registries of all references something that does not answer.
func (n machine) nowhere(t *testing.T) {
	t.Helper()
	n.MustRoot(t, "sed", "-i", "s/127.0.0.1:5000/127.0.0.1:1/", registries)
}

func TestOfflineArchivesWithoutAnyRegistry(t *testing.T) {
	n := fresh(t, "", "bitcoin-knots", "bitcoin-ui", "filebrowser")
	n.index(t, n.archive(t, bitcoin, "docker-archive"), n.archive(t, files, "oci-archive"), n.archive(t, nginx, "docker-archive"))
	n.nowhere(t)
	asked := n.Registry.Pulls("")
	wantUp(t, n.pass(t, 0), "bitcoin-knots", "bitcoin-ui", "filebrowser")
	if got := n.Registry.Pulls("") - asked; got != 0 {
		t.Errorf("the registry was asked %d times", got)
	}
	if got := n.MustRoot(t, "ls", archives); strings.Count(got, ".tar") != 3 {
		t.Errorf("archives are never deleted; there are\n%s", got)
	}
}

func TestMirrors(t *testing.T) {
	for layout, copyOf := range map[string]string{"full": "copies/filebrowser/filebrowser", "flat": "copies/filebrowser"} {
		t.Run(layout, func(t *testing.T) {
			const config = "images:\n  mirrors:\n    - {location: \"127.0.0.1:5001/copies\", layout: %s}\n  insecure_mirrors: [%s]\n"
			n := fresh(t, fmt.Sprintf(config, layout, `"127.0.0.1:5001"`), "filebrowser")
			mirror := n.mirror(t, copyOf)
			asked := n.Registry.Pulls("")
			wantUp(t, n.pass(t, 0), "filebrowser")
			if got := n.Registry.Pulls("") - asked; mirror.asked.Load() == 0 || got != 0 {
				t.Errorf("the mirror was asked %d times, the registry %d", mirror.asked.Load(), got)
			}
			if got := n.here(t); !slices.Equal(got, []string{files}) {
				t.Errorf("the node has %q, want the canonical reference alone", got)
			}
		})
	}
}

// test that a mirror that is not listed as insecure is not asked over plain HTTP, and that the reference is asked then
func TestMirrorWithoutTLSIsNotTrusted(t *testing.T) {
	n := fresh(t, "images:\n  mirrors:\n    - {location: \"127.0.0.1:5001\", layout: flat}\n", "filebrowser")
	mirror := n.mirror(t, "filebrowser")
	wantUp(t, n.pass(t, 0), "filebrowser")
	if got, asked := mirror.asked.Load(), n.Registry.Pulls(files); got != 0 || asked == 0 {
		t.Errorf("the mirror was asked %d times, the registry %d", got, asked)
	}
}

// mirror is a second registry in the node, over plain HTTP: it holds filebrowser's image alone.
type mirror struct {
	registry http.Handler
	name     string
	asked    atomic.Int32
}

func (n machine) mirror(t *testing.T, name string) *mirror {
	t.Helper()
	l, err := n.Listen("tcp", "127.0.0.1:5001")
	if err != nil {
		t.Fatal(err)
	}
	m := &mirror{registry: n.Registry.Store(), name: name}
	server := &http.Server{Handler: m, ErrorLog: log.New(io.Discard, "", 0)} // podman tries TLS
	t.Cleanup(func() { server.Close() })
	go func() { _ = server.Serve(l) }()
	return m
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/v2/"+m.name+"/")
	if r.URL.Path != "/v2/" && !ok {
		http.NotFound(w, r)
		return
	}
	if ok {
		m.asked.Add(1)
		r.URL.Path = "/v2/filebrowser/filebrowser/" + rest
	}
	m.registry.ServeHTTP(w, r)
}

func TestRegistryThatFailsTwice(t *testing.T) {
	n := fresh(t, "", "filebrowser")
	n.Registry.SetFault(files, registry.Fault{Status: http.StatusInternalServerError, Times: 2})
	wantUp(t, n.pass(t, 0), "filebrowser")
	if got := n.Registry.Pulls(files); got != 3 {
		t.Errorf("the registry was asked %d times, want 3", got)
	}
}

func TestWrongDigestIsRefused(t *testing.T) {
	n := fresh(t, "", "filebrowser")
	pinned := "    image: " + files + "\n    image_digest: sha256:" + strings.Repeat("0", 64)
	shipped, err := fs.ReadFile(apps.FS, "filebrowser/manifest.yml")
	if err != nil {
		t.Fatal(err)
	}
	text := string(shipped)
	n.write(t, "/etc/archipelago/apps/filebrowser/manifest.yml", strings.Replace(text, "    image: "+files, pinned, 1))
	for range 2 { // also by the second pass, which finds the registry's image nowhere
		a := app(t, n.pass(t, 1), "filebrowser")
		if a.Class != reconcile.ClassFailed || a.Error == nil || a.Error.Code != "image" || !strings.Contains(a.Error.Message, "the manifest wants sha256:000") {
			t.Errorf("%+v, error %+v", a, a.Error)
		}
		if got := n.here(t); len(got) != 0 {
			t.Errorf("the node has %q", got)
		}
	}
}

func TestArchiveWithAWrongSumFallsThrough(t *testing.T) {
	n := fresh(t, "", "filebrowser")
	n.index(t, n.archive(t, files, "docker-archive"))
	n.MustRoot(t, "sh", "-c", `for f in `+archives+`/*.tar; do printf x | dd of="$f" bs=1 seek=2000 conv=notrunc status=none; done`)
	asked := n.Registry.Pulls(files)
	wantUp(t, n.pass(t, 0), "filebrowser")
	if got := n.Registry.Pulls(files) - asked; got != 1 {
		t.Errorf("the registry was asked %d times, want once", got)
	}
}

func TestMissingImageFailsItsAppAndThoseThatNeedIt(t *testing.T) {
	n := fresh(t, "", "bitcoin-knots", "bitcoin-ui", "filebrowser")
	n.Registry.SetFault(bitcoin, registry.Fault{Status: http.StatusNotFound})
	r := n.pass(t, 3)
	wantUp(t, r, "filebrowser")
	if a := app(t, r, "bitcoin-knots"); a.Class != reconcile.ClassFailed || a.Error == nil || !strings.Contains(a.Error.Message, "manifest unknown") {
		t.Errorf("bitcoin-knots: %+v, error %+v", a, a.Error)
	}
	if a := app(t, r, "bitcoin-ui"); a.Class != reconcile.ClassWaiting || !strings.Contains(a.Cause, "bitcoin-knots") {
		t.Errorf("bitcoin-ui: %+v", a)
	}
	if got := n.Registry.Pulls(bitcoin); got != 1 {
		t.Errorf("the registry was asked %d times for what it does not have", got)
	}
}
