package manifest

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"git.tx1138.com/lfg2025/archy/internal/nearest"
)

// structFields is what the decoder knows of a struct: its keys in their order, and where each is.
type structFields struct {
	names []string
	index map[string]int
}

var fieldCache sync.Map // reflect.Type → *structFields

func fieldsOf(t reflect.Type) *structFields {
	if cached, ok := fieldCache.Load(t); ok {
		return cached.(*structFields)
	}
	f := &structFields{index: map[string]int{}}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		f.names = append(f.names, name)
		f.index[name] = i
	}
	fieldCache.Store(t, f)
	return f
}

// scalar reads text, a number or a boolean and applies the rule of its field.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, a at) {
	if n.Kind != yaml.ScalarNode {
		d.wrongType(n, a, wordFor(v.Kind()))
		return
	}
	switch v.Kind() {
	case reflect.String:
		d.text(n, v, a)
	case reflect.Int:
		d.integer(n, v, a)
	case reflect.Float64:
		d.number(n, v, a)
	case reflect.Bool:
		d.boolean(n, v, a)
	}
}

func wordFor(k reflect.Kind) string {
	switch k {
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	}
	return "text"
}

func (d *decoder) text(n *yaml.Node, v reflect.Value, a at) {
	r := rules[a.key]
	if !isText(n) && (!r.digits || n.ShortTag() != "!!int") {
		d.fail(n.Line, a.path, "must be text, is "+kindOf(n), quotesHint(n))
		return
	}
	if !d.oneLine(n, a) {
		return
	}
	v.SetString(n.Value)
	if message, hint := r.checkText(n.Value); message != "" {
		d.fail(n.Line, a.path, message, hint)
	}
}

func (d *decoder) integer(n *yaml.Node, v reflect.Value, a at) {
	i, err := strconv.Atoi(n.Value)
	if n.ShortTag() != "!!int" || err != nil {
		d.fail(n.Line, a.path, fmt.Sprintf("must be a whole number, is %s", describe(n)), "")
		return
	}
	v.SetInt(int64(i))
	if message := rules[a.key].checkRange(i); message != "" {
		d.fail(n.Line, a.path, message, rules[a.key].hint)
	}
}

func (d *decoder) number(n *yaml.Node, v reflect.Value, a at) {
	f, err := strconv.ParseFloat(n.Value, 64)
	tag := n.ShortTag()
	switch {
	case (tag != "!!int" && tag != "!!float") || err != nil || math.IsInf(f, 0) || math.IsNaN(f):
		d.fail(n.Line, a.path, fmt.Sprintf("must be a number, is %s", describe(n)), "")
	case f < 0:
		d.fail(n.Line, a.path, n.Value+" is negative", rules[a.key].hint)
	default:
		v.SetFloat(f)
	}
}

func (d *decoder) boolean(n *yaml.Node, v reflect.Value, a at) {
	if n.ShortTag() != "!!bool" {
		d.fail(n.Line, a.path, "must be true or false, is "+describe(n), "")
		return
	}
	v.SetBool(strings.EqualFold(n.Value, "true"))
}

// describe shows a scalar of the wrong type with its value.
func describe(n *yaml.Node) string {
	if n.Value == "" {
		return kindOf(n)
	}
	return quote(n.Value)
}

// checkText applies a rule to text; an empty message means that it is kept.
func (r rule) checkText(text string) (message, hint string) {
	switch {
	case text == "" && r.required:
		return "is empty", r.hint
	case text == "":
		return "", ""
	case len(r.enum) > 0 && !slices.Contains(r.enum, text):
		hint = "one of " + strings.Join(r.enum, ", ")
		if near := nearest.Name(text, r.enum); near != "" {
			hint = "did you mean " + near + "?"
		}
		return quote(text) + " is not known", hint
	case r.maxLen > 0 && utf8.RuneCountInString(text) > r.maxLen:
		return fmt.Sprintf("is longer than %d characters", r.maxLen), ""
	case r.pattern != "" && !matches(r.pattern, text) && r.private:
		return "is not " + r.want, r.hint
	case r.pattern != "" && !matches(r.pattern, text):
		return quote(text) + " is not " + r.want, r.hint
	}
	return "", ""
}

func (r rule) checkRange(i int) string {
	if r.max > 0 && (i < r.min || i > r.max) {
		return fmt.Sprintf("%d is not between %d and %d", i, r.min, r.max)
	}
	return ""
}
