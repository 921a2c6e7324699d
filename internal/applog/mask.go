package applog

import (
	"cmp"
	"slices"
	"strings"
)

// shortest is the length below which a value is no secret but a word that stands everywhere.
const shortest = 4

// Mask takes secrets out of lines.
type Mask struct{ replacer *strings.Replacer }

// NewMask hides these values. Of one with several lines each is hidden, because a log has them apart.
func NewMask(values []string) *Mask {
	var parts []string
	for _, v := range values {
		for part := range strings.Lines(v) {
			if part = strings.TrimSpace(part); len(part) >= shortest {
				parts = append(parts, part)
			}
		}
	}
	// A longer secret may contain a shorter one.
	slices.SortFunc(parts, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var pairs []string
	for _, p := range slices.Compact(parts) {
		pairs = append(pairs, p, "hidden")
	}
	return &Mask{strings.NewReplacer(pairs...)}
}

// Clean is the line without any secret.
func (m *Mask) Clean(line string) string { return m.replacer.Replace(line) }
