package vm

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"git.tx1138.com/lfg2025/archy/test/node"
)

// setup turns a copy of the node's base into a machine.
//
//go:embed image.sh
var setup string

// diskSize is the size of the disk in bytes; on this machine it takes what is in it.
const diskSize = 12 << 30

// Image returns the directory of the disk image that every machine begins with, its kernel and the key to log in. It is built on first
// use and kept in the cache, under a name that is a digest of what it is made of.
func Image(ctx context.Context, progress io.Writer) (string, error) {
	base, err := node.Base(ctx, progress)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(filepath.Base(base) + "\n" + setup))
	image := filepath.Join(filepath.Dir(base), "vm-"+hex.EncodeToString(sum[:])[:16])
	err = node.Once(image, func(tmp string) error { return buildImage(ctx, base, tmp, progress) })
	if err != nil {
		return "", fmt.Errorf("the machine's image: %w", err)
	}
	return image, nil
}

func buildImage(ctx context.Context, base, dir string, progress io.Writer) error {
	for _, tool := range []string{"qemu-system-x86_64", "qemu-img", "mke2fs"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is needed: apt-get install qemu-system-x86 qemu-utils e2fsprogs", tool)
		}
	}
	fmt.Fprintf(progress, "building the machine's image, once (%s)\n", dir)
	began := time.Now()
	for _, d := range []string{"upper", "work", "root"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	authorized, err := makeKey(filepath.Join(dir, "key"))
	if err != nil {
		return err
	}
	if _, err := makeKey(filepath.Join(dir, "hostkey")); err != nil {
		return err
	}
	hostKey, err := os.ReadFile(filepath.Join(dir, "hostkey"))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "sh", "-euc", `
mount --make-rprivate /
R=$DIR/root
mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$DIR/upper,workdir=$DIR/work" "$R"
cp /etc/resolv.conf "$R/etc/resolv.conf"
mount -t proc proc "$R/proc"
chroot "$R" sh -euc "$SETUP"
umount "$R/proc"
cp "$R"/boot/vmlinuz-* "$DIR/kernel"
cp "$R"/boot/initrd.img-* "$DIR/initrd"
truncate -s "$SIZE" "$DIR/disk.img"
mke2fs -q -F -t ext4 -d "$R" "$DIR/disk.img"`)
	cmd.Env = append(os.Environ(), "BASE="+base, "DIR="+dir, "SETUP="+setup, "AUTHORIZED="+authorized, "HOSTKEY="+strings.TrimSpace(string(hostKey)),
		fmt.Sprintf("SIZE=%d", int64(diskSize)))
	if out, err := cmd.CombinedOutput(); err != nil {
		text := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%w:\n%s", err, strings.Join(text[max(0, len(text)-15):], "\n"))
	}
	err = errors.Join(os.RemoveAll(filepath.Join(dir, "upper")), os.RemoveAll(filepath.Join(dir, "work")), os.Remove(filepath.Join(dir, "root")))
	fmt.Fprintf(progress, "the machine's image was built in %.0f s\n", time.Since(began).Seconds())
	return err
}

// makeKey writes a private key and gives the public one as a line of authorized_keys.
func makeKey(path string) (authorized string, err error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(private, "archy test")
	if err != nil {
		return "", err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), os.WriteFile(path, pem.EncodeToMemory(block), 0o600)
}
