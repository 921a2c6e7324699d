package watch

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is for an event that must come; none that must not is waited for: a mark is made after it instead.
const patience = 20 * time.Second

type files struct {
	*Files
	t     *testing.T
	root  string
	heard chan string
}

func newFiles(t *testing.T) *files {
	root := t.TempDir()
	f := &files{t: t, root: root, heard: make(chan string, 1000)}
	for _, dir := range []string{"secrets", "apps/lnd", "data", "mark"} {
		f.must(os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	f.Files = &Files{Dirs: []Dir{
		{Path: filepath.Join(root, "secrets"), What: "secrets"},
		{Path: filepath.Join(root, "apps"), What: "manifests", Deep: true},
		{Path: filepath.Join(root, "not/yet"), What: "late", Deep: true},
		{Path: filepath.Join(root, "data"), What: "stopped", Matters: func(name string) bool { return name == "user-stopped.json" }},
		{Path: filepath.Join(root, "mark"), What: "mark"},
	}}
	ctx, end := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = f.Source().Run(ctx, func() { close(ready) }, func(what string) { f.heard <- what })
	}()
	<-ready
	t.Cleanup(func() { end(); <-done })
	return f
}

func (f *files) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *files) write(name, text string) {
	f.t.Helper()
	f.must(os.WriteFile(filepath.Join(f.root, name), []byte(text), 0o644))
}

// heardUntilMark is what was told before a change that is made now is.
func (f *files) heardUntilMark() map[string]bool {
	f.t.Helper()
	f.must(os.WriteFile(filepath.Join(f.root, "mark/now"), nil, 0o644))
	got := map[string]bool{}
	for {
		select {
		case what := <-f.heard:
			if what == "mark" {
				f.must(os.Remove(filepath.Join(f.root, "mark/now")))
				for what := ""; what != "mark"; what = <-f.heard { // that of the removal
				}
				return got
			}
			got[what] = true
		case <-time.After(patience):
			f.t.Fatal("a change was not told")
		}
	}
}

func TestFiles(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Run("all", func(t *testing.T) {
		f := newFiles(t)
		for _, c := range []struct {
			name, want string
			change     func()
		}{
			{"a secret is written", "secrets", func() { f.write("secrets/a", "x") }},
			{"a secret gets another mode", "secrets", func() { f.must(os.Chmod(filepath.Join(f.root, "secrets/a"), 0o640)) }},
			{"a temporary file", "", func() { f.write("secrets/.a.json123", "x") }},
			{"a secret is replaced", "secrets", func() {
				f.write("a", "y")
				f.must(os.Rename(filepath.Join(f.root, "a"), filepath.Join(f.root, "secrets/a")))
			}},
			{"a file that nobody reads", "", func() { f.write("data/other.json", "x") }},
			{"the owner's list", "stopped", func() { f.write("data/user-stopped.json", "x") }},
			{"a manifest is edited", "manifests", func() { f.write("apps/lnd/manifest.yml", "x") }},
			{"an app comes", "manifests", func() { f.must(os.Mkdir(filepath.Join(f.root, "apps/new"), 0o755)) }},
			{"a manifest in the new app", "manifests", func() { f.write("apps/new/manifest.yml", "x") }},
			{"a directory comes above one that is waited for", "late", func() { f.must(os.Mkdir(filepath.Join(f.root, "not"), 0o755)) }},
			{"and the directory itself", "late", func() { f.must(os.Mkdir(filepath.Join(f.root, "not/yet"), 0o755)) }},
			{"and a file in it", "late", func() { f.write("not/yet/x", "x") }},
			{"the apps are replaced as a whole", "manifests", func() {
				f.must(os.Rename(filepath.Join(f.root, "apps"), filepath.Join(f.root, "apps.old")))
				f.must(os.MkdirAll(filepath.Join(f.root, "apps/lnd"), 0o755))
			}},
			{"a manifest in the ones that have come", "manifests", func() { f.write("apps/lnd/manifest.yml", "z") }},
			{"one in the old ones", "", func() { f.write("apps.old/lnd/manifest.yml", "z") }},
		} {
			c.change()
			got := f.heardUntilMark()
			if c.want == "" && len(got) > 0 || c.want != "" && (!got[c.want] || len(got) > 1) {
				t.Errorf("%s: told %v, want %q", c.name, got, c.want)
			}
			f.Refresh() // as before each pass
		}
	})
}
