package iso_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var packed struct {
	sync.Once
	err error
}

// makeDeb builds the package as make deb does, once in a run of the tests.
func makeDeb(t *testing.T) string {
	t.Helper()
	binary := build(t)
	out := filepath.Join(filepath.Dir(binary), "archy.deb")
	packed.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", repository+"/dist/deb/build.sh", binary, "0.1.0~test", out)
		if text, err := cmd.CombinedOutput(); err != nil {
			packed.err = fmt.Errorf("build the package: %w\n%s", err, text)
		}
	})
	if packed.err != nil {
		t.Fatal(packed.err)
	}
	return out
}

// TestPackageIsClean: Debian's checker has nothing to say that has no reason.
func TestPackageIsClean(t *testing.T) {
	if _, err := exec.LookPath("lintian"); err != nil {
		t.Skip("needs lintian: apt-get install lintian")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "lintian", "--allow-root", "--fail-on=error,warning", makeDeb(t)).CombinedOutput()
	if err != nil || strings.Contains(string(out), "W: archy") || strings.Contains(string(out), "E: archy") {
		t.Errorf("lintian: %v\n%s", err, out)
	}
}
