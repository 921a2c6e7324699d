package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node"
)

const (
	archyPath = "/usr/local/bin/archy"
	unitDir   = "/home/archipelago/.config/containers/systemd"
	// patience bounds every single command in the node, probePatience one question whether an app answers.
	patience      = 15 * time.Minute
	probePatience = 20 * time.Second
	// smallDisk is the size of a data disk that can be filled: above what archy wants to have free before it changes anything.
	smallDisk = 16 << 30
)

// Config is how a node for chaos is made.
type Config struct {
	// Archy is the program under test; when it has failpoints, it can be killed at a chosen external call.
	Archy string
	Group string
	// SmallDisk puts the data on a file system of their own.
	SmallDisk bool
	// Talk hears what happens; nil: nobody.
	Talk io.Writer
}

// Rig is a node with archy, a group of apps that run, what they must not lose, and somebody else's container.
type Rig struct {
	*node.Node
	Fleet   Fleet
	config  Config
	sampler *sampler
	loop    string // where the small disk is mounted on this machine

	mu   sync.Mutex
	said strings.Builder
}

// NewRig boots a node and brings the group up on it.
func NewRig(ctx context.Context, c Config) (*Rig, error) {
	fleet, err := NewFleet(c.Group)
	if err != nil {
		return nil, err
	}
	if c.Talk == nil {
		c.Talk = io.Discard
	}
	r := &Rig{Fleet: fleet, config: c}
	if err := r.boot(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	r.sampler = newSampler(r.Node)
	if err := r.bringUp(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Close deletes the node and its disk.
func (r *Rig) Close() error {
	var err error
	dir := ""
	if r.Node != nil {
		r.Cut()
		dir = r.Dir
	}
	if r.loop != "" {
		if out, e := exec.Command("umount", r.loop).CombinedOutput(); e != nil {
			return fmt.Errorf("umount %s: %w: %s", r.loop, e, out)
		}
		dir = filepath.Dir(filepath.Dir(r.loop))
	}
	if dir != "" {
		err = os.RemoveAll(dir)
	}
	return err
}

func (r *Rig) boot(ctx context.Context) error {
	opts := node.Options{Apps: r.Fleet.IDs(), Progress: r.config.Talk}
	if r.Fleet.has("bitcoin-core") {
		opts.Apps = append(opts.Apps, "bitcoin-knots") // is not installed; the others' manifests name it
	}
	if r.config.SmallDisk {
		dir, err := r.mountSmallDisk()
		if err != nil {
			return err
		}
		opts.Dir = dir
	}
	var err error
	r.Node, err = node.Up(ctx, opts)
	return err
}

// mountSmallDisk makes the directory of a node whose data lie on a file system of their own.
func (r *Rig) mountSmallDisk() (string, error) {
	dir, err := node.NewDir()
	if err != nil {
		return "", err
	}
	data, image := filepath.Join(dir, "data/archipelago"), filepath.Join(dir, "disk.img")
	script := fmt.Sprintf("mkdir -p %[1]s && truncate -s %[3]d %[2]s && mkfs.ext4 -q -m 0 -E lazy_itable_init=1,lazy_journal_init=1 %[2]s && mount -o loop %[2]s %[1]s",
		data, image, smallDisk)
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("a data disk of its own: %w: %s", err, out), os.RemoveAll(dir))
	}
	r.loop = data
	return dir, nil
}

// bringUp installs everything and waits until every app answers.
func (r *Rig) bringUp(ctx context.Context) error {
	if err := r.Put(r.config.Archy, archyPath, 0o755); err != nil {
		return err
	}
	// The kernel gives a user so many keys on all nodes of this machine together: a keyring for each container is too many for a few nodes with all apps.
	if err := r.WriteFile("/etc/containers/containers.conf.d/keyring.conf", []byte("[containers]\nkeyring = false\n"), 0o644); err != nil {
		return err
	}
	// A disk below 1 TB would be pruned, and nothing indexes a pruned chain.
	if err := r.WriteFile("/etc/archipelago/archy.yaml", []byte("bitcoin:\n  prune: 0\n"), 0o644); err != nil {
		return err
	}
	if res := r.archy(ctx, "secrets", "gen"); res.Error() != nil {
		return res.Error()
	}
	// the one secret that only an owner has
	const invite = "install -m 600 /dev/null /var/lib/archipelago/secrets/fmcd-invite-code && printf fed11invite > /var/lib/archipelago/secrets/fmcd-invite-code"
	if err := r.user(ctx, invite).Error(); err != nil {
		return err
	}
	if res := r.archy(ctx, append([]string{"install"}, r.Fleet.IDs()...)...); res.Error() != nil {
		return res.Error()
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	return r.plant(ctx)
}

// settlePasses is how many passes a node gets until there is nothing left to do: one restarts an app, the next those who
// keep its address, and one more those who keep theirs.
const settlePasses = 6

// settle makes passes until one finds nothing to do.
func (r *Rig) settle(ctx context.Context) error {
	var last node.Result
	for range settlePasses {
		if last = r.archy(ctx, "reconcile", "--check-only", "--exit-code"); last.Code == 0 {
			return nil
		}
		r.archy(ctx, "reconcile", "--wait", "--timeout=2m")
	}
	if last = r.archy(ctx, "reconcile", "--check-only", "--exit-code"); last.Code == 0 {
		return nil
	}
	return fmt.Errorf("after %d passes there is still something to do, exit code %d:\n%s%s", settlePasses, last.Code, last.Stdout, last.Stderr)
}

// archy runs archy as the service user and keeps what it says.
func (r *Rig) archy(ctx context.Context, args ...string) node.Result {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	res := r.User(ctx, append([]string{"archy"}, args...)...)
	r.keep(res)
	return res
}

func (r *Rig) keep(res node.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.said, "$ %s\n%s%s[exit code %d]\n", strings.Join(res.Args, " "), res.Stdout, res.Stderr, res.Code)
}

// log is what was said since the last call.
func (r *Rig) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := r.said.String()
	r.said.Reset()
	return text
}

// user runs a script as the service user, sh as root.
func (r *Rig) user(ctx context.Context, script string) node.Result {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return r.User(ctx, "sh", "-ec", script)
}

func (r *Rig) sh(ctx context.Context, script string) node.Result {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return r.Root(ctx, "sh", "-ec", script)
}

// peek is what was said since the last call of log.
func (r *Rig) peek() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.String()
}
