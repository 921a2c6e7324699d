package quadlet

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode"

	"git.tx1138.com/lfg2025/archy/internal/spec"
)

func (u *unit) health(h *spec.Health) {
	if h == nil || h.Cmd == "" && len(h.Argv) == 0 {
		return
	}
	for _, word := range append([]string{h.Cmd}, h.Argv...) {
		// JSON would carry a newline, but the command was never meant to have one.
		if err := clean(word); err != nil {
			u.fail("HealthCmd", "%v", err)
			return
		}
	}
	text, ok := healthText(h)
	if !ok {
		u.fail("HealthCmd", "podman 5.4.2 cannot carry the command %q", strings.TrimSpace(h.Cmd+" "+strings.Join(h.Argv, " ")))
		return
	}
	u.text("HealthCmd", text)
	u.line("HealthInterval", strconv.Itoa(h.Interval)+"s")
	u.line("HealthTimeout", strconv.Itoa(h.Timeout)+"s")
	u.number("HealthRetries", int64(h.Retries))
	u.line("HealthStartPeriod", strconv.Itoa(h.StartPeriod)+"s")
	u.line("HealthOnFailure", "none")
}

// healthText is how podman's --health-cmd is told a shell text or a command line. It reads a JSON array of two words
// or more as a command line, and anything else as a text for sh -c, with CMD, NONE and CMD-SHELL as first words of
// their own meaning. A JSON array also carries a text that Quadlet would trim.
func healthText(h *spec.Health) (text string, ok bool) {
	if h.Cmd != "" {
		if plainHealth(h.Cmd) {
			return h.Cmd, true
		}
		return jsonWords("CMD-SHELL", h.Cmd), true
	}
	switch {
	case keyword(h.Argv[0]):
		return "", false
	case len(h.Argv) > 1:
		return jsonWords(h.Argv...), true
	}
	// One word in an array would go through a shell, which the image may not have.
	word := h.Argv[0]
	text = "CMD " + word
	return text, word != "" && !strings.ContainsFunc(word, unicode.IsSpace) && standsAlone(text)
}

func plainHealth(cmd string) bool {
	first, _, _ := strings.Cut(cmd, " ")
	return standsAlone(cmd) && !strings.ContainsRune(cmd, '"') && !strings.HasPrefix(cmd, "[") && !keyword(first)
}

func keyword(word string) bool {
	switch strings.ToUpper(word) {
	case "CMD", "CMD-SHELL", "NONE":
		return true
	}
	return false
}

func jsonWords(words ...string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(words) // a list of strings
	return strings.TrimSuffix(b.String(), "\n")
}
