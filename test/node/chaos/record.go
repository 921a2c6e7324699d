package chaos

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// String is the round in a line, and its failures below.
func (o Outcome) String() string {
	var worst string
	longest := -1.0
	for id, t := range o.Apps {
		if t > longest || t == longest && id < worst {
			worst, longest = id, t
		}
	}
	verdict := "ok  "
	if len(o.Failures) > 0 {
		verdict = "FAIL"
	} else if len(o.Late) > 0 {
		verdict = "late"
	}
	text := fmt.Sprintf("%s %d.%-2d %-28s %2d apps, longest %5.1f s (%s), round %.0f s", verdict, o.Scenario, o.Run, o.Fault, len(o.Apps), longest, worst, o.Seconds)
	for _, f := range slices.Concat(o.Failures, o.Late) {
		text += "\n       " + strings.ReplaceAll(f, "\n", "\n       ")
	}
	return text
}

// Recorder adds outcomes to a file, one JSON object a line, so that a run that is cut short has its rounds. Without a name
// it keeps nothing.
func Recorder(file string) (func(Outcome) error, error) {
	if file == "" {
		return func(Outcome) error { return nil }, nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return func(o Outcome) error { return json.NewEncoder(f).Encode(o) }, nil
}

// Read reads records.
func Read(files []string) ([]Outcome, error) {
	var out []Outcome
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var o Outcome
			if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
				f.Close()
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			out = append(out, o)
		}
		f.Close()
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	slices.SortStableFunc(out, func(a, b Outcome) int { return 1000*(a.Scenario-b.Scenario) + a.Run - b.Run })
	return out, nil
}
