package apps

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The manifests are read as plain YAML here, not with the package that archy reads them with: a field that it
// forgets must not be forgotten by the test too.

func TestManifestsKeepTheContract(t *testing.T) {
	contract := readContract(t)
	if got, want := IDs(), sortedKeys(contract); !slices.Equal(got, want) {
		t.Fatalf("shipped apps %v, the contract has %v", got, want)
	}
	for _, id := range IDs() {
		t.Run(id, func(t *testing.T) {
			app := readManifest(t, id)
			if got := app.text("id"); got != id {
				t.Errorf("folder %s holds the manifest of %q", id, got)
			}
			compare(t, describe(app), contract[id])
		})
	}
}

// TestDependenciesAreShipped: an app that needs one that nobody ships could never start.
func TestDependenciesAreShipped(t *testing.T) {
	ids := IDs()
	for _, id := range ids {
		app := readManifest(t, id)
		needed := app.at("container").texts("restart_on_peer_change")
		for _, d := range app.list("dependencies") {
			needed = append(needed, d.text("app_id"))
		}
		if follows := app.text("follows"); follows != "" {
			needed = append(needed, follows)
		}
		for _, n := range needed {
			if !slices.Contains(ids, n) {
				t.Errorf("%s needs %s, which is not shipped", id, n)
			}
		}
	}
}

// port-pair-4080: a port of the host that leads to where nobody listens has the app made anew for ever. What mempool's page is told to
// listen on is what its port leads to and what its check asks.
func TestIncident11PortPair4080(t *testing.T) {
	app := readManifest(t, "mempool")
	ports := app.list("ports")
	if len(ports) != 1 || ports[0].text("host") != "4080" || ports[0].text("container") != "8080" {
		t.Errorf("ports %v", ports)
	}
	if vars := app.texts("environment"); !slices.Contains(vars, "FRONTEND_HTTP_PORT=8080") {
		t.Errorf("environment %q", vars)
	}
	if check := app.at("health_check").text("endpoint"); !strings.Contains(check, "127.0.0.1:8080/") {
		t.Errorf("health check %q", check)
	}
}

// TestHealthTextHasNoDoubleQuotes: podman 5.4.2 mangles them.
func TestHealthTextHasNoDoubleQuotes(t *testing.T) {
	for _, id := range IDs() {
		if text := readManifest(t, id).at("health_check").text("endpoint"); strings.Contains(text, `"`) {
			t.Errorf("%s: health text %s", id, text)
		}
	}
}

// TestOpenPortsSayWhy: a port that anyone may reach needs a reason, a gated one needs none.
func TestOpenPortsSayWhy(t *testing.T) {
	for _, id := range IDs() {
		for _, p := range readManifest(t, id).list("ports") {
			if open, why := p.text("auth") == "open", p.text("auth_rationale"); open != (why != "") {
				t.Errorf("%s: port %s has auth %s and the rationale %q", id, p.text("host"), p.text("auth"), why)
			}
		}
	}
}

// describe writes a manifest in the notation of contract.txt.
func describe(app node) map[string]string {
	c, sec, res := app.at("container"), app.at("security"), app.at("resources")
	ours := app.at("extensions").at("archipelago")
	facts := map[string]string{
		"container": containerName(app),
		"image":     c.text("image"),
		"build":     words(c.at("build").text("context"), c.at("build").text("dockerfile"), c.at("build").text("tag")),
		"network":   c.text("network"),
		"ports":     each(app.list("ports"), ", ", describePort),
		"volumes":   each(app.list("volumes"), ", ", describeVolume),
		"data_uid":  c.text("data_uid"),
		"user":      sec.text("user"),
		"memory":    res.text("memory_limit"),
		"cpu":       res.text("cpu_limit") + ours.text("cpu"),
		"sizing":    ours.text("sizing"),
		"caps":      words(sec.texts("capabilities")...),
		"root":      map[string]string{"true": "read-only", "false": "writable"}[sec.text("readonly_root")],
		"shm":       c.text("shm_size"),
		"env":       words(spaced(app.texts("environment"))...),
		"timezone":  ours.text("timezone"),
		"secrets":   each(c.list("secret_env"), " ", describeSecret),
		"generated": each(c.list("generated_secrets"), " ", func(s node) string { return s.text("name") + "/" + s.text("kind") }),
		"mounted":   each(c.list("secret_mounts"), ", ", func(m node) string { return m.text("secret_file") + " → " + m.text("target") }),
		"computed":  each(c.list("derived_env"), " ", describeComputed),
		"command":   command(c),
		"health":    describeHealth(app.at("health_check")),
		"grace":     app.text("stop_grace_secs"),
		"gate":      each(app.list("start_gate"), ", ", describeGate),
		"post_start": each(app.at("hooks").list("post_start"), ", ",
			func(h node) string { return words(quoted(h.texts("exec"))...) }),
		"depends":   each(app.list("dependencies"), ", ", func(d node) string { return d.text("app_id") + " (" + d.text("condition") + ")" }),
		"conflicts": words(app.texts("conflicts")...),
		"peers":     words(c.texts("restart_on_peer_change")...),
		"creation":  creation(app),
		"profiles":  words(app.texts("profiles")...),
		"derived":   ours.text("derived"),
		"tier":      app.at("metadata").text("tier"),
	}
	for k, v := range facts {
		if v == "" {
			delete(facts, k)
		}
	}
	return facts
}

func containerName(app node) string {
	switch name := app.text("container_name"); {
	case name != "":
		return name
	case app.at("metadata").text("tier") == "4":
		return "archy-" + app.text("id")
	}
	return app.text("id")
}

func describePort(p node) string {
	letter := "L"
	switch {
	case p.text("auth") == "open":
		letter = "P"
	case p.text("bind") == "127.0.0.1":
		letter = "H"
	case slices.Contains([]string{"8332", "28332", "28333"}, p.text("host")):
		letter = "C"
	}
	protocol := ""
	if p.text("protocol") == "udp" {
		protocol = "/udp"
	}
	return p.text("host") + ":" + p.text("container") + protocol + " " + letter
}

func describeVolume(v node) string {
	if v.text("type") == "tmpfs" {
		return "tmpfs " + v.text("target")
	}
	source := strings.Replace(v.text("source"), "/var/lib/archipelago/", "D/", 1)
	s := source + " → " + v.text("target")
	if options := v.texts("options"); len(options) > 0 {
		s += " (" + strings.Join(options, ",") + ")"
	}
	return s
}

func describeSecret(s node) string {
	text := s.text("key") + "←" + s.text("secret_file")
	if s.text("pass") == "false" {
		text += " (not passed)"
	}
	if s.text("optional") == "true" {
		text += " (optional)"
	}
	return text
}

func describeComputed(e node) string {
	text := spaced([]string{e.text("key") + "=" + e.text("template")})[0]
	if e.text("soft") == "true" {
		text += " (soft)"
	}
	return text
}

func describeGate(g node) string {
	if secret := g.text("secret"); secret != "" {
		return "secret " + secret
	}
	return "path " + g.text("path")
}

// describeHealth is empty for an app that has no check.

func describeHealth(h node) string {
	if h.value == nil {
		return ""
	}
	times := make([]string, 0, 4)
	for _, key := range []string{"interval", "timeout", "retries", "start_period"} {
		times = append(times, strings.TrimSuffix(h.text(key), "s"))
	}
	text := h.text("endpoint")
	if h.text("type") != "cmd" {
		text = h.text("type") + " " + text
	}
	return text + " · " + strings.Join(times, "/")
}

// command is the entrypoint, a bar, and the arguments; nothing when the image's own are used.
func command(c node) string {
	entry, args := c.texts("entrypoint"), c.texts("custom_args")
	if len(entry)+len(args) == 0 {
		return ""
	}
	return words(words(quoted(entry)...), "|", words(quoted(args)...))
}

func creation(app node) string {
	switch {
	case app.text("follows") != "" && app.text("optional") == "true":
		return "follows " + app.text("follows")
	case app.text("optional") == "true":
		return "optional"
	}
	return "always"
}

func compare(t *testing.T, got, want map[string]string) {
	t.Helper()
	for _, key := range sortedKeys(got, want) {
		if got[key] != want[key] {
			t.Errorf("%s:\n manifest %s\n contract %s", key, got[key], want[key])
		}
	}
}

func readContract(t *testing.T) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile("contract.txt")
	if err != nil {
		t.Fatal(err)
	}
	contract := map[string]map[string]string{}
	var app map[string]string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch key, value, isFact := strings.Cut(line, ": "); {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			app = map[string]string{}
			contract[strings.Trim(line, "[]")] = app
		case isFact:
			app[key] = value
		default:
			t.Fatalf("contract.txt: %q is neither an app nor a fact", line)
		}
	}
	return contract
}

// node is any value of a YAML document; asking one that is absent gives absent ones.
type node struct{ value any }

func readManifest(t *testing.T, id string) node {
	t.Helper()
	text, err := fs.ReadFile(FS, id+"/manifest.yml")
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return node{document}.at("app")
}

func (n node) at(key string) node {
	m, _ := n.value.(map[string]any)
	return node{m[key]}
}

func (n node) text(key string) string {
	if v := n.at(key).value; v != nil {
		return fmt.Sprint(v)
	}
	return ""
}

func (n node) list(key string) []node {
	values, _ := n.at(key).value.([]any)
	nodes := make([]node, len(values))
	for i, v := range values {
		nodes[i] = node{v}
	}
	return nodes
}

func (n node) texts(key string) []string {
	var texts []string
	for _, v := range n.list(key) {
		texts = append(texts, fmt.Sprint(v.value))
	}
	return texts
}

func each(nodes []node, separator string, describe func(node) string) string {
	parts := make([]string, len(nodes))
	for i, n := range nodes {
		parts[i] = describe(n)
	}
	return strings.Join(parts, separator)
}

func quoted(texts []string) []string {
	q := make([]string, len(texts))
	for i, s := range texts {
		q[i] = `"` + s + `"`
	}
	return q
}

// spaced puts quotes around the texts that have a space in them.
func spaced(texts []string) []string {
	out := make([]string, len(texts))
	for i, s := range texts {
		if out[i] = s; strings.Contains(s, " ") {
			out[i] = `"` + s + `"`
		}
	}
	return out
}

func words(parts ...string) string { return strings.TrimSpace(strings.Join(parts, " ")) }

func sortedKeys[V any](maps ...map[string]V) []string {
	var keys []string
	for _, m := range maps {
		for k := range m {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
