package spec

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
)

const (
	defaultNetwork = "archy-net"
	startLimit     = 120 // seconds
	databaseStart  = 900 // seconds; longer than the start period of any database
	defaultPids    = 2048
)

// hexOnly names would be read by podman as the beginning of a container id.
var hexOnly = regexp.MustCompile(`^[0-9a-f]+$`)

// Resolve computes the container that the manifest means on this node. It is pure. With problems the container is
// incomplete and must not be applied; its name, image and tier are right nevertheless.
func Resolve(in Input) (Container, []Problem) {
	r := resolver{Input: in}
	c := Container{
		App:          in.App.ID,
		Name:         in.App.Unit(),
		Tier:         in.App.Tier(),
		ImageDigest:  in.App.Container.ImageDigest,
		ConfigDigest: in.ConfigDigest,
		Hostname:     in.App.Container.Hostname,
		ShmSize:      int64(in.App.Container.ShmSize),
		StopGrace:    in.App.StopGrace(),
		Devices:      slices.Clone(in.App.Devices),
	}
	if hexOnly.MatchString(c.Name) {
		r.problem(BadManifest, "container_name", "%q is made of hex digits only, which podman takes for a container id (give it another container_name)", c.Name)
	}
	r.image(&c)
	r.command(&c)
	r.env(&c)
	r.secretMounts(&c)
	r.network(&c)
	r.volumes(&c)
	r.security(&c)
	r.limits(&c)
	c.Health = r.health()
	r.unit(&c)
	return c, r.problems
}

type resolver struct {
	Input
	problems []Problem
}

func (r *resolver) problem(kind ProblemKind, name, format string, args ...any) {
	r.problems = append(r.problems, Problem{Kind: kind, Name: name, Text: fmt.Sprintf(format, args...)})
}

func (r *resolver) command(c *Container) {
	c.Entrypoint = slices.Clone(r.App.Container.Entrypoint)
	c.Command = slices.Clone(r.App.Container.CustomArgs)
}

func (r *resolver) network(c *Container) {
	c.Network = r.App.Container.Network
	if c.Network == "" {
		c.Network = defaultNetwork
	}
	if c.Network == "host" || c.Network == "none" {
		return // neither publishes ports, has aliases, nor reaches the host by name
	}
	if c.Network != "pasta" {
		c.Aliases = slices.Clone(r.App.Container.NetworkAliases)
	}
	// The default route's idea of host.containers.internal is the LAN's router, hence the literal host-gateway.
	c.AddHosts = []string{"host.containers.internal:host-gateway", "host.archipelago:host-gateway"}
	for _, p := range r.App.Ports {
		c.Ports = append(c.Ports, Port{HostIP: p.Bind, Host: p.Host, Container: p.Container, Protocol: p.Protocol})
	}
	c.Ports = append(c.Ports, r.extraPorts(c.Ports)...)
}

// extraPorts are the pinned ports that the manifest does not publish by now.
func (r *resolver) extraPorts(own []Port) []Port {
	var extra []Port
	for _, p := range r.Pinned.ExtraPorts {
		taken := slices.ContainsFunc(own, func(o Port) bool {
			return o.Host == p.Host && protocol(o.Protocol) == protocol(p.Protocol)
		})
		if !taken {
			extra = append(extra, p)
		}
	}
	return extra
}

func protocol(p string) string {
	if p == "" {
		return "tcp"
	}
	return p
}

func (r *resolver) security(c *Container) {
	s := r.App.Security
	c.User = s.User
	if r.Pinned.User != "" {
		c.User = r.Pinned.User
	}
	for _, name := range s.Capabilities {
		c.CapAdd = append(c.CapAdd, strings.TrimPrefix(strings.ToUpper(name), "CAP_"))
	}
	slices.Sort(c.CapAdd)
	c.CapAdd = slices.Compact(c.CapAdd)
	c.ReadOnly = s.ReadonlyRoot == nil || *s.ReadonlyRoot
	c.NoNewPrivileges = s.NoNewPrivileges == nil || *s.NoNewPrivileges
	c.Seccomp = s.SeccompProfile
	c.AppArmor = s.AppArmorProfile
}

func (r *resolver) unit(c *Container) {
	c.Unit = Unit{
		Description:  description(r.App),
		After:        r.after(c.Name),
		Restart:      "on-failure",
		TimeoutStart: startLimit,
		OmitMemory:   !r.Facts.Delegated.Memory,
		OmitCPU:      !r.Facts.Delegated.CPU,
		OmitPids:     !r.Facts.Delegated.Pids,
		// Only apps on the host's own network work without it: pasta, which the bridges share, would come up
		// without the LAN's interface and stay offline.
		Offline: c.Network == "host",
	}
	switch {
	case c.Tier == 4:
		c.Unit.Restart = "always"
	case c.Tier == 0:
		c.Unit.TimeoutStart = databaseStart
		c.Unit.NotifyHealthy = c.Health.inside()
		if c.Unit.NotifyHealthy && c.Health.StartPeriod >= databaseStart {
			c.Unit.TimeoutStart = c.Health.StartPeriod + startLimit
		}
	}
}

func description(app *manifest.App) string {
	if app.Name == "" {
		return app.ID
	}
	return app.Name
}

// after are the containers of the dependencies, in the order of their names.
func (r *resolver) after(self string) []string {
	var names []string
	for _, d := range r.App.Dependencies {
		if d.AppID == "" || r.Container == nil {
			continue
		}
		if name := r.Container(d.AppID); name != "" && name != self {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
