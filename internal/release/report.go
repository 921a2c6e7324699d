package release

import "fmt"

// Report is what one pass over an archive found.
type Report struct {
	Schema        int       `json:"schema"`
	File          string    `json:"file"`
	SHA256        string    `json:"sha256"`
	Size          int64     `json:"size"`
	Entries       int64     `json:"entries"`
	UnpackedBytes int64     `json:"unpacked_bytes"`
	Findings      []Finding `json:"findings"`
	Errors        int       `json:"errors"`
	Warnings      int       `json:"warnings"`
	// Unlisted counts the findings beyond those listed.
	Unlisted int `json:"unlisted,omitempty"`
	// Stopped is the code that ended the pass before the end of the archive.
	Stopped Code `json:"stopped,omitempty"`
	OK      bool `json:"ok"`
}

// take puts the findings into the report.
func (r *Report) take(f Findings) {
	r.Findings, r.Errors, r.Warnings, r.Unlisted = f.List, f.Errors, f.Warnings, f.Unlisted()
	if r.Findings == nil {
		r.Findings = []Finding{}
	}
	r.OK = r.Errors == 0
}

// Line sums the pass up: checked 1893 entries, 41.2 MiB, 1 error, 0 warnings.
func (r Report) Line() string {
	line := fmt.Sprintf("checked %s, %s, %s, %s", Count(r.Entries, "entry", "entries"), Bytes(r.UnpackedBytes),
		Count(int64(r.Errors), "error", "errors"), Count(int64(r.Warnings), "warning", "warnings"))
	if r.Stopped != "" {
		line += fmt.Sprintf("; stopped early by %s, what follows was not checked", r.Stopped)
	}
	return line
}

// Count is a number with its noun.
func Count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Bytes is a size for people: 512 B, 41.2 MiB.
func Bytes(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n)/(1<<10), 0
	for size >= 1024 && unit < 3 {
		size, unit = size/1024, unit+1
	}
	return fmt.Sprintf("%.1f %s", size, []string{"KiB", "MiB", "GiB", "TiB"}[unit])
}

// After is the report with findings that were there before the archive was read.
func (r Report) After(before Findings) Report {
	all := before
	for _, f := range r.Findings {
		all.Add(f.Code, f.Path, f.Have, f.Want)
	}
	all.Errors += r.Unlisted
	r.take(all)
	return r
}
