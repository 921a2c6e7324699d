package secrets

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

var (
	schemeValue = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://`)
	keyName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	pairStart   = regexp.MustCompile(`^\s*[A-Za-z][A-Za-z0-9 _.-]*=`)
)

// Interpolate replaces each ${KEY} of template by vals[KEY]. In a `scheme://` value the secret is percent-encoded, so
// that it is safe as userinfo; in a `Key=Value;` connection string a pair's value is quoted when it needs to be, as
// ADO.NET reads it; elsewhere it stands as it is. Errors name the key, never the value.
func Interpolate(template string, vals map[string]Value) (Value, error) {
	lookup := func(key string) (string, error) {
		v, ok := vals[key]
		if !ok {
			return "", fmt.Errorf("${%s}: no secret_env key of that name", key)
		}
		if v.Missing() {
			return "", fmt.Errorf("${%s}: the secret is missing or empty", key)
		}
		return v.Reveal(), nil
	}
	expand := func(s string) (string, error) { return expandKeys(s, lookup) }
	switch {
	case schemeValue.MatchString(template):
		expand = func(s string) (string, error) {
			return expandKeys(s, func(key string) (string, error) {
				text, err := lookup(key)
				return percentEncode(text), err
			})
		}
	case isConnectionString(template):
		expand = func(s string) (string, error) { return expandPairs(s, lookup) }
	}
	text, err := expand(template)
	if err != nil {
		return Value{}, err
	}
	return New(text), nil
}

// Keys lists the ${KEY} names of template in order of their first use.
func Keys(template string) ([]string, error) {
	var keys []string
	seen := map[string]bool{}
	_, err := expandKeys(template, func(key string) (string, error) {
		if !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
		return "", nil
	})
	return keys, err
}

func expandKeys(template string, lookup func(string) (string, error)) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(template, "${")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		key, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", fmt.Errorf("${%s: no closing brace", leadingName(rest))
		}
		if !keyName.MatchString(key) {
			return "", fmt.Errorf("${%s}: not the name of a key (letters, digits and _)", leadingName(key))
		}
		text, err := lookup(key)
		if err != nil {
			return "", err
		}
		out.WriteString(text)
		template = after
	}
}

// leadingName keeps an error about a malformed key from printing whatever text follows it.
func leadingName(s string) string {
	for i, r := range s {
		if r != '_' && !isAlnum(r) {
			return s[:i]
		}
	}
	return s
}

func isAlnum(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// percentEncode leaves only RFC 3986's unreserved characters as they are: what is safe in every part of a URL is safe
// as userinfo.
func percentEncode(text string) string {
	var out strings.Builder
	for _, b := range []byte(text) {
		if isAlnum(rune(b)) || strings.IndexByte("-._~", b) >= 0 {
			out.WriteByte(b)
		} else {
			fmt.Fprintf(&out, "%%%02X", b)
		}
	}
	return out.String()
}

func isConnectionString(template string) bool {
	pairs := splitPairs(template)
	for _, pair := range pairs {
		if strings.TrimSpace(pair) != "" && !pairStart.MatchString(pair) {
			return false
		}
	}
	return len(pairs) > 1
}

// splitPairs cuts at semicolons outside of quotes.
func splitPairs(s string) []string {
	var pairs []string
	var quote rune
	start := 0
	for i, r := range s {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'':
			quote = r
		case r == ';':
			pairs = append(pairs, s[start:i])
			start = i + 1
		}
	}
	return append(pairs, s[start:])
}

func expandPairs(template string, lookup func(string) (string, error)) (string, error) {
	pairs := splitPairs(template)
	for i, pair := range pairs {
		if !strings.Contains(pair, "${") {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		text, err := expandPairValue(strings.TrimSpace(value), lookup)
		if err != nil {
			return "", err
		}
		pairs[i] = key + "=" + text
	}
	return strings.Join(pairs, ";"), nil
}

// expandPairValue quotes the expanded value as a whole; where the template has quotes already it doubles those inside.
func expandPairValue(value string, lookup func(string) (string, error)) (string, error) {
	if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
		quote := value[:1]
		inner, err := expandKeys(value[1:len(value)-1], func(key string) (string, error) {
			text, err := lookup(key)
			return strings.ReplaceAll(text, quote, quote+quote), err
		})
		return quote + inner + quote, err
	}
	text, err := expandKeys(value, lookup)
	if err != nil || !needsQuotes(text) {
		return text, err
	}
	return `"` + strings.ReplaceAll(text, `"`, `""`) + `"`, nil
}

// needsQuotes follows the grammar of System.Data.Common.DbConnectionOptions: == is an equals sign of the key, and a control
// character, also one beyond ASCII, ends the value.
func needsQuotes(text string) bool {
	return strings.TrimSpace(text) != text || strings.HasPrefix(text, "=") || strings.ContainsAny(text, `;"'`) ||
		strings.ContainsFunc(text, unicode.IsControl)
}
