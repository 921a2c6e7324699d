package manifest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestSets loads each directory of testdata/sets as a node does and compares what can run, what cannot,
// and every finding with its want.txt.
func TestSets(t *testing.T) {
	for _, dir := range glob(t, "testdata/sets/*") {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			set, findings := Load(filepath.Join(dir, "shipped"), filepath.Join(dir, "local"))
			got := strings.ReplaceAll(report(set, findings), dir+"/", "")
			golden(t, filepath.Join(dir, "want.txt"), got)
		})
	}
}

func report(set *Set, findings []Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apps: %s\n", strings.Join(set.Order(), " "))
	fmt.Fprintf(&b, "broken: %s\n", strings.Join(slices.Sorted(maps.Keys(set.Broken)), " "))
	for _, f := range findings {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := readText(t, path); got != want {
		t.Errorf("%s differs; run the test with -update when this is meant\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

// minimal is the shortest manifest that is valid.
func minimal(id string) string {
	return "app:\n  id: " + id + "\n  name: A name\n  version: \"1.0\"\n  container:\n    image: docker.io/library/redis:7.2-alpine\n"
}

// write puts a file below dir.
func write(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// has fails unless some finding holds the text.
func has(t *testing.T, findings []Finding, text string) {
	t.Helper()
	if !slices.ContainsFunc(findings, func(f Finding) bool { return strings.Contains(f.String(), text) }) {
		t.Errorf("no finding says %q, there are: %v", text, findings)
	}
}

// none fails when there is a finding.
func none(t *testing.T, findings []Finding) {
	t.Helper()
	for _, f := range findings {
		t.Errorf("unexpected: %s", f)
	}
}

func TestMissingDirectories(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "lnd/manifest.yml", minimal("lnd"))

	set, findings := Load(dir, filepath.Join(dir, "no-local"))
	none(t, findings)
	if set.Apps["lnd"] == nil {
		t.Error("lnd is not loaded")
	}

	absent := filepath.Join(dir, "absent")
	set, findings = Load(absent, dir)
	if len(findings) != 1 || findings[0].Severity != Error {
		t.Fatalf("want one error, got %v", findings)
	}
	has(t, findings, absent+": there is no such directory")
	if set.Apps["lnd"] == nil || !set.Apps["lnd"].Local {
		t.Error("the owner's lnd is not loaded when the shipped directory is absent")
	}
}

// Which apps an owner's directory replaces is not known while it cannot be listed: the shipped manifest would change those that it does.
func TestAnOwnersDirectoryThatCannotBeListed(t *testing.T) {
	shipped, local := t.TempDir(), filepath.Join(t.TempDir(), "apps")
	write(t, shipped, "lnd/manifest.yml", minimal("lnd"))
	if err := os.WriteFile(local, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	set, findings := Load(shipped, local)
	if set.Apps["lnd"] != nil || len(set.Broken["lnd"]) != 1 {
		t.Errorf("lnd: %+v, broken: %v", set.Apps["lnd"], set.Broken["lnd"])
	}
	has(t, findings, local+": cannot list the apps: not a directory")
	has(t, set.Broken["lnd"], local+": cannot list the apps: not a directory, and it may replace this one")
}

func TestWhereAnAppCameFrom(t *testing.T) {
	shipped, local := t.TempDir(), t.TempDir()
	write(t, shipped, "lnd/manifest.yml", minimal("lnd")+"  category: shipped\n")
	write(t, shipped, "web/manifest.yml", minimal("web"))
	write(t, local, "lnd/manifest.yml", minimal("lnd"))

	set, findings := Load(shipped, local)
	none(t, findings)
	lnd := set.Apps["lnd"]
	if lnd.Category != "" || !lnd.Local || lnd.Dir != filepath.Join(local, "lnd") || lnd.File != filepath.Join(local, "lnd", "manifest.yml") {
		t.Errorf("the owner's manifest does not replace the shipped one as a whole: %+v", lnd)
	}
	if set.Apps["web"].Local {
		t.Error("web is not the owner's")
	}
}

func TestDefaults(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "lnd/manifest.yml", minimal("lnd")+`    build:
  ports: [{host: 1234, container: 80}]
  dependencies: [web, {storage: 1Gi}]
  security: {capabilities: [CAP_CHOWN, SETUID]}
`)
	write(t, dir, "web/manifest.yml", strings.Replace(minimal("web"), "image: docker.io/library/redis:7.2-alpine", `network: host
    build: {context: docker, tag: web}
    secret_mounts: [{secret_file: a, target: /a}]`, 1)+"  ports: [{host: 80}]\n")
	set, findings := Load(dir, "")
	if HasErrors(findings) {
		t.Fatal(findings)
	}
	lnd, web := set.Apps["lnd"], set.Apps["web"]
	got := fmt.Sprintln(lnd.Container.Network, lnd.Container.PullPolicy, lnd.Ports, lnd.Dependencies, lnd.Security.Capabilities,
		web.Container.Build.Dockerfile, web.Container.Build.Tag, web.Ports[0].Container, web.Container.SecretMounts[0].Mode, web.Tier())
	want := "archy-net if-not-present [1234/tcp] [{web  started } {   1Gi}] [CHOWN SETUID] Dockerfile localhost/web 80 0400 3\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLinksStayInTheirFolder(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	write(t, outside, "manifest.yml", minimal("lnd"))
	write(t, dir, "inside/real.yml", minimal("inside"))
	write(t, dir, "good/manifest.yml", minimal("good"))
	link := func(target, name string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
	link(filepath.Join(outside, "manifest.yml"), "absolute/manifest.yml")
	link("../good/manifest.yml", "sibling/manifest.yml")
	link(outside, "folder")
	link("nowhere.yml", "dangling/manifest.yml")
	link("real.yml", "inside/manifest.yml")

	set, findings := Load(dir, "")
	if got := fmt.Sprint(set.ids()); got != "[good inside]" {
		t.Errorf("usable apps %s", got)
	}
	for _, id := range []string{"absolute", "sibling", "folder"} {
		has(t, findings, filepath.Join(dir, id, "manifest.yml")+": leads out of its folder")
	}
	has(t, findings, filepath.Join(dir, "dangling", "manifest.yml")+": cannot be read: no such file or directory")

	_, findings = LoadFile(filepath.Join(dir, "sibling", "manifest.yml"))
	has(t, findings, "leads out of its folder")
}

func TestEmbeddedManifests(t *testing.T) {
	fsys := fstest.MapFS{
		"lnd/manifest.yml": {Data: []byte(minimal("lnd"))},
		"bad/manifest.yml": {Data: []byte("app: []\n")},
		"embed.go":         {Data: []byte("package apps\n")},
	}
	set, findings := LoadFS(fsys, "embedded")
	if len(findings) != 1 || findings[0].String() != "embedded/bad/manifest.yml:1: app: must be a map, is a list" {
		t.Errorf("got %v", findings)
	}
	if set.Apps["lnd"] == nil || set.Apps["lnd"].Dir != "embedded/lnd" || set.Broken["bad"] == nil {
		t.Errorf("got %+v", set)
	}
}

func TestTooLarge(t *testing.T) {
	dir := t.TempDir()
	pad := strings.Repeat("# padding\n", maxBytes/10)
	write(t, dir, "lnd/manifest.yml", minimal("lnd")+pad)
	write(t, dir, "web/manifest.yml", (minimal("web") + pad)[:maxBytes])
	set, findings := Load(dir, "")
	has(t, findings, "lnd/manifest.yml: is larger than 256 KiB")
	if set.Apps["web"] == nil {
		t.Error("a file of exactly 256 KiB is not loaded")
	}
}

func TestLoadFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "lnd/manifest.yml", minimal("lnd")+"  dependencies: [nobody]\n")
	app, findings := LoadFile(filepath.Join(dir, "lnd", "manifest.yml"))
	none(t, findings)
	if app == nil || app.ID != "lnd" {
		t.Errorf("got %+v", app)
	}
	write(t, dir, "draft.yml", minimal("lnd")+"  optional: 1\n")
	app, findings = LoadFile(filepath.Join(dir, "draft.yml"))
	if app != nil || len(findings) != 1 || findings[0].App != "lnd" {
		t.Errorf("got %v, %v", app, findings)
	}
}

// TestForeignKeys loads a manifest as the node's backend has it, with keys that archy does not know.
func TestForeignKeys(t *testing.T) {
	app, findings := LoadFile("testdata/foreign/manifest.yml")
	if app == nil || HasErrors(findings) {
		t.Fatalf("does not load: %v", findings)
	}
	for _, f := range findings {
		if !strings.HasPrefix(f.Message, "unknown key") {
			t.Errorf("unexpected: %s", f)
		}
	}
	compareWanted(t, "testdata/foreign/manifest.yml", findings)
	if got := app.Unknown["app.bitcoin_integration"]; fmt.Sprint(got) != "map[rpc_access:read-only sync_required:true]" {
		t.Errorf("an unknown key is not kept: %v", got)
	}
	for _, f := range Lint([]string{"testdata/foreign"}, true) {
		if f.Severity != Error {
			t.Errorf("a strict lint calls it a warning: %s", f)
		}
	}
}

// TestStopGraceOfShippedApps: an owner's manifest of a shipped app that says nothing about its stop gets what the shipped one says.
func TestStopGraceOfShippedApps(t *testing.T) {
	set, findings := Load("../../apps", "")
	none(t, findings)
	for id, app := range set.Apps {
		said := app.StopGraceSecs
		app.StopGraceSecs = 0
		if got := app.StopGrace(); said == 0 || got != said {
			t.Errorf("%s: %d s without stop_grace_secs, its manifest says %d", id, got, said)
		}
	}
	if got := (&App{ID: "notes"}).StopGrace(); got != 30 {
		t.Errorf("another app has %d s", got)
	}
}

// A local manifest says what the shipped one that it replaces has.
func TestShippedImageOfALocalManifest(t *testing.T) {
	shipped, local := t.TempDir(), t.TempDir()
	for _, id := range []string{"alpha", "beta"} {
		write(t, shipped, id+"/manifest.yml", strings.Replace(minimal(id), "7.2-alpine", "7.4-alpine", 1))
	}
	write(t, local, "alpha/manifest.yml", minimal("alpha"))
	write(t, local, "gamma/manifest.yml", minimal("gamma"))
	set, _ := Load(shipped, local)
	for id, want := range map[string]string{"alpha": "docker.io/library/redis:7.4-alpine", "beta": "", "gamma": ""} {
		if got := set.Apps[id].Shipped; got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
}

// An app may read the data of another one, and write no file into them: an lnd.conf of somebody else's would be lnd's.
func TestFilesInDataOfAnotherApp(t *testing.T) {
	shipped := t.TempDir()
	const own = "  volumes:\n  - {type: bind, source: /var/lib/archipelago/lnd, target: /root/.lnd}\n"
	const read = "  volumes:\n  - {type: bind, source: /var/lib/archipelago/lnd, target: /lnd, options: [ro]}\n" +
		"  - {type: bind, source: /var/lib/archipelago/rtl.conf, target: /etc/rtl.conf, options: [ro]}\n"
	write(t, shipped, "lnd/manifest.yml", minimal("lnd")+own+"  files:\n  - {path: /root/.lnd/motd, content: hello}\n")
	write(t, shipped, "rtl/manifest.yml", minimal("rtl")+read+"  files:\n  - {path: /etc/rtl.conf, content: hello}\n")
	set, findings := Load(shipped, "")
	none(t, findings)
	if len(set.Apps) != 2 {
		t.Fatalf("usable: %v", set.Order())
	}
	write(t, shipped, "rtl/manifest.yml", minimal("rtl")+read+"  files:\n  - {path: /lnd/lnd.conf, content: hello}\n")
	set, findings = Load(shipped, "")
	has(t, findings, `rtl/manifest.yml:11: app.files[0].path: "/lnd/lnd.conf" lies in the data of lnd (put it into a bind of the app's own)`)
	if set.Apps["rtl"] != nil || set.Apps["lnd"] == nil {
		t.Errorf("usable: %v", set.Order())
	}
}
