package manifest

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/nearest"
)

// Placeholders are the names that a derived value may hold.
var Placeholders = []string{"HOST_IP", "HOST_MDNS", "DISK_GB", "BITCOIN_HOST"}

func (c checker) secrets() {
	k := c.app.Container
	names := map[string]bool{}
	for i, s := range k.GeneratedSecrets {
		if s.Name != "" && names[s.Name] {
			c.errorf(fmt.Sprintf("container.generated_secrets[%d].name", i), "remove one of the two", "%s is generated twice", s.Name)
		}
		names[s.Name] = true
	}
	for i, cert := range k.GeneratedCerts {
		c.cert(fmt.Sprintf("container.generated_certs[%d]", i), cert)
	}
	for i, m := range k.SecretMounts {
		c.target(fmt.Sprintf("container.secret_mounts[%d].target", i), m.Target)
	}
}

func (c checker) cert(field string, cert GeneratedCert) {
	files := [][2]string{{"crt", cert.Crt}, {"key", cert.Key}}
	for _, f := range files {
		if f[1] != "" && escapes(f[1]) || path.IsAbs(f[1]) && !within(f[1], Root) {
			c.errorf(field+"."+f[0], "a file name, or a path below "+Root, "%s lies elsewhere", quote(f[1]))
		}
	}
	if cert.Crt != "" && cert.Crt == cert.Key {
		c.errorf(field+".key", "give it a name of its own", "is the same file as the certificate")
	}
	c.template(field+".common_name", cert.CommonName)
	for i, name := range cert.SANs {
		c.template(fmt.Sprintf("%s.sans[%d]", field, i), name)
	}
}

// template checks the placeholders of a derived value.
func (c checker) template(field, text string) {
	names, balanced := placeholders(text)
	if !balanced {
		c.errorf(field, "write {{NAME}}", "the braces are not balanced")
		return
	}
	for _, name := range names {
		if !slices.Contains(Placeholders, name) {
			c.errorf(field, placeholderHint(name), "{{%s}} is not known", name)
			return
		}
	}
}

func placeholderHint(name string) string {
	if near := nearest.Name(name, Placeholders); near != "" {
		return "did you mean {{" + near + "}}?"
	}
	return "one of " + strings.Join(Placeholders, ", ")
}

// placeholders lists the names in double braces; false when a brace pair has no partner.
func placeholders(text string) (names []string, balanced bool) {
	for {
		before, after, opened := strings.Cut(text, "{{")
		if strings.Contains(before, "}}") {
			return names, false
		}
		if !opened {
			return names, true
		}
		name, rest, closed := strings.Cut(after, "}}")
		if !closed || strings.ContainsAny(name, "{}") {
			return names, false
		}
		names, text = append(names, name), rest
	}
}

// references lists the names in ${}; false when one is not closed.
func references(text string) (names []string, closed bool) {
	for {
		_, after, opened := strings.Cut(text, "${")
		if !opened {
			return names, true
		}
		name, rest, ok := strings.Cut(after, "}")
		if !ok {
			return names, false
		}
		names, text = append(names, name), rest
	}
}

// environment checks all variables of the container together: each is set once, and each ${KEY} is there.
func (c checker) environment() {
	v := variables{checker: c, set: map[string]string{}, used: map[string]bool{}, secrets: map[string]bool{}}
	for _, s := range c.app.Container.SecretEnv {
		v.secrets[s.Key] = true
	}
	for i, line := range c.app.Environment {
		v.plain(fmt.Sprintf("environment[%d]", i), line)
	}
	for i, d := range c.app.Container.DerivedEnv {
		field := fmt.Sprintf("container.derived_env[%d]", i)
		v.claim(field+".key", d.Key)
		c.template(field+".template", d.Template)
		v.interpolate(field+".template", d.Template)
	}
	v.secretEnv()
}

// variables is what the environment of a container holds so far.
type variables struct {
	checker
	set     map[string]string // key → the field that set it
	used    map[string]bool   // keys that a ${KEY} names
	secrets map[string]bool   // keys of secret_env
}

// claim notes that a field sets a variable.
func (v variables) claim(field, key string) {
	if first, twice := v.set[key]; twice {
		v.errorf(field, "remove one of the two", "%s is already set by app.%s", key, first)
		return
	}
	if key != "" {
		v.set[key] = field
	}
}

func (v variables) plain(field, line string) {
	key, value, ok := strings.Cut(line, "=")
	if !ok || v.bad(field) {
		return
	}
	v.claim(field, key)
	v.interpolate(field, value)
	names, _ := placeholders(value)
	switch {
	case slices.ContainsFunc(names, func(n string) bool { return slices.Contains(Placeholders, n) }):
		v.warnf(field, "move it to container.derived_env", "placeholders are not replaced in environment")
	case looksSecret(key, value):
		v.warnf(field, "move it to container.secret_env", "%s looks like a secret", key)
	}
}

// interpolate checks that every ${KEY} of a value names a secret_env.
func (v variables) interpolate(field, value string) {
	names, closed := references(value)
	if !closed {
		v.errorf(field, "write ${KEY}", "a ${ is not closed")
		return
	}
	for _, name := range names {
		v.used[name] = true
		if !v.secrets[name] {
			v.errorf(field, "add it to container.secret_env", "${%s} is not a key of secret_env", name)
			return
		}
	}
}

func (v variables) secretEnv() {
	seen := map[string]bool{}
	for i, s := range v.app.Container.SecretEnv {
		field := fmt.Sprintf("container.secret_env[%d].key", i)
		switch {
		case s.Key == "":
		case seen[s.Key]:
			v.errorf(field, "remove one of the two", "%s is listed twice", s.Key)
		case s.Passed():
			v.claim(field, s.Key)
		case !v.used[s.Key]:
			v.warnf(field, "remove it, or use it as ${"+s.Key+"}", "%s is not passed and not used", s.Key)
		}
		seen[s.Key] = true
	}
}

// secretWords in the name of a variable tell that its value is one to keep.
var secretWords = []string{"PASSWORD", "PASSWD", "SECRET", "TOKEN", "APIKEY", "API_KEY", "PRIVATE_KEY", "AUTHKEY", "AUTH_KEY", "MNEMONIC", "SEED"}

// looksSecret guesses from the name and the form of a literal value. Paths, switches and values made of a secret_env are none.
func looksSecret(key, value string) bool {
	if strings.Contains(value, "${") || len(value) < 4 || value == "true" || value == "false" {
		return false
	}
	if _, rest, ok := strings.Cut(value, "://"); ok {
		login, _, at := strings.Cut(rest, "@")
		_, password, colon := strings.Cut(login, ":")
		return at && colon && password != "" && !strings.Contains(login, "/")
	}
	name := strings.ToUpper(key)
	if strings.HasPrefix(value, "/") || strings.HasSuffix(name, "_FILE") || strings.HasSuffix(name, "_PATH") {
		return false
	}
	named := slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(name, w) })
	return named && strings.Trim(value, "0123456789") != "" || randomHex(value)
}

// randomHex tells whether a value is the hex form of at least 16 bytes.
func randomHex(value string) bool {
	return len(value) >= 32 && strings.Trim(value, "0123456789abcdefABCDEF") == "" && strings.Trim(value, "0123456789") != ""
}
