package doctor

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestDocs: the table of docs/doctor.md is that of the code.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	who := map[Who]string{Anyone: "both", Root: "root", ServiceUser: "service user"}
	var want strings.Builder
	want.WriteString("| code | looks at | worst | who looks | mended by |\n|---|---|---|---|---|\n")
	for _, c := range Checks() {
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s | %s |\n", c.Code, c.Looks, c.Worst, who[c.Who], c.Mends)
	}
	if !strings.Contains(string(text), want.String()) {
		t.Errorf("docs/doctor.md must hold this table:\n%s", want.String())
	}
}
