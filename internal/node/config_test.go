package node

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func load(t *testing.T, text string, env ...string) (Config, string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "archy.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := LoadConfig(path, env)
	if err == nil {
		return cfg, ""
	}
	var ce *ConfigError
	if !errors.As(err, &ce) {
		t.Fatalf("%v is not a ConfigError", err)
	}
	return cfg, strings.ReplaceAll(err.Error(), dir+"/", "")
}

func TestConfigMissingFileIsDefaults(t *testing.T) {
	cfg, err := LoadConfig(filepath.Join(t.TempDir(), "none.yaml"), []string{"HOME=/nowhere"})
	if err != nil || !reflect.DeepEqual(cfg, Default()) {
		t.Fatalf("%+v, %v", cfg, err)
	}
	if cfg.Reconcile.Interval != 30*time.Second || cfg.Bitcoin.Prune != "auto" || !cfg.Tor.Manage || cfg.WireGuard.Enabled {
		t.Errorf("defaults: %+v", cfg)
	}
}

func TestConfigEveryKey(t *testing.T) {
	got, problem := load(t, `# every key, none at its default
service_user: node
data_dir: /srv/data
manifest_dir: /srv/apps
local_manifest_dir: /srv/own
images:
  mirrors:
    - {location: registry.example:5000/x, layout: flat}
    - {location: mirror.example, layout: full}
  insecure_mirrors: [registry.example:5000/x]
  offline_dir: /srv/images
firewall: {manage: false}
tor: {manage: false}
reconcile: {interval: 1m30s, max_parallel: 2, metrics: /srv/archy.prom}
doctor: {auto_heal: off}
first_boot: {profile: full, apps: [lnd, bitcoin-knots]}
bitcoin: {prune: 550, dbcache_mib: "300"}
lnd: {auto_init_wallet: false}
wireguard: {enabled: true, address: 10.1.0.1/16, port: 1}
release: {mirrors: ["https://release.example/x"], keys_dir: /srv/keys, require_signature: always}
`)
	want := Config{
		ServiceUser: "node", DataDir: "/srv/data", ManifestDir: "/srv/apps", LocalManifestDir: "/srv/own",
		Images: Images{
			Mirrors:         []Mirror{{"registry.example:5000/x", "flat"}, {"mirror.example", "full"}},
			InsecureMirrors: []string{"registry.example:5000/x"}, OfflineDir: "/srv/images",
		},
		Reconcile: Reconcile{Interval: 90 * time.Second, MaxParallel: 2, Metrics: "/srv/archy.prom"},
		Doctor:    Doctor{"off"},
		FirstBoot: FirstBoot{"full", []string{"lnd", "bitcoin-knots"}},
		Bitcoin:   Bitcoin{"550", "300"},
		WireGuard: WireGuard{true, "10.1.0.1/16", 1},
		Release:   Release{[]string{"https://release.example/x"}, "/srv/keys", "always"},
	}
	if problem != "" || !reflect.DeepEqual(got, want) {
		t.Errorf("%s\n got %+v\nwant %+v", problem, got, want)
	}
}

func TestConfigFindings(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"unknown key":           {"reconcile:\n  intervall: 30s\n", "archy.yaml:2: reconcile.intervall: unknown key (did you mean interval?)"},
		"unknown section":       {"\nfirstboot: {}\n", "archy.yaml:2: firstboot: unknown key (did you mean first_boot?)"},
		"nothing near":          {"colour: red\n", "archy.yaml:1: colour: unknown key"},
		"duplicate":             {"tor: {manage: true}\nlnd: {}\ntor: {manage: false}\n", "archy.yaml:3: tor: set a second time"},
		"second document":       {"lnd: {}\n---\ntor: {}\n", "archy.yaml:2: a second document; the configuration is one document"},
		"yes is not a bool":     {"tor: {manage: yes}\n", `archy.yaml:1: tor.manage: "yes" is not true or false`},
		"number as text":        {"wireguard: {port: \"51820\"}\n", `archy.yaml:1: wireguard.port: "51820" is not a whole number`},
		"duration without unit": {"reconcile:\n  interval: 30\n", `archy.yaml:2: reconcile.interval: "30" is not a duration such as 30s`},
		"text for a section":    {"images: none\n", `archy.yaml:1: images: "none" is not a section`},
		"section for text":      {"data_dir: {a: b}\n", "archy.yaml:1: data_dir: a section is not text"},
		"list for text":         {"data_dir: [a]\n", "archy.yaml:1: data_dir: a list is not text"},
		"word for a list":       {"first_boot:\n  apps: lnd\n", `archy.yaml:2: first_boot.apps: "lnd" is not a list of words`},
		"key without value":     {"data_dir:\n", "archy.yaml:1: data_dir: nothing is not text"},
		"alias":                 {"data_dir: &a /srv\nmanifest_dir: *a\n", "archy.yaml:2: manifest_dir: an alias is not text"},
		"a list as document":    {"- a\n", "archy.yaml:1: a list is not a section"},
		"broken yaml":           {"tor: {manage: true\nlnd: x\n", "archy.yaml:2: did not find expected ',' or '}'"},
		"tab":                   {"tor:\n\tmanage: true\n", "archy.yaml:2: found character that cannot start any token"},
		"mirror key":            {"images:\n  mirrors:\n    - location: a\n      layuot: flat\n", "archy.yaml:4: images.mirrors[0].layuot: unknown key (did you mean layout?)"},
		"mirror layout":         {"images:\n  mirrors:\n    - {location: a.example, layout: deep}\n", `archy.yaml:3: images.mirrors[0]: layout "deep" is not one of full, flat`},
		"mirror scheme":         {"images: {insecure_mirrors: [\"http://a\"]}\n", `archy.yaml:1: images.insecure_mirrors[0]: "http://a" is not a registry, as in registry.example:5000/path`},
		"short interval":        {"reconcile: {interval: 4s}\n", "archy.yaml:1: reconcile.interval: 4s is too short, the least is 5s"},
		"metrics elsewhere":     {"reconcile: {metrics: archy.txt}\n", `archy.yaml:1: reconcile.metrics: "archy.txt" is not an absolute path that ends with .prom`},
		"no parallel":           {"reconcile: {max_parallel: 0}\n", "archy.yaml:1: reconcile.max_parallel: 0 is too small, the least is 1"},
		"enum":                  {"doctor:\n  # how far\n  auto_heal: full\n", `archy.yaml:3: doctor.auto_heal: "full" is not one of off, safe`},
		"profile":               {"first_boot: {profile: big}\n", `archy.yaml:1: first_boot.profile: "big" is not one of core, full`},
		"signature":             {"release: {require_signature: maybe}\n", `archy.yaml:1: release.require_signature: "maybe" is not one of never, if-present, always`},
		"prune too small":       {"bitcoin: {prune: 549}\n", `archy.yaml:1: bitcoin.prune: "549" is not auto, 0 (keep everything) or at least 550 MiB`},
		"prune word":            {"bitcoin: {prune: lots}\n", `archy.yaml:1: bitcoin.prune: "lots" is not auto, 0 (keep everything) or at least 550 MiB`},
		"dbcache":               {"bitcoin: {dbcache_mib: 3}\n", `archy.yaml:1: bitcoin.dbcache_mib: "3" is not auto or at least 4 MiB`},
		"relative directory":    {"data_dir: data\n", `archy.yaml:1: data_dir: "data" is not the absolute path of a directory`},
		"directory with dots":   {"data_dir: /srv/../etc\n", `archy.yaml:1: data_dir: "/srv/../etc" is not the absolute path of a directory`},
		"root as directory":     {"data_dir: /\n", `archy.yaml:1: data_dir: "/" is not the absolute path of a directory`},
		"address":               {"wireguard: {address: 10.77.0.1}\n", `archy.yaml:1: wireguard.address: "10.77.0.1" is not an address with a prefix length, as in 10.77.0.1/24`},
		"port":                  {"wireguard: {port: 70000}\n", "archy.yaml:1: wireguard.port: 70000 is not a port"},
		"release mirror":        {"release: {mirrors: [files.example]}\n", `archy.yaml:1: release.mirrors[0]: "files.example" is not an http or https address`},
		"user":                  {"service_user: \"a b\"\n", `archy.yaml:1: service_user: "a b" is not the name of a user`},
		"app id":                {"first_boot: {apps: [LND]}\n", `archy.yaml:1: first_boot.apps[0]: "LND" is not an app id`},
		"all at once":           {"tor: {manage: 1}\nlnd: {x: 1}\n", "archy.yaml:1: tor.manage: \"1\" is not true or false\narchy.yaml:2: lnd.x: unknown key"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, got := load(t, tt.text); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestConfigEmptyDocuments(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "images:\n# mirrors: []\n", "images:\n  mirrors:\n"} {
		cfg, problem := load(t, text)
		if problem != "" || cfg.Images.OfflineDir != Default().Images.OfflineDir || len(cfg.Images.Mirrors) != 0 {
			t.Errorf("%q: %s %+v", text, problem, cfg.Images)
		}
	}
}

func TestConfigTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "archy.yaml")
	if err := os.WriteFile(path, []byte(strings.Repeat("#", maxConfigSize+1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadConfig(path, nil); err == nil || !strings.Contains(err.Error(), "larger than 256 KiB") {
		t.Errorf("got %v", err)
	}
}

func TestConfigEnvironmentWins(t *testing.T) {
	cfg, problem := load(t, "reconcile: {interval: 1m}\ntor: {manage: true}\n",
		"ARCHY_RECONCILE_INTERVAL=10s", "ARCHY_TOR_MANAGE=false", "ARCHY_FIRST_BOOT_APPS=lnd, bitcoin-knots",
		"ARCHY_IMAGES_MIRRORS=[{location: m.example, layout: flat}]", "ARCHY_BITCOIN_PRUNE=0",
		"ARCHY_RECONCILE_MAX_PARALLEL=1", "ARCHY_SERVICE_USER=node", "ARCHY_TEST_ANYTHING=x", "ARCHYX=1")
	if problem != "" {
		t.Fatal(problem)
	}
	want := Default()
	want.Reconcile = Reconcile{Interval: 10 * time.Second, MaxParallel: 1}
	want.Tor.Manage = false
	want.FirstBoot.Apps = []string{"lnd", "bitcoin-knots"}
	want.Images.Mirrors = []Mirror{{"m.example", "flat"}}
	want.Bitcoin.Prune = "0"
	want.ServiceUser = "node"
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("\n got %+v\nwant %+v", cfg, want)
	}
}

func TestConfigEnvironmentFindings(t *testing.T) {
	tests := map[string]string{
		"ARCHY_RECONCILE_INTERVALL=10s":   "ARCHY_RECONCILE_INTERVALL: no such variable (did you mean ARCHY_RECONCILE_INTERVAL?)",
		"ARCHY_TOR_MANAGE=1":              `ARCHY_TOR_MANAGE: tor.manage: "1" is not true or false`,
		"ARCHY_RECONCILE_INTERVAL=1s":     "ARCHY_RECONCILE_INTERVAL: 1s is too short, the least is 5s",
		"ARCHY_WIREGUARD_PORT=":           `ARCHY_WIREGUARD_PORT: "" is not a whole number`,
		"ARCHY_IMAGES_MIRRORS=m.example":  `ARCHY_IMAGES_MIRRORS: images.mirrors: "m.example" is not a list of sections`,
		"ARCHY_RECONCILE_MAX_PARALLEL=no": `ARCHY_RECONCILE_MAX_PARALLEL: reconcile.max_parallel: "no" is not a whole number`,
	}
	for env, want := range tests {
		if _, got := load(t, "", env); got != want {
			t.Errorf("%s\n got %s\nwant %s", env, got, want)
		}
	}
}

// FuzzConfig: whatever the file holds, loading ends with a configuration within its ranges, or with findings that
// name the file.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{"", "tor: {manage: true}", "a: &a [*a]", "images: {mirrors: [{location: x}]}", "{", "- 1", "? {a: b}\n: c", "tor: !!bool yes", "\x00", "reconcile: {interval: 9999999h}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "archy.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		cfg, err := LoadConfig(path, nil)
		if err == nil && (cfg.Reconcile.Interval < minInterval || cfg.Reconcile.MaxParallel < 1 || cfg.DataDir == "") {
			t.Errorf("accepted %+v", cfg)
		}
		if err != nil && !strings.HasPrefix(err.Error(), path) {
			t.Errorf("no file in %q", err)
		}
	})
}
