package release

import (
	"hash/maphash"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// key stands for a name. 128 bits under two seeds that nobody outside knows: fifty thousand long names would not fit
// into constant memory, and nobody can make two that meet.
type key [2]uint64

// names remembers what was seen, and under which spellings.
type names struct {
	seeds [2]maphash.Seed
	kinds map[key]byte
	nfc   map[key]key
	fold  map[key]key
	caser cases.Caser
}

func newNames() *names {
	return &names{
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		kinds: map[key]byte{}, nfc: map[key]key{}, fold: map[key]key{}, caser: cases.Fold(),
	}
}

func (n *names) key(path string) key {
	return key{maphash.String(n.seeds[0], path), maphash.String(n.seeds[1], path)}
}

// kind is the type under which a path was seen first, 0 for one that was not.
func (n *names) kind(path string) byte { return n.kinds[n.key(path)] }

// add remembers a path and returns the code of what it clashes with, "" for nothing. On many file systems two spellings
// are one file, and the second would replace the first.
func (n *names) add(path string, kind byte) Code {
	exact := n.key(path)
	if _, ok := n.kinds[exact]; ok {
		return NameDuplicate
	}
	n.kinds[exact] = kind
	nfc, fold := n.spellings(path)
	switch {
	case clash(n.nfc, nfc, exact):
		return NameNFC
	case clash(n.fold, fold, exact):
		return NameCasefold
	}
	return ""
}

func (n *names) spellings(path string) (nfc, fold key) {
	if ascii(path) {
		return n.key(path), n.key(strings.ToLower(path))
	}
	normal := norm.NFC.String(path)
	return n.key(normal), n.key(norm.NFC.String(n.caser.String(normal)))
}

func clash(seen map[key]key, spelling, exact key) bool {
	first, ok := seen[spelling]
	if !ok {
		seen[spelling] = exact
	}
	return ok && first != exact
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
