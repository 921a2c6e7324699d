package manifest

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/nearest"
)

// capabilityList is what may be added back to a container, as docs show it.
const capabilityList = "AUDIT_WRITE, CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, MKNOD, NET_ADMIN, " +
	"NET_BIND_SERVICE, NET_RAW, SETFCAP, SETGID, SETPCAP, SETUID, SYS_CHROOT"

// capabilityPattern is the same for the schema; CAP_ is optional.
var capabilityPattern = "^(CAP_)?(" + strings.ReplaceAll(capabilityList, ", ", "|") + ")$"

// maxID is the largest user or group number of the kernel: the last one means "unchanged".
const maxID = 1<<32 - 2

// memoryFloor is the smallest memory limit with which podman starts a container.
const memoryFloor = 6 << 20

// checker applies the rules that look at more than one field, and fills in what they settle.
type checker struct {
	*document
}

// check validates an app that was decoded; what failed there is not said again.
func check(doc *document) {
	c := checker{doc}
	c.identity()
	c.image()
	c.network()
	c.secrets()
	c.environment()
	c.gates()
	c.relations()
	c.resources()
	c.security()
	c.ports()
	c.volumes()
	c.files()
	c.health()
	c.hooks()
}

func (c checker) errorf(field, hint, format string, args ...any) {
	c.add(Finding{Field: "app." + field, Severity: Error, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (c checker) warnf(field, hint, format string, args ...any) {
	c.add(Finding{Field: "app." + field, Severity: Warning, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// bad tells whether a field failed already, so that nothing is concluded from its absence.
func (c checker) bad(fields ...string) bool {
	return slices.ContainsFunc(fields, func(f string) bool { return c.failed["app."+f] })
}

func (c checker) identity() {
	a := c.app
	if a.ID == "" || c.bad("id") {
		return
	}
	if c.id != "" && a.ID != c.id {
		c.errorf("id", "rename one of the two", "%s is not the folder's name %s", quote(a.ID), quote(c.id))
	}
	if taken(a.Unit()) {
		c.errorf("id", "choose another id or container_name", "%s.service is a service of systemd, D-Bus or podman, which the app would take the place of", a.Unit())
		return
	}
	if !hexOnly(a.Unit()) {
		return
	}
	if a.ContainerName != "" {
		c.errorf("container_name", "add a letter after f or a hyphen",
			"%s is made of hex digits only: podman takes it for a container id", quote(a.ContainerName))
		return
	}
	c.errorf("id", "set container_name", "%s is made of hex digits only: podman takes it for a container id", quote(a.ID))
}

// taken tells that the user's manager has a service of that name which apps and archy cannot do without. What a generator makes comes
// before what a package has brought.
func taken(unit string) bool {
	return unit == "podman" || unit == "dbus" || unit == "dbus-broker" || strings.HasPrefix(unit, "systemd-") || strings.HasPrefix(unit, "podman-")
}

func hexOnly(name string) bool {
	return name != "" && strings.Trim(name, "0123456789abcdefABCDEF") == ""
}

func (c checker) image() {
	k := &c.app.Container
	switch {
	case c.bad("container", "container.image", "container.build"):
	case k.Image == "" && k.Build == nil:
		c.errorf("container", "set container.image to "+imageHint, "needs an image or a build")
	case k.Image != "" && k.Build != nil:
		c.errorf("container.build", "remove one of the two", "stands beside container.image")
	}
	if k.Image != "" {
		c.reference("container.image", k.Image, true)
	}
	if k.Build != nil {
		c.build(k.Build)
	}
}

// reference checks an image reference; a pinned one needs a tag or a digest.
func (c checker) reference(field, text string, pinned bool) {
	ref, err := parseImage(text)
	switch {
	case err != nil:
		c.errorf(field, imageHint, "%s is not an image: %v", quote(text), err)
	case pinned && ref.tag == "" && ref.digest == "":
		c.errorf(field, "name an exact release, as in "+text+":1.2.3", "%s has no tag and no digest", quote(text))
	case pinned && ref.registry == "":
		c.warnf(field, "try docker.io/"+text, "%s names no registry", quote(text))
	case ref.digest == "" && slices.Contains([]string{"latest", "stable", "release"}, ref.tag):
		c.warnf(field, "name an exact release", "the tag %s moves: the same manifest gives another image later", quote(ref.tag))
	}
}

func (c checker) build(b *Build) {
	if b.Tag != "" && !c.bad("container.build.tag") {
		c.reference("container.build.tag", b.Tag, false)
		if ref, err := parseImage(b.Tag); err == nil && ref.registry == "" {
			b.Tag = "localhost/" + b.Tag
		}
	}
	switch {
	case b.Context == "":
	case path.IsAbs(b.Context) && !within(b.Context, Install):
		c.errorf("container.build.context", "relative to the manifest, or below "+Install, "%s lies elsewhere", quote(b.Context))
	case !path.IsAbs(b.Context) && escapes(b.Context):
		c.errorf("container.build.context", "relative to the manifest, or below "+Install, "%s leaves the app's folder", quote(b.Context))
	}
	if path.IsAbs(b.Dockerfile) || escapes(b.Dockerfile) {
		c.errorf("container.build.dockerfile", "a path inside the context", "%s leaves the context", quote(b.Dockerfile))
	}
}

// within tells whether an absolute path is clean and lies strictly below dir.
func within(p, dir string) bool {
	return path.Clean(p) == p && strings.HasPrefix(p, dir+"/")
}

// escapes tells whether a relative path leads out of the place it is relative to.
func escapes(p string) bool {
	return slices.Contains(strings.Split(p, "/"), "..")
}

// reservedNetworks are modes of podman, or names that it keeps for itself.
var reservedNetworks = []string{"bridge", "default", "private", "slirp4netns", "container", "ns"}

func (c checker) network() {
	k := &c.app.Container
	if slices.Contains(reservedNetworks, k.Network) {
		c.errorf("container.network", "host, none, pasta or the name of a bridge, as in "+DefaultNetwork,
			"%s is a mode of podman, not a network", quote(k.Network))
	}
	if len(k.NetworkAliases) > 0 && !bridged(k.Network) {
		c.errorf("container.network_aliases", "remove them", "only a bridge has DNS names, the network is %s", k.Network)
	}
	c.policy()
}

// policy compares security.network_policy with the network itself.
func (c checker) policy() {
	policy, network := c.app.Security.NetworkPolicy, c.app.Container.Network
	if policy == "" || c.bad("container.network", "security.network_policy") {
		return
	}
	if (policy == HostNetwork) != (network == HostNetwork) {
		c.errorf("security.network_policy", "make the two agree", "%s does not agree with container.network %s", policy, network)
	}
}

// bridged tells whether a network is a bridge.
func bridged(network string) bool {
	return network != HostNetwork && network != NoNetwork && network != PastaNetwork
}

func (c checker) gates() {
	for i, g := range c.app.StartGate {
		field := fmt.Sprintf("start_gate[%d]", i)
		switch {
		case c.bad(field, field+".secret", field+".path"):
		case (g.Secret == "") == (g.Path == ""):
			c.errorf(field, "write {secret: NAME} or {path: P}", "must name exactly one of secret and path")
		case g.Path != "" && path.IsAbs(g.Path) && !c.inData(g.Path):
			c.errorf(field+".path", "a path below the app's data", "%s lies elsewhere", quote(g.Path))
		case g.Path != "" && escapes(g.Path):
			c.errorf(field+".path", "a path below the app's data", "%s leaves the app's data", quote(g.Path))
		}
	}
}

// inData tells whether an absolute path lies in one of the app's own binds.
func (c checker) inData(p string) bool {
	return slices.ContainsFunc(c.app.Claims(), func(dir string) bool { return within(p, dir) })
}

func (c checker) relations() {
	a := c.app
	lists := map[string][]string{"conflicts": a.Conflicts, "container.restart_on_peer_change": a.Container.RestartOnPeerChange}
	for name, ids := range lists {
		for i, id := range ids {
			field := fmt.Sprintf("%s[%d]", name, i)
			if id == a.ID && id != "" {
				c.errorf(field, "remove it", "names the app itself")
			} else if slices.Index(ids, id) < i {
				c.warnf(field, "remove it", "%s is listed twice", id)
			}
		}
	}
	if a.Follows != "" && a.Follows == a.ID {
		c.errorf("follows", "name another app", "names the app itself")
	}
	for i := range a.Dependencies {
		c.dependency(fmt.Sprintf("dependencies[%d]", i), &a.Dependencies[i])
	}
}

func (c checker) dependency(field string, d *Dependency) {
	switch {
	case c.bad(field, field+".app_id", field+".storage"):
	case (d.AppID == "") == (d.Storage == 0):
		c.errorf(field, "write an app id, {app_id: ID} or {storage: 500Gi}", "must name exactly one of an app and a storage")
	case d.AppID == "" && (d.Version != "" || d.Condition != ""):
		c.errorf(field, "set app_id", "a storage has no version and no condition")
	case d.AppID != "" && slices.Contains(c.app.Conflicts, d.AppID):
		c.errorf(field, "remove one of the two", "%s is also in conflicts", d.AppID)
	}
	if d.AppID != "" && d.Condition == "" {
		d.Condition = Started
	}
}

func (c checker) resources() {
	r := &c.app.Resources
	if r.MemoryLimit > 0 && r.MemoryLimit < memoryFloor {
		c.warnf("resources.memory_limit", "try 64Mi", "%s is below 6Mi, the least with which podman starts a container", r.MemoryLimit)
	}
	if r.CPULimit != nil && *r.CPULimit == 0 {
		c.warnf("resources.cpu_limit", "leave it out", "0 is read as no limit")
		r.CPULimit = nil
	}
}

func (c checker) security() {
	s := &c.app.Security
	c.capabilities(s)
	if s.User != "" && !c.bad("security.user") && !numbersFit(s.User) {
		c.errorf("security.user", "", "%s is not a user of the kernel", quote(s.User))
	}
	if owner := c.app.Container.DataUID; owner != "" && !c.bad("container.data_uid") && !numbersFit(owner) {
		c.errorf("container.data_uid", "", "%s is not an owner of the kernel", quote(owner))
	}
	for i, dev := range c.app.Devices {
		if path.Clean(dev) != dev || strings.Contains(dev, ":") {
			c.errorf(fmt.Sprintf("devices[%d]", i), "as in /dev/dri", "%s is not a clean absolute path", quote(dev))
		}
	}
}

// capabilities brings the names to podman's form without CAP_.
func (c checker) capabilities(s *Security) {
	allowed := strings.Split(capabilityList, ", ")
	var kept []string
	for i, text := range s.Capabilities {
		field := fmt.Sprintf("security.capabilities[%d]", i)
		name := strings.TrimPrefix(text, "CAP_")
		switch {
		case c.bad(field):
		case !slices.Contains(allowed, name):
			c.errorf(field, capabilityHint(strings.ToUpper(name), allowed), "%s may not be added back", quote(text))
		case slices.Contains(kept, name):
			c.warnf(field, "remove it", "%s is listed twice", name)
		default:
			kept = append(kept, name)
		}
	}
	s.Capabilities = kept
}

func capabilityHint(name string, allowed []string) string {
	// One slip at most: SYS_ADMIN is not far from NET_ADMIN, but never meant it.
	for _, known := range allowed {
		if nearest.Distance(name, known, 1) <= 1 {
			return "did you mean " + known + "?"
		}
	}
	return "one of " + capabilityList
}

// numbersFit tells whether each number of a uid:gid pair is one that the kernel has.
func numbersFit(pair string) bool {
	for _, text := range strings.Split(pair, ":") {
		var n uint64
		if _, err := fmt.Sscanf(text, "%d", &n); err != nil || n > maxID {
			return false
		}
	}
	return true
}
