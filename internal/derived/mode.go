package derived

import (
	"fmt"
	"strconv"
	"strings"
)

// Mode is how much of the chain a node keeps.
type Mode struct {
	PruneMiB int64 `json:"prune"`
	TxIndex  bool  `json:"txindex"`
}

// Archival reports whether the node keeps the whole chain with its index, as electrumx and mempool need it.
func (m Mode) Archival() bool { return m.PruneMiB == 0 && m.TxIndex }

// String is the mode as bitcoin.conf says it.
func (m Mode) String() string {
	index := 0
	if m.TxIndex {
		index = 1
	}
	return fmt.Sprintf("prune=%d txindex=%d", m.PruneMiB, index)
}

// Running is the mode of a node that has a chain, and where each half was found: "arguments", "bitcoin.conf" or
// "default".
type Running struct {
	Mode
	PruneFrom, TxIndexFrom string
}

// RunningMode learns the mode of a node that has a chain from the arguments of its container and its bitcoin.conf;
// the arguments win. A node without a prune line keeps the whole chain. bitcoind has the two from nowhere else.
func RunningMode(existing []byte, args []string) Running {
	prune, pruneFrom := runningValue("prune", existing, args)
	index, indexFrom := runningValue("txindex", existing, args)
	size, _ := strconv.ParseInt(prune, 10, 64)
	return Running{
		Mode:      Mode{PruneMiB: max(size, 0), TxIndex: indexFrom != "default" && isTrue(index)},
		PruneFrom: pruneFrom, TxIndexFrom: indexFrom,
	}
}

// Chain is what a node shows of the chain that it has.
type Chain struct {
	// Prune (MiB) and TxIndex are the mode that an install record keeps, nil for none.
	Prune   *int
	TxIndex *bool
	// Args are those of a container that archy did not make, nil without one.
	Args []string
	// Conf is bitcoin.conf as it is, nil when absent.
	Conf []byte
	// Blocks tells that there are blocks, or that nobody can say.
	Blocks bool
}

// Mode is how much of the chain the node keeps, and whether that is decided. Where nothing says with which mode the blocks
// were fetched, all of them are kept: bitcoind would delete what a smaller mode has no room for, while an index that is
// asked for deletes nothing. A node without a chain gets what is asked for.
func (c Chain) Mode(asked Mode) (mode Mode, decided bool) {
	switch {
	case c.Prune != nil && c.TxIndex != nil:
		return Mode{PruneMiB: int64(*c.Prune), TxIndex: *c.TxIndex}, true
	case c.Args != nil || c.Conf != nil:
		return RunningMode(c.Conf, c.Args).Mode, true
	case c.Blocks:
		return Mode{TxIndex: asked.TxIndex}, true
	}
	return asked, false
}

// Refuse says in words that another prune (MiB) than that of a node with a chain is asked for in vain, "" when none is set or it
// is the same: the change would delete or download the chain.
func (m Mode) Refuse(prune *int64) string {
	if prune == nil || *prune == m.PruneMiB {
		return ""
	}
	return fmt.Sprintf("bitcoin.prune asks for %d, and the chain is kept with prune=%d: the change would delete or download it", *prune, m.PruneMiB)
}

func runningValue(key string, existing []byte, args []string) (value, from string) {
	if value, ok := argValue(key, args); ok {
		return value, "arguments"
	}
	lines, _ := bitcoinDialect.scan(existing)
	for _, section := range []bool{true, false} { // [main] wins over the default section
		var values []line
		for _, l := range lines {
			if l.key == key && bitcoinDialect.effective(l.section) && inMain(l) == section {
				values = append(values, l)
			}
		}
		if value, ok := firstValue(values); ok {
			return value, "bitcoin.conf"
		}
	}
	return "", "default"
}

// argValue is the last value of an argument: that one wins.
func argValue(key string, args []string) (value string, found bool) {
	eachArg(args, func(name, v string) {
		switch name {
		case key:
			value, found = v, true
		case "no" + key:
			value, found = negate(v), true
		}
	})
	return value, found
}

// eachArg looks into words too: old containers pass one string to a shell.
func eachArg(args []string, f func(name, value string)) {
	for _, arg := range args {
		for _, word := range strings.Fields(arg) {
			word = strings.Trim(word, `"';`)
			name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-"), "=")
			if strings.HasPrefix(word, "-") {
				f(name, value)
			}
		}
	}
}

// firstValue is bitcoind's rule for configuration files: a negation undoes what stands before it, then the first wins.
func firstValue(values []line) (string, bool) {
	for i := len(values) - 1; i >= 0; i-- {
		if !values[i].negated {
			continue
		}
		if i == len(values)-1 {
			return negate(values[i].value), true
		}
		values = values[i+1:]
		break
	}
	if len(values) == 0 {
		return "", false
	}
	return values[0].value, true
}

func inMain(l line) bool {
	return l.section == "main" || strings.HasPrefix(strings.TrimSpace(l.text), "main.")
}

func negate(value string) string {
	if isTrue(value) {
		return "0"
	}
	return "1"
}

// isTrue is bitcoind's InterpretBool: no value is true, and so is every number but 0.
func isTrue(value string) bool {
	if value == "" {
		return true
	}
	n, _ := strconv.ParseInt(value, 10, 64)
	return n != 0
}
