package manifest

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"git.tx1138.com/lfg2025/archy/internal/nearest"
)

// Limits of one document: its size, how deep it nests, and how many nodes its aliases may stand for.
const (
	maxBytes   = 256 << 10
	maxDepth   = 64
	maxAliased = 10000
)

// at is a place in the document: path as it is shown, and key in the table of rules.
type at struct{ path, key string }

func (a at) field(name string) at {
	key := name
	if a.key != "" {
		key = a.key + "." + name
	}
	return at{a.path + "." + shown(name), key}
}

func (a at) index(i int) at    { return at{a.path + "[" + strconv.Itoa(i) + "]", a.key + "[]"} }
func (a at) entry(k string) at { return at{a.path + "." + shown(k), a.key + ".*"} }

// shown is a key as it stands in a path: whatever a document holds, a finding is one short line.
func shown(key string) string {
	if _, bad := controlChar(key); bad || len(key) > 64 {
		return quote(key)
	}
	return key
}

// decoder walks the nodes of a document along the Go types. A field that cannot be read is a finding
// and does not keep the others from being read.
type decoder struct {
	doc     *document
	depth   int
	aliased int // nodes seen through aliases
	inAlias int
	stopped bool
}

// decode reads one manifest. The document is never nil; its app is incomplete when it is broken.
func decode(data []byte, id, file string) *document {
	doc := &document{id: id, file: file, app: &App{File: file}, lines: map[string]int{}, failed: map[string]bool{}}
	root, err := parse(data)
	if err != nil {
		doc.add(Finding{Line: err.line, Severity: Error, Message: err.message, Hint: err.hint})
		return doc
	}
	d := &decoder{doc: doc}
	d.root(root)
	return doc
}

// root reads the mapping that holds the key app and nothing else that we know.
func (d *decoder) root(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		d.fail(n.Line, "", "must be a map with the key app, is "+kindOf(n), "")
		return
	}
	var found bool
	for _, p := range d.pairs(n, at{}) {
		if p.key.Value != "app" {
			d.unknown(p, at{path: shown(p.key.Value)}, []string{"app"})
			continue
		}
		found = true
		d.doc.lines["app"] = p.key.Line
		d.value(p.value, reflect.ValueOf(d.doc.app).Elem(), at{path: "app"})
	}
	if !found {
		d.fail(n.Line, "app", "is missing", "a manifest has the root key app")
	}
}

func (d *decoder) fail(line int, field, message, hint string) {
	d.doc.add(Finding{Line: line, Field: field, Severity: Error, Message: message, Hint: hint})
}

// pair is one key of a mapping with its value.
type pair struct{ key, value *yaml.Node }

// pairs lists a mapping: its own keys in their order, then those that << merges and that it does not set.
func (d *decoder) pairs(n *yaml.Node, a at) []pair {
	own := make([]pair, 0, len(n.Content)/2)
	var merges []*yaml.Node
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := deref(n.Content[i]), n.Content[i+1]
		switch first, twice := seen[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			d.fail(key.Line, a.path, "a key must be text, is "+kindOf(key), "")
		case key.Tag == "!!merge":
			merges = append(merges, value)
		case twice:
			d.fail(key.Line, join(a.path, shown(key.Value)), fmt.Sprintf("duplicate key, first on line %d", first), "remove one of the two")
		default:
			seen[key.Value] = key.Line
			d.oneLine(key, at{path: a.path})
			own = append(own, pair{key, value})
		}
	}
	for _, m := range merges {
		own = append(own, d.merged(m, a, seen)...)
	}
	return own
}

// merged lists the keys that a << brings in and that are not seen yet.
func (d *decoder) merged(n *yaml.Node, a at, seen map[string]int) (out []pair) {
	sources := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		sources = n.Content
	}
	for _, source := range sources {
		source = deref(source)
		d.aliased += len(source.Content)
		if source.Kind != yaml.MappingNode || d.aliased > maxAliased {
			d.fail(source.Line, a.path, "<< must name a map of moderate size", "")
			return out
		}
		for i := 0; i+1 < len(source.Content); i += 2 {
			key := source.Content[i]
			if _, set := seen[key.Value]; set || key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
				continue
			}
			seen[key.Value] = key.Line
			out = append(out, pair{key, source.Content[i+1]})
		}
	}
	return out
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// value reads a node into v, which is settable.
func (d *decoder) value(n *yaml.Node, v reflect.Value, a at) {
	if !d.enter(n, a) {
		return
	}
	defer d.leave(n)
	n = deref(n)
	if isNull(n) {
		return
	}
	if u, ok := v.Addr().Interface().(yaml.Unmarshaler); ok {
		d.custom(n, u, a)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), a)
	case reflect.Struct:
		d.structure(n, v, a)
	case reflect.Slice:
		d.list(n, v, a)
	case reflect.Map:
		d.mapping(n, v, a)
	default:
		d.scalar(n, v, a)
	}
}

// enter counts what a node costs: a document may neither nest without end nor unfold its aliases without end.
func (d *decoder) enter(n *yaml.Node, a at) bool {
	d.depth++
	if n.Kind == yaml.AliasNode {
		d.inAlias++
	}
	if d.inAlias > 0 {
		d.aliased++
	}
	switch {
	case d.stopped:
	case d.depth > maxDepth:
		field, _, _ := strings.Cut(a.path, "[")
		d.fail(n.Line, field, "is nested too deeply, or an alias holds itself", "")
	case d.aliased > maxAliased:
		d.stopped = true
		d.fail(n.Line, "", "the aliases of this file stand for too much", "write the values out")
	default:
		return true
	}
	d.leave(n)
	return false
}

func (d *decoder) leave(n *yaml.Node) {
	d.depth--
	if n.Kind == yaml.AliasNode {
		d.inAlias--
	}
}

// custom lets a type read itself.
func (d *decoder) custom(n *yaml.Node, u yaml.Unmarshaler, a at) {
	if !d.oneLineTree(n, a) {
		return
	}
	err := u.UnmarshalYAML(n)
	if err == nil {
		return
	}
	f := Finding{Line: n.Line, Field: a.path, Severity: Error, Message: err.Error()}
	var bad *valueError
	if errors.As(err, &bad) {
		f.Message, f.Hint, f.tolerable = bad.message, bad.hint, bad.tolerable
	}
	d.doc.add(f)
}

// structure reads a mapping into a struct, and a bare app id into a dependency.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, a at) {
	if dep, ok := v.Addr().Interface().(*Dependency); ok && n.Kind == yaml.ScalarNode && isText(n) {
		d.scalar(n, reflect.ValueOf(&dep.AppID).Elem(), a.field("app_id"))
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, a, "a map")
		return
	}
	fields := fieldsOf(v.Type())
	set := make(map[string]bool, len(n.Content)/2)
	for _, p := range d.pairs(n, a) {
		name := p.key.Value
		i, known := fields.index[name]
		if !known {
			d.unknown(p, a.field(name), fields.names)
			continue
		}
		set[name] = !isNull(deref(p.value))
		d.doc.lines[join(a.path, name)] = p.key.Line
		d.value(p.value, v.Field(i), a.field(name))
	}
	for _, name := range fields.names {
		d.complete(n, v.Field(fields.index[name]), a.field(name), set[name])
	}
}

// complete reports a required field that is absent and fills in a default.
func (d *decoder) complete(n *yaml.Node, v reflect.Value, a at, set bool) {
	r := rules[a.key]
	switch {
	case !set && r.required:
		d.fail(d.lineOf(n, a), a.path, "is missing", r.hint)
	case r.def != "" && v.Kind() == reflect.String && v.Len() == 0:
		v.SetString(r.def)
	}
}

// lineOf is the line to show for a field that a mapping lacks: that of the mapping's key, or of the item itself.
func (d *decoder) lineOf(n *yaml.Node, a at) int {
	if line := d.doc.line(a.path); line > 0 {
		return line
	}
	return n.Line
}

// unknown keeps a key that we do not know, and says which one may have been meant.
func (d *decoder) unknown(p pair, a at, known []string) {
	f := Finding{Line: p.key.Line, Field: a.path, Severity: Warning, Message: "unknown key", unknownKey: true}
	if name := nearest.Name(p.key.Value, known); name != "" {
		f.Hint = "did you mean " + name + "?"
	} else if path := elsewhere(p.key.Value); path != "" {
		f.Hint = "did you mean " + path + "?"
	}
	d.doc.add(f)
	d.keep(a.path, d.free(p.value, a))
}

func (d *decoder) keep(path string, value any) {
	if d.doc.app.Unknown == nil {
		d.doc.app.Unknown = map[string]any{}
	}
	d.doc.app.Unknown[path] = value
}

// elsewhere is the path of a field of that name in another place of the schema.
func elsewhere(name string) string {
	best := ""
	for key := range rules {
		if !strings.HasSuffix(key, "."+name) || strings.ContainsAny(key, "[*") {
			continue
		}
		if best == "" || len(key) < len(best) || (len(key) == len(best) && key < best) {
			best = key
		}
	}
	if best == "" {
		return ""
	}
	return "app." + best
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, a at) {
	if n.Kind != yaml.SequenceNode {
		d.wrongType(n, a, "a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.doc.lines[a.index(i).path] = item.Line
		if isNull(deref(item)) {
			d.fail(item.Line, a.index(i).path, "is empty", "remove the item")
			continue
		}
		d.value(item, v.Index(i), a.index(i))
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, a at) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, a, "a map")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, p := range d.pairs(n, a) {
		place := a.entry(p.key.Value)
		d.doc.lines[place.path] = p.key.Line
		if v.Type().Elem().Kind() == reflect.Interface {
			if value := d.free(p.value, place); value != nil {
				v.SetMapIndex(reflect.ValueOf(p.key.Value), reflect.ValueOf(value))
			}
			continue
		}
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(p.value, item, place)
		v.SetMapIndex(reflect.ValueOf(p.key.Value), item)
	}
}

// free reads a value that no type describes.
func (d *decoder) free(n *yaml.Node, a at) any {
	if !d.enter(n, a) {
		return nil
	}
	defer d.leave(n)
	n = deref(n)
	switch n.Kind {
	case yaml.MappingNode:
		out := make(map[string]any, len(n.Content)/2)
		for _, p := range d.pairs(n, a) {
			out[p.key.Value] = d.free(p.value, a.entry(p.key.Value))
		}
		return out
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, item := range n.Content {
			out[i] = d.free(item, a.index(i))
		}
		return out
	}
	d.oneLine(n, a)
	var out any
	if err := n.Decode(&out); err != nil {
		return n.Value
	}
	return out
}

func (d *decoder) wrongType(n *yaml.Node, a at, want string) {
	d.fail(n.Line, a.path, "must be "+want+", is "+kindOf(n), "")
}

// oneLine refuses what would break a line of a unit file.
func (d *decoder) oneLine(n *yaml.Node, a at) bool {
	r, found := controlChar(n.Value)
	if !found || (rules[a.key].multiline && r != 0) {
		return true
	}
	what := fmt.Sprintf("holds the control character %U", r)
	if r == '\n' || r == '\r' {
		what = "holds a line break"
	}
	d.fail(n.Line, a.path, what, "every value becomes one line of a unit file")
	return false
}

// oneLineTree does so for a scalar and for the items of a list.
func (d *decoder) oneLineTree(n *yaml.Node, a at) bool {
	ok := d.oneLine(n, a)
	for _, item := range n.Content {
		ok = d.oneLine(deref(item), a) && ok
	}
	return ok
}
