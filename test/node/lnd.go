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
	dir = filepath.Join(cache, "lnd-"+builtOf(lndModule+strings.Join(lndPrograms, " ")))
	return dir, Once(dir, func(tmp string) error { return compileLND(ctx, tmp) })
}

// builtOf names what is built of these words by this compiler.
func builtOf(words string) string {
	sum := sha256.Sum256([]byte(words + runtime.Version() + runtime.GOARCH))
	return hex.EncodeToString(sum[:])[:16]
}

func compileLND(ctx context.Context, dir string) error {
	fmt.Fprintf(os.Stderr, "building LND %s, once, about three minutes (%s)\n", lndVersion, dir)
	start := time.Now()
	for _, name := range lndPrograms {
		if err := compileModule(ctx, lndModule, "github.com/lightningnetwork/lnd/cmd/"+name, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "LND built in %.0f s\n", time.Since(start).Seconds())
	return nil
}

// compileModule builds a program of another module. module is the go.mod of one that requires it.
func compileModule(ctx context.Context, module, pkg, program string) error {
	source, err := os.MkdirTemp("", "module-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(source)
	if err := os.WriteFile(filepath.Join(source, "go.mod"), []byte(module), 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "nice", "go", "build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-o", program, pkg)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", pkg, err, tail(string(out), 20))
	}
	return nil
}
