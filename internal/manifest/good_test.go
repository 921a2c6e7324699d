package manifest

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestGoodInput loads each file of testdata/good without a finding; what it means, written out and read
// again, is the same.
func TestGoodInput(t *testing.T) {
	for _, path := range glob(t, "testdata/good/*.yml") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			app, findings := LoadFile(path)
			none(t, findings)
			if app == nil {
				t.Fatal("not loaded")
			}
			text, err := yaml.Marshal(map[string]*App{"app": app})
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			write(t, dir, "again.yml", string(text))
			again, findings := LoadFile(filepath.Join(dir, "again.yml"))
			none(t, findings)
			again.Dir, again.File = app.Dir, app.File
			if !reflect.DeepEqual(app, again) {
				t.Errorf("read again it differs:\n%+v\n%+v", app, again)
			}
		})
	}
}

// TestEveryFieldIsExercised: the fixture with every field has every field of the types.
func TestEveryFieldIsExercised(t *testing.T) {
	const path = "testdata/good/every-field.yml"
	indexes := regexp.MustCompile(`\[\d+\]`)
	set := map[string]bool{}
	for field := range fileDocument(path).lines {
		set[indexes.ReplaceAllString(field, "[]")] = true
	}
	walkFields(reflect.TypeFor[App](), at{path: "app"}, func(a at, _ reflect.Type) {
		switch a.key {
		case "container.build", "container.build.context", "container.build.dockerfile", "container.build.tag":
			return // excludes image
		case "interfaces.*", "extensions.*":
			return
		}
		field := indexes.ReplaceAllString(a.path, "[]")
		field = regexp.MustCompile(`^app\.interfaces\.\*`).ReplaceAllString(field, "app.interfaces.main")
		if !set[field] {
			t.Errorf("%s is not in %s", field, path)
		}
	})
}

func TestAliasesAndMerges(t *testing.T) {
	app, findings := LoadFile("testdata/good/aliases-and-merges.yml")
	none(t, findings)
	if got, want := fmt.Sprintf("%+v", struct{ P []Port }{app.Ports}), "{P:[8080/tcp 8081/tcp 127.0.0.1:8082/tcp]}"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if app.Ports[2].Container != 80 || app.Dependencies[0].Storage != 512<<20 {
		t.Errorf("got %+v, %+v", app.Ports[2], app.Dependencies[0])
	}
}

func TestExtensions(t *testing.T) {
	app, _ := LoadFile("testdata/good/every-field.yml")
	got := fmt.Sprint(app.Ext("cpu"), app.ExtList("cpu"), app.ExtList("legacy_names"), app.Ext("level") == "", app.Ext("absent") == "", app.ExtList("absent") == nil)
	if want := "heavy[heavy] [old-name] true true true"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := (&App{}).Ext("cpu"); got != "" {
		t.Errorf("an app without extensions has %q", got)
	}
}

func TestHostPath(t *testing.T) {
	app, _ := LoadFile("testdata/good/every-field.yml")
	tests := []struct{ path, want string }{
		{"/data/config.ini", "/var/lib/archipelago/every/config.ini"},
		{"/data", "/var/lib/archipelago/every"},
		{"/var/lib/archipelago/every/a", "/var/lib/archipelago/every/a"},
		{"/data2/x", ""},
		{"/tmp/x", ""},
		{"/data/../etc", ""},
	}
	for _, tt := range tests {
		if got, ok := app.HostPath(tt.path); got != tt.want || ok != (tt.want != "") {
			t.Errorf("HostPath(%s) = %q, %v, want %q", tt.path, got, ok, tt.want)
		}
	}
}

func TestInConflict(t *testing.T) {
	set, _ := Load("testdata/sets/one-sided-conflict/shipped", "")
	if !set.InConflict("one", "two") || !set.InConflict("two", "one") || set.InConflict("one", "absent") {
		t.Error("a conflict counts in both directions, and only between apps that exist")
	}
}

func TestFindingAsJSON(t *testing.T) {
	got, err := json.Marshal(Finding{App: "lnd", File: "f", Line: 3, Field: "app.id", Severity: Error, Message: "m", Hint: "h"})
	want := `{"app":"lnd","file":"f","line":3,"field":"app.id","severity":"error","message":"m","hint":"h"}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}
