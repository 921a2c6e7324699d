package spec

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

// nasty are bytes that mean something to a shell, and some that are no text at all.
var nasty = rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{
	"'", `"`, `\`, "$", "`", "$(id)", "${HOME}", "\n", "\t", " ", ";", "&", "|", "#", "*", "~", "!", "=", "%", "\xff", "é", "a", "SPEC_NAME=x", "-e",
}), 0, 12), func(parts []string) string { return strings.Join(parts, "") })

// TestShellGivesExactlyTheValues: whatever the values are, sourcing gives them back and runs nothing.
func TestShellGivesExactlyTheValues(t *testing.T) {
	for _, shell := range []string{"sh", "bash"} {
		rapid.Check(t, func(t *rapid.T) {
			c := Container{
				Name: nasty.Draw(t, "name"), Image: nasty.Draw(t, "image"), Command: []string{nasty.Draw(t, "argument"), nasty.Draw(t, "argument")},
				Env: map[string]string{"KEY": nasty.Draw(t, "value")}, User: nasty.Draw(t, "user"), Hostname: nasty.Draw(t, "hostname"),
				Health: &Health{Cmd: nasty.Draw(t, "check")}, Mounts: []Mount{{Source: nasty.Draw(t, "source"), Target: nasty.Draw(t, "target")}},
			}
			var want, script strings.Builder
			script.WriteString(`eval "$(cat)"; printf '%s\001'`)
			for _, f := range c.Fields() {
				want.WriteString(f.Text() + "\x01")
				script.WriteString(` "$SPEC_` + strings.ToUpper(f.Name) + `"`)
			}
			cmd := exec.Command(shell, "-euc", script.String())
			cmd.Stdin = bytes.NewReader(c.Shell())
			if out, err := cmd.CombinedOutput(); err != nil || string(out) != want.String() {
				t.Fatalf("%s reads %q (%v), want %q", shell, out, err, want.String())
			}
		})
	}
}

// TestFieldsHoldNoSecret: secrets are there by name.
func TestFieldsHoldNoSecret(t *testing.T) {
	value := secrets.New("hunter2")
	c := Container{
		Secrets:      []SecretEnv{{Key: "PASSWORD", Secret: "archy.x.PASSWORD", Value: value}},
		SecretMounts: []SecretMount{{Secret: "archy.x.file.token", Target: "/run/token", Value: value}},
	}
	text := string(c.Shell())
	for _, line := range []string{"SPEC_SECRET_ENV='PASSWORD=archy.x.PASSWORD'", "SPEC_SECRET_FILES='/run/token=archy.x.file.token'"} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	if strings.Contains(text, "hunter2") {
		t.Error("the secret is printed")
	}
}

// TestPortsAsText: a port without an address is on all of them, an IPv6 address is in brackets.
func TestPortsAsText(t *testing.T) {
	for want, p := range map[string]Port{
		"8333:8333/tcp":           {Host: 8333, Container: 8333},
		"127.0.0.1:8178:8080/tcp": {HostIP: "127.0.0.1", Host: 8178, Container: 8080, Protocol: "tcp"},
		"[::1]:53:53/udp":         {HostIP: "::1", Host: 53, Container: 53, Protocol: "udp"},
	} {
		if got := p.text(); got != want {
			t.Errorf("%+v is %q, want %q", p, got, want)
		}
	}
}
