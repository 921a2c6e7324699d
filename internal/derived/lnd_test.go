package derived_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"git.tx1138.com/lfg2025/archy/internal/derived"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

func lndInput(existing string) derived.LndInput {
	return derived.LndInput{Existing: []byte(existing), RPCPassword: fake, WalletPassword: secrets.New("not-a-real-wallet-password"),
		HostMDNS: "archipelago.local", BitcoinHost: "bitcoin-knots"}
}

func lndConf(t testing.TB, in derived.LndInput) derived.File {
	t.Helper()
	f, err := derived.LndConf(in)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLndConfNew(t *testing.T) {
	in := lndInput("")
	in.Existing = nil
	f := lndConf(t, in)
	golden(t, "lnd-new.conf", f.Content)
	if f.SaveOld {
		t.Error("nothing to save")
	}
	in.BitcoinHost = "bitcoin-core"
	if core := lndConf(t, in); core.Digest == f.Digest || !bytes.Contains(core.Content, []byte("bitcoind.rpchost=bitcoin-core:8332\n")) {
		t.Errorf("lnd does not follow the installed bitcoin:\n%s", core.Content)
	}
}

func TestLndConfTakeOver(t *testing.T) {
	old, err := os.ReadFile("testdata/lnd-old.conf")
	if err != nil {
		t.Fatal(err)
	}
	f := lndConf(t, lndInput(string(old)))
	golden(t, "lnd-taken-over.conf", f.Content)
	golden(t, "lnd-taken-over.notes", []byte(strings.Join(f.Notes, "\n")+"\n"))
	if !f.SaveOld {
		t.Error("the operator's file must be saved before it is replaced")
	}
}

func TestLndConfWithoutWalletSecret(t *testing.T) {
	in := lndInput("wallet-unlock-password-file=/root/.lnd/my-own\n")
	in.WalletPassword = secrets.Value{}
	f := lndConf(t, in)
	if got := operatorPart(t, f.Content); got != "wallet-unlock-password-file=/root/.lnd/my-own\n" {
		t.Errorf("who unlocked the wallet before must go on doing so, got %q", got)
	}
	if strings.Contains(string(f.Content), "allow-create") {
		t.Error("a wallet may be created without its password being kept")
	}
}

// TestIncident3LndConfDrift: the lines that opened the wallet go with the password; those of the operator stay.
func TestIncident3LndConfDrift(t *testing.T) {
	first, err := derived.LndConf(lndInput(""))
	if err != nil {
		t.Fatal(err)
	}
	existing := strings.Replace(string(first.Content), "# END archy\n", "alias=mine\n# END archy\ncolor=#3399ff\n", 1)
	in := lndInput(existing)
	in.WalletPassword = secrets.Value{}
	f, err := derived.LndConf(in)
	if err != nil {
		t.Fatal(err)
	}
	text := string(f.Content)
	if strings.Contains(text, "wallet-unlock") || !strings.Contains(text, "alias=mine\n") || !strings.Contains(text, "color=#3399ff\n") {
		t.Errorf("lnd.conf:\n%s", text)
	}
	if f.Digest == first.Digest {
		t.Error("lnd would not be restarted")
	}
}

func TestLndConfOperatorLines(t *testing.T) {
	tests := []struct{ name, existing, want string }{
		{"alias and tor", "alias=my node\n[tor]\ntor.active=true\n", "alias=my node\n[tor]\ntor.active=true\n"},
		{"further names in the certificate", "tlsextradomain=lnd\ntlsextradomain=node.example\n", "tlsextradomain=node.example\n"},
		{"case does not hide a key", "BitcoinD.RPCPass=old\n", "#archy# BitcoinD.RPCPass=old\n"},
		{"a quoted duplicate", "bitcoin.node=\"bitcoind\"\n", ""},
		{"a flag without a value", "bitcoin.active\n", "#archy# bitcoin.active\n"},
		{"managed key in any section", "[Bitcoin]\nbitcoin.node=neutrino\nbitcoin.feerate=1\n", "[Bitcoin]\n#archy# bitcoin.node=neutrino\nbitcoin.feerate=1\n"},
		{"text above the block keeps its section", "[tor]\ntor.v3=1\n# BEGIN archy\n[Application Options]\nlisten=0.0.0.0:9735\n# END archy\nalias=x\n",
			"[tor]\ntor.v3=1\n[Application Options]\nalias=x\n"},
		{"a hash inside a value is no comment", "alias=a#b\ncolor=#ff9900\n", "alias=a#b\ncolor=#ff9900\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := lndConf(t, lndInput(tt.existing))
			if got := operatorPart(t, f.Content); got != tt.want {
				t.Errorf("below the block:\n%q\nwant\n%q", got, tt.want)
			}
		})
	}
}

func TestLndConfPasswords(t *testing.T) {
	tests := map[string]string{
		`plain#;=%`:  `bitcoind.rpcpass=plain#;=%`,
		` spaced `:   `bitcoind.rpcpass=" spaced "`,
		`"quo\ted"`:  `bitcoind.rpcpass="\"quo\\ted\""`,
		`in"side`:    `bitcoind.rpcpass=in"side`,
		`$NAME and `: `bitcoind.rpcpass="$NAME and "`,
	}
	for password, want := range tests {
		in := lndInput("")
		in.RPCPassword = secrets.New(password)
		f := lndConf(t, in)
		if !strings.Contains(string(f.Content), "\n"+want+"\n") {
			t.Errorf("password %q: no line %s in\n%s", password, want, f.Content)
		}
		in.Existing = f.Content
		if again := lndConf(t, in); !bytes.Equal(again.Content, f.Content) {
			t.Errorf("password %q: not stable", password)
		}
	}
}

func TestLndConfRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*derived.LndInput)
		want   string
	}{
		"no password":     {func(in *derived.LndInput) { in.RPCPassword = secrets.Value{} }, "bitcoin-rpc-password is missing"},
		"line break":      {func(in *derived.LndInput) { in.RPCPassword = secrets.New("marker\nx=1") }, "line break"},
		"a variable":      {func(in *derived.LndInput) { in.RPCPassword = secrets.New("${marker}") }, "lnd would expand"},
		"no bitcoin":      {func(in *derived.LndInput) { in.BitcoinHost = "" }, "install bitcoin-knots"},
		"injected host":   {func(in *derived.LndInput) { in.BitcoinHost = "a\nb" }, "not a host name"},
		"injected domain": {func(in *derived.LndInput) { in.HostMDNS = "a b" }, "not a name for a certificate"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := lndInput("")
			tt.change(&in)
			_, err := derived.LndConf(in)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "marker") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestLndConfProperties(t *testing.T) {
	managed := []string{"listen", "rpclisten", "restlisten", "wallet-unlock-password-file", "wallet-unlock-allow-create", "bitcoin.active",
		"bitcoin.mainnet", "bitcoin.node", "bitcoind.rpchost", "bitcoind.rpcuser", "bitcoind.rpcpass", "Bitcoind.ZMQpubrawblock"}
	keys := append(slices.Clone(managed), "alias", "color", "tor.active", "bitcoin.feerate")
	rapid.Check(t, func(t *rapid.T) {
		existing := confText(keys).Draw(t, "existing")
		in := lndInput(existing)
		once, err := derived.LndConf(in)
		if err != nil {
			t.Fatal(err)
		}
		in.Existing = once.Content
		twice, err := derived.LndConf(in)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(once.Content, twice.Content) || once.Digest != twice.Digest || twice.SaveOld || len(twice.Notes) > 0 {
			t.Fatalf("not stable:\n%s\nthen\n%s\nnotes %q", once.Content, twice.Content, twice.Notes)
		}
		survives(t, existing, once.Content, func(line string) bool {
			text := strings.TrimSpace(line)
			own := text == "" || strings.HasPrefix(text, "# BEGIN") || strings.HasPrefix(text, "# END") ||
				text == "tlsextradomain=lnd" || text == "[Application Options]"
			for _, m := range managed {
				own = own || strings.HasPrefix(text, m)
			}
			return !own
		})
	})
}

func TestWalletPasswordFile(t *testing.T) {
	f, err := derived.WalletPasswordFile(secrets.New("not-a-real-wallet-password"))
	if err != nil || string(f.Content) != "not-a-real-wallet-password" {
		t.Errorf("content %q, error %v: want the text alone", f.Content, err)
	}
	for _, bad := range []string{"", "short", "two\nlines here"} {
		if _, err := derived.WalletPasswordFile(secrets.New(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestNginxConf(t *testing.T) {
	f, err := derived.NginxConf(derived.NginxInput{Password: fake})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "nginx.conf", f.Content)
	v4, err := derived.NginxConf(derived.NginxInput{Password: fake, NoIPv6: true})
	if err != nil || strings.Contains(string(v4.Content), "[::]") || !strings.Contains(string(v4.Content), "listen 8334;") {
		t.Errorf("without IPv6: %v\n%s", err, v4.Content)
	}
	if _, err := derived.NginxConf(derived.NginxInput{}); err == nil || !strings.Contains(err.Error(), "bitcoin-rpc-password is missing") {
		t.Errorf("a page that cannot log in is written: %v", err)
	}
}
