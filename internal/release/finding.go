package release

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// listed is how many findings are kept; the others are counted.
const listed = 1000

// Finding is one thing that is wrong: with the entry Path of the archive, the field Path of the manifest, or with the
// whole when Path is "".
type Finding struct {
	Code     Code   `json:"code"`
	Severity string `json:"severity"`
	Path     string `json:"path"`
	Have     string `json:"have"`
	Want     string `json:"want"`
}

// String is the finding in one line: E_ROOT_MODE  ./  mode 0700, want 0755.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(string(f.Code) + "  ")
	if f.Path != "" {
		b.WriteString(f.Path + "  ")
	}
	b.WriteString(f.Have)
	if f.Want != "" {
		b.WriteString(", want " + f.Want)
	}
	return b.String()
}

// Findings collects what is wrong.
type Findings struct {
	List     []Finding
	Errors   int
	Warnings int
}

// Add keeps a finding; beyond a thousand it only counts.
func (l *Findings) Add(code Code, path, have, want string) {
	f := Finding{code, code.Severity(), printable(path), printable(have), printable(want)}
	if f.Severity == "error" {
		l.Errors++
	} else {
		l.Warnings++
	}
	if len(l.List) < listed {
		l.List = append(l.List, f)
	}
}

// Addf is Add with what is there in words.
func (l *Findings) Addf(code Code, path, want, format string, args ...any) {
	l.Add(code, path, fmt.Sprintf(format, args...), want)
}

// Join adds all of more.
func (l *Findings) Join(more Findings) {
	for _, f := range more.List {
		l.Add(f.Code, f.Path, f.Have, f.Want)
	}
	l.Errors += more.Errors + more.Warnings - len(more.List)
}

// Unlisted counts what was found beyond the list.
func (l *Findings) Unlisted() int { return l.Errors + l.Warnings - len(l.List) }

// printable makes a text out of a stranger's archive safe for a terminal and short enough for a line.
func printable(s string) string {
	const longest = 300
	if len(s) > longest {
		s = s[:longest] + "…"
	}
	plain := utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
	if plain {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}
