package wallet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
)

const sudoLimit = 10 * time.Second

// Mapped reads files that only podman's user namespace may read. A missing one is an fs.ErrNotExist.
type Mapped interface {
	ReadFile(ctx context.Context, path string) ([]byte, error)
}

// Reader reads files of LND, whoever owns them: directly, then in podman's user namespace, then as root where sudo asks for
// no password. It copies nothing and changes no mode and no owner.
type Reader struct {
	// Direct reads as the caller; nil means os.ReadFile.
	Direct func(path string) ([]byte, error)
	Mapped Mapped
	Runner command.Runner
}

// ReadFile reads one file. A missing one is an fs.ErrNotExist; one that nobody may read is an fs.ErrPermission.
func (r Reader) ReadFile(ctx context.Context, path string) ([]byte, error) {
	direct := r.Direct
	if direct == nil {
		direct = os.ReadFile
	}
	content, err := direct(path)
	if !errors.Is(err, fs.ErrPermission) {
		return content, err
	}
	content, mapped := r.Mapped.ReadFile(ctx, path)
	if mapped == nil || errors.Is(mapped, fs.ErrNotExist) {
		return content, mapped
	}
	content, sudo := r.sudo(ctx, path)
	if sudo == nil || errors.Is(sudo, fs.ErrNotExist) {
		return content, sudo
	}
	return nil, fmt.Errorf("%w; podman unshare: %w; sudo -n: %w", err, mapped, sudo)
}

func (r Reader) sudo(ctx context.Context, path string) ([]byte, error) {
	res, err := r.Runner.Run(ctx, command.Cmd{Argv: []string{"sudo", "-n", "cat", "--", path}, Env: []string{"LC_ALL=C"}, Limit: sudoLimit})
	var exit *command.ExitError
	switch {
	case errors.As(err, &exit) && strings.Contains(exit.Stderr, "No such file or directory"):
		return nil, fmt.Errorf("read %s: %w", path, fs.ErrNotExist)
	case err != nil:
		return nil, err
	}
	return res.Stdout, nil
}

// Paths below LND's data directory.
const (
	certFile     = "tls.cert"
	walletFile   = "data/chain/bitcoin/mainnet/wallet.db"
	macaroonFile = "data/chain/bitcoin/mainnet/admin.macaroon"
)

// Certificate is LND's tls.cert below its data directory.
func Certificate(dir string) string { return dir + "/" + certFile }

// Wallet is LND's wallet.db below its data directory.
func Wallet(dir string) string { return dir + "/" + walletFile }

// Macaroon is LND's admin.macaroon below its data directory.
func Macaroon(dir string) string { return dir + "/" + macaroonFile }

// Exists tells whether a file is there. One that cannot be looked at counts as there: nothing may be made over it.
func Exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist) && !isNotDir(err)
}

// isNotDir is no file either: a parent is a file.
func isNotDir(err error) bool { return err != nil && strings.Contains(err.Error(), "not a directory") }

// Trace names a file below LND's data directory that only an LND with a wallet has, "" when there is none.
func Trace(dir string) string {
	for _, file := range []string{Wallet(dir), Macaroon(dir)} {
		if Exists(file) {
			return file
		}
	}
	return ""
}
