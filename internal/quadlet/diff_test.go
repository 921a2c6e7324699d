package quadlet

import (
	"slices"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/spec"
)

func TestDiff(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*spec.Container)
		want   []string
	}{
		{"nothing", func(*spec.Container) {}, nil},
		{"memory", func(c *spec.Container) { c.Memory = 512 << 20 }, []string{"memory 268435456 -> 536870912"}},
		{"no memory limit", func(c *spec.Container) { c.Memory = 0 }, []string{"memory -268435456"}},
		{"a variable", func(c *spec.Container) { c.Env = map[string]string{"PLAIN": "100% $x", "EMPTY": "", "NEW": "1"} },
			[]string{"env NEW +NEW=1", `env PLAIN a b -> 100% $x`, `env PRICE -5% off "$5" \o/`}},
		{"a soft variable", func(c *spec.Container) { c.SoftEnv["SITE"] = "http://192.0.2.1/" },
			[]string{"env SITE http://node.local/ -> http://192.0.2.1/"}},
		{"ports", func(c *spec.Container) { c.Ports[0].Host = 18080 },
			[]string{"ports 127.0.0.1:8080:80 -> 127.0.0.1:18080:80"}},
		{"a rotated secret", func(c *spec.Container) { c.SecretEnvHash = "7766554433221100" }, []string{"secret values changed"}},
		{"a derived file", func(c *spec.Container) { c.ConfigDigest = "x" }, []string{"derived files 8899aabbccddeeff -> x"}},
		{"another image", func(c *spec.Container) { c.Image += ".1" }, []string{"image docker.io/demo/demo:1 -> docker.io/demo/demo:1.1"}},
		{"only the hash", func(c *spec.Container) { c.ImageDigest = "sha256:1" }, []string{"spec-hash"}},
		{"the unit", func(c *spec.Container) { c.Unit.Restart, c.Unit.After = "on-failure", nil }, []string{
			"service Restart always -> on-failure",
			"unit After -archy-db.service bitcoin-knots.service", "unit Wants -archy-db.service bitcoin-knots.service",
		}},
		{"a secret less", func(c *spec.Container) { c.Secrets = nil; c.Env["PASSWORD"] = "hunter2" }, []string{
			"env PASSWORD +hidden", "secret PASSWORD -archy.all.PASSWORD,type=env,target=PASSWORD",
		}},
	} {
		c := everything()
		test.change(&c)
		var got []string
		for _, change := range Diff(render(t, everything()), render(t, c)) {
			got = append(got, strings.Replace(change.String(), "+1", "+NEW=1", 1))
		}
		if test.name == "only the hash" && len(got) == 1 && strings.HasPrefix(got[0], "spec-hash v1:") {
			continue
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestDiffOfAnEditedUnit(t *testing.T) {
	unit := string(render(t, everything()))
	for _, test := range []struct{ name, have, want string }{
		{"a comment and an empty line", strings.Replace(unit, "[Container]", "# mine\n\n[Container]", 1), ""},
		{"a password by hand", strings.Replace(unit, "[Container]", "[Container]\nEnvironment=API_TOKEN=hunter2", 1), "env API_TOKEN -hidden"},
		{"garbage", "garbage", "unit unreadable -> rewritten"},
		{"a directive more", unit + "\n[Service]\nNice=5\n", "service Nice -5"},
	} {
		var got []string
		for _, change := range Diff([]byte(test.have), []byte(unit)) {
			got = append(got, change.String())
		}
		if strings.Join(got, "; ") != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestUnitLabels(t *testing.T) {
	c := everything()
	got := UnitLabels(render(t, c))
	if got[spec.LabelSpecHash] != c.Hash() || got[spec.LabelApp] != "all" || got[spec.LabelTier] != "0" {
		t.Errorf("labels are %v", got)
	}
	if UnitLabels([]byte("garbage")) != nil {
		t.Error("garbage has labels")
	}
}

// test that a changed limit is told in words on a machine that cannot set it
func TestDiffOfOmittedLimits(t *testing.T) {
	c := lnd()
	c.Memory, c.Unit.OmitMemory = 256<<20, true
	before := render(t, c)
	c.Memory = 384 << 20
	after := render(t, c)
	if _, err := Convert("lnd.container", after); err != nil {
		t.Errorf("podman's parser refuses the unit: %v", err)
	}
	want := []Change{{Key: "memory", Have: "268435456", Want: "402653184"}}
	if got := Diff(before, after); !slices.Equal(got, want) {
		t.Errorf("Diff = %v, want %v", got, want)
	}
	if strings.Contains(string(after), "--memory") {
		t.Error("the limit is set although its controller is not delegated")
	}
}
