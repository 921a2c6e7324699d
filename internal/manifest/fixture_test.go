package manifest

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the findings into the fixtures, and docs/ anew")

const wantMark = "# want: "

// TestBadInput reads each file of testdata/bad and compares its findings with those that stand in the
// file itself, after "# want: ". Every fixture has at least one.
func TestBadInput(t *testing.T) {
	for _, path := range glob(t, "testdata/bad/*.yml") {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yml"), func(t *testing.T) {
			doc := fileDocument(path)
			compareWanted(t, path, sortFindings(doc.findings))
		})
	}
}

// compareWanted compares the findings of one file with the comments in it.
func compareWanted(t *testing.T, path string, findings []Finding) {
	t.Helper()
	var got []string
	for _, f := range findings {
		got = append(got, strings.TrimPrefix(strings.TrimPrefix(f.String(), path), ":"))
	}
	if *update {
		writeWanted(t, path, got)
	}
	want := wanted(t, path)
	if len(want) == 0 {
		t.Errorf("%s: no finding is wanted", path)
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("%s\ngot:\n%s\nwant:\n%s", path, g, w)
	}
}

func wanted(t *testing.T, path string) (want []string) {
	t.Helper()
	for _, line := range strings.Split(readText(t, path), "\n") {
		if text, ok := strings.CutPrefix(line, wantMark); ok {
			want = append(want, text)
		}
	}
	return want
}

// writeWanted puts the findings at the end of the fixture, where they move no line.
func writeWanted(t *testing.T, path string, got []string) {
	t.Helper()
	var kept strings.Builder
	for _, line := range strings.SplitAfter(readText(t, path), "\n") {
		if !strings.HasPrefix(line, wantMark) {
			kept.WriteString(line)
		}
	}
	for _, line := range got {
		kept.WriteString(wantMark + line + "\n")
	}
	if err := os.WriteFile(path, []byte(kept.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readText(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func glob(t testing.TB, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: no files (%v)", pattern, err)
	}
	return paths
}
