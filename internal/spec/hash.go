package spec

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// HashCurrent is the version of the hash that new labels carry.
const HashCurrent = "v1"

// canonical has a function for each version of the hash that a container may still be labelled with. A version is
// never changed and never removed: a changed rule is a new version, so that an upgrade of archy recreates nothing.
var canonical = map[string]func(Container) map[string]any{
	"v1": canonicalV1,
}

// Hash is the current hash of the container, `v1:` and 32 hex digits: the value of the label io.archipelago.spec-hash.
func (c Container) Hash() string {
	hash, err := HashVersion(c, HashCurrent)
	if err != nil {
		panic(err) // the current version is in the table
	}
	return hash
}

// HashVersion is the hash by the rules of one version; an error means that this archy does not know it.
func HashVersion(c Container, version string) (string, error) {
	fields, ok := canonical[version]
	if !ok {
		return "", fmt.Errorf("spec hash version %q is not known to this archy", version)
	}
	sum := sha256.Sum256(encode(fields(c)))
	return version + ":" + hex.EncodeToString(sum[:])[:32], nil
}

// SameSpec tells whether a container with that label is the wanted one, by the rules of the label's own version.
// relabel tells that it is, but that the version is an old one: the unit gets the new label, nothing restarts.
func SameSpec(label string, c Container) (same, relabel bool) {
	version, _, _ := strings.Cut(label, ":")
	hash, err := HashVersion(c, version)
	if err != nil || hash != label {
		return false, false
	}
	return true, version != HashCurrent
}

// encode is canonical JSON: keys sorted, no escapes that JSON does not ask for, no newline.
func encode(fields map[string]any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(fields); err != nil {
		panic(err) // strings, numbers and maps of them
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// canonicalV1 are the explicitly set fields of a container: what is empty, zero or false is left out, so a field that
// a later archy adds changes no hash until an app uses it. Lists whose order means nothing are sorted. Sizes are
// bytes, times seconds. Secrets count by their names and one digest. Left out on purpose: Tier (a label), Build (the
// image reference carries the digest of the context), SoftEnv, Unit, what only archy acts on (a mount's Own and File,
// a health check that archy runs from the host).
func canonicalV1(c Container) map[string]any {
	f := fields{}
	f.text("app", c.App)
	f.text("name", c.Name)
	f.text("image", c.Image)
	f.text("image_digest", c.ImageDigest)
	f.list("entrypoint", c.Entrypoint)
	f.list("command", c.Command)
	f.dict("env", c.Env)
	f.dict("secret_env", secretNames(c.Secrets))
	f.text("secret_env_hash", c.SecretEnvHash)
	f.text("config_digest", c.ConfigDigest)
	f.text("network", c.Network)
	f.set("aliases", c.Aliases)
	f.text("hostname", c.Hostname)
	f.set("add_hosts", c.AddHosts)
	f.set("ports", portTexts(c.Ports))
	f.objects("mounts", mountsV1(c.Mounts))
	f.objects("tmpfs", tmpfsV1(c.Tmpfs))
	f.objects("secret_mounts", secretMountsV1(c.SecretMounts))
	f.set("devices", c.Devices)
	f.text("user", c.User)
	f.set("cap_add", c.CapAdd)
	f.flag("read_only", c.ReadOnly)
	f.flag("no_new_privileges", c.NoNewPrivileges)
	f.text("seccomp", c.Seccomp)
	f.text("apparmor", c.AppArmor)
	f.number("memory", c.Memory)
	f.number("shm_size", c.ShmSize)
	f.number("pids_limit", c.PidsLimit)
	if c.CPUs != 0 {
		f["cpus"] = c.CPUs
	}
	if c.Health.inside() {
		f["health"] = healthV1(c.Health)
	}
	f.number("stop_grace", int64(c.StopGrace))
	return f
}

func healthV1(h *Health) map[string]any {
	f := fields{}
	f.text("cmd", h.Cmd)
	f.list("argv", h.Argv)
	f.number("interval", int64(h.Interval))
	f.number("timeout", int64(h.Timeout))
	f.number("retries", int64(h.Retries))
	f.number("start_period", int64(h.StartPeriod))
	return f
}

func mountsV1(mounts []Mount) []fields {
	var all []fields
	for _, m := range mounts {
		f := fields{}
		f.text("type", m.Type)
		f.text("source", m.Source)
		f.text("target", m.Target)
		f.set("options", m.Options)
		all = append(all, f)
	}
	return all
}

func tmpfsV1(tmpfs []Tmpfs) []fields {
	var all []fields
	for _, t := range tmpfs {
		f := fields{}
		f.text("target", t.Target)
		f.set("options", t.Options)
		all = append(all, f)
	}
	return all
}

func secretMountsV1(mounts []SecretMount) []fields {
	var all []fields
	for _, m := range mounts {
		f := fields{}
		f.text("secret", m.Secret)
		f.text("target", m.Target)
		f.text("mode", m.Mode)
		all = append(all, f)
	}
	return all
}

func secretNames(env []SecretEnv) map[string]string {
	names := map[string]string{}
	for _, s := range env {
		names[s.Key] = s.Secret
	}
	return names
}

func portTexts(ports []Port) []string {
	var all []string
	for _, p := range ports {
		all = append(all, fmt.Sprintf("%s:%d:%d/%s", p.HostIP, p.Host, p.Container, protocol(p.Protocol)))
	}
	return all
}

// fields is a JSON object that takes only what is set.
type fields map[string]any

func (f fields) text(key, value string) {
	if value != "" {
		f[key] = value
	}
}

func (f fields) number(key string, value int64) {
	if value != 0 {
		f[key] = value
	}
}

func (f fields) flag(key string, value bool) {
	if value {
		f[key] = true
	}
}

func (f fields) list(key string, values []string) {
	if len(values) > 0 {
		f[key] = values
	}
}

func (f fields) dict(key string, values map[string]string) {
	if len(values) > 0 {
		f[key] = maps.Clone(values)
	}
}

// set is a list whose order and repetitions mean nothing.
func (f fields) set(key string, values []string) {
	f.list(key, slices.Compact(slices.Sorted(slices.Values(values))))
}

func (f fields) objects(key string, values []fields) {
	if len(values) == 0 {
		return
	}
	slices.SortFunc(values, func(a, b fields) int { return bytes.Compare(encode(a), encode(b)) })
	f[key] = values
}
