package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/doctor"
)

// printDoctor prints the report: what is wrong, each with what mends it, and a line about the rest.
func (e *examiner) printDoctor(d doctor.Document) error {
	if e.json {
		enc := json.NewEncoder(e.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(d)
	}
	for _, note := range d.Notes {
		fmt.Fprintln(e.err, "note:", note)
	}
	if d.Heal != nil {
		fmt.Fprintf(e.out, "heal: podman was %s, is %s: %s\n", d.Heal.State, d.Heal.After, d.Heal.Result)
	}
	for _, r := range d.Checks {
		e.printChecked(r)
	}
	if !e.quiet {
		e.printSkipped(d)
		fmt.Fprintln(e.out, doctorLine(d))
	}
	return nil
}

func (e *examiner) printChecked(r doctor.Result) {
	for _, text := range r.Mended {
		fmt.Fprintf(e.out, "%-8s %-17s %s\n", "mended", r.Code, text)
	}
	for i, f := range r.Findings {
		if f.Severity == doctor.Info && e.quiet {
			continue
		}
		fmt.Fprintf(e.out, "%-8s %-17s %s\n", f.Severity, r.Code, told(f))
		// What mends several in a row is said once, below the last of them.
		if i+1 < len(r.Findings) && slices.Equal(advice(f), advice(r.Findings[i+1])) {
			continue
		}
		for _, line := range advice(f) {
			fmt.Fprintf(e.out, "%26s %s\n", "", line)
		}
	}
	if e.verbose && r.Status == doctor.OK {
		fmt.Fprintf(e.out, "%-8s %-17s %s\n", r.Status, r.Code, r.Looks)
	}
}

func told(f doctor.Finding) string {
	if f.Object == "" || strings.Contains(f.Text, f.Object) {
		return f.Text
	}
	return f.Object + ": " + f.Text
}

// advice is what comes below a finding.
func advice(f doctor.Finding) (lines []string) {
	if f.Human {
		lines = append(lines, "a person must decide")
	}
	if f.Mend != "" {
		lines = append(lines, "mend: "+f.Mend)
	}
	if f.NotMended != "" {
		lines = append(lines, "not mended: "+f.NotMended)
	}
	return lines
}

// printSkipped says for each reason which checks were not made.
func (e *examiner) printSkipped(d doctor.Document) {
	byReason := map[string][]string{}
	for _, r := range d.Checks {
		if r.Status == doctor.Skipped {
			byReason[r.Reason] = append(byReason[r.Reason], r.Code)
		}
	}
	for _, reason := range sortedKeys(byReason) {
		fmt.Fprintf(e.out, "%-8s %s: %s\n", doctor.Skipped, strings.Join(byReason[reason], " "), reason)
	}
}

func doctorLine(d doctor.Document) string {
	s := d.Summary
	parts := []string{fmt.Sprintf("%d ok", s.OK)}
	add := func(n int, word string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, plural(n, word)))
		}
	}
	add(s.Error, "error")
	add(s.Warning, "warning")
	if s.Info > 0 {
		parts = append(parts, fmt.Sprintf("%d information", s.Info))
	}
	if s.Skipped > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped", s.Skipped))
	}
	if s.Mended > 0 {
		parts = append(parts, fmt.Sprintf("%d mended", s.Mended))
	}
	return fmt.Sprintf("%d checks: %s · %.1f s", len(d.Checks), strings.Join(parts, ", "), float64(d.DurationMS)/1000)
}
