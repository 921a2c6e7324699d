// Package iso_test shows what an installation lays down, with archy iso install and as a Debian package.
package iso_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node"
)

const (
	repository = "../../.."
	buildTags  = "remote,containers_image_openpgp,exclude_graphdriver_btrfs,exclude_graphdriver_devicemapper"
	// patience bounds every single command of a test.
	patience = 5 * time.Minute
)

var built struct {
	sync.Once
	dir string
	err error
}

// build builds archy once in a run of the tests.
func build(t *testing.T) string {
	t.Helper()
	node.Need(t)
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "archy-iso-"); built.err == nil {
			built.err = compile(filepath.Join(built.dir, "archy"))
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "archy")
}

func compile(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags="+buildTags, "-ldflags=-s -w", "-o", path, "./cmd/archy")
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build archy: %w\n%s", err, out)
	}
	return nil
}

func TestMain(m *testing.M) {
	result := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(result)
}
