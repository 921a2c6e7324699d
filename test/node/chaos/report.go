package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The report's place in the documentation.
const (
	reportFile    = "reliability.md"
	reportHeading = "## Chaos matrix"
	pictureFile   = "reliability/chaos.svg"
	dataFile      = "reliability/chaos.json"
)

// Report writes what the records say into a directory of documentation: the chapter of its reliability.md, a picture and
// the numbers. The same records give the same bytes.
func Report(dir string, records []string) error {
	rounds, err := Read(records)
	if err != nil {
		return err
	}
	apps, err := everyApp()
	if err != nil {
		return err
	}
	columns := summarise(rounds, apps)
	for i := range rounds {
		rounds[i].Log = "" // what archy said is for whoever looks for the cause
	}
	data, err := numbersOf(columns, rounds)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "reliability"), 0o755); err != nil {
		return err
	}
	file := filepath.Join(dir, reportFile)
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, dataFile), data, 0o644),
		os.WriteFile(filepath.Join(dir, pictureFile), []byte(picture(columns)), 0o644),
		os.WriteFile(file, []byte(insert(string(old), chapter(columns, rounds, apps))), 0o644))
}

// numbersOf is one round a line, so that a difference can be read.
func numbersOf(columns []column, rounds []Outcome) ([]byte, error) {
	var b strings.Builder
	b.WriteString("{\"schema\": 1, \"scenarios\": [\n")
	for i, c := range columns {
		if err := line(&b, c, i == len(columns)-1); err != nil {
			return nil, err
		}
	}
	b.WriteString("], \"rounds\": [\n")
	for i, o := range rounds {
		if err := line(&b, o, i == len(rounds)-1); err != nil {
			return nil, err
		}
	}
	b.WriteString("]}\n")
	return []byte(b.String()), nil
}

func line(b *strings.Builder, v any, last bool) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	b.Write(text)
	if !last {
		b.WriteByte(',')
	}
	b.WriteByte('\n')
	return nil
}

// insert puts the chapter where it was, or at the end.
func insert(document, chapter string) string {
	head, rest, found := strings.Cut(document, reportHeading+"\n")
	if !found {
		if document != "" {
			document = strings.TrimRight(document, "\n") + "\n\n"
		}
		return document + chapter
	}
	if i := strings.Index(rest, "\n## "); i >= 0 {
		return head + chapter + rest[i:]
	}
	return head + chapter
}

// chapter is the report in Markdown.
func chapter(columns []column, rounds []Outcome, apps Fleet) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n![recovery times](%s)\n\n", reportHeading, foreword(columns), pictureFile)
	b.WriteString("| # | scenario | rounds | broke a rule | with an app over its limit | median s | longest s | slowest app | limit s |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, c := range columns {
		if c.Rounds == 0 {
			fmt.Fprintf(&b, "| %d | %s | 0 | not run | | | | | %.0f |\n", c.Scenario, c.Name, c.Limit)
			continue
		}
		fmt.Fprintf(&b, "| %d | %s | %d | %d | %d | %.1f | %.1f | %s | %.0f |\n", c.Scenario, c.Name, c.Rounds, c.Broken, c.Late, c.Median, c.Longest, c.Slowest, c.Limit)
	}
	b.WriteString("\nRounds that passed of those that struck the app, and its longest recovery in seconds:\n\n| app | tier |")
	for _, c := range columns {
		fmt.Fprintf(&b, " %d %s |", c.Scenario, c.Name)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, a := range apps {
		fmt.Fprintf(&b, "| %s | %d |", a.ID, a.Tier)
		for _, c := range columns {
			b.WriteString(" " + c.Cells[a.ID].String() + " |")
		}
		b.WriteString("\n")
	}
	for i, s := range Table() {
		if s.EachFault && columns[i].Rounds > 0 {
			b.WriteString(eachFault(columns[i], s, apps))
		}
	}
	b.WriteString(failed(rounds))
	return b.String()
}

// eachFault is the table of a scenario whose faults count by themselves.
func eachFault(c column, s Scenario, apps Fleet) string {
	var b strings.Builder
	passed, most := 0, len(s.Faults)*len(apps)
	fmt.Fprintf(&b, "\n%s, each of its %d states by itself:\n\n| app |", s.Name, len(s.Faults))
	for _, f := range s.Faults {
		b.WriteString(" " + f.Name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(s.Faults)) + "\n")
	for _, a := range apps {
		fmt.Fprintf(&b, "| %s |", a.ID)
		for _, f := range s.Faults {
			now := c.Faults[f.Name][a.ID]
			if now.passed() {
				passed++
			}
			b.WriteString(" " + now.String() + " |")
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\n%d of these %d passed %d rounds and more without a failure.\n", passed, most, full)
	return b.String()
}

func foreword(columns []column) string {
	rounds, cells, passed := 0, 0, 0
	for i, s := range Table() {
		rounds += columns[i].Rounds
		for id := range columns[i].Cells {
			cells++
			if columns[i].passed(id, s) {
				passed++
			}
		}
	}
	return fmt.Sprintf(`%d rounds; %d cells (one scenario on one app) were struck at least once, and %d of them passed %d rounds and more without a failure, of the
lifecycle so many of each state. A cell that did not run is empty and counts as not passed.
`, rounds, cells, passed, full)
}

// String is a cell of the table.
func (c cell) String() string {
	switch {
	case c.Rounds == 0:
		return ""
	case c.Longest < 0:
		return fmt.Sprintf("%d/%d, not back", c.Passed, c.Rounds)
	}
	return fmt.Sprintf("%d/%d, %.1f", c.Passed, c.Rounds, c.Longest)
}

// failed lists the rounds that did not pass, with the first line of each rule that was broken and of each app that was late.
func failed(rounds []Outcome) string {
	var b strings.Builder
	for _, o := range rounds {
		var what []string
		for _, w := range slices.Concat(o.Failures, o.Late) {
			first, _, _ := strings.Cut(w, "\n")
			what = append(what, strings.ReplaceAll(first, "|", "\\|"))
		}
		if len(what) > 0 {
			fmt.Fprintf(&b, "| %d.%d | %s | %s | %d | %s |\n", o.Scenario, o.Run, o.Fault, o.Group, o.Seed, strings.Join(what, "; "))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "\nWhat did not hold:\n\n| round | fault | group | seed | what |\n|---|---|---|---|---|\n" + b.String()
}
