// Package fleet invents apps for the benchmarks: manifests that are as long and as various as those that ship, for as
// many apps as wanted.
package fleet

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

// App is one invented app.
type App struct {
	ID    string
	Image string
	// Port is both the container's and the host's.
	Port int
	// Data is the directory of the node that the app keeps its data in.
	Data string
	// Needs is another app that must be started first, "" for none.
	Needs string
	// Secret is the name of the secret file that the app reads.
	Secret string
}

// New invents n apps. Each third one needs the one before it.
func New(n int) []App {
	apps := make([]App, n)
	for i := range apps {
		id := fmt.Sprintf("bench-%03d", i+1)
		apps[i] = App{ID: id, Image: "docker.io/bench/" + id + ":v1.0.0", Port: 21000 + i,
			Data: "/var/lib/archipelago/" + id, Secret: id + "-password"}
		if i%3 == 2 {
			apps[i].Needs = apps[i-1].ID
		}
	}
	return apps
}

//go:embed manifest.yml.tmpl
var text string

var manifestText = template.Must(template.New("manifest.yml").Parse(text))

// Manifest is the app's manifest.yml.
func (a App) Manifest() ([]byte, error) {
	var b bytes.Buffer
	err := manifestText.Execute(&b, a)
	return b.Bytes(), err
}

// Write lays the manifests out below dir, as a directory of apps.
func Write(dir string, apps []App) error {
	for _, a := range apps {
		content, err := a.Manifest()
		if err != nil {
			return err
		}
		folder := filepath.Join(dir, a.ID)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, "manifest.yml"), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
