package release

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Version is X.Y.Z or X.Y.Z-pre. It is compared as Semantic Versioning 2.0 says.
type Version struct {
	numbers [3]uint64
	pre     []string
}

// versionForm is made when it is first asked for: with its counts it is large, and most commands compare no version.
var versionForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(?:-([0-9A-Za-z-]{1,40}(?:\.[0-9A-Za-z-]{1,40}){0,9}))?$`)
})

// ParseVersion reads a version. A leading v is an error with a hint: the tag has it, the version has not.
func ParseVersion(text string) (Version, error) {
	m := versionForm().FindStringSubmatch(text)
	if m == nil {
		if rest, ok := strings.CutPrefix(text, "v"); ok && versionForm().MatchString(rest) {
			return Version{}, fmt.Errorf("version %q begins with v, write %s", text, rest)
		}
		return Version{}, fmt.Errorf("version %q is not of the form X.Y.Z or X.Y.Z-pre", text)
	}
	var v Version
	for i := range v.numbers {
		v.numbers[i], _ = strconv.ParseUint(m[i+1], 10, 64)
	}
	if m[4] != "" {
		v.pre = strings.Split(m[4], ".")
	}
	return v, nil
}

// Compare is -1, 0 or 1. A version before its release (X.Y.Z-pre) comes before X.Y.Z.
func (v Version) Compare(w Version) int {
	for i, n := range v.numbers {
		if c := cmp.Compare(n, w.numbers[i]); c != 0 {
			return c
		}
	}
	if len(v.pre) == 0 || len(w.pre) == 0 {
		return cmp.Compare(len(w.pre), len(v.pre))
	}
	for i := range min(len(v.pre), len(w.pre)) {
		if c := comparePre(v.pre[i], w.pre[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(v.pre), len(w.pre))
}

// comparePre compares numbers as numbers, and puts them before words.
func comparePre(a, b string) int {
	na, errA := strconv.ParseUint(a, 10, 64)
	nb, errB := strconv.ParseUint(b, 10, 64)
	switch {
	case errA == nil && errB == nil:
		return cmp.Compare(na, nb)
	case errA == nil:
		return -1
	case errB == nil:
		return 1
	}
	return strings.Compare(a, b)
}

// newer tells whether a comes after b; false when one of them is no version.
func newer(a, b string) bool {
	va, errA := ParseVersion(a)
	vb, errB := ParseVersion(b)
	return errA == nil && errB == nil && va.Compare(vb) > 0
}
