package podmantest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// TestMain is also the program of the test image: a static test binary is all that such an image needs.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		os.Exit(payload(os.Args[1], os.Args[2:]))
	}
	os.Exit(m.Run())
}

func payload(mode string, words []string) int {
	switch mode {
	case "serve":
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		fmt.Println(strings.Join(append([]string{"ready"}, words...), "\n"))
		<-stop
	case "echo":
		fmt.Println(strings.Join(words, " "))
	case "sleep":
		time.Sleep(time.Minute)
	case "internal":
		// What the archy program does with "internal write-file".
		if err := podman.InternalWriteFile(words[1:], os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	case "exit":
		code, _ := strconv.Atoi(words[0])
		return code
	}
	return 0
}

// inNode skips a test that needs a node's own podman and runs outside of one. test/node compiles these tests and
// runs them in a node as the service user, with ARCHY_IN_NODE set.
func inNode(t testing.TB) (socket string) {
	if os.Getenv("ARCHY_IN_NODE") == "" {
		t.Skip("needs the podman of a test node: go test ./test/node -run Engine")
	}
	return filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "podman", "podman.sock")
}

func realEngine(t testing.TB) Real {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Real{Socket: inNode(t), Program: self, Run: func(ctx context.Context, arg ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "podman", arg...).CombinedOutput()
		return string(out), err
	}}
}

func TestRealKeepsContract(t *testing.T) {
	engine := realEngine(t)
	engine.BuildImage(t)
	Contract(t, func(testing.TB) Engine { return engine })
}

// test that a file in a directory of a mapped user is written, read and replaced, and keeps its owner (incident 13)
func TestRealMappedFiles(t *testing.T) {
	inNode(t)
	ctx, cli := context.Background(), podman.CLI{Runner: command.Exec{}}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(home, "mapped")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = exec.Command("podman", "unshare", "rm", "-rf", dir).Run() })
	ok(t, os.Chmod(dir, 0o755))
	ok(t, cli.Chown(ctx, dir, 101, 102))
	path := filepath.Join(dir, "bitcoin.conf")
	if _, err := cli.ReadFile(ctx, path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading what is not there: error %v", err)
	}
	for _, content := range []string{"rpcauth=one\n", strings.Repeat("x", 200_000)} {
		ok(t, cli.WriteFile(ctx, path, 0o600, []byte(content)))
		got, err := cli.ReadFile(ctx, path)
		if err != nil || string(got) != content {
			t.Errorf("read %d bytes, error %v; want %d", len(got), err, len(content))
		}
	}
	var st syscall.Stat_t
	ok(t, syscall.Stat(path, &st))
	// /etc/subuid of the node gives the service user 65536 ids from 100000.
	if st.Uid != 100100 || st.Gid != 100101 || st.Mode != syscall.S_IFREG|0o600 {
		t.Errorf("owner %d:%d, mode %o", st.Uid, st.Gid, st.Mode)
	}
	if _, err := os.ReadFile(path); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("read without the mapping: error %v", err)
	}
	err = cli.WriteFile(ctx, filepath.Join(dir, "absent", "f"), 0o600, []byte("x"))
	if err == nil || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("writing into nothing: error %v", err)
	}
}

// test that a container started in a scope is in no cgroup of who started it (incident 1)
func TestRealStartInScope(t *testing.T) {
	engine := realEngine(t)
	engine.BuildImage(t)
	created(t, engine, podman.Inspect{Name: "contract-scope", NetworkMode: "none"})
	ok(t, podman.CLI{Runner: command.Exec{}}.StartInScope(background(t), "contract-scope"))
	got, err := engine.Client().Inspect(background(t), "contract-scope")
	ok(t, err)
	own, err := os.ReadFile("/proc/self/cgroup")
	ok(t, err)
	for _, pid := range []int{got.State.Pid, got.State.ConmonPid} {
		cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		ok(t, err)
		if string(cgroup) == string(own) || !strings.Contains(string(cgroup), "/user.slice/") {
			t.Errorf("process %d is in %s, the test in %s", pid, cgroup, own)
		}
	}
	if err := (podman.CLI{Runner: command.Exec{}}).StartInScope(background(t), "contract-absent"); err == nil {
		t.Error("a container that is not there was started")
	}
}

// test that everything by which an adopted container is compared is read as it was asked for
func TestRealInspect(t *testing.T) {
	engine := realEngine(t)
	engine.BuildImage(t)
	ctx, c := background(t), engine.Client()
	ok(t, c.CreateSecret(ctx, "archy.contract.env", []byte("x"), nil, true))
	ok(t, c.CreateNetwork(ctx, podman.Network{Name: "contract-rich", Subnet: "10.89.78.0/24", Gateway: "10.89.78.1", DNS: true}))
	t.Cleanup(func() {
		_ = c.Remove(context.Background(), "contract-rich", true)
		_ = c.RemoveNetwork(context.Background(), "contract-rich")
		_ = c.RemoveSecret(context.Background(), "archy.contract.env")
	})
	engine.podman(t, "create", "--name", "contract-rich", "--network", "contract-rich:alias=db", "--user", "101:102", "--cap-drop", "all",
		"--cap-add", "DAC_OVERRIDE", "--cap-add", "CHOWN", "--security-opt", "no-new-privileges", "--read-only", "--tmpfs", "/tmp:size=1m",
		"--shm-size", "64m", "--device", "/dev/null:/dev/x:r", "--add-host", "host.archipelago:192.0.2.1", "--secret", "archy.contract.env,type=env",
		"--entrypoint", `["/self","serve"]`, "--stop-signal", "SIGINT", "--log-driver", "journald", "--volume", t.TempDir()+":/ro:ro",
		"--health-cmd", "/self health", "--health-interval", "30s", "--health-timeout", "5s", "--health-retries", "4", "--health-start-period", "2m",
		TestImage, "word")
	engine.Start(t, "contract-rich")
	got, err := c.Inspect(ctx, "contract-rich")
	ok(t, err)
	// What differs from run to run has checks of its own in the contract.
	got.ID, got.ImageID, got.ImageDigest, got.Created, got.Hostname, got.Labels = "", "", "", time.Time{}, "", nil
	for i := range got.Mounts {
		got.Mounts[i].Source, got.Mounts[i].Options = "", nil
	}
	endpoint := got.Networks["contract-rich"]
	if !strings.HasPrefix(endpoint.IP, "10.89.78.") || endpoint.Gateway != "10.89.78.1" || !slices.Contains(endpoint.Aliases, "db") {
		t.Errorf("network %+v", endpoint)
	}
	if got.State.Pid == 0 || got.State.ConmonPid == 0 || got.State.CgroupPath == "" {
		t.Errorf("state %+v", got.State)
	}
	if info, err := os.Stat(got.Layer); err != nil || !info.IsDir() {
		t.Errorf("its own layer is %q: %v", got.Layer, err)
	}
	got.Layer = ""
	got.Networks, got.State, got.Env, got.Health = nil, podman.InspectState{}, nil, nil
	want := podman.Inspect{
		Name: "contract-rich", Image: TestImage, Cmd: []string{"word"}, Entrypoint: []string{"/self", "serve"}, User: "101:102",
		Mounts: []podman.Mount{{Type: "bind", Target: "/ro"}}, NetworkMode: "bridge", ShmSize: 64 << 20, ReadOnly: true,
		EffectiveCaps: []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE"}, SecurityOpt: []string{"no-new-privileges"},
		Tmpfs: map[string]string{"/tmp": "size=1m,rw,rprivate,nosuid,nodev,tmpcopyup"}, ExtraHosts: []string{"host.archipelago:192.0.2.1"},
		Healthcheck:     &podman.Healthcheck{Test: []string{"CMD-SHELL", "/self health"}, Interval: 30 * time.Second, Timeout: 5 * time.Second, StartPeriod: 2 * time.Minute, Retries: 4},
		HealthOnFailure: "none", StopSignal: "SIGINT", StopTimeout: 10 * time.Second, RestartPolicy: "no", LogDriver: "journald",
		// podman tells what is missing from its default set, not "all".
		CapDrop: []string{"CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"},
	}
	if len(got.CapAdd)+len(got.Ports) == 0 {
		got.CapAdd, got.Ports = nil, nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// test that a command which takes too long is gone afterwards, and not left to run in the container
func TestRealExecLimit(t *testing.T) {
	engine := realEngine(t)
	engine.BuildImage(t)
	running(t, engine, podman.Inspect{Name: "contract-exec-limit", NetworkMode: "none"})
	c := engine.Client()
	c.Limits.Exec = time.Second
	_, _, err := c.Exec(background(t), "contract-exec-limit", []string{"/self", "sleep"})
	var limit *podman.LimitError
	if !errors.As(err, &limit) {
		t.Errorf("error %v", err)
	}
	eventually(t, "no process of the command is left", func() bool { return !processRuns(t, "/self\x00sleep\x00") })
	if _, code, err := c.Exec(background(t), "contract-exec-limit", []string{"/self", "echo"}); err != nil || code != 0 {
		t.Errorf("the next command: code %d, error %v", code, err)
	}
}

func processRuns(t *testing.T, cmdline string) bool {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	ok(t, err)
	return slices.ContainsFunc(paths, func(path string) bool {
		text, err := os.ReadFile(path)
		return err == nil && string(text) == cmdline
	})
}

// test that an image comes from a registry over the network, with progress, and that pulling it again is fine
func TestRealPull(t *testing.T) {
	inNode(t)
	c := realEngine(t).Client()
	const ref = "docker.io/filebrowser/filebrowser:v2.27.0"
	for range 2 {
		var last podman.Progress
		ok(t, c.Pull(background(t), ref, podman.TLSDefault, func(p podman.Progress) { last = p }))
		if last.Text == "" || last.Bytes != last.Total {
			t.Errorf("at the end %+v", last)
		}
		id, err := c.ImageID(background(t), ref)
		if err != nil || len(id) != 64 {
			t.Errorf("id %q, error %v", id, err)
		}
	}
	err := c.Pull(background(t), "docker.io/filebrowser/filebrowser:no-such-tag", podman.TLSDefault, nil)
	if err == nil || !strings.Contains(err.Error(), "manifest unknown") {
		t.Errorf("a tag that is not there: error %v", err)
	}
	if err := c.Pull(background(t), "127.0.0.1:5000/filebrowser/filebrowser:v2.27.0", podman.TLSVerified, nil); err == nil || !strings.Contains(err.Error(), "HTTP response to HTTPS client") {
		t.Errorf("a registry without TLS, where TLS is asked for: error %v", err)
	}
	ok(t, c.Pull(background(t), "127.0.0.1:5000/filebrowser/filebrowser:v2.27.0", podman.TLSInsecure, nil))
	if err := c.Pull(background(t), "registry.invalid/x:v1", podman.TLSDefault, nil); err == nil || !strings.Contains(err.Error(), "lookup registry.invalid") {
		t.Errorf("a registry whose name nobody knows: error %v", err)
	}
}

// BenchmarkList measures what a pass that has nothing to do costs: one list of 30 containers from a warm service.
func BenchmarkList(b *testing.B) {
	engine := realEngine(b)
	engine.BuildImage(b)
	for i := range 30 {
		name := fmt.Sprintf("bench-%d", i)
		engine.Create(b, podman.Inspect{Name: name, NetworkMode: "none", Labels: map[string]string{"io.archipelago.spec-hash": "v1:0123456789abcdef"}})
		engine.Start(b, name)
		b.Cleanup(func() { _ = engine.Client().Remove(context.Background(), name, true) })
	}
	client := engine.Client()
	for b.Loop() {
		list, err := client.List(context.Background())
		if err != nil || len(list) < 30 {
			b.Fatalf("%d containers, error %v", len(list), err)
		}
	}
}
