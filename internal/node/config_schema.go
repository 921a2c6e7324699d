package node

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// keyKind is what a key of the configuration holds.
type keyKind int

const (
	keySection keyKind = iota
	keyText
	keyNumberOrText
	keyBool
	keyInt
	keyDuration
	keyWords
	keySections
)

func (k keyKind) want() string {
	return [...]string{"a section", "text", "a number or auto", "true or false", "a whole number",
		"a duration such as 30s", "a list of words", "a list of sections"}[k]
}

// configKey is a node of the schema, which is read from the struct Config itself: a field added there is
// a key in the file and a variable.
type configKey struct {
	path string
	kind keyKind
	keys map[string]*configKey
}

func configSchema() *configKey { return schemaOf(reflect.TypeFor[Config](), "") }

func schemaOf(t reflect.Type, path string) *configKey {
	k := &configKey{path: path, kind: kindOf(t, path)}
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return k
	}
	k.keys = map[string]*configKey{}
	for f := range t.Fields() {
		name := f.Tag.Get("mapstructure")
		k.keys[name] = schemaOf(f.Type, strings.TrimPrefix(path+"."+name, "."))
	}
	return k
}

func kindOf(t reflect.Type, path string) keyKind {
	switch {
	case path == "bitcoin.prune" || path == "bitcoin.dbcache_mib":
		return keyNumberOrText
	case t == reflect.TypeFor[time.Duration]():
		return keyDuration
	case t.Kind() == reflect.Struct:
		return keySection
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return keySections
	case t.Kind() == reflect.Slice:
		return keyWords
	case t.Kind() == reflect.Bool:
		return keyBool
	case t.Kind() == reflect.Int:
		return keyInt
	}
	return keyText
}

// leaves calls f for every key that has a variable.
func (k *configKey) leaves(f func(*configKey)) {
	if k.kind != keySection {
		f(k)
		return
	}
	for _, child := range k.keys {
		child.leaves(f)
	}
}

// value checks a YAML node against the schema and returns it as plain Go values; at says where it stands.
func (c *configCheck) value(n *yaml.Node, k *configKey, at func(*yaml.Node) string) any {
	if k.path != "" {
		c.source[k.path] = at(n)
	}
	switch k.kind {
	case keySection:
		return c.section(n, k, at)
	case keyWords, keySections:
		return c.list(n, k, at)
	}
	if v, ok := scalar(n, k.kind); ok {
		return v
	}
	c.add(at(n), k.path, "%s is not %s", shown(n), k.kind.want())
	return nil
}

func (c *configCheck) section(n *yaml.Node, k *configKey, at func(*yaml.Node) string) any {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		// A section whose keys are all commented out.
		return map[string]any{}
	}
	if n.Kind != yaml.MappingNode {
		c.add(at(n), k.path, "%s is not %s", shown(n), k.kind.want())
		return nil
	}
	values := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		path := strings.TrimPrefix(k.path+"."+name, ".")
		child, known := k.keys[name]
		_, twice := values[name]
		switch {
		case !known:
			c.add(at(n.Content[i]), path, "unknown key%s", suggest(name, mapKeys(k.keys)))
		case twice:
			c.add(at(n.Content[i]), path, "set a second time")
		default:
			values[name] = c.value(n.Content[i+1], child, at)
		}
	}
	return values
}

func (c *configCheck) list(n *yaml.Node, k *configKey, at func(*yaml.Node) string) any {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return []any{}
	}
	if n.Kind != yaml.SequenceNode {
		c.add(at(n), k.path, "%s is not %s", shown(n), k.kind.want())
		return nil
	}
	item := &configKey{kind: keyText, keys: k.keys}
	if k.kind == keySections {
		item.kind = keySection
	}
	values := []any{}
	for i, entry := range n.Content {
		each := *item
		each.path = k.path + "[" + strconv.Itoa(i) + "]"
		values = append(values, c.value(entry, &each, at))
	}
	return values
}

// scalar reads a scalar of this kind; ok is false when it is another.
func scalar(n *yaml.Node, kind keyKind) (v any, ok bool) {
	if n.Kind != yaml.ScalarNode {
		return nil, false
	}
	tag := n.ShortTag()
	switch kind {
	case keyText:
		return n.Value, tag == "!!str"
	case keyNumberOrText:
		return n.Value, tag == "!!str" || tag == "!!int"
	case keyBool:
		return n.Value == "true", tag == "!!bool" && (n.Value == "true" || n.Value == "false")
	case keyInt:
		i, err := strconv.Atoi(n.Value)
		return i, err == nil && tag == "!!int"
	case keyDuration:
		_, err := time.ParseDuration(n.Value)
		return n.Value, err == nil && tag == "!!str"
	}
	return nil, false
}

func shown(n *yaml.Node) string {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.ShortTag() == "!!null" {
			return "nothing"
		}
		return strconv.Quote(n.Value)
	case yaml.AliasNode:
		return "an alias"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a section"
}

func mapKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
