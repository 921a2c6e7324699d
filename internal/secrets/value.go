// Package secrets keeps the node's secret files: it makes, reads, lists, checks, repairs and rotates them. A value
// leaves the package only inside a Value, which no log, error or encoder can print.
package secrets

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

const (
	redacted = "[redacted]"
	missing  = "[missing]"
)

// Value is one secret's text. The zero Value means that the secret is missing. Every way of printing or encoding it
// gives a fixed word; only Reveal gives the text.
type Value struct {
	// A pointer, because fmt prints the unexported fields of a surrounding struct without asking our methods: what
	// it finds there is an address.
	text *string
}

// New wraps text; empty text is a missing secret.
func New(text string) Value {
	if text == "" {
		return Value{}
	}
	return Value{&text}
}

// Reveal returns the text itself, for writing it where the secret belongs.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// Missing reports whether there is no secret.
func (v Value) Missing() bool { return v.text == nil }

// Equal compares in constant time for values of one length.
func (v Value) Equal(o Value) bool {
	return subtle.ConstantTimeCompare([]byte(v.Reveal()), []byte(o.Reveal())) == 1
}

// SingleLine refuses a missing value and one that holds CR, LF or NUL, which no configuration line and no
// environment variable can carry. name is what the error calls it.
func (v Value) SingleLine(name string) error {
	if v.Missing() {
		return fmt.Errorf("%s is missing or empty (hint: archy secrets gen)", name)
	}
	if strings.ContainsAny(v.Reveal(), "\r\n\x00") {
		return fmt.Errorf("%s holds a line break or a NUL byte (hint: archy secrets check)", name)
	}
	return nil
}

// Fingerprint is the first 8 hex digits of the SHA-256 of the text, for log lines; empty for a missing secret.
func (v Value) Fingerprint() string {
	if v.Missing() {
		return ""
	}
	sum := sha256.Sum256([]byte(v.Reveal()))
	return hex.EncodeToString(sum[:4])
}

// String never gives the text.
func (v Value) String() string {
	if v.Missing() {
		return missing
	}
	return redacted
}

// GoString never gives the text.
func (v Value) GoString() string { return "secrets.Value(" + v.String() + ")" }

// Format answers every verb of fmt with the same word.
func (v Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, v.String()) }

// MarshalText never gives the text; YAML uses it too.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// MarshalJSON never gives the text.
func (v Value) MarshalJSON() ([]byte, error) { return []byte(`"` + v.String() + `"`), nil }
