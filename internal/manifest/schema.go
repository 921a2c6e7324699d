package manifest

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"sync"
)

const (
	schemaDialect = "https://json-schema.org/draft/2020-12/schema"
	schemaID      = "https://git.tx1138.com/lfg2025/archy/docs/manifest.schema.json"

	// oneLinePattern is any text without control characters.
	oneLinePattern  = `^[^\x00-\x1f\x7f-\x9f]*$`
	sizePattern     = `^([0-9]+(\.[0-9]+)?([kmgt]b?|[KMGT]B?|[KkMmGgTt][Ii][Bb]?|[Bb])?)?$`
	durationPattern = `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	imagePattern    = `^[^ @]+(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})$`
)

// object is a JSON object. Its keys are written in the order of their names.
type object = map[string]any

// Schema is the JSON Schema (draft 2020-12) of a manifest, made from the Go types and the table of rules.
// What it refuses, loading refuses too; rules between fields and between apps are only in the loader.
func Schema() []byte {
	doc := object{
		"$schema":     schemaDialect,
		"$id":         schemaID,
		"title":       "archy app manifest",
		"description": "apps/<id>/manifest.yml: how an app runs on a node.",
		"type":        "object",
		"required":    []string{"app"},
		"properties":  object{"app": schemaOf(reflect.TypeFor[App](), at{})},
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		panic(err) // it is made of texts, numbers and maps of them
	}
	return out.Bytes()
}

// schemaOf describes a type at its place.
func schemaOf(t reflect.Type, a at) object {
	s := typeSchema(t, a)
	rules[a.key].describe(s)
	for keyword, value := range schemaExtras()[a.key] {
		s[keyword] = value
	}
	return s
}

func typeSchema(t reflect.Type, a at) object {
	switch t {
	case reflect.TypeFor[Size]():
		return object{"anyOf": []object{{"type": "string", "pattern": sizePattern}, {"type": "number", "minimum": 1}}}
	case reflect.TypeFor[Duration]():
		return object{"type": "string", "pattern": durationPattern}
	case reflect.TypeFor[Endpoint]():
		text := object{"type": "string", "pattern": oneLinePattern}
		return object{"anyOf": []object{text, {"type": "array", "items": text}}}
	case reflect.TypeFor[Dependency]():
		id := schemaOf(reflect.TypeFor[string](), a.field("app_id"))
		either := structSchema(t, a)
		maps.Copy(either, exactlyOne("app_id", "storage"))
		return object{"anyOf": []object{id, either}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeSchema(t.Elem(), a)
	case reflect.Struct:
		return structSchema(t, a)
	case reflect.Slice:
		return object{"type": "array", "items": schemaOf(t.Elem(), a.index(0))}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": schemaOf(t.Elem(), a.entry("*"))}
	case reflect.Int:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number", "minimum": 0}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return textSchema(rules[a.key])
	}
	return object{}
}

func textSchema(r rule) object {
	switch {
	case r.digits:
		return object{"type": []string{"string", "integer"}}
	case r.multiline:
		return object{"type": "string"}
	}
	return object{"type": "string", "pattern": oneLinePattern}
}

// structSchema leaves room for unknown keys: other programs have theirs.
func structSchema(t reflect.Type, a at) object {
	properties := object{}
	required := []string{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		field := a.field(name)
		properties[name] = schemaOf(t.Field(i).Type, field)
		if rules[field.key].required {
			required = append(required, name)
		}
	}
	s := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// describe adds what the rule says.
func (r rule) describe(s object) {
	if r.doc != "" {
		s["description"] = strings.ReplaceAll(r.doc, "`", "")
	}
	if len(r.enum) > 0 {
		s["enum"] = r.enum
		delete(s, "pattern")
	}
	if r.def != "" {
		s["default"] = r.def
	}
	if r.pattern != "" {
		s["pattern"] = r.pattern
	}
	if r.maxLen > 0 {
		s["maxLength"] = r.maxLen
	}
	if r.max > 0 {
		s["minimum"], s["maximum"] = r.min, r.max
	}
	if r.required && s["type"] == "string" {
		s["minLength"] = 1
	}
}

// schemaExtras are the rules between the fields of one map that a schema can express.
var schemaExtras = sync.OnceValue(func() map[string]object {
	return map[string]object{
		"container":               exactlyOne("image", "build"),
		"container.image":         {"pattern": imagePattern},
		"container.network":       {"not": object{"enum": reservedNetworks}},
		"start_gate[]":            exactlyOne("secret", "path"),
		"hooks.post_install[]":    exactlyOne("exec", "copy_from_host"),
		"hooks.post_start[]":      exactlyOne("exec", "copy_from_host"),
		"security.capabilities[]": {"pattern": capabilityPattern},
		"ports[]":                 when("auth", "open", object{"required": []string{"auth_rationale"}}),
		"volumes[]": {"allOf": []object{
			when("type", Bind, object{
				"required":   []string{"source"},
				"properties": object{"source": object{"pattern": "^" + Root + "/."}},
			}),
			when("type", NamedVolume, object{
				"required":   []string{"source"},
				"properties": object{"source": object{"pattern": namePattern}},
			}),
			when("type", Tmpfs, object{"properties": object{"source": object{"const": ""}}}),
		}},
		"health_check.path": {"pattern": `^(/[^\x00-\x1f\x7f-\x9f]*)?$`},
		"health_check": {
			"allOf": []object{
				when("type", "exec", object{"properties": object{"endpoint": object{"type": "array", "minItems": 1}}, "required": []string{"endpoint"}}),
				{
					"if":   object{"properties": object{"type": object{"enum": []string{"http", "tcp", "cmd", "host_http"}}}, "required": []string{"type"}},
					"then": object{"properties": object{"endpoint": object{"type": "string", "minLength": 1, "pattern": `^[^"]*$`}}, "required": []string{"endpoint"}},
				},
			},
		},
	}
})

func exactlyOne(a, b string) object {
	return object{"oneOf": []object{{"required": []string{a}}, {"required": []string{b}}}}
}

// when applies a schema to maps in which a field has a value.
func when(field, value string, then object) object {
	return object{
		"if":   object{"properties": object{field: object{"const": value}}, "required": []string{field}},
		"then": then,
	}
}
