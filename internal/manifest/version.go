package manifest

import (
	"cmp"
	"strconv"
	"strings"
)

// satisfies tells whether a version meets a constraint such as ">=26.0,<29". known is false for a version
// that does not begin with a number, as upstream tags sometimes do.
func satisfies(version, constraint string) (ok, known bool) {
	have := numbers(version)
	if len(have) == 0 {
		return false, false
	}
	for _, part := range strings.Split(constraint, ",") {
		if !meets(have, strings.TrimSpace(part)) {
			return false, true
		}
	}
	return true, true
}

// meets checks one part. A number alone and = compare only as many places as they name: =28 is met by 28.4.
// ^ keeps the first place that is not zero, ~ all but the last.
func meets(have []int, part string) bool {
	if part == "*" || part == "" {
		return true
	}
	op := part[:len(part)-len(strings.TrimLeft(part, "<>=!^~"))]
	want := numbers(strings.TrimSpace(part[len(op):]))
	order := compareNumbers(have, want)
	switch op {
	case ">=":
		return order >= 0
	case ">":
		return order > 0
	case "<=":
		return order <= 0
	case "<":
		return order < 0
	case "!=":
		return order != 0
	case "^":
		return order >= 0 && samePlaces(have, want, leading(want))
	case "~":
		return order >= 0 && samePlaces(have, want, max(1, len(want)-1))
	}
	return samePlaces(have, want, len(want))
}

// numbers reads the dotted numbers that a version begins with, after an optional v.
func numbers(version string) []int {
	version = strings.TrimPrefix(version, "v")
	if end := strings.IndexFunc(version, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); end >= 0 {
		version = version[:end]
	}
	var out []int
	for _, text := range strings.Split(version, ".") {
		n, err := strconv.Atoi(text)
		if err != nil {
			break
		}
		out = append(out, n)
	}
	return out
}

// place is a number of a version, 0 beyond its end.
func place(v []int, i int) int {
	if i < len(v) {
		return v[i]
	}
	return 0
}

func compareNumbers(a, b []int) int {
	for i := range max(len(a), len(b)) {
		if c := cmp.Compare(place(a, i), place(b, i)); c != 0 {
			return c
		}
	}
	return 0
}

func samePlaces(a, b []int, count int) bool {
	for i := range count {
		if place(a, i) != place(b, i) {
			return false
		}
	}
	return true
}

// leading counts the places up to the first that is not zero.
func leading(v []int) int {
	for i, n := range v {
		if n != 0 {
			return i + 1
		}
	}
	return len(v)
}
