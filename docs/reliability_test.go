package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// named is a test in a table: `path` TestName, or a script.
var named = regexp.MustCompile("`([a-z0-9_/]+\\.(?:go|txtar))`(?: (Test[A-Za-z0-9]+))?")

// TestIncidentTable: each incident has a row, each row has a test, and every test that a table names is there.
func TestIncidentTable(t *testing.T) {
	text, err := os.ReadFile("reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		tests := named.FindAllStringSubmatch(line, -1)
		rows[strings.TrimSpace(strings.Split(line, "|")[1])] = len(tests) > 0
		for _, test := range tests {
			exists(t, test[1], test[2])
		}
	}
	for n := 1; n <= 24; n++ {
		if !rows[strconv.Itoa(n)] {
			t.Errorf("incident %d has no test", n)
		}
		if !regexp.MustCompile(fmt.Sprintf(` TestIncident%d[A-Z]`, n)).Match(text) {
			t.Errorf("no test has the name of incident %d", n)
		}
	}
}

// exists wants a test to be in its file; a script is a test as a whole.
func exists(t *testing.T, file, test string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", file))
	switch {
	case err != nil:
		t.Error(err)
	case test == "" && !strings.HasSuffix(file, ".txtar"):
		t.Errorf("%s is named without a test in it", file)
	case test != "" && !strings.Contains(string(text), "\nfunc "+test+"(t *testing.T) {"):
		t.Errorf("%s has no %s", file, test)
	}
}
