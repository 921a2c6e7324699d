package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/bench/clock"
	"git.tx1138.com/lfg2025/archy/bench/fleet"
	"git.tx1138.com/lfg2025/archy/test/node"
	"git.tx1138.com/lfg2025/archy/test/node/registry"
)

// containers is how many run on the node: ten shipped apps and as many invented ones as are missing.
const containers = 33

// Where the programs are in the node.
const (
	archyPath     = "/usr/local/bin/archy"
	stopwatchPath = "/usr/local/bin/stopwatch"
	referencePath = "/usr/local/bin/reference.sh"
	tablePath     = "/var/tmp/reference.table"
)

// openNode uses the node that runs in dir, or makes one there. Fresh tells that it was made.
func (b *bench) openNode(ctx context.Context, dir string) (n *node.Node, fresh bool, err error) {
	if dir != "" {
		if n, err := node.Attach(dir); err == nil {
			return n, false, nil
		}
	}
	say("booting a node")
	n, err = node.Up(ctx, node.Options{Dir: dir, Keep: dir != ""})
	return n, true, err
}

// closeNode removes a node of ours, or switches it off when it is to be kept.
func (b *bench) closeNode(ctx context.Context, n *node.Node, fresh bool) error {
	switch {
	case !fresh:
		return nil
	case b.hold:
		fmt.Print(b.report(machine()))
		say("node %s is left running; ^C cuts its power", n.Dir)
		<-ctx.Done()
	}
	if b.node != "" {
		n.Cut()
		return nil
	}
	return n.Remove()
}

// must runs a command as the service user, and is an error when it fails.
func must(ctx context.Context, n *node.Node, args ...string) (string, error) {
	res := n.User(ctx, args...)
	return res.Stdout, res.Error()
}

// install puts archy, the tools and the apps on the node.
func (b *bench) install(ctx context.Context, n *node.Node) error {
	ids := node.Ten()
	for _, id := range ids {
		if err := copyManifest(n, id); err != nil {
			return err
		}
		if pages, err := apps.Context(id); err == nil {
			if err := n.CopyFS("/opt/archipelago/docker/"+id, pages); err != nil {
				return err
			}
		}
	}
	// All of the chain, so that the index and what stands on it are wanted on a small disk too.
	if err := n.WriteFile("/etc/archipelago/archy.yaml", []byte("bitcoin:\n  prune: 0\n"), 0o644); err != nil {
		return err
	}
	if err := b.invent(ctx, n, containers-len(ids)); err != nil {
		return err
	}
	return b.putTools(n)
}

func copyManifest(n *node.Node, id string) error {
	text, err := fs.ReadFile(apps.FS, id+"/manifest.yml")
	if err != nil {
		return err
	}
	return n.WriteFile("/opt/archipelago/apps/"+id+"/manifest.yml", text, 0o644)
}

// putTools puts the programs on the node: also on one that runs, for it may have older ones.
func (b *bench) putTools(n *node.Node) error {
	return errors.Join(n.Put(b.archy, archyPath, 0o755), n.Put(b.tool("stopwatch"), stopwatchPath, 0o755),
		n.Put("bench/reference.sh", referencePath, 0o755))
}

// invent adds apps to the owner's directory, and their images to the registry.
func (b *bench) invent(ctx context.Context, n *node.Node, count int) error {
	list := fleet.New(count)
	for _, a := range list {
		text, err := a.Manifest()
		if err != nil {
			return err
		}
		if err := n.WriteFile("/etc/archipelago/apps/"+a.ID+"/manifest.yml", text, 0o644); err != nil {
			return err
		}
	}
	return n.StandIn(ctx, images(list)...)
}

func images(list []fleet.App) []registry.Wanted {
	var wanted []registry.Wanted
	for _, a := range list {
		wanted = append(wanted, registry.Wanted{Name: a.ID, Ref: a.Image, Ports: []string{fmt.Sprint(a.Port)}, Data: "/data"})
	}
	return wanted
}

// bringUp lets archy bring all apps up, from nothing.
func (b *bench) bringUp(ctx context.Context, n *node.Node) error {
	say("bringing up %d apps", containers)
	began := time.Now()
	if _, err := must(ctx, n, archyPath, "secrets", "gen", "--quiet"); err != nil {
		return err
	}
	if _, err := must(ctx, n, archyPath, "reconcile", "--create-missing", "--quiet"); err != nil {
		return err
	}
	say("%d apps are up after %.0f s", containers, time.Since(began).Seconds())
	return nil
}

// listed is a little of podman ps --format json.
type listed struct {
	Names     []string
	State     string
	StartedAt int64
}

func list(ctx context.Context, n *node.Node) ([]listed, error) {
	out, err := must(ctx, n, "podman", "ps", "-a", "--format", "json")
	if err != nil {
		return nil, err
	}
	var l []listed
	return l, json.Unmarshal([]byte(out), &l)
}

// await waits until exactly the wanted number of containers runs, and the youngest of them is old enough.
func (b *bench) await(ctx context.Context, n *node.Node, age time.Duration) error {
	told := false
	for limit := time.Now().Add(5*time.Minute + age); time.Now().Before(limit); {
		l, err := list(ctx, n)
		if err != nil {
			return err
		}
		running, youngest := 0, time.Time{}
		for _, c := range l {
			if c.State == "running" {
				running++
			}
			if at := time.Unix(c.StartedAt, 0); at.After(youngest) {
				youngest = at
			}
		}
		wait := age - time.Since(youngest)
		if running == containers && len(l) == containers && wait <= 0 {
			return nil
		}
		if running == containers && !told {
			told = true
			say("waiting %.0f s until no container is young", wait.Seconds())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(2*time.Second, min(wait, 30*time.Second))):
		}
	}
	return fmt.Errorf("there are not %d running containers on the node", containers)
}

// timeIn runs the stopwatch in the node, in the service user's session.
func (b *bench) timeIn(ctx context.Context, n *node.Node, plan clock.Plan) ([]clock.Samples, error) {
	in, err := json.Marshal(plan)
	if err != nil {
		return nil, err
	}
	res := n.Run(ctx, node.Cmd{Args: []string{stopwatchPath}, User: true, Stdin: bytes.NewReader(in)})
	if err := res.Error(); err != nil {
		return nil, err
	}
	return measured([]byte(res.Stdout), plan)
}

// referenceTable is what the bash reference knows of each app, as it is on the node.
func referenceTable(ctx context.Context, n *node.Node) error {
	const format = `{{.Name}}|{{.ImageName}}|{{.HostConfig.Memory}}|{{range $p, $b := .HostConfig.PortBindings}}{{range $b}}{{.HostPort}} {{end}}{{end}}|{{range .Config.Env}}{{.}}` + "\x1f" + `{{end}}`
	l, err := list(ctx, n)
	if err != nil {
		return err
	}
	args := []string{"podman", "inspect", "--format", format}
	for _, c := range l {
		args = append(args, c.Names[0])
	}
	out, err := must(ctx, n, args...)
	if err != nil {
		return err
	}
	var table strings.Builder
	for line := range strings.Lines(out) {
		f := strings.SplitN(strings.TrimRight(line, "\n"), "|", 5)
		if len(f) != 5 {
			return fmt.Errorf("podman inspect printed %q", line)
		}
		var names []string
		for _, v := range strings.Split(f[4], "\x1f") {
			if name, _, ok := strings.Cut(v, "="); ok {
				names = append(names, name)
			}
		}
		fmt.Fprintln(&table, strings.Join(append(f[:4], strings.Join(names, " ")), "|"))
	}
	return n.WriteFile(tablePath, []byte(table.String()), 0o644)
}
