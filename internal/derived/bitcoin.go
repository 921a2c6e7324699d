package derived

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

// BitcoinInput is all that bitcoin.conf is computed from.
type BitcoinInput struct {
	Existing []byte // the file as it is; nil when absent
	Password secrets.Value
	PruneMiB int64 // 0 keeps the whole chain
	TxIndex  bool
	Bridge   string    // the addresses of the bridge of bitcoin and its apps, a CIDR; "" when they are not known
	Salt     io.Reader // read only when no existing rpcauth line verifies
}

// bitcoinDialect follows GetConfigOptions and ArgsManager of Bitcoin Core: # starts a comment anywhere, the first value
// of a key wins but [main] wins over the rest, `main.key` is a key of [main], and `nokey` undoes what came before it.
var bitcoinDialect = dialect{
	parse:     parseBitcoin,
	effective: func(section string) bool { return section == "" || section == "main" },
	render:    func(s setting) string { return s.key + "=" + s.value },
	same:      func(l line, s setting) bool { return l.value == s.value },
	ownValue: func(l line) bool {
		return l.key == "rpcauth" && strings.HasPrefix(l.value, secrets.RPCUser+":")
	},
}

// BitcoinConf renders bitcoin.conf. A line `rpcauth=archipelago:...` that verifies against the password is kept, so
// the file is stable from pass to pass; otherwise it is replaced by one with a new salt.
func BitcoinConf(in BitcoinInput) (File, error) {
	if err := in.check(); err != nil {
		return File{}, fmt.Errorf("bitcoin.conf: %w", err)
	}
	auth, err := in.rpcAuth()
	if err != nil {
		return File{}, fmt.Errorf("bitcoin.conf: %w", err)
	}
	managed := bitcoinSettings(auth, in.PruneMiB, in.TxIndex, in.elsewhere())
	content, notes, hadBlock := bitcoinDialect.merge(in.Existing, managed)
	return File{
		Content: content,
		Digest:  digestLines(bitcoinDialect.lines(managed)),
		SaveOld: len(in.Existing) > 0 && !hadBlock,
		Notes:   notes,
	}, nil
}

// bridges are the addresses among which archy makes its bridges.
var bridges = netip.MustParsePrefix("10.89.0.0/16")

// elsewhere are the addresses of a bridge that archy did not make, which would be kept out; nil when there is nothing to add.
func (in BitcoinInput) elsewhere() []setting {
	p, err := netip.ParsePrefix(in.Bridge)
	if err != nil || bridges.Contains(p.Addr()) && p.Bits() >= bridges.Bits() {
		return nil
	}
	return []setting{{key: "rpcallowip", value: p.String(), multi: true}}
}

func (in BitcoinInput) check() error {
	if err := in.Password.SingleLine("bitcoin-rpc-password"); err != nil {
		return err
	}
	if in.PruneMiB < 0 {
		return fmt.Errorf("prune=%d: must not be negative", in.PruneMiB)
	}
	if in.PruneMiB > 0 && in.TxIndex {
		return fmt.Errorf("prune=%d with txindex=1: bitcoind refuses the two together", in.PruneMiB)
	}
	return nil
}

func bitcoinSettings(auth string, prune int64, txindex bool, elsewhere []setting) []setting {
	index := "0"
	if txindex {
		index = "1"
	}
	return slices.Concat([]setting{
		{key: "server", value: "1"},
		{key: "rpcauth", value: auth, multi: true},
		{key: "rpcbind", value: "0.0.0.0"},
		{key: "rpcport", value: "8332"},
		{key: "rpcallowip", value: "127.0.0.1", multi: true},
		{key: "rpcallowip", value: bridges.String(), multi: true},
	}, elsewhere, []setting{
		{key: "rpcthreads", value: "8"},
		{key: "rpcworkqueue", value: "128"},
		{key: "listen", value: "1"},
		{key: "bind", value: "0.0.0.0:8333"},
		{key: "listenonion", value: "0"},
		{key: "zmqpubrawblock", value: "tcp://0.0.0.0:28332"},
		{key: "zmqpubrawtx", value: "tcp://0.0.0.0:28333"},
		{key: "prune", value: strconv.FormatInt(prune, 10)},
		{key: "txindex", value: index},
		{key: "shrinkdebugfile", value: "1"},
	})
}

// rpcAuth is the value of archy's rpcauth line: the one in force, or a new one.
func (in BitcoinInput) rpcAuth() (string, error) {
	if auth, ok := verifyingAuth(in.Existing, in.Password); ok {
		return auth, nil
	}
	salt := make([]byte, secrets.RPCAuthSaltBytes)
	if in.Salt == nil {
		return "", fmt.Errorf("no source for the salt of rpcauth")
	}
	if _, err := io.ReadFull(in.Salt, salt); err != nil {
		return "", fmt.Errorf("salt of rpcauth: %w", err)
	}
	return NewRPCAuth(secrets.RPCUser, in.Password, salt), nil
}

// RPCAuthVerifies reports whether a line in force of bitcoin.conf lets archipelago in with the password. When it does
// not, every app that uses the RPC is dead.
func RPCAuthVerifies(existing []byte, password secrets.Value) bool {
	_, ok := verifyingAuth(existing, password)
	return ok
}

// RPCAuthBroken reports whether a node that archy did not make has rpcauth lines for archipelago of which none lets it in, and
// lets it in by no other way either: its arguments, or rpcuser with rpcpassword. A node without such a line never had one.
func RPCAuthBroken(existing []byte, args []string, password secrets.Value) bool {
	user, _ := runningValue("rpcuser", existing, args)
	plain, _ := runningValue("rpcpassword", existing, args)
	letsIn := RPCAuthVerifies(existing, password) || user == secrets.RPCUser && password.Equal(secrets.New(plain))
	eachArg(args, func(name, value string) {
		letsIn = letsIn || name == "rpcauth" && VerifyRPCAuth(value, secrets.RPCUser, password)
	})
	lines, _ := bitcoinDialect.scan(existing)
	return !letsIn && slices.ContainsFunc(lines, func(l line) bool {
		return !l.negated && bitcoinDialect.effective(l.section) && bitcoinDialect.ownValue(l)
	})
}

// verifyingAuth prefers the line inside the block, which stands first.
func verifyingAuth(existing []byte, password secrets.Value) (string, bool) {
	lines, _ := bitcoinDialect.scan(existing)
	for _, ours := range []bool{true, false} {
		for _, l := range lines {
			if l.ours == ours && l.key == "rpcauth" && !l.negated && bitcoinDialect.effective(l.section) &&
				VerifyRPCAuth(l.value, secrets.RPCUser, password) {
				return l.value, true
			}
		}
	}
	return "", false
}

// VerifyRPCAuth reports whether an rpcauth line, or its value, lets user in with password.
func VerifyRPCAuth(line, user string, password secrets.Value) bool {
	return secrets.VerifyRPCAuth(line, user, password)
}

// NewRPCAuth is the value of an rpcauth line for user and password.
func NewRPCAuth(user string, password secrets.Value, salt []byte) string {
	return secrets.RPCAuth(user, password, salt)
}

func parseBitcoin(l *line) {
	text, _, remark := strings.Cut(l.text, "#")
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		l.header = text[1 : len(text)-1]
		return
	}
	key, value, _ := strings.Cut(text, "=")
	key = strings.TrimSpace(key)
	if l.section == "" {
		key = strings.TrimPrefix(key, "main.")
	}
	if plain, cut := strings.CutPrefix(key, "no"); cut && bitcoinKeys[plain] {
		key, l.negated = plain, true
	}
	l.key, l.value, l.remark = key, strings.TrimSpace(value), remark
}

// bitcoinKeys are the managed keys, whose negated form has to be recognised.
var bitcoinKeys = func() map[string]bool {
	keys := map[string]bool{}
	for _, s := range bitcoinSettings("", 0, false, nil) {
		keys[s.key] = true
	}
	return keys
}()
