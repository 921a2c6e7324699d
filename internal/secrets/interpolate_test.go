package secrets

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestInterpolate(t *testing.T) {
	vals := map[string]Value{"RPC": New("abc123"), "ODD": New(`p@s:/%?#;"' é`), "DB": New("plain=1"), "EMPTY": {},
		"SEMI": New(`a;b"c`), "SPACE": New(" x "), "DOLLAR": New("${RPC}"), "EQUALS": New("=a=b"), "C1": New("a\u0085b")}
	tests := []struct{ template, want string }{
		{"", ""},
		{"plain text", "plain text"},
		{"${RPC}", "abc123"},
		{"x${RPC}y${RPC}z", "xabc123yabc123z"},
		{"${ODD}", `p@s:/%?#;"' é`},
		{"cost $5 and $$", "cost $5 and $$"},
		{"${DOLLAR}", "${RPC}"}, // a value is never expanded again
		{"http://archipelago:${RPC}@bitcoin-knots:8332/", "http://archipelago:abc123@bitcoin-knots:8332/"},
		{"http://u:${ODD}@h/", "http://u:p%40s%3A%2F%25%3F%23%3B%22%27%20%C3%A9@h/"},
		{"User ID=btcpay;Password=${DB};Host=h;Port=5432", "User ID=btcpay;Password=plain=1;Host=h;Port=5432"},
		{"Password=${SEMI};Host=h", `Password="a;b""c";Host=h`},
		{"Host=h;Password=${SPACE}", `Host=h;Password=" x "`},
		{"Host=h;Password=${SEMI};", `Host=h;Password="a;b""c";`},
		{"Host=h;Password=x-${SEMI}", `Host=h;Password="x-a;b""c"`},
		{`Host=h;Password="${SEMI}";App="a;b"`, `Host=h;Password="a;b""c";App="a;b"`},
		{`Host=h;Password='${SPACE}'`, `Host=h;Password=' x '`},
		{"Host=h;Password=${EQUALS}", `Host=h;Password="=a=b"`}, // Password== would be a key that ends in =
		{"Host=h;Password=x${EQUALS}", "Host=h;Password=x=a=b"},
		{"Host=h;Password=${C1}", "Host=h;Password=\"a\u0085b\""},
		{"one=${SEMI}", `one=a;b"c`},               // a single pair is no connection string
		{"two words; ${SEMI}", `two words; a;b"c`}, // nor is prose
	}
	for _, tt := range tests {
		got, err := Interpolate(tt.template, vals)
		if err != nil || got.Reveal() != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.template, got.Reveal(), err, tt.want)
		}
	}
}

func TestInterpolateErrors(t *testing.T) {
	vals := map[string]Value{"HAVE": New(marker), "EMPTY": {}}
	tests := []struct{ template, want string }{
		{"${NOPE}", "${NOPE}"},
		{"http://${HAVE}:${NOPE}@h/", "${NOPE}"},
		{"A=${HAVE};B=${NOPE}", "${NOPE}"},
		{"${EMPTY}", "missing"},
		{"x${HAVE", "no closing brace"},
		{"${HAVE}${", "no closing brace"},
		{"${}", "not the name of a key"},
		{"${HA VE}", "${HA"},
		{"${1X}", "not the name"},
		{"A=1;${HAVE}=2", ""},
		{"A=1;X${HAVE}=2", ""},
	}
	for _, tt := range tests {
		got, err := Interpolate(tt.template, vals)
		if tt.want == "" { // not a connection string: stands as it is
			if err != nil {
				t.Errorf("%s: %v", tt.template, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), marker) || !got.Missing() {
			t.Errorf("%s: error %v, want %q and no value", tt.template, err, tt.want)
		}
	}
}

func TestKeys(t *testing.T) {
	keys, err := Keys("${B}-${A}-${B}")
	if err != nil || !slices.Equal(keys, []string{"B", "A"}) {
		t.Errorf("%q, %v", keys, err)
	}
	if _, err := Keys("${B"); err == nil {
		t.Error("unbalanced is accepted")
	}
}

// What the reader of a URL or of a connection string gets out is what the secret file holds.
func TestInterpolateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, 20, 60).Filter(func(s string) bool { return !strings.ContainsAny(s, "\x00\r\n") }).Draw(t, "secret")
		vals := map[string]Value{"S": New(text)}
		v, err := Interpolate("http://u:${S}@h:1/", vals)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(v.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := u.User.Password(); got != text || u.Host != "h:1" {
			t.Fatalf("password %q, host %q from %q", got, u.Host, text)
		}
		v, err = Interpolate("Host=h;Password=${S};Port=1", vals)
		if err != nil {
			t.Fatal(err)
		}
		pairs := splitPairs(v.Reveal())
		if len(pairs) != 3 {
			t.Fatalf("%d pairs in %q", len(pairs), v.Reveal())
		}
		got := strings.TrimPrefix(pairs[1], "Password=")
		if strings.HasPrefix(got, `"`) {
			got = strings.ReplaceAll(got[1:len(got)-1], `""`, `"`)
		}
		if got != text {
			t.Fatalf("password %q from %q", got, text)
		}
	})
}
