package release

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestEveryCodeIsExplained: each code of the program stands in the manual, and no other.
func TestEveryCodeIsExplained(t *testing.T) {
	form := regexp.MustCompile(`[EW]_[A-Z0-9_]+[A-Z0-9]`)
	source, err := os.ReadFile("code.go")
	must(t, err)
	manual, err := os.ReadFile("../../docs/release.md")
	must(t, err)
	for _, code := range form.FindAllString(string(source), -1) {
		if !strings.Contains(string(manual), "`"+code+"`") {
			t.Errorf("%s is not in docs/release.md", code)
		}
	}
	for _, code := range form.FindAllString(string(manual), -1) {
		if !strings.Contains(string(source), `"`+code+`"`) && code != "E_LIMIT" {
			t.Errorf("docs/release.md names %s, which the program never says", code)
		}
	}
}
