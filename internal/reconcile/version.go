package reconcile

import (
	"strconv"
	"strings"
	"unicode"
)

// repository is a reference without tag and digest.
func repository(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
		return ref[:i]
	}
	return ref
}

func tag(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
		return ref[i+1:]
	}
	return ""
}

// lowerVersion tells that image's tag stands for an older release than have's: their first runs of numbers are compared,
// v28.1 below v28.2 and 10.2 below 10.11. Tags without numbers are not ordered.
func lowerVersion(image, have string) bool {
	a, b := numbers(tag(image)), numbers(tag(have))
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return len(a) > 0 && len(a) < len(b)
}

func numbers(tag string) []int {
	tag = strings.TrimLeftFunc(tag, func(r rune) bool { return !unicode.IsDigit(r) })
	var out []int
	for _, field := range strings.Split(tag, ".") {
		digits := field
		if i := strings.IndexFunc(field, func(r rune) bool { return !unicode.IsDigit(r) }); i >= 0 {
			digits = field[:i]
		}
		n, err := strconv.Atoi(digits)
		if err != nil {
			break
		}
		out = append(out, n)
		if digits != field {
			break
		}
	}
	return out
}
