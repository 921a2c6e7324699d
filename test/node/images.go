package node

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/test/node/registry"
)

// Registry makes a registry with a stand-in under every reference that the shipped apps name, and its variants.
func Registry(ctx context.Context, base string) (*registry.Server, error) {
	stock, err := Stock(ctx, base)
	if err != nil {
		return nil, err
	}
	wanted, err := registry.FindWanted(apps.FS)
	if err != nil {
		return nil, err
	}
	server := registry.New()
	return server, server.Stock(stock, wanted)
}

// StandIn adds a generic server to the node's registry for each image that is wanted, with its variants.
func (n *Node) StandIn(ctx context.Context, wanted ...registry.Wanted) error {
	stock, err := Stock(ctx, n.base)
	if err != nil {
		return err
	}
	return n.Registry.Stock(stock, wanted)
}

var stocked struct {
	sync.Mutex
	stock *registry.Stock
}

// Stock gathers what stand-in images are made of: the stand-in program, and the base's busybox and nginx. It is done
// once in a process.
func Stock(ctx context.Context, base string) (*registry.Stock, error) {
	stocked.Lock()
	defer stocked.Unlock()
	if stocked.stock != nil {
		return stocked.stock, nil
	}
	standin, err := buildStandin(ctx)
	if err != nil {
		return nil, err
	}
	busybox, err := os.ReadFile(filepath.Join(base, "usr/bin/busybox"))
	if err != nil {
		return nil, err
	}
	nginx, err := nginxFiles(ctx, base)
	if err != nil {
		return nil, err
	}
	stocked.stock, err = registry.NewStock(standin, busybox, nginx)
	return stocked.stock, err
}

// standinSources are compiled on the machine that runs the tests. They import the standard library alone.
//
//go:embed standin/*.go
var standinSources embed.FS

// buildStandin compiles the stand-in program, unless the cache has one of the same sources.
func buildStandin(ctx context.Context) ([]byte, error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	key, err := standinKey()
	if err != nil {
		return nil, err
	}
	target := filepath.Join(cache, "standin-"+key)
	err = Once(target, func(tmp string) error { return compileStandin(ctx, tmp) })
	if err != nil {
		return nil, err
	}
	return os.ReadFile(target)
}

func compileStandin(ctx context.Context, target string) error {
	src, err := os.MkdirTemp("", "standin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(src)
	if err := os.CopyFS(src, standinSources); err != nil {
		return err
	}
	dir := filepath.Join(src, "standin")
	module := "module standin\n\ngo 1.26\n"
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(module), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", target, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the stand-in: %w\n%s", err, out)
	}
	return nil
}

// standinKey is a digest of the sources and of what compiles them.
func standinKey() (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOARCH)
	files, err := fs.Glob(standinSources, "standin/*.go")
	if err != nil {
		return "", err
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := standinSources.ReadFile(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d\n%s", file, len(text), text)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// nginxFiles collects the base's nginx: the program, the libraries that it is linked with, and its tables.
func nginxFiles(ctx context.Context, base string) (registry.Files, error) {
	out, err := exec.CommandContext(ctx, "chroot", base, "ldd", "/usr/sbin/nginx").Output()
	if err != nil {
		return nil, fmt.Errorf("libraries of nginx: %w", err)
	}
	names := []string{"/usr/sbin/nginx", "/etc/nginx/mime.types", "/etc/nginx/fastcgi_params"}
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "/") {
			names = append(names, word)
		}
	}
	root, err := os.OpenRoot(base)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	files := registry.Files{}
	for _, name := range names {
		f, err := readRooted(root, name)
		if err != nil {
			return nil, fmt.Errorf("nginx: %w", err)
		}
		files[name] = f
	}
	return files, nil
}

func readRooted(root *os.Root, name string) (registry.File, error) {
	f, err := root.Open(strings.TrimPrefix(name, "/"))
	if err != nil {
		return registry.File{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	info, statErr := f.Stat()
	if err := errors.Join(err, statErr); err != nil {
		return registry.File{}, err
	}
	return registry.File{Data: data, Mode: info.Mode() & fs.ModePerm}, nil
}
