package main

import (
	"io"
	"os"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// color tells whether stdout may get escape codes: only a terminal, and only when nobody said no.
func (c *cli) color() bool {
	return !c.noColor && c.variable("NO_COLOR") == "" && c.variable("TERM") != "dumb" && c.width() > 0
}

// variable is an environment variable of this run.
func (c *cli) variable(name string) string {
	for _, entry := range c.environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// width is the terminal's, 0 when stdout is not one.
func (c *cli) width() int {
	out := c.out
	if o, ok := out.(*output); ok {
		out = o.Writer
	}
	f, ok := out.(*os.File)
	if !ok {
		return 0
	}
	w, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return w
}

const (
	bold  = "\x1b[1m"
	reset = "\x1b[0m"
)

// table prints rows in columns, the last one cut to the width of a terminal; in a pipe nothing is cut.
func (c *cli) table(header []string, rows [][]string) error {
	text := layTable(header, rows, c.width())
	if head, rest, ok := strings.Cut(text, "\n"); ok && c.color() {
		text = bold + head + reset + "\n" + rest
	}
	_, err := io.WriteString(c.out, text)
	return err
}

// layTable lays columns out with two spaces between them. With a width above 0 the last column gives way.
func layTable(header []string, rows [][]string, width int) string {
	all := append([][]string{header}, rows...)
	wide := make([]int, len(header))
	for _, row := range all {
		for i, cell := range row {
			wide[i] = max(wide[i], ansi.StringWidth(cell))
		}
	}
	var b strings.Builder
	for _, row := range all {
		b.WriteString(layRow(row, wide, width) + "\n")
	}
	return b.String()
}

func layRow(row []string, wide []int, width int) string {
	var b strings.Builder
	last := len(row) - 1
	for i, cell := range row[:last] {
		b.WriteString(cell + strings.Repeat(" ", wide[i]-ansi.StringWidth(cell)+2))
	}
	line := b.String() + row[last]
	if width > 0 {
		line = ansi.Truncate(line, width, "…")
	}
	return strings.TrimRight(line, " ")
}
