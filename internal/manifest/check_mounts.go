package manifest

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Kinds of a mount.
const (
	Bind        = "bind"
	Tmpfs       = "tmpfs"
	NamedVolume = "volume"
)

// mountOptions may stand on every mount; tmpfs has more.
var mountOptions = []string{"ro", "rw", "noexec", "nosuid", "nodev"}

// ReadOnly tells whether the mount has the option ro.
func (v Volume) ReadOnly() bool { return slices.Contains(v.Options, "ro") }

// Claims lists the paths of the node that the app writes to: the sources of its binds that are not read-only.
func (a *App) Claims() []string {
	var out []string
	for _, v := range a.Volumes {
		if v.Type == Bind && !v.ReadOnly() {
			out = append(out, v.Source)
		}
	}
	return out
}

// HostPath is the path of the node for a path of the app's data, which may be written as the node sees it
// (below the source of a bind) or as the container does (below its target). False when it is in no bind.
func (a *App) HostPath(p string) (string, bool) {
	for _, v := range a.Volumes {
		if v.Type == Bind && (p == v.Source || within(p, v.Source)) {
			return p, true
		}
	}
	for _, v := range a.Volumes {
		if v.Type == Bind && (p == v.Target || within(p, v.Target)) {
			return v.Source + strings.TrimPrefix(p, v.Target), true
		}
	}
	return "", false
}

func (c checker) volumes() {
	targets := map[string]bool{}
	for i, v := range c.app.Volumes {
		field := fmt.Sprintf("volumes[%d]", i)
		c.source(field+".source", v)
		c.target(field+".target", v.Target)
		c.options(field+".options", v)
		if v.Target != "" && targets[v.Target] {
			c.errorf(field+".target", "remove one of the two", "%s is mounted twice", quote(v.Target))
		}
		targets[v.Target] = true
	}
}

func (c checker) source(field string, v Volume) {
	switch {
	case c.bad(field):
	case v.Type == Tmpfs && v.Source != "":
		c.errorf(field, "remove it", "a tmpfs has no source")
	case v.Type == Tmpfs || v.Type == "":
	case v.Source == "":
		c.errorf(field, "name what is mounted", "is missing")
	case v.Type == NamedVolume && !matches(namePattern, v.Source):
		c.errorf(field, "letters, digits, hyphens, underscores and dots", "%s is not the name of a volume", quote(v.Source))
	case v.Type == Bind:
		c.bindSource(field, v)
	}
}

// bindSource keeps an app inside the data directory, away from sockets.
func (c checker) bindSource(field string, v Volume) {
	source, hint := v.Source, "a path below "+Root
	switch {
	case strings.HasSuffix(source, ".sock") || strings.HasSuffix(source, ".socket"):
		c.errorf(field, "no app gets a socket of the node", "%s is a socket", quote(source))
	case !path.IsAbs(source) || escapes(source):
		c.errorf(field, hint, "%s is not an absolute path without ..", quote(source))
	case path.Clean(source) != source:
		c.errorf(field, "try "+path.Clean(source), "%s is not a clean path", quote(source))
	case !within(source, Root):
		c.errorf(field, hint, "%s lies outside the data directory", quote(source))
	case strings.Contains(source, ":"):
		c.errorf(field, hint, "%s holds a colon, which separates source and target", quote(source))
	case source == Root+"/secrets":
		c.errorf(field, "use container.secret_mounts", "would show the app every secret of the node")
	case within(source, Root+"/secrets") && (path.Dir(source) != Root+"/secrets" || !v.ReadOnly()):
		c.errorf(field, "use container.secret_mounts, or one file with options: [ro]", "%s is among the secrets, which no app writes", quote(source))
	case ofArchy(source):
		c.errorf(field, "a directory of the app's own", "%s is archy's own, and podman's: no app gets it", quote(source))
	}
}

// ofArchy tells that a path is, or lies in, what archy remembers and what podman stores: an app that could write there would have the node, and the wallets.
func ofArchy(source string) bool {
	return slices.ContainsFunc([]string{"state", "containers", "user-stopped.json"}, func(name string) bool {
		return source == Root+"/"+name || within(source, Root+"/"+name)
	})
}

// target checks a path inside the container.
func (c checker) target(field, target string) {
	switch {
	case target == "" || c.bad(field):
	case target == "/":
		c.errorf(field, "a directory or file inside", "would hide the whole image")
	case path.Clean(target) != target || strings.Contains(target, ":"):
		c.errorf(field, "as in /data", "%s is not a clean path", quote(target))
	}
}

func (c checker) options(field string, v Volume) {
	for i, option := range v.Options {
		f := fmt.Sprintf("%s[%d]", field, i)
		if !c.bad(f) && option != "" && !slices.Contains(mountOptions, option) {
			c.option(f, option, v.Type)
		}
	}
	if v.ReadOnly() && slices.Contains(v.Options, "rw") {
		c.errorf(field, "remove one of the two", "ro and rw exclude each other")
	}
}

// option checks one that only a tmpfs has.
func (c checker) option(field, option, kind string) {
	name, value, _ := strings.Cut(option, "=")
	switch {
	case kind == Tmpfs && name == "size" && matches(`^[1-9][0-9]*[kmg%]?$`, value):
	case kind == Tmpfs && name == "size":
		c.errorf(field, "as in size=64m", "%s is not a size of the kernel", quote(value))
	case kind == Tmpfs && name == "mode" && matches(`^[01]?[0-7]{3,4}$`, value):
	case option == "Z" || option == "z" || option == "U":
		c.errorf(field, "remove it; data_uid sets the owner of new data", "%s would relabel or chown existing data", option)
	default:
		c.errorf(field, "one of "+strings.Join(mountOptions, ", "), "%s is not an option of a %s", quote(option), kind)
	}
}

func (c checker) files() {
	seen := map[string]bool{}
	for i, f := range c.app.Files {
		field := fmt.Sprintf("files[%d].path", i)
		if f.Path == "" || c.bad(field) {
			continue
		}
		host, ok := c.app.HostPath(f.Path)
		switch {
		case path.Clean(f.Path) != f.Path:
			c.errorf(field, "try "+path.Clean(f.Path), "%s is not a clean path", quote(f.Path))
		case !ok:
			c.errorf(field, "add a bind that holds it", "%s is in none of the app's binds", quote(f.Path))
		case seen[host]:
			c.errorf(field, "remove one of the two", "%s is written twice", quote(f.Path))
		}
		seen[host] = true
	}
}
