package derived

import (
	"fmt"
	"strings"
)

const (
	beginMark   = "# BEGIN archy"
	endMark     = "# END archy"
	disableMark = "#archy# "
)

// setting is one managed line.
type setting struct {
	key, value string
	multi      bool // the operator may give further values of this key
}

// line is one line of an existing file, with its line break.
type line struct {
	text    string
	number  int
	ours    bool   // between a pair of markers
	section string // the [section] that it stands in; "" before the first
	header  string // the section that this line opens
	key     string // as the program reads it; "" for blank lines, comments and headers
	value   string
	remark  bool // a comment follows the value
	negated bool // nokey=1
}

// dialect is how one program reads its configuration.
type dialect struct {
	opening string // the section header that the block begins with; may be empty
	parse   func(l *line)
	// effective reports whether a key in that section can change what the managed keys say.
	effective func(section string) bool
	render    func(s setting) string
	same      func(l line, s setting) bool
	// ownValue marks lines of a multi-value key that belong to archy, whatever they say.
	ownValue func(l line) bool
	// former marks lines in the block that archy wrote there under other circumstances; nil: there are none.
	former func(l line) bool
}

// merge puts the managed settings into a block at the top of existing, and keeps everything else byte for byte, in its
// order. A managed key outside of the block is dropped when it says the same, and disabled when not.
func (d dialect) merge(existing []byte, managed []setting) (content []byte, notes []string, hadBlock bool) {
	lines, hadBlock := d.scan(existing)
	var out strings.Builder
	out.WriteString(beginMark + "\n")
	if d.opening != "" {
		out.WriteString("[" + d.opening + "]\n")
	}
	for _, text := range d.lines(managed) {
		out.WriteString(text + "\n")
	}
	out.WriteString(endMark + "\n")
	section := d.opening
	for _, l := range lines {
		text, note := d.keep(l, managed, section)
		if note != "" {
			notes = append(notes, note)
		}
		if text != "" && l.header != "" {
			section = l.header
		}
		out.WriteString(text)
	}
	return []byte(out.String()), notes, hadBlock
}

func (d dialect) lines(managed []setting) []string {
	lines := make([]string, 0, len(managed))
	for _, s := range managed {
		lines = append(lines, d.render(s))
	}
	return lines
}

// keep returns what stays of an existing line: all, a disabled form, or nothing. section is the one that the output
// has come to.
func (d dialect) keep(l line, managed []setting, section string) (text, note string) {
	if l.ours {
		return d.rescue(l, managed, section)
	}
	if l.key == "" || !d.effective(l.section) {
		return l.text, ""
	}
	own := d.ownValue(l)
	known, multi := false, false
	for _, s := range managed {
		if s.key != l.key {
			continue
		}
		known, multi = true, s.multi
		if !l.negated && (own || d.same(l, s) && !l.remark) {
			return "", fmt.Sprintf("line %d: %s: moved into archy's block", l.number, l.key)
		}
	}
	if !known || multi && !l.negated {
		return l.text, ""
	}
	return disableMark + l.text, fmt.Sprintf("line %d: %s: disabled, archy sets it in its block", l.number, l.key)
}

// rescue keeps what the operator wrote into archy's block: everything that archy does not set there itself.
func (d dialect) rescue(l line, managed []setting, section string) (text, note string) {
	opening := l.header != "" && l.header == d.opening && section == d.opening
	if opening || strings.TrimSpace(l.text) == "" || d.former != nil && d.former(l) {
		return "", ""
	}
	for _, s := range managed {
		if s.key == l.key && (!s.multi || l.negated || d.ownValue(l) || d.same(l, s)) {
			return "", ""
		}
	}
	return l.text, fmt.Sprintf("line %d: moved out of archy's block", l.number)
}

// scan cuts existing into lines and removes the markers. Only a BEGIN with its own END makes a block: without one,
// the operator's lines below it would count as archy's.
func (d dialect) scan(existing []byte) (lines []line, hadBlock bool) {
	texts := strings.SplitAfter(string(existing), "\n")
	section, end := "", -1
	for i, text := range texts {
		l := line{text: text, number: i + 1, ours: i < end, section: section}
		switch strings.TrimSpace(text) {
		case beginMark:
			if i >= end {
				if end = blockEnd(texts, i); end > 0 {
					hadBlock = true
				}
			}
			continue
		case endMark:
			continue
		}
		if text == "" {
			continue
		}
		d.parse(&l)
		if l.header != "" {
			section = l.header
		}
		lines = append(lines, l)
	}
	return lines, hadBlock
}

// blockEnd is the index of the END that belongs to the BEGIN at index begin; -1 when another BEGIN or nothing follows.
func blockEnd(texts []string, begin int) int {
	for i := begin + 1; i < len(texts); i++ {
		switch strings.TrimSpace(texts[i]) {
		case endMark:
			return i
		case beginMark:
			return -1
		}
	}
	return -1
}
