package manifest

import "strings"

// document is one manifest that was read, with the line of every field that it sets.
type document struct {
	id, file string
	local    bool
	app      *App
	lines    map[string]int
	failed   map[string]bool
	findings []Finding
}

// line is where a field stands, or else the nearest field around it.
func (d *document) line(path string) int {
	for path != "" {
		if line, ok := d.lines[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}

// add keeps a finding, unless its field already failed: one cause, one finding.
func (d *document) add(f Finding) {
	if d.failed[f.Field] {
		return
	}
	if f.Severity == Error && f.Field != "" {
		d.failed[f.Field] = true
	}
	f.App, f.File = d.id, d.file
	if f.Line == 0 {
		f.Line = d.line(f.Field)
	}
	d.findings = append(d.findings, f)
}

// broken tells whether the document may not be used. Tolerable errors do not break it.
func (d *document) broken() bool {
	for _, f := range d.findings {
		if f.Severity == Error && !f.tolerable {
			return true
		}
	}
	return false
}
