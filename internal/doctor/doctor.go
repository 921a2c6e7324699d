// Package doctor looks at a whole node and says what ails it: one ordered list of checks, each with a stable code, its
// time limit and the command that mends what it found.
//
// A check never stops another one: not by hanging, not by a fault of its own, not because podman, the user manager, the
// apps or even the service user are missing. Looking takes no lock and changes nothing.
package doctor

import (
	"context"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
)

// Severity is how bad a finding is, and the status of a check.
type Severity string

// The severities. OK and Skipped are of checks only.
const (
	OK      Severity = "ok"
	Info    Severity = "info"
	Skipped Severity = "skipped"
	Warning Severity = "warning"
	Error   Severity = "error"
)

// Repair is how far the doctor may mend what a check found.
type Repair int

// The repairs. Full includes what needs root and a locked node.
const (
	Report Repair = iota
	Safe
	Full
)

// Who may look at something.
type Who int

// A check is anyone's when it only reads files that everybody may read.
const (
	Anyone Who = iota
	Root
	ServiceUser
)

// Finding is one thing that is not as it should be.
type Finding struct {
	Severity Severity `json:"severity"`
	// Object is what the finding is about: a file, an app, a rule.
	Object string `json:"object,omitempty"`
	Text   string `json:"text"`
	// Mend is the exact command that mends it, or what to do where no command can.
	Mend string `json:"mend,omitempty"`
	// Human: archy will not decide this.
	Human bool `json:"needs_human,omitempty"`
	// Safe tells that --fix mends it, NotMended why it did not.
	Safe      bool   `json:"safe,omitempty"`
	NotMended string `json:"not_mended,omitempty"`

	level Repair
	fix   func(ctx context.Context) error
}

// Check is one thing that the doctor looks at.
type Check struct {
	// Code is stable: never renamed, never reused.
	Code string
	// Looks says what is looked at, Worst the worst severity it reports, Mends who mends what it finds.
	Looks string
	Worst Severity
	Mends string
	Who   Who
	// OnVolume checks are about what lies on the data volume, and are skipped without it.
	OnVolume bool
	// Limit is how long the check may take; zero is thirty seconds.
	Limit time.Duration
	Run   func(ctx context.Context, n *Node) []Finding
}

// Result is what became of a check.
type Result struct {
	Code   string   `json:"code"`
	Looks  string   `json:"looks_at"`
	Status Severity `json:"status"`
	// Reason is why it was skipped.
	Reason   string    `json:"reason,omitempty"`
	Findings []Finding `json:"findings"`
	// Mended are the findings that are gone because this run mended them.
	Mended     []string `json:"mended,omitempty"`
	DurationMS int64    `json:"duration_ms"`
}

// Document is what a run of the doctor says; its JSON form is the contract of --json.
type Document struct {
	Schema     int       `json:"schema"`
	Version    string    `json:"version"`
	StartedAt  time.Time `json:"started_at"`
	DurationMS int64     `json:"duration_ms"`
	// As is who looked: root, or the name of the service user.
	As string `json:"as"`
	// Heal is the climb of the ladder that --heal made.
	Heal     *heal.Report `json:"heal,omitempty"`
	Notes    []string     `json:"notes,omitempty"`
	Checks   []Result     `json:"checks"`
	Summary  Summary      `json:"summary"`
	ExitCode int          `json:"exit_code"`
}

// Summary counts the checks of a document by their status; NeedsHuman counts findings.
type Summary struct {
	OK         int `json:"ok"`
	Info       int `json:"info"`
	Warning    int `json:"warning"`
	Error      int `json:"error"`
	Skipped    int `json:"skipped"`
	NeedsHuman int `json:"needs_human"`
	Mended     int `json:"mended"`
}

// Exit codes of the doctor.
const (
	ExitOK       = 0
	ExitErrors   = 1
	ExitWarnings = 3
	ExitHuman    = 6
)

// Summarise counts the checks and finds the exit code: what a person has to decide before errors before warnings.
func (d *Document) Summarise() {
	d.Summary = Summary{}
	for _, r := range d.Checks {
		d.Summary.count(r)
	}
	if d.Heal != nil && d.Heal.ExitCode() == heal.ExitHuman {
		d.Summary.NeedsHuman++
	}
	switch s := d.Summary; {
	case s.NeedsHuman > 0:
		d.ExitCode = ExitHuman
	case s.Error > 0:
		d.ExitCode = ExitErrors
	case s.Warning > 0:
		d.ExitCode = ExitWarnings
	default:
		d.ExitCode = ExitOK
	}
}

func (s *Summary) count(r Result) {
	switch r.Status {
	case OK:
		s.OK++
	case Info:
		s.Info++
	case Warning:
		s.Warning++
	case Error:
		s.Error++
	case Skipped:
		s.Skipped++
	}
	s.Mended += len(r.Mended)
	for _, f := range r.Findings {
		if f.Human {
			s.NeedsHuman++
		}
	}
}

// worst is the status of a check with these findings.
func worst(list []Finding) Severity {
	rank := map[Severity]int{OK: 0, Skipped: 1, Info: 2, Warning: 3, Error: 4}
	status := OK
	for _, f := range list {
		if rank[f.Severity] > rank[status] {
			status = f.Severity
		}
	}
	return status
}
