package reconcile

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
)

// lastRun remembers the last command.
type lastRun struct{ argv *[]string }

func (r lastRun) Run(_ context.Context, c command.Cmd) (command.Result, error) {
	*r.argv = c.Argv
	return command.Result{}, nil
}

// TestCopyFromHost: a relative source is one of the app's data first, then one of the release.
func TestCopyFromHost(t *testing.T) {
	l := testLayout()
	l.Root = t.TempDir()
	var argv []string
	d := NodeDisk{Layout: l, Mapped: noMapped{}, Runner: lastRun{&argv}}
	a := &App{ID: "web", Container: "web", Manifest: &manifest.App{ID: "web"}}
	from := func(src string) string {
		t.Helper()
		if err := d.CopyInto(t.Context(), a, src, "/etc/site.conf"); err != nil {
			t.Fatal(err)
		}
		return strings.Join(argv, " ")
	}
	for _, dir := range []string{"", "/opt/archipelago", l.Data("web")} {
		file := l.Host(filepath.Join(dir, "docker/web/site.conf"))
		want := "podman cp " + file + " web:/etc/site.conf"
		if dir == "" {
			want = "podman cp " + l.Host(l.Data("web", "docker/web/site.conf")) + " web:/etc/site.conf" // podman says that it is missing
		} else {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := from("docker/web/site.conf"); got != want {
			t.Errorf("ran  %s\nwant %s", got, want)
		}
	}
	if got := from("/opt/archipelago/docker/web/site.conf"); !strings.HasPrefix(got, "podman cp "+l.Host("/opt/archipelago/")) {
		t.Errorf("ran %s", got)
	}
}
