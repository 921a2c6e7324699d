package release

import (
	"os"
	"path/filepath"
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
	// Numbers of a hostile head.
	for at, what := range map[int]string{32: "segments", 40: "sections", 54: "size of a segment's head"} {
		bad := append([]byte(nil), whole...)
		for i := range 2 {
			bad[at+i] = 0xff
		}
		if at < 54 {
			for i := range 8 {
				bad[at+i] = 0xff
			}
		}
		file := filepath.Join(t.TempDir(), "program")
		must(t, os.WriteFile(file, bad, 0o644))
		if err := CheckProgram(file); err == nil {
			t.Errorf("%s out of the file: taken for a program", what)
		}
	}
}
