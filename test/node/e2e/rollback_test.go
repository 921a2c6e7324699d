package e2e_test

import (
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

// TestIncident2UpgradeBadImage: what ran before runs again, the cause is told, and the failed change is not tried
// on each pass.
func TestIncident2UpgradeBadImage(t *testing.T) {
	t.Parallel()
	n := converged(t)
	born := n.born(t)
	t.Run("a bad image under force", func(t *testing.T) { badImage(t, n) })
	t.Run("an image that cannot be had", func(t *testing.T) { noImage(t, n) })
	t.Run("an environment with which the app ends", func(t *testing.T) { badEnvironment(t, n) })
	// These two take the whole gate of two minutes, so they take it together.
	t.Run("never healthy", func(t *testing.T) {
		t.Run("an image that is never healthy", func(t *testing.T) { t.Parallel(); sickImage(t, n) })
		t.Run("an environment with which the app is never healthy", func(t *testing.T) { t.Parallel(); sickEnvironment(t, n) })
	})
	n.serves(t) // not while one of the two is at its gate
	if now := n.born(t); now != born {
		t.Errorf("data were lost:\n%s", difference(born, now))
	}
	if now := n.containers(t); len(now) != len(ten) {
		t.Errorf("%d containers: %v", len(now), now)
	}
}

const fileBrowserTag = "filebrowser:v2.27.0"

func badImage(t *testing.T, n *machine) {
	n.local(t, "filebrowser", fileBrowserTag, fileBrowserTag+"-bad")
	before := n.containers(t)
	res := n.must(t, 3, "reconcile", "--force", "--container=filebrowser")
	rolledBack(t, res.Stdout, res.Stderr, "filebrowser", "exited 1")
	n.sameAsBefore(t, before, "filebrowser")
	n.serves(t)
	after := n.containers(t)
	// Without --force the newer image is an offer that was tried, not a change.
	r := n.pass(t, 0)
	if a := app(t, r, "filebrowser"); a.Changed {
		t.Errorf("the next pass: %s (%s)", a.Action, a.Cause)
	}
	onlyChanged(t, after, n.containers(t))
	n.shipped(t, "filebrowser")
	n.pass(t, 0)
}

func noImage(t *testing.T, n *machine) {
	n.local(t, "filebrowser", fileBrowserTag, "filebrowser:v9.9.9")
	before := n.containers(t)
	res := n.must(t, 3, "reconcile", "--force", "--container=filebrowser")
	if !strings.Contains(res.Stderr, "v9.9.9") {
		t.Errorf("it does not name the image:\n%s", res.Stderr)
	}
	onlyChanged(t, before, n.containers(t))
	n.shipped(t, "filebrowser")
	n.must(t, 0, "reconcile", "--check-only", "--exit-code")
}

func badEnvironment(t *testing.T, n *machine) {
	n.local(t, "electrumx", "    - NET=mainnet\n", "    - NET=mainnet\n    - STANDIN_FAIL=exit:3\n")
	before := n.containers(t)
	res := n.must(t, 3, "reconcile")
	rolledBack(t, res.Stdout, res.Stderr, "electrumx", "exited 3")
	n.sameAsBefore(t, before, "electrumx")
	n.serves(t)
	n.held(t, "electrumx", "electrumx")
	n.shipped(t, "electrumx")
	r := n.pass(t, 0)
	if a := app(t, r, "electrumx"); a.Changed || a.Error != nil {
		t.Errorf("with the right manifest: %s (%s)", a.Action, a.Cause)
	}
}

func sickImage(t *testing.T, n *machine) {
	n.local(t, "filebrowser", fileBrowserTag, fileBrowserTag+"-sick")
	before := n.containers(t)
	res := n.must(t, 3, "reconcile", "--force", "--container=filebrowser")
	rolledBack(t, res.Stdout, res.Stderr, "filebrowser", "not healthy within")
	n.sameAsBefore(t, before, "filebrowser")
}

func sickEnvironment(t *testing.T, n *machine) {
	n.local(t, "mempool", "    - FRONTEND_HTTP_PORT=8080\n", "    - FRONTEND_HTTP_PORT=8080\n    - STANDIN_UNHEALTHY=1\n")
	before := n.containers(t)
	res := n.must(t, 3, "reconcile", "--container=archy-mempool-web")
	rolledBack(t, res.Stdout, res.Stderr, "mempool", "not healthy within")
	n.sameAsBefore(t, before, "archy-mempool-web")
	n.held(t, "mempool", "archy-mempool-web", "--container=mempool")
}

// rolledBack: the table says so, and stderr gives the cause, the app's last words and what to do.
func rolledBack(t *testing.T, stdout, stderr, id, cause string) {
	t.Helper()
	if !strings.Contains(stdout, "RolledBack") {
		t.Errorf("the table does not say that it was rolled back:\n%s", stdout)
	}
	for _, want := range []string{"error: " + id + ":", cause, "\n  | ", "hint: "} {
		if !strings.Contains(stderr, want) {
			t.Errorf("stderr lacks %q:\n%s", want, stderr)
		}
	}
}

// sameAsBefore: the container is another one, made of the image and environment of the one before.
func (n *machine) sameAsBefore(t *testing.T, before containers, name string) {
	t.Helper()
	after := n.healthy(t, name)
	if after[name].Image != before[name].Image {
		t.Errorf("%s runs %s, before it was %s", name, after[name].Image, before[name].Image)
	}
	if env := n.user(t, "podman inspect -f '{{.Config.Env}}' "+name); strings.Contains(env, "STANDIN_") {
		t.Errorf("%s has %s", name, env)
	}
	others := containers{}
	for other, c := range before {
		if other != name && other != "filebrowser" && other != "archy-mempool-web" {
			others[other] = c
		}
	}
	for other, c := range others {
		if c.since() != after[other].since() {
			t.Errorf("%s was touched", other)
		}
	}
}

// held: the failed spec is not tried again; the pass says so and exits 3.
func (n *machine) held(t *testing.T, id, name string, flags ...string) {
	t.Helper()
	before := n.containers(t)
	r := n.pass(t, 3, flags...)
	if a := app(t, r, id); a.Action != reconcile.Left || a.Changed || a.Error == nil || a.Error.Code != "failed-spec-held" || a.Error.Hint == "" {
		t.Errorf("the next pass: %+v", a)
	}
	if now := n.containers(t); now[name].since() != before[name].since() {
		t.Errorf("%s was touched: %s, then %s", name, before[name].since(), now[name].since())
	}
}

// TestAChangeIsCheckedBeforeTheFirstStop: what can be known before the first stop is known before it.
func TestAChangeIsCheckedBeforeTheFirstStop(t *testing.T) {
	t.Parallel()
	n := fresh(t)
	n.pass(t, 0, "--wait")
	t.Run("a port that somebody else holds", func(t *testing.T) {
		l, err := n.Listen("tcp", "127.0.0.1:8095")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		n.local(t, "filebrowser", "    - host: 8083\n", "    - host: 8095\n")
		before := n.containers(t)
		r := n.pass(t, 1)
		if a := app(t, r, "filebrowser"); a.Class != reconcile.ClassFailed || a.Error == nil || !strings.Contains(a.Error.Message, "8095") {
			t.Errorf("%+v", a)
		}
		onlyChanged(t, before, n.containers(t))
	})
	t.Run("an image that may not be pulled", func(t *testing.T) {
		n.local(t, "filebrowser", fileBrowserTag, fileBrowserTag+"-next")
		before := n.containers(t)
		r := n.pass(t, 0, "--force", "--no-pull", "--container=filebrowser")
		if a := app(t, r, "filebrowser"); a.Changed || !strings.Contains(a.Cause, "image") {
			t.Errorf("%s (%s)", a.Action, a.Cause)
		}
		onlyChanged(t, before, n.containers(t))
	})
}
