package secrets

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
)

// SecretEnvHash is the value of the label io.archipelago.secret-env-hash: the first 16 hex digits of the SHA-256 over
// `archy-secret-v1`, the app id and the sorted name=value pairs, separated by NUL. A running container whose label
// differs was started with other values. No pairs give no label: the hash is empty.
func SecretEnvHash(app string, pairs map[string]Value) string {
	if len(pairs) == 0 {
		return ""
	}
	parts := []string{"archy-secret-v1", app}
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		parts = append(parts, name+"="+pairs[name].Reveal())
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}
