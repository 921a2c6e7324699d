package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// inspectLegacy reads how an adopted container was made, and what a move to a unit would take over.
func (ob *observation) inspectLegacy(ctx context.Context, a *App) {
	got, err := ob.Engine.Inspect(ctx, a.C.Name)
	if err != nil {
		ob.w.Warnings = append(ob.w.Warnings, fmt.Sprintf("adopted container %s: %v", a.C.Name, err))
		return
	}
	a.Inspect = &got
	a.Pins = ob.pins(a, got)
}

// compareLegacy lists how an adopted container differs from the wanted one, field by field, and whether a move to a unit
// is safe.
func (ob *observation) compareLegacy(ctx context.Context, a *App) {
	if a.Inspect == nil {
		a.MigrationFault = &Fault{Code: "inspect", Text: "podman does not say how the container was made", Hint: "run: podman inspect " + a.C.Name}
		return
	}
	wanted := a.Spec
	if !ob.moves(a) { // what a move would keep is a difference all the same
		wanted.Env, wanted.Mounts, wanted.Ports = a.plain.Env, a.plain.Mounts, a.plain.Ports
	}
	a.Drift = compare(wanted, *a.Inspect)
	if id, err := ob.Engine.ImageID(ctx, a.Inspect.Image); err == nil && a.Inspect.ImageID != "" && id != a.Inspect.ImageID {
		a.Drift = append(a.Drift, Drift{Dimension: "local image newer"})
	}
	cgroup, _ := os.ReadFile(ob.Layout.Host("/proc/" + strconv.Itoa(a.C.Pid) + "/cgroup"))
	if service := ServiceOf(string(cgroup)); service != "" && a.Running() {
		a.Drift = append(a.Drift, Drift{"in a service cgroup", service, "user.slice"})
	}
	a.InItself = ob.inItself(ctx, a)
	a.MigrationFault = ob.migrationFault(a)
}

// inItself finds data that an adopted container has written where the manifest mounts a directory and it has none: they lie in its own layer and
// are gone with it. Once the directory holds something they were copied, as far as archy can tell.
func (ob *observation) inItself(ctx context.Context, a *App) *Fault {
	if a.Inspect == nil || a.Inspect.Layer == "" {
		return nil
	}
	v := ob.onlyInLayer(ctx, a, a.Inspect.Layer, func(target string) bool {
		return slices.ContainsFunc(a.Inspect.Mounts, func(m podman.Mount) bool { return liesIn(target, path.Clean(m.Target)) })
	})
	if v == nil {
		return nil
	}
	return &Fault{Code: "mount", Text: fmt.Sprintf("the container has data at %s in itself, and the manifest mounts %s there: the app would not find them", v.Target, v.Source),
		Hint: fmt.Sprintf(`copy them with the app stopped: archy stop %[1]s; podman unshare sh -c 'mkdir -p %[3]s && cp -a "$(podman mount %[4]s)"%[2]s/. %[3]s/'; podman rename %[4]s %[4]s-old; archy start %[1]s, or give them up: archy adopt --migrate %[1]s --drop-mount %[2]s`,
			a.ID, v.Target, v.Source, a.liveName())}
}

// onlyInLayer is what the manifest mounts where a container has written into its own layer, as long as the directory is empty.
func (ob *observation) onlyInLayer(ctx context.Context, a *App, layer string, mounted func(target string) bool) *manifest.Volume {
	for _, v := range a.Manifest.Volumes {
		if v.Type != manifest.Bind || v.ReadOnly() || mounted(v.Target) || slices.Contains(ob.Options.DropMounts, v.Target) {
			continue
		}
		in := path.Join(layer, v.Target)
		if !ob.held(ctx, a.Manifest, v.Source) && !ob.isFile(in) && ob.holdsMapped(ctx, in) {
			return &v
		}
	}
	return nil
}

// lostInItself is inItself for a container that only podman's storage has: podman takes it away for the next one of its name.
func (ob *observation) lostInItself(ctx context.Context, a *App) *Fault {
	if a.C != nil || activating(a) {
		return nil
	}
	in, ok := heal.Stored(ob.Layout, a.Container)
	if !ok {
		return nil
	}
	v := ob.onlyInLayer(ctx, a, in.Layer, in.Mounted)
	if v == nil {
		return nil
	}
	verb := "install"
	if a.Record != nil && a.Record.Installed {
		verb = "start"
	}
	return &Fault{Code: "mount", Text: fmt.Sprintf("podman has lost its container, which has data at %s in itself, and the manifest mounts %s there: a start would take them away", v.Target, v.Source),
		Hint: fmt.Sprintf(`copy them: podman unshare sh -c 'mkdir -p %[3]s && cp -a %[4]s%[2]s/. %[3]s/'; archy %[5]s %[1]s, or give them up: archy %[5]s %[1]s --drop-mount %[2]s`,
			a.ID, v.Target, v.Source, in.Layer, verb)}
}

// goesAtItsEnd is why an adopted container is not stopped to be started again: podman takes one that was made with --rm away when it ends, with its own layer and the
// volumes without a name, and there is no way back.
func (a *App) goesAtItsEnd() *Fault {
	if a.C == nil || !a.C.AutoRemove || !a.Running() && a.C.State != podman.StatePaused {
		return nil
	}
	return &Fault{Code: "auto-remove", Text: "the container was made with --rm: podman takes it away as soon as it is stopped, with what it has beside its directories and named volumes",
		Hint: fmt.Sprintf("look at what it has: podman diff %[2]s; podman inspect -f '{{.Mounts}}' %[2]s; then: archy stop %[1]s; archy start %[1]s, which makes it a unit over its directories", a.ID, a.liveName())}
}

// ServiceOf is the system's service in whose control group a process lives, "" for one of the user's own: a container there dies with that
// service (incident 1). The text is that of the process's proc_pid_cgroup(5).
func ServiceOf(cgroup string) string {
	_, path, _ := strings.Cut(strings.TrimSpace(cgroup), "::")
	if strings.HasPrefix(path, "/user.slice") || strings.Contains(path, "/user.slice/") {
		return ""
	}
	for _, part := range strings.Split(path, "/") {
		if strings.HasSuffix(part, ".service") {
			return part
		}
	}
	return ""
}

// pins are what a migration keeps of the old container: published ports that the manifest lacks, where its data lie, and
// what its database calls itself; and until then what the container is called.
func (ob *observation) pins(a *App, in podman.Inspect) state.Pinned {
	var p state.Pinned
	if a.Record != nil {
		p = a.Record.Pinned
	}
	p.ExtraPorts, p.Env = nil, databaseNames(a.Manifest, in.Env.Map())
	if p.Name = ""; in.Name != a.Container {
		p.Name = in.Name
	}
	wanted := map[string]bool{}
	for _, w := range a.Manifest.Ports {
		wanted[fmt.Sprintf("%d/%s", w.Host, w.Protocol)] = true
	}
	for _, q := range in.Ports {
		if !wanted[fmt.Sprintf("%d/%s", q.HostPort, q.Protocol)] && !ob.portOwned(a.ID, q.HostPort, q.Protocol) && q.HostPort > 0 {
			p.ExtraPorts = append(p.ExtraPorts, state.PinnedPort{HostIP: anyAddress(q.HostIP), Host: q.HostPort, Container: q.ContainerPort, Protocol: q.Protocol})
		}
	}
	p.Volumes, p.Held = PinnedVolumes(a.Manifest, in), heldMounts(a.Manifest, in)
	return p
}

// heldMounts are the mounts of a container that no source of the manifest's can be pinned to and that it may have written to.
func heldMounts(app *manifest.App, in podman.Inspect) []state.HeldMount {
	var list []state.HeldMount
	for _, m := range in.Mounts {
		pinned := slices.ContainsFunc(app.Volumes, func(v manifest.Volume) bool {
			return v.Type == manifest.Bind && path.Clean(v.Target) == path.Clean(m.Target)
		})
		switch {
		case m.Type == "volume":
			list = append(list, state.HeldMount{Volume: m.Name, Source: m.Source, Target: m.Target})
		case m.Type == "bind" && m.RW && !pinned:
			list = append(list, state.HeldMount{Source: m.Source, Target: m.Target})
		}
	}
	return list
}

// leftBehind is why a start would not find the data that the app had in a container which is gone: they are where no unit of it mounts
// anything. Records of older versions do not say where data were.
func (ob *observation) leftBehind(a *App) *Fault {
	if a.C != nil {
		return nil
	}
	last := ob.lastOf(a.Manifest)
	for _, h := range last.Pinned.Held {
		h.Target = ob.targetIn(a.Manifest, last.App, h.Target)
		m := podman.Mount{Type: "bind", Source: h.Source, Target: h.Target}
		if h.Volume != "" {
			m.Type, m.Name = "volume", h.Volume
		}
		if f := a.mountFault(m); f != nil && !slices.Contains(ob.Options.DropMounts, h.Target) {
			return f
		}
	}
	return nil
}

// targetIn is where an app has the directory that its alternative has at a target.
func (ob *observation) targetIn(app *manifest.App, alternative, target string) string {
	other := ob.Set.Apps[alternative]
	if other == nil || other == app {
		return target
	}
	for _, theirs := range other.Volumes {
		for _, v := range app.Volumes {
			if path.Clean(theirs.Target) == path.Clean(target) && path.Clean(theirs.Source) == path.Clean(v.Source) {
				return v.Target
			}
		}
	}
	return target
}

// PinnedVolumes are the targets of the app for which a container has another source than the manifest.
func PinnedVolumes(app *manifest.App, in podman.Inspect) []state.PinnedVolume {
	var list []state.PinnedVolume
	for _, v := range app.Volumes {
		if m, ok := bindAt(in, v.Target); ok && v.Type == "bind" && path.Clean(m.Source) != path.Clean(v.Source) {
			list = append(list, state.PinnedVolume{Source: m.Source, Target: v.Target})
		}
	}
	return list
}

// databaseNames are the names that a database of the old container was made with, where the manifest has others: they are in its
// data by now. A name that the manifest takes from a secret stays the secret's.
func databaseNames(app *manifest.App, have map[string]string) map[string]string {
	var names map[string]string
	for _, entry := range app.Environment {
		key, value, _ := strings.Cut(entry, "=")
		old := have[key]
		if !slices.Contains([]string{"POSTGRES_USER", "POSTGRES_DB", "MARIADB_USER", "MARIADB_DATABASE"}, key) || old == "" || old == value || strings.Contains(value, "${") {
			continue
		}
		if names == nil {
			names = map[string]string{}
		}
		names[key] = old
	}
	return names
}

// portOwned tells that another app's manifest publishes the port.
func (ob *observation) portOwned(self string, port int, protocol string) bool {
	for id, app := range ob.Set.Apps {
		if id == self || ob.wants[id].Want == WantNone {
			continue
		}
		for _, p := range app.Ports {
			if p.Host == port && p.Protocol == protocol {
				return true
			}
		}
	}
	return false
}

func bindAt(in podman.Inspect, target string) (podman.Mount, bool) {
	for _, m := range in.Mounts {
		if m.Type == "bind" && path.Clean(m.Target) == path.Clean(target) {
			return m, true
		}
	}
	return podman.Mount{}, false
}

// migrationFault refuses a move that would change where data live, or with which passwords they are opened.
func (ob *observation) migrationFault(a *App) *Fault {
	if f := a.goesAtItsEnd(); f != nil {
		return f
	}
	if a.InItself != nil {
		return a.InItself
	}
	for _, m := range a.Inspect.Mounts {
		if f := a.mountFault(m); f != nil && !slices.Contains(ob.Options.DropMounts, m.Target) {
			return f
		}
	}
	env := a.Inspect.Env.Map()
	for _, s := range a.Spec.Secrets {
		if have, ok := env[s.Key]; ok && have != s.Value.Reveal() && !ob.Options.TakeContainerSecret {
			return &Fault{Code: "secret", Text: fmt.Sprintf("%s of the container differs from its secret file", s.Key),
				Hint: "take the container's value (the file is kept as .bak): archy adopt --migrate " + a.ID + " --take-container-secret"}
		}
	}
	return nil
}

// movedAway is why the wanted unit would not find the data that the unit on disk has: a manifest names another directory, and nobody has
// copied them there, or does not mount them any more. An app that was removed has no unit: it begins where its manifest says.
func (ob *observation) movedAway(ctx context.Context, a *App) *Fault {
	if a.Unit == nil || a.Record == nil || a.Record.SpecHash == "" {
		return nil
	}
	had := unitMounts(a.Unit.Content)
	for _, m := range had {
		to, lost := a.insteadOf(m, had)
		if !lost || readOnly(m) || a.Selected && slices.Contains(ob.Options.DropMounts, m.Target) || !ob.hadData(ctx, a, m) {
			continue
		}
		if !slices.ContainsFunc(to, func(x spec.Mount) bool { return ob.holdsMapped(ctx, x.Source) }) {
			return movedFault(a.ID, m, to)
		}
	}
	return nil
}

// dataGone is why the unit that ran last would find nothing: a directory of its own is not there, since somebody moved it away or is just putting a backup
// back. One made in its place would have the app begin anew. An empty one is its owner's word that it may.
func (ob *observation) dataGone(a *App) *Fault {
	r, known := ob.records[a.ID]
	if !known || !r.Installed || r.SpecHash == "" || a.Unit == nil || a.specOnDisk() != r.SpecHash || ob.givenUp(a) {
		return nil
	}
	had := unitMounts(a.Unit.Content)
	for _, m := range a.Spec.Mounts {
		if !m.Own || m.File || m.Type != "bind" || readOnly(m) || !slices.ContainsFunc(had, func(x spec.Mount) bool { return x.Source == m.Source }) {
			continue
		}
		if _, err := os.Stat(ob.Layout.Host(m.Source)); errors.Is(err, fs.ErrNotExist) {
			return &Fault{Code: "data-gone", Text: "its data were in " + m.Source + ", which is not there any more",
				Hint: fmt.Sprintf("put it back, then: archy start %[1]s; or, to begin anew: mkdir -p %[2]s, then: archy start %[1]s", a.ID, m.Source)}
		}
	}
	return nil
}

// givenUp tells that the owner gives up where the data of an app were.
func (ob *observation) givenUp(a *App) bool {
	return a.Selected && len(ob.Options.DropMounts)+len(ob.Options.DropDisks) > 0
}

// insteadOf are the directories that the wanted container has instead of one that it had; lost is false when it keeps that one, wherever its
// manifest has it inside. At a target that its manifest does not have it keeps what was pinned there, and would not look for it.
func (a *App) insteadOf(had spec.Mount, all []spec.Mount) (to []spec.Mount, lost bool) {
	pinned := false
	for _, m := range a.Spec.Mounts {
		keeps := m.Type == had.Type && (m.Source == had.Source || m.Type == "bind" && strings.HasPrefix(had.Source, m.Source+"/"))
		wanted := slices.ContainsFunc(a.Manifest.Volumes, func(v manifest.Volume) bool { return path.Clean(v.Target) == path.Clean(m.Target) })
		switch {
		case readOnly(m), m.File:
		case keeps && wanted:
			return nil, false
		case keeps:
			pinned = true
		case m.Type == "bind" && path.Clean(m.Target) == path.Clean(had.Target):
			return []spec.Mount{m}, true
		case m.Type == "bind" && !slices.ContainsFunc(all, func(x spec.Mount) bool { return x.Source == m.Source }):
			to = append(to, m)
		}
	}
	return to, !pinned || len(to) > 0
}

func readOnly(m spec.Mount) bool { return slices.Contains(m.Options, "ro") }

// hadData tells that a mount of the app's unit holds something. Nobody looks into a volume.
func (ob *observation) hadData(ctx context.Context, a *App, m spec.Mount) bool {
	return m.Type == "volume" || !ob.isFile(m.Source) && ob.held(ctx, a.Manifest, m.Source)
}

func movedFault(id string, had spec.Mount, to []spec.Mount) *Fault {
	where, from := had.Source, had.Source
	if had.Type == "volume" {
		where, from = "volume "+had.Source, "$(podman volume inspect -f {{.Mountpoint}} "+had.Source+")"
	}
	drop := fmt.Sprintf("archy start %s --drop-mount %s", id, had.Target)
	if len(to) == 0 {
		return &Fault{Code: "mount", Text: fmt.Sprintf("its data are in %s, which was mounted at %s, and its manifest does not mount that any more", where, had.Target),
			Hint: "mount it in a local manifest; or, to go on without it: " + drop}
	}
	return &Fault{Code: "mount", Text: fmt.Sprintf("its data are in %s and its manifest mounts %s, which is empty, at %s", where, to[0].Source, to[0].Target),
		Hint: fmt.Sprintf("copy them with the app stopped: archy stop %[1]s; podman unshare cp -a %[2]s/. %[3]s/; archy start %[1]s, or correct the manifest; to begin anew: %[4]s",
			id, from, to[0].Source, drop)}
}

// mountFault is why what the container mounts would not be there after a move. A bind stays where it is when the manifest has one at
// its target (pins), a volume only when the manifest names it. podman makes a volume without a name for each VOLUME of an image: where
// the manifest binds a directory the data are in that volume, elsewhere it leaves such a path uncovered on purpose.
func (a *App) mountFault(m podman.Mount) *Fault {
	wanted := a.wantedAt(m.Target)
	anonymous := m.Type == "volume" && isAnonymous(m)
	has := m.Source
	switch {
	case m.Type == "bind" && wanted.Type == "bind", anonymous && wanted.Type == "":
		return nil
	case m.Type == "volume" && !anonymous && wanted.Type == "volume" && wanted.Source == m.Name:
		return nil
	case m.Type == "volume":
		has = "volume " + m.Name
	case m.Type != "bind":
		return nil
	}
	mounts, copying := "the container mounts", fmt.Sprintf("archy stop %[1]s; podman unshare cp -a %[2]s/. %[3]s/; podman rename %[4]s %[4]s-old; archy start %[1]s",
		a.ID, m.Source, wanted.Source, a.liveName())
	drop := "archy adopt --migrate " + a.ID + " --drop-mount " + m.Target
	if a.C == nil {
		mounts = "the container, which is gone, mounted"
		if a.Record == nil || !a.Record.Installed {
			drop = "archy install " + a.ID + " --drop-mount " + m.Target
		}
		copying = fmt.Sprintf("podman unshare cp -a %s/. %s/; %s", m.Source, wanted.Source, drop)
	}
	f := Fault{Code: "mount", Text: fmt.Sprintf("%s %s at %s and the manifest does not", mounts, has, m.Target)}
	if wanted.Source != "" {
		f.Text = fmt.Sprintf("%s %s at %s and the manifest %s: the app would not find its data", mounts, has, m.Target, wanted.Source)
	}
	var ways []string
	switch {
	case m.Type == "volume" && !anonymous:
		ways = append(ways, fmt.Sprintf("mount it in a local manifest (type: volume, source: %s, target: %s)", m.Name, m.Target))
	case wanted.Source == "":
		ways = append(ways, "add it to a local manifest")
	}
	if wanted.Type == "bind" {
		ways = append(ways, "copy it with the app stopped: "+copying)
	}
	f.Hint = strings.Join(append(ways, "give it up: "+drop), ", or ")
	return &f
}

// wantedAt is what the wanted container keeps at a target; a tmpfs keeps nothing.
func (a *App) wantedAt(target string) spec.Mount {
	at := func(t string) bool { return path.Clean(t) == path.Clean(target) }
	for _, m := range a.Spec.Mounts {
		if at(m.Target) {
			return m
		}
	}
	if slices.ContainsFunc(a.Spec.SecretMounts, func(m spec.SecretMount) bool { return at(m.Target) }) {
		return spec.Mount{Type: "bind", Target: target}
	}
	return spec.Mount{}
}

// isAnonymous tells a volume that podman gave its name, an id of 64 digits.
func isAnonymous(m podman.Mount) bool { return len(m.Name) == 64 }

// compare lists the drift of a container that archy did not make. Values of secrets read "hidden".
func compare(c spec.Container, in podman.Inspect) []Drift {
	var d differ
	d.text("image", in.Image, c.Image)
	d.set("ports", wantedPorts(c), havePorts(in))
	d.env(c, in)
	d.set("mounts", wantedMounts(c), haveMounts(in))
	d.number("memory", in.Memory, c.Memory)
	d.text("cpus", cpuText(haveCPUs(in)), cpuText(c.CPUs))
	d.user(c, in)
	d.set("caps", c.CapAdd, haveCaps(in))
	d.flag("read-only", in.ReadOnly, c.ReadOnly)
	d.set("tmpfs", wantedTmpfs(c), haveTmpfs(c, in))
	if c.Hostname != "" { // of these three podman has defaults of its own
		d.text("hostname", in.Hostname, c.Hostname)
	}
	if c.ShmSize > 0 {
		d.number("shm", in.ShmSize, c.ShmSize)
	}
	if c.PidsLimit > 0 {
		d.number("pids", in.PidsLimit, c.PidsLimit)
	}
	d.set("networks", wantedNetworks(c), haveNetworks(in))
	d.set("add-host", hostNames(c.AddHosts), hostNames(in.ExtraHosts))
	d.command(c, in)
	d.text("health", haveHealth(in), wantedHealth(c))
	d.number("stop-grace", int64(in.StopTimeout.Seconds()), int64(c.StopGrace))
	if in.RestartPolicy != "" && in.RestartPolicy != "no" {
		d.list = append(d.list, Drift{Dimension: "restart", Have: in.RestartPolicy, Want: "systemd"})
	}
	return d.list
}

type differ struct{ list []Drift }

func (d *differ) text(dimension, have, want string) {
	if have != want {
		d.list = append(d.list, Drift{dimension, orNone(have), orNone(want)})
	}
}

func (d *differ) number(dimension string, have, want int64) {
	d.text(dimension, numberText(have), numberText(want))
}

func numberText(n int64) string {
	if n <= 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func (d *differ) flag(dimension string, have, want bool) {
	d.text(dimension, strconv.FormatBool(have), strconv.FormatBool(want))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// set compares without order and prints what is too many and too few.
func (d *differ) set(dimension string, want, have []string) {
	more, fewer := missingFrom(want, have, "+"), missingFrom(have, want, "-")
	if len(more)+len(fewer) > 0 {
		d.list = append(d.list, Drift{Dimension: dimension, Have: strings.Join(more, " "), Want: strings.Join(fewer, " ")})
	}
}

// missingFrom lists, with a sign, what one list has and the other lacks.
func missingFrom(lacks, has []string, sign string) []string {
	var out []string
	for _, h := range slices.Sorted(slices.Values(has)) {
		if !slices.Contains(lacks, h) {
			out = append(out, sign+h)
		}
	}
	return out
}

// bracketed is a drift as a list of them reads best: ports (+18080:8080 -8080:8080), memory (none -> 1073741824).
func (d Drift) bracketed() string {
	switch {
	case strings.HasPrefix(d.Have, "+") || strings.HasPrefix(d.Want, "-"):
		return d.Dimension + " (" + strings.TrimSpace(d.Have+" "+d.Want) + ")"
	case d.Have == "" && d.Want == "":
		return d.Dimension
	}
	return d.Dimension + " (" + orNone(d.Have) + " -> " + orNone(d.Want) + ")"
}

// env compares the manifest's keys only: an image's own variables are no drift.
func (d *differ) env(c spec.Container, in podman.Inspect) {
	have := in.Env.Map()
	for _, k := range slices.Sorted(maps.Keys(c.Env)) {
		if have[k] != c.Env[k] {
			d.list = append(d.list, Drift{"env " + k, orNone(have[k]), c.Env[k]})
		}
	}
	for _, s := range c.Secrets {
		if v, ok := have[s.Key]; !ok || v != s.Value.Reveal() {
			d.list = append(d.list, Drift{"env " + s.Key, "hidden", "hidden"})
		}
	}
}

func (d *differ) user(c spec.Container, in podman.Inspect) {
	if c.User == "" {
		return // the image's own
	}
	have := in.User
	if have == "" {
		have = "0:0"
	}
	d.text("user", strings.TrimSuffix(have, ":0"), strings.TrimSuffix(c.User, ":0"))
}

func (d *differ) command(c spec.Container, in podman.Inspect) {
	if len(c.Entrypoint) > 0 && !slices.Equal(c.Entrypoint, in.Entrypoint) {
		d.list = append(d.list, Drift{Dimension: "entrypoint", Have: strings.Join(in.Entrypoint, " "), Want: strings.Join(c.Entrypoint, " ")})
	}
	if len(c.Command) > 0 && !slices.Equal(c.Command, in.Cmd) {
		d.list = append(d.list, Drift{Dimension: "command", Have: "other arguments", Want: "those of the manifest"})
	}
}

func wantedPorts(c spec.Container) []string {
	var out []string
	for _, p := range c.Ports {
		out = append(out, portText(p.HostIP, p.Host, p.Container, p.Protocol))
	}
	return out
}

func havePorts(in podman.Inspect) []string {
	var out []string
	for _, p := range in.Ports {
		out = append(out, portText(p.HostIP, p.HostPort, p.ContainerPort, p.Protocol))
	}
	return out
}

func portText(ip string, host, container int, protocol string) string {
	text := fmt.Sprintf("%d:%d", host, container)
	if ip = anyAddress(ip); ip != "" {
		text = ip + ":" + text
	}
	if protocol != "tcp" && protocol != "" {
		text += "/" + protocol
	}
	return text
}

func anyAddress(ip string) string {
	if ip == "0.0.0.0" || ip == "::" {
		return ""
	}
	return ip
}

// portWords are the ports of an app for a table: an adopted container has its own; an app on the host's network listens on those of its manifest.
func portWords(a *App) []string {
	if a.Legacy() && len(a.C.Ports) > 0 {
		var out []string
		for _, p := range a.C.Ports {
			out = append(out, portText(p.HostIP, p.HostPort, p.ContainerPort, p.Protocol))
		}
		return out
	}
	if a.Spec.Network != "host" || a.Manifest == nil {
		return wantedPorts(a.Spec)
	}
	var out []string
	for _, p := range a.Manifest.Ports {
		out = append(out, portText(p.Bind, p.Host, p.Host, p.Protocol))
	}
	return out
}

func wantedMounts(c spec.Container) []string {
	var out []string
	for _, m := range c.Mounts {
		out = append(out, m.Source+":"+m.Target)
	}
	return out
}

func haveMounts(in podman.Inspect) []string {
	var out []string
	for _, m := range in.Mounts {
		switch m.Type {
		case "bind":
			out = append(out, m.Source+":"+m.Target)
		case "volume":
			if !isAnonymous(m) {
				out = append(out, m.Name+":"+m.Target)
			}
		}
	}
	return out
}

func wantedTmpfs(c spec.Container) []string {
	var out []string
	for _, t := range c.Tmpfs {
		out = append(out, t.Target)
	}
	return out
}

// haveTmpfs leaves out those that podman makes for a read-only container, and that nobody asked for.
func haveTmpfs(c spec.Container, in podman.Inspect) []string {
	return slices.DeleteFunc(sortedKeys(in.Tmpfs), func(target string) bool {
		return in.ReadOnly && slices.Contains([]string{"/run", "/tmp", "/var/tmp"}, target) && !slices.Contains(wantedTmpfs(c), target)
	})
}

func haveCPUs(in podman.Inspect) float64 {
	switch {
	case in.NanoCPUs > 0:
		return float64(in.NanoCPUs) / 1e9
	case in.CPUQuota > 0 && in.CPUPeriod > 0:
		return float64(in.CPUQuota) / float64(in.CPUPeriod)
	}
	return 0
}

func cpuText(n float64) string {
	if n <= 0 {
		return ""
	}
	return strconv.FormatFloat(n, 'g', -1, 64)
}

func haveCaps(in podman.Inspect) []string {
	var out []string
	for _, c := range in.EffectiveCaps {
		out = append(out, strings.TrimPrefix(c, "CAP_"))
	}
	return out
}

func wantedNetworks(c spec.Container) []string {
	if c.Network == "" {
		return []string{"archy-net"}
	}
	return []string{c.Network}
}

func haveNetworks(in podman.Inspect) []string {
	if names := sortedKeys(in.Networks); len(names) > 0 && in.NetworkMode != "host" && in.NetworkMode != "pasta" {
		return names
	}
	return []string{in.NetworkMode}
}

func hostNames(list []string) []string {
	var out []string
	for _, h := range list {
		name, _, _ := strings.Cut(h, ":")
		out = append(out, name)
	}
	return out
}

func wantedHealth(c spec.Container) string {
	switch {
	case c.Health == nil || c.Health.HostHTTP != "":
		return ""
	case c.Health.Cmd != "":
		return c.Health.Cmd
	}
	return strings.Join(c.Health.Argv, " ")
}

func haveHealth(in podman.Inspect) string {
	if in.Healthcheck == nil || len(in.Healthcheck.Test) == 0 || in.Healthcheck.Test[0] == "NONE" {
		return ""
	}
	return strings.Join(in.Healthcheck.Test[1:], " ")
}
