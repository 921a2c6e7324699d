package spec

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Field is one fact of a container for programs that are not Go. Value is a string, a number, a bool or a list of strings.
type Field struct {
	Name  string
	Value any
}

// Fields are the facts of a container, always all of them in the same order. A secret is there by its podman secret's name,
// never by its value.
func (c *Container) Fields() []Field {
	var build Build
	if c.Build != nil {
		build = *c.Build
	}
	return append([]Field{
		{"name", c.Name}, {"app", c.App}, {"tier", c.Tier},
		{"image", c.Image}, {"image_digest", c.ImageDigest},
		{"build_context", build.Context}, {"build_dockerfile", build.Dockerfile},
		{"entrypoint", c.Entrypoint}, {"command", c.Command},
		{"env", c.environment()}, {"secret_env", c.secretEnv()}, {"secret_files", c.secretFiles()},
		{"network", c.Network}, {"aliases", c.Aliases}, {"hostname", c.Hostname}, {"add_hosts", c.AddHosts},
		{"ports", texts(c.Ports, Port.text)}, {"volumes", texts(c.Mounts, Mount.text)}, {"tmpfs", texts(c.Tmpfs, Tmpfs.text)},
		{"devices", c.Devices}, {"user", c.User}, {"capabilities", c.CapAdd},
		{"readonly", c.ReadOnly}, {"no_new_privileges", c.NoNewPrivileges},
		{"memory", c.Memory}, {"cpus", c.CPUs}, {"pids", c.PidsLimit}, {"shm_size", c.ShmSize},
		{"stop_grace", c.StopGrace}, {"after", c.Unit.After}, {"restart", c.Unit.Restart},
	}, c.Health.fields()...)
}

func (h *Health) fields() []Field {
	if h == nil {
		h = &Health{}
	}
	return []Field{
		{"health_cmd", h.Cmd}, {"health_argv", h.Argv}, {"health_url", h.HostHTTP},
		{"health_interval", h.Interval}, {"health_timeout", h.Timeout}, {"health_retries", h.Retries},
		{"health_start_period", h.StartPeriod},
	}
}

// environment is KEY=value, sorted by key; what may change without a restart is in it too.
func (c *Container) environment() []string {
	all := maps.Clone(c.SoftEnv)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, c.Env)
	var list []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		list = append(list, key+"="+all[key])
	}
	return list
}

// secretEnv is KEY=name of the podman secret.
func (c *Container) secretEnv() []string {
	return texts(c.Secrets, func(s SecretEnv) string { return s.Key + "=" + s.Secret })
}

// secretFiles is path=name of the podman secret.
func (c *Container) secretFiles() []string {
	return texts(c.SecretMounts, func(s SecretMount) string { return s.Target + "=" + s.Secret })
}

func (p Port) text() string {
	text := fmt.Sprintf("%d:%d/%s", p.Host, p.Container, cmp.Or(p.Protocol, "tcp"))
	if p.HostIP == "" {
		return text
	}
	if strings.Contains(p.HostIP, ":") {
		return "[" + p.HostIP + "]:" + text
	}
	return p.HostIP + ":" + text
}

func (m Mount) text() string {
	return withOptions(m.Source+":"+m.Target, m.Options)
}

func (t Tmpfs) text() string { return withOptions(t.Target, t.Options) }

func withOptions(text string, options []string) string {
	if len(options) == 0 {
		return text
	}
	return text + ":" + strings.Join(options, ",")
}

func texts[T any](list []T, text func(T) string) []string {
	var out []string
	for _, v := range list {
		out = append(out, text(v))
	}
	return out
}

// Shell is the container's fields as assignments SPEC_NAME='…' that any shell evaluates to exactly these values; a list has an
// item a line. All variables are set, so that those of another container do not stay.
func (c *Container) Shell() []byte {
	var out bytes.Buffer
	for _, f := range c.Fields() {
		fmt.Fprintf(&out, "SPEC_%s=%s\n", strings.ToUpper(f.Name), shellQuote(f.Text()))
	}
	return out.Bytes()
}

// Text is the value as text: a list has an item a line, a limit that is not set is empty.
func (f Field) Text() string {
	switch v := f.Value.(type) {
	case []string:
		return strings.Join(v, "\n")
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return unset(v == 0, strconv.FormatFloat(v, 'g', -1, 64))
	case int64:
		return unset(v == 0, strconv.FormatInt(v, 10))
	default:
		return fmt.Sprint(v)
	}
}

func unset(is bool, text string) string {
	if is {
		return ""
	}
	return text
}

// shellQuote puts text between single quotes, within which a shell takes every byte for itself; a NUL, which no variable can
// hold, is left out.
func shellQuote(text string) string {
	text = strings.ReplaceAll(text, "\x00", "")
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
