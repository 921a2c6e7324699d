package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// row is a line of the table: what was measured, beside what it is compared with, and what it must reach.
type row struct {
	what, measured, reference, ratio, target string
	ok                                       bool
}

// verdict is the last cell. A number that misses is told and fails nothing: no test may depend on how busy a machine is.
func (r row) verdict() string {
	if r.ok {
		return "ok"
	}
	return "NO"
}

// atMost compares two times: measured may be at most so many times the reference.
func atMost(what string, measured, reference time.Duration, name string, most float64) row {
	ratio := float64(measured) / float64(reference)
	return row{what, ms(measured), name + " " + ms(reference), fmt.Sprintf("%.2f x", ratio), fmt.Sprintf("at most %g x", most), ratio <= most}
}

// faster compares two times: measured must be so many times faster than the reference.
func faster(what string, measured, reference time.Duration, name string, least float64) row {
	ratio := float64(reference) / float64(measured)
	return row{what, ms(measured), name + " " + ms(reference), fmt.Sprintf("%.0f x faster", ratio), fmt.Sprintf("at least %g x faster", least), ratio >= least}
}

// below compares a size with a limit, both in MB of a million bytes.
func below(what string, bytes int64, limit float64) row {
	size := float64(bytes) / 1e6
	return row{what, fmt.Sprintf("%.1f MB", size), "", "", fmt.Sprintf("below %g MB", limit), size < limit}
}

func ms(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

// report is the whole text: a table that reads in a terminal and as Markdown, and how it was made.
func (b *bench) report(machine string) string {
	lines := [][]string{{"what", "measured", "reference", "ratio", "must reach", ""}}
	for _, r := range b.rows {
		lines = append(lines, []string{r.what, r.measured, r.reference, r.ratio, r.target, r.verdict()})
	}
	width := make([]int, len(lines[0]))
	for _, l := range lines {
		for i, cell := range l {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var text strings.Builder
	for n, l := range lines {
		for i, cell := range l {
			fmt.Fprintf(&text, "| %-*s ", width[i], cell)
		}
		text.WriteString("|\n")
		if n == 0 {
			for _, w := range width {
				text.WriteString("|" + strings.Repeat("-", w+2))
			}
			text.WriteString("|\n")
		}
	}
	fmt.Fprintf(&text, "\nMedians of at least %d interleaved runs, %s.\n", leastRounds, machine)
	return text.String()
}

// machine says what this was measured on.
func machine() string {
	return fmt.Sprintf("%d cores, %s of memory", runtime.NumCPU(), memory())
}

func memory() string {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return "unknown size"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return fmt.Sprintf("%.0f GB", float64(kib<<10)/1e9)
		}
	}
	return "unknown size"
}
