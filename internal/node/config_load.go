package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
)

// maxConfigSize bounds what is read as a configuration.
const maxConfigSize = 256 << 10

// ConfigError holds everything that is wrong with the configuration, in the order of the document.
type ConfigError struct{ Findings []ConfigFinding }

// ConfigFinding is one fault. Source is "file:line" or the name of an environment variable; Key is
// dotted, "" when the fault is of the document.
type ConfigFinding struct{ Source, Key, Text string }

func (f ConfigFinding) String() string {
	if f.Key == "" {
		return f.Source + ": " + f.Text
	}
	return f.Source + ": " + f.Key + ": " + f.Text
}

func (e *ConfigError) Error() string {
	lines := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// LoadConfig reads the configuration at path, with the variables ARCHY_<SECTION>_<KEY> of env (as
// os.Environ gives them) over it. An absent file is all defaults. Unknown keys and variables, wrong types
// and values out of range are a *ConfigError with every finding. Variables that begin with ARCHY_TEST_ are not
// archy's.
func LoadConfig(path string, env []string) (Config, error) {
	data, err := readConfig(path)
	if err != nil {
		return Config{}, err
	}
	c := &configCheck{file: path, source: map[string]string{}}
	values := c.document(data)
	overrides := c.environment(env)
	if len(c.findings) > 0 {
		return Config{}, &ConfigError{c.findings}
	}
	cfg, err := decodeConfig(values, overrides)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	c.validate(cfg)
	if len(c.findings) > 0 {
		return Config{}, &ConfigError{c.findings}
	}
	return cfg, nil
}

func readConfig(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfigSize+1))
	if err == nil && len(data) > maxConfigSize {
		err = errors.New("larger than 256 KiB")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// decodeConfig lets viper merge file and environment over the defaults, once.
func decodeConfig(values, overrides map[string]any) (Config, error) {
	cfg := Default()
	v := viper.New()
	if err := v.MergeConfigMap(values); err != nil {
		return cfg, err
	}
	for key, value := range overrides {
		v.Set(key, value)
	}
	return cfg, v.UnmarshalExact(&cfg)
}

// configCheck collects findings, and from where each key was set.
type configCheck struct {
	file     string
	source   map[string]string
	findings []ConfigFinding
}

func (c *configCheck) add(source, key, format string, args ...any) {
	c.findings = append(c.findings, ConfigFinding{source, key, fmt.Sprintf(format, args...)})
}

// document checks the YAML text and returns its values.
func (c *configCheck) document(data []byte) map[string]any {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		c.add(c.file+syntaxLine(err), "", "%s", syntaxText(err))
		return nil
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		c.add(fmt.Sprintf("%s:%d", c.file, second.Line), "", "a second document; the configuration is one document")
	}
	root := doc.Content[0]
	if root.Tag == "!!null" {
		return nil
	}
	at := func(n *yaml.Node) string { return fmt.Sprintf("%s:%d", c.file, n.Line) }
	values, _ := c.value(root, configSchema(), at).(map[string]any)
	return values
}

// syntaxLine and syntaxText take "yaml: line 3: text" apart. The library counts the lines of errors of its
// parser, not of its scanner, from zero.
func syntaxLine(err error) string {
	rest, ok := strings.CutPrefix(err.Error(), "yaml: line ")
	if !ok {
		return ""
	}
	number, text, _ := strings.Cut(rest, ": ")
	line, _ := strconv.Atoi(number)
	if strings.HasPrefix(text, "did not find expected") {
		line++
	}
	return fmt.Sprintf(":%d", line)
}

func syntaxText(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		_, text, _ = strings.Cut(rest, ": ")
	}
	return text
}

// environment checks the ARCHY_* variables and returns their values by key.
func (c *configCheck) environment(env []string) map[string]any {
	schema := configSchema()
	leaves := map[string]*configKey{}
	schema.leaves(func(k *configKey) { leaves[envName(k.path)] = k })
	values := map[string]any{}
	for _, entry := range slices.Sorted(slices.Values(env)) {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "ARCHY_") || strings.HasPrefix(name, "ARCHY_TEST_") || failpoint.Variable(name) {
			continue
		}
		key, ok := leaves[name]
		if !ok {
			c.add(name, "", "no such variable%s", suggest(name, mapKeys(leaves)))
			continue
		}
		values[key.path] = c.variable(name, value, key)
	}
	return values
}

// variable reads the value of an environment variable with the rules of the file: as it is for text, with commas
// for a list of words, as YAML for the rest.
func (c *configCheck) variable(name, value string, key *configKey) any {
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
	switch {
	case key.kind == keyWords && !strings.HasPrefix(value, "["):
		node = &yaml.Node{Kind: yaml.SequenceNode}
		for word := range strings.SplitSeq(value, ",") {
			if word = strings.TrimSpace(word); word != "" {
				node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: word})
			}
		}
	case key.kind != keyText && key.kind != keyDuration && key.kind != keyNumberOrText:
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(value), &doc); err != nil || len(doc.Content) != 1 {
			c.add(name, "", "%q is not %s", value, key.kind.want())
			return nil
		}
		node = doc.Content[0]
	}
	return c.value(node, key, func(*yaml.Node) string { return name })
}

func envName(path string) string {
	return "ARCHY_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}
