package release

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/jedisct1/go-minisign"
)

// Key is a private key of minisign that its password has opened.
type Key struct{ private minisign.PrivateKey }

// ErrPassword is a password that does not open a key.
var ErrPassword = errors.New("wrong password")

// maxKDFMemory is what opening a key may take: minisign's own keys need 1 GiB, a made-up file could ask for all there is.
const maxKDFMemory = 1 << 30

// OpenKey reads a private key. password is asked only when the key is protected by one.
func OpenKey(path string, password func() (string, error)) (*Key, error) {
	data, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	private, err := minisign.DecodePrivateKey(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s is no private key of minisign", path)
	}
	if private.KDFMemLimit > maxKDFMemory || private.KDFOpsLimit > maxKDFMemory {
		return nil, fmt.Errorf("%s would take more than %s to open", path, Bytes(maxKDFMemory))
	}
	if !private.IsEncrypted() {
		return &Key{private}, nil
	}
	text, err := password()
	if err != nil {
		return nil, err
	}
	if err := private.Decrypt(text); err != nil {
		return nil, fmt.Errorf("%s: %w", path, ErrPassword)
	}
	return &Key{private}, nil
}

// Close forgets the key.
func (k *Key) Close() { k.private.Wipe() }

// trustedComment binds a signature to one release: an older manifest under the same key does not pass for a newer one.
func trustedComment(m *Manifest, data []byte) string {
	sum := sha256.Sum256(data)
	return fmt.Sprintf("archipelago version=%s date=%s sha256=%s", m.Version, m.ReleaseDate, hex.EncodeToString(sum[:]))
}

// Sign writes the detached signature of a manifest, as text.
func (k *Key) Sign(m *Manifest, data []byte) ([]byte, error) {
	if _, err := ParseVersion(m.Version); err != nil {
		return nil, err
	}
	s, err := k.private.Sign(data, minisign.SignOptions{Hashed: true, TrustedComment: trustedComment(m, data)})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestName, err)
	}
	return s.Encode(), nil
}

// Policy says how much a signature counts.
type Policy string

// Policies of release.require_signature.
const (
	PolicyNever     Policy = "never"
	PolicyIfPresent Policy = "if-present"
	PolicyAlways    Policy = "always"
)

// Keys are the public keys that are trusted; any of them suffices.
type Keys []minisign.PublicKey

// ReadKeys reads public keys, a file each.
func ReadKeys(paths []string) (Keys, error) {
	var keys Keys
	for _, path := range paths {
		data, err := readSmall(path)
		if err != nil {
			return nil, err
		}
		key, err := minisign.DecodePublicKey(strings.TrimSpace(string(data)))
		if err != nil {
			return nil, fmt.Errorf("%s is no public key of minisign", path)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// readSmall reads a key or a signature.
func readSmall(path string) ([]byte, error) {
	f, _, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 16<<10))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// Check checks the signature of a manifest under a policy; a nil signature is one that is not there.
func (keys Keys) Check(policy Policy, m *Manifest, data, signature []byte) Findings {
	var found Findings
	if policy == PolicyNever {
		return found
	}
	if signature == nil {
		if policy == PolicyAlways {
			found.Add(SignatureMissing, SignatureName, "no signature", "one by a known key")
		}
		return found
	}
	s, err := minisign.DecodeSignature(string(signature))
	if err != nil {
		found.Add(SignatureInvalid, SignatureName, "no signature of minisign", "")
		return found
	}
	keys.check(&found, s, m, data)
	return found
}

func (keys Keys) check(found *Findings, s minisign.Signature, m *Manifest, data []byte) {
	key := keys.by(s.KeyId)
	if key == nil {
		found.Addf(SignatureKey, SignatureName, "a known key", "signed by the key %X", reversed(s.KeyId))
		return
	}
	if s.SignatureAlgorithm != [2]byte{'E', 'D'} {
		found.Add(SignatureInvalid, SignatureName, "not of the pre-hashed kind", "")
		return
	}
	if ok, err := key.Verify(data, s); !ok || err != nil {
		found.Add(SignatureInvalid, SignatureName, "the signature is not of this manifest", "")
		return
	}
	have, want := strings.TrimPrefix(s.TrustedComment, "trusted comment: "), trustedComment(m, data)
	if have != want {
		found.Add(SignatureComment, SignatureName, have, want)
	}
}

// by finds the key that a signature names.
func (keys Keys) by(id [8]byte) *minisign.PublicKey {
	for i := range keys {
		if keys[i].KeyId == id {
			return &keys[i]
		}
	}
	return nil
}

// reversed is an id as minisign prints it, which takes it for a little-endian number.
func reversed(id [8]byte) [8]byte {
	for i := range 4 {
		id[i], id[7-i] = id[7-i], id[i]
	}
	return id
}

// ReadSignature reads the signature beside a manifest; nil when there is none.
func ReadSignature(manifestPath string) ([]byte, error) {
	data, err := readSmall(manifestPath + ".minisig")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// SignFile signs a manifest on the disk and writes the signature beside it. What is not a manifest is not signed.
func (k *Key) SignFile(manifestPath string) (path string, err error) {
	m, data, found, err := LoadManifest(manifestPath)
	if err != nil {
		return "", err
	}
	if found.Errors > 0 {
		return "", fmt.Errorf("%s: %s", manifestPath, found.List[0])
	}
	signature, err := k.Sign(m, data)
	if err != nil {
		return "", err
	}
	path = manifestPath + ".minisig"
	return path, replace(path, signature, 0o644)
}
