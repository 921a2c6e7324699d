package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

func statusCmd() *cobra.Command {
	var exitOnFailure bool
	cmd := &cobra.Command{
		Use:     "status [APP...]",
		GroupID: groupNode,
		Short:   "show every app: its state, since when, whose it is, and what differs",

		ValidArgsFunction: completeApps,
		RunE: func(cmd *cobra.Command, names []string) error {
			e, err := loadAhead(cmd)
			if err != nil {
				return err
			}
			defer e.asked.close()
			only, err := e.ids(names)
			if err != nil {
				return err
			}
			return e.status(cmd, only, exitOnFailure)
		},
	}
	cmd.Flags().BoolVar(&exitOnFailure, "exit-code", false, "exit 3 if anything is failed")
	return lockless(cmd)
}

// status looks and changes nothing.
func (e *env) status(cmd *cobra.Command, only []string, exitOnFailure bool) error {
	c, err := e.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer c.close()
	pass := c.pass(reconcile.Options{CheckOnly: true, Only: only})
	pass.Observer.Detailed = true
	result, err := pass.Run(cmd.Context())
	if err != nil {
		return err
	}
	result.ExitCode = statusCode(result, exitOnFailure)
	if err := e.printStatus(result, time.Now()); err != nil {
		return err
	}
	return exitCode(result.ExitCode)
}

// statusCode is the exit code of a look, which is not that of a pass.
func statusCode(r reconcile.Result, exitOnFailure bool) int {
	if exitOnFailure && r.Summary.Failed+r.Summary.NeedsHuman > 0 {
		return exitPartial
	}
	return exitOK
}

func (e *env) printStatus(r reconcile.Result, now time.Time) error {
	if e.json {
		enc := json.NewEncoder(e.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(r)
	}
	r.Apps = byTier(r.Apps)
	for _, w := range r.Warnings {
		fmt.Fprintln(e.err, "warning:", w)
	}
	rows := make([][]string, 0, len(r.Apps))
	notes := map[int][]string{}
	for i, a := range r.Apps {
		rows = append(rows, []string{a.App, a.State, age(a.Since, now), statusOwner(a), restarts(a), ports(a)})
		notes[i] = statusNotes(a, now)
	}
	if err := e.notedTable([]string{"APP", "STATE", "SINCE", "OWNER", "RESTARTS", "PORTS"}, rows, 1, notes); err != nil {
		return err
	}
	for _, name := range r.Unknown {
		fmt.Fprintf(e.out, "not ours: %s\n", name)
	}
	for _, name := range r.Orphans {
		hint := ""
		if e.idOf(name) == "" { // else the name is that of another app by now
			hint = "; archy remove " + name + " takes it away"
		}
		fmt.Fprintf(e.out, "orphan: %s has no manifest%s\n", name, hint)
	}
	fmt.Fprintln(e.out, r.StatusLine())
	return nil
}

// notedTable prints a table whose rows may have lines of notes below them; state is the column that is coloured.
func (e *env) notedTable(header []string, rows [][]string, state int, notes map[int][]string) error {
	lines := strings.Split(strings.TrimSuffix(layTable(header, rows, e.width()), "\n"), "\n")
	var b strings.Builder
	for i, line := range lines {
		if i == 0 && e.color() {
			line = bold + line + reset
		} else if i > 0 && e.color() {
			line = strings.Replace(line, rows[i-1][state], paint(rows[i-1][state]), 1)
		}
		b.WriteString(line + "\n")
		for _, note := range notes[i-1] {
			b.WriteString(wrapNote(note, e.width()))
		}
	}
	_, err := fmt.Fprint(e.out, b.String())
	return err
}

// wrapNote indents a note and breaks it at words, so that nothing is lost in a narrow terminal.
func wrapNote(note string, width int) string {
	const indent = "    "
	if width <= len(indent)+20 {
		return indent + note + "\n"
	}
	var b strings.Builder
	line := indent
	for _, word := range strings.Fields(note) {
		if len([]rune(line))+1+len([]rune(word)) > width && strings.TrimSpace(line) != "" {
			b.WriteString(line + "\n")
			line = indent + "  "
		}
		if strings.TrimSpace(line) != "" {
			line += " "
		}
		line += word
	}
	return b.String() + line + "\n"
}

const (
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
)

func paint(state string) string {
	color := yellow
	switch {
	case state == "ready":
		color = green
	case state == "failed" || state == "unhealthy" || state == "dead" || state == "lost-track":
		color = red
	case state == "stopped":
		color = ""
	}
	if color == "" {
		return state
	}
	return color + state + reset
}

// age is how long ago something was, in its largest unit.
func age(since, now time.Time) string {
	if since.IsZero() {
		return "-"
	}
	d := now.Sub(since)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(int(d.Seconds()), 0))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func statusOwner(a reconcile.AppResult) string {
	if a.Owner == state.Quadlet {
		return "systemd"
	}
	return a.Owner
}

func restarts(a reconcile.AppResult) string {
	if a.Restarts == 0 {
		return "-"
	}
	return fmt.Sprint(a.Restarts)
}

// ports are the host's ports of an app.
func ports(a reconcile.AppResult) string {
	var list []string
	for _, p := range a.Ports {
		host := p
		if i := strings.LastIndex(p, ":"); i >= 0 {
			host = p[:i]
		}
		list = append(list, strings.TrimPrefix(host, "127.0.0.1:"))
	}
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(list, " ")
}

// statusNotes are the lines below an app: what differs, what holds it back, what to do.
func statusNotes(a reconcile.AppResult, now time.Time) []string {
	var notes []string
	if said := lastWord(a, now); said != "" {
		notes = append(notes, said)
	}
	words := a.DriftWords()
	if a.Cause != "" && a.Cause != "stopped by the owner" && (words == "" || a.Error != nil) {
		notes = append(notes, a.Cause)
	}
	if words != "" {
		notes = append(notes, "drift: "+words)
	}
	if a.UpgradeAvailable != "" && !strings.Contains(a.Cause, a.UpgradeAvailable) {
		notes = append(notes, "upgrade available: "+a.UpgradeAvailable)
	}
	if a.UpgradeShipped != "" {
		notes = append(notes, "upgrade available (shipped): "+a.UpgradeShipped)
	}
	if a.Breaker.NextAttempt.After(now) {
		notes = append(notes, "next try in "+a.Breaker.NextAttempt.Sub(now).Round(time.Second).String())
	}
	if len(a.NotKept) > 0 {
		notes = append(notes, "gone at every stop: what it keeps at "+strings.Join(a.NotKept, ", ")+", for which its manifest has no directory")
	}
	if a.Local {
		notes = append(notes, "local manifest")
	}
	if a.Error != nil && a.Error.Hint != "" {
		notes = append(notes, a.Error.Hint)
	}
	return notes
}
