package release

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestCheckProgram takes this test's own program, whole and cut short at several places.
func TestCheckProgram(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	must(t, CheckProgram(self))
	whole, err := os.ReadFile(self)
	must(t, err)
	for name, tt := range map[string]struct {
		size int
		want string
	}{
		"empty":               {0, "not an ELF program"},
		"half a head":         {40, "not an ELF program"},
		"the head alone":      {64, errCutShort.Error()},
		"half":                {len(whole) / 2, errCutShort.Error()},
		"all but the last":    {len(whole) - 1, errCutShort.Error()},
		"as much as there is": {len(whole), ""},
	} {
		file := filepath.Join(t.TempDir(), "program")
		must(t, os.WriteFile(file, whole[:tt.size], 0o644))
		got := ""
		if err := CheckProgram(file); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	for _, hostile := range []struct {
		what       string
		at, length int
	}{{"the segments", 32, 8}, {"the sections", 40, 8}, {"the size of a segment's head", 54, 2}} {
		bad := slices.Clone(whole)
		copy(bad[hostile.at:], bytes.Repeat([]byte{0xff}, hostile.length))
		file := filepath.Join(t.TempDir(), "program")
		must(t, os.WriteFile(file, bad, 0o644))
		if err := CheckProgram(file); err == nil {
			t.Errorf("%s out of the file: taken for a program", hostile.what)
		}
	}
}
