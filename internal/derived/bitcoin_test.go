package derived_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"git.tx1138.com/lfg2025/archy/internal/derived"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

var update = flag.Bool("update", false, "write the golden files anew")

// knownHMAC was computed with Python's hmac module, as rpcauth.py does.
const knownHMAC = "22a7dc5d3447a2fc748aa44a5dc90242462cdc3c74f3a87989386b3d1da054fb"

var fake = secrets.New("not-a-real-rpc-password")

// golden compares got with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs\n--- got\n%s\n--- want\n%s", name, got, want)
	}
}

func salt(b byte) *bytes.Reader {
	return bytes.NewReader(bytes.Repeat([]byte{b}, secrets.RPCAuthSaltBytes))
}

// noSalt fails the render that wants a new salt: the line in place should have been kept.
type noSalt struct{}

func (noSalt) Read([]byte) (int, error) { return 0, errors.New("a new salt was drawn") }

func bitcoinConf(t testing.TB, existing string) derived.File {
	t.Helper()
	f, err := derived.BitcoinConf(derived.BitcoinInput{Existing: []byte(existing), Password: fake, TxIndex: true, Salt: salt(1)})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func operatorPart(t testing.TB, content []byte) string {
	t.Helper()
	_, rest, found := strings.Cut(string(content), "# END archy\n")
	if !found {
		t.Fatalf("no end of the block in\n%s", content)
	}
	return rest
}

func TestBitcoinConfNew(t *testing.T) {
	f, err := derived.BitcoinConf(derived.BitcoinInput{Password: fake, TxIndex: true, Salt: salt(1)})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "bitcoin-new.conf", f.Content)
	if f.SaveOld || len(f.Notes) > 0 {
		t.Errorf("a new file takes nothing over: save=%v notes=%q", f.SaveOld, f.Notes)
	}
}

func TestBitcoinConfTakeOver(t *testing.T) {
	old, err := os.ReadFile("testdata/bitcoin-old.conf")
	if err != nil {
		t.Fatal(err)
	}
	f, err := derived.BitcoinConf(derived.BitcoinInput{Existing: old, Password: fake, PruneMiB: 30000, Salt: salt(2)})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "bitcoin-taken-over.conf", f.Content)
	golden(t, "bitcoin-taken-over.notes", []byte(strings.Join(f.Notes, "\n")+"\n"))
	if !f.SaveOld {
		t.Error("the operator's file must be saved before it is replaced")
	}
}

func TestBitcoinConfOperatorLines(t *testing.T) {
	tests := []struct {
		name, existing, want string // want: what stands below the block
	}{
		{"other keys stay", "maxconnections=20\n", "maxconnections=20\n"},
		{"no line break at the end", "proxy=192.0.2.9:9050", "proxy=192.0.2.9:9050"},
		{"windows line breaks", "addnode=192.0.2.1\r\n# mine\r\n", "addnode=192.0.2.1\r\n# mine\r\n"},
		{"odd bytes", "# caf\xe9 \x00\t \n\n\n", "# caf\xe9 \x00\t \n\n\n"},
		{"rpcauth of others", "rpcauth=bob:00ff$aa\n", "rpcauth=bob:00ff$aa\n"},
		{"a user whose name begins like ours", "rpcauth=archipelago2:00$aa\n", "rpcauth=archipelago2:00$aa\n"},
		{"further rpcallowip", "rpcallowip=192.0.2.0/24\n", "rpcallowip=192.0.2.0/24\n"},
		{"whitelists and includes", "rpcwhitelist=bob:getblock\nincludeconf=my.conf\n", "rpcwhitelist=bob:getblock\nincludeconf=my.conf\n"},
		{"identical duplicate is dropped", "server = 1\nrpcallowip=127.0.0.1\ndbcache=9\n", "dbcache=9\n"},
		{"other value is disabled", "  rpcport=8335 \n", "#archy#   rpcport=8335 \n"},
		{"identical, with a remark, is disabled", "server=1 # needed\n", "#archy# server=1 # needed\n"},
		{"already disabled stays once", "#archy# rpcport=8335\n", "#archy# rpcport=8335\n"},
		{"negation would undo ours", "nolisten=1\nnorpcallowip=1\nnotacommand=1\n", "#archy# nolisten=1\n#archy# norpcallowip=1\nnotacommand=1\n"},
		{"main section would win", "[main]\nprune=550\nrpcport=1\n", "[main]\n#archy# prune=550\n#archy# rpcport=1\n"},
		{"main in dotted form", "main.prune=550\ntest.prune=550\n", "#archy# main.prune=550\ntest.prune=550\n"},
		{"sections of other chains stay", "[test]\nrpcport=18332\nprune=600\n", "[test]\nrpcport=18332\nprune=600\n"},
		{"stale archipelago line goes", "rpcauth=archipelago:00$aa\nalertnotify=x\n", "alertnotify=x\n"},
		{"half a block is the operator's", "# BEGIN archy\nserver=1\nmaxmempool=50\n", "maxmempool=50\n"},
		{"a stray end mark", "# END archy\nmaxmempool=50\n", "maxmempool=50\n"},
		{"text above the block moves below", "par=2\n# BEGIN archy\nserver=1\n# END archy\nblocksonly=1\n", "par=2\nblocksonly=1\n"},
		{"lines written into the block are rescued", "# BEGIN archy\nserver=1\naddnode=192.0.2.7\nrpcauth=bob:0$a\nprune=77\n# END archy\n",
			"addnode=192.0.2.7\nrpcauth=bob:0$a\n"},
		{"two blocks become one", "# BEGIN archy\nserver=1\n# END archy\npar=1\n# BEGIN archy\nserver=0\n# END archy\npar=2\n", "par=1\npar=2\n"},
		{"a begin mark inside a block", "# BEGIN archy\nserver=1\npar=3\n# BEGIN archy\nserver=1\n# END archy\n", "par=3\n"},
	}
	head := string(bitcoinConf(t, "").Content)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := bitcoinConf(t, tt.existing)
			if got := operatorPart(t, f.Content); got != tt.want {
				t.Errorf("below the block:\n%q\nwant\n%q", got, tt.want)
			}
			if !strings.HasPrefix(string(f.Content), head) {
				t.Errorf("the block is not first, or differs:\n%s", f.Content)
			}
		})
	}
}

func TestBitcoinConfKeepsVerifyingAuth(t *testing.T) {
	auth := derived.NewRPCAuth(secrets.RPCUser, fake, bytes.Repeat([]byte{9}, 16))
	tests := map[string]string{
		"in the block":            "# BEGIN archy\nserver=1\nrpcauth=" + auth + "\n# END archy\n",
		"the operator's":          "par=1\nrpcauth=" + auth + "\n",
		"spaced":                  "  rpcauth = " + auth + "  \n",
		"in main":                 "[main]\nrpcauth=" + auth + "\n",
		"beside a stale one":      "rpcauth=archipelago:00$aa\nrpcauth=" + auth + "\n",
		"with a remark behind it": "rpcauth=" + auth + " # made by hand\n",
	}
	for name, existing := range tests {
		t.Run(name, func(t *testing.T) {
			f, err := derived.BitcoinConf(derived.BitcoinInput{Existing: []byte(existing), Password: fake, Salt: noSalt{}})
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(f.Content), "rpcauth="+auth+"\n"); n != 1 {
				t.Errorf("the verifying line stands %d times in\n%s", n, f.Content)
			}
			if strings.Contains(string(f.Content), "archipelago:00") {
				t.Errorf("the stale line still lets an old password in:\n%s", f.Content)
			}
			if !derived.RPCAuthVerifies([]byte(existing), fake) {
				t.Error("a working login is reported as dead")
			}
		})
	}
}

func TestIncident3RpcauthDrift(t *testing.T) {
	stable := bitcoinConf(t, "")
	broken := bytes.Replace(stable.Content, []byte("$"), []byte("$0"), 1)
	if derived.RPCAuthVerifies(broken, fake) {
		t.Fatal("a broken line is reported as working")
	}
	if derived.RPCAuthVerifies([]byte("[test]\nrpcauth="+derived.NewRPCAuth("archipelago", fake, []byte("x"))+"\n"), fake) {
		t.Error("a line of another chain lets nobody in on the main one")
	}
	repaired, err := derived.BitcoinConf(derived.BitcoinInput{Existing: broken, Password: fake, TxIndex: true, Salt: salt(7)})
	if err != nil {
		t.Fatal(err)
	}
	if !derived.RPCAuthVerifies(repaired.Content, fake) || repaired.Digest == stable.Digest {
		t.Errorf("the new line must verify and restart bitcoin: digest %s, before %s", repaired.Digest, stable.Digest)
	}
	again, err := derived.BitcoinConf(derived.BitcoinInput{Existing: repaired.Content, Password: fake, TxIndex: true, Salt: noSalt{}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Content, repaired.Content) || again.Digest != repaired.Digest {
		t.Error("the file changes again on the next pass")
	}
}

func TestBitcoinConfDigestIsOfManagedLinesOnly(t *testing.T) {
	plain := bitcoinConf(t, "")
	if f := bitcoinConf(t, string(plain.Content)+"maxconnections=8\n"); f.Digest != plain.Digest {
		t.Error("an operator's line restarts bitcoin")
	}
	if len(plain.Digest) != 16 {
		t.Errorf("digest %q: want 16 hex digits", plain.Digest)
	}
	pruned, err := derived.BitcoinConf(derived.BitcoinInput{Existing: plain.Content, Password: fake, PruneMiB: 600, Salt: noSalt{}})
	if err != nil {
		t.Fatal(err)
	}
	if pruned.Digest == plain.Digest {
		t.Error("a changed managed value is not seen")
	}
	if pruned.SaveOld {
		t.Error("a file of archy's own is not saved again")
	}
}

func TestBitcoinConfRefuses(t *testing.T) {
	tests := map[string]struct {
		in   derived.BitcoinInput
		want string
	}{
		"no password":      {derived.BitcoinInput{Salt: salt(1)}, "bitcoin-rpc-password is missing"},
		"line feed":        {derived.BitcoinInput{Password: secrets.New("marker\nrpcauth=x"), Salt: salt(1)}, "line break"},
		"carriage return":  {derived.BitcoinInput{Password: secrets.New("marker\r"), Salt: salt(1)}, "line break"},
		"pruned and index": {derived.BitcoinInput{Password: fake, PruneMiB: 600, TxIndex: true, Salt: salt(1)}, "prune=600 with txindex=1"},
		"negative":         {derived.BitcoinInput{Password: fake, PruneMiB: -1, Salt: salt(1)}, "negative"},
		"salt runs dry":    {derived.BitcoinInput{Password: fake, Salt: strings.NewReader("short")}, "salt of rpcauth"},
		"no salt":          {derived.BitcoinInput{Password: fake}, "no source"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f, err := derived.BitcoinConf(tt.in)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "marker") || f.Content != nil {
				t.Errorf("the error or the file holds the value: %v", err)
			}
		})
	}
}

func TestBitcoinConfAnyPasswordCharacter(t *testing.T) {
	for _, text := range []string{"#", " leading and trailing ", `"quoted"`, "$x:y=z%", "pässwörd", "\t"} {
		f, err := derived.BitcoinConf(derived.BitcoinInput{Password: secrets.New(text), Salt: salt(3)})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if !derived.RPCAuthVerifies(f.Content, secrets.New(text)) {
			t.Errorf("%q does not verify against its own file", text)
		}
	}
}

// TestVerifyRPCAuthKnownLine uses a line made by share/rpcauth/rpcauth.py's own rule: HMAC-SHA256 keyed with the text
// of the salt.
func TestVerifyRPCAuthKnownLine(t *testing.T) {
	const line = "rpcauth=archipelago:0123456789abcdef0123456789abcdef$" + knownHMAC
	if !derived.VerifyRPCAuth(line, "archipelago", secrets.New("satoshi")) {
		t.Error("a line of rpcauth.py does not verify")
	}
	for _, bad := range []string{"", "archipelago", "archipelago:salt", "archipelago:$" + knownHMAC, strings.ToUpper(line),
		strings.Replace(line, "archipelago", "bob", 1)} {
		if derived.VerifyRPCAuth(bad, "archipelago", secrets.New("satoshi")) {
			t.Errorf("%q verifies", bad)
		}
	}
	if derived.VerifyRPCAuth(line, "archipelago", secrets.Value{}) {
		t.Error("a missing password verifies")
	}
}

// confText draws files that an operator could have left: every kind of line, with archy's own marks among them.
func confText(keys []string) *rapid.Generator[string] {
	line := rapid.OneOf(
		rapid.SampledFrom([]string{"", "# BEGIN archy", "# END archy", "#archy# prune=1", "# a remark", "[main]", "[test]", "[]", "nonsense",
			"rpcauth=bob:00$11", "rpcauth=archipelago:00$11", "rpcallowip=127.0.0.1", "rpcallowip=192.0.2.0/24", "noprune=1", "main.listen=0",
			"[Application Options]", "[tor]", "alias=my node", "tlsextradomain=lnd", "tlsextradomain=a.example", "; other remark"}),
		rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom(keys).Draw(t, "key") + rapid.SampledFrom([]string{"=", " = ", ""}).Draw(t, "eq") +
				rapid.SampledFrom([]string{"0", "1", "true", "0.0.0.0", "8332 # x", "\"1\""}).Draw(t, "value")
		}),
		rapid.StringMatching(`[a-z#=\[\] ]{0,12}`),
	)
	return rapid.Custom(func(t *rapid.T) string {
		lines := rapid.SliceOfN(line, 0, 14).Draw(t, "lines")
		brk := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "break")
		text := strings.Join(lines, brk)
		if rapid.Bool().Draw(t, "closed") {
			text += brk
		}
		return text
	})
}

var bitcoinManaged = []string{"server", "rpcbind", "rpcport", "rpcthreads", "rpcworkqueue", "listen", "bind", "listenonion",
	"zmqpubrawblock", "zmqpubrawtx", "prune", "txindex", "shrinkdebugfile"}

func TestBitcoinConfProperties(t *testing.T) {
	keys := append(slices.Clone(bitcoinManaged), "maxmempool", "addnode", "proxy")
	rapid.Check(t, func(t *rapid.T) {
		existing := confText(keys).Draw(t, "existing")
		render := func(existing []byte, b byte) derived.File {
			f, err := derived.BitcoinConf(derived.BitcoinInput{Existing: existing, Password: fake, PruneMiB: 600, Salt: salt(b)})
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		once := render([]byte(existing), 1)
		twice := render(once.Content, 2)
		if !bytes.Equal(once.Content, twice.Content) || once.Digest != twice.Digest || twice.SaveOld || len(twice.Notes) > 0 {
			t.Fatalf("not stable:\n%s\nthen\n%s\nnotes %q", once.Content, twice.Content, twice.Notes)
		}
		survives(t, existing, once.Content, func(line string) bool { return operatorsInBitcoin(line, bitcoinManaged) })
		if mode := derived.RunningMode(once.Content, nil); mode.PruneMiB != 600 || mode.TxIndex {
			t.Fatalf("bitcoind would read %v from\n%s", mode, once.Content)
		}
	})
}

// operatorsInBitcoin says for sure which lines must survive as they are.
func operatorsInBitcoin(line string, managed []string) bool {
	text := strings.TrimSpace(line)
	key, _, _ := strings.Cut(text, "=")
	key = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(key), "main."), "no")
	own := text == "# BEGIN archy" || text == "# END archy" || text == "" || strings.HasPrefix(text, "rpcauth=archipelago") || text == "rpcallowip=127.0.0.1"
	for _, m := range managed {
		own = own || strings.HasPrefix(key, m)
	}
	return !own
}

// survives checks that the operator's lines are all there, byte for byte, and in their order.
func survives(t *rapid.T, before string, after []byte, operators func(string) bool) {
	rest := strings.SplitAfter(string(after), "\n")
	for _, l := range strings.SplitAfter(before, "\n") {
		if !operators(l) {
			continue
		}
		at := slices.Index(rest, l)
		if at < 0 {
			t.Fatalf("line %q is gone or out of order in\n%s", l, after)
		}
		rest = rest[at+1:]
	}
}

func TestFilePrintsNoSecret(t *testing.T) {
	f, err := derived.WalletPasswordFile(fake)
	if err != nil {
		t.Fatal(err)
	}
	wrapped := struct{ F derived.File }{f}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, out := range []string{fmt.Sprintf(verb, f), fmt.Sprintf(verb, &f), fmt.Sprintf(verb, wrapped)} {
			if strings.Contains(out, fake.Reveal()) || strings.Contains(out, fmt.Sprintf("%x", fake.Reveal())) || strings.Contains(out, "110 111 116") {
				t.Errorf("%s prints the content: %s", verb, out)
			}
		}
	}
	for name, marshal := range map[string]func(any) ([]byte, error){"json": json.Marshal, "yaml": yaml.Marshal} {
		if out, err := marshal(wrapped); err != nil || !strings.Contains(string(out), "derived file of 23 bytes") || len(out) > 80 {
			t.Errorf("%s: %s, %v", name, out, err)
		}
	}
}

func TestSavedName(t *testing.T) {
	at := time.Date(2026, 1, 1, 11, 15, 0, 0, time.FixedZone("", 3600))
	if got, want := derived.SavedName("bitcoin.conf", at), "bitcoin.conf.pre-archy-20260101T101500Z"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
