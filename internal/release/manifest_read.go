package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// MaxManifestBytes is the longest manifest.json that is read from a disk. Mirrors may send MaxMirrorManifest.
const (
	MaxManifestBytes  = 16 << 20
	MaxMirrorManifest = 1 << 20
)

// ReadManifest reads manifest.json and lists everything that is wrong with its form. Fields that it does not know are
// passed over, as the updaters in the field do. The manifest holds what could be read; nil when that is nothing.
func ReadManifest(data []byte) (*Manifest, Findings) {
	d := &manifestReader{}
	if len(data) > MaxManifestBytes {
		d.found.Add(ManifestJSON, "", Bytes(int64(len(data))), "at most "+Bytes(MaxManifestBytes))
		return nil, d.found
	}
	if err := strictJSON(data); err != nil {
		d.found.Add(ManifestJSON, "", err.Error(), "a JSON document")
		return nil, d.found
	}
	fields, ok := d.object("", data)
	if !ok {
		return nil, d.found
	}
	m := &Manifest{}
	d.need(fields, "", "version", &m.Version)
	d.need(fields, "", "release_date", &m.ReleaseDate)
	d.need(fields, "", "changelog", &m.Changelog)
	d.may(fields, "", "schema", &m.Schema)
	d.may(fields, "", "min_version", &m.MinVersion)
	d.may(fields, "", "expires", &m.Expires)
	d.may(fields, "", "source_date_epoch", &m.SourceDateEpoch)
	d.may(fields, "", "tool", &m.Tool)
	d.components(m, fields)
	return m, d.found
}

// manifestReader reads field by field, so that one wrong type does not hide the next.
type manifestReader struct{ found Findings }

// object is the fields of a JSON object; their names are taken as they are, where encoding/json would also take
// VERSION for version.
func (d *manifestReader) object(at string, data []byte) (map[string]json.RawMessage, bool) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil || fields == nil {
		d.found.Add(ManifestField, at, word(data), "an object")
		return nil, false
	}
	return fields, true
}

func (d *manifestReader) need(fields map[string]json.RawMessage, at, name string, to any) {
	if _, ok := fields[name]; !ok {
		d.found.Add(ManifestField, at+name, "missing", "")
		return
	}
	d.may(fields, at, name, to)
}

func (d *manifestReader) may(fields map[string]json.RawMessage, at, name string, to any) {
	data, ok := fields[name]
	if !ok {
		return
	}
	var wrong *json.UnmarshalTypeError
	err := json.Unmarshal(data, to)
	switch {
	case errors.As(err, &wrong):
		d.found.Add(ManifestField, at+name, wrong.Value, wrong.Type.String())
	case err != nil:
		d.found.Add(ManifestField, at+name, err.Error(), "")
	case string(data) == "null":
		d.found.Add(ManifestField, at+name, "null", "")
	}
}

func (d *manifestReader) components(m *Manifest, fields map[string]json.RawMessage) {
	var list []json.RawMessage
	d.need(fields, "", "components", &list)
	for i, data := range list {
		if i == 2 {
			break // told by the check of the number
		}
		at := fmt.Sprintf("components[%d]", i)
		fields, ok := d.object(at, data)
		if ok {
			m.Components = append(m.Components, d.component(at+".", fields))
		}
	}
	if len(list) != 2 {
		m.Components = nil
		d.found.Add(ManifestComponents, "components", Count(int64(len(list)), "component", "components"), "the backend, then the frontend")
	}
}

func (d *manifestReader) component(at string, fields map[string]json.RawMessage) Component {
	var c Component
	d.need(fields, at, "name", &c.Name)
	d.need(fields, at, "current_version", &c.CurrentVersion)
	d.need(fields, at, "new_version", &c.NewVersion)
	d.need(fields, at, "download_url", &c.DownloadURL)
	d.need(fields, at, "sha256", &c.SHA256)
	d.need(fields, at, "size_bytes", &c.SizeBytes)
	d.may(fields, at, "files", &c.Files)
	d.may(fields, at, "unpacked_bytes", &c.UnpackedBytes)
	return c
}

// word is what a JSON text begins as, for a finding.
func word(data []byte) string {
	switch data = bytes.TrimSpace(data); {
	case len(data) == 0:
		return "nothing"
	case data[0] == '[':
		return "a list"
	case data[0] == '"':
		return "a text"
	}
	return string(data[:min(len(data), 20)])
}

// strictJSON refuses what two readers could understand differently: a name twice in one object, a second document, bytes
// that are not UTF-8.
func strictJSON(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	if !json.Valid(data) {
		return errors.New("not JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := uniqueNames(dec); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something behind the document")
	}
	return nil
}

// uniqueNames reads one value.
func uniqueNames(dec *json.Decoder) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			if text := name.(string); seen[text] {
				return fmt.Errorf("%q is there twice", printable(text))
			} else {
				seen[text] = true
			}
		}
		if err := uniqueNames(dec); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}
