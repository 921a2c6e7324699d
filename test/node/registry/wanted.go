package registry

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Wanted is an image that an app uses, with what a stand-in must know of the app.
type Wanted struct {
	// Name is the app's.
	Name string
	// Ref is the image's reference, as the manifest or the Dockerfile has it.
	Ref string
	// Ports are those in the container, published or only asked by the health check: 80, or 8177/udp.
	Ports []string
	// Data is the container's first writable volume, if any.
	Data string
	// Programs are those that the manifest calls: the entrypoint and the health check's tool.
	Programs []string
}

// manifest is the little of a manifest that a stand-in depends on, read without archy's own loader.
type manifest struct {
	App struct {
		ID        string
		Container struct {
			Image      string
			Entrypoint []string
		}
		Ports []struct {
			Container int
			Protocol  string
		}
		Volumes []struct {
			Type, Target string
			Options      []string
		}
		Health struct {
			Type     string
			Endpoint yaml.Node
		} `yaml:"health_check"`
	}
}

// FindWanted lists the images that <app>/manifest.yml and the Dockerfiles below <app>/ name, sorted by reference.
func FindWanted(apps fs.FS) ([]Wanted, error) {
	byRef := map[string]Wanted{}
	err := fs.WalkDir(apps, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(apps, file)
		if err != nil {
			return err
		}
		var found []Wanted
		switch base := path.Base(file); {
		case base == "manifest.yml":
			found, err = fromManifest(text)
		case base == "Dockerfile" || base == "Containerfile":
			found = fromDockerfile(text)
		}
		for _, w := range found {
			if _, ok := byRef[w.Ref]; !ok {
				byRef[w.Ref] = w
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		return nil
	})
	var wanted []Wanted
	for _, w := range byRef {
		wanted = append(wanted, w)
	}
	slices.SortFunc(wanted, func(a, b Wanted) int { return strings.Compare(a.Ref, b.Ref) })
	return wanted, err
}

func fromManifest(text []byte) ([]Wanted, error) {
	var m manifest
	if err := yaml.Unmarshal(text, &m); err != nil {
		return nil, err
	}
	app := m.App
	if app.Container.Image == "" {
		return nil, nil
	}
	w := Wanted{Name: app.ID, Ref: app.Container.Image}
	for _, p := range app.Ports {
		text := strconv.Itoa(p.Container)
		if p.Protocol == "udp" {
			text += "/udp"
		}
		w.Ports = append(w.Ports, text)
	}
	for _, port := range askedPorts(app.Health.Endpoint) {
		if !slices.Contains(w.Ports, port) {
			w.Ports = append(w.Ports, port)
		}
	}
	for _, v := range app.Volumes {
		if w.Data == "" && v.Type == "bind" && !slices.Contains(v.Options, "ro") {
			w.Data = v.Target
		}
	}
	if len(app.Container.Entrypoint) > 0 {
		w.Programs = append(w.Programs, app.Container.Entrypoint[0])
	}
	if tool := healthTool(app.Health.Type, app.Health.Endpoint); tool != "" {
		w.Programs = append(w.Programs, tool)
	}
	w.Programs = slices.DeleteFunc(w.Programs, func(p string) bool {
		return strings.Contains(" "+applets+" wget nc bash curl ", " "+path.Base(p)+" ")
	})
	return []Wanted{w}, nil
}

// asked finds the port in http://127.0.0.1:80/ and in /dev/tcp/127.0.0.1/80.
var asked = regexp.MustCompile(`127\.0\.0\.1[:/](\d+)`)

// askedPorts are those that a health check connects to: an app may publish none of them.
func askedPorts(endpoint yaml.Node) []string {
	var ports []string
	for _, text := range append(endpoint.Content, &endpoint) {
		for _, m := range asked.FindAllStringSubmatch(text.Value, -1) {
			ports = append(ports, m[1])
		}
	}
	return ports
}

// healthTool is the program that a check of type cmd or exec starts.
func healthTool(kind string, endpoint yaml.Node) string {
	var argv []string
	if kind == "cmd" {
		argv = strings.Fields(endpoint.Value)
	} else if kind == "exec" {
		_ = endpoint.Decode(&argv)
		if argv == nil {
			argv = strings.Fields(endpoint.Value)
		}
	}
	if len(argv) == 0 {
		return ""
	}
	return argv[0]
}

func fromDockerfile(text []byte) []Wanted {
	var found []Wanted
	stages := map[string]bool{"scratch": true}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 || !strings.EqualFold(f[0], "FROM") {
			continue
		}
		f = slices.DeleteFunc(f[1:], func(s string) bool { return strings.HasPrefix(s, "--") })
		if !stages[f[0]] {
			found = append(found, Wanted{Name: path.Base(f[0]), Ref: f[0]})
		}
		if len(f) == 3 && strings.EqualFold(f[1], "AS") {
			stages[f[2]] = true
		}
	}
	return found
}
