// Command firstboot measures, on a node of test/node and in one run: the apps stage of a first boot with all images on the
// node; systemd alone starting the units that it has written; and a loop of podman run, one app after the other, as the
// script did it that archy takes the place of. Each ends when all apps are healthy, which an app without a health check is
// when it has run for five seconds (spec/manifest.md); of the last two it is also told when their last command came back. Then
// the first and the last once more with no image on the node, from a registry that takes its time, as each one does that is not
// in the same room. It needs root.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/test/node"
	"git.tx1138.com/lfg2025/archy/test/node/registry"
)

func main() {
	rounds := flag.Int("rounds", 3, "how often each is measured, in turn")
	results := flag.String("results", "", "write the table to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *results); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// bench is a node that has been booted for the first time once, so that its images are there.
type bench struct {
	*node.Node
	apps     []string
	services []string
	// commands are those that made the containers.
	commands [][]string
	// silent are the containers without a health check.
	silent []string
}

// way is one of those that are compared.
type way struct {
	name  string
	reset func(context.Context) error
	do    func(context.Context) error
	// took is the time until all apps were healthy, returned that until the last command came back.
	took, returned []time.Duration
}

func run(ctx context.Context, rounds int, results string) error {
	n, err := node.Up(ctx, node.Options{FirstBoot: true})
	if err != nil {
		return err
	}
	defer n.Remove()
	b := &bench{Node: n}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	ways := []*way{
		{name: "first boot, apps stage", reset: b.forget, do: b.stage},
		{name: "systemd alone", reset: b.stop, do: b.start},
		{name: "podman run, one by one", reset: b.stop, do: b.loop},
		{name: "first boot with pulls", reset: b.forgetImages, do: b.stage},
		{name: "podman run with pulls", reset: b.dropImages, do: b.loop},
	}
	b.Registry.SetFault("", registry.Fault{Delay: answersAfter})
	before := load()
	for round := range rounds {
		for _, w := range ways {
			if err := b.measure(ctx, w); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "round %d: %-24s %6.1f s\n", round+1, w.name, w.took[round].Seconds())
		}
	}
	text := fmt.Sprintf("# The apps of a first boot\n\nOne run of `make bench-first-boot` on %d cores: %d apps of stand-in images, which are on the node but for the last two rows. "+
		"Each way ends when all apps are healthy; one that has no health check (fedimint-clientd) is when it has run for 5 s. "+
		"Medians of %d rounds in which the ways take turns. The machine's load was %s before the first round and %s after the last.\n\n%s",
		runtime.NumCPU(), len(b.services), rounds, before, load(), table(ways))
	fmt.Print(text)
	if results == "" {
		return nil
	}
	return os.WriteFile(results, []byte(text), 0o644)
}

func (b *bench) measure(ctx context.Context, w *way) error {
	if err := w.reset(ctx); err != nil {
		return fmt.Errorf("before %s: %w", w.name, err)
	}
	began := time.Now()
	if err := w.do(ctx); err != nil {
		return fmt.Errorf("%s: %w", w.name, err)
	}
	w.returned = append(w.returned, time.Since(began))
	if err := b.healthy(ctx); err != nil {
		return fmt.Errorf("%s: %w", w.name, err)
	}
	w.took = append(w.took, time.Since(began))
	return nil
}

// median is in seconds.
func median(took []time.Duration) float64 {
	list := slices.Sorted(slices.Values(took))
	return list[len(list)/2].Seconds()
}

// table has a row for each of the five ways, and two for when commands came back.
func table(ways []*way) string {
	archy, systemd, loop := ways[0], ways[1], ways[2]
	boot, units, one := median(archy.took), median(systemd.took), median(loop.took)
	fetched, fetching := median(ways[3].took), median(ways[4].took)
	return fmt.Sprintf(`| what | took | must reach | |
|---|---|---|---|
| %s: networks, files, images, units, starts, health, hooks | %.1f s | | |
| %s: systemctl start of the same units, in their order | %.1f s; archy takes %.2f times as long | at most 1.5 x | %s |
| %s: the same commands in a loop, in the order of starts | %.1f s; archy is %.2f times as fast | faster | %s |
| systemctl start came back, and does not look at what the apps say later | %.1f s | | |
| the last command of the loop came back, and none of them waits for anything | %.1f s | | |
| %s: no image is on the node, the registry answers for each after %s | %.1f s | | |
| %s: the same loop, and each command fetches its image | %.1f s; archy is %.2f times as fast | faster | %s |
`, archy.name, boot, systemd.name, units, boot/units, verdict(boot <= 1.5*units), loop.name, one, one/boot, verdict(boot < one),
		median(systemd.returned), median(loop.returned), ways[3].name, answersAfter, fetched, ways[4].name, fetching, fetching/fetched, verdict(fetched < fetching))
}

// verdict of a row that misses is NO, and fails nothing: the machine may have been busy.
func verdict(ok bool) string {
	if ok {
		return "ok"
	}
	return "NO"
}

// load is how many processes wanted a core in the last minute.
func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// prepare makes the node ready for its first boot, and boots it once: the images are fetched then.
func (b *bench) prepare(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "firstboot-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	archy := filepath.Join(dir, "archy")
	if err := node.Compile(archy, "cmd/archy", ""); err != nil {
		return err
	}
	if err := b.Put(archy, "/usr/local/bin/archy", 0o755); err != nil {
		return err
	}
	if err := b.root(ctx, `mkdir -p /etc/archipelago /var/log/archipelago
printf 'bitcoin:\n  prune: 0\n' >/etc/archipelago/archy.yaml
chown archipelago: /var/log/archipelago`); err != nil {
		return err
	}
	if err := b.user(ctx, `archy secrets gen --quiet
printf fed1 >/var/lib/archipelago/secrets/fmcd-invite-code
chmod 600 /var/lib/archipelago/secrets/fmcd-invite-code`); err != nil {
		return err
	}
	b.apps = slices.DeleteFunc(apps.IDs(), func(id string) bool { return id == "bitcoin-core" })
	if err := b.stage(ctx); err != nil {
		return err
	}
	return b.remember(ctx)
}

// stage is the service user's half of a first boot.
func (b *bench) stage(ctx context.Context) error {
	job := `{"apps": ["` + strings.Join(b.apps, `","`) + `"]}`
	res := b.Run(ctx, node.Cmd{Args: []string{"archy", "first-boot", "--stage", "apps"}, User: true, Stdin: strings.NewReader(job)})
	if err := res.Error(); err != nil {
		return err
	}
	if strings.Contains(res.Stdout, `"phase":"Failed"`) {
		return fmt.Errorf("an app failed:\n%s", res.Stdout)
	}
	return nil
}

// remember keeps what the first boot has made, in the order of starts: the services, and the commands that systemd has run for them.
func (b *bench) remember(ctx context.Context) error {
	res := b.User(ctx, "archy", "status", "--json")
	if err := res.Error(); err != nil {
		return err
	}
	var status struct {
		Apps []struct{ Container string }
	}
	if err := json.Unmarshal([]byte(res.Stdout), &status); err != nil {
		return err
	}
	for _, app := range status.Apps {
		name := app.Container
		if name == "" || !b.Exists("/home/archipelago/.config/containers/systemd/"+name+".container") {
			continue
		}
		b.services = append(b.services, name+".service")
		res := b.User(ctx, "podman", "inspect", "--format", `{{range .Config.CreateCommand}}{{.}}`+"\x1f"+`{{end}}`, name)
		if err := res.Error(); err != nil {
			return err
		}
		argv := strings.Split(strings.TrimSuffix(strings.TrimSpace(res.Stdout), "\x1f"), "\x1f")
		if !slices.ContainsFunc(argv, func(arg string) bool { return strings.HasPrefix(arg, "--health-cmd") }) {
			b.silent = append(b.silent, name)
		}
		b.commands = append(b.commands, alone(argv))
	}
	return nil
}

// alone is a command without what ties its container to a unit, and fetches an image that is not there.
func alone(argv []string) []string {
	if at := slices.Index(argv, "--pull"); at > 0 {
		argv = slices.Delete(argv, at, at+2)
	}
	return slices.DeleteFunc(argv, func(arg string) bool {
		return strings.HasPrefix(arg, "--cidfile") || strings.HasPrefix(arg, "--cgroups") || strings.HasPrefix(arg, "--sdnotify")
	})
}

func (b *bench) stop(ctx context.Context) error {
	return b.user(ctx, "systemctl --user stop "+strings.Join(b.services, " ")+"; podman rm -fa -t 1 >/dev/null")
}

// forget leaves images, data and secrets, and nothing that a first boot has written of the apps.
func (b *bench) forget(ctx context.Context) error {
	if err := b.stop(ctx); err != nil {
		return err
	}
	return b.user(ctx, `rm -rf ~/.config/containers/systemd/* /var/lib/archipelago/state/apps /var/lib/archipelago/state/restarts
podman secret rm --all >/dev/null
systemctl --user daemon-reload
podman network prune -f >/dev/null`)
}

// answersAfter is how long the registry takes to answer for an image.
const answersAfter = time.Second

// forgetImages is forget for a node that has no image but those that it builds itself.
func (b *bench) forgetImages(ctx context.Context) error {
	return errors.Join(b.forget(ctx), b.rmi(ctx))
}

// dropImages is stop for a node that has no image but those that it builds itself.
func (b *bench) dropImages(ctx context.Context) error {
	return errors.Join(b.stop(ctx), b.rmi(ctx))
}

func (b *bench) rmi(ctx context.Context) error {
	return b.user(ctx, `podman images --format '{{.Repository}}:{{.Tag}}' | grep -v ^localhost/ | xargs podman rmi -f >/dev/null`)
}

func (b *bench) start(ctx context.Context) error {
	return b.user(ctx, "systemctl --user start "+strings.Join(b.services, " "))
}

func (b *bench) loop(ctx context.Context) error {
	for _, argv := range b.commands {
		if res := b.User(ctx, argv...); res.Error() != nil {
			return res.Error()
		}
	}
	return nil
}

// healthy waits until each app is, which one without a health check is when it has run for five seconds.
func (b *bench) healthy(ctx context.Context) error {
	if err := b.user(ctx, `while podman ps -a --filter health=starting --filter health=unhealthy -q | grep -q .; do sleep 0.2; done`); err != nil {
		return err
	}
	for _, name := range b.silent {
		res := b.User(ctx, "podman", "inspect", "--format", "{{.State.StartedAt.UnixNano}}", name)
		if err := res.Error(); err != nil {
			return err
		}
		at, err := strconv.ParseInt(strings.TrimSpace(res.Stdout), 10, 64)
		if err != nil {
			return err
		}
		time.Sleep(time.Until(time.Unix(0, at).Add(5 * time.Second)))
	}
	return nil
}

func (b *bench) user(ctx context.Context, script string) error {
	res := b.User(ctx, "sh", "-ec", script)
	return res.Error()
}

func (b *bench) root(ctx context.Context, script string) error {
	res := b.Root(ctx, "sh", "-ec", script)
	return res.Error()
}
