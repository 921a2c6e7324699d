package manifest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"
)

// FuzzLoad: whatever a file holds, loading ends, says the same twice, and either gives an app or says why not.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yml", "testdata/foreign/*.yml", "../../apps/*/manifest.yml"} {
		for _, path := range glob(f, pattern) {
			f.Add([]byte(readText(f, path)))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fsys := fstest.MapFS{"fixture/manifest.yml": {Data: data}}
		set, findings := LoadFS(fsys, "apps")
		_, again := LoadFS(fsys, "apps")
		if !slices.Equal(findings, again) {
			t.Errorf("two loads differ:\n%v\n%v", findings, again)
		}
		if app := set.Apps["fixture"]; app != nil {
			mustHold(t, app)
		} else if !HasErrors(findings) {
			t.Error("neither an app nor an error")
		}
		for _, finding := range findings {
			if _, bad := controlChar(finding.String()); bad {
				t.Errorf("a finding is more than one line: %q", finding.String())
			}
		}
	})
}

// mustHold is what every later stage relies on.
func mustHold(t *testing.T, a *App) {
	t.Helper()
	if a.ID != "fixture" || a.Name == "" || a.Version == "" || a.Container.Network == "" || a.Unit() == "" {
		t.Errorf("incomplete: %+v", a)
	}
	if (a.Container.Image == "") == (a.Container.Build == nil) {
		t.Error("not exactly one of image and build")
	}
	for _, p := range a.Ports {
		if p.Host < 1 || p.Host > 65535 || p.Container < 1 || p.Container > 65535 || p.Protocol == "" || p.Auth == "" {
			t.Errorf("port %+v", p)
		}
	}
	for _, d := range a.Dependencies {
		if (d.AppID == "") == (d.Storage == 0) && d.Condition != "" {
			t.Errorf("dependency %+v", d)
		}
	}
	for _, line := range a.Environment {
		if strings.ContainsAny(line, "\n\r\x00") || !strings.Contains(line, "=") {
			t.Errorf("environment %q", line)
		}
	}
	for _, source := range a.Claims() {
		if !within(source, Root) {
			t.Errorf("writes to %q", source)
		}
	}
}

// manyApps is n apps in the size of real ones.
func manyApps(tb testing.TB, dir string, n int) {
	tb.Helper()
	models := glob(tb, "../../apps/*/manifest.yml")
	for i := range n {
		id := fmt.Sprintf("app-%03d", i)
		var kept []string
		skip := false
		for _, line := range strings.Split(readText(tb, models[i%len(models)]), "\n") {
			// Ports, data and names must not clash; what is left is as long as a real manifest.
			if len(line) > 2 && line[2] != ' ' {
				skip = slices.Contains([]string{"ports:", "volumes:", "dependencies:", "follows:", "container_name:", "conflicts:"}, strings.Fields(line)[0])
			}
			if strings.HasPrefix(line, "  id: ") {
				line = "  id: " + id
			}
			if !skip && !strings.Contains(line, "restart_on_peer_change") {
				kept = append(kept, line)
			}
		}
		text := strings.Join(kept, "\n")
		text += fmt.Sprintf("  ports: [{host: %d, container: %d}]\n", 10000+i, 10000+i)
		text += fmt.Sprintf("  volumes: [{type: bind, source: /var/lib/archipelago/%s, target: /data}]\n", id)
		if i > 0 {
			text += fmt.Sprintf("  dependencies: [app-%03d]\n", i/2)
		}
		write(tb, dir, id+"/manifest.yml", text)
	}
}

func benchmarkLoad(b *testing.B, n int) {
	dir := b.TempDir()
	manyApps(b, dir, n)
	if set, findings := Load(dir, ""); len(set.Apps) != n {
		b.Fatalf("%d of %d apps: %v", len(set.Apps), n, findings[0])
	}
	b.ReportAllocs()
	for b.Loop() {
		Load(dir, "")
	}
}

func BenchmarkLoad33(b *testing.B)  { benchmarkLoad(b, 33) }
func BenchmarkLoad330(b *testing.B) { benchmarkLoad(b, 330) }

// TestManyAppsAreInOrder: each app stands behind those that it needs.
func TestManyAppsAreInOrder(t *testing.T) {
	dir := t.TempDir()
	manyApps(t, dir, 330)
	set, findings := Load(dir, "")
	if len(set.Apps) != 330 {
		t.Fatalf("%d of 330 apps: %v", len(set.Apps), findings[0])
	}
	order := set.Order()
	for i, id := range order {
		for _, d := range set.Needs(id) {
			if at := slices.Index(order, d.AppID); at > i {
				t.Errorf("%s stands before %s, which it needs", id, d.AppID)
			}
		}
	}
}

// TestNamedPipe: a pipe in the place of a manifest must not make a pass hang.
func TestNamedPipe(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "web/manifest.yml", minimal("web"))
	if err := os.Mkdir(dir+"/lnd", 0o755); err != nil {
		t.Fatal(err)
	}
	makePipe(t, dir+"/lnd/manifest.yml")
	done := make(chan []Finding, 1)
	go func() {
		_, findings := Load(dir, "")
		done <- findings
	}()
	select {
	case findings := <-done:
		has(t, findings, "cannot be read: is not a regular file")
	case <-time.After(5 * time.Second):
		t.Fatal("loading hangs")
	}
}

func makePipe(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
}
