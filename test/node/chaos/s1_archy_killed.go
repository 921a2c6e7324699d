package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node"
)

// archyKilled: archy is killed after its n-th call to something outside, n random. It needs an archy built with the tag
// failpoints. First boot, killed at every one of its steps, has its own test (test/node/firstboot).
var archyKilled = Scenario{
	Number: 1, Name: "archy-killed", Timer: true,
	Limit: func(a App) time.Duration {
		if a.Tier == 1 || a.Tier == 2 {
			return 300 * time.Second
		}
		return 180 * time.Second
	},
	Faults: []Fault{
		{"reconcile", killedReconcile},
		{"restart", killedRestart},
		{"stop", killedStop},
		{"start", killedStart},
		{"install", killedInstall},
		{"upgrade", killedUpgrade},
		{"remove", killedRemove},
		{"migrate", killedMigrate},
	},
}

// mostCalls is the last call at which it is killed; a command that makes fewer ends by itself, and its code says so.
const mostCalls = 40

// dies runs archy until it is killed, then wants its locks to be free at once and the next pass to be right.
func (r *Round) dies(ctx context.Context, args ...string) {
	n := 1 + r.rand.IntN(mostCalls)
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	res := r.Run(limited, node.Cmd{Args: append([]string{"archy"}, args...), User: true, Env: []string{fmt.Sprintf("ARCHY_FAILPOINT=%d:die-after", n)}})
	r.keep(res)
	res.Args = append(res.Args, fmt.Sprintf("(killed after call %d)", n))
	r.note(res)
	if res.Code != 137 && res.Code != 0 {
		r.Fail("archy %s to be killed after call %d ended with %d: %s", args[0], n, res.Code, lastLines(res.Stderr, 4))
	}
	for _, torn := range r.torn(ctx) {
		r.Fail("after the kill: %s", torn)
	}
	r.Struck()
	r.Want(ctx, []int{0}, "reconcile", "--wait-lock=0s")
}

func killedReconcile(ctx context.Context, r *Round) error {
	r.Hit(r.Few(r.Fleet)...)
	script := forEach(r.hit, "rm -f "+unitDir+"/%[1]s.container; podman rm -f -t 2 %[1]s >/dev/null")
	if err := r.user(ctx, script).Error(); err != nil {
		return err
	}
	r.dies(ctx, "reconcile")
	return nil
}

func killedRestart(ctx context.Context, r *Round) error {
	r.Hit(r.Few(r.Fleet)...)
	r.dies(ctx, append([]string{"restart"}, ids(r.hit)...)...)
	return nil
}

func killedStop(ctx context.Context, r *Round) error {
	r.Hit(r.Few(r.Fleet)...)
	r.dies(ctx, append([]string{"stop"}, ids(r.hit)...)...)
	r.Struck()
	r.Want(ctx, []int{0}, append([]string{"start", "--with-deps"}, ids(r.hit)...)...)
	return nil
}

func killedStart(ctx context.Context, r *Round) error {
	r.Hit(r.Few(r.Fleet)...)
	r.Want(ctx, []int{0}, append([]string{"stop"}, ids(r.hit)...)...)
	r.dies(ctx, append([]string{"start"}, ids(r.hit)...)...)
	r.Struck()
	r.Want(ctx, []int{0}, append([]string{"start", "--with-deps"}, ids(r.hit)...)...)
	return nil
}

func killedInstall(ctx context.Context, r *Round) error {
	a := r.leaf()
	r.Hit(a)
	r.Want(ctx, []int{0}, "remove", a.ID)
	r.dies(ctx, "install", a.ID)
	r.Want(ctx, []int{0}, "install", a.ID)
	return nil
}

func killedRemove(ctx context.Context, r *Round) error {
	a := r.leaf()
	r.Hit(a)
	r.dies(ctx, "remove", a.ID)
	r.Want(ctx, []int{0}, "install", a.ID)
	return nil
}

func killedUpgrade(ctx context.Context, r *Round) error {
	a := r.leaf()
	r.Hit(a)
	r.dies(ctx, "upgrade", a.ID, "--to", a.Image+"-next")
	r.Want(ctx, []int{0}, "upgrade", a.ID, "--to", a.Image, "--allow-downgrade")
	return nil
}

// killedMigrate makes the container of an app one that a script has made, with the same image, mounts and ports.
func killedMigrate(ctx context.Context, r *Round) error {
	leaves := r.leaves(func(a App) bool { return len(a.SecretFiles) == 0 && !a.mountsSecret })
	if len(leaves) == 0 {
		return nil // nobody of a small group can be made by a script
	}
	a := r.next(leaves, 1)[0]
	r.Hit(a)
	args, err := r.createCommand(ctx, a)
	if err != nil {
		return err
	}
	r.Want(ctx, []int{0}, "remove", a.ID)
	run := append([]string{"systemd-run", "-q", "--user", "--scope", "--collect", "podman", "run", "-d"}, args...)
	if err := r.User(ctx, run...).Error(); err != nil {
		return err
	}
	r.Want(ctx, []int{0}, "adopt")
	r.dies(ctx, "adopt", "--migrate", a.ID)
	r.Want(ctx, []int{0}, "adopt", "--migrate")
	return r.user(ctx, "podman ps -a --format '{{.Names}}' | grep -- '-archy-old-' | xargs -r podman rm >/dev/null").Error()
}

// createCommand is how podman was asked to make a container, without what makes it a unit's.
func (r *Round) createCommand(ctx context.Context, a App) ([]string, error) {
	res := r.User(ctx, "podman", "inspect", "--format", "{{json .Config.CreateCommand}}", a.Container)
	var all, out []string
	if err := json.Unmarshal([]byte(res.Stdout), &all); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", a.Container, err, res.Stderr)
	}
	start := slices.Index(all, "run") + 1
	for i := start; i < len(all); i++ {
		word := all[i]
		switch {
		case word == "--label" || word == "--cidfile" || word == "--sdnotify" || word == "--cgroups":
			i++
		case word == "-d", word == "--rm", word == "--replace", strings.HasPrefix(word, "--sdnotify="), strings.HasPrefix(word, "--cgroups="),
			strings.HasPrefix(word, "--cidfile="):
		default:
			out = append(out, word)
		}
	}
	return out, nil
}

// leaves are the apps that nobody needs, with an image that only they have.
func (r *Round) leaves(ok func(App) bool) []App {
	return r.having(func(a App) bool {
		return a.Image != "" && a.Image != strangerImage && len(r.Fleet.Downstream(a)) == 1 && ok(a)
	})
}

func (r *Round) leaf() App {
	return r.next(r.leaves(func(App) bool { return true }), 1)[0]
}
