package e2e_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

// TestBrokenAndRepaired breaks a converged node in many ways. One pass repairs each, and touches nothing else.
func TestBrokenAndRepaired(t *testing.T) {
	t.Parallel()
	n := converged(t)
	born := n.born(t)
	for _, b := range breakages {
		t.Run(b.name, func(t *testing.T) { b.repaired(t, n) })
	}
	t.Run("killed again and again", func(t *testing.T) { killedAgainAndAgain(t, n) })
	if now := n.born(t); now != born {
		t.Errorf("data were lost:\n%s", difference(born, now))
	}
}

// breakage is one way to break the node and what one pass must do about it.
type breakage struct {
	name string
	// broken makes it. Its pass may also restart what fell over with it.
	broken func(t *testing.T, n *machine)
	// want is what is done to which app; the containers of restarted are the only ones that are touched.
	want      map[string]reconcile.Action
	restarted []string
	// follow keep the address of a restarted one: when that has another one now, the next pass restarts them.
	follow []string
	// check looks at the result in detail.
	check func(t *testing.T, n *machine, r reconcile.Result)
}

func (b breakage) repaired(t *testing.T, n *machine) {
	before := n.containers(t)
	b.broken(t, n)
	plan := n.pass(t, 4, "--check-only", "--exit-code")
	if len(plan.Plan) == 0 {
		t.Error("--check-only sees nothing to do")
	}
	r := n.pass(t, 0)
	for id, action := range b.want {
		if a := app(t, r, id); a.Action != action || !a.Changed || a.Cause == "" {
			t.Errorf("%s: %s (%s), want %s with a cause", id, a.Action, a.Cause, action)
		}
	}
	if got := actions(r); len(got) != len(b.want) {
		t.Errorf("changed: %v, want %v", got, b.want)
	}
	onlyChanged(t, before, n.containers(t), b.restarted...)
	if b.check != nil {
		b.check(t, n, r)
	}
	n.healthy(t, tenContainers()...)
	b.settled(t, n)
}

// settled: the next pass finds nothing to do but for those who must learn a new address.
func (b breakage) settled(t *testing.T, n *machine) {
	if len(b.follow) > 0 {
		r := n.pass(t, 0)
		for id := range actions(r) {
			if a := app(t, r, id); !slices.Contains(b.follow, id) || !strings.Contains(a.Cause, "address") {
				t.Errorf("the next pass: %s %s (%s)", id, a.Action, a.Cause)
			}
		}
		n.healthy(t, tenContainers()...)
	}
	r := parse(t, n.archy("reconcile", "--check-only", "--exit-code", "--json"))
	if r.ExitCode != 0 {
		t.Errorf("something is left to do:\n%s", strings.Join(r.Plan, "\n"))
	}
}

const filebrowserUnit = unitDir + "/filebrowser.container"

var breakages = []breakage{
	{
		name:   "container removed by hand",
		broken: func(t *testing.T, n *machine) { n.user(t, "podman rm -f -t 0 filebrowser") },
		want:   map[string]reconcile.Action{"filebrowser": reconcile.Started}, restarted: []string{"filebrowser"},
	},
	{
		name: "container stopped and removed by hand",
		broken: func(t *testing.T, n *machine) {
			n.user(t, "systemctl --user stop archy-electrs-ui; podman rm -f -i archy-electrs-ui")
		},
		want: map[string]reconcile.Action{"electrs-ui": reconcile.Started}, restarted: []string{"archy-electrs-ui"},
	},
	{
		name:   "unit file deleted",
		broken: func(t *testing.T, n *machine) { n.user(t, "rm "+filebrowserUnit) },
		want:   map[string]reconcile.Action{"filebrowser": reconcile.Updated},
		check: func(t *testing.T, n *machine, _ reconcile.Result) {
			if !n.Exists(filebrowserUnit) {
				t.Error("the unit was not rewritten")
			}
			n.user(t, "systemctl --user is-active filebrowser")
		},
	},
	{
		name: "unit file deleted and systemd told so",
		broken: func(t *testing.T, n *machine) {
			n.user(t, "rm "+unitDir+"/archy-lnd-ui.container; systemctl --user daemon-reload")
		},
		want: map[string]reconcile.Action{"lnd-ui": reconcile.Updated},
		check: func(t *testing.T, n *machine, _ reconcile.Result) {
			n.user(t, "systemctl --user is-active archy-lnd-ui")
		},
	},
	{
		name:   "unit file edited",
		broken: func(t *testing.T, n *machine) { n.user(t, "sed -i s/RestartSec=10/RestartSec=11/ "+filebrowserUnit) },
		want:   map[string]reconcile.Action{"filebrowser": reconcile.Updated},
		check: func(t *testing.T, n *machine, r reconcile.Result) {
			if cause := app(t, r, "filebrowser").Cause; !strings.Contains(cause, "RestartSec") {
				t.Errorf("the cause does not name the line: %s", cause)
			}
			if !strings.Contains(n.read(t, filebrowserUnit), "RestartSec=10\n") {
				t.Error("the unit is not as it was")
			}
		},
	},
	{
		name: "every unit file deleted",
		broken: func(t *testing.T, n *machine) {
			n.user(t, "rm "+unitDir+"/*.container")
		},
		want: every(reconcile.Updated),
	},
	{
		name: "bitcoin.conf rpcauth changed",
		broken: func(t *testing.T, n *machine) {
			n.sh(t, `sed -i 's/^rpcauth=archipelago:.*/rpcauth=archipelago:00$00/' /var/lib/archipelago/bitcoin/bitcoin.conf`)
		},
		want: map[string]reconcile.Action{"bitcoin-knots": reconcile.Restarted}, restarted: []string{"bitcoin-knots"},
		follow: []string{"lnd"},
		check: func(t *testing.T, n *machine, r reconcile.Result) {
			if cause := app(t, r, "bitcoin-knots").Cause; !strings.Contains(cause, "rpcauth") {
				t.Errorf("the cause does not name the line: %s", cause)
			}
		},
	},
	{
		name: "nginx.conf of a page lost",
		broken: func(t *testing.T, n *machine) {
			n.user(t, "rm /var/lib/archipelago/bitcoin-ui/nginx.conf")
		},
		want: map[string]reconcile.Action{"bitcoin-ui": reconcile.Restarted}, restarted: []string{"archy-bitcoin-ui"},
	},
	{
		name: "podman secret removed",
		broken: func(t *testing.T, n *machine) {
			n.user(t, "podman secret rm archy.filebrowser.FB_PASSWORD")
		},
		want: map[string]reconcile.Action{"filebrowser": reconcile.Updated},
	},
	{
		name: "environment variable changed in a local manifest",
		broken: func(t *testing.T, n *machine) {
			n.local(t, "filebrowser", "    - FB_USERNAME=admin\n", "    - FB_USERNAME=admin\n    - FB_LOG=stdout\n")
		},
		want: map[string]reconcile.Action{"filebrowser": reconcile.Recreated}, restarted: []string{"filebrowser"},
		check: func(t *testing.T, n *machine, r reconcile.Result) {
			if got := n.user(t, "podman inspect -f '{{.Config.Env}}' filebrowser"); !strings.Contains(got, "FB_LOG=stdout") {
				t.Errorf("the container has %s", got)
			}
			if cause := app(t, r, "filebrowser").Cause; !strings.Contains(cause, "FB_LOG") {
				t.Errorf("the cause does not name the variable: %s", cause)
			}
		},
	},
	{
		name: "port changed in a local manifest",
		broken: func(t *testing.T, n *machine) {
			n.local(t, "filebrowser", "    - host: 8083\n", "    - host: 8093\n", "      port: 8083\n", "      port: 8093\n")
		},
		want: map[string]reconcile.Action{"filebrowser": reconcile.Recreated}, restarted: []string{"filebrowser"},
		check: func(t *testing.T, n *machine, _ reconcile.Result) {
			res, err := n.HTTP().Get("http://127.0.0.1:8093/health")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if _, err := n.HTTP().Get("http://127.0.0.1:8083/health"); err == nil {
				t.Error("the old port is still open")
			}
		},
	},
	{
		name: "memory limit changed in a local manifest",
		broken: func(t *testing.T, n *machine) {
			n.local(t, "mempool", "    memory_limit: 256Mi\n", "    memory_limit: 300Mi\n")
		},
		want: map[string]reconcile.Action{"mempool": reconcile.Recreated}, restarted: []string{"archy-mempool-web"},
		check: func(t *testing.T, n *machine, _ reconcile.Result) {
			unit := n.read(t, unitDir+"/archy-mempool-web.container")
			if n.delegated(t) && !strings.Contains(unit, "Memory=314572800") && !strings.Contains(unit, "300") {
				t.Errorf("the unit has another limit:\n%s", unit)
			}
		},
	},
	{
		name: "secret rotated",
		broken: func(t *testing.T, n *machine) {
			n.must(t, 0, "secrets", "rotate", "bitcoin-rpc-password")
		},
		want: map[string]reconcile.Action{"bitcoin-knots": reconcile.Restarted, "lnd": reconcile.Restarted, "electrumx": reconcile.Recreated,
			"mempool-api": reconcile.Recreated, "bitcoin-ui": reconcile.Restarted},
		restarted: []string{"bitcoin-knots", "lnd", "electrumx", "mempool-api", "archy-bitcoin-ui"},
		follow:    []string{"mempool"},
		check:     restartedOnce,
	},
}

func every(a reconcile.Action) map[string]reconcile.Action {
	all := map[string]reconcile.Action{}
	for id := range ten {
		all[id] = a
	}
	return all
}

func restartedOnce(t *testing.T, n *machine, r reconcile.Result) { n.startedOnce(t, r, ten) }

// startedOnce reads in the journal how often the containers of the last pass were made; names has them by app.
func (n *machine) startedOnce(t *testing.T, r reconcile.Result, names map[string]string) {
	t.Helper()
	since := r.StartedAt.Local().Format("2006-01-02 15:04:05")
	for id := range actions(r) {
		text := n.MustRoot(t, "journalctl", "--no-pager", "-o", "cat", "--since", since, "_SYSTEMD_USER_UNIT="+names[id]+".service", "+", "USER_UNIT="+names[id]+".service")
		if got := regexp.MustCompile(`(?m)^Started `+names[id]+`\.service`).FindAllString(text, -1); len(got) != 1 {
			t.Errorf("%s was started %d times:\n%s", id, len(got), text)
		}
	}
}

// delegated tells that the service user may limit memory here.
func (n *machine) delegated(t *testing.T) bool {
	t.Helper()
	controllers := strings.Fields(n.read(t, "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers"))
	return slices.Contains(controllers, "memory")
}

// TestUpgradeIsShownAndAppliedByForce: a newer reference in a manifest is never taken by itself.
func TestUpgradeIsShownAndAppliedByForce(t *testing.T) {
	t.Parallel()
	n := fresh(t)
	n.pass(t, 0, "--wait")
	before := n.healthy(t, "filebrowser")
	born := n.born(t)
	n.local(t, "filebrowser", "filebrowser:v2.27.0", "filebrowser:v2.27.0-next")
	r := n.pass(t, 0)
	const next = "docker.io/filebrowser/filebrowser:v2.27.0-next"
	if a := app(t, r, "filebrowser"); a.UpgradeAvailable != next || a.Changed {
		t.Errorf("%+v", a)
	}
	for _, command := range []string{"reconcile", "status"} {
		if text := n.must(t, 0, command).Stdout; !strings.Contains(text, "upgrade available") {
			t.Errorf("archy %s says:\n%s", command, text)
		}
	}
	onlyChanged(t, before, n.containers(t))
	r = n.pass(t, 0, "--force", "--container=filebrowser")
	if a := app(t, r, "filebrowser"); a.Action != reconcile.Recreated || a.Image != next {
		t.Errorf("%+v", a)
	}
	after := n.healthy(t, "filebrowser")
	if after["filebrowser"].Image != next {
		t.Errorf("%s runs", after["filebrowser"].Image)
	}
	onlyChanged(t, before, after, "filebrowser")
	if r := n.pass(t, 0); len(actions(r)) != 0 || app(t, r, "filebrowser").UpgradeAvailable != "" {
		t.Errorf("the next pass: %+v", r.Apps)
	}
	if now := n.born(t); now != born {
		t.Errorf("data were lost:\n%s", difference(born, now))
	}
}

// killedAgainAndAgain: at the latest the sixth kill within half an hour opens the breaker; then nobody starts the app but its owner.
func killedAgainAndAgain(t *testing.T, n *machine) {
	const id, dropIn = "filebrowser", "~/.config/systemd/user/filebrowser.service.d"
	// systemd waits longer and longer before each restart, up to five minutes; here it does not.
	n.user(t, "mkdir -p "+dropIn+"; printf '[Service]\nRestartSec=1\nRestartSteps=0\n' >"+dropIn+"/fast.conf; systemctl --user daemon-reload")
	defer n.user(t, "rm -r "+dropIn+"; systemctl --user daemon-reload")
	kills, open := 0, false
	var r reconcile.Result
	for ; kills < 6 && !open; kills++ {
		before := n.healthy(t, id)[id]
		n.user(t, "kill -9 $(podman inspect --format '{{.State.Pid}}' "+id+")")
		eventually(t, 2*time.Minute, "systemd has restarted it, or given up", func() (bool, string) {
			list, err := n.list()
			now, there := list[id]
			service := n.user(t, "systemctl --user show -p ActiveState "+id)
			return err == nil && there && now.State == "running" && now.StartedAt != before.StartedAt || strings.Contains(service, "=failed"), service + now.State
		})
		r = parse(t, n.archy("reconcile", "--json"))
		a := app(t, r, id)
		open = a.Error != nil && r.ExitCode == 3
		t.Logf("kill %d: %s %s (%s), breaker %+v", kills+1, a.State, a.Action, a.Cause, a.Breaker)
	}
	if a := app(t, r, id); !open || a.Error.Hint == "" {
		t.Fatalf("after %d kills: %s (%s), exit %d", kills, a.Action, a.Cause, r.ExitCode)
	}
	for range 2 {
		r := n.pass(t, 3)
		if a := app(t, r, id); !a.Breaker.Open || len(actions(r)) > 0 {
			t.Errorf("breaker %+v, %v", a.Breaker, actions(r))
		}
	}
	if c := n.containers(t)[id]; c.State == "running" {
		t.Error("with an open breaker it was started")
	}
	n.must(t, 0, "start", id)
	n.healthy(t, id)
	if a := app(t, n.pass(t, 0), id); a.Breaker.Open {
		t.Errorf("after its owner started it: %+v", a.Breaker)
	}
}
