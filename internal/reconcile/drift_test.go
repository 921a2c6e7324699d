package reconcile

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
)

// wantedLnd and madeLnd are the worked example: what the manifest wants, and what the old script made of it.
func wantedLnd() spec.Container {
	v := secrets.New(marker)
	return spec.Container{App: "lnd", Name: "lnd", Image: "docker.io/lightninglabs/lnd:v0.18.4-beta", Network: "archy-net",
		Ports:  []spec.Port{{Host: 8080, Container: 8080, Protocol: "tcp"}, {Host: 9735, Container: 9735, Protocol: "tcp"}},
		Mounts: []spec.Mount{{Type: "bind", Source: "/var/lib/archipelago/lnd", Target: "/root/.lnd"}},
		Env:    map[string]string{"NETWORK": "mainnet"}, Secrets: []spec.SecretEnv{{Key: "RPC", Value: v}},
		User: "0:0", CapAdd: []string{"DAC_OVERRIDE", "CHOWN"}, ReadOnly: true, Memory: 1 << 30, CPUs: 1.5,
		Tmpfs: []spec.Tmpfs{{Target: "/scratch"}, {Target: "/tmp"}}, Hostname: "lnd", ShmSize: 256 << 20, PidsLimit: 512,
		AddHosts: []string{"host.archipelago:host-gateway"}, Health: &spec.Health{Cmd: "lncli state"}, StopGrace: 330}
}

func madeLnd() podman.Inspect {
	return podman.Inspect{Name: "lnd", Image: "docker.io/lightninglabs/lnd:v0.18.4-beta",
		NetworkMode: "bridge", Networks: map[string]podman.Endpoint{"archy-net": {}},
		Ports:  []podman.Port{{HostPort: 9735, ContainerPort: 9735, Protocol: "tcp"}, {HostIP: "0.0.0.0", HostPort: 8080, ContainerPort: 8080, Protocol: "tcp"}},
		Mounts: []podman.Mount{{Type: "bind", Source: "/var/lib/archipelago/lnd", Target: "/root/.lnd"}},
		Env:    podman.Env{"PATH=/bin", "RPC=" + marker, "NETWORK=mainnet"}, EffectiveCaps: []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE"},
		Tmpfs: map[string]string{"/scratch": "rw", "/tmp": "rw"}, Hostname: "lnd", ShmSize: 256 << 20, PidsLimit: 512,
		ReadOnly: true, Memory: 1 << 30, NanoCPUs: 1500000000, ExtraHosts: []string{"host.archipelago:192.0.2.1"},
		Healthcheck: &podman.Healthcheck{Test: []string{"CMD-SHELL", "lncli state"}}, StopTimeout: 330 * time.Second, RestartPolicy: "no"}
}

func TestCompareFindsEveryDimension(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*podman.Inspect)
		want   string
	}{
		{"nothing", func(*podman.Inspect) {}, ""},
		{"image", func(i *podman.Inspect) { i.Image = "docker.io/lightninglabs/lnd:v0.17.0" }, "image (docker.io/lightninglabs/lnd:v0.17.0 -> docker.io/lightninglabs/lnd:v0.18.4-beta)"},
		{"port (incident 21)", func(i *podman.Inspect) { i.Ports[1].HostPort = 18080 }, "ports (+18080:8080 -8080:8080)"},
		{"port on one address", func(i *podman.Inspect) { i.Ports[1].HostIP = "127.0.0.1" }, "ports (+127.0.0.1:8080:8080 -8080:8080)"},
		{"port of UDP", func(i *podman.Inspect) { i.Ports[1].Protocol = "udp" }, "ports (+8080:8080/udp -8080:8080)"},
		{"no memory limit", func(i *podman.Inspect) { i.Memory = 0 }, "memory (none -> 1073741824)"},
		{"cpus by quota", func(i *podman.Inspect) { i.NanoCPUs, i.CPUQuota, i.CPUPeriod = 0, 150000, 100000 }, ""},
		{"cpus", func(i *podman.Inspect) { i.NanoCPUs = 0 }, "cpus (none -> 1.5)"},
		{"variable", func(i *podman.Inspect) { i.Env[2] = "NETWORK=testnet" }, "env NETWORK (testnet -> mainnet)"},
		{"variable of the image", func(i *podman.Inspect) { i.Env = append(i.Env, "LANG=C") }, ""},
		{"secret", func(i *podman.Inspect) { i.Env[1] = "RPC=other-secret" }, "env RPC (hidden -> hidden)"},
		{"secret is absent", func(i *podman.Inspect) { i.Env = i.Env[2:] }, "env RPC (hidden -> hidden)"},
		{"mount", func(i *podman.Inspect) { i.Mounts[0].Source = "/srv/lnd" }, "mounts (+/srv/lnd:/root/.lnd -/var/lib/archipelago/lnd:/root/.lnd)"},
		{"anonymous volume", func(i *podman.Inspect) {
			i.Mounts = append(i.Mounts, podman.Mount{Type: "volume", Name: strings.Repeat("ab", 32), Target: "/cache"})
		}, ""},
		{"named volume", func(i *podman.Inspect) {
			i.Mounts = append(i.Mounts, podman.Mount{Type: "volume", Name: "cache", Target: "/cache"})
		}, "mounts (+cache:/cache)"},
		{"user", func(i *podman.Inspect) { i.User = "1000:1000" }, "user (1000:1000 -> 0)"},
		{"user without a group", func(i *podman.Inspect) { i.User = "0" }, ""},
		{"capabilities", func(i *podman.Inspect) { i.EffectiveCaps = []string{"CAP_CHOWN", "CAP_NET_RAW"} }, "caps (+NET_RAW -DAC_OVERRIDE)"},
		{"read-only", func(i *podman.Inspect) { i.ReadOnly = false }, "read-only (false -> true)"},
		{"tmpfs", func(i *podman.Inspect) { i.Tmpfs = map[string]string{"/cache": "rw"} }, "tmpfs (+/cache -/scratch -/tmp)"},
		{"tmpfs of a read-only container", func(i *podman.Inspect) { i.Tmpfs["/run"], i.Tmpfs["/var/tmp"] = "rw", "rw" }, ""},
		{"tmpfs of one that is not", func(i *podman.Inspect) { i.ReadOnly, i.Tmpfs["/run"] = false, "rw" }, "read-only (false -> true), tmpfs (+/run)"},
		{"hostname", func(i *podman.Inspect) { i.Hostname = "0123456789ab" }, "hostname (0123456789ab -> lnd)"},
		{"shm", func(i *podman.Inspect) { i.ShmSize = 65536000 }, "shm (65536000 -> 268435456)"},
		{"pids", func(i *podman.Inspect) { i.PidsLimit = 2048 }, "pids (2048 -> 512)"},
		{"network", func(i *podman.Inspect) { i.Networks = map[string]podman.Endpoint{"podman": {}} }, "networks (+podman -archy-net)"},
		{"network of the host", func(i *podman.Inspect) { i.NetworkMode, i.Networks = "host", nil }, "networks (+host -archy-net)"},
		{"add-host", func(i *podman.Inspect) { i.ExtraHosts = nil }, "add-host (-host.archipelago)"},
		{"no health check", func(i *podman.Inspect) { i.Healthcheck = nil }, "health (none -> lncli state)"},
		{"health check switched off", func(i *podman.Inspect) { i.Healthcheck.Test = []string{"NONE"} }, "health (none -> lncli state)"},
		{"stop grace", func(i *podman.Inspect) { i.StopTimeout = 10 * time.Second }, "stop-grace (10 -> 330)"},
		{"restart policy", func(i *podman.Inspect) { i.RestartPolicy = "unless-stopped" }, "restart (unless-stopped -> systemd)"},
		{"worked example", func(i *podman.Inspect) {
			i.Ports[1].HostPort, i.Memory, i.ExtraHosts, i.StopTimeout = 18080, 0, nil, 10*time.Second
		}, "ports (+18080:8080 -8080:8080), memory (none -> 1073741824), add-host (-host.archipelago), stop-grace (10 -> 330)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := madeLnd()
			c.change(&in)
			got := AppResult{Drift: compare(wantedLnd(), in)}.DriftWords()
			if got != c.want {
				t.Errorf("drift %q, want %q", got, c.want)
			}
			if strings.Contains(got, marker) || strings.Contains(got, "other-secret") {
				t.Errorf("a secret is in %q", got)
			}
		})
	}
}

func TestCompareCommand(t *testing.T) {
	wanted := spec.Container{Entrypoint: []string{"/bin/sh", "-c"}, Command: []string{"--password=" + marker}}
	got := AppResult{Drift: compare(wanted, podman.Inspect{Entrypoint: []string{"/run"}, Cmd: []string{"--password=other-secret"}, NetworkMode: "archy-net"})}.DriftWords()
	if want := "entrypoint (/run -> /bin/sh -c), command (other arguments -> those of the manifest)"; got != want {
		t.Errorf("drift %q, want %q", got, want)
	}
	if same := compare(wanted, podman.Inspect{Entrypoint: wanted.Entrypoint, Cmd: wanted.Command, NetworkMode: "archy-net"}); len(same) > 0 {
		t.Errorf("the same command differs: %v", same)
	}
}

func TestLowerVersion(t *testing.T) {
	for _, c := range []struct {
		image, have string
		lower       bool
	}{
		{"lnd:v0.17.0", "lnd:v0.18.4-beta", true}, {"lnd:v0.18.4-beta", "lnd:v0.18.4-beta", false}, {"lnd:v0.18.4-beta", "lnd:v0.17.0", false},
		{"x:v28.1", "x:v28.2", true}, {"x:10.2", "x:10.11", true}, {"x:10.11", "x:10.2", false}, {"x:15", "x:15.4", true}, {"x:15.4", "x:15", false},
		{"x:latest", "x:v1.0", false}, {"x:v1.0", "x:latest", false}, {"x", "x:v1", false}, {"host:5000/x", "host:5000/x:v2", false},
		{"host:5000/x:v1", "host:5000/x:v2", true}, {"x:v1.0@sha256:ab", "x:v1.1@sha256:cd", true}, {"x:1.27-alpine", "x:1.28-alpine", true},
		{"x:28.1.knots20250305", "x:28.1.knots20250305", false}, {"x:v0.18.4-beta", "x:v0.18.4-beta.rc1", false}, {"x:2024.01.01", "x:2023.12.31", false},
		{"x:99999999999999999999999", "x:1", false},
	} {
		if got := lowerVersion(c.image, c.have); got != c.lower {
			t.Errorf("%s is lower than %s: %v, want %v", c.image, c.have, got, c.lower)
		}
	}
}

func TestRepository(t *testing.T) {
	for ref, want := range map[string]string{
		"docker.io/a/b:v1": "docker.io/a/b", "docker.io/a/b": "docker.io/a/b", "host:5000/a": "host:5000/a", "host:5000/a:v1": "host:5000/a", "a@sha256:0": "a", "a:v1@sha256:0": "a",
	} {
		if got := repository(ref); got != want {
			t.Errorf("repository of %s: %s, want %s", ref, got, want)
		}
	}
}

func TestLabelIn(t *testing.T) {
	unit := []byte("[Container]\nImage=x\nLabel=io.archipelago.spec-hash=v1:ab\nLabel=\"io.archipelago.app=a\"\n  Label=quoted=\"v 1\"  \n# Label=comment=1\n")
	for label, want := range map[string]string{"io.archipelago.spec-hash": "v1:ab", "quoted": "v 1", "absent": "", "comment": "", "io.archipelago.spec": ""} {
		if got := labelIn(unit, label); got != want {
			t.Errorf("%s: %q, want %q", label, got, want)
		}
	}
	a := healthyApp("x")
	if got := labelIn(a.UnitText, spec.LabelSpecHash); got != a.Hash {
		t.Errorf("label of a rendered unit: %q, want %q", got, a.Hash)
	}
}

// An adopted container whose image was pulled anew since, and one that dies with a service of the system (incident 1), are told of.
func TestDriftBesideTheSettings(t *testing.T) {
	n := newNode(t, map[string]string{"solo": manifestOf("solo", 3)}).firstBootDone()
	c := n.script("solo", "docker.io/example/solo:v1.0")
	n.pass()
	words := func() string { return n.result(n.pass(), "solo").DriftWords() }
	if got := words(); strings.Contains(got, "newer") || strings.Contains(got, "cgroup") {
		t.Errorf("drift %q", got)
	}
	n.images[c.Image] = podman.Image{ID: "another", Names: []string{c.Image}}
	cgroup := n.layout.Host(fmt.Sprintf("/proc/%d/cgroup", c.State.Pid))
	if err := os.WriteFile(cgroup, []byte("0::/system.slice/archipelago.service\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := words(); !strings.HasSuffix(got, "local image newer, in a service cgroup (archipelago.service -> user.slice)") {
		t.Errorf("drift %q", got)
	}
	if err := os.WriteFile(cgroup, []byte("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := words(); strings.Contains(got, "cgroup") {
		t.Errorf("drift %q", got)
	}
	equal(t, "touched", n.touched(), nil)
}

// An adopted container is shown with the ports that it has.
func TestPortsOfAnAdoptedContainer(t *testing.T) {
	n := newNode(t, map[string]string{"solo": manifestOf("solo", 3)}).firstBootDone()
	n.script("solo", "docker.io/example/solo:v1.0", func(c *podman.Inspect) {
		c.Ports = []podman.Port{{HostIP: "0.0.0.0", HostPort: 18080, ContainerPort: 80, Protocol: "tcp"}, {HostIP: "127.0.0.1", HostPort: 53, ContainerPort: 53, Protocol: "udp"}}
	})
	equal(t, "ports", n.result(n.pass(), "solo").Ports, []string{"18080:80", "127.0.0.1:53:53/udp"})
}

// TestExitCodeText: exit 0 is no crash, and a signal is named.
func TestExitCodeText(t *testing.T) {
	for _, c := range []struct {
		code   int
		result string
		want   string
	}{
		{0, "", "exited 0"}, {1, "", "exited 1"}, {125, "exit-code", "exited 125: podman could not make or run the container"},
		{126, "exit-code", "exited 126: its command cannot be executed"}, {127, "exit-code", "exited 127: its command is not in the image"}, {137, "", "killed (137)"}, {143, "signal", "terminated (143)"},
		{134, "core-dump", "ended by signal 6"}, {139, "", "ended by signal 11"}, {255, "", "exited 255"}, {128, "", "exited 128"},
		{137, "oom-kill", "killed, out of memory"}, {0, "timeout", "did not start in time"},
	} {
		if got := exitWords(c.code, c.result); got != c.want {
			t.Errorf("%d %s: %q, want %q", c.code, c.result, got, c.want)
		}
	}
	note := func(result string, code, status int) string {
		a := healthyApp("x")
		a.Service.Result, a.Service.ExecMainCode, a.Service.ExecMainStatus = result, code, status
		return exitNote(a)
	}
	for want, got := range map[string]string{
		"": note("success", 1, 0), "; last run: exited 3": note("exit-code", 1, 3), "; last run: killed (137)": note("signal", 2, 9),
		"; last run: ended by signal 11": note("core-dump", 3, 11), "; last run: killed, out of memory": note("oom-kill", 2, 9),
	} {
		if got != want {
			t.Errorf("note %q, want %q", got, want)
		}
	}
	if got := note("start-limit-hit", 1, 1); got != "" {
		t.Errorf("a start limit is no exit: %q", got)
	}
}

func TestDriftInWords(t *testing.T) {
	for want, d := range map[string]Drift{
		"memory 1 -> 2": {"memory", "1", "2"}, "env A +x": {"env A", "", "x"}, "env A -x": {"env A", "x", ""}, "config": {"config", "", ""},
	} {
		if d.String() != want {
			t.Errorf("%q, want %q", d, want)
		}
	}
}

// TestExitCodePrecedence: 1 before 6 before 3 before 4 before 0.
func TestExitCodePrecedence(t *testing.T) {
	app := func(c Class) AppResult { return AppResult{Class: c, Drift: []Drift{}} }
	drifted := app(ClassOK)
	drifted.Drift = []Drift{{"memory", "1", "2"}}
	for _, c := range []struct {
		name     string
		apps     []AppResult
		exitCode bool
		chosen   bool
		partial  bool
		want     int
	}{
		{"no apps", nil, false, false, false, 0},
		{"all well", []AppResult{app(ClassOK), app(ClassWaiting), app(ClassBlocked), app(ClassNeedsConfig)}, true, false, false, 0},
		{"every app failed", []AppResult{app(ClassFailed), app(ClassFailed)}, false, false, false, 1},
		{"every chosen app failed", []AppResult{app(ClassFailed)}, false, true, false, 3},
		{"a person before failures", []AppResult{app(ClassFailed), app(ClassNeedsHuman)}, false, false, false, 6},
		{"some failed before drift", []AppResult{app(ClassFailed), drifted}, true, false, false, 3},
		{"drift", []AppResult{drifted}, true, false, false, 4},
		{"drift is not asked for", []AppResult{drifted}, false, false, false, 0},
		{"a record could not be read", []AppResult{app(ClassOK)}, false, false, true, 3},
	} {
		r := Result{Apps: c.apps, partial: c.partial}
		r.summarise(c.exitCode, c.chosen)
		if r.ExitCode != c.want {
			t.Errorf("%s: exit %d, want %d", c.name, r.ExitCode, c.want)
		}
	}
}

func TestMaskHidesSecretsInLogLines(t *testing.T) {
	a := healthyApp("x", made(secretEnv))
	a.Masked = []secrets.Value{secrets.New("wallet-pass"), secrets.New("abc")}
	got := fmt.Sprint(mask(a, []string{"connect " + marker + "@host with " + marker, "wallet-pass", "abc is too short to be one"}))
	if want := "[connect hidden@host with hidden hidden abc is too short to be one]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
