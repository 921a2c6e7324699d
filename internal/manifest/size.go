package manifest

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxSizeText bounds what is looked at: no size is longer.
const maxSizeText = 32

// powers are the exponents of the units that a size may have.
var powers = map[byte]int{'k': 1, 'm': 2, 'g': 3, 't': 4}

// valueError is a value that cannot be read, with what could stand in its place. A tolerable one
// counts as absent at run time.
type valueError struct {
	message, hint string
	tolerable     bool
}

func (e *valueError) Error() string {
	if e.hint == "" {
		return e.message
	}
	return e.message + " (" + e.hint + ")"
}

// ParseSize reads a number of bytes. Ki, Mi, Gi and Ti in any case are binary, and so are the lower-case
// k, m, g and t, as podman reads them; K, M, G and T are decimal; each may be followed by a b of its case.
// A bare number is bytes and an empty text is 0, no limit. Anything else, zero and an overflow are errors.
func ParseSize(text string) (Size, error) {
	if text == "" {
		return 0, nil
	}
	number, unit := splitSize(text)
	factor, ok := unitFactor(unit)
	if !ok || number == "" || len(text) > maxSizeText {
		return 0, &valueError{
			message:   fmt.Sprintf("%s is not a size", quote(text)),
			hint:      sizeHint(text, number, unit),
			tolerable: true,
		}
	}
	bytes, ok := multiply(number, factor)
	if !ok {
		return 0, &valueError{message: fmt.Sprintf("%s overflows", quote(text)), hint: "8388607Ti is the most"}
	}
	if bytes == 0 {
		return 0, &valueError{
			message: fmt.Sprintf("%s is zero", quote(text)),
			hint:    "leave it out for no limit; with a limit of zero nothing can start",
		}
	}
	return bytes, nil
}

// splitSize cuts at the end of the leading decimal number; number is "" when there is none.
func splitSize(text string) (number, unit string) {
	end := 0
	for end < len(text) && (isDigit(text[end]) || text[end] == '.') {
		end++
	}
	number, unit = text[:end], text[end:]
	whole, fraction, dotted := strings.Cut(number, ".")
	if whole == "" || (dotted && fraction == "") || strings.Contains(fraction, ".") {
		return "", text
	}
	return number, unit
}

// unitFactor is the number of bytes in a unit.
func unitFactor(unit string) (uint64, bool) {
	if unit == "" || unit == "b" || unit == "B" {
		return 1, true
	}
	power, known := powers[unit[0]|0x20]
	if !known {
		return 0, false
	}
	lower := unit[0] >= 'a'
	switch rest := unit[1:]; {
	case strings.EqualFold(rest, "i"), strings.EqualFold(rest, "ib"):
		return 1 << (10 * power), true
	case lower && (rest == "" || rest == "b"):
		return 1 << (10 * power), true
	case !lower && (rest == "" || rest == "B"):
		return uint64(math.Pow10(3 * power)), true
	}
	return 0, false
}

// multiply is number × factor, rounded down to whole bytes; false when it does not fit.
func multiply(number string, factor uint64) (Size, bool) {
	whole, fraction, _ := strings.Cut(number, ".")
	n, err := strconv.ParseUint(whole, 10, 64)
	if err != nil {
		return 0, false
	}
	high, low := bits.Mul64(n, factor)
	part, _ := strconv.ParseFloat("0."+fraction+"0", 64)
	low += uint64(part * float64(factor))
	if high != 0 || low > math.MaxInt64 {
		return 0, false
	}
	return Size(low), true
}

// sizeHint proposes the size that was most likely meant.
func sizeHint(text, number, unit string) string {
	if squeezed := strings.ReplaceAll(text, " ", ""); squeezed != text {
		if _, err := ParseSize(squeezed); err == nil {
			return "try " + squeezed
		}
	}
	switch {
	case strings.HasPrefix(text, "-"):
		return "leave it out for no limit"
	case number == "" || len(number) > 6 || len(unit) > 3:
		return "write it as 512Mi or 2Gi"
	case unit != "" && powers[unit[0]|0x20] > 0:
		return "try " + number + strings.ToUpper(unit[:1]) + "i"
	}
	return "try " + number + "Gi"
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// String is the shortest exact way to write the size, binary units first; "" for 0.
func (s Size) String() string {
	if s == 0 {
		return ""
	}
	best := strconv.FormatInt(int64(s), 10)
	for _, unit := range []string{"K", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"} {
		factor, _ := unitFactor(unit)
		if int64(s)%int64(factor) != 0 {
			continue
		}
		if text := strconv.FormatInt(int64(s)/int64(factor), 10) + unit; len(text) <= len(best) {
			best = text
		}
	}
	return best
}

// UnmarshalYAML reads a size written as text or as a number of bytes.
func (s *Size) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode {
		return &valueError{message: "must be a size, is " + kindOf(node), hint: "write it as 512Mi or 2Gi"}
	}
	switch node.ShortTag() {
	case "!!str", "!!int", "!!float":
	case "!!null":
		*s = 0
		return nil
	default:
		return &valueError{message: "must be a size, is " + kindOf(node), hint: "write it as 512Mi or 2Gi"}
	}
	size, err := ParseSize(node.Value)
	*s = size
	return err
}

// MarshalYAML writes the size as String does.
func (s Size) MarshalYAML() (any, error) { return s.String(), nil }
