package quadlet

import (
	"fmt"
	"strings"
)

// This is what systemd 257 does with a service, written from systemd.syntax(7) and systemd.service(5) and not from
// Quadlet's code, so that the tests see what podman is really given.

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// directives are the values of a key of a section of a unit.
func directives(unit []byte, section, key string) []string {
	var values []string
	in := ""
	for line := range strings.Lines(string(unit)) {
		line = strings.Trim(line, " \t\r\n")
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			in = strings.Trim(line, "[]")
			continue
		}
		if value, ok := strings.CutPrefix(line, key+"="); ok && in == section {
			values = append(values, value)
		}
	}
	return values
}

// execStart is the command line that systemd runs for a service.
func execStart(t tester, service []byte) []string {
	t.Helper()
	lines := directives(service, "Service", "ExecStart")
	if len(lines) != 1 {
		t.Fatalf("%d ExecStart= in\n%s", len(lines), service)
	}
	env := map[string]string{}
	for _, line := range directives(service, "Service", "Environment") {
		for _, word := range splitWords(t, line) {
			key, value, _ := strings.Cut(specifiers(t, word), "=")
			env[key] = value
		}
	}
	var args []string
	for _, word := range splitWords(t, lines[0]) {
		args = append(args, expand(t, specifiers(t, word), env))
	}
	return args
}

// splitWords unquotes words; outside and inside of quotes a backslash begins a C escape.
func splitWords(t tester, line string) []string {
	t.Helper()
	var words []string
	for rest := strings.TrimLeft(line, " \t"); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		if rest == ";" || strings.HasPrefix(rest, "; ") {
			t.Fatalf("a lone semicolon ends the command: %s", line)
		}
		var word strings.Builder
		quote := byte(0)
		i := 0
	scan:
		for ; i < len(rest); i++ {
			c := rest[i]
			switch {
			case c == '\\':
				i++
				if i == len(rest) {
					t.Fatalf("a backslash ends %s", line)
				}
				escaped, ok := map[byte]byte{'\\': '\\', '"': '"', '\'': '\'', 's': ' ', 'n': '\n', 't': '\t'}[rest[i]]
				if !ok {
					t.Fatalf("escape \\%c in %s", rest[i], line)
				}
				word.WriteByte(escaped)
			case quote != 0 && c == quote:
				quote = 0
			case quote != 0:
				word.WriteByte(c)
			case c == '"' || c == '\'':
				quote = c
			case c == ' ' || c == '\t':
				break scan
			default:
				word.WriteByte(c)
			}
		}
		if quote != 0 {
			t.Fatalf("unbalanced quotes in %s", line)
		}
		words = append(words, word.String())
		rest = rest[i:]
	}
	return words
}

// specifiers replaces %%; the ones of Quadlet itself stay, any other is a value that was not escaped.
func specifiers(t tester, word string) string {
	t.Helper()
	var out strings.Builder
	for i := 0; i < len(word); i++ {
		if word[i] != '%' {
			out.WriteByte(word[i])
			continue
		}
		i++
		switch {
		case i < len(word) && word[i] == '%':
			out.WriteByte('%')
		case i < len(word) && strings.IndexByte("tNn", word[i]) >= 0 &&
			(word == "--cidfile=%t/%N.cid" || word == "PODMAN_SYSTEMD_UNIT=%n"):
			out.WriteString(word[i-1 : i+1])
		default:
			t.Fatalf("specifier in %q", word)
		}
	}
	return out.String()
}

// expand replaces $$ and ${NAME}; a word that begins with $NAME would be split and is never wanted.
func expand(t tester, word string, env map[string]string) string {
	t.Helper()
	var out strings.Builder
	for i := 0; i < len(word); i++ {
		switch rest := word[i:]; {
		case rest[0] != '$':
			out.WriteByte(rest[0])
		case strings.HasPrefix(rest, "$$"):
			out.WriteByte('$')
			i++
		case strings.HasPrefix(rest, "${"):
			name, _, _ := strings.Cut(rest[2:], "}")
			value, ok := env[name]
			if !ok {
				t.Fatalf("variable %s of %q is not set", name, word)
			}
			out.WriteString(value)
			i += len(name) + 2
		default:
			t.Fatalf("a lone $ in %q", word)
		}
	}
	return out.String()
}

// podmanRun is a `podman run` command line, read as podman reads it.
type podmanRun struct {
	flags map[string][]string
	image string
	args  []string
}

func parseRun(t tester, argv []string) podmanRun {
	t.Helper()
	if len(argv) < 3 || argv[1] != "run" {
		t.Fatalf("not a podman run: %q", argv)
	}
	run := podmanRun{flags: map[string][]string{}}
	// The flags that take no value, of those that Quadlet writes.
	alone := map[string]bool{"--replace": true, "--rm": true, "-d": true, "--read-only": true}
	for i := 2; i < len(argv); i++ {
		flag, value, joined := strings.Cut(argv[i], "=")
		switch {
		case !strings.HasPrefix(flag, "-"):
			run.image, run.args = argv[i], argv[i+1:]
			return run
		case joined:
		case alone[flag]:
			value = "true"
		default:
			i++
			value = argv[i]
		}
		run.flags[flag] = append(run.flags[flag], value)
	}
	t.Fatalf("no image in %q", argv)
	return run
}

// String lists the flags in the order of their names, one a line, for comparing.
func (r podmanRun) String() string {
	var b strings.Builder
	for _, flag := range sortedKeys(r.flags) {
		for _, value := range r.flags[flag] {
			fmt.Fprintf(&b, "%s %s\n", flag, value)
		}
	}
	fmt.Fprintf(&b, "image %s\n", r.image)
	for _, arg := range r.args {
		fmt.Fprintf(&b, "arg %q\n", arg)
	}
	return b.String()
}
