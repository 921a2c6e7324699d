package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

const schemaFile = "../../docs/manifest.schema.json"

func TestSchemaFileIsTheGeneratedOne(t *testing.T) {
	golden(t, schemaFile, string(Schema()))
}

// TestSchemaEqualsTypes walks the Go types and the schema side by side: neither has a field that the other lacks.
func TestSchemaEqualsTypes(t *testing.T) {
	var doc map[string]any
	if err := json.Unmarshal(Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	app := doc["properties"].(map[string]any)["app"].(map[string]any)
	compareSchema(t, reflect.TypeFor[App](), app, "app")
}

func compareSchema(t *testing.T, typ reflect.Type, schema map[string]any, path string) {
	t.Helper()
	switch {
	case typ.Kind() == reflect.Pointer:
		compareSchema(t, typ.Elem(), schema, path)
		return
	case reflect.PointerTo(typ).Implements(reflect.TypeFor[yaml.Unmarshaler]()) || typ.Kind() == reflect.Interface:
		return
	case typ == reflect.TypeFor[Dependency]():
		schema = schema["anyOf"].([]any)[1].(map[string]any)
	}
	want := map[reflect.Kind]string{
		reflect.Struct: "object", reflect.Map: "object", reflect.Slice: "array", reflect.String: "string",
		reflect.Int: "integer", reflect.Float64: "number", reflect.Bool: "boolean",
	}[typ.Kind()]
	if got := fmt.Sprint(schema["type"]); got != want && got != "[string integer]" {
		t.Errorf("%s: the schema says %s, the Go type is %s", path, got, typ)
	}
	switch typ.Kind() {
	case reflect.Struct:
		compareFields(t, typ, schema["properties"].(map[string]any), path)
	case reflect.Slice:
		compareSchema(t, typ.Elem(), schema["items"].(map[string]any), path+"[]")
	case reflect.Map:
		compareSchema(t, typ.Elem(), schema["additionalProperties"].(map[string]any), path+".*")
	}
}

func compareFields(t *testing.T, typ reflect.Type, properties map[string]any, path string) {
	t.Helper()
	inType := map[string]bool{}
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("yaml"), ",")
		if name == "-" {
			continue
		}
		inType[name] = true
		property, ok := properties[name].(map[string]any)
		if !ok {
			t.Errorf("%s.%s is a field and not in the schema", path, name)
			continue
		}
		if property["description"] == nil {
			t.Errorf("%s.%s has no description", path, name)
		}
		compareSchema(t, typ.Field(i).Type, property, path+"."+name)
	}
	for name := range properties {
		if !inType[name] {
			t.Errorf("%s.%s is in the schema and not a field", path, name)
		}
	}
}

// TestEveryRuleHasItsField: a rule whose path is misspelt would never be applied.
func TestEveryRuleHasItsField(t *testing.T) {
	fields := map[string]bool{}
	walkFields(reflect.TypeFor[App](), at{}, func(a at, _ reflect.Type) { fields[a.key] = true })
	for key, r := range rules {
		if !fields[key] {
			t.Errorf("the rule %s has no field", key)
		}
		if r.pattern != "" && r.want == "" {
			t.Errorf("the rule %s has a pattern and no words for it", key)
		}
	}
	for key := range fields {
		if rules[key].doc == "" {
			t.Errorf("the field %s has no rule", key)
		}
	}
	for key := range schemaExtras() {
		if !fields[key] {
			t.Errorf("the schema of %s has no field", key)
		}
	}
}

// walkFields visits every place of the schema, in the order of the types.
func walkFields(t reflect.Type, a at, visit func(at, reflect.Type)) {
	if a.key != "" {
		visit(a, t)
	}
	switch t.Kind() {
	case reflect.Pointer:
		walkInside(t.Elem(), a, visit)
	default:
		walkInside(t, a, visit)
	}
}

func walkInside(t reflect.Type, a at, visit func(at, reflect.Type)) {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[yaml.Unmarshaler]()) {
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		for _, name := range fieldsOf(t).names {
			walkFields(t.Field(fieldsOf(t).index[name]).Type, a.field(name), visit)
		}
	case reflect.Slice:
		walkFields(t.Elem(), a.index(0), visit)
	case reflect.Map:
		walkFields(t.Elem(), a.entry("*"), visit)
	}
}

// TestSchemaAndLoaderAgree validates every manifest and every bad fixture: what the schema refuses the
// loader refuses too, and of what a schema can express it refuses all.
func TestSchemaAndLoaderAgree(t *testing.T) {
	schema := compileSchema(t)
	for _, path := range glob(t, "../../apps/*/manifest.yml") {
		if err := validate(t, schema, path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range append(glob(t, "testdata/good/*-*.yml"), "testdata/foreign/manifest.yml") {
		if err := validate(t, schema, path); err != nil && filepath.Base(path) != "host-network.yml" { // empty values
			t.Errorf("%s: %v", path, err)
		}
	}
	var refused []string
	for _, path := range glob(t, "testdata/bad/*.yml") {
		name := strings.TrimSuffix(filepath.Base(path), ".yml")
		err := validate(t, schema, path)
		if err == nil {
			continue
		}
		refused = append(refused, name)
		if !HasErrors(fileDocument(path).findings) {
			t.Errorf("%s: the schema refuses what the loader takes: %v", name, err)
		}
	}
	golden(t, "testdata/schema-refuses.txt", strings.Join(refused, "\n")+"\n")
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(schemaID, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(schemaID)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// unreadableYAML are the fixtures of which there is no JSON form to validate.
var unreadableYAML = []string{"empty", "only-a-comment", "tab", "unclosed-quote", "bad-indent", "list-as-key", "alias-of-itself",
	"alias-bomb", "merge-of-text", "duplicate-app", "duplicate-key", "duplicate-nested-key", "duplicate-extension-key", "second-document", "cpu-infinite"}

func validate(t *testing.T, schema *jsonschema.Schema, path string) error {
	t.Helper()
	if slices.Contains(unreadableYAML, strings.TrimSuffix(filepath.Base(path), ".yml")) {
		return nil
	}
	var value any
	if err := yaml.Unmarshal([]byte(readText(t, path)), &value); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(doc)
}
