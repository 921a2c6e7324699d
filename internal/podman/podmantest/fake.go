package podmantest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// TestImage is the reference of the image that Contract's containers are made from.
const TestImage = "localhost/archy-contract:v1"

// fake is a Server with the test image.
type fake struct{ *Server }

// NewFake returns the fake as an Engine.
func NewFake(t testing.TB) Engine {
	s := New(t)
	s.AddImage(TestImage)
	s.OnExec = self
	s.OnCheck = func(string) string { return podman.HealthHealthy }
	return fake{s}
}

// self does what the program of the test image does.
func self(_ string, argv []string) (string, int) {
	switch argv[1] {
	case "echo":
		return strings.Join(argv[2:], " ") + "\n", 0
	case "exit":
		code, _ := strconv.Atoi(argv[2])
		return "", code
	}
	return "", 0
}

func (f fake) Image() string { return TestImage }

func (f fake) Create(t testing.TB, want podman.Inspect) {
	want.Image = TestImage
	f.AddContainer(want)
	f.SetLogs(want.Name, append([]string{"ready"}, want.Cmd...)...)
}

func (f fake) Start(t testing.TB, name string) {
	if err := f.Server.Start(name); err != nil {
		t.Fatal(err)
	}
}

func (f fake) Pause(t testing.TB, name string) {
	if err := f.Update(name, func(c *podman.Inspect) { c.State.Status, c.State.Paused = podman.StatePaused, true }); err != nil {
		t.Fatal(err)
	}
}

func (f fake) Scratch(t testing.TB) string {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY Dockerfile /\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Archive implements Engine: what the server looks at, and no layers. The content "id" tells two images from each other.
func (f fake) Archive(t testing.TB, ref, format string) string {
	id, err := f.Client().ImageID(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return WriteArchive(t, format, ref, id)
}

// WriteArchive writes an archive that the fake can load: format is docker-archive or oci-archive, id tells its image from
// others.
func WriteArchive(t testing.TB, format, ref, id string) string {
	t.Helper()
	files := map[string]string{"id": id, "manifest.json": fmt.Sprintf(`[{"RepoTags":[%q]}]`, ref)}
	if format == OCIArchive {
		files = map[string]string{"id": id, "index.json": fmt.Sprintf(`{"manifests":[{"annotations":{"org.opencontainers.image.ref.name":%q}}]}`, ref)}
	}
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		head := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}
		if err := w.WriteHeader(head); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := errors.Join(w.Close(), os.WriteFile(path, text.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

// The formats of an archive.
const (
	DockerArchive = "docker-archive"
	OCIArchive    = "oci-archive"
)

// Real is podman itself, asked over its socket and prepared with its command line. It works for the user that the
// test runs as.
type Real struct {
	Socket string
	// Run runs "podman ARG...".
	Run func(ctx context.Context, arg ...string) (string, error)
	// Program is the static program that the test image is made of: see Engine.Create.
	Program string
}

// Client implements Engine.
func (r Real) Client() *podman.Client { return podman.New(r.Socket) }

// Image implements Engine.
func (r Real) Image() string { return TestImage }

func (r Real) podman(t testing.TB, arg ...string) {
	t.Helper()
	if out, err := r.Run(context.Background(), arg...); err != nil {
		t.Fatalf("podman %s: %v\n%s", strings.Join(arg, " "), err, out)
	}
}

// Archive implements Engine.
func (r Real) Archive(t testing.TB, ref, format string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	r.podman(t, "save", "--quiet", "--format", format, "--output", path, ref)
	return path
}

// BuildImage makes the test image.
func (r Real) BuildImage(t testing.TB) {
	t.Helper()
	if err := r.Client().Build(context.Background(), r.Scratch(t), "Dockerfile", TestImage, false, nil); err != nil {
		t.Fatal(err)
	}
}

// Start implements Engine.
func (r Real) Start(t testing.TB, name string) { r.podman(t, "start", name) }

// Pause implements Engine.
func (r Real) Pause(t testing.TB, name string) { r.podman(t, "pause", name) }

// Scratch implements Engine.
func (r Real) Scratch(t testing.TB) string {
	dir := t.TempDir()
	program, err := os.ReadFile(r.Program)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "self"), program, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY self /self\nENTRYPOINT [\"/self\", \"serve\"]\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Create implements Engine.
func (r Real) Create(t testing.TB, want podman.Inspect) {
	t.Helper()
	arg := []string{"create", "--name", want.Name, "--network", want.NetworkMode}
	for k, v := range want.Labels {
		arg = append(arg, "--label", k+"="+v)
	}
	for _, kv := range want.Env {
		arg = append(arg, "--env", kv)
	}
	for _, p := range want.Ports {
		text := strconv.Itoa(p.HostPort) + ":" + strconv.Itoa(p.ContainerPort) + "/" + p.Protocol
		if p.HostIP != "" {
			text = p.HostIP + ":" + text
		}
		arg = append(arg, "--publish", text)
	}
	for _, m := range want.Mounts {
		arg = append(arg, "--volume", m.Source+":"+m.Target)
	}
	r.podman(t, append(append(append(arg, options(want)...), TestImage), want.Cmd...)...)
}

// options are the flags that have one value.
func options(want podman.Inspect) []string {
	var arg []string
	if h := want.Healthcheck; h != nil {
		arg = append(arg, "--health-cmd", `["`+strings.Join(h.Test[1:], `","`)+`"]`, "--health-interval", h.Interval.String(),
			"--health-timeout", h.Timeout.String(), "--health-retries", strconv.Itoa(h.Retries))
	}
	if want.Hostname != "" {
		arg = append(arg, "--hostname", want.Hostname)
	}
	if want.StopTimeout > 0 {
		arg = append(arg, "--stop-timeout", strconv.Itoa(int(want.StopTimeout.Seconds())))
	}
	if want.RestartPolicy != "" {
		arg = append(arg, "--restart", want.RestartPolicy)
	}
	if want.AutoRemove {
		arg = append(arg, "--rm")
	}
	return arg
}
