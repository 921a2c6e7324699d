package secrets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const marker = "planted-fake-secret"

func TestValueIsNeverPrinted(t *testing.T) {
	v := New(marker)
	type inner struct{ hidden Value }
	shapes := map[string]any{
		"value": v, "pointer": &v, "field": struct{ V Value }{v}, "hidden field": inner{v}, "pointer to hidden": &inner{v},
		"slice": []Value{v}, "map": map[string]Value{"k": v}, "key": map[Value]int{v: 1}, "interface": []any{v},
		"wrapped": fmt.Errorf("cannot use %v", v), "joined": errors.Join(fmt.Errorf("%s", v)),
	}
	forbidden := []string{marker, fmt.Sprintf("%x", marker), fmt.Sprintf("%X", marker), "112 108 97"}
	check := func(t *testing.T, how, out string) {
		t.Helper()
		for _, f := range forbidden {
			if strings.Contains(out, f) {
				t.Errorf("%s prints the value: %s", how, out)
			}
		}
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3s", "% x"} {
				check(t, verb, fmt.Sprintf(verb, shape))
			}
			if text, err := json.Marshal(shape); err == nil {
				check(t, "json", string(text))
			}
			if text, err := yaml.Marshal(shape); err == nil {
				check(t, "yaml", string(text))
			}
			var log bytes.Buffer
			slog.New(slog.NewTextHandler(&log, nil)).Info("x", "k", shape)
			slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "k", shape)
			check(t, "slog", log.String())
		})
	}
}

func TestValueSaysWhetherItIsThere(t *testing.T) {
	text, err := json.Marshal(map[string]Value{"have": New(marker), "not": {}})
	if err != nil || string(text) != `{"have":"[redacted]","not":"[missing]"}` {
		t.Errorf("json %s, %v", text, err)
	}
	if text, err := yaml.Marshal(New(marker)); err != nil || !strings.Contains(string(text), "[redacted]") {
		t.Errorf("yaml %s, %v", text, err)
	}
	if New("").Missing() != true || New("x").Missing() || New(marker).Reveal() != marker {
		t.Error("empty text is missing, other text is kept")
	}
	if !New("a").Equal(New("a")) || New("a").Equal(New("b")) || New("a").Equal(Value{}) || !(Value{}).Equal(New("")) {
		t.Error("values compare by their text")
	}
	if got := New("abc").Fingerprint(); got != "ba7816bf" { // FIPS 180-2, appendix B.1
		t.Errorf("fingerprint %s", got)
	}
	if got := (Value{}).Fingerprint(); got != "" {
		t.Errorf("fingerprint of nothing: %s", got)
	}
}

func TestSingleLine(t *testing.T) {
	for text, ok := range map[string]bool{"": false, "a": true, "a b#c": true, "a\n": false, "a\rb": false, "a\x00": false} {
		err := New(text).SingleLine("the-name")
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil && !strings.Contains(err.Error(), "the-name") {
			t.Errorf("%q: the error does not name the secret: %v", text, err)
		}
	}
}

func TestSecretEnvHash(t *testing.T) {
	pairs := map[string]Value{"B": New("2"), "A": New("1")}
	// printf 'archy-secret-v1\0lnd\0A=1\0B=2' | sha256sum
	const want = "3143ad35865295ad"
	if got := SecretEnvHash("lnd", pairs); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if SecretEnvHash("lnd", nil) != "" {
		t.Error("an app without secrets has no label")
	}
	for name, other := range map[string]string{
		"app":   SecretEnvHash("mempool", pairs),
		"value": SecretEnvHash("lnd", map[string]Value{"A": New("1"), "B": New("3")}),
		"name":  SecretEnvHash("lnd", map[string]Value{"A": New("1"), "C": New("2")}),
		"fewer": SecretEnvHash("lnd", map[string]Value{"A": New("1")}),
	} {
		if other == want {
			t.Errorf("a changed %s is not seen", name)
		}
	}
}

func TestRPCAuthLine(t *testing.T) {
	line, err := RPCAuthLine("backup", New(marker), bytes.NewReader(bytes.Repeat([]byte{0xab}, RPCAuthSaltBytes)))
	if err != nil || !strings.HasPrefix(line, "rpcauth=backup:abababababababababababababababab$") {
		t.Fatalf("%s, %v", line, err)
	}
	if !VerifyRPCAuth(line, "backup", New(marker)) || VerifyRPCAuth(line, "backup", New("other")) || VerifyRPCAuth(line, "archipelago", New(marker)) {
		t.Error("the line lets the wrong one in")
	}
	for _, user := range []string{"", "a:b", "a b", "a$", "a#", "a\nb", `"a"`, "a=b"} {
		if _, err := RPCAuthLine(user, New(marker), strings.NewReader(strings.Repeat("x", 16))); err == nil || strings.Contains(err.Error(), marker) {
			t.Errorf("user %q: %v", user, err)
		}
	}
	if _, err := RPCAuthLine("a", Value{}, strings.NewReader(strings.Repeat("x", 16))); err == nil {
		t.Error("a line without a password")
	}
	if _, err := RPCAuthLine("a", New(marker), strings.NewReader("x")); err == nil {
		t.Error("a line with a short salt")
	}
}
