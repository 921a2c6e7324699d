package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"sync"

	"go.yaml.in/yaml/v3"
)

// syntaxError is a text that is not one YAML document.
type syntaxError struct {
	line          int
	message, hint string
}

// parse reads the only document of a file.
func parse(data []byte) (*yaml.Node, *syntaxError) {
	if len(data) > maxBytes {
		return nil, &syntaxError{message: fmt.Sprintf("is larger than %d KiB", maxBytes>>10)}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var root, second yaml.Node
	switch err := dec.Decode(&root); {
	case errors.Is(err, io.EOF):
		return nil, &syntaxError{message: "is empty", hint: "a manifest has the root key app"}
	case err != nil:
		return nil, asSyntaxError(err, data)
	}
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, asSyntaxError(err, data)
	default:
		return nil, &syntaxError{line: second.Line, message: "a second document begins here", hint: "one file holds one manifest"}
	}
	if len(root.Content) == 0 || isNull(root.Content[0]) {
		return nil, &syntaxError{message: "is empty", hint: "a manifest has the root key app"}
	}
	return root.Content[0], nil
}

var yamlLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`) })

// asSyntaxError takes the line out of the parser's text, and looks for a better one.
func asSyntaxError(err error, data []byte) *syntaxError {
	text := err.Error()
	match := yamlLine().FindStringSubmatch(text)
	line, _ := strconv.Atoi(match[1])
	if found := lineOfError(data); found > 0 {
		line = found
	}
	return &syntaxError{line: line, message: "is not YAML: " + text[len(match[0]):]}
}

// lineOfError is the first line with which the text cannot be read: the parser names the line on which
// the map around it begins. Only looked for in files of the usual size.
func lineOfError(data []byte) int {
	const mostLines, mostBytes = 400, 32 << 10
	lines := bytes.SplitAfter(data, []byte("\n"))
	if len(lines) > mostLines || len(data) > mostBytes {
		return 0
	}
	end := len(data)
	for i := len(lines); i > 0; i-- {
		end -= len(lines[i-1])
		var n yaml.Node
		if err := yaml.Unmarshal(data[:end], &n); err == nil {
			return i
		}
	}
	return 0
}
