package quadlet

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/spec"
)

// Header is the first line of every container unit that archy writes, with the app's id; nothing else is archy's.
const Header = "# Written by archy from apps/%s/manifest.yml; changes are overwritten."

// NetworkHeader is the first line of every network unit that archy writes.
const NetworkHeader = "# Written by archy; changes are overwritten."

// AssertDisk is the directive of [Unit] with which an app is not started while a disk is not mounted.
const AssertDisk = "AssertPathIsMountPoint"

// App tells which app a unit was written for; ok is false for a unit that archy did not write.
func App(unit []byte) (id string, ok bool) {
	first, _, _ := strings.Cut(string(unit), "\n")
	before, after, _ := strings.Cut(Header, "%s")
	id, ok = strings.CutPrefix(first, before)
	if !ok {
		return "", false
	}
	id, ok = strings.CutSuffix(id, after)
	return id, ok && id != ""
}

// Render writes the `.container` unit of c. An error names the directive whose value podman 5.4.2 and systemd cannot
// carry unchanged; a control character, a newline above all, is always one.
func Render(c spec.Container, l node.Layout) ([]byte, error) {
	u := &unit{}
	u.b.WriteString(fmt.Sprintf(Header, c.App) + "\n")
	if err := clean(c.App); err != nil {
		u.fail("the app's id", "%v", err)
	}
	u.unitSection(c, l)
	u.containerSection(c)
	u.serviceSection(c)
	if c.Unit.Offline {
		u.section("Quadlet")
		u.line("DefaultDependencies", "false")
	}
	u.section("Install")
	u.line("WantedBy", "default.target")
	u.omitted(c)
	if u.err != nil {
		return nil, fmt.Errorf("%s.container: %w", c.Name, u.err)
	}
	return u.b.Bytes(), nil
}

func (u *unit) unitSection(c spec.Container, l node.Layout) {
	u.section("Unit")
	u.plain("Description", c.Unit.Description)
	for _, dep := range c.Unit.After {
		u.path("Wants", dep+".service")
		u.path("After", dep+".service")
	}
	u.path("RequiresMountsFor", l.DataDir)
	// At boot systemd starts the app before archy runs, and the service user's manager waits for no disk but the one of the data directory.
	for _, disk := range c.Unit.Disks {
		u.plain(AssertDisk, disk)
	}
	// A user's stop holds at boot too, before archy runs.
	u.path("ConditionPathExists", "!"+l.State("stopped", c.Name))
	u.line("StartLimitIntervalSec", "1800")
	u.line("StartLimitBurst", "5")
}

func (u *unit) containerSection(c spec.Container) {
	u.section("Container")
	u.token("ContainerName", c.Name)
	u.token("Image", c.Image)
	u.line("Pull", "never")
	u.networking(c)
	u.storage(c)
	u.environment(c)
	u.rights(c)
	u.limits(c)
	u.health(c.Health)
	u.line("LogDriver", "journald")
	if c.Unit.NotifyHealthy {
		u.line("Notify", "healthy")
	}
	u.number("StopTimeout", int64(c.StopGrace))
	u.labels(c)
	u.command(c)
}

func (u *unit) networking(c spec.Container) {
	switch c.Network {
	case "host", "none", "pasta":
		u.token("Network", c.Network)
	default:
		u.token("Network", c.Network+".network")
	}
	for _, alias := range c.Aliases {
		u.token("NetworkAlias", alias)
	}
	if c.Hostname != "" {
		u.token("HostName", c.Hostname)
	}
	for _, host := range c.AddHosts {
		u.token("AddHost", host)
	}
	for _, p := range c.Ports {
		u.token("PublishPort", portText(p))
	}
}

func portText(p spec.Port) string {
	text := strconv.Itoa(p.Host) + ":" + strconv.Itoa(p.Container)
	switch {
	case strings.Contains(p.HostIP, ":"):
		text = "[" + p.HostIP + "]:" + text
	case p.HostIP != "":
		text = p.HostIP + ":" + text
	}
	if p.Protocol != "" && p.Protocol != "tcp" {
		text += "/" + p.Protocol
	}
	return text
}

func (u *unit) storage(c spec.Container) {
	for _, m := range c.Mounts {
		u.mount("Volume", m.Source+":"+m.Target, m.Options, m.Source, m.Target)
	}
	for _, t := range c.Tmpfs {
		u.mount("Tmpfs", t.Target, t.Options, t.Target)
	}
	for _, d := range c.Devices {
		u.token("AddDevice", d)
	}
}

// mount writes paths, which podman splits at colons, and options, which it splits at commas. The source is copied into
// RequiresMountsFor= too, where $ stays as it is, hence no such path.
func (u *unit) mount(key, value string, options []string, paths ...string) {
	for _, p := range paths {
		if strings.ContainsAny(p, ":$%\"'\\,") || strings.ContainsAny(p, " ") {
			u.fail(key, "the path %q holds a space or one of : $ %% , \\ and quotes", p)
			return
		}
	}
	if len(options) > 0 {
		value += ":" + strings.Join(options, ",")
	}
	if strings.Contains(value, " ") {
		u.fail(key, "an option of %q holds a space", value)
		return
	}
	u.text(key, escape(value))
}

func (u *unit) environment(c spec.Container) {
	env := maps.Clone(c.SoftEnv)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, c.Env)
	for _, key := range slices.Sorted(maps.Keys(env)) {
		if !variable(key) {
			u.fail("Environment", "%q is not the name of a variable", key)
		}
		u.words("Environment", key+"="+env[key])
	}
	for _, s := range c.Secrets {
		if !variable(s.Key) {
			u.fail("Secret", "%q is not the name of a variable", s.Key)
		}
		u.secret(s.Secret, "type=env", "target="+s.Key)
	}
	for _, m := range c.SecretMounts {
		options := []string{"type=mount", "target=" + m.Target, "mode=" + m.Mode}
		// A file of mode 0400 is the reader's own.
		if uid, gid, ok := numericUser(c.User); ok {
			options = append(options, "uid="+uid, "gid="+gid)
		}
		u.secret(m.Secret, options...)
	}
}

func (u *unit) secret(name string, options ...string) {
	for _, part := range append(options, name) {
		if strings.Contains(part, ",") {
			u.fail("Secret", "%q holds a comma", part)
		}
	}
	u.words("Secret", strings.Join(append([]string{name}, options...), ","))
}

func variable(key string) bool {
	return key != "" && !strings.ContainsAny(key, "= \"'\\$%*")
}

func numericUser(user string) (uid, gid string, ok bool) {
	uid, gid, _ = strings.Cut(user, ":")
	if gid == "" {
		gid = uid
	}
	_, errUID := strconv.ParseUint(uid, 10, 32)
	_, errGID := strconv.ParseUint(gid, 10, 32)
	return uid, gid, errUID == nil && errGID == nil
}

func (u *unit) rights(c spec.Container) {
	if c.User != "" {
		u.token("User", c.User)
	}
	u.line("DropCapability", "ALL")
	for _, name := range c.CapAdd {
		u.token("AddCapability", name)
	}
	if c.NoNewPrivileges {
		u.line("NoNewPrivileges", "true")
	}
	if c.ReadOnly {
		u.line("ReadOnly", "true")
	}
	if c.Seccomp != "" {
		u.token("SeccompProfile", c.Seccomp)
	}
	if c.AppArmor != "" {
		u.words("PodmanArgs", "--security-opt=apparmor="+c.AppArmor)
	}
}

// limits leaves a limit out whose controller the user manager does not have; podman would refuse to start.
// wantedGroup holds the limits that the manifest wants and this machine cannot set, so that a change of one can be told
// in words. systemd passes over sections that begin with X-.
const wantedGroup = "X-Archy"

func (u *unit) omitted(c spec.Container) {
	memory, cpus := c.Memory > 0 && c.Unit.OmitMemory, c.CPUs > 0 && c.Unit.OmitCPU
	if memory || cpus {
		u.section(wantedGroup)
	}
	if memory {
		u.number("memory", c.Memory)
	}
	if cpus {
		u.line("cpus", strconv.FormatFloat(c.CPUs, 'f', -1, 64))
	}
}

func (u *unit) limits(c spec.Container) {
	var args []string
	if c.Memory > 0 && !c.Unit.OmitMemory {
		args = append(args, "--memory="+strconv.FormatInt(c.Memory, 10))
	}
	if c.CPUs > 0 && !c.Unit.OmitCPU {
		args = append(args, "--cpus="+strconv.FormatFloat(c.CPUs, 'f', -1, 64))
	}
	if len(args) > 0 {
		u.words("PodmanArgs", args...)
	}
	pids := c.PidsLimit
	if c.Unit.OmitPids {
		pids = 0
	}
	u.number("PidsLimit", pids)
	if c.ShmSize > 0 {
		u.number("ShmSize", c.ShmSize)
	}
}

func (u *unit) labels(c spec.Container) {
	labels := Labels(c)
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		u.words("Label", name+"="+labels[name])
	}
}

// Labels are what archy writes on the container; the spec hash is among them.
func Labels(c spec.Container) map[string]string {
	labels := map[string]string{
		spec.LabelManaged:  "true",
		spec.LabelApp:      c.App,
		spec.LabelTier:     strconv.Itoa(c.Tier),
		spec.LabelSpecHash: c.Hash(),
	}
	if c.SecretEnvHash != "" {
		labels[spec.LabelSecretEnvHash] = c.SecretEnvHash
	}
	if c.ConfigDigest != "" {
		labels[spec.LabelConfigDigest] = c.ConfigDigest
	}
	return labels
}

// command writes the entrypoint's first word as the entrypoint and all the rest as arguments.
func (u *unit) command(c spec.Container) {
	args := c.Command
	if len(c.Entrypoint) > 0 {
		if strings.HasPrefix(c.Entrypoint[0], "[") {
			u.fail("Entrypoint", "%q would be read as JSON", c.Entrypoint[0])
		}
		u.text("Entrypoint", c.Entrypoint[0])
		args = slices.Concat(c.Entrypoint[1:], c.Command)
	}
	if len(args) == 0 {
		return
	}
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = u.argument(i, arg)
	}
	u.line("Exec", strings.Join(words, " "))
}

// argument writes one word of the command. The two that Quadlet loses go through a variable of the service: systemd
// replaces ${NAME} by exactly one argument, even an empty one.
func (u *unit) argument(i int, arg string) string {
	if expressible(arg) {
		return quote(escape(arg))
	}
	name := "ARCHY_ARG_" + strconv.Itoa(i+1)
	u.service = append(u.service, `"`+name+"="+arg+`"`)
	return "${" + name + "}"
}

func (u *unit) serviceSection(c spec.Container) {
	u.section("Service")
	for _, variable := range u.service {
		u.line("Environment", variable)
	}
	u.path("Restart", c.Unit.Restart)
	u.line("RestartSec", "10")
	u.line("RestartSteps", "5")
	u.line("RestartMaxDelaySec", "300")
	u.number("TimeoutStartSec", int64(c.Unit.TimeoutStart))
	u.number("TimeoutStopSec", int64(c.StopGrace+15))
}

// RenderNetwork writes the `.network` unit of a bridge; subnet and gateway may be empty.
func RenderNetwork(name, subnet, gateway string) ([]byte, error) {
	u := &unit{}
	u.b.WriteString(NetworkHeader + "\n")
	u.section("Unit")
	u.plain("Description", "Network "+name)
	u.section("Network")
	u.token("NetworkName", name)
	if subnet != "" {
		u.token("Subnet", subnet)
	}
	if gateway != "" {
		u.token("Gateway", gateway)
	}
	u.words("Label", spec.LabelManaged+"=true")
	if u.err != nil {
		return nil, fmt.Errorf("%s: %w", path.Base(name)+".network", u.err)
	}
	return u.b.Bytes(), nil
}
