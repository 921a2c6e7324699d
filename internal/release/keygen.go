package release

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/scrypt"
)

// kdf is how much work and memory it takes to try one password. keyKDF is minisign's own ("sensitive" of libsodium).
type kdf struct {
	ops, mem uint64
	n, r, p  int
}

var keyKDF = kdf{ops: 1 << 25, mem: 1 << 30, n: 1 << 20, r: 8, p: 1}

// GenerateKey makes a pair of keys in the format of minisign: NAME.key, 0600 and protected by the password, and NAME.pub.
// Neither file may be there already.
func GenerateKey(name, password string, random io.Reader) error {
	return keyKDF.generate(name, password, random)
}

func (k kdf) generate(name, password string, random io.Reader) error {
	if password == "" {
		return errors.New("the password is empty")
	}
	public, private, err := ed25519.GenerateKey(random)
	if err != nil {
		return err
	}
	var id [8]byte
	var salt [32]byte
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return err
	}
	if _, err := io.ReadFull(random, salt[:]); err != nil {
		return err
	}
	sealed, err := k.seal(private, id, salt, password)
	if err != nil {
		return err
	}
	open := append(append([]byte("Ed"), id[:]...), public...)
	if err := writeNew(name+".key", keyFile("archy release secret key", sealed), 0o600); err != nil {
		return err
	}
	comment := fmt.Sprintf("minisign public key %X", reversed(id))
	if err := writeNew(name+".pub", keyFile(comment, open), 0o644); err != nil {
		return errors.Join(err, os.Remove(name+".key"))
	}
	return nil
}

// seal is the body of a private key: algorithms, how the password is stretched, and id, key and checksum under a stream
// that only the password gives.
func (k kdf) seal(private ed25519.PrivateKey, id [8]byte, salt [32]byte, password string) ([]byte, error) {
	secret := append(id[:], private...)
	sum := blake2b.Sum256(append([]byte("Ed"), secret...))
	secret = append(secret, sum[:]...)
	stream, err := scrypt.Key([]byte(password), salt[:], k.n, k.r, k.p, len(secret))
	if err != nil {
		return nil, err
	}
	for i := range secret {
		secret[i] ^= stream[i]
	}
	body := append([]byte("EdScB2"), salt[:]...)
	body = binary.LittleEndian.AppendUint64(body, k.ops)
	body = binary.LittleEndian.AppendUint64(body, k.mem)
	return append(body, secret...), nil
}

func keyFile(comment string, body []byte) []byte {
	return []byte("untrusted comment: " + comment + "\n" + base64.StdEncoding.EncodeToString(body) + "\n")
}
