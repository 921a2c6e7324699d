package spec

import (
	"flag"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

// full has every field set.
func full() Container {
	return Container{
		App: "lnd", Name: "lnd", Tier: 2,
		Image:       "docker.io/lightninglabs/lnd:v0.18.4-beta",
		ImageDigest: "sha256:0123",
		Build:       &Build{Context: "/opt/archipelago/docker/lnd", Dockerfile: "Dockerfile"},
		Entrypoint:  []string{"/bin/sh", "-ec"}, Command: []string{"exec $b $@", "<&>"},
		Env:     map[string]string{"B": "2", "A": "1", "EMPTY": ""},
		SoftEnv: map[string]string{"SITE": "http://node.local/"},
		Secrets: []SecretEnv{
			{Key: "RPC", Secret: "archy.lnd.RPC", Value: secrets.New("hunter2")},
			{Key: "DB", Secret: "archy.lnd.DB", Value: secrets.New("hunter3")},
		},
		SecretEnvHash: "0011223344556677", ConfigDigest: "8899aabbccddeeff",
		Network: "archy-net", Aliases: []string{"z", "a"}, Hostname: "lnd",
		AddHosts: []string{"host.containers.internal:host-gateway", "host.archipelago:host-gateway"},
		Ports: []Port{
			{Host: 9735, Container: 9735, Protocol: "tcp"},
			{HostIP: "127.0.0.1", Host: 53, Container: 53, Protocol: "udp"},
		},
		Mounts: []Mount{
			{Type: "bind", Source: "/var/lib/archipelago/lnd", Target: "/root/.lnd", Own: true},
			{Type: "bind", Source: "/var/lib/archipelago/x.conf", Target: "/x.conf", Options: []string{"ro", "noexec"}, File: true},
		},
		Tmpfs:        []Tmpfs{{Target: "/tmp", Options: []string{"size=64m"}}},
		SecretMounts: []SecretMount{{Secret: "archy.lnd.file.key", Target: "/key", Mode: "0400", Value: secrets.New("hunter4")}},
		Devices:      []string{"/dev/fuse"},
		User:         "0:0", CapAdd: []string{"SETUID", "DAC_OVERRIDE"},
		ReadOnly: true, NoNewPrivileges: true, Seccomp: "/etc/seccomp.json", AppArmor: "archy",
		Memory: 1 << 30, CPUs: 1.5, PidsLimit: 2048, ShmSize: 256 << 20,
		Health:    &Health{Cmd: "lncli state", Interval: 30, Timeout: 10, Retries: 5, StartPeriod: 300},
		StopGrace: 330,
		Unit:      Unit{Description: "LND", After: []string{"bitcoin-knots"}, Restart: "on-failure", TimeoutStart: 120},
	}
}

// TestHashV1IsFrozen pins the canonical JSON of version 1. If this fails, containers on nodes would be recreated by an
// upgrade of archy: a changed rule is a new version.
func TestHashV1IsFrozen(t *testing.T) {
	got := string(encode(canonicalV1(full()))) + "\n"
	const file = "testdata/v1.json"
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
		t.Errorf("canonical JSON of v1 changed:\n got %s\nwant %s", got, want)
	}
	if got, want := full().Hash(), "v1:d2f97387dc4f9206cc6fa269b818cfe2"; got != want {
		t.Errorf("hash of v1 is %s, want %s", got, want)
	}
	if strings.Contains(got, "hunter") {
		t.Error("a secret is in the canonical form")
	}
}

func TestEmptyContainerHasEmptyCanonicalForm(t *testing.T) {
	zero := Container{
		Entrypoint: []string{}, Env: map[string]string{}, SoftEnv: map[string]string{}, Mounts: []Mount{},
		Health: &Health{HostHTTP: "http://127.0.0.1/"}, Ports: []Port{}, Secrets: []SecretEnv{},
	}
	if got := string(encode(canonicalV1(zero))); got != "{}" {
		t.Errorf("got %s, want {}", got)
	}
}

// unhashed are the fields that must not change the hash, by their path.
var unhashed = []string{
	"Tier", "Build", "SoftEnv", "Unit", "Secrets.Value", "SecretMounts.Value",
	"Mounts.Own", "Mounts.File", "Health.HostHTTP", "Health.Status",
}

// TestEveryFieldCountsInTheHash changes each field in turn, found by reflection, so that a field added later must be
// hashed or listed as left out.
func TestEveryFieldCountsInTheHash(t *testing.T) {
	base := full().Hash()
	for _, path := range leaves(reflect.TypeFor[Container](), "") {
		c := full()
		c.Health = &Health{Cmd: c.Health.Cmd, Interval: 30, Timeout: 10, Retries: 5, StartPeriod: 300}
		change(t, reflect.ValueOf(&c).Elem(), strings.Split(path, "."))
		same := c.Hash() == base
		free := slices.ContainsFunc(unhashed, func(p string) bool { return path == p || strings.HasPrefix(path, p+".") })
		if same != free {
			t.Errorf("after a change of %s the hash is the same: %v, want %v", path, same, free)
		}
	}
}

func leaves(typ reflect.Type, prefix string) []string {
	var all []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		inner := f.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[secrets.Value]() {
			all = append(all, leaves(inner, prefix+f.Name+".")...)
			continue
		}
		all = append(all, prefix+f.Name)
	}
	return all
}

func change(t *testing.T, v reflect.Value, path []string) {
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() == reflect.Slice && len(path) > 0 {
		v = v.Index(0)
	}
	if len(path) > 0 {
		change(t, v.FieldByName(path[0]), path[1:])
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Int {
			v.Set(reflect.Append(v, reflect.ValueOf(200)))
			return
		}
		v.Set(reflect.Append(v, reflect.ValueOf("extra")))
	case reflect.Map:
		v.SetMapIndex(reflect.ValueOf("EXTRA"), reflect.ValueOf("1"))
	case reflect.Struct:
		v.Set(reflect.ValueOf(secrets.New("another")))
	default:
		t.Fatalf("no way to change a %s", v.Kind())
	}
}

func TestHashIgnoresOrderWhereItMeansNothing(t *testing.T) {
	c := full()
	slices.Reverse(c.Aliases)
	slices.Reverse(c.AddHosts)
	slices.Reverse(c.Ports)
	slices.Reverse(c.Mounts)
	slices.Reverse(c.Mounts[0].Options)
	slices.Reverse(c.CapAdd)
	slices.Reverse(c.Secrets)
	if c.Hash() != full().Hash() {
		t.Error("the order of a set changed the hash")
	}
	slices.Reverse(c.Command)
	if c.Hash() == full().Hash() {
		t.Error("the order of the command did not change the hash")
	}
	tcp := full()
	tcp.Ports[0].Protocol = ""
	if tcp.Hash() != full().Hash() {
		t.Error("tcp and no protocol are two things")
	}
}

func TestHashDependsOnTheEnvironmentOnlyByContent(t *testing.T) {
	text := rapid.StringMatching(`[A-Za-z0-9=:{}",]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.MapOf(text, text).Draw(t, "a")
		b := rapid.MapOf(text, text).Draw(t, "b")
		same := Container{Env: a}.Hash() == Container{Env: b}.Hash()
		if equal := maps.Equal(a, b); same != equal {
			t.Fatalf("same hash %v, equal %v", same, equal)
		}
		// Two lists that join to one text are still two lists.
		x := rapid.SliceOf(text).Draw(t, "x")
		y := rapid.SliceOf(text).Draw(t, "y")
		same = Container{Command: x}.Hash() == Container{Command: y}.Hash()
		if equal := slices.Equal(x, y); same != equal {
			t.Fatalf("same hash %v, equal %v", same, equal)
		}
	})
}

func TestSameSpec(t *testing.T) {
	c := full()
	other := full()
	other.Memory++
	for _, test := range []struct {
		name, label   string
		same, relabel bool
	}{
		{"the current label", c.Hash(), true, false},
		{"another container's label", other.Hash(), false, false},
		{"no label", "", false, false},
		{"a label of a newer archy", "v9:" + strings.TrimPrefix(c.Hash(), "v1:"), false, false},
		{"a label without a version", strings.TrimPrefix(c.Hash(), "v1:"), false, false},
	} {
		if same, relabel := SameSpec(test.label, c); same != test.same || relabel != test.relabel {
			t.Errorf("%s: same %v relabel %v, want %v %v", test.name, same, relabel, test.same, test.relabel)
		}
	}
}

// TestOldVersionIsComparedByItsOwnRules adds an older version to the table, as this one will be one day.
func TestOldVersionIsComparedByItsOwnRules(t *testing.T) {
	canonical["v0"] = func(c Container) map[string]any { return map[string]any{"image": c.Image} }
	defer delete(canonical, "v0")
	c := full()
	label, err := HashVersion(c, "v0")
	if err != nil {
		t.Fatal(err)
	}
	c.Memory++ // version 0 knew no memory
	if same, relabel := SameSpec(label, c); !same || !relabel {
		t.Errorf("same %v relabel %v, want both: nothing that v0 knew has changed", same, relabel)
	}
	c.Image += "x"
	if same, _ := SameSpec(label, c); same {
		t.Error("another image is the same spec by v0")
	}
	if _, err := HashVersion(c, "v7"); err == nil || !strings.Contains(err.Error(), "v7") {
		t.Errorf("an unknown version gives %v", err)
	}
}
