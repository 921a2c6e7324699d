package manifest

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestShippedAppsAreClean(t *testing.T) {
	none(t, Lint([]string{"../../apps"}, true))
}

// TestFindingText is the form that the manual shows.
func TestFindingText(t *testing.T) {
	f := Finding{File: "apps/lnd/manifest.yml", Line: 14, Field: "app.resources.memory_limit", Severity: Error, Message: `"12Qi" is not a size`, Hint: "try 12Gi"}
	if got, want := f.String(), `apps/lnd/manifest.yml:14: app.resources.memory_limit: "12Qi" is not a size (try 12Gi)`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLintPaths(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "apps/lnd/manifest.yml", minimal("lnd")+"  dependencies: [web, nobody]\n  fees: low\n")
	write(t, dir, "apps/web/manifest.yml", minimal("web")+"  optional: 1\n")
	write(t, dir, "alone/mine/manifest.yml", minimal("mine")+"  dependencies: [lnd]\n  resources: {memory_limit: 12Qi}\n")
	write(t, dir, "void/README.md", "nothing\n")

	tests := []struct {
		name, path string
		strict     bool
		want       []string
	}{
		{"a file, against its neighbours", "apps/lnd/manifest.yml", false, []string{
			"apps/lnd/manifest.yml:7: app.dependencies[0]: needs web, whose manifest is broken (correct DIR/apps/web/manifest.yml)",
			"apps/lnd/manifest.yml:7: app.dependencies[1]: there is no app nobody (add its manifest, or remove this)",
			"apps/lnd/manifest.yml:8: warning: app.fees: unknown key"}},
		{"an app's folder", "apps/web", false, []string{
			`apps/web/manifest.yml:7: app.optional: must be true or false, is "1"`}},
		{"strict", "apps/lnd", true, []string{
			"apps/lnd/manifest.yml:7: app.dependencies[0]: needs web, whose manifest is broken (correct DIR/apps/web/manifest.yml)",
			"apps/lnd/manifest.yml:7: app.dependencies[1]: there is no app nobody (add its manifest, or remove this)",
			"apps/lnd/manifest.yml:8: app.fees: unknown key"}},
		{"an app alone: others may exist elsewhere, and an unreadable size is an error", "alone/mine", false, []string{
			`alone/mine/manifest.yml:8: app.resources.memory_limit: "12Qi" is not a size (try 12Gi)`}},
		{"no apps", "void", false, []string{"void: holds no apps (an app is a folder with a manifest.yml)"}},
		{"no such path", "nowhere", false, []string{
			"nowhere: cannot be read: no such file or directory (name a manifest, the folder of an app, or a directory of apps)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, f := range Lint([]string{filepath.Join(dir, tt.path)}, tt.strict) {
				text := strings.ReplaceAll(strings.TrimPrefix(f.String(), dir+"/"), dir, "DIR")
				got = append(got, text)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestLintSeveralPaths(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "one/lnd/manifest.yml", minimal("lnd"))
	write(t, dir, "two/lnd/manifest.yml", minimal("lnd"))
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	has(t, Lint([]string{one, two}, false), fmt.Sprintf("app.id: lnd is also the id of %s/lnd/manifest.yml", one))
	none(t, Lint([]string{one, filepath.Join(one, "lnd")}, false))
	none(t, LintSources(false, Source{Prefix: one}, Source{Prefix: two, Local: true}))
	none(t, LintSources(false, Source{Prefix: one}, Source{Prefix: filepath.Join(dir, "absent"), Local: true}))
	has(t, LintSources(false, Source{Prefix: filepath.Join(dir, "absent")}, Source{Prefix: one, Local: true}), "there is no such directory")
}
