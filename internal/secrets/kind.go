package secrets

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// Kind says what a secret's text looks like and how it is made.
type Kind string

// The kinds. Hex16, Hex32, Base64 and Bcrypt are what a manifest may name in generated_secrets.
const (
	Hex16  Kind = "hex16"  // 16 random bytes, 32 hex digits
	Hex32  Kind = "hex32"  // 32 random bytes, 64 hex digits
	Base64 Kind = "base64" // 32 random bytes in standard base64
	Bcrypt Kind = "bcrypt" // a hash of cost 10 in NAME, its plain text (hex16) in NAME.pw
	Text   Kind = "text"   // the operator's own file; never made by archy
	Words  Kind = "words"  // the 24 words of a wallet; written by the wallet's creation only
)

// BcryptCost is the cost of the hashes that archy makes.
const BcryptCost = 10

// PlainSuffix is added to a bcrypt secret's name for the file that holds the plain text.
const PlainSuffix = ".pw"

// Generated reports whether archy makes secrets of this kind from random bytes.
func (k Kind) Generated() bool {
	switch k {
	case Hex16, Hex32, Base64, Bcrypt:
		return true
	}
	return false
}

// make draws a new value. For Bcrypt it is the plain text.
func (k Kind) make(rand io.Reader) (Value, error) {
	size, encode := 16, hex.EncodeToString
	switch k {
	case Hex16, Bcrypt:
	case Hex32:
		size = 32
	case Base64:
		size, encode = 32, base64.StdEncoding.EncodeToString
	default:
		return Value{}, fmt.Errorf("secrets of kind %q are not made by archy", string(k))
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(rand, raw); err != nil {
		return Value{}, fmt.Errorf("reading random bytes: %w", err)
	}
	return New(encode(raw)), nil
}

func hashPlain(plain Value) (Value, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(plain.Reveal()), BcryptCost)
	if err != nil {
		// bcrypt's own messages speak of lengths, never of the text.
		return Value{}, fmt.Errorf("bcrypt: %w", err)
	}
	return New(string(hash)), nil
}

func hashMatches(hash, plain Value) bool {
	return bcrypt.CompareHashAndPassword([]byte(hash.Reveal()), []byte(plain.Reveal())) == nil
}

func looksHashed(hash Value) bool {
	_, err := bcrypt.Cost([]byte(hash.Reveal()))
	return err == nil && strings.HasPrefix(hash.Reveal(), "$2")
}

// Wanted is one secret that the manifests, or the first boot, ask for.
type Wanted struct {
	Name      string   `json:"name"`
	Kind      Kind     `json:"kind"`
	Apps      []string `json:"apps,omitempty"` // ids of the apps that read it
	FirstBoot bool     `json:"first_boot"`     // made on every node, whatever is installed
	Optional  bool     `json:"optional"`       // absence is no fault: an operator's file
	OneLine   bool     `json:"-"`              // whatever its kind: a variable or a line of a file has it
}

func (w Wanted) oneLine() bool { return w.OneLine || w.Kind.Generated() }

// FirstBootSecrets are made on every node whatever its profile, because later installs rely on them. The apps are
// the shipped readers; what the manifests say wins where both speak of one name.
func FirstBootSecrets() []Wanted {
	return []Wanted{
		{"bitcoin-rpc-password", Hex16, []string{"bitcoin-knots", "bitcoin-core", "lnd", "bitcoin-ui", "electrumx",
			"archy-nbxplorer", "mempool-api", "fedimint", "fedimint-gateway"}, true, false, true},
		{"mempool-db-password", Hex16, []string{"archy-mempool-db", "mempool-api"}, true, false, true},
		{"mysql-root-db-password", Hex16, []string{"archy-mempool-db"}, true, false, true},
		{"btcpay-db-password", Hex16, []string{"archy-btcpay-db", "archy-nbxplorer", "btcpay-server"}, true, false, true},
		{"filebrowser-admin-hash", Bcrypt, []string{"filebrowser"}, true, false, true},
		{"fmcd-password", Hex16, []string{"fedimint-clientd"}, true, false, true},
	}
}
