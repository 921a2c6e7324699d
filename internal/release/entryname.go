package release

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// root is the path of the archive's own directory.
const root = "."

// shown is a path as findings name it.
func shown(path string) string {
	if path == root {
		return "./"
	}
	return path
}

// name checks the name of an entry and returns its path without ./ in front and without a slash behind. ok is false for
// a name that nothing further can be said of.
func (v *pass) name(h *header) (path string, ok bool, err error) {
	name := h.name
	path = strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if len(path) > v.rules.Limits.Path {
		return "", false, v.stop(LimitPath, name, fmt.Sprintf("a path of %d bytes", len(path)), fmt.Sprintf("at most %d", v.rules.Limits.Path))
	}
	if code, why := badName(name, h); code != "" {
		v.found.Add(code, name, why, "")
		return "", false, nil
	}
	if name == "." || name == "./" {
		return root, true, nil
	}
	elements := strings.Split(path, "/")
	for _, e := range elements {
		if code, why := badElement(e); code != "" {
			v.found.Add(code, name, why, "")
			return "", false, nil
		}
		if len(e) > v.rules.Limits.Element {
			return "", false, v.stop(LimitPath, name, fmt.Sprintf("an element of %d bytes", len(e)), fmt.Sprintf("at most %d", v.rules.Limits.Element))
		}
	}
	if len(elements) > v.rules.Limits.Depth {
		return "", false, v.stop(LimitDepth, name, fmt.Sprintf("%d levels", len(elements)), fmt.Sprintf("at most %d", v.rules.Limits.Depth))
	}
	return path, true, nil
}

func badName(name string, h *header) (Code, string) {
	switch {
	case name == "":
		return NameInvalid, "an empty name"
	case h.tail:
		return NameInvalid, "hidden bytes behind the end of the name"
	case strings.HasPrefix(name, "/"):
		return NameAbsolute, "an absolute name"
	case !utf8.ValidString(name):
		return NameInvalid, "not UTF-8"
	case strings.ContainsFunc(name, unicode.IsControl):
		return NameInvalid, "a control character"
	case strings.ContainsRune(name, '\\'):
		return NameInvalid, "a backslash"
	case strings.HasSuffix(name, "/") && h.kind != typeDir:
		return NameInvalid, "a slash behind the name of a file"
	}
	return "", ""
}

func badElement(e string) (Code, string) {
	switch e {
	case "..":
		return NameTraversal, "leads upwards"
	case "", ".":
		return NameInvalid, "an empty element"
	}
	return "", ""
}

// parentOf is the directory that a path lies in.
func parentOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return root
}

// place checks that a path is new and lies in a directory that came before it.
func (v *pass) place(path string, kind byte) {
	before := v.names.kind(path)
	if code := v.names.add(path, kind); code != "" {
		v.found.Add(code, shown(path), "there already", "")
	}
	if before != 0 && (before == typeDir) != (kind == typeDir) {
		v.found.Add(FileDirConflict, shown(path), "both a file and a directory", "")
	}
	if path == root || parentOf(path) == root {
		return
	}
	switch parent := parentOf(path); v.names.kind(parent) {
	case typeDir:
	case 0:
		v.found.Add(ParentMissing, path, "no directory "+parent+" before it", "")
	default:
		v.found.Add(FileDirConflict, path, parent+" is no directory", "")
	}
}
