package podman_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/podman/podmantest"
)

// test that a socket that is not there is named, with what to do
func TestSocketAbsent(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "podman.sock")
	_, err := podman.New(socket).List(context.Background())
	if !errors.Is(err, podman.ErrUnreachable) || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("error %v", err)
	}
	want := "list containers: podman socket " + socket + ": dial unix " + socket +
		": connect: no such file or directory; try: systemctl --user restart podman.socket"
	if err.Error() != want {
		t.Errorf("error\n%s\nwant\n%s", err, want)
	}
}

func TestSocketRefuses(t *testing.T) {
	socket := shortPath(t)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close()
	if err := podman.New(socket).Ping(context.Background()); !errors.Is(err, podman.ErrUnreachable) {
		t.Errorf("error %v", err)
	}
}

func shortPath(t *testing.T) string {
	dir, err := os.MkdirTemp("", "sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// test that a service that accepts and says nothing ends a ping within its limit, once and not three times over
func TestIncident19HungPodman(t *testing.T) {
	s := podmantest.New(t)
	s.Inject(podmantest.Fault{Kind: podmantest.Hang})
	c := s.Client()
	c.Limits.Ping = 300 * time.Millisecond
	err := c.Ping(context.Background())
	if !errors.Is(err, podman.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if n := s.Requests(); n != 1 {
		t.Errorf("%d requests, want one", n)
	}
}

// test that a change that was taken and not finished is no proof that podman is gone (incident 5)
func TestSlowChangeIsNotUnreachable(t *testing.T) {
	s := podmantest.New(t)
	s.AddContainer(podman.Inspect{Name: "lnd"})
	s.Inject(podmantest.Fault{Kind: podmantest.Hang, Match: "stop lnd"})
	c := s.Client()
	c.Limits.StopMargin = 200 * time.Millisecond
	err := c.Stop(context.Background(), "lnd", 0)
	if errors.Is(err, podman.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if want := "stop container lnd: podman has not finished after 200ms; it may still be at it"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

// test that a change is sent once, whatever happens to its answer
func TestChangeIsSentOnce(t *testing.T) {
	for _, kind := range []string{podmantest.Drop, podmantest.Cut} {
		s := podmantest.New(t)
		s.AddContainer(podman.Inspect{Name: "lnd"})
		s.Inject(podmantest.Fault{Kind: kind, Match: "rename"})
		err := s.Client().Rename(context.Background(), "lnd", "lnd-old")
		if err == nil {
			t.Errorf("%s: no error", kind)
		}
		if got := s.Changes(); !slices.Equal(got, []string{"rename lnd lnd-old"}) {
			t.Errorf("%s: podman saw %q", kind, got)
		}
	}
}

func TestSomethingElseListens(t *testing.T) {
	socket := shortPath(t)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			fmt.Fprint(conn, "502 command not implemented\r\n")
			conn.Close()
		}
	}()
	_, err = podman.New(socket).List(context.Background())
	if !errors.Is(err, podman.ErrGarbage) || !strings.Contains(err.Error(), socket) {
		t.Errorf("error %v", err)
	}
}

// test that every method gives up on an answer that is no answer, and on a refusal gives podman's own words
func TestBadAnswers(t *testing.T) {
	s := podmantest.New(t)
	s.AddContainer(podman.Inspect{Name: "lnd", State: podman.InspectState{Running: true}})
	c, ctx := s.Client(), context.Background()
	for name, call := range map[string]func() error{
		"list":     func() error { _, err := c.List(ctx); return err },
		"inspect":  func() error { _, err := c.Inspect(ctx, "lnd"); return err },
		"images":   func() error { _, err := c.Images(ctx); return err },
		"image id": func() error { _, err := c.ImageID(ctx, "localhost/x:v1"); return err },
		"secrets":  func() error { _, err := c.Secrets(ctx); return err },
		"networks": func() error { _, err := c.Networks(ctx); return err },
		"version":  func() error { _, err := c.Version(ctx); return err },
		"info":     func() error { _, err := c.Info(ctx); return err },
		"pull":     func() error { return c.Pull(ctx, "localhost/x:v1", podman.TLSDefault, nil) },
		"load":     func() error { _, err := c.Load(ctx, strings.NewReader("x"), "x.tar", 1, nil); return err },
		"logs":     func() error { _, err := c.Logs(ctx, "lnd", 3); return err },
		"exec":     func() error { _, _, err := c.Exec(ctx, "lnd", []string{"true"}); return err },
		"check":    func() error { _, err := c.Healthcheck(ctx, "lnd"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			s.Inject(podmantest.Fault{Kind: podmantest.Garbage})
			if err := call(); !errors.Is(err, podman.ErrGarbage) {
				t.Errorf("garbage: error %v", err)
			}
			s.Repair()
			const text = "database disk image is malformed"
			s.Inject(podmantest.Fault{Kind: podmantest.Fail, Text: text})
			var api *podman.APIError
			if err := call(); !errors.As(err, &api) || api.Message != text || api.Status != 500 {
				t.Errorf("refusal: error %v", err)
			}
			s.Repair()
		})
	}
}

// test that who has had an answer knows the version: a pass need not ask for it
func TestVersionComesWithEveryAnswer(t *testing.T) {
	s := podmantest.New(t)
	c, ctx := s.Client(), context.Background()
	if _, err := c.List(ctx); err != nil {
		t.Fatal(err)
	}
	s.Inject(podmantest.Fault{Kind: podmantest.Fail, Match: "/version", Text: "asked"})
	if v, err := c.Version(ctx); v != "5.4.2" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
	if _, err := s.Client().Version(ctx); err == nil {
		t.Error("a client without any answer must ask")
	}
}

func TestCancelledCallSaysSo(t *testing.T) {
	s := podmantest.New(t)
	s.Inject(podmantest.Fault{Kind: podmantest.Hang})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := s.Client().List(ctx)
	if errors.Is(err, podman.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v: the caller's own limit is no fault of podman's", err)
	}
}

// test that a pull that stands still ends, although the connection is alive
func TestPullStalls(t *testing.T) {
	s := podmantest.New(t)
	s.Inject(podmantest.Fault{Kind: podmantest.Hang, Match: "pull"})
	c := s.Client()
	c.Limits.PullStall = 100 * time.Millisecond
	err := c.Pull(context.Background(), "docker.io/library/redis:7.2-alpine", podman.TLSDefault, nil)
	want := "pull image docker.io/library/redis:7.2-alpine: no progress for 100ms; check the network and the registry"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestPull(t *testing.T) {
	s := podmantest.New(t)
	ref := "docker.io/library/redis:7.2-alpine"
	want := s.Offer(ref)
	var last podman.Progress
	if err := s.Client().Pull(context.Background(), ref, podman.TLSDefault, func(p podman.Progress) { last = p }); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Client().ImageID(context.Background(), ref); got != want {
		t.Errorf("id %q (%v), want %q", got, err, want)
	}
	if last.Bytes != 1<<20 || last.Total != 1<<20 {
		t.Errorf("at the end %d of %d bytes", last.Bytes, last.Total)
	}
	if q := s.LastQuery(); q.Has("tlsVerify") {
		t.Errorf("who says nothing of TLS leaves it to registries.conf; the query was %v", q)
	}
	if err := s.Client().Pull(context.Background(), ref, podman.TLSInsecure, nil); err != nil || s.LastQuery().Get("tlsVerify") != "false" {
		t.Errorf("query %v, error %v", s.LastQuery(), err)
	}
}

// test that a load that stands still ends
func TestLoadStalls(t *testing.T) {
	s := podmantest.New(t)
	s.Inject(podmantest.Fault{Kind: podmantest.Hang, Match: "load"})
	c := s.Client()
	c.Limits.PullStall = 100 * time.Millisecond
	_, err := c.Load(context.Background(), strings.NewReader("x"), "redis.tar", 1, nil)
	want := "load image from redis.tar: no progress for 100ms; look at: journalctl --user -u podman"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// test that what is sent to build does not depend on the umask of who unpacked it (incident 4), nor on times
func TestBuildContextIsNormal(t *testing.T) {
	s := podmantest.New(t)
	ids := map[string]bool{}
	for _, mode := range []os.FileMode{0o600, 0o664} {
		dir := t.TempDir()
		for name, text := range map[string]string{"Dockerfile": "FROM scratch\n", "html/index.html": "<p>"} {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), mode|0o100); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), mode); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Client().Build(context.Background(), dir, "Dockerfile", "localhost/ui:v1", false, nil); err != nil {
			t.Fatal(err)
		}
		id, err := s.Client().ImageID(context.Background(), "localhost/ui:v1")
		if err != nil {
			t.Fatal(err)
		}
		ids[id] = true
	}
	if len(ids) != 1 {
		t.Errorf("two builds of the same files gave %d images", len(ids))
	}
}

func TestBuildWithoutDockerfile(t *testing.T) {
	s := podmantest.New(t)
	dir := t.TempDir()
	for _, dockerfile := range []string{"Dockerfile", "../Dockerfile", "."} {
		if err := s.Client().Build(context.Background(), dir, dockerfile, "localhost/ui:v1", false, nil); err == nil || s.Requests() != 0 {
			t.Errorf("%s: error %v, %d requests", dockerfile, err, s.Requests())
		}
	}
}

// test that removing a container never asks for its volumes
func TestRemoveKeepsVolumes(t *testing.T) {
	s := podmantest.New(t)
	s.AddContainer(podman.Inspect{Name: "lnd"})
	if err := s.Client().Remove(context.Background(), "lnd", true); err != nil {
		t.Fatal(err)
	}
	if q := s.LastQuery(); q.Get("volumes") != "false" || q.Has("v") || q.Get("depend") == "true" {
		t.Errorf("query %v", q)
	}
}

// test that no value of a legacy container's environment is printed
func TestEnvIsHidden(t *testing.T) {
	inspect := podman.Inspect{Name: "btcpay", Env: podman.Env{"POSTGRES_PASSWORD=marker-7a31", "EMPTY"}}
	for _, text := range []string{
		fmt.Sprint(inspect), fmt.Sprintf("%+v", inspect), fmt.Sprintf("%#v", inspect), fmt.Sprint(inspect.Env), marshal(t, inspect),
	} {
		if strings.Contains(text, "marker") || !strings.Contains(text, "POSTGRES_PASSWORD") {
			t.Errorf("printed %s", text)
		}
	}
	if inspect.Env.Map()["POSTGRES_PASSWORD"] != "marker-7a31" {
		t.Error("the value is lost for those who compare it")
	}
}

// test that a secret travels in the body alone: addresses of requests end up in logs
func TestSecretIsNotInTheAddress(t *testing.T) {
	s := podmantest.New(t)
	if err := s.Client().CreateSecret(context.Background(), "archy.lnd.k", []byte("marker-99"), nil, true); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(fmt.Sprint(s.LastQuery(), s.Changes()), "marker") {
		t.Errorf("query %v, calls %v", s.LastQuery(), s.Changes())
	}
	if got, _ := s.SecretValue("archy.lnd.k"); string(got) != "marker-99" {
		t.Errorf("value %q", got)
	}
}
