package release

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxEntries    = 50
	maxEntryRunes = 300
)

// ParseChangelog reads a plain text: an entry a line, "- " in front removed, empty lines passed over.
func ParseChangelog(text string) ([]string, error) {
	var list []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "- "))
		if line != "" && line != "-" {
			list = append(list, line)
		}
	}
	return list, checkChangelog(list)
}

// ChangelogSection takes the entries of a version out of a CHANGELOG.md: the list below the heading "## 1.2.3",
// "## [1.2.3]" or "## v1.2.3 - date". Lines that go on with an entry are joined to it.
func ChangelogSection(text, version string) ([]string, error) {
	var list []string
	found, open := false, false
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(line, "## ") {
			if found {
				break
			}
			found = headingOf(trimmed) == version
			continue
		}
		switch entry, ok := bullet(trimmed); {
		case !found:
		case ok:
			list, open = append(list, entry), true
		case trimmed == "" || strings.HasPrefix(trimmed, "#"):
			open = false
		case open:
			list[len(list)-1] += " " + trimmed
		}
	}
	if !found {
		return nil, fmt.Errorf("no section ## %s", version)
	}
	return list, checkChangelog(list)
}

func headingOf(line string) string {
	words := strings.Fields(line)
	if len(words) < 2 {
		return ""
	}
	return strings.TrimPrefix(strings.Trim(words[1], "[]"), "v")
}

func bullet(line string) (string, bool) {
	for _, mark := range []string{"- ", "* "} {
		if entry, ok := strings.CutPrefix(line, mark); ok {
			return strings.TrimSpace(entry), true
		}
	}
	return "", false
}

func checkChangelog(list []string) error {
	if len(list) == 0 || len(list) > maxEntries {
		return fmt.Errorf("%s, want 1 to %d", Count(int64(len(list)), "entry", "entries"), maxEntries)
	}
	for i, entry := range list {
		if err := goodEntry(entry); err != nil {
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
	}
	return nil
}

func goodEntry(entry string) error {
	switch {
	case !utf8.ValidString(entry):
		return errors.New("not UTF-8")
	case strings.ContainsFunc(entry, unicode.IsControl):
		return errors.New("a control character")
	case entry == "" || utf8.RuneCountInString(entry) > maxEntryRunes:
		return fmt.Errorf("%d characters, want 1 to %d", utf8.RuneCountInString(entry), maxEntryRunes)
	}
	return nil
}
