package manifest

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const manual = "../../docs/manifest.md"

// TestManualFields: the table of fields in the manual is the one that the types and rules give.
func TestManualFields(t *testing.T) {
	between := regexp.MustCompile(`(?s)(<!-- fields:.*?-->\n).*?(<!-- end of fields -->)`)
	text := readText(t, manual)
	if !between.MatchString(text) {
		t.Fatal("the marks of the field table are gone")
	}
	want := between.ReplaceAllStringFunc(text, func(s string) string {
		m := between.FindStringSubmatch(s)
		return m[1] + "\n" + fieldTable() + "\n" + m[2]
	})
	if *update {
		if err := os.WriteFile(manual, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if text != want {
		t.Error("the field table of docs/manifest.md is not the generated one; run the test with -update")
	}
}

// TestManualExample: the example of the manual is a manifest without findings, and each finding that the
// manual quotes is what loading says.
func TestManualExample(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(readText(t, manual))
	if block == nil {
		t.Fatal("the manual has no example")
	}
	dir := t.TempDir()
	write(t, dir, "notes/manifest.yml", block[1])
	none(t, Lint([]string{dir}, true))

	broken := strings.Replace(block[1], "memory_limit: 256Mi", "memory_limit: 12Qi", 1)
	broken = strings.Replace(broken, "  health_check:", "  optionall: true\n  health_check:", 1)
	write(t, dir, "notes/manifest.yml", broken)
	for _, f := range Lint([]string{dir}, false) {
		line := strings.Replace(f.String(), dir, "apps", 1)
		if !strings.Contains(readText(t, manual), line+"\n") {
			t.Errorf("the manual does not show %s", line)
		}
	}
}

// fieldTable is one row per field; the items of a list are told in the row of the list.
func fieldTable() string {
	var b strings.Builder
	b.WriteString("| field | type | meaning |\n|---|---|---|\n")
	walkFields(reflect.TypeFor[App](), at{}, func(a at, t reflect.Type) {
		if strings.HasSuffix(a.key, "[]") || strings.HasSuffix(a.key, "*") || strings.HasPrefix(a.key, "hooks.post_start[]") {
			return
		}
		name := a.key
		if t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.String && t.Elem().Kind() != reflect.Int {
			name += "[]"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, typeWord(t, a), meaning(a.key))
	})
	return b.String()
}

// typeWord is a Go type as an author sees it.
func typeWord(t reflect.Type, a at) string {
	switch t {
	case reflect.TypeFor[Size]():
		return "size"
	case reflect.TypeFor[Duration]():
		return "duration"
	case reflect.TypeFor[Endpoint]():
		return "text or list"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeWord(t.Elem(), a)
	case reflect.Slice:
		return strings.TrimSuffix("list of "+typeWord(t.Elem(), a), "s") + plural(t.Elem())
	case reflect.Struct, reflect.Map:
		return "map"
	case reflect.Int:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Bool:
		return "boolean"
	}
	return "text"
}

func plural(t reflect.Type) string {
	if t.Kind() == reflect.String {
		return ""
	}
	return "s"
}

// meaning is the words of a rule and its limits.
func meaning(key string) string {
	r := rules[key]
	text := r.doc
	for _, part := range []rule{r, rules[key+"[]"]} {
		if len(part.enum) > 0 {
			text += " One of `" + strings.Join(part.enum, "`, `") + "`."
		}
		if part.max > 0 {
			text += fmt.Sprintf(" %d to %d.", part.min, part.max)
		}
		if part.maxLen > 0 {
			text += fmt.Sprintf(" At most %d characters.", part.maxLen)
		}
	}
	if key == "security.capabilities" {
		text += " " + rules[key+"[]"].doc
	}
	if r.def != "" {
		text += " Default `" + r.def + "`."
	}
	if r.required {
		text = "**Required.** " + text
	}
	return text
}
