package spec

import (
	"path"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
)

func (r *resolver) volumes(c *Container) {
	for _, v := range r.App.Volumes {
		if v.Type == "tmpfs" {
			c.Tmpfs = append(c.Tmpfs, Tmpfs{Target: v.Target, Options: slices.Clone(v.Options)})
			continue
		}
		c.Mounts = append(c.Mounts, r.mount(v))
	}
	for _, pinned := range r.Pinned.Volumes {
		same := func(m Mount) bool { return m.Target == pinned.Target }
		// Where data lies is never changed by a manifest: the source that was found there stays.
		if i := slices.IndexFunc(c.Mounts, same); i >= 0 {
			pinned.Options = c.Mounts[i].Options
			c.Mounts[i] = pinned
		} else {
			c.Mounts = append(c.Mounts, pinned)
		}
	}
}

func (r *resolver) mount(v manifest.Volume) Mount {
	m := Mount{Type: v.Type, Source: v.Source, Target: v.Target}
	if v.Type != "volume" {
		m.Type = "bind"
		m.Source = path.Clean(v.Source)
		m.File = r.isFile(m.Source)
	}
	// rw is what a mount is anyway.
	for _, o := range v.Options {
		if o != "rw" {
			m.Options = append(m.Options, o)
		}
	}
	m.Own = m.Type == "bind" && !m.File && (!slices.Contains(m.Options, "ro") || below(r.Layout.Data(r.App.ID), m.Source))
	return m
}

// isFile tells files from directories: a secret, a file that archy or the manifest makes, a certificate, or what is a file on
// the node already. Anything else is a directory, whatever its name looks like.
func (r *resolver) isFile(source string) bool {
	own := func(p string) bool {
		p, ok := r.App.HostPath(path.Clean(p))
		return ok && p == source
	}
	switch {
	case below(r.Layout.Secrets(), source), path.Base(source) == r.App.Ext("derived"):
		return true
	case slices.ContainsFunc(r.App.Files, func(f manifest.File) bool { return own(f.Path) }):
		return true
	case slices.ContainsFunc(r.App.Container.GeneratedCerts, func(g manifest.GeneratedCert) bool { return own(g.Crt) || own(g.Key) }):
		return true
	}
	return r.IsFile != nil && r.IsFile(source)
}

func below(dir, p string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}
