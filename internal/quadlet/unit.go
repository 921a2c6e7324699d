// Package quadlet turns the wanted container into the text of a Podman Quadlet unit, and checks that text with the
// parser and the converter of podman 5.4.2, so that what systemd starts is what was wanted. It is pure.
package quadlet

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A value passes through three readers before podman sees it: Quadlet's parser reads the directive, Quadlet writes it
// into ExecStart= as a quoted word, and systemd unquotes that word and expands `%` specifiers and `$` variables in it.
// Quadlet 5.4.2 quotes for systemd but leaves `%` and `$` alone, so both are doubled in the unit. How Quadlet reads the
// directive differs by key, and so does the method that writes it:
//
//	plain    [Unit], [Service], [Install]: systemd itself reads it; only % is special
//	path     the same, one word: names of units, paths
//	token    one word without anything special for podman: names, ports, numbers
//	text     Lookup: the text as it stands, but double quotes are trimmed from both ends, white space too
//	words    LookupAllArgs, LookupLastArgs, LookupAllKeyVal: words with quotes and C escapes
type unit struct {
	b   bytes.Buffer
	err error
	// service are lines for [Service] that a directive of [Container] needs.
	service []string
}

func (u *unit) fail(key, format string, args ...any) {
	if u.err == nil {
		u.err = fmt.Errorf("%s=: %s", key, fmt.Sprintf(format, args...))
	}
}

func (u *unit) section(name string) {
	if u.b.Len() > 0 {
		u.b.WriteByte('\n')
	}
	u.b.WriteString("[" + name + "]\n")
}

// line writes a directive. Nothing may start a new line: that would be a directive of somebody else's choice.
func (u *unit) line(key, value string) {
	if err := clean(value); err != nil {
		u.fail(key, "%v", err)
		return
	}
	u.b.WriteString(key + "=" + value + "\n")
}

func clean(value string) error {
	if !utf8.ValidString(value) {
		return fmt.Errorf("a value is not valid UTF-8, which systemd refuses")
	}
	for _, r := range value {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return fmt.Errorf("a value holds the control character %U (one line is one line)", r)
		}
	}
	return nil
}

// plain writes a value that systemd reads itself, without quotes.
func (u *unit) plain(key, value string) {
	if strings.HasSuffix(value, `\`) {
		u.fail(key, "the value ends in a backslash, which would continue the line")
	}
	u.line(key, percent(strings.TrimSpace(value)))
}

func (u *unit) number(key string, value int64) { u.line(key, strconv.FormatInt(value, 10)) }

// token writes one word for podman's command line.
func (u *unit) token(key, value string) {
	if !u.oneWord(key, value) {
		return
	}
	u.line(key, escape(value))
}

// path writes one word for systemd itself: a unit's name or a path.
func (u *unit) path(key, value string) {
	if !u.oneWord(key, value) {
		return
	}
	u.line(key, percent(value))
}

func (u *unit) oneWord(key, value string) bool {
	if expressible(value) && !strings.ContainsAny(value, "\"'\\,") && !strings.ContainsFunc(value, unicode.IsSpace) {
		return true
	}
	u.fail(key, "%q must be one word without quotes, commas and backslashes", value)
	return false
}

// text writes a value that Quadlet takes as it stands.
func (u *unit) text(key, value string) {
	if !standsAlone(value) {
		u.fail(key, "podman 5.4.2 cannot carry %q: nothing, a lone semicolon, or white space, a double quote or a backslash at an end", value)
		return
	}
	u.line(key, escape(value))
}

func standsAlone(value string) bool {
	return expressible(value) && strings.TrimFunc(value, unicode.IsSpace) == value &&
		strings.Trim(value, `"`) == value && !strings.HasSuffix(value, `\`)
}

// words writes words that reach podman one by one and unchanged.
func (u *unit) words(key string, words ...string) {
	quoted := make([]string, len(words))
	for i, w := range words {
		if !expressible(w) {
			u.fail(key, "podman 5.4.2 cannot carry %q", w)
			return
		}
		quoted[i] = quote(escape(w))
	}
	u.line(key, strings.Join(quoted, " "))
}

// expressible tells whether Quadlet carries a word. It ends the list at an empty one, and it writes a lone semicolon
// unquoted, where systemd ends the command.
func expressible(word string) bool { return word != "" && word != ";" }

// escape doubles what systemd would expand in ExecStart=.
func escape(value string) string { return strings.ReplaceAll(percent(value), "$", "$$") }

// percent doubles what systemd would expand in any directive.
func percent(value string) string { return strings.ReplaceAll(value, "%", "%%") }

// quote makes one word of systemd's syntax. In double quotes only these two have a meaning.
func quote(word string) string {
	if word != "" && !strings.ContainsAny(word, "\"'\\;#") && !strings.ContainsFunc(word, unicode.IsSpace) {
		return word
	}
	return `"` + inQuotes.Replace(word) + `"`
}

var inQuotes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
