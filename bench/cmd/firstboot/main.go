// Command firstboot measures, on a node of test/node and in one run: the apps stage of a first boot with all images on the
// node; systemd alone starting the units that it has written; and a loop of podman run, one app after the other, as the
// script did it that archy takes the place of. It needs root.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/test/node"
)

const buildTags = "remote,containers_image_openpgp,exclude_graphdriver_btrfs,exclude_graphdriver_devicemapper"

func main() {
	rounds := flag.Int("rounds", 3, "how often each is measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds); err != nil {
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
}

func run(ctx context.Context, rounds int) error {
	n, err := node.Up(ctx, node.Options{FirstBoot: true})
	if err != nil {
		return err
	}
	defer n.Remove()
	b := &bench{Node: n}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	took := map[string][]time.Duration{}
	ways := []struct {
		name  string
		reset func(context.Context) error
		do    func(context.Context) error
	}{
		{"first boot, apps stage", b.forget, b.stage},
		{"systemd alone", b.stop, b.start},
		{"podman run, one by one", b.stop, b.loop},
	}
	for round := range rounds {
		for _, way := range ways {
			if err := way.reset(ctx); err != nil {
				return fmt.Errorf("before %s: %w", way.name, err)
			}
			began := time.Now()
			if err := way.do(ctx); err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
			took[way.name] = append(took[way.name], time.Since(began))
			fmt.Fprintf(os.Stderr, "round %d: %-24s %6.1f s\n", round+1, way.name, time.Since(began).Seconds())
		}
	}
	units := median(took[ways[1].name])
	fmt.Printf("%d apps, median of %d rounds\n", len(b.services), rounds)
	for _, way := range ways {
		m := median(took[way.name])
		fmt.Printf("%-24s %6.1f s  %.2f x systemd\n", way.name, m.Seconds(), m.Seconds()/units.Seconds())
	}
	return nil
}

func median(list []time.Duration) time.Duration {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// prepare makes the node ready for its first boot, and boots it once: the images are fetched then.
func (b *bench) prepare(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "firstboot-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	archy := filepath.Join(dir, "archy")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags="+buildTags, "-o", archy, "./cmd/archy")
	cmd.Env, cmd.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build archy: %w", err)
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

// remember keeps what the first boot has made: the services, and the commands that systemd has run for them.
func (b *bench) remember(ctx context.Context) error {
	res := b.User(ctx, "sh", "-ec", `cd ~/.config/containers/systemd && ls *.container`)
	if err := res.Error(); err != nil {
		return err
	}
	for _, unit := range strings.Fields(res.Stdout) {
		name := strings.TrimSuffix(unit, ".container")
		b.services = append(b.services, name+".service")
		res := b.User(ctx, "podman", "inspect", "--format", `{{range .Config.CreateCommand}}{{.}}`+"\x1f"+`{{end}}`, name)
		if err := res.Error(); err != nil {
			return err
		}
		b.commands = append(b.commands, alone(strings.Split(strings.TrimSuffix(strings.TrimSpace(res.Stdout), "\x1f"), "\x1f")))
	}
	return nil
}

// alone is a command without what ties its container to a unit.
func alone(argv []string) []string {
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

func (b *bench) user(ctx context.Context, script string) error {
	res := b.User(ctx, "sh", "-ec", script)
	return res.Error()
}

func (b *bench) root(ctx context.Context, script string) error {
	res := b.Root(ctx, "sh", "-ec", script)
	return res.Error()
}
