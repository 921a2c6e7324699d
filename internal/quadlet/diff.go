package quadlet

import (
	"maps"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/spec"
	"github.com/containers/podman/v5/pkg/systemd/parser"
	"github.com/containers/podman/v5/pkg/systemd/quadlet"
)

// Hidden stands for a value that is not shown.
const Hidden = "hidden"

// Change is one difference between two units, in the words of the drift report: "memory", "ports", "env TZ". Have and
// Want are "" where the directive is absent; of a list they hold only what one side has and the other has not.
type Change struct {
	Key, Have, Want string
}

// String is the change as a line of a report: "memory 268435456 -> 536870912", "env RPC changed".
func (c Change) String() string {
	switch {
	case c.Have == Hidden && c.Want == Hidden:
		return c.Key + " changed"
	case c.Have == "":
		return c.Key + " +" + c.Want
	case c.Want == "":
		return c.Key + " -" + c.Have
	}
	return c.Key + " " + c.Have + " -> " + c.Want
}

// Diff compares two unit texts by directive and says what differs, in a fixed order. Values of secrets are in no
// unit; a variable that the wanted unit takes from a secret, or whose name speaks of one, is shown as hidden.
// Comments, order and white space are no difference; a unit that cannot be parsed is one change, "unit".
func Diff(have, want []byte) []Change {
	h, errHave := facts(have)
	w, errWant := facts(want)
	if errHave != nil || errWant != nil {
		if string(have) == string(want) {
			return nil
		}
		return []Change{{Key: "unit", Have: "unreadable", Want: "rewritten"}}
	}
	var changes []Change
	for _, key := range slices.Sorted(maps.Keys(union(h, w))) {
		gone, added := minus(h[key], w[key]), minus(w[key], h[key])
		if len(gone)+len(added) == 0 {
			continue
		}
		c := Change{Key: key, Have: strings.Join(gone, " "), Want: strings.Join(added, " ")}
		if secretive(key, h, w) {
			c.Have, c.Want = hide(c.Have), hide(c.Want)
		}
		changes = append(changes, c)
	}
	return withoutHash(changes)
}

// withoutHash drops the spec hash, which only says that something else differs, unless there is nothing else.
func withoutHash(changes []Change) []Change {
	rest := slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return c.Key == hashKey })
	if len(rest) == 0 {
		return changes
	}
	return rest
}

// dimensions are the names of the directives in a drift report; others are called by section and key.
var dimensions = map[string]string{
	quadlet.KeyImage:         "image",
	quadlet.KeyNetwork:       "network",
	quadlet.KeyNetworkAlias:  "aliases",
	quadlet.KeyHostName:      "hostname",
	quadlet.KeyAddHost:       "add-host",
	quadlet.KeyPublishPort:   "ports",
	quadlet.KeyVolume:        "mounts",
	quadlet.KeyTmpfs:         "tmpfs",
	quadlet.KeyAddDevice:     "devices",
	quadlet.KeyUser:          "user",
	quadlet.KeyAddCapability: "caps",
	quadlet.KeyReadOnly:      "read-only",
	quadlet.KeyPidsLimit:     "pids",
	quadlet.KeyShmSize:       "shm",
	quadlet.KeyHealthCmd:     "health",
	quadlet.KeyStopTimeout:   "stop-grace",
	quadlet.KeyEntrypoint:    "entrypoint",
	quadlet.KeyExec:          "command",
}

const hashKey = "spec-hash"

var labelNames = map[string]string{
	spec.LabelSpecHash:      hashKey,
	spec.LabelSecretEnvHash: "secret values",
	spec.LabelConfigDigest:  "derived files",
}

// facts lists the values of a unit by what the report calls them.
func facts(text []byte) (map[string][]string, error) {
	f, err := parse("", text)
	if err != nil {
		return nil, err
	}
	all := map[string][]string{}
	for _, group := range f.ListGroups() {
		for _, key := range f.ListKeys(group) {
			switch group {
			case quadlet.ContainerGroup:
				containerFacts(all, f, key)
				continue
			case wantedGroup:
				all[key] = append(all[key], f.LookupAll(group, key)...)
				continue
			}
			all[strings.ToLower(group)+" "+key] = f.LookupAll(group, key)
		}
	}
	return all, nil
}

func containerFacts(all map[string][]string, f *parser.UnitFile, key string) {
	const group = quadlet.ContainerGroup
	switch key {
	case quadlet.KeyEnvironment:
		for name, value := range f.LookupAllKeyVal(group, key) {
			all["env "+name] = []string{unescape(value)}
		}
	case quadlet.KeyLabel:
		for name, value := range f.LookupAllKeyVal(group, key) {
			all[labelName(name)] = []string{unescape(value)}
		}
	case quadlet.KeySecret:
		for _, text := range f.LookupAllArgs(group, key) {
			all["secret "+secretTarget(text)] = []string{text}
		}
	case quadlet.KeyPodmanArgs:
		for _, arg := range f.LookupAllArgs(group, key) {
			name, value, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
			all[name] = append(all[name], value)
		}
	default:
		name := dimensions[key]
		if name == "" {
			name = "container " + key
		}
		for _, value := range f.LookupAll(group, key) {
			all[name] = append(all[name], unescape(value))
		}
	}
}

func labelName(label string) string {
	if name, ok := labelNames[label]; ok {
		return name
	}
	return "label " + label
}

// secretTarget is the variable or the path that a secret becomes.
func secretTarget(text string) string {
	name, _, _ := strings.Cut(text, ",")
	for _, option := range strings.Split(text, ",") {
		if target, ok := strings.CutPrefix(option, "target="); ok {
			return target
		}
	}
	return name
}

// unescape undoes escape for people.
func unescape(value string) string { return forPeople.Replace(value) }

var forPeople = strings.NewReplacer("$$", "$", "%%", "%")

// secretive tells whether a difference must not be shown. Names count as well as what we know, because somebody may
// have written a password into a unit by hand.
func secretive(key string, units ...map[string][]string) bool {
	if key == labelNames[spec.LabelSecretEnvHash] {
		return true
	}
	name, isEnv := strings.CutPrefix(key, "env ")
	if !isEnv {
		return false
	}
	for _, u := range units {
		if _, ok := u["secret "+name]; ok {
			return true
		}
	}
	upper := strings.ToUpper(name)
	return slices.ContainsFunc([]string{"PASS", "SECRET", "TOKEN", "KEY", "AUTH", "CREDENTIAL"}, func(word string) bool {
		return strings.Contains(upper, word)
	})
}

func hide(value string) string {
	if value == "" {
		return ""
	}
	return Hidden
}

func union(a, b map[string][]string) map[string][]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func minus(a, b []string) []string {
	var rest []string
	for _, v := range a {
		if !slices.Contains(b, v) {
			rest = append(rest, v)
		}
	}
	return rest
}

// UnitLabels are the labels that a unit on disk gives its container; nil for a text that cannot be parsed.
func UnitLabels(unit []byte) map[string]string {
	f, err := parse("", unit)
	if err != nil {
		return nil
	}
	return f.LookupAllKeyVal(quadlet.ContainerGroup, quadlet.KeyLabel)
}
