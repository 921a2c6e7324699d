// Demo shows archy's main job on a disposable Debian 13 node: ten apps come up, get broken, repair themselves, and
// containers that a script had made are adopted. Every command and its output is the real one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/test/node"
)

func main() {
	binary := flag.String("archy", "bin/archy", "the program to show")
	legacy := flag.String("legacy", "test/node/e2e/testdata/legacy.sh", "the script that makes containers as older releases did")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := demo{ctx: ctx, binary: *binary, legacy: *legacy, began: time.Now()}
	if err := d.run(); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo failed:", err)
		os.Exit(1)
	}
	fmt.Printf("\ndemo done in %s: everything above ran on a real Debian 13 node (systemd, rootless podman), now deleted\n",
		time.Since(d.began).Round(time.Second))
}

type demo struct {
	ctx            context.Context
	binary, legacy string
	began          time.Time
	n              *node.Node
}

// config makes the node archival whatever the size of this machine's disk.
const config = "bitcoin:\n  prune: 0\n"

func (d *demo) run() error {
	for _, part := range []func() error{d.fromNothing, d.brokenAndRepaired, d.rolledBack, d.adopted} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// boot makes a new node with archy on it.
func (d *demo) boot() error {
	d.say("a new node: Debian 13, systemd as PID 1, rootless podman, a registry that answers for docker.io and ghcr.io")
	n, err := node.Up(d.ctx, node.Options{Apps: node.Ten(), Progress: os.Stderr})
	if err != nil {
		return err
	}
	d.n = n
	if err := n.Put(d.binary, "/usr/local/bin/archy", 0o755); err != nil {
		return err
	}
	if err := n.WriteFile("/etc/archipelago/archy.yaml", []byte(config), 0o644); err != nil {
		return err
	}
	return nil
}

func (d *demo) fromNothing() error {
	d.title("1. From nothing to ten healthy apps")
	if err := d.boot(); err != nil {
		return err
	}
	return d.all("podman --version", "archy secrets gen", "archy reconcile --create-missing --wait", "archy status", "archy reconcile")
}

// breakage is one way to break a node.
type breakage struct {
	what string
	// shell runs as root in the node; empty: the owner edits filebrowser's manifest.
	shell string
	// only is the container that may be another one afterwards, "" for none.
	only string
	// later says why one more pass has something to do.
	later string
}

const unitDir = "/home/archipelago/.config/containers/systemd"

var breakages = []breakage{
	{"a container is removed by hand", "systemd-run -q --pipe --wait --uid=archipelago -E XDG_RUNTIME_DIR=/run/user/1000 podman rm -f -t 2 filebrowser", "filebrowser", ""},
	{"a unit file is deleted: it comes back, its container goes on", "rm " + unitDir + "/electrumx.container", "", ""},
	{"a unit file is edited: it is put right, its container goes on", "sed -i s/AddHost=.*// " + unitDir + "/lnd.container", "", ""},
	{"the password line of bitcoin.conf is damaged: bitcoin alone restarts", "sed -i 's/^rpcauth=archipelago:..../rpcauth=archipelago:0000/' /var/lib/archipelago/bitcoin/bitcoin.conf", "bitcoin-knots",
		"bitcoin has another address now, and lnd keeps the one that it looked up: the next pass restarts lnd, once"},
	{"an app gets another setting in the owner's own manifest: it is replaced", "", "filebrowser", ""},
}

func (d *demo) brokenAndRepaired() error {
	d.title("2. Broken in five ways, and repaired, each in one pass")
	for i, b := range breakages {
		if err := d.repair(i+1, b); err != nil {
			return err
		}
	}
	return d.powerCut()
}

func (d *demo) repair(number int, b breakage) error {
	before, err := d.containers()
	if err != nil {
		return err
	}
	d.say(fmt.Sprintf("%d. %s", number, b.what))
	if b.shell == "" {
		err = d.localManifest("memory_limit: 256Mi", "memory_limit: 384Mi")
	} else {
		err = d.breakIt(b.shell)
	}
	if err != nil {
		return err
	}
	if err := d.do(0, "archy", "reconcile", "--wait"); err != nil {
		return err
	}
	after, err := d.containers()
	if err != nil {
		return err
	}
	for name, id := range before {
		if after[name] != id && name != b.only {
			return fmt.Errorf("%s was restarted, though only %q should have been", name, b.only)
		}
	}
	d.note(fmt.Sprintf("%d of %d containers untouched", same(before, after), len(before)))
	if b.later != "" {
		d.note(b.later)
		return d.all("archy reconcile --wait")
	}
	return nil
}

// localManifest changes a line of filebrowser's manifest as its owner would: in a copy below /etc.
func (d *demo) localManifest(old, changed string) error {
	text, err := os.ReadFile("apps/filebrowser/manifest.yml")
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), old) {
		return fmt.Errorf("filebrowser's manifest has no line %q", old)
	}
	const dir = "/etc/archipelago/apps/filebrowser"
	d.command("# edit " + dir + "/manifest.yml: " + changed)
	if err := d.n.Root(d.ctx, "mkdir", "-p", dir).Error(); err != nil {
		return err
	}
	return d.n.WriteFile(dir+"/manifest.yml", []byte(strings.Replace(string(text), old, changed, 1)), 0o644)
}

func (d *demo) breakIt(shell string) error {
	d.command("# " + shell)
	return d.n.Root(d.ctx, "sh", "-c", shell).Error()
}

func (d *demo) powerCut() error {
	d.say("6. and the power goes out: every process killed at once, then on again, nobody logs in")
	d.n.Cut()
	if err := d.n.Boot(d.ctx); err != nil {
		return err
	}
	return d.all("archy reconcile --wait", "archy status")
}

func (d *demo) rolledBack() error {
	d.title("3. A change that does not work is undone")
	d.say("the owner's manifest names an image that ends at once")
	defer func() { _ = d.n.Remove() }()
	if err := d.localManifest("filebrowser:v2.27.0", "filebrowser:v2.27.0-bad"); err != nil {
		return err
	}
	if err := d.all("archy status filebrowser"); err != nil {
		return err
	}
	if err := d.do(3, "archy", "reconcile", "--force", "--container=filebrowser"); err != nil {
		return err
	}
	return d.all("archy status filebrowser")
}

func (d *demo) adopted() error {
	d.title("4. Containers that a script had made are adopted, then moved to units with their data")
	if err := d.boot(); err != nil {
		return err
	}
	defer func() { _ = d.n.Remove() }()
	if err := d.n.Put(d.legacy, "/usr/local/bin/legacy.sh", 0o755); err != nil {
		return err
	}
	if err := d.contexts(); err != nil {
		return err
	}
	if err := d.all("archy secrets gen", "legacy.sh"); err != nil {
		return err
	}
	before, err := d.containers()
	if err != nil {
		return err
	}
	if err := d.all("archy adopt", "archy reconcile", "archy reconcile"); err != nil {
		return err
	}
	after, err := d.containers()
	if err != nil {
		return err
	}
	if same(before, after) != len(before) {
		return errors.New("adoption restarted a container")
	}
	d.note(fmt.Sprintf("all %d containers are the same ones as before: ids and start times", len(before)))
	return d.all("archy adopt --migrate", "archy status")
}

// contexts puts the build contexts of the pages where older releases had them.
func (d *demo) contexts() error {
	for _, id := range []string{"bitcoin-ui", "lnd-ui", "electrs-ui"} {
		context, err := apps.Context(id)
		if err != nil {
			return err
		}
		if err := d.n.CopyFS("/opt/archipelago/docker/"+id, context); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) containers() (map[string]string, error) {
	res := d.n.User(d.ctx, "podman", "ps", "-a", "--format", "{{.Names}} {{.ID}} {{.StartedAt}}")
	if err := res.Error(); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(res.Stdout), "\n") {
		if name, id, ok := strings.Cut(line, " "); ok {
			out[name] = id
		}
	}
	return out, nil
}

func same(a, b map[string]string) int {
	n := 0
	for name, id := range a {
		if b[name] == id {
			n++
		}
	}
	return n
}

// all runs commands that must succeed, one after the other.
func (d *demo) all(commands ...string) error {
	for _, c := range commands {
		if err := d.do(0, strings.Fields(c)...); err != nil {
			return err
		}
	}
	return nil
}

// do runs a command as the service user, shows it with its output, and wants its exit code.
func (d *demo) do(code int, args ...string) error {
	d.command("$ " + strings.Join(args, " "))
	out := &indent{w: os.Stdout, start: true}
	res := d.n.Run(d.ctx, node.Cmd{Args: args, User: true, Stdout: out, Stderr: out})
	if res.Err != nil {
		return res.Err
	}
	if res.Code != code {
		return fmt.Errorf("%s: exit code %d, expected %d", strings.Join(args, " "), res.Code, code)
	}
	if code != 0 {
		d.note(fmt.Sprintf("exit code %d", code))
	}
	return nil
}

func (d *demo) title(text string)   { fmt.Printf("\n== %s\n", text) }
func (d *demo) say(text string)     { fmt.Printf("\n-- %s\n", text) }
func (d *demo) command(text string) { fmt.Printf("\n   %s\n", text) }

func (d *demo) note(text string) { fmt.Printf("\n   (%s)\n", text) }

// indent sets the output of commands off from what the demo says.
type indent struct {
	w     io.Writer
	start bool
}

func (i *indent) Write(p []byte) (int, error) {
	for _, b := range p {
		if i.start && b != '\n' {
			if _, err := io.WriteString(i.w, "     "); err != nil {
				return 0, err
			}
		}
		if _, err := i.w.Write([]byte{b}); err != nil {
			return 0, err
		}
		i.start = b == '\n'
	}
	return len(p), nil
}
