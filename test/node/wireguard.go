package node

import (
	"context"
	"fmt"
	"path/filepath"
)

// wireGuardModule is WireGuard without a kernel's help.
const wireGuardModule = `module wireguard

go 1.26

require golang.zx2c4.com/wireguard v0.0.0-20260522210424-ecfc5a8d5446
`

// WireGuard gives the node interfaces of WireGuard, which its kernel may not have: wg-quick(8) starts wireguard-go then, and wg and ip treat its
// interfaces like any other. It is built of its Go module on first use.
func (n *Node) WireGuard(ctx context.Context) error {
	cache, err := CacheDir()
	if err != nil {
		return err
	}
	dir := filepath.Join(cache, "wireguard-"+builtOf(wireGuardModule))
	program := func(dir string) string { return filepath.Join(dir, "wireguard-go") }
	err = Once(dir, func(tmp string) error {
		return compileModule(ctx, wireGuardModule, "golang.zx2c4.com/wireguard", program(tmp))
	})
	if err != nil {
		return fmt.Errorf("build WireGuard: %w", err)
	}
	return n.Put(program(dir), "/usr/local/bin/wireguard-go", 0o755)
}
