package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/spec"
)

// page writes Markdown.
type page struct{ w io.Writer }

func (p page) line(text string) { fmt.Fprintln(p.w, text) }

func (p page) row(cells []string) {
	for i, c := range cells {
		cells[i] = cmp.Or(strings.ReplaceAll(c, "|", `\|`), "–")
	}
	p.line("| " + strings.Join(cells, " | ") + " |")
}

func (p page) rule(columns int) { p.line("|" + strings.Repeat("---|", columns)) }

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// each joins what text gives for the items of a list; empty ones are left out.
func each[T any](list []T, text func(T) string) string {
	var out []string
	for _, item := range list {
		if t := text(item); t != "" {
			out = append(out, t)
		}
	}
	return strings.Join(out, ", ")
}

func short(path string) string { return strings.Replace(path, "/var/lib/archipelago/", "D/", 1) }

func identity(set *manifest.Set, a *manifest.App) []string {
	image := code(a.Container.Image)
	if b := a.Container.Build; b != nil {
		image = code(spec.BuiltImage(b.Tag, "")) + ", built on the node"
	}
	profile := ""
	switch {
	case slices.Contains(a.Profiles, "core"):
		profile = "core"
	case slices.Contains(a.Profiles, "full"):
		profile = "full"
	}
	return []string{a.ID, code(a.Unit()), strconv.Itoa(a.Tier()), image, profile, created(a), needs(set, a)}
}

func created(a *manifest.App) string {
	switch {
	case a.Follows != "":
		return "follows " + a.Follows
	case a.Optional:
		return "optional"
	}
	return "always"
}

func needs(set *manifest.Set, a *manifest.App) string {
	return each(set.Needs(a.ID), func(d manifest.Dependency) string {
		return strings.Join(append([]string{d.AppID}, set.Alternatives(d.AppID)...), " or ") + " (" + d.Condition + ")"
	})
}

func reach(_ *manifest.Set, a *manifest.App) []string {
	return []string{a.ID, cmp.Or(a.Container.Network, "archy-net"), each(a.Ports, func(p manifest.Port) string {
		text := fmt.Sprintf("%d:%d", p.Host, p.Container)
		if p.Protocol == "udp" {
			text += "/udp"
		}
		return code(text) + " " + exposure(p)
	})}
}

// closed are ports that only other containers use, bound on all interfaces for the bridge's sake.
var closed = []int{8332, 28332, 28333}

func exposure(p manifest.Port) string {
	switch {
	case p.Auth == "open":
		return "P"
	case p.Bind == "127.0.0.1":
		return "H"
	case slices.Contains(closed, p.Host):
		return "C"
	}
	return "L"
}

func data(_ *manifest.Set, a *manifest.App) []string {
	claims := a.Claims()
	own := each(a.Volumes, func(v manifest.Volume) string {
		if !slices.Contains(claims, v.Source) {
			return ""
		}
		return mount(v)
	})
	other := each(a.Volumes, func(v manifest.Volume) string {
		switch {
		case v.Type == "tmpfs":
			return "memory " + code(v.Target)
		case slices.Contains(claims, v.Source):
			return ""
		}
		return mount(v)
	})
	return []string{a.ID, own, code(a.Container.DataUID), other}
}

func mount(v manifest.Volume) string {
	text := code(short(v.Source)) + " → " + code(v.Target)
	if len(v.Options) > 0 {
		text += " (" + strings.Join(v.Options, ",") + ")"
	}
	return text
}

func limits(_ *manifest.Set, a *manifest.App) []string {
	root := "read-only"
	if r := a.Security.ReadonlyRoot; r != nil && !*r {
		root = "writable"
	}
	return []string{a.ID, memory(a), cpus(a), a.Security.User, strings.Join(a.Security.Capabilities, " "), root, strconv.Itoa(a.StopGraceSecs)}
}

func memory(a *manifest.App) string {
	size := int64(a.Resources.MemoryLimit)
	switch {
	case a.Ext("sizing") == "bitcoin":
		return "by the node's memory"
	case size == 0:
		return ""
	case size%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", size>>30)
	}
	return fmt.Sprintf("%d MiB", size>>20)
}

func cpus(a *manifest.App) string {
	switch {
	case a.Ext("cpu") == "heavy":
		return "all but one"
	case a.Resources.CPULimit == nil:
		return ""
	}
	return strconv.FormatFloat(*a.Resources.CPULimit, 'g', -1, 64)
}

func told(_ *manifest.Set, a *manifest.App) []string {
	kinds := map[string]string{}
	for _, g := range a.Container.GeneratedSecrets {
		kinds[g.Name] = " (" + g.Kind + ")"
	}
	var list []string
	add := func(name, note string) {
		if text := code(name) + kinds[name] + note; !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	for _, s := range a.Container.SecretEnv {
		note := ""
		if s.Optional {
			note = " (the owner's, optional)"
		}
		add(s.SecretFile, note)
	}
	for _, s := range a.Container.SecretMounts {
		add(s.SecretFile, "")
	}
	for _, g := range a.Container.GeneratedSecrets {
		add(g.Name, "")
	}
	computed := each(a.Container.DerivedEnv, func(d manifest.DerivedEnv) string {
		if d.Soft {
			return code(d.Key) + " (soft)"
		}
		return code(d.Key)
	})
	return []string{a.ID, strings.Join(list, ", "), computed, code(a.Ext("derived"))}
}

func health(_ *manifest.Set, a *manifest.App) []string {
	h := a.HealthCheck
	if h == nil {
		return []string{a.ID, "it runs for 5 s", "", "", "", ""}
	}
	seconds := func(d manifest.Duration) string {
		return strconv.FormatFloat(time.Duration(d).Seconds(), 'g', -1, 64)
	}
	text := cmp.Or(h.Endpoint.Text, strings.Join(h.Endpoint.Argv, " ")) + h.Path
	return []string{a.ID, code(text), seconds(h.Interval), seconds(h.Timeout), strconv.Itoa(h.Retries), seconds(h.StartPeriod)}
}
