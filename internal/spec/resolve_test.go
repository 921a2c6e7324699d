package spec

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

const gb = 1000 * 1000 * 1000

func input(app *manifest.App) Input {
	return Input{
		App:    app,
		Layout: node.Layout{DataDir: "/var/lib/archipelago", ManifestDir: "/opt/archipelago/apps"},
		Facts: node.Facts{
			MemTotal: 16*gib - 300<<20, DataDisk: 2000 * gb, Cores: 4,
			HostIP: "192.0.2.7", HostMDNS: "node.local", TimeZone: "Europe/Berlin",
			UID: 1000, GID: 1000, SubUID: node.SubRange{Start: 100000, Count: 65536}, SubGID: node.SubRange{Start: 100000, Count: 65536},
			Delegated: node.Controllers{CPU: true, Memory: true, Pids: true},
		},
		Bitcoin: Bitcoin{Host: "bitcoin-knots", DBCacheMiB: 1024, MemoryBytes: 2560 << 20},
		Container: func(id string) string {
			return map[string]string{"bitcoin-knots": "bitcoin-core", "mempool": "archy-mempool-web"}[id]
		},
		Secret: func(name string) (secrets.Value, bool) {
			v, ok := map[string]string{"rpc": "p@ss/word", "db": `a"b;c`, "empty": ""}[name]
			return secrets.New(v), ok
		},
	}
}

func app(change func(*manifest.App)) *manifest.App {
	a := &manifest.App{ID: "demo", Name: "Demo", Container: manifest.Container{Image: "docker.io/demo/demo:1"}}
	change(a)
	return a
}

func resolve(t *testing.T, a *manifest.App) Container {
	t.Helper()
	return must(t, input(a))
}

func must(t *testing.T, in Input) Container {
	t.Helper()
	c, problems := Resolve(in)
	for _, p := range problems {
		t.Errorf("problem: %v", p)
	}
	return c
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %+v, want %+v", what, got, want)
	}
}

func TestDefaults(t *testing.T) {
	c := resolve(t, app(func(*manifest.App) {}))
	want := Container{
		App: "demo", Name: "demo", Tier: 3, Image: "docker.io/demo/demo:1",
		Env: map[string]string{}, SoftEnv: map[string]string{},
		Network:  "archy-net",
		AddHosts: []string{"host.containers.internal:host-gateway", "host.archipelago:host-gateway"},
		ReadOnly: true, NoNewPrivileges: true, PidsLimit: 2048, StopGrace: 30,
		Unit: Unit{Description: "Demo", Restart: "on-failure", TimeoutStart: 120},
	}
	equal(t, "the container", c, want)
}

func TestNetworks(t *testing.T) {
	for _, test := range []struct {
		network                        string
		hosts, ports, aliases, offline bool
	}{
		{"archy-net", true, true, true, false},
		{"immich-net", true, true, true, false},
		{"pasta", true, true, false, false},
		{"host", false, false, false, true},
		{"none", false, false, false, false},
	} {
		c := resolve(t, app(func(a *manifest.App) {
			a.Container.Network = test.network
			a.Container.NetworkAliases = []string{"alias"}
			a.Ports = []manifest.Port{{Host: 8080, Container: 80, Protocol: "tcp"}}
		}))
		got := []bool{len(c.AddHosts) > 0, len(c.Ports) > 0, len(c.Aliases) > 0, c.Unit.Offline}
		equal(t, test.network+": hosts, ports, aliases, offline", got, []bool{test.hosts, test.ports, test.aliases, test.offline})
	}
}

func TestTiers(t *testing.T) {
	check := &manifest.HealthCheck{Type: "cmd", Endpoint: manifest.Endpoint{Text: "true"}}
	for _, test := range []struct {
		tier    int
		check   *manifest.HealthCheck
		restart string
		notify  bool
		start   int
	}{
		{0, check, "on-failure", true, 900},
		{0, nil, "on-failure", false, 900}, // podman refuses to wait for a check that is not there
		{1, check, "on-failure", false, 120},
		{3, check, "on-failure", false, 120},
		{4, check, "always", false, 120},
	} {
		c := resolve(t, app(func(a *manifest.App) { a.Metadata.Tier = &test.tier; a.HealthCheck = test.check }))
		equal(t, fmt.Sprintf("tier %d", test.tier), c.Unit, Unit{
			Description: "Demo", Restart: test.restart, NotifyHealthy: test.notify, TimeoutStart: test.start,
		})
	}
}

func TestEnvironment(t *testing.T) {
	no := false
	c := resolve(t, app(func(a *manifest.App) {
		a.Environment = []string{
			"PLAIN=a=b", "EMPTY=", "GO_TEMPLATE={{.Name}}", "SHELL=${HOME}",
			"POSTGRES=User ID=u;Password=${DB};Host=h;Database=d", "WEB=https://u:${RPC}@{{BITCOIN_HOST}}/", "GONE=x${OPTIONAL}",
		}
		a.Container.SecretEnv = []manifest.SecretEnv{
			{Key: "RPC", SecretFile: "rpc", Pass: &no},
			{Key: "DB", SecretFile: "db"},
			{Key: "OPTIONAL", SecretFile: "absent", Optional: true},
		}
		a.Container.DerivedEnv = []manifest.DerivedEnv{
			{Key: "URL", Template: "http://{{BITCOIN_HOST}}:8332/"},
			{Key: "DISK", Template: "{{DISK_GB}}"},
			{Key: "SITE", Template: "http://{{HOST_MDNS}}/{{HOST_IP}}", Soft: true},
			{Key: "DAEMON_URL", Template: "http://archipelago:${RPC}@{{BITCOIN_HOST}}:8332/"},
		}
	}))
	equal(t, "plain", c.Env, map[string]string{
		"PLAIN": "a=b", "EMPTY": "", "GO_TEMPLATE": "{{.Name}}", "SHELL": "${HOME}",
		"URL": "http://bitcoin-knots:8332/", "DISK": "2000",
	})
	equal(t, "soft", c.SoftEnv, map[string]string{"SITE": "http://node.local/192.0.2.7"})
	values := map[string]string{}
	for _, s := range c.Secrets {
		values[s.Secret] = s.Value.Reveal()
	}
	equal(t, "secrets", values, map[string]string{
		"archy.demo.DB":         `a"b;c`,
		"archy.demo.POSTGRES":   `User ID=u;Password="a""b;c";Host=h;Database=d`,
		"archy.demo.WEB":        "https://u:p%40ss%2Fword@bitcoin-knots/",
		"archy.demo.DAEMON_URL": "http://archipelago:p%40ss%2Fword@bitcoin-knots:8332/",
	})
	equal(t, "length of the secret hash", len(c.SecretEnvHash), 16)
}

func TestRotatedSecretChangesTheHash(t *testing.T) {
	a := app(func(a *manifest.App) {
		a.Container.SecretEnv = []manifest.SecretEnv{{Key: "RPC", SecretFile: "rpc"}}
		a.Container.SecretMounts = []manifest.SecretMount{{SecretFile: "file", Target: "/run/key"}}
	})
	in := input(a)
	values := map[string]string{"rpc": "one", "file": "two"}
	in.Secret = func(name string) (secrets.Value, bool) { v, ok := values[name]; return secrets.New(v), ok }
	seen := map[string]bool{}
	for _, change := range [][2]string{{"rpc", "one"}, {"rpc", "three"}, {"file", "four"}} {
		values[change[0]] = change[1]
		c := must(t, in)
		if seen[c.Hash()] {
			t.Errorf("%s = %s did not change the hash", change[0], change[1])
		}
		seen[c.Hash()] = true
		if text := fmt.Sprintf("%+v %#v", c, c); strings.Contains(text, change[1]) {
			t.Errorf("a printed container shows %q", change[1])
		}
	}
}

func TestFactsOfTheMachine(t *testing.T) {
	in := input(app(func(a *manifest.App) {
		a.Container.DerivedEnv = []manifest.DerivedEnv{{Key: "SITE", Template: "{{HOST_IP}} {{HOST_MDNS}}", Soft: true}}
		a.Extensions = map[string]any{"archipelago": map[string]any{"timezone": "host"}}
	}))
	before := must(t, in)
	in.Facts.HostIP, in.Facts.TimeZone = "192.0.2.99", "UTC"
	after := must(t, in)
	if before.Hash() != after.Hash() {
		t.Error("a new lease or another time zone changed the hash: the app would restart")
	}
	equal(t, "soft variables", after.SoftEnv, map[string]string{"SITE": "192.0.2.99 node.local", "TZ": "UTC"})
	in.Facts.HostIP = ""
	equal(t, "soft variables without a cable", must(t, in).SoftEnv["SITE"], "node.local")
}

func TestProblems(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*manifest.App, *Input)
		want   string
	}{
		{"generated secret", func(a *manifest.App, _ *Input) {
			a.Container.SecretEnv = []manifest.SecretEnv{{Key: "K", SecretFile: "new"}}
			a.Container.GeneratedSecrets = []manifest.GeneratedSecret{{Name: "new", Kind: "hex16"}}
		}, "missing generated secret new: it is missing or empty (archy secrets gen makes it)"},
		{"plain text of a bcrypt secret", func(a *manifest.App, _ *Input) {
			a.Container.SecretEnv = []manifest.SecretEnv{{Key: "K", SecretFile: "new.pw"}}
			a.Container.GeneratedSecrets = []manifest.GeneratedSecret{{Name: "new", Kind: "bcrypt"}}
		}, "missing generated secret new.pw: it is missing or empty (archy secrets gen makes it)"},
		{"secret that another app declares", func(a *manifest.App, in *Input) {
			a.Container.SecretEnv = []manifest.SecretEnv{{Key: "K", SecretFile: "shared"}}
			in.Generated = func(name string) bool { return name == "shared" }
		}, "missing generated secret shared: it is missing or empty (archy secrets gen makes it)"},
		{"empty file of the operator", func(a *manifest.App, _ *Input) {
			a.Container.SecretEnv = []manifest.SecretEnv{{Key: "K", SecretFile: "empty"}}
		}, "missing operator secret empty: put it into /var/lib/archipelago/secrets/empty"},
		{"two lines for a variable", func(a *manifest.App, in *Input) {
			a.Container.SecretEnv = []manifest.SecretEnv{{Key: "K", SecretFile: "two", Optional: true}}
			in.Secret = func(string) (secrets.Value, bool) { return secrets.New("one\ntwo"), true }
		}, "unusable secret two: leave only the line with the value in /var/lib/archipelago/secrets/two: it holds more than one, or a NUL byte"},
		{"two lines for a part of a variable", func(a *manifest.App, in *Input) {
			a.Container.SecretEnv = []manifest.SecretEnv{{Key: "K", SecretFile: "two", Pass: new(bool)}}
			a.Container.DerivedEnv = []manifest.DerivedEnv{{Key: "URL", Template: "http://u:${K}@h/"}}
			in.Secret = func(string) (secrets.Value, bool) { return secrets.New("one\ntwo"), true }
		}, "unusable secret two: leave only the line with the value in /var/lib/archipelago/secrets/two: it holds more than one, or a NUL byte"},
		{"two lines of a generated file", func(a *manifest.App, in *Input) {
			a.Container.SecretMounts = []manifest.SecretMount{{SecretFile: "two", Target: "/two"}}
			a.Container.GeneratedSecrets = []manifest.GeneratedSecret{{Name: "two", Kind: "hex16"}}
			in.Secret = func(string) (secrets.Value, bool) { return secrets.New("one\ntwo"), true }
		}, "unusable secret two: leave only the line with the value in /var/lib/archipelago/secrets/two: it holds more than one, or a NUL byte"},
		{"secret file", func(a *manifest.App, _ *Input) {
			a.Container.SecretMounts = []manifest.SecretMount{{SecretFile: "cert", Target: "/cert"}}
		}, "missing operator secret cert: put it into /var/lib/archipelago/secrets/cert"},
		{"no bitcoin", func(a *manifest.App, in *Input) {
			a.Container.DerivedEnv = []manifest.DerivedEnv{{Key: "URL", Template: "http://{{BITCOIN_HOST}}/"}}
			in.Bitcoin = Bitcoin{}
		}, "unresolvable placeholder BITCOIN_HOST: no bitcoin app is installed (archy install bitcoin-knots)"},
		{"no address", func(a *manifest.App, in *Input) {
			a.Container.DerivedEnv = []manifest.DerivedEnv{{Key: "URL", Template: "http://{{HOST_IP}}/"}}
			in.Facts.HostIP = ""
		}, "unresolvable placeholder HOST_IP: the node has no address now (is the cable plugged in?)"},
		{"unknown placeholder", func(a *manifest.App, _ *Input) {
			a.Container.DerivedEnv = []manifest.DerivedEnv{{Key: "URL", Template: "{{HOSTIP}}"}}
		}, "unresolvable placeholder HOSTIP: it is not one of HOST_IP, HOST_MDNS, DISK_GB, BITCOIN_HOST"},
		{"unbalanced", func(a *manifest.App, _ *Input) {
			a.Container.DerivedEnv = []manifest.DerivedEnv{{Key: "URL", Template: "{{HOST_IP}"}}
		}, "unresolvable placeholder {{HOST_IP}: the braces are not balanced"},
		{"a name like a container id", func(a *manifest.App, _ *Input) { a.ContainerName = "cafe" },
			`manifest error container_name: "cafe" is made of hex digits only, which podman takes for a container id (give it another container_name)`},
		{"no image", func(a *manifest.App, _ *Input) { a.Container.Image = "" },
			"manifest error container: it has neither an image nor a build"},
		{"no context", func(a *manifest.App, _ *Input) {
			a.Container.Build = &manifest.Build{Context: "docker", Tag: "page"}
		}, "manifest error container.build: no build context was found at /opt/archipelago/apps/demo/docker"},
		{"check without an endpoint", func(a *manifest.App, _ *Input) {
			a.HealthCheck = &manifest.HealthCheck{Type: "tcp", Endpoint: manifest.Endpoint{Text: "8080"}}
		}, `manifest error health_check: a check of type "tcp" needs an endpoint that fits it`},
		{"environment", func(a *manifest.App, _ *Input) { a.Environment = []string{"NOVALUE"} },
			`manifest error environment: "NOVALUE" is not KEY=value`},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := app(func(*manifest.App) {})
			in := input(a)
			test.change(a, &in)
			c, problems := Resolve(in)
			if len(problems) != 1 || problems[0].Error() != test.want {
				t.Errorf("got %v\nwant %s", problems, test.want)
			}
			if c.Name == "" {
				t.Error("the container has no name")
			}
		})
	}
}

func TestLimits(t *testing.T) {
	two := 2.0
	for _, test := range []struct {
		name   string
		change func(*manifest.App, *Input)
		memory int64
		cpus   float64
		args   []string
	}{
		{"none", func(*manifest.App, *Input) {}, 0, 0, nil},
		{"as written", func(a *manifest.App, _ *Input) {
			a.Resources = manifest.Resources{MemoryLimit: 512 << 20, CPULimit: &two}
		}, 512 << 20, 2, nil},
		{"capped at three quarters of the whole GiB", func(a *manifest.App, in *Input) {
			a.Resources.MemoryLimit = 64 * gib
		}, 12 * gib, 0, nil},
		{"heavy", func(a *manifest.App, _ *Input) { a.Extensions = ours("cpu", "heavy") }, 0, 3, nil},
		{"heavy on one core", func(a *manifest.App, in *Input) {
			a.Extensions = ours("cpu", "heavy")
			in.Facts.Cores = 1
		}, 0, 1, nil},
		{"bitcoin", func(a *manifest.App, in *Input) {
			a.Extensions = ours("sizing", "bitcoin")
			a.Container.CustomArgs = []string{"-datadir=/d"}
		}, 2560 << 20, 0, []string{"-datadir=/d", "-dbcache=1024"}},
	} {
		a := app(func(*manifest.App) {})
		in := input(a)
		test.change(a, &in)
		c := must(t, in)
		equal(t, test.name+": memory, cpus", []any{c.Memory, c.CPUs}, []any{test.memory, test.cpus})
		equal(t, test.name+": command", c.Command, test.args)
	}
}

func ours(key string, value any) map[string]any {
	return map[string]any{"archipelago": map[string]any{key: value}}
}

func TestKernelUpdateChangesNoCap(t *testing.T) {
	in := input(app(func(a *manifest.App) { a.Resources.MemoryLimit = 64 * gib }))
	before := must(t, in).Hash()
	in.Facts.MemTotal -= 5 << 20
	if must(t, in).Hash() != before {
		t.Error("a few pages less of memory changed the hash")
	}
}

func TestControllersThatAreNotDelegated(t *testing.T) {
	in := input(app(func(a *manifest.App) { a.Resources.MemoryLimit = 512 << 20 }))
	with := must(t, in)
	in.Facts.Delegated = node.Controllers{}
	without := must(t, in)
	equal(t, "omitted", []bool{without.Unit.OmitMemory, without.Unit.OmitCPU, without.Unit.OmitPids}, []bool{true, true, true})
	if with.Hash() != without.Hash() {
		t.Error("a lost controller changed the hash: every container would be recreated")
	}
}

func TestVolumes(t *testing.T) {
	d := "/var/lib/archipelago/"
	a := app(func(a *manifest.App) {
		a.Files = []manifest.File{{Path: d + "demo/seed"}, {Path: "/etc/app.ini"}}
		a.Extensions = map[string]any{"archipelago": map[string]any{"derived": "nginx.conf"}}
		a.Volumes = []manifest.Volume{
			{Type: "bind", Source: d + "demo/", Target: "/data", Options: []string{"rw"}},
			{Type: "bind", Source: d + "other", Target: "/other", Options: []string{"ro"}},
			{Type: "bind", Source: d + "demo/sub", Target: "/sub", Options: []string{"ro"}},
			{Type: "bind", Source: d + "demo/seed", Target: "/seed"},
			{Type: "bind", Source: d + "secrets/key", Target: "/key", Options: []string{"ro"}},
			{Type: "bind", Source: d + "demo/app.ini", Target: "/etc/app.ini"},
			{Type: "bind", Source: d + "demo/my.data", Target: "/my.data"},
			{Type: "bind", Source: d + "demo/app.key", Target: "/app.key"},
			{Type: "bind", Source: d + "demo/nginx.conf", Target: "/nginx.conf", Options: []string{"ro"}},
			{Type: "bind", Source: d + "demo/conf.d", Target: "/conf.d"},
			{Type: "volume", Source: "cache", Target: "/cache"},
			{Type: "tmpfs", Target: "/tmp", Options: []string{"size=64m"}},
		}
	})
	in := input(a)
	in.IsFile = func(path string) bool { return path == d+"demo/app.key" }
	c := must(t, in)
	ro := []string{"ro"}
	equal(t, "mounts", c.Mounts, []Mount{
		{Type: "bind", Source: d + "demo", Target: "/data", Own: true},
		{Type: "bind", Source: d + "other", Target: "/other", Options: ro},
		{Type: "bind", Source: d + "demo/sub", Target: "/sub", Options: ro, Own: true},
		{Type: "bind", Source: d + "demo/seed", Target: "/seed", File: true},
		{Type: "bind", Source: d + "secrets/key", Target: "/key", Options: ro, File: true},
		{Type: "bind", Source: d + "demo/app.ini", Target: "/etc/app.ini", File: true},
		{Type: "bind", Source: d + "demo/my.data", Target: "/my.data", Own: true},
		{Type: "bind", Source: d + "demo/app.key", Target: "/app.key", File: true},
		{Type: "bind", Source: d + "demo/nginx.conf", Target: "/nginx.conf", Options: ro, File: true},
		{Type: "bind", Source: d + "demo/conf.d", Target: "/conf.d", Own: true},
		{Type: "volume", Source: "cache", Target: "/cache"},
	})
	equal(t, "tmpfs", c.Tmpfs, []Tmpfs{{Target: "/tmp", Options: []string{"size=64m"}}})
}

func TestPinnedValuesWin(t *testing.T) {
	in := input(app(func(a *manifest.App) {
		a.Container.Network = "pasta"
		a.Security.User = "1000:1000"
		a.Environment = []string{"DB=new"}
		a.Ports = []manifest.Port{{Host: 8080, Container: 80, Protocol: "tcp"}}
		a.Volumes = []manifest.Volume{{Type: "bind", Source: "/var/lib/archipelago/demo", Target: "/data"}}
	}))
	old := Mount{Type: "bind", Source: "/var/lib/archipelago/old", Target: "/data", Own: true}
	in.Pinned = Pinned{
		Image: "docker.io/demo/demo:0", User: "999:999", Env: map[string]string{"DB": "old"}, Volumes: []Mount{old},
		ExtraPorts: []Port{{Host: 18080, Container: 80, Protocol: "tcp"}, {Host: 8080, Container: 80}},
	}
	c := must(t, in)
	equal(t, "image, user", []string{c.Image, c.User}, []string{"docker.io/demo/demo:0", "999:999"})
	equal(t, "environment", c.Env, map[string]string{"DB": "old"})
	equal(t, "mounts", c.Mounts, []Mount{old})
	equal(t, "ports", c.Ports, []Port{{Host: 8080, Container: 80, Protocol: "tcp"}, {Host: 18080, Container: 80, Protocol: "tcp"}})
}

func TestBuilds(t *testing.T) {
	for _, test := range []struct{ context, tag, image, at string }{
		{"/opt/archipelago/docker/demo", "archy-demo", "localhost/archy-demo:ctx-0123456789ab", "/opt/archipelago/docker/demo"},
		{"docker", "localhost/archy-demo", "localhost/archy-demo:ctx-0123456789ab", "/opt/archipelago/apps/demo/docker"},
		{"docker", "team/demo:1.0", "localhost/team/demo:1.0", "/opt/archipelago/apps/demo/docker"},
		{"docker", "registry.example:5000/demo", "registry.example:5000/demo:ctx-0123456789ab", "/opt/archipelago/apps/demo/docker"},
	} {
		in := input(app(func(a *manifest.App) {
			a.Container.Image = ""
			a.Container.Build = &manifest.Build{Context: test.context, Tag: test.tag}
		}))
		in.ContextTag = "ctx-0123456789ab"
		in.Pinned.Image = "localhost/archy-demo:ctx-old" // a changed page is shown, not held back
		c := must(t, in)
		equal(t, test.tag, c.Image, test.image)
		equal(t, test.context, *c.Build, Build{Context: test.at, Dockerfile: "Dockerfile"})
	}
	local := input(app(func(a *manifest.App) {
		a.Dir = "/tmp/root/etc/archipelago/apps/demo"
		a.Container.Build = &manifest.Build{Context: "docker", Tag: "demo:1", Dockerfile: "Containerfile"}
	}))
	local.Layout.Root = "/tmp/root"
	equal(t, "a context below --root", *must(t, local).Build,
		Build{Context: "/etc/archipelago/apps/demo/docker", Dockerfile: "Containerfile"})
}

func TestDependencies(t *testing.T) {
	c := resolve(t, app(func(a *manifest.App) {
		a.Dependencies = []manifest.Dependency{
			{AppID: "mempool"}, {AppID: "bitcoin-knots", Condition: manifest.Answers}, {Storage: 5}, {AppID: "unknown"}, {AppID: "mempool"},
		}
	}))
	equal(t, "started after", c.Unit.After, []string{"archy-mempool-web", "bitcoin-core"})
}

func TestHealth(t *testing.T) {
	seconds := func(n int) manifest.Duration { return manifest.Duration(time.Duration(n) * time.Second) }
	for _, test := range []struct {
		check manifest.HealthCheck
		want  Health
	}{
		{manifest.HealthCheck{Type: "http", Endpoint: manifest.Endpoint{Text: "127.0.0.1:80"}, Path: "/x", Timeout: seconds(5)},
			Health{Argv: []string{"curl", "-fsS", "-m", "5", "http://127.0.0.1:80/x"}, Interval: 30, Timeout: 5, Retries: 3}},
		{manifest.HealthCheck{Type: "http", Endpoint: manifest.Endpoint{Text: "https://127.0.0.1"}, Retries: 9},
			Health{Argv: []string{"curl", "-fsS", "-m", "10", "https://127.0.0.1"}, Interval: 30, Timeout: 10, Retries: 9}},
		{manifest.HealthCheck{Type: "tcp", Endpoint: manifest.Endpoint{Text: "[::1]:50001"}, Interval: seconds(60)},
			Health{Argv: []string{"nc", "-z", "::1", "50001"}, Interval: 60, Timeout: 10, Retries: 3}},
		{manifest.HealthCheck{Type: "exec", Endpoint: manifest.Endpoint{Argv: []string{"pg_isready", "-U", "a b"}}, StartPeriod: seconds(120)},
			Health{Argv: []string{"pg_isready", "-U", "a b"}, Interval: 30, Timeout: 10, Retries: 3, StartPeriod: 120}},
		{manifest.HealthCheck{Type: "cmd", Endpoint: manifest.Endpoint{Text: "true; c=$?"}, Timeout: manifest.Duration(1500 * time.Millisecond)},
			Health{Cmd: "true; c=$?", Interval: 30, Timeout: 2, Retries: 3}},
		{manifest.HealthCheck{Type: "host_http", Endpoint: manifest.Endpoint{Text: "127.0.0.1:8080"}, Status: []int{200, 401}},
			Health{HostHTTP: "http://127.0.0.1:8080", Status: []int{200, 401}, Interval: 30, Timeout: 10, Retries: 3}},
	} {
		c := resolve(t, app(func(a *manifest.App) { a.HealthCheck = &test.check }))
		if c.Health != nil {
			equal(t, test.check.Type, *c.Health, test.want)
		}
	}
}

func TestHostOwner(t *testing.T) {
	usual := input(app(func(*manifest.App) {})).Facts
	shifted := usual
	shifted.UID, shifted.GID = 1001, 1002
	shifted.SubUID, shifted.SubGID = node.SubRange{Start: 165536, Count: 65536}, node.SubRange{Start: 231072, Count: 65536}
	for _, test := range []struct {
		dataUID  string
		facts    node.Facts
		uid, gid int
	}{
		{"100101:100101", usual, 100101, 100101},
		{"1000:1000", usual, 1000, 1000},
		{"", usual, 1000, 1000},
		{"100101:100069", shifted, 165637, 231141},
		{"100471:1000", shifted, 165536 + 471, 1002},
		{"", shifted, 1001, 1002},
		{"33:33", shifted, 33, 33},
	} {
		uid, gid := HostOwner(test.dataUID, test.facts)
		equal(t, "owner of "+test.dataUID, []int{uid, gid}, []int{test.uid, test.gid})
	}
}
