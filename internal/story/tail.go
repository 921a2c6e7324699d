package story

// Tail keeps the last lines of a log of any length.
type Tail struct {
	lines []string
	next  int
}

// TailLines is how many lines of a log a story has, tailText how much of one.
const (
	TailLines = 20
	tailText  = 500
)

// Add takes one line more.
func (t *Tail) Add(line string) {
	if runes := []rune(line); len(line) > tailText && len(runes) > tailText {
		line = string(runes[:tailText]) + "…"
	}
	if len(t.lines) < TailLines {
		t.lines = append(t.lines, line)
		return
	}
	t.lines[t.next] = line
	t.next = (t.next + 1) % TailLines
}

// Lines are the last ones, oldest first.
func (t *Tail) Lines() []string {
	return append(append([]string{}, t.lines[t.next:]...), t.lines[:t.next]...)
}
