package derived

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

// WalletPasswordPath is where lnd finds the wallet's password inside its container.
const WalletPasswordPath = "/root/.lnd/wallet-password"

// minWalletPassword is what lnd demands of a wallet's password, in bytes.
const minWalletPassword = 8

// LndInput is all that lnd.conf is computed from.
type LndInput struct {
	Existing       []byte // the file as it is; nil when absent
	RPCPassword    secrets.Value
	WalletPassword secrets.Value // missing: no automatic unlocking
	HostMDNS       string        // the node's name on the LAN
	BitcoinHost    string        // host name of the bitcoin app that is installed
}

// lndDialect follows the ini reader of jessevdk/go-flags: a key counts in every section, and sections are read in no
// fixed order; a comment is a whole line; a value in double quotes is unquoted. lnd does not start with a key whose
// case is wrong or that has no value, so such a line is disabled like any other.
var lndDialect = dialect{
	opening:   "Application Options",
	parse:     parseLnd,
	effective: func(string) bool { return true },
	render:    func(s setting) string { return s.key + "=" + quoteLnd(s.value) },
	same:      func(l line, s setting) bool { return l.value == s.value },
	ownValue:  func(line) bool { return false },
	former:    unlockLine,
}

// unlockLine is one of the two lines that open the wallet: in the block it is archy's, and goes with the password.
func unlockLine(l line) bool {
	return l.key == "wallet-unlock-password-file" && l.value == WalletPasswordPath || l.key == "wallet-unlock-allow-create" && l.value == "true"
}

// LndConf renders lnd.conf. Without a wallet password the two unlock keys are not managed: whoever unlocked the wallet
// before goes on doing so.
func LndConf(in LndInput) (File, error) {
	if err := in.check(); err != nil {
		return File{}, fmt.Errorf("lnd.conf: %w", err)
	}
	managed := in.settings()
	content, notes, hadBlock := lndDialect.merge(in.Existing, managed)
	return File{
		Content: content,
		Digest:  digestLines(lndDialect.lines(managed)),
		SaveOld: len(in.Existing) > 0 && !hadBlock,
		Notes:   notes,
	}, nil
}

// WalletPasswordFile renders the file that lnd unlocks its wallet with: the secret's text alone.
func WalletPasswordFile(password secrets.Value) (File, error) {
	if err := password.SingleLine("lnd-wallet-password"); err != nil {
		return File{}, fmt.Errorf("wallet-password: %w", err)
	}
	if len(password.Reveal()) < minWalletPassword {
		return File{}, fmt.Errorf("wallet-password: lnd wants at least %d characters (hint: check lnd-wallet-password)", minWalletPassword)
	}
	content := []byte(password.Reveal())
	return File{Content: content, Digest: digest(content)}, nil
}

var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)
	// lnd takes a value of this form from its environment (supplyEnvValue).
	envReference = regexp.MustCompile(`^\$([A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*(:-.*)?\})$`)
)

func (in LndInput) check() error {
	if err := in.RPCPassword.SingleLine("bitcoin-rpc-password"); err != nil {
		return err
	}
	if envReference.MatchString(in.RPCPassword.Reveal()) {
		return fmt.Errorf("bitcoin-rpc-password looks like the name of a variable, which lnd would expand (hint: archy secrets rotate bitcoin-rpc-password)")
	}
	if !hostName.MatchString(in.BitcoinHost) {
		return fmt.Errorf("bitcoin host %q: not a host name (hint: install bitcoin-knots or bitcoin-core)", in.BitcoinHost)
	}
	if !hostName.MatchString(in.HostMDNS) {
		return fmt.Errorf("host name %q: not a name for a certificate (hint: hostnamectl)", in.HostMDNS)
	}
	return nil
}

func (in LndInput) settings() []setting {
	settings := []setting{
		{key: "listen", value: "0.0.0.0:9735"},
		{key: "rpclisten", value: "0.0.0.0:10009"},
		{key: "restlisten", value: "0.0.0.0:8080"},
		{key: "tlsextradomain", value: "lnd", multi: true},
		{key: "tlsextradomain", value: in.HostMDNS, multi: true},
	}
	if !in.WalletPassword.Missing() {
		settings = append(settings,
			setting{key: "wallet-unlock-password-file", value: WalletPasswordPath},
			setting{key: "wallet-unlock-allow-create", value: "true"})
	}
	return append(settings,
		setting{key: "bitcoin.active", value: "true"},
		setting{key: "bitcoin.mainnet", value: "true"},
		setting{key: "bitcoin.node", value: "bitcoind"},
		setting{key: "bitcoind.rpchost", value: in.BitcoinHost + ":8332"},
		setting{key: "bitcoind.rpcuser", value: secrets.RPCUser},
		setting{key: "bitcoind.rpcpass", value: in.RPCPassword.Reveal()},
		setting{key: "bitcoind.zmqpubrawblock", value: "tcp://" + in.BitcoinHost + ":28332"},
		setting{key: "bitcoind.zmqpubrawtx", value: "tcp://" + in.BitcoinHost + ":28333"})
}

// quoteLnd quotes only what the ini reader would trim or unquote.
func quoteLnd(value string) string {
	if strings.TrimSpace(value) != value || strings.HasPrefix(value, `"`) {
		return strconv.Quote(value)
	}
	return value
}

func parseLnd(l *line) {
	text := strings.TrimSpace(l.text)
	switch {
	case text == "" || text[0] == '#' || text[0] == ';':
		return
	case text[0] == '[' && strings.HasSuffix(text, "]"):
		l.header = strings.TrimSpace(text[1 : len(text)-1])
		return
	}
	key, value, _ := strings.Cut(text, "=")
	l.key, l.value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
	if strings.HasPrefix(l.value, `"`) {
		if plain, err := strconv.Unquote(l.value); err == nil {
			l.value = plain
		}
	}
}
