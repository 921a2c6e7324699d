package podmantest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// Engine is a podman that Contract can prepare: the fake, or the real one of a test node.
type Engine interface {
	Client() *podman.Client
	// Create makes a container from the engine's test image. Of want it honours Name, Labels, Env, Cmd, Ports, Mounts,
	// Healthcheck, Hostname, StopTimeout, RestartPolicy, AutoRemove and NetworkMode. The image's program says "ready"
	// and the words of Cmd, a line each, and ends with code 0 at a SIGTERM. Run inside the container as "/self echo
	// WORD...", it prints the words; as "/self exit N" it ends with code N; "/self health" is a check that passes.
	Create(t testing.TB, want podman.Inspect)
	Start(t testing.TB, name string)
	Pause(t testing.TB, name string)
	// Image is the reference of the test image.
	Image() string
	// Scratch returns a directory from which the client can build an image, with a Dockerfile that starts from nothing.
	Scratch(t testing.TB) string
	// Archive writes an image to a file, as DockerArchive or OCIArchive.
	Archive(t testing.TB, ref, format string) string
}

// Contract is what archy relies on. It runs against the fake in every test run and against podman 5.4.2 in a node.
func Contract(t *testing.T, newEngine func(t testing.TB) Engine) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, Engine)
	}{
		{"service", contractService}, {"absent", contractAbsent}, {"list", contractList}, {"inspect", contractInspect},
		{"exec", contractExec}, {"health", contractHealth}, {"logs", contractLogs}, {"stop", contractStop}, {"pause", contractPause},
		{"rename", contractRename}, {"remove", contractRemove}, {"restart policy", contractRestartPolicy},
		{"secrets", contractSecrets}, {"networks", contractNetworks}, {"images", contractImages}, {"build", contractBuild},
		{"pull", contractPull}, {"load", contractLoad},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newEngine(t)) })
	}
}

func background(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantIs(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error %v, want one that is %q", err, target)
	}
}

// running makes a container that runs, and that goes away with the test.
func running(t *testing.T, e Engine, want podman.Inspect) {
	t.Helper()
	created(t, e, want)
	e.Start(t, want.Name)
}

func created(t *testing.T, e Engine, want podman.Inspect) {
	t.Helper()
	e.Create(t, want)
	t.Cleanup(func() { _ = e.Client().Remove(context.Background(), want.Name, true) })
}

func listed(t *testing.T, e Engine, name string) (podman.Container, bool) {
	t.Helper()
	list, err := e.Client().List(background(t))
	ok(t, err)
	for _, c := range list {
		if c.Name == name {
			return c, true
		}
	}
	return podman.Container{}, false
}

func contractService(t *testing.T, e Engine) {
	ctx := background(t)
	ok(t, e.Client().Ping(ctx))
	version, err := e.Client().Version(ctx)
	ok(t, err)
	info, err := e.Client().Info(ctx)
	ok(t, err)
	if !strings.HasPrefix(version, "5.4.") || info.Version != version {
		t.Errorf("version %q, info %q; want both 5.4.x", version, info.Version)
	}
	if info.GraphRoot == "" || info.RunRoot == "" || !info.Rootless || info.NetworkBackend != "netavark" {
		t.Errorf("info %+v: want both roots, rootless, netavark", info)
	}
}

func contractAbsent(t *testing.T, e Engine) {
	ctx, c := background(t), e.Client()
	_, err := c.Inspect(ctx, "absent")
	wantIs(t, err, podman.ErrNotFound)
	_, _, err = c.Exec(ctx, "absent", []string{"/self", "exit", "0"})
	wantIs(t, err, podman.ErrNotFound)
	_, err = c.Logs(ctx, "absent", 5)
	wantIs(t, err, podman.ErrNotFound)
	_, err = c.Healthcheck(ctx, "absent")
	wantIs(t, err, podman.ErrNotFound)
	_, err = c.ImageID(ctx, "localhost/absent:v1")
	wantIs(t, err, podman.ErrNotFound)
	wantIs(t, c.Stop(ctx, "absent", time.Second), podman.ErrNotFound)
	wantIs(t, c.Unpause(ctx, "absent"), podman.ErrNotFound)
	wantIs(t, c.Rename(ctx, "absent", "other"), podman.ErrNotFound)
	wantIs(t, c.Remove(ctx, "absent", false), podman.ErrNotFound)
	wantIs(t, c.SetRestartPolicy(ctx, "absent", "no"), podman.ErrNotFound)
	wantIs(t, c.RemoveSecret(ctx, "absent"), podman.ErrNotFound)
	wantIs(t, c.Tag(ctx, "localhost/absent:v1", "localhost/other:v1"), podman.ErrNotFound)
}

func contractList(t *testing.T, e Engine) {
	created(t, e, podman.Inspect{Name: "contract-list", Labels: map[string]string{"io.archipelago.app": "x"}, NetworkMode: "none"})
	before, found := listed(t, e, "contract-list")
	if !found || before.State != podman.StateCreated || before.Pid != 0 || !before.StartedAt.IsZero() || before.Created.IsZero() {
		t.Errorf("created container is listed as %+v", before)
	}
	e.Start(t, "contract-list")
	after, _ := listed(t, e, "contract-list")
	if after.State != podman.StateRunning || after.Pid <= 0 || after.StartedAt.IsZero() || after.Health != "" {
		t.Errorf("running container is listed as %+v", after)
	}
	if after.ID != before.ID || len(after.ID) != 64 || after.Image != e.Image() || after.Labels["io.archipelago.app"] != "x" {
		t.Errorf("running container is listed as %+v", after)
	}
	id, err := e.Client().ImageID(background(t), e.Image())
	ok(t, err)
	if after.ImageID != id {
		t.Errorf("image id %q, want %q", after.ImageID, id)
	}
}

func contractInspect(t *testing.T, e Engine) {
	want := podman.Inspect{
		Name: "contract-inspect", Hostname: "box", NetworkMode: "bridge", RestartPolicy: "unless-stopped", StopTimeout: 7 * time.Second,
		Env: podman.Env{"COLOUR=blue"}, Cmd: []string{"one", "two words"},
		Ports:  []podman.Port{{HostPort: 18081, ContainerPort: 80, Protocol: "tcp"}, {HostIP: "127.0.0.1", HostPort: 18082, ContainerPort: 81, Protocol: "udp"}},
		Mounts: []podman.Mount{{Type: "bind", Source: t.TempDir(), Target: "/data", RW: true}},
	}
	created(t, e, want)
	got, err := e.Client().Inspect(background(t), want.Name)
	ok(t, err)
	if got.Name != want.Name || got.Hostname != "box" || got.RestartPolicy != "unless-stopped" || got.StopTimeout != 7*time.Second {
		t.Errorf("got %+v", got)
	}
	if got.Env.Map()["COLOUR"] != "blue" || !slices.Equal(got.Cmd, want.Cmd) || got.Image != e.Image() {
		t.Errorf("environment %v, command %q, image %q", got.Env, got.Cmd, got.Image)
	}
	if !slices.EqualFunc(got.Ports, want.Ports, samePort) {
		t.Errorf("ports %+v, want %+v", got.Ports, want.Ports)
	}
	if len(got.Mounts) != 1 || got.Mounts[0].Source != want.Mounts[0].Source || got.Mounts[0].Target != "/data" || !got.Mounts[0].RW {
		t.Errorf("mounts %+v", got.Mounts)
	}
	if got.State.Status != podman.StateCreated || got.State.Running || !got.State.StartedAt.IsZero() {
		t.Errorf("state %+v", got.State)
	}
}

// samePort takes all addresses, however written, for the same.
func samePort(a, b podman.Port) bool {
	if a.HostIP == "0.0.0.0" {
		a.HostIP = ""
	}
	return a == b
}

func contractExec(t *testing.T, e Engine) {
	ctx := background(t)
	running(t, e, podman.Inspect{Name: "contract-exec", NetworkMode: "none"})
	output, code, err := e.Client().Exec(ctx, "contract-exec", []string{"/self", "echo", "good", "day"})
	if err != nil || code != 0 || output != "good day\n" {
		t.Errorf("echo: output %q, code %d, error %v", output, code, err)
	}
	_, code, err = e.Client().Exec(ctx, "contract-exec", []string{"/self", "exit", "28"})
	if err != nil || code != 28 {
		t.Errorf("exit 28: code %d, error %v", code, err)
	}
	ok(t, e.Client().Stop(ctx, "contract-exec", 5*time.Second))
	if _, _, err = e.Client().Exec(ctx, "contract-exec", []string{"/self", "echo"}); err == nil {
		t.Error("a command ran in a container that does not")
	}
}

func contractHealth(t *testing.T, e Engine) {
	ctx := background(t)
	check := &podman.Healthcheck{Test: []string{"CMD", "/self", "health"}, Interval: time.Hour, Timeout: 5 * time.Second, Retries: 3}
	running(t, e, podman.Inspect{Name: "contract-health", NetworkMode: "none", Healthcheck: check})
	health, err := e.Client().Healthcheck(ctx, "contract-health")
	if err != nil || health != podman.HealthHealthy {
		t.Errorf("health %q, error %v", health, err)
	}
	got, err := e.Client().Inspect(ctx, "contract-health")
	ok(t, err)
	if got.Healthcheck == nil || got.Healthcheck.Interval != time.Hour || got.Healthcheck.Retries != 3 || got.Health == nil {
		t.Errorf("check %+v, health %+v", got.Healthcheck, got.Health)
	}
	if line, _ := listed(t, e, "contract-health"); line.Health != podman.HealthHealthy {
		t.Errorf("listed health %q", line.Health)
	}
	running(t, e, podman.Inspect{Name: "contract-unchecked", NetworkMode: "none"})
	_, err = e.Client().Healthcheck(ctx, "contract-unchecked")
	wantIs(t, err, podman.ErrConflict)
}

func contractLogs(t *testing.T, e Engine) {
	running(t, e, podman.Inspect{Name: "contract-logs", NetworkMode: "none", Cmd: []string{"first", "second"}})
	var lines []string
	for range 50 {
		var err error
		lines, err = e.Client().Logs(background(t), "contract-logs", 2)
		ok(t, err)
		if slices.Equal(lines, []string{"first", "second"}) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("last two lines are %q", lines)
}

func contractStop(t *testing.T, e Engine) {
	ctx := background(t)
	running(t, e, podman.Inspect{Name: "contract-stop", NetworkMode: "none"})
	// before it has said so it does not listen for signals: a stop would be another kind of end
	eventually(t, "the program is ready", func() bool {
		lines, err := e.Client().Logs(ctx, "contract-stop", 10)
		return err == nil && slices.Contains(lines, "ready")
	})
	ok(t, e.Client().Stop(ctx, "contract-stop", 10*time.Second))
	line, _ := listed(t, e, "contract-stop")
	if line.State != podman.StateExited || line.ExitCode != 0 || line.ExitedAt.IsZero() || line.Pid != 0 {
		t.Errorf("stopped container is listed as %+v", line)
	}
	ok(t, e.Client().Stop(ctx, "contract-stop", time.Second))

	running(t, e, podman.Inspect{Name: "contract-stop-rm", NetworkMode: "none", AutoRemove: true})
	ok(t, e.Client().Stop(ctx, "contract-stop-rm", 10*time.Second))
	eventually(t, "the container made with --rm is gone", func() bool {
		_, found := listed(t, e, "contract-stop-rm")
		return !found
	})
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 100 {
		if done() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("not so after 10 s: %s", what)
}

func contractPause(t *testing.T, e Engine) {
	running(t, e, podman.Inspect{Name: "contract-pause", NetworkMode: "none"})
	e.Pause(t, "contract-pause")
	if line, _ := listed(t, e, "contract-pause"); line.State != podman.StatePaused {
		t.Errorf("paused container is listed as %q", line.State)
	}
	ok(t, e.Client().Unpause(background(t), "contract-pause"))
	if line, _ := listed(t, e, "contract-pause"); line.State != podman.StateRunning {
		t.Errorf("unpaused container is listed as %q", line.State)
	}
	if err := e.Client().Unpause(background(t), "contract-pause"); err == nil {
		t.Error("a running container was unpaused")
	}
}

func contractRename(t *testing.T, e Engine) {
	ctx := background(t)
	created(t, e, podman.Inspect{Name: "contract-rename", NetworkMode: "none"})
	created(t, e, podman.Inspect{Name: "contract-taken", NetworkMode: "none"})
	if err := e.Client().Rename(ctx, "contract-rename", "contract-taken"); err == nil {
		t.Error("renamed to a name that is taken")
	}
	before, _ := listed(t, e, "contract-rename")
	ok(t, e.Client().Rename(ctx, "contract-rename", "contract-renamed"))
	t.Cleanup(func() { _ = e.Client().Remove(context.Background(), "contract-renamed", true) })
	after, found := listed(t, e, "contract-renamed")
	if _, still := listed(t, e, "contract-rename"); still || !found || after.ID != before.ID {
		t.Errorf("after renaming: %+v", after)
	}
}

func contractRemove(t *testing.T, e Engine) {
	ctx := background(t)
	running(t, e, podman.Inspect{Name: "contract-remove", NetworkMode: "none"})
	if err := e.Client().Remove(ctx, "contract-remove", false); err == nil {
		t.Error("a running container was removed without force")
	}
	ok(t, e.Client().Remove(ctx, "contract-remove", true))
	if _, found := listed(t, e, "contract-remove"); found {
		t.Error("the removed container is listed")
	}
}

func contractRestartPolicy(t *testing.T, e Engine) {
	ctx := background(t)
	running(t, e, podman.Inspect{Name: "contract-policy", NetworkMode: "none", RestartPolicy: "unless-stopped"})
	ok(t, e.Client().SetRestartPolicy(ctx, "contract-policy", "no"))
	got, err := e.Client().Inspect(ctx, "contract-policy")
	ok(t, err)
	if got.RestartPolicy != "no" || !got.State.Running {
		t.Errorf("restart policy %q, running %v", got.RestartPolicy, got.State.Running)
	}
}

func contractSecrets(t *testing.T, e Engine) {
	ctx, c := background(t), e.Client()
	const name = "archy.contract.key"
	t.Cleanup(func() { _ = c.RemoveSecret(context.Background(), name) })
	ok(t, c.CreateSecret(ctx, name, []byte("one"), map[string]string{"io.archipelago.version": "1"}, false))
	if err := c.CreateSecret(ctx, name, []byte("two"), nil, false); err == nil {
		t.Error("an existing secret was replaced without being asked to")
	}
	ok(t, c.CreateSecret(ctx, name, []byte("two"), map[string]string{"io.archipelago.version": "2"}, true))
	list, err := c.Secrets(ctx)
	ok(t, err)
	i := slices.IndexFunc(list, func(s podman.Secret) bool { return s.Name == name })
	if i < 0 || list[i].Labels["io.archipelago.version"] != "2" || list[i].ID == "" {
		t.Errorf("secrets %+v", list)
	}
	ok(t, c.RemoveSecret(ctx, name))
	list, err = c.Secrets(ctx)
	ok(t, err)
	if slices.ContainsFunc(list, func(s podman.Secret) bool { return s.Name == name }) {
		t.Error("the removed secret is listed")
	}
}

func contractNetworks(t *testing.T, e Engine) {
	ctx, c := background(t), e.Client()
	want := podman.Network{Name: "contract-net", Subnet: "10.89.77.0/24", Gateway: "10.89.77.1", DNS: true, Labels: map[string]string{"io.archipelago.managed": "true"}}
	ok(t, c.CreateNetwork(ctx, want))
	list, err := c.Networks(ctx)
	ok(t, err)
	i := slices.IndexFunc(list, func(n podman.Network) bool { return n.Name == want.Name })
	if i < 0 || list[i].Subnet != want.Subnet || list[i].Gateway != want.Gateway || !list[i].DNS || list[i].Labels["io.archipelago.managed"] != "true" {
		t.Errorf("networks %+v", list)
	}
	wantIs(t, c.CreateNetwork(ctx, want), podman.ErrConflict)
	other := want
	other.Name = "contract-net-2"
	if err := c.CreateNetwork(ctx, other); err == nil {
		t.Error("two networks have the same subnet")
	}
	created(t, e, podman.Inspect{Name: "contract-netuser", NetworkMode: want.Name})
	if err := c.RemoveNetwork(ctx, want.Name); err == nil {
		t.Error("a network was removed that a container uses")
	}
	ok(t, c.Remove(ctx, "contract-netuser", true))
	ok(t, c.RemoveNetwork(ctx, want.Name))
	wantIs(t, c.RemoveNetwork(ctx, want.Name), podman.ErrNotFound)
}

func contractImages(t *testing.T, e Engine) {
	ctx, c := background(t), e.Client()
	const tagged = "localhost/contract-tagged:v2"
	ok(t, c.Tag(ctx, e.Image(), tagged))
	want, err := c.ImageID(ctx, e.Image())
	ok(t, err)
	got, err := c.ImageID(ctx, tagged)
	if err != nil || got != want || len(got) != 64 {
		t.Errorf("id of the tagged image %q (%v), want %q", got, err, want)
	}
	images, err := c.Images(ctx)
	ok(t, err)
	if images[tagged].ID != want || images[e.Image()].ID != want || !strings.HasPrefix(images[tagged].Digest, "sha256:") {
		t.Errorf("images %+v", images)
	}
	ok(t, c.RemoveImage(ctx, tagged))
	wantIs(t, c.RemoveImage(ctx, tagged), podman.ErrNotFound)
	created(t, e, podman.Inspect{Name: "contract-image", NetworkMode: "none"})
	wantIs(t, c.RemoveImage(ctx, e.Image()), podman.ErrConflict)
	if _, err := c.ImageID(ctx, e.Image()); err != nil {
		t.Errorf("the image of a container is gone: %v", err)
	}
}

func contractBuild(t *testing.T, e Engine) {
	ctx, c := background(t), e.Client()
	dir := e.Scratch(t)
	const tag = "localhost/contract-built:v1"
	t.Cleanup(func() { _ = c.RemoveImage(context.Background(), tag) })
	var said bytes.Buffer
	progress := func(line string) { said.WriteString(line + "\n") }
	ok(t, c.Build(ctx, dir, "Dockerfile", tag, false, progress))
	first, err := c.ImageID(ctx, tag)
	ok(t, err)
	if !strings.Contains(said.String(), "STEP 1") {
		t.Errorf("the build said %q", said.String())
	}
	ok(t, c.Build(ctx, dir, "Dockerfile", tag, false, nil))
	if again, err := c.ImageID(ctx, tag); err != nil || again != first {
		t.Errorf("building the same again: id %q (%v), want %q", again, err, first)
	}
	broken := filepath.Join(dir, "Dockerfile.broken")
	ok(t, os.WriteFile(broken, []byte("FROM "+e.Image()+"\nRUN false\n"), 0o600))
	err = c.Build(ctx, dir, "Dockerfile.broken", "localhost/contract-broken:v1", false, nil)
	if err == nil || !strings.Contains(err.Error(), "RUN false") {
		t.Errorf("broken build: error %v", err)
	}
	if _, err := c.ImageID(ctx, "localhost/contract-broken:v1"); !errors.Is(err, podman.ErrNotFound) {
		t.Errorf("the broken build left an image: %v", err)
	}
}

func contractPull(t *testing.T, e Engine) {
	ref := "registry.invalid/contract:v1"
	err := e.Client().Pull(background(t), ref, podman.TLSDefault, nil)
	if err == nil || !strings.Contains(err.Error(), ref) {
		t.Errorf("pulling from nowhere: error %v", err)
	}
}

func contractLoad(t *testing.T, e Engine) {
	ctx, c := background(t), e.Client()
	const ref = "docker.io/library/contract-load:v1"
	for _, format := range []string{DockerArchive, OCIArchive} {
		ok(t, c.Tag(ctx, e.Image(), ref))
		archive, err := os.Open(e.Archive(t, ref, format))
		ok(t, err)
		defer archive.Close()
		ok(t, c.RemoveImage(ctx, ref))
		var last podman.Progress
		names, err := c.Load(ctx, archive, "image.tar", 0, func(p podman.Progress) { last = p })
		info, statErr := archive.Stat()
		ok(t, statErr)
		if err != nil || !slices.Equal(names, []string{ref}) || last.Bytes != info.Size() {
			t.Errorf("%s: loaded %q (%v), told of %d bytes of %d", format, names, err, last.Bytes, info.Size())
		}
		_, err = c.ImageID(ctx, ref)
		ok(t, err)
		ok(t, c.RemoveImage(ctx, ref))
	}
	_, err := c.Load(ctx, strings.NewReader("no archive"), "image.tar", 0, nil)
	if err == nil || !strings.Contains(err.Error(), "load image from image.tar") || !strings.Contains(err.Error(), "payload does not match") {
		t.Errorf("loading what is no archive: error %v", err)
	}
}
