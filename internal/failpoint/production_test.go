//go:build !failpoints

package failpoint

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestProductionBinary: what users get knows no failure point, neither its code nor the variable that sets one off; the
// same two looks find both in a binary of the tests.
func TestProductionBinary(t *testing.T) {
	production, tagged := t.TempDir()+"/archy", t.TempDir()+"/archy"
	compile(t, production)
	compile(t, tagged, "failpoints")
	if symbols := failpoints(t, production); symbols != "" {
		t.Errorf("symbols in the production binary:\n%s", symbols)
	}
	if names(t, production) {
		t.Error("the production binary knows ARCHY_FAILPOINT")
	}
	if failpoints(t, tagged) == "" || !names(t, tagged) {
		t.Error("nothing is found in a binary that has the failure points: this test sees nothing")
	}
}

func compile(t *testing.T, out string, tags ...string) {
	t.Helper()
	args := []string{"build", "-buildvcs=false", "-tags=" + strings.Join(append(ownTags(), tags...), ","), "-o", out, "./cmd/archy"}
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
}

// ownTags are those that this test itself is run with.
func ownTags() []string {
	_, tags, _ := strings.Cut(os.Getenv("GOFLAGS"), "-tags=")
	tags, _, _ = strings.Cut(tags, " ")
	return strings.Split(tags, ",")
}

func failpoints(t *testing.T, binary string) string {
	t.Helper()
	list, err := exec.Command("go", "tool", "nm", binary).Output()
	if err != nil || len(list) == 0 {
		t.Fatalf("go tool nm: %d bytes, %v", len(list), err)
	}
	var found []string
	for line := range strings.Lines(string(list)) {
		if strings.Contains(line, "internal/failpoint.") {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

func names(t *testing.T, binary string) bool {
	t.Helper()
	content, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(content, []byte("ARCHY_FAILPOINT"))
}

// TestTagged runs the tests of the other form of this package.
func TestTagged(t *testing.T) {
	cmd := exec.Command("go", "test", "-count=1", "-tags=failpoints", ".")
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	if said, err := cmd.CombinedOutput(); err != nil || !bytes.HasPrefix(said, []byte("ok")) {
		t.Errorf("%v\n%s", err, said)
	}
}
