package spec

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

// SecretName is the podman secret that holds the final value of an app's variable.
func SecretName(app, key string) string { return "archy." + app + "." + key }

// SecretFileName is the podman secret that is mounted as a file into an app's container.
func SecretFileName(app, file string) string { return "archy." + app + ".file." + file }

// variables collects the environment in its three forms; a name is in one of them only.
type variables struct {
	plain, soft map[string]string
	secret      map[string]secrets.Value
}

func (v *variables) setPlain(key, value string) {
	delete(v.soft, key)
	v.plain[key] = value
}

func (v *variables) setSoft(key, value string) {
	delete(v.plain, key)
	v.soft[key] = value
}

func (v *variables) setSecret(key string, value secrets.Value) {
	delete(v.plain, key)
	delete(v.soft, key)
	v.secret[key] = value
}

func (r *resolver) env(c *Container) {
	v := variables{map[string]string{}, map[string]string{}, map[string]secrets.Value{}}
	vals := r.secretValues()
	for _, entry := range r.App.Environment {
		key, value, ok := strings.Cut(entry, "=")
		if !ok || key == "" {
			r.problem(BadManifest, "environment", "%q is not KEY=value", entry)
			continue
		}
		if !r.composite(&v, key, value, vals) {
			v.setPlain(key, r.reached(value))
		}
	}
	if r.App.Ext("timezone") == "host" && r.Facts.TimeZone != "" {
		v.setSoft("TZ", r.Facts.TimeZone)
	}
	for _, d := range r.App.Container.DerivedEnv {
		r.derived(&v, d, vals)
	}
	for _, s := range r.App.Container.SecretEnv {
		if val := vals[s.Key]; s.Passed() && !val.Missing() {
			v.setSecret(s.Key, val)
		}
	}
	for key, value := range r.Pinned.Env {
		if _, ok := v.secret[key]; !ok {
			v.setPlain(key, value)
		}
	}
	c.Env, c.SoftEnv = v.plain, v.soft
	for _, key := range slices.Sorted(maps.Keys(v.secret)) {
		c.Secrets = append(c.Secrets, SecretEnv{Key: key, Secret: SecretName(c.App, key), Value: v.secret[key]})
	}
	c.SecretEnvHash = secrets.SecretEnvHash(c.App, v.secret)
}

// reached is the value of a variable; one that is just the container name of an app which this one needs is the name that it can be
// reached by.
func (r *resolver) reached(value string) string {
	if r.Called == nil || r.Container == nil {
		return value
	}
	for _, d := range r.App.Dependencies {
		if d.AppID != "" && value != "" && r.Container(d.AppID) == value {
			return cmp.Or(r.Called(d.AppID), value)
		}
	}
	return value
}

// secretValues reads the app's secrets by their variable's name. A missing one is a problem unless it is optional; it
// is in the map with the zero Value then.
func (r *resolver) secretValues() map[string]secrets.Value {
	vals := map[string]secrets.Value{}
	for _, s := range r.App.Container.SecretEnv {
		vals[s.Key] = r.oneLine(s.SecretFile, r.secret(s.SecretFile, s.Optional))
	}
	return vals
}

func (r *resolver) secret(name string, optional bool) secrets.Value {
	if r.Secret != nil {
		if v, ok := r.Secret(name); ok && !v.Missing() {
			return v
		}
	}
	switch {
	case optional:
	case r.generated(name):
		r.problem(MissingGenerated, name, "it is missing or empty (archy secrets gen makes it)")
	default:
		r.problem(MissingOperator, name, "put it into %s", r.Layout.Secrets()+"/"+name)
	}
	return secrets.Value{}
}

// oneLine keeps a text back that a variable cannot carry: two lines are a slip of whoever wrote the file, and no app is to be made with them.
func (r *resolver) oneLine(name string, v secrets.Value) secrets.Value {
	if v.Missing() {
		return v
	}
	if err := v.SingleLine(name); err != nil {
		r.problem(BadSecret, name, "leave only the line with the value in %s: it holds more than one, or a NUL byte", r.Layout.Secrets()+"/"+name)
		return secrets.Value{}
	}
	return v
}

func (r *resolver) generated(name string) bool {
	if r.Generated != nil {
		return r.Generated(name)
	}
	return slices.ContainsFunc(r.App.Container.GeneratedSecrets, func(g manifest.GeneratedSecret) bool {
		return g.Name == name || g.Kind == string(secrets.Bcrypt) && g.Name+secrets.PlainSuffix == name
	})
}

// derived sets a variable that is computed from facts of the node.
func (r *resolver) derived(v *variables, d manifest.DerivedEnv, vals map[string]secrets.Value) {
	if r.composite(v, d.Key, d.Template, vals) {
		return
	}
	value, ok := r.expand(d.Template, d.Soft)
	switch {
	case !ok:
	case d.Soft:
		v.setSoft(d.Key, strings.TrimSpace(value))
	default:
		v.setPlain(d.Key, value)
	}
}

// composite sets a variable whose template names a secret by ${KEY}, and tells whether it is one. The whole value is
// secret then. It is left out when an optional secret of it is missing.
func (r *resolver) composite(v *variables, key, template string, vals map[string]secrets.Value) bool {
	is, complete := false, true
	for name, val := range vals {
		if strings.Contains(template, "${"+name+"}") {
			is = true
			complete = complete && !val.Missing()
		}
	}
	if !is || !complete {
		return is
	}
	// Facts first, so that braces inside a secret stay what they are.
	expanded, ok := r.expand(template, false)
	if !ok {
		return true
	}
	value, err := secrets.Interpolate(expanded, vals)
	if err != nil {
		r.problem(BadSecret, key, "%v", err)
		return true
	}
	v.setSecret(key, value)
	return true
}

var placeholder = regexp.MustCompile(`\{\{([^{}]*)\}\}`)

// expand replaces the placeholders of a template. A soft value does without a fact that the node does not know now,
// such as the address of a node without a cable; any other is a problem.
func (r *resolver) expand(template string, soft bool) (string, bool) {
	ok := true
	out := placeholder.ReplaceAllStringFunc(template, func(match string) string {
		name := strings.Trim(match, "{}")
		value, known := r.fact(name)
		switch {
		case !known:
			r.problem(BadPlaceholder, name, "it is not one of HOST_IP, HOST_MDNS, DISK_GB, BITCOIN_HOST")
			ok = false
		case value == "" && !soft:
			r.problem(BadPlaceholder, name, "%s", unknownFact(name))
			ok = false
		}
		return value
	})
	rest := placeholder.ReplaceAllString(template, "")
	if ok && (strings.Contains(rest, "{{") || strings.Contains(rest, "}}")) {
		r.problem(BadPlaceholder, template, "the braces are not balanced")
		ok = false
	}
	return out, ok
}

func (r *resolver) fact(name string) (value string, known bool) {
	switch name {
	case "HOST_IP":
		return r.Facts.HostIP, true
	case "HOST_MDNS":
		return r.Facts.HostMDNS, true
	case "BITCOIN_HOST":
		return r.Bitcoin.Host, true
	case "DISK_GB":
		if r.Facts.DataDisk <= 0 {
			return "", true
		}
		return strconv.FormatInt(r.Facts.DataDisk/1e9, 10), true
	}
	return "", false
}

func unknownFact(name string) string {
	switch name {
	case "BITCOIN_HOST":
		return "no bitcoin app is installed (archy install bitcoin-knots)"
	case "HOST_IP":
		return "the node has no address now (is the cable plugged in?)"
	}
	return "the node does not know it now"
}

func (r *resolver) secretMounts(c *Container) {
	pairs := map[string]secrets.Value{}
	for _, s := range c.Secrets {
		pairs[s.Key] = s.Value
	}
	for _, m := range r.App.Container.SecretMounts {
		val := r.secret(m.SecretFile, false)
		if r.generated(m.SecretFile) { // the operator's own file may be a key of many lines
			val = r.oneLine(m.SecretFile, val)
		}
		if val.Missing() {
			continue
		}
		mode := m.Mode
		if mode == "" {
			mode = "0400"
		}
		c.SecretMounts = append(c.SecretMounts, SecretMount{
			Secret: SecretFileName(c.App, m.SecretFile), Target: m.Target, Mode: mode, Value: val,
		})
		// A target is a path and a variable is not, so the names cannot meet.
		pairs[m.Target] = val
	}
	c.SecretEnvHash = secrets.SecretEnvHash(c.App, pairs)
}
