package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var (
	// made is a target as a text tells somebody to make it: in a line of code, or within backticks.
	made   = regexp.MustCompile("(?m)(?:^ {4,}|`)make (?:-s )?([a-z][a-z-]*)|\\$\\(make (?:-s )?([a-z][a-z-]*)\\)")
	target = regexp.MustCompile(`(?m)^([a-z][a-z-]*):(?:[^=]|$)`)
)

// TestTargetsAreThere: each make target that a text names is in the Makefile.
func TestTargetsAreThere(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, m := range target.FindAllStringSubmatch(string(makefile), -1) {
		targets[m[1]] = true
	}
	texts, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range append(texts, "../README.md", "../CHANGELOG.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range made.FindAllStringSubmatch(string(text), -1) {
			found++
			if named := m[1] + m[2]; !targets[named] {
				t.Errorf("%s names make %s, which the Makefile does not have", name, named)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d targets are named", found)
	}
}
