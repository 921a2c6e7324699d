package doctor

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/applog"
)

// hidden stands in place of a secret.
const hidden = "hidden"

// Mask takes secrets out of texts that leave the node: the known values in every form in which a program prints them,
// and what looks like a secret whoever made it.
type Mask struct {
	values *applog.Mask
	words  []*regexp.Regexp
	forms  []string
}

// leakLength is from which length on a value is looked for once more in what was masked: shorter ones stand in words.
const leakLength = 8

// seedWords is from how many words on a value is a phrase that programs print with numbers or line breaks between.
const seedWords = 12

// NewMask hides these values.
func NewMask(values []string) *Mask {
	m := &Mask{}
	for _, v := range values {
		m.forms = append(m.forms, forms(v)...)
		if words := strings.Fields(v); len(words) >= seedWords {
			for i, w := range words {
				words[i] = regexp.QuoteMeta(w)
			}
			m.words = append(m.words, regexp.MustCompile(`(?i)`+strings.Join(words, `[^a-zA-Z]+`)))
		}
	}
	m.values = applog.NewMask(m.forms)
	return m
}

// forms are the ways in which a value may stand in a text.
func forms(v string) []string {
	v = strings.TrimSpace(v)
	if v == "" {
		return nil
	}
	quoted, _ := json.Marshal(v)
	list := []string{v, base64.StdEncoding.EncodeToString([]byte(v)), base64.RawURLEncoding.EncodeToString([]byte(v)),
		hex.EncodeToString([]byte(v)), url.QueryEscape(v), url.PathEscape(v), strings.Trim(string(quoted), `"`)}
	slices.Sort(list)
	return slices.Compact(list)
}

// patterns are what looks like a secret, with what is left of it.
var patterns = []struct {
	find    *regexp.Regexp
	replace string
}{
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)`), hidden},
	{regexp.MustCompile(`(?i)(://[^\s/:@]+:)[^\s/@]+@`), "${1}" + hidden + "@"},
	{regexp.MustCompile(`(?i)(authorization["']?\s*[:=]\s*["']?(?:basic|bearer)\s+)[^\s"']+`), "${1}" + hidden},
	{regexp.MustCompile(`(?i)((?:password|passwd|passphrase|rpcpass|rpcauth|api[_-]?key|auth[_-]?key|privatekey|presharedkey|macaroon|jwt[_-]?secret|admin[_-]?token)["']?\s*[:=]\s*["']?)[^\s"',;]{4,}`), "${1}" + hidden},
	{regexp.MustCompile(`\b[0-9a-fA-F]{100,}\b`), hidden}, // a macaroon; a digest has 64
}

// Clean is the text without any secret.
func (m *Mask) Clean(text string) string {
	for _, w := range m.words {
		text = w.ReplaceAllString(text, hidden)
	}
	text = m.values.Clean(text)
	for _, p := range patterns {
		text = p.find.ReplaceAllString(text, p.replace)
	}
	return text
}

// Leaks tells that a known value is still in a text.
func (m *Mask) Leaks(text string) bool {
	return slices.ContainsFunc(m.forms, func(v string) bool { return len(v) >= leakLength && strings.Contains(text, v) })
}
