package quadlet

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

var layout = node.Layout{DataDir: "/var/lib/archipelago", Home: "/home/archipelago"}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func small() spec.Container {
	return spec.Container{
		App: "demo", Name: "demo", Tier: 3, Image: "docker.io/demo/demo:1", Network: "pasta", StopGrace: 30, PidsLimit: 2048,
		Unit: spec.Unit{Description: "Demo", Restart: "on-failure", TimeoutStart: 120},
	}
}

func lnd() spec.Container {
	return spec.Container{
		App: "lnd", Name: "lnd", Tier: 2, Image: "docker.io/lightninglabs/lnd:v0.18.4-beta",
		Command:      []string{"--lnddir=/root/.lnd", "--configfile=/root/.lnd/lnd.conf"},
		ConfigDigest: "8899aabbccddeeff", Network: "archy-net",
		AddHosts: []string{"host.containers.internal:host-gateway", "host.archipelago:host-gateway"},
		Ports: []spec.Port{
			{Host: 9735, Container: 9735, Protocol: "tcp"}, {Host: 10009, Container: 10009, Protocol: "tcp"},
			{Host: 8080, Container: 8080, Protocol: "tcp"},
		},
		Mounts: []spec.Mount{{Type: "bind", Source: "/var/lib/archipelago/lnd", Target: "/root/.lnd", Own: true}},
		User:   "0:0", CapAdd: []string{"DAC_OVERRIDE"}, NoNewPrivileges: true,
		Memory: 1 << 30, CPUs: 2, PidsLimit: 2048, StopGrace: 330,
		Health: &spec.Health{Cmd: "lncli --rpcserver=127.0.0.1:10009 state", Interval: 30, Timeout: 10, Retries: 5, StartPeriod: 300},
		Unit:   spec.Unit{Description: "LND", After: []string{"bitcoin-knots"}, Restart: "on-failure", TimeoutStart: 120},
	}
}

// everything uses every directive that archy writes.
func everything() spec.Container {
	c := small()
	c.App, c.Name, c.Tier, c.Network = "all", "archy-all", 0, "archy-net"
	c.Entrypoint, c.Command = []string{"/bin/sh", "-ec"}, []string{`exec $b $@`, "", ";", "100%", `a "b" \c`}
	c.Env = map[string]string{"PLAIN": "a b", "EMPTY": "", "PRICE": `5% off "$5" \o/`}
	c.SoftEnv = map[string]string{"SITE": "http://node.local/"}
	c.Secrets = []spec.SecretEnv{{Key: "PASSWORD", Secret: "archy.all.PASSWORD", Value: secrets.New("hunter2")}}
	c.SecretMounts = []spec.SecretMount{{Secret: "archy.all.file.key", Target: "/run/key", Mode: "0400", Value: secrets.New("hunter3")}}
	c.SecretEnvHash, c.ConfigDigest = "0011223344556677", "8899aabbccddeeff"
	c.Aliases, c.Hostname = []string{"everything"}, "all"
	c.AddHosts = []string{"host.archipelago:host-gateway"}
	c.Ports = []spec.Port{
		{HostIP: "127.0.0.1", Host: 8080, Container: 80, Protocol: "tcp"}, {HostIP: "::1", Host: 53, Container: 5353, Protocol: "udp"},
	}
	c.Mounts = []spec.Mount{
		{Type: "bind", Source: "/var/lib/archipelago/all", Target: "/data", Options: []string{"ro", "noexec"}},
		{Type: "volume", Source: "cache", Target: "/cache"},
	}
	c.Tmpfs = []spec.Tmpfs{{Target: "/tmp", Options: []string{"size=64m", "mode=1777"}}, {Target: "/run"}}
	c.Devices = []string{"/dev/fuse"}
	c.User, c.CapAdd, c.ReadOnly, c.NoNewPrivileges = "999:1000", []string{"CHOWN", "SETUID"}, true, true
	c.Seccomp, c.AppArmor = "/etc/archipelago/seccomp.json", "archy"
	c.Memory, c.CPUs, c.ShmSize = 256<<20, 0.5, 64<<20
	c.Health = &spec.Health{Argv: []string{"pg_isready", "-U", "a b", "$HOME"}, Interval: 30, Timeout: 5, Retries: 5, StartPeriod: 60}
	c.Unit = spec.Unit{
		Description: "100% of it", After: []string{"archy-db", "bitcoin-knots"}, Restart: "always", NotifyHealthy: true,
		TimeoutStart: 900, Offline: true, Disks: []string{"/mnt/My Disk 100%", "/var/lib/archipelago/all"},
	}
	return c
}

func render(t tester, c spec.Container) []byte {
	t.Helper()
	unit, err := Render(c, layout)
	if err != nil {
		t.Fatal(err)
	}
	return unit
}

// run is what podman is given for a container, by way of Quadlet and systemd.
func run(t tester, c spec.Container) podmanRun {
	t.Helper()
	unit := render(t, c)
	service, err := Convert(c.Name+".container", unit)
	if err != nil {
		t.Fatalf("%v\n%s", err, unit)
	}
	return parseRun(t, execStart(t, service))
}

// TestGolden compares the whole unit and the whole command line that podman gets.
func TestGolden(t *testing.T) {
	for _, c := range []spec.Container{lnd(), everything()} {
		golden(t, "testdata/"+c.Name+".container", string(render(t, c)))
		golden(t, "testdata/"+c.Name+".run", run(t, c).String())
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got\n%s", file, got)
	}
	if strings.Contains(got, "hunter") {
		t.Errorf("%s holds a secret", file)
	}
}

// anyText is text of all that a value may hold: the special characters of the three readers, and no control characters.
func anyText() *rapid.Generator[string] {
	special := rapid.SampledFrom([]rune(" \"'\\$%;#{}()[]<>&|*?!~`=,:@-/.nstx0\u00a0\u3000äß€😀"))
	whatever := rapid.Rune().Filter(func(r rune) bool {
		return !unicode.IsControl(r) && r != '\u2028' && r != '\u2029'
	})
	char := rapid.OneOf(special, special, special, whatever)
	return rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(char, 0, 12).Draw(t, "runes"))
	})
}

// TestValuesArriveUnchanged is the promise of the package: whatever stands in an environment variable or an argument,
// podman gets exactly that.
func TestValuesArriveUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := small()
		c.Env = rapid.MapOf(rapid.StringMatching(`[A-Z_][A-Z0-9_]{0,4}`), anyText()).Draw(t, "env")
		c.Command = rapid.SliceOf(anyText()).Draw(t, "command")
		got := run(t, c)
		var want []string
		for _, key := range sortedKeys(c.Env) {
			want = append(want, key+"="+c.Env[key])
		}
		if !slices.Equal(got.flags["--env"], want) {
			t.Fatalf("environment\n got %q\nwant %q", got.flags["--env"], want)
		}
		if !slices.Equal(got.args, c.Command) {
			t.Fatalf("arguments\n got %q\nwant %q", got.args, c.Command)
		}
	})
}

// TestHealthArrivesUnchanged asks podman's own reader what the check will be.
func TestHealthArrivesUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := small()
		c.Health = &spec.Health{Interval: 30, Timeout: 5, Retries: 3, StartPeriod: 60}
		var want []string
		if rapid.Bool().Draw(t, "shell") {
			c.Health.Cmd = anyText().Filter(func(s string) bool { return s != "" }).Draw(t, "text")
			want = []string{"CMD-SHELL", c.Health.Cmd}
		} else {
			c.Health.Argv = rapid.SliceOfN(anyText(), 1, 5).Draw(t, "argv")
			want = append([]string{"CMD"}, c.Health.Argv...)
		}
		if _, ok := healthText(c.Health); !ok {
			if len(c.Health.Argv) != 1 {
				t.Fatalf("%q was refused", c.Health.Argv)
			}
			return
		}
		got := check(t, run(t, c))
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

// check is what the engine would run: pkg/specgenutil's MakeHealthCheckFromCli at v5.4.2, without its times.
func check(t tester, r podmanRun) []string {
	t.Helper()
	text := strings.Join(r.flags["--health-cmd"], "|")
	var words []string
	isArray := json.Unmarshal([]byte(text), &words) == nil
	if !isArray {
		words = strings.SplitN(text, " ", 2)
	}
	switch first := strings.ToUpper(words[0]); {
	case first == "CMD" || first == "NONE":
		return strings.Fields(text)
	case first == "CMD-SHELL":
		return words
	case isArray && len(words) > 1:
		return append([]string{"CMD"}, words...)
	}
	return []string{"CMD-SHELL", strings.Join(words, " ")}
}

// TestMoneyCommands are the ones of the shipped apps that have the most to lose in quoting.
func TestMoneyCommands(t *testing.T) {
	c := small()
	c.Entrypoint = []string{"/bin/sh"}
	c.Command = []string{"-ec", "b=$(command -v bitcoind || ls /opt/bitcoin-*/bin/bitcoind); exec $b $@", "bitcoind", "-datadir=/data/.bitcoin", "-dbcache=512"}
	c.Health = &spec.Health{
		Cmd:      "bitcoin-cli -datadir=/data/.bitcoin -rpcclienttimeout=8 getblockcount >/dev/null 2>&1; c=$?; test $c -eq 0 -o $c -eq 28",
		Interval: 30, Timeout: 10, Retries: 5, StartPeriod: 120,
	}
	got := run(t, c)
	if !slices.Equal(got.args, c.Command) || !slices.Equal(got.flags["--entrypoint"], c.Entrypoint) {
		t.Errorf("entrypoint %q, arguments %q", got.flags["--entrypoint"], got.args)
	}
	for _, text := range []string{
		c.Health.Cmd,
		`python3 -c 'import socket;socket.create_connection((socket.inet_ntoa(bytes([127,0,0,1])),8000),5)'`,
		`bash -c 'exec 3<>/dev/tcp/127.0.0.1/32838'`,
		`sh -c "echo 100% $HOME"`,
		`"/opt/a b/check"`,
		`[ -f /data/ready ]`,
		`echo a\`,
		`CMD is no keyword here`,
	} {
		c.Health.Cmd = text
		if got := check(t, run(t, c)); !slices.Equal(got, []string{"CMD-SHELL", text}) {
			t.Errorf("%s: podman would run %q", text, got)
		}
	}
	// Quadlet 5.4.2 ends the command at an empty word and systemd at a lone semicolon; both must arrive.
	c.Entrypoint, c.Command = nil, []string{"redis-server", "--save", "", "--appendonly", "no", ";"}
	if got := run(t, c).args; !slices.Equal(got, c.Command) {
		t.Errorf("arguments %q, want %q", got, c.Command)
	}
}

// TestNoValueStartsALine puts a newline into every text of a container in turn.
func TestNoValueStartsALine(t *testing.T) {
	for _, path := range texts(reflect.ValueOf(everything()), "") {
		for _, bad := range []string{"\n", "\r", "\x00", "\u0085", "\u2028"} {
			c := everything()
			poison(reflect.ValueOf(&c).Elem(), strings.Split(path, "."), bad+"PodmanArgs=--privileged")
			unit, err := Render(c, layout)
			if err == nil && strings.Contains(string(unit), "--privileged") {
				t.Errorf("%s with %q was rendered", path, bad)
			}
		}
	}
}

func texts(v reflect.Value, prefix string) []string {
	var all []string
	for i := range v.NumField() {
		f, name := v.Field(i), prefix+v.Type().Field(i).Name
		for f.Kind() == reflect.Pointer || f.Kind() == reflect.Slice {
			if f.Kind() == reflect.Pointer && f.IsNil() || f.Kind() == reflect.Slice && f.Len() == 0 {
				break
			}
			if f.Kind() == reflect.Pointer {
				f = f.Elem()
			} else {
				f = f.Index(0)
			}
		}
		switch {
		case f.Kind() == reflect.String || f.Kind() == reflect.Map:
			all = append(all, name)
		case f.Kind() == reflect.Struct && f.Type() != reflect.TypeFor[secrets.Value]():
			all = append(all, texts(f, name+".")...)
		}
	}
	return all
}

func poison(v reflect.Value, path []string, bad string) {
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch {
	case v.Kind() == reflect.Slice:
		poison(v.Index(0), path, bad)
	case len(path) > 0:
		poison(v.FieldByName(path[0]), path[1:], bad)
	case v.Kind() == reflect.Map:
		v.SetMapIndex(reflect.ValueOf("X"), reflect.ValueOf("a"+bad))
		v.SetMapIndex(reflect.ValueOf("Y"+bad), reflect.ValueOf("a"))
	default:
		v.SetString(v.String() + bad)
	}
}

func TestRefusedValues(t *testing.T) {
	for _, test := range []struct {
		change func(*spec.Container)
		want   string
	}{
		{func(c *spec.Container) { c.Env = map[string]string{"A B": "1"} }, `demo.container: Environment=: "A B" is not the name of a variable`},
		{func(c *spec.Container) { c.Env = map[string]string{"A": "\xff"} }, `demo.container: Environment=: a value is not valid UTF-8, which systemd refuses`},
		{func(c *spec.Container) { c.Env = map[string]string{"A": "a\nb"} }, `demo.container: Environment=: a value holds the control character U+000A (one line is one line)`},
		{func(c *spec.Container) { c.Image = "a b" }, `demo.container: Image=: "a b" must be one word without quotes, commas and backslashes`},
		{func(c *spec.Container) {
			c.Mounts = []spec.Mount{{Source: "/var/lib/archipelago/a:b", Target: "/x"}}
		}, `demo.container: Volume=: the path "/var/lib/archipelago/a:b" holds a space or one of : $ % , \ and quotes`},
		{func(c *spec.Container) { c.Tmpfs = []spec.Tmpfs{{Target: "/t", Options: []string{"size=1 m"}}} }, `demo.container: Tmpfs=: an option of "/t:size=1 m" holds a space`},
		{func(c *spec.Container) { c.Entrypoint = []string{`["a"]`} }, `demo.container: Entrypoint=: "[\"a\"]" would be read as JSON`},
		{func(c *spec.Container) { c.Health = &spec.Health{Argv: []string{"two words"}} }, `demo.container: HealthCmd=: podman 5.4.2 cannot carry the command "two words"`},
		{func(c *spec.Container) { c.Health = &spec.Health{Argv: []string{"CMD", "true"}} }, `demo.container: HealthCmd=: podman 5.4.2 cannot carry the command "CMD true"`},
	} {
		c := small()
		test.change(&c)
		unit, err := Render(c, layout)
		if err == nil || err.Error() != test.want || unit != nil {
			t.Errorf("got %v\nwant %s", err, test.want)
		}
	}
}

func TestLimitsThatTheUserManagerDoesNotHave(t *testing.T) {
	c := lnd()
	c.Unit.OmitMemory, c.Unit.OmitCPU, c.Unit.OmitPids = true, true, true
	flags := run(t, c).flags
	if flags["--memory"] != nil || flags["--cpus"] != nil || !slices.Equal(flags["--pids-limit"], []string{"0"}) {
		t.Errorf("memory %q, cpus %q, pids %q", flags["--memory"], flags["--cpus"], flags["--pids-limit"])
	}
}

func TestService(t *testing.T) {
	services, err := ConvertAll(map[string][]byte{
		"lnd.container": render(t, lnd()), "archy-net.network": network(t, "archy-net", "10.89.0.0/24", "10.89.0.1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	service := services["lnd.service"]
	for _, want := range []struct{ section, key, values string }{
		{"Unit", "ConditionPathExists", "!/var/lib/archipelago/state/stopped/lnd"},
		{"Unit", "Wants", "podman-user-wait-network-online.service bitcoin-knots.service"},
		{"Unit", "After", "podman-user-wait-network-online.service bitcoin-knots.service archy-net-network.service"},
		{"Unit", "Requires", "archy-net-network.service"},
		{"Unit", "BindsTo", ""},
		{"Unit", "StartLimitIntervalSec", "1800"},
		{"Unit", "StartLimitBurst", "5"},
		{"Service", "Restart", "on-failure"},
		{"Service", "RestartSec", "10"},
		{"Service", "RestartSteps", "5"},
		{"Service", "RestartMaxDelaySec", "300"},
		{"Service", "TimeoutStartSec", "120"},
		{"Service", "TimeoutStopSec", "345"},
		{"Install", "WantedBy", "default.target"},
	} {
		if got := strings.Join(directives(service, want.section, want.key), " "); got != want.values {
			t.Errorf("%s= is %q, want %q", want.key, got, want.values)
		}
	}
	if got := directives(service, "Unit", "RequiresMountsFor"); !slices.Contains(got, "/var/lib/archipelago") {
		t.Errorf("RequiresMountsFor= is %q", got)
	}
	create := strings.Join(execStart(t, services["archy-net-network.service"])[1:], " ")
	want := "network create --ignore --subnet 10.89.0.0/24 --gateway 10.89.0.1 --label io.archipelago.managed=true archy-net"
	if create != want {
		t.Errorf("the network's service runs %q, want %q", create, want)
	}
}

func TestOfflineAppDoesNotWaitForTheNetwork(t *testing.T) {
	c := small()
	c.Network, c.Unit.Offline = "host", true
	service, err := Convert("demo.container", render(t, c))
	if err != nil {
		t.Fatal(err)
	}
	if after := directives(service, "Unit", "After"); len(after) > 0 {
		t.Errorf("it starts after %q", after)
	}
}

func network(t *testing.T, name, subnet, gateway string) []byte {
	t.Helper()
	unit, err := RenderNetwork(name, subnet, gateway)
	if err != nil {
		t.Fatal(err)
	}
	return unit
}

func TestNetworkUnit(t *testing.T) {
	want := NetworkHeader + `

[Unit]
Description=Network archy-net

[Network]
NetworkName=archy-net
Subnet=10.89.0.0/24
Gateway=10.89.0.1
Label=io.archipelago.managed=true
`
	if got := string(network(t, "archy-net", "10.89.0.0/24", "10.89.0.1")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, err := RenderNetwork("a\nb", "", ""); err == nil {
		t.Error("a newline in a network's name was rendered")
	}
}

func TestApp(t *testing.T) {
	if id, ok := App(render(t, lnd())); id != "lnd" || !ok {
		t.Errorf("got %q %v", id, ok)
	}
	for _, text := range []string{"", "[Container]\nImage=x\n", "# Written by archy\n", NetworkHeader + "\n"} {
		if id, ok := App([]byte(text)); ok {
			t.Errorf("%q passes as the unit of %q", text, id)
		}
	}
}

func TestValidate(t *testing.T) {
	good := map[string][]byte{
		"lnd.container": render(t, lnd()), "archy-net.network": network(t, "archy-net", "", ""),
	}
	if err := Validate(good); err != nil {
		t.Errorf("good units: %v", err)
	}
	for name, test := range map[string]struct {
		unit string
		want string
	}{
		"a directive of a later podman": {"[Container]\nImage=x\nMemory=1g\n", "unsupported key 'Memory' in group 'Container'"},
		"no image":                      {"[Container]\nExec=x\n", "no Image or Rootfs key specified"},
		"a network without a unit":      {"[Container]\nImage=x\nNetwork=gone.network\n", "requested Quadlet unit gone.network was not found"},
		"a line that is none":           {"[Container]\nImage=x\ngarbage\n", "line 3: “garbage” which is not a key-value pair"},
		"a mount without a source":      {"[Container]\nImage=x\nMount=type=bind,target=/x\n", "podman's generator would crash on it"},
		"a service type":                {"[Container]\nImage=x\n[Service]\nType=simple\n", "invalid service Type 'simple'"},
	} {
		units := maps.Clone(good)
		units["bad.container"] = []byte(test.unit)
		services, err := ConvertAll(units)
		if err == nil || !strings.HasPrefix(err.Error(), "bad.container: ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want bad.container: …%s", name, err, test.want)
		}
		if services["lnd.service"] == nil || services["bad.service"] != nil {
			t.Errorf("%s: services are %v", name, sortedKeys(services))
		}
	}
}

func BenchmarkRender(b *testing.B) {
	c := everything()
	for b.Loop() {
		if _, err := Render(c, layout); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkConvert(b *testing.B) {
	unit := render(b, everything())
	for b.Loop() {
		if _, err := Convert("archy-all.container", unit); err != nil {
			b.Fatal(err)
		}
	}
}
