package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity tells whether a finding keeps its app from running.
type Severity int

// A warning is shown; an error fails the app, and the apps that need it.
const (
	Warning Severity = iota
	Error
)

// String is "warning" or "error".
func (s Severity) String() string {
	if s == Error {
		return "error"
	}
	return "warning"
}

// MarshalText writes the severity as a word, for JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing that is wrong with one manifest. Line is 0 when the file as a whole is meant,
// Field is the path in the document, and Hint is what its author can do.
type Finding struct {
	App      string   `json:"app,omitempty"`
	File     string   `json:"file"`
	Line     int      `json:"line,omitempty"`
	Field    string   `json:"field,omitempty"`
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"`

	// unknownKey findings are errors to a strict lint; tolerable errors are warnings at run time.
	unknownKey bool
	tolerable  bool
}

// String is the finding in one line: file:line: field: message (hint).
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	b.WriteString(": ")
	if f.Severity == Warning {
		b.WriteString("warning: ")
	}
	if f.Field != "" {
		b.WriteString(f.Field + ": ")
	}
	b.WriteString(f.Message)
	if f.Hint != "" {
		b.WriteString(" (" + f.Hint + ")")
	}
	return b.String()
}

// HasErrors tells whether at least one finding is an error.
func HasErrors(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == Error })
}

// sortFindings orders by file, line and field, and drops what was said twice.
func sortFindings(findings []Finding) []Finding {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Field, b.Field),
			cmp.Compare(a.Message, b.Message),
		)
	})
	return slices.Compact(findings)
}

// demote turns the errors that a node lives with into warnings.
func demote(findings []Finding) {
	for i := range findings {
		if findings[i].tolerable {
			findings[i].Severity = Warning
		}
	}
}

// promote turns unknown keys into errors, for a strict lint.
func promote(findings []Finding) {
	for i := range findings {
		if findings[i].unknownKey {
			findings[i].Severity = Error
		}
	}
}
