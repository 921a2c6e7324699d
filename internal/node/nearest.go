package node

import (
	"fmt"

	"git.tx1138.com/lfg2025/archy/internal/nearest"
)

// suggest is " (did you mean X?)" for the known name that is nearest to a wrong one, "" when none is near.
func suggest(wrong string, known []string) string {
	best := nearest.Name(wrong, known)
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}
