// Package derived computes the files that archy makes from secrets and facts for the apps: bitcoin.conf, lnd.conf, the
// wallet password file and the nginx.conf of bitcoin-ui. It is pure: what is on disk, random bytes and time come in
// through parameters, and the caller compares and writes.
package derived

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"
)

// FileMode is the mode of every derived file that archy creates; an existing file keeps its own.
const FileMode = 0o600

// File is one derived file as it should be. Content holds secrets: printing a File gives its size and digest only.
type File struct {
	Content []byte
	// Digest is the first 16 hex digits of the SHA-256 of the managed content, the label io.archipelago.config-digest
	// of the consumers. What the operator adds does not change it.
	Digest string
	// SaveOld asks to keep the old file as SavedName before it is replaced: it was not archy's yet.
	SaveOld bool
	// Notes say in words what was taken over from the old file. They name keys and lines, never values.
	Notes []string
}

// Fingerprint is the first 8 hex digits of the SHA-256 of the whole content, for log lines.
func (f File) Fingerprint() string { return hexSum(f.Content, 4) }

// String gives the size and the digest, never the content.
func (f File) String() string {
	return fmt.Sprintf("derived file of %d bytes, digest %s", len(f.Content), f.Digest)
}

// Format answers every verb of fmt like String.
func (f File) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, f.String()) }

// MarshalText never gives the content; JSON and YAML use it.
func (f File) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// SavedName is the name under which a file is kept before archy replaces it for the first time.
func SavedName(name string, at time.Time) string {
	return name + ".pre-archy-" + at.UTC().Format("20060102T150405Z")
}

func digest(content []byte) string { return hexSum(content, 8) }

func hexSum(content []byte, bytes int) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:bytes])
}

func digestLines(lines []string) string { return digest([]byte(strings.Join(lines, "\n") + "\n")) }
