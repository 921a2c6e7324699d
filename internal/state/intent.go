package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"time"
)

// Intent is what the owner stopped. Ask it with Stopped; change it with Store.SetStopped.
type Intent struct {
	doc   intentDoc
	flags map[string]bool
	older map[string][]string
	// Warning is set when user-stopped.json cannot be read: the flag files are in force instead.
	Warning error
}

// Stopped tells whether the owner stopped this app. Entries match the app id or a name of its container.
func (i Intent) Stopped(app, container string) bool {
	if i.Warning != nil {
		return i.flags[container]
	}
	return i.doc.has(entries(app, container, i.older)...)
}

// entries are what the owner's list may call an app.
func entries(app, container string, older map[string][]string) []string {
	return append([]string{app, container}, older[app]...)
}

// ReadIntent reads user-stopped.json, or the flag files when it cannot be understood. It writes nothing.
func (s *Store) ReadIntent() Intent {
	doc, err := s.readIntentDoc()
	if err == nil {
		return Intent{doc: doc, older: s.Older}
	}
	flags, _ := s.flags()
	return Intent{flags: flags, Warning: Problem{Path: s.layout.UserStopped(), Err: err}}
}

// SyncFlags brings the flag files state/stopped/<container> in line with user-stopped.json, for the
// apps given (app id to container name), and leaves flags of other containers alone. It returns the
// intent that is in force; with Warning set nothing was changed.
func (s *Store) SyncFlags(apps map[string]string) (Intent, error) {
	intent := s.ReadIntent()
	if intent.Warning != nil {
		return intent, nil
	}
	flags, err := s.flags()
	if err != nil {
		return intent, err
	}
	for app, container := range apps {
		want := intent.Stopped(app, container)
		if want == flags[container] {
			continue
		}
		if err := s.setFlag(container, want); err != nil {
			return intent, err
		}
	}
	return intent, nil
}

// SetStopped writes the owner's intent for one app, the file first and then the flag. A file that cannot
// be understood is kept aside and written anew from the flags in force; apps (app id to container name) says
// whose they are.
func (s *Store) SetStopped(app, container string, stopped bool, apps map[string]string) error {
	doc, err := s.readIntentDoc()
	if err != nil {
		doc, err = s.replaceIntent(apps)
	}
	if err != nil {
		return err
	}
	names := entries(app, container, s.Older)
	if doc.has(names...) != stopped {
		if err := s.writeIntent(doc.with(names, stopped, s.now())); err != nil {
			return err
		}
	}
	return s.setFlag(container, stopped)
}

func (s *Store) writeIntent(doc intentDoc) error {
	return s.write(s.layout.UserStopped(), doc.bytes(), 0o644)
}

// replaceIntent keeps the unreadable file aside and rebuilds the list from the flags.
func (s *Store) replaceIntent(apps map[string]string) (intentDoc, error) {
	flags, err := s.flags()
	if err != nil {
		return intentDoc{}, err
	}
	if err := s.keepAside(s.layout.UserStopped()); err != nil {
		return intentDoc{}, err
	}
	var doc intentDoc
	for app, container := range apps {
		if flags[container] {
			doc.list = append(doc.list, app)
		}
	}
	sort.Strings(doc.list)
	return doc, s.writeIntent(doc)
}

func (s *Store) flags() (map[string]bool, error) {
	dir := s.layout.State("stopped")
	entries, err := os.ReadDir(s.layout.Host(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, bare(err))
	}
	flags := map[string]bool{}
	for _, e := range entries {
		flags[e.Name()] = true
	}
	return flags, nil
}

func (s *Store) setFlag(container string, on bool) error {
	path := s.layout.State("stopped", container)
	if !on {
		return s.remove(path)
	}
	return s.write(path, nil, 0o600)
}

func (s *Store) readIntentDoc() (intentDoc, error) {
	data, err := os.ReadFile(s.layout.Host(s.layout.UserStopped()))
	if errors.Is(err, fs.ErrNotExist) {
		return intentDoc{}, nil
	}
	if err != nil {
		return intentDoc{}, bare(err)
	}
	return parseIntent(data)
}

// intentDoc is user-stopped.json in the form in which it was found: a list; an object with a list under
// "apps" or "containers" (key); or an object from name to true or a time (key "" and object set).
type intentDoc struct {
	list   []string
	key    string
	object map[string]json.RawMessage
}

func parseIntent(data []byte) (intentDoc, error) {
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("[")) {
		var doc intentDoc
		return doc, wrapIntent(json.Unmarshal(data, &doc.list))
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return intentDoc{}, wrapIntent(err)
	}
	if object == nil {
		return intentDoc{}, wrapIntent(errors.New("it is null"))
	}
	for _, key := range []string{"apps", "containers"} {
		var list []string
		if raw, ok := object[key]; ok && json.Unmarshal(raw, &list) == nil {
			return intentDoc{list: list, key: key, object: object}, nil
		}
	}
	for name, raw := range object {
		if !isMark(raw) {
			return intentDoc{}, wrapIntent(fmt.Errorf("%q is neither true, false nor a time", name))
		}
	}
	return intentDoc{object: object}, nil
}

func wrapIntent(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("not a list of stopped apps: %w", err)
}

// isMark accepts true, false, null, a number (seconds) and a time as text.
func isMark(raw json.RawMessage) bool {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return false
	}
	switch v := v.(type) {
	case nil, bool, float64:
		return true
	case string:
		_, err := time.Parse(time.RFC3339, v)
		return err == nil
	}
	return false
}

func (d intentDoc) isObject() bool { return d.object != nil && d.key == "" }

func (d intentDoc) has(names ...string) bool {
	for _, name := range names {
		if d.isObject() && on(d.object[name]) {
			return true
		}
		for _, entry := range d.list {
			if entry == name {
				return true
			}
		}
	}
	// Both lists of one object count, whichever is written.
	if d.key == "apps" {
		var other []string
		if json.Unmarshal(d.object["containers"], &other) == nil {
			return intentDoc{list: other}.has(names...)
		}
	}
	return false
}

func on(raw json.RawMessage) bool {
	return len(raw) > 0 && string(raw) != "false" && string(raw) != "null"
}

// with returns the document with the app's entry set or all of its entries gone, in the same form. names are the app's id, its container
// and what that was called before.
func (d intentDoc) with(names []string, stopped bool, now time.Time) intentDoc {
	app, container := names[0], names[1]
	out := intentDoc{key: d.key, list: without(d.list, names...)}
	if d.object != nil {
		out.object = map[string]json.RawMessage{}
		for k, v := range d.object {
			out.object[k] = v
		}
	}
	switch {
	case d.isObject():
		for _, name := range names {
			delete(out.object, name)
		}
		if stopped {
			out.object[app] = mark(d.object, now)
		}
	case stopped && d.key == "containers":
		out.list = append(out.list, container)
	case stopped:
		out.list = append(out.list, app)
	}
	out.dropOther(names)
	return out
}

// dropOther removes the app from the second list of an object that has both.
func (d intentDoc) dropOther(names []string) {
	var other []string
	if d.key != "apps" || json.Unmarshal(d.object["containers"], &other) != nil {
		return
	}
	d.object["containers"], _ = json.Marshal(without(other, names...))
}

// mark is the value of a new entry: a time where the others have times, else true.
func mark(object map[string]json.RawMessage, now time.Time) json.RawMessage {
	for _, raw := range object {
		if bytes.HasPrefix(raw, []byte(`"`)) {
			return json.RawMessage(`"` + now.UTC().Format(time.RFC3339) + `"`)
		}
	}
	return json.RawMessage("true")
}

func without(list []string, names ...string) []string {
	kept := []string{}
	for _, entry := range list {
		if !(intentDoc{list: names}).has(entry) {
			kept = append(kept, entry)
		}
	}
	return kept
}

func (d intentDoc) bytes() []byte {
	var v any = d.list
	switch {
	case d.object != nil:
		if d.key != "" {
			d.object[d.key], _ = json.Marshal(d.list)
		}
		v = d.object
	case d.list == nil:
		v = []string{}
	}
	data, _ := json.Marshal(v)
	return append(data, '\n')
}
