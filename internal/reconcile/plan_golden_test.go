package reconcile

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/derived"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

var update = flag.Bool("update", false, "write the golden files anew")

// node10 are the ten apps of a node, in the order of starts, all well.
func node10() []*App {
	on := func(more ...build) build {
		return all(append([]build{func(a *App) {
			a.Network = &Network{Name: "archy-net", Subnet: "10.89.0.0/24", Gateway: "10.89.0.1"}
			a.By = state.ByCreateMissing
		}, made(func(c *spec.Container) { c.Network = "archy-net" })}, more...)...)
	}
	built := made(func(c *spec.Container) {
		c.Image, c.Build = "localhost/"+c.App+":ctx-0123456789ab", &spec.Build{Context: "/opt/archipelago/docker/" + c.App, Dockerfile: "Dockerfile"}
	})
	password := made(secretEnv)
	bitcoin := func(a *App) { a.Mode, a.Archival = &derived.Mode{TxIndex: true}, true }
	return []*App{
		healthyApp("archy-mempool-db", tier(0), on(), password),
		healthyApp("bitcoin-knots", tier(1), on(), bitcoin),
		healthyApp("electrumx", tier(2), on(), password, needs(Need{"bitcoin-knots", manifest.Archival})),
		healthyApp("lnd", tier(2), on(), needs(Need{"bitcoin-knots", manifest.Answers})),
		healthyApp("mempool-api", tier(2), on(), password, needs(Need{"archy-mempool-db", manifest.Healthy}, Need{"bitcoin-knots", manifest.Archival}, Need{"electrumx", manifest.Started})),
		healthyApp("filebrowser", tier(3), password),
		healthyApp("mempool", tier(3), on(), needs(Need{"mempool-api", manifest.Healthy})),
		healthyApp("bitcoin-ui", tier(4), on(), built),
		healthyApp("electrs-ui", tier(4), on(), built),
		healthyApp("lnd-ui", tier(4), on(), built),
	}
}

// each changes those of the apps.
func each(apps []*App, change build, ids ...string) []*App {
	for _, a := range apps {
		for _, id := range ids {
			if a.ID == id {
				change(a)
			}
		}
		if len(ids) == 0 {
			change(a)
		}
	}
	return apps
}

// TestGoldenPlans compares the plans of whole scenarios, to the byte, with what a reader of --check-only gets.
func TestGoldenPlans(t *testing.T) {
	conf := func(name string) build {
		return func(a *App) {
			a.Files = []File{{Name: name, Path: "/var/lib/archipelago/" + a.ID + "/" + name, Content: []byte("rpcauth=archipelago:" + marker),
				Have: []byte("old"), Exists: true, Mode: 0o600, Cause: "rpcauth does not verify against its secret"}}
		}
	}
	nothing := func(a *App) {
		noContainer(a)
		noUnit(a)
		a.Record = nil
		a.Dirs = []Dir{{Path: "/var/lib/archipelago/" + a.ID, Owner: "1000:1000", Cause: "absent"}}
	}
	drafts := func(a *App) {
		if len(a.Spec.Secrets) > 0 {
			a.Fresh = []Secret{{Name: "bitcoin-rpc-password", Kind: "hex16", Value: secrets.New(marker)}}
		}
	}
	for _, c := range []struct {
		file    string
		apps    []*App
		world   func(*World)
		options Options
	}{
		{file: "from-nothing-to-ten-apps", apps: each(each(node10(), nothing), drafts), world: func(w *World) {
			clear(w.Images)
			clear(w.Networks)
			clear(w.Secrets)
		}, options: Options{CreateMissing: true}},
		{file: "rpcauth-changed", apps: each(node10(), conf("bitcoin.conf"), "bitcoin-knots")},
		{file: "environment-changed", apps: each(node10(), wants(func(c *spec.Container) { c.Env = map[string]string{"CACHE_MB": "800"} }), "electrumx")},
		{file: "secret-rotated", apps: each(node10(), wants(func(c *spec.Container) {
			v := secrets.New(marker + "-2")
			c.Secrets[0].Value = v
			c.SecretEnvHash = secrets.SecretEnvHash(c.App, map[string]secrets.Value{"PASSWORD": v})
		}), "electrumx", "mempool-api"), world: func(w *World) {
			w.Secrets["archy.electrumx.PASSWORD"], w.Secrets["archy.mempool-api.PASSWORD"] = "older", "older"
		}},
		{file: "image-upgrade-forced", apps: each(node10(), all(force, wants(func(c *spec.Container) { c.Image = "docker.io/example/lnd:v1.1" })), "lnd"),
			world: func(w *World) { delete(w.Images, "docker.io/example/lnd:v1.1") }, options: Options{Force: true, Only: []string{"lnd"}, Wait: true, Timeout: time.Minute}},
		{file: "everything-forced", apps: each(node10(), force), options: Options{Force: true}},
		{file: "stop-order", apps: each(node10(), desire(WantStopped))},
		{file: "dependency-waits", apps: each(each(each(node10(), noContainer, "electrumx", "mempool-api", "mempool", "lnd"), all(health("starting"), startedBefore(time.Minute)), "bitcoin-knots"),
			all(noContainer, brokenOpen), "archy-mempool-db")},
		{file: "adopt", apps: each(node10(), all(noRecord, legacy(Drift{Dimension: "memory", Have: "none", Want: "268435456"})))},
		{file: "migrate", apps: each(node10(), legacy()), options: Options{Migrate: true}},
		{file: "removed", apps: each(node10(), desire(WantAbsent), "lnd", "lnd-ui")},
		{file: "nothing-to-do", apps: node10()},
	} {
		t.Run(c.file, func(t *testing.T) {
			w := world(c.apps...)
			if c.world != nil {
				c.world(w)
			}
			for _, a := range w.Apps {
				a.Selected = len(c.options.Only) == 0 || a.Force
			}
			golden(t, "plan-"+c.file+".txt", MakePlan(w, c.options).String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
	}
}
