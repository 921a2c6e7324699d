package watch

import (
	"context"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// Engine tells what happens in podman.
type Engine interface {
	Events(ctx context.Context, listening func(), event func(podman.Event)) error
}

// Podman is a source of what happens to containers, secrets, networks and images.
func Podman(engine Engine) Source {
	return Source{Name: "podman events", Run: func(ctx context.Context, listening func(), happened func(string)) error {
		health := map[string]string{}
		return engine.Events(ctx, listening, func(e podman.Event) {
			if matters(e, health) {
				happened(strings.TrimSpace(e.Type + " " + e.Name + " " + e.Action))
			}
		})
	}}
}

// quiet are the actions that change nothing that a pass looks at. A health check alone makes three of them.
var quiet = map[string]bool{"exec": true, "exec_died": true, "attach": true, "mount": true, "unmount": true, "init": true, "cleanup": true, "export": true,
	"pull": true, "pull-error": true, "build": true, "tag": true, "prune": true, "save": true, "loadfromarchive": true}

// matters also keeps the last health of each container: podman tells of every check, and only another result is news.
func matters(e podman.Event, health map[string]string) bool {
	switch {
	case quiet[e.Action]:
		return false
	case e.Action == "remove" && e.Type == "container":
		delete(health, e.Name)
	case e.Action == "start" && e.Type == "container":
		health[e.Name] = podman.HealthStarting
	case e.Action == "health_status":
		before, known := health[e.Name]
		health[e.Name] = e.Health
		// One that is well and has been for longer than anybody listened the first pass has seen.
		return before != e.Health && (known || e.Health != podman.HealthHealthy)
	}
	return true
}

// Units is a source of what happens to the user manager's units of which ours says that they are ours.
func Units(opts systemd.Options, ours func(unit string) bool) Source {
	return Source{Name: "systemd", Run: func(ctx context.Context, listening func(), happened func(string)) error {
		return systemd.Watch(ctx, opts, listening, func(c systemd.Change) {
			if ours(c.Unit) {
				happened(c.Unit + " " + c.ActiveState)
			}
		})
	}}
}
