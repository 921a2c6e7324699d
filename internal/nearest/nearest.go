// Package nearest finds what somebody meant who wrote a name that does not exist.
package nearest

// Name is the known name with the fewest edits from name; "" when none is close.
func Name(name string, known []string) string {
	best, fewest := "", min(max(1, len(name)/3), 3)
	for _, k := range known {
		if d := Distance(name, k, fewest); d <= fewest && (best == "" || d < fewest) {
			best, fewest = k, d
		}
	}
	return best
}

// Distance counts insertions, deletions and replacements; more than limit is limit+1.
func Distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
