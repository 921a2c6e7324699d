package main

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
)

func TestTable(t *testing.T) {
	header := []string{"APP", "STATE", "DETAIL"}
	rows := [][]string{{"bitcoin", "syncing 43.1 %", "of the chain"}, {"éclair", "-", ""}}
	const pipe = `APP      STATE           DETAIL
bitcoin  syncing 43.1 %  of the chain
éclair   -
`
	if got := layTable(header, rows, 0); got != pipe {
		t.Errorf("in a pipe nothing is cut:\n%s", got)
	}
	const narrow = `APP      STATE           DETAIL
bitcoin  syncing 43.1 %  of the…
éclair   -
`
	if got := layTable(header, rows, 32); got != narrow {
		t.Errorf("32 columns:\n%s", got)
	}
}

func TestShippedAppsFitATerminal(t *testing.T) {
	set, findings := manifest.LoadFS(apps.FS, "apps")
	if manifest.HasErrors(findings) {
		t.Fatal(findings)
	}
	text := layTable(appHeader, appRows(set), 80)
	for line := range strings.Lines(text) {
		if w := ansi.StringWidth(strings.TrimSuffix(line, "\n")); w > 80 {
			t.Errorf("%d columns: %s", w, line)
		}
	}
	if !strings.Contains(text, "8332 8333 +2") || strings.Count(text, "…") > 5 {
		t.Errorf("too much is cut:\n%s", text)
	}
}
