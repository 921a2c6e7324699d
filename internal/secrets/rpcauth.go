package secrets

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// RPCUser is the only bitcoin RPC user that archy manages.
const RPCUser = "archipelago"

// RPCAuthSaltBytes is the length of the random salt of an rpcauth line, before it is written in hex.
const RPCAuthSaltBytes = 16

// RPCAuth returns the value of an rpcauth line, `user:salt$hmac`, as share/rpcauth/rpcauth.py of Bitcoin Core makes
// it: the key of the HMAC-SHA256 is the salt's hex text, not its bytes.
func RPCAuth(user string, password Value, salt []byte) string {
	text := hex.EncodeToString(salt)
	return user + ":" + text + "$" + rpcHMAC(text, password)
}

// RPCAuthLine returns a whole line, `rpcauth=user:salt$hmac`, with a salt read from rand.
func RPCAuthLine(user string, password Value, rand io.Reader) (string, error) {
	if err := password.SingleLine("RPC password"); err != nil {
		return "", err
	}
	if user == "" || strings.ContainsAny(user, ":$#= \t\r\n\"'") {
		return "", fmt.Errorf("RPC user %q: must be one word without : $ # = and quotes", user)
	}
	salt := make([]byte, RPCAuthSaltBytes)
	if _, err := io.ReadFull(rand, salt); err != nil {
		return "", fmt.Errorf("reading random bytes for rpcauth: %w", err)
	}
	return "rpcauth=" + RPCAuth(user, password, salt), nil
}

// VerifyRPCAuth reports whether line, with or without its `rpcauth=`, lets user in with password. It compares as
// bitcoind does: the hex text exactly.
func VerifyRPCAuth(line, user string, password Value) bool {
	value := strings.TrimSpace(line)
	if key, rest, ok := strings.Cut(value, "="); ok && strings.TrimSpace(key) == "rpcauth" {
		value = strings.TrimSpace(rest)
	}
	name, rest, ok := strings.Cut(value, ":")
	if !ok || name != user || password.Missing() {
		return false
	}
	salt, mac, ok := strings.Cut(rest, "$")
	if !ok || salt == "" {
		return false
	}
	return hmac.Equal([]byte(mac), []byte(rpcHMAC(salt, password)))
}

func rpcHMAC(salt string, password Value) string {
	mac := hmac.New(sha256.New, []byte(salt))
	mac.Write([]byte(password.Reveal()))
	return hex.EncodeToString(mac.Sum(nil))
}
