package reconcile

import (
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/quadlet"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// noon is the time of every world that a test builds by hand.
var noon = time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)

// marker is in every secret of a test; it must never be seen anywhere.
const marker = "MARKED-SECRET"

func testLayout() node.Layout {
	return node.Layout{DataDir: "/var/lib/archipelago", Home: "/home/archipelago", RuntimeDir: "/run/user/1000", LockDir: "/run/archy"}
}

// build changes an app that a test starts from.
type build func(*App)

// healthyApp is an installed app of tier 3 that has run well for an hour, its unit as archy wrote it.
func healthyApp(id string, more ...build) *App {
	tier := 3
	a := &App{ID: id, Container: id, Tier: tier, Want: WantRunning, Selected: true,
		Manifest: &manifest.App{ID: id, Metadata: manifest.Metadata{Tier: &tier}},
		Spec: spec.Container{App: id, Name: id, Tier: tier, Image: "docker.io/example/" + id + ":v1.0",
			Network: "pasta", Memory: 256 << 20, StopGrace: 30,
			Health: &spec.Health{Cmd: "check", Interval: 30, Timeout: 5, Retries: 3, StartPeriod: 60},
			Unit:   spec.Unit{Description: id, Restart: "on-failure", TimeoutStart: 120}}}
	a.renderNow()
	a.Unit = &UnitFile{Content: a.UnitText, ModTime: noon.Add(-2 * time.Hour)}
	a.Record = &state.Record{App: id, Container: id, Owner: state.Quadlet, Installed: true, InstalledAt: noon.Add(-24 * time.Hour),
		Image: a.Spec.Image, SpecHash: a.Hash, UnitDigests: []string{digest(a.UnitText)}}
	a.C = &podman.Container{ID: "id-" + id, Name: id, State: podman.StateRunning, Health: podman.HealthHealthy, Pid: 4711,
		Image: a.Spec.Image, Created: noon.Add(-time.Hour), StartedAt: noon.Add(-time.Hour), AutoRemove: true, Labels: quadlet.Labels(a.Spec)}
	a.Service = systemd.Detail{Unit: systemd.Unit{Name: id + ".service", LoadState: "loaded", ActiveState: "active", SubState: "running"}, MainPID: 4700}
	all(more...)(a)
	return a
}

// renderNow computes hash and unit text of the app's spec, as Observe does.
func (a *App) renderNow() {
	text, err := quadlet.Render(a.Spec, testLayout())
	if err != nil {
		panic(err)
	}
	a.Hash, a.UnitText = a.Spec.Hash(), text
}

func all(changes ...build) build {
	return func(a *App) {
		for _, change := range changes {
			if change != nil {
				change(a)
			}
		}
	}
}

// wants changes what is wanted; container and unit stay what they are.
func wants(change func(*spec.Container)) build {
	return func(a *App) { change(&a.Spec); a.renderNow() }
}

func moreMemory(c *spec.Container) { c.Memory = 512 << 20 }

// made changes the app as a whole: what is wanted, the unit and the container are the same.
func made(change func(*spec.Container)) build {
	return func(a *App) {
		change(&a.Spec)
		a.renderNow()
		if a.Record == nil || a.Unit == nil || a.C == nil {
			return
		}
		a.Unit.Content, a.Record.SpecHash, a.Record.UnitDigests = a.UnitText, a.Hash, []string{digest(a.UnitText)}
		a.C.Labels = quadlet.Labels(a.Spec)
		a.Record.Image, a.C.Image = a.Spec.Image, a.Spec.Image
	}
}

func tier(n int) build {
	return all(made(func(c *spec.Container) { c.Tier = n }), func(a *App) { a.Tier, a.Manifest.Metadata.Tier = n, &n })
}

func desire(w Want) build { return func(a *App) { a.Want = w } }
func noContainer(a *App) {
	a.C, a.Service.ActiveState, a.Service.SubState, a.Service.MainPID = nil, "inactive", "dead", 0
}
func noUnit(a *App)          { a.Unit, a.Service.LoadState = nil, "not-found" }
func noRecord(a *App)        { a.Record = nil }
func force(a *App)           { a.Force = true }
func inState(s string) build { return func(a *App) { a.C.State, a.C.Health = s, "" } }
func exited(code int) build {
	return all(inState(podman.StateExited), func(a *App) { a.C.ExitCode = code })
}
func health(h string) build              { return func(a *App) { a.C.Health = h } }
func needs(n ...Need) build              { return func(a *App) { a.Needs = n } }
func faulty(f Fault) build               { return func(a *App) { a.Fault = &f } }
func record(f func(*state.Record)) build { return func(a *App) { f(a.Record) } }

func startedBefore(d time.Duration) build {
	return func(a *App) { a.C.StartedAt = noon.Add(-d) }
}

func service(active, sub string) build {
	return func(a *App) { a.Service.ActiveState, a.Service.SubState = active, sub }
}

// failing is a health check that has failed in that many passes.
func failing(passes int, since time.Duration) build {
	return all(health(podman.HealthUnhealthy), func(a *App) {
		a.History.UnhealthyPasses, a.History.UnhealthySince = passes, noon.Add(-since)
	})
}

// brokenOpen is an open breaker of this boot.
func brokenOpen(a *App) {
	for range state.BreakerEvents {
		a.History.Count(noon.Add(-10*time.Minute), state.EventDied)
	}
	a.History.Open(noon.Add(-10*time.Minute), "boot-1", "too many failures in 30 minutes")
}

// legacy makes the container one that a script made: no labels, no unit.
func legacy(drift ...Drift) build {
	return all(noUnit, func(a *App) {
		a.C.Labels, a.C.AutoRemove = nil, false
		a.Service = systemd.Detail{}
		a.Drift = drift
		if a.Record != nil {
			a.Record.Owner, a.Record.By, a.Record.SpecHash, a.Record.UnitDigests = state.Legacy, state.ByAdopt, "", nil
		}
	})
}

// derivedFile is a file of the app that holds something else than it should.
func derivedFile(name, cause string) build {
	return func(a *App) {
		a.Files = append(a.Files, File{Name: name, Path: "/var/lib/archipelago/" + a.ID + "/" + name, Content: []byte("rpcpass=" + marker),
			Have: []byte("old"), Exists: true, Mode: 0o600, Cause: cause})
	}
}

func secretEnv(c *spec.Container) {
	v := secrets.New(marker)
	c.Secrets = []spec.SecretEnv{{Key: "PASSWORD", Secret: spec.SecretName(c.App, "PASSWORD"), Value: v}}
	c.SecretEnvHash = secrets.SecretEnvHash(c.App, map[string]secrets.Value{"PASSWORD": v})
}

// world holds the apps on a node whose images, networks and secrets are there.
func world(apps ...*App) *World {
	w := &World{Now: noon, BootID: "boot-1", Apps: apps, Images: map[string]string{}, Networks: map[string]bool{"archy-net": true},
		Secrets: map[string]string{}, Free: 100 << 30}
	for _, a := range apps {
		w.Images[a.Spec.Image] = "image-" + a.ID
		for _, s := range WantedSecrets(a.Spec) {
			w.Secrets[s.Name] = s.Label
		}
	}
	return w
}

// planText is a plan with its columns squeezed, which is easier to read in a table.
func planText(p Plan) string {
	var lines []string
	for _, op := range p.Ops {
		lines = append(lines, strings.Join(strings.Fields(op.String()), " "))
	}
	return strings.Join(lines, "\n")
}

// lines joins the lines of an expected plan.
func lines(list ...string) string { return strings.Join(list, "\n") }

func verdictOf(t *testing.T, p Plan, id string) *Verdict {
	t.Helper()
	for _, a := range p.Apps {
		if a.ID == id {
			return &a.Verdict
		}
	}
	return nil
}
