package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node/registry"
)

// lndVersion is the version that apps/lnd runs.
const lndVersion = "v0.18.4-beta"

// lndModule needs the replacement of LND's own go.mod, which a module that requires LND does not inherit.
const lndModule = `module lnd

go 1.26

require github.com/lightningnetwork/lnd ` + lndVersion + `

replace google.golang.org/protobuf => github.com/lightninglabs/protobuf-go-hex-display v1.33.0-hex-display
`

// lndPrograms are the packages that are built.
var lndPrograms = []string{"lnd", "lncli"}

// RealLND puts the real LND in place of its stand-in. It is built of its Go module on first use, which takes some minutes
// and downloads its dependencies, and is kept in the cache.
func (n *Node) RealLND(ctx context.Context) error {
	dir, err := buildLND(ctx)
	if err != nil {
		return fmt.Errorf("build LND: %w", err)
	}
	stock, err := Stock(ctx, n.base)
	if err != nil {
		return err
	}
	files := registry.Files{}
	for _, name := range lndPrograms {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		files["/bin/"+name] = registry.File{Data: data, Mode: 0o755}
	}
	image, err := stock.LND(files)
	if err != nil {
		return err
	}
	return n.Registry.Add("docker.io/lightninglabs/lnd:"+lndVersion, image)
}

func buildLND(ctx context.Context) (dir string, err error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(lndModule + strings.Join(lndPrograms, " ") + runtime.Version() + runtime.GOARCH))
	dir = filepath.Join(cache, "lnd-"+hex.EncodeToString(sum[:])[:16])
	return dir, Once(dir, func(tmp string) error { return compileLND(ctx, tmp) })
}

func compileLND(ctx context.Context, dir string) error {
	fmt.Fprintf(os.Stderr, "building LND %s, once, about three minutes (%s)\n", lndVersion, dir)
	start := time.Now()
	source, err := os.MkdirTemp("", "lnd-module-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(source)
	if err := os.WriteFile(filepath.Join(source, "go.mod"), []byte(lndModule), 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range lndPrograms {
		cmd := exec.CommandContext(ctx, "nice", "go", "build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, name), "github.com/lightningnetwork/lnd/cmd/"+name)
		cmd.Dir = source
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", name, err, tail(string(out), 20))
		}
	}
	fmt.Fprintf(os.Stderr, "LND built in %.0f s\n", time.Since(start).Seconds())
	return nil
}
