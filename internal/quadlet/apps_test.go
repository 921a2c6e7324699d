package quadlet

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
)

// shipped resolves the shipped apps on a machine of 16 GiB and 4 cores.
func shipped(t *testing.T) []spec.Container {
	t.Helper()
	set, findings := manifest.LoadFS(apps.FS, "apps")
	for _, f := range findings {
		t.Errorf("%v", f)
	}
	var all []spec.Container
	for _, id := range apps.IDs() {
		c, problems := spec.Resolve(spec.Input{
			App:    set.Apps[id],
			Layout: node.Layout{DataDir: layout.DataDir, ManifestDir: "/opt/archipelago/apps"},
			Facts: node.Facts{
				MemTotal: 16 << 30, DataDisk: 2e12, Cores: 4, HostIP: "192.0.2.7", HostMDNS: "node.local", UID: 1000, GID: 1000,
				Delegated: node.Controllers{CPU: true, Memory: true, Pids: true},
			},
			Bitcoin: spec.Bitcoin{Host: "bitcoin-knots", DBCacheMiB: 1024, MemoryBytes: 2560 << 20},
			Container: func(id string) string {
				if set.Apps[id] == nil {
					return ""
				}
				return set.Apps[id].Unit()
			},
			Secret:     func(name string) (secrets.Value, bool) { return secrets.New("hunter2 of " + name), true },
			ContextTag: "ctx-0123456789ab",
		})
		for _, p := range problems {
			t.Errorf("%s: %v", id, p)
		}
		all = append(all, c)
	}
	return all
}

// TestShippedApps compares unit and command line of every shipped app with what was last agreed on, and lets podman's
// own code convert them together.
func TestShippedApps(t *testing.T) {
	units := map[string][]byte{"archy-net.network": network(t, "archy-net", "10.89.0.0/24", "10.89.0.1"),
		"immich-net.network": network(t, "immich-net", "10.89.1.0/24", "10.89.1.1")}
	containers := shipped(t)
	for _, c := range containers {
		units[c.Name+".container"] = render(t, c)
	}
	services, err := ConvertAll(units)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range containers {
		golden(t, "testdata/apps/"+c.Name+".container", string(units[c.Name+".container"]))
		got := parseRun(t, execStart(t, services[c.Name+".service"]))
		golden(t, "testdata/apps/"+c.Name+".run", got.String())
	}
	files, err := os.ReadDir("testdata/apps")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2*len(containers) {
		t.Errorf("%d golden files for %d apps: one is left over", len(files), len(containers))
	}
}

// TestShippedAppsKeepTheSharedRules are the rules that hold for every container.
func TestShippedAppsKeepTheSharedRules(t *testing.T) {
	for _, c := range shipped(t) {
		r := run(t, c)
		only := func(flag string, want ...string) {
			if !slices.Equal(r.flags[flag], want) {
				t.Errorf("%s: %s is %q, want %q", c.Name, flag, r.flags[flag], want)
			}
		}
		only("--cap-drop", "all")
		only("--pull", "never")
		only("--log-driver", "journald")
		only("--pids-limit", "2048")
		if c.Health != nil {
			only("--health-on-failure", "none")
		}
		only("--name", c.Name)
		if !slices.Contains(r.flags["--security-opt"], "no-new-privileges") {
			t.Errorf("%s may gain privileges", c.Name)
		}
		if len(r.flags["--memory"]) != 1 || len(r.flags["--cpus"]) != 1 {
			t.Errorf("%s has memory %q, cpus %q", c.Name, r.flags["--memory"], r.flags["--cpus"])
		}
		if slices.Contains(r.flags["--network"], "host") && len(r.flags["--publish"])+len(r.flags["--add-host"])+len(r.flags["--network-alias"]) > 0 {
			t.Errorf("%s is on the host's network and publishes, or has names", c.Name)
		}
		for _, volume := range r.flags["-v"] {
			if !strings.HasPrefix(volume, layout.DataDir+"/") || strings.HasSuffix(volume, ":Z") || strings.HasSuffix(volume, ":U") {
				t.Errorf("%s mounts %s", c.Name, volume)
			}
		}
	}
}

// TestShippedHashes: what is right on a node today must stay right after an upgrade of archy that changes no app. The
// list changes with a manifest only.
func TestShippedHashes(t *testing.T) {
	hashes := map[string]string{}
	for _, c := range shipped(t) {
		hashes[c.Name] = c.Hash()
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(hashes)) {
		lines = append(lines, name+" "+hashes[name])
	}
	golden(t, "testdata/hashes.txt", strings.Join(lines, "\n")+"\n")
}
