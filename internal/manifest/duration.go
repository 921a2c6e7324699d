package manifest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxDuration is longer than any check or grace of a container needs.
const maxDuration = 24 * time.Hour

// ParseDuration reads 30s, 5m or 1m30s: whole milliseconds, up to a day.
func ParseDuration(text string) (Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil || !matches(durationPattern, text):
		return 0, &valueError{message: quote(text) + " is not a duration", hint: durationHint(text)}
	case d > maxDuration:
		return 0, &valueError{message: quote(text) + " is longer than a day", hint: "write it as 30s or 5m"}
	case d%time.Millisecond != 0:
		return 0, &valueError{message: quote(text) + " is finer than a millisecond", hint: "write it as 30s or 5m"}
	}
	return Duration(d), nil
}

// durationHint adds the unit to a bare number.
func durationHint(text string) string {
	if _, err := strconv.ParseUint(text, 10, 32); err == nil {
		return "try " + text + "s"
	}
	return "write it as 30s or 5m"
}

// String is the shortest way to write the duration; "" for 0.
func (d Duration) String() string {
	if d == 0 {
		return ""
	}
	text := time.Duration(d).String()
	text = trimZero(text, "m", "0s")
	return trimZero(text, "h", "0m")
}

// trimZero takes off a zero that stands after unit: 5m0s is 5m, but 10s stays.
func trimZero(text, unit, zero string) string {
	if strings.HasSuffix(text, unit+zero) {
		return strings.TrimSuffix(text, zero)
	}
	return text
}

// UnmarshalYAML reads a duration written as text.
func (d *Duration) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" {
		*d = 0
		return nil
	}
	if node.Kind != yaml.ScalarNode || (node.ShortTag() != "!!str" && node.ShortTag() != "!!int") {
		return &valueError{message: "must be a duration, is " + kindOf(node), hint: "write it as 30s or 5m"}
	}
	parsed, err := ParseDuration(node.Value)
	if err == nil {
		*d = parsed
	}
	return err
}

// MarshalYAML writes the duration as String does.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }

// UnmarshalYAML reads a text, or a list of arguments.
func (e *Endpoint) UnmarshalYAML(node *yaml.Node) error {
	switch {
	case node.Kind == yaml.SequenceNode:
		return e.readArgv(node)
	case node.Kind == yaml.ScalarNode && isText(node):
		e.Text = node.Value
		return nil
	case node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null":
		return nil
	}
	return &valueError{message: "must be text or a list, is " + kindOf(node)}
}

func (e *Endpoint) readArgv(node *yaml.Node) error {
	e.Argv = make([]string, 0, len(node.Content))
	for i, item := range node.Content {
		item = deref(item)
		if item.Kind != yaml.ScalarNode || !isText(item) {
			return &valueError{
				message: fmt.Sprintf("argument %d must be text, is %s", i+1, kindOf(item)),
				hint:    quotesHint(item),
			}
		}
		e.Argv = append(e.Argv, item.Value)
	}
	return nil
}

// MarshalYAML writes the form that was read.
func (e Endpoint) MarshalYAML() (any, error) {
	if e.Argv != nil {
		return e.Argv, nil
	}
	return e.Text, nil
}

// IsZero tells that no endpoint was given.
func (e Endpoint) IsZero() bool { return e.Text == "" && len(e.Argv) == 0 }
