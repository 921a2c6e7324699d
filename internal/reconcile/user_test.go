package reconcile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
)

// dashboards is an app of whose user only its data tell, as grafana is.
var dashboards = strings.Replace(manifestOf("dash", 3, strings.ReplaceAll(dataOf, "%s", "dash")), "v1.0\n", "v1.0\n    data_uid: \"100471:1000\"\n", 1)

// dataOwnedBy makes the directory of an app as an older release left it.
func (n *fakeNode) dataOwnedBy(app string, uid int, files ...string) {
	n.t.Helper()
	if os.Getuid() != 0 {
		n.t.Skip("only root can give a directory away")
	}
	dir := n.layout.Host(n.layout.Data(app))
	if err := os.Mkdir(dir, 0o750); err != nil {
		n.t.Fatal(err)
	}
	for _, name := range append(files, ".") {
		if name != "." {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("data"), 0o600); err != nil {
				n.t.Fatal(err)
			}
		}
		if err := os.Chown(filepath.Join(dir, name), uid, uid); err != nil {
			n.t.Fatal(err)
		}
	}
}

func (n *fakeNode) userOf(app string) string {
	unit, _ := os.ReadFile(n.layout.Host(n.layout.Unit(app)))
	return directive(unit, "User")
}

func TestUserFollowsData(t *testing.T) {
	for _, c := range []struct {
		name, manifest string
		owner          int
		files          []string
		want           string
	}{
		{"of an older release", dashboards, 100470, []string{"grafana.db"}, "471:0"},
		{"of an older release, empty", dashboards, 100470, nil, "471:0"},
		{"of its own user", dashboards, 100471, []string{"grafana.db"}, ""},
		{"of a user that no container has", dashboards, 12345, []string{"grafana.db"}, ""},
		{"of the service user", dashboards, 1000, []string{"grafana.db"}, "0:0"},
		{"empty and not yet given to its app", dashboards, 1000, nil, ""},
		{"of root", dashboards, 0, []string{"grafana.db"}, ""},
		{"an app with a user", dashboards + "  security:\n    user: \"999:5\"\n", 100470, []string{"db"}, "471:5"},
		{"an app that runs as root", dashboards + "  security:\n    user: \"0:0\"\n", 100470, []string{"db"}, "0:0"},
		{"an image that enters as root", dashboards + "  security:\n    capabilities: [CHOWN, SETGID, SETUID]\n", 100470, []string{"db"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t, map[string]string{"dash": c.manifest}).firstBootDone()
			n.facts.UID, n.facts.GID = 1000, 1000
			n.dataOwnedBy("dash", c.owner, c.files...)
			n.pass()
			if got := n.userOf("dash"); got != c.want {
				t.Errorf("it runs as %q, want %q", got, c.want)
			}
			pinned := n.record("dash").Pinned.User
			if c.owner == 100470 && c.want == "471:0" && pinned != c.want {
				t.Errorf("pinned %q", pinned)
			}
			n.converged()
		})
	}
}

// owner-matrix: data that an older release gave to one of its owners stay that owner's, the directory and all below it.
func TestIncident13OwnerMatrix(t *testing.T) {
	for _, owner := range []int{100000, 100070, 100100, 100999} {
		n := newNode(t, map[string]string{"dash": dashboards}).firstBootDone()
		n.facts.UID, n.facts.GID = 1000, 1000
		n.dataOwnedBy("dash", owner, "grafana.db")
		n.pass()
		n.converged()
		n.pass(func(o *Options) { o.Force = true })
		for _, name := range []string{"", "grafana.db"} {
			info, err := os.Stat(filepath.Join(n.layout.Host(n.layout.Data("dash")), name))
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Sys().(*syscall.Stat_t); int(got.Uid) != owner || int(got.Gid) != owner {
				t.Errorf("%q of %d has the owner %d:%d", name, owner, got.Uid, got.Gid)
			}
		}
	}
}

// TestUserOfAnAppThatHasRun: an app that has run as its own user on data of another one goes on as it is, also after a stop.
func TestUserOfAnAppThatHasRun(t *testing.T) {
	n := newNode(t, map[string]string{"dash": dashboards}).firstBootDone()
	n.facts.UID, n.facts.GID = 1000, 1000
	n.dataOwnedBy("dash", 100471, "grafana.db")
	n.pass()
	if err := os.Chown(n.layout.Host(n.layout.Data("dash")), 100470, 100470); err != nil {
		t.Fatal(err)
	}
	n.converged()
	n.drop(n.containers["dash"])
	n.pass()
	if got := n.userOf("dash"); got != "" {
		t.Errorf("it runs as %q", got)
	}
	n.converged()
}

// TestUserGoesWithTheData: data that are away take their user with them.
func TestUserGoesWithTheData(t *testing.T) {
	n := newNode(t, map[string]string{"dash": dashboards}).firstBootDone()
	n.facts.UID, n.facts.GID = 1000, 1000
	n.dataOwnedBy("dash", 100470, "grafana.db")
	n.pass()
	n.converged()
	dir := n.layout.Host(n.layout.Data("dash"))
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o750), os.Chown(dir, 1000, 1000)); err != nil { // as its owner does
		t.Fatal(err)
	}
	n.drop(n.containers["dash"])
	n.pass()
	if got := n.record("dash").Pinned.User; got != "" || n.userOf("dash") != "" {
		t.Errorf("it runs as %q, pinned %q", n.userOf("dash"), got)
	}
}

// TestUserAfterALostRecord: the unit says whose data it has.
func TestUserAfterALostRecord(t *testing.T) {
	n := newNode(t, map[string]string{"dash": dashboards}).firstBootDone()
	n.facts.UID, n.facts.GID = 1000, 1000
	n.dataOwnedBy("dash", 100470, "grafana.db")
	n.pass()
	n.later(time.Minute)
	if err := os.Remove(n.layout.Host(n.layout.State("apps", "dash.json"))); err != nil {
		t.Fatal(err)
	}
	if plan := n.plan(); len(plan.Ops) != 1 || plan.Ops[0].Kind != Adopt {
		t.Errorf("plan:\n%s", plan)
	}
	n.pass()
	n.converged()
	if got := n.record("dash").Pinned.User; got == "" || got != n.userOf("dash") {
		t.Errorf("it runs as %q, pinned %q", n.userOf("dash"), got)
	}
}

func TestMigrationTakesUserAndNamesOver(t *testing.T) {
	text := dashboards + "  environment: [POSTGRES_USER=dash, POSTGRES_DB=dash, POSTGRES_INITDB_ARGS=--data-checksums]\n"
	n := newNode(t, map[string]string{"dash": text}).firstBootDone()
	n.facts.UID, n.facts.GID = 1000, 1000
	n.dataOwnedBy("dash", 100470, "grafana.db")
	n.script("dash", "docker.io/example/dash:v0.9", func(i *podman.Inspect) {
		i.Env = podman.Env{"POSTGRES_USER=postgres", "POSTGRES_DB=dash", "POSTGRES_PASSWORD=" + marker, "MARIADB_VERSION=1:10.11.8"}
	})
	if got := n.result(n.pass(migrateAll), "dash"); got.Action != Migrated {
		t.Fatalf("%+v", got)
	}
	pinned := n.record("dash").Pinned
	if pinned.User != "471:0" || len(pinned.Env) != 1 || pinned.Env["POSTGRES_USER"] != "postgres" {
		t.Errorf("pinned %+v", pinned)
	}
	unit, _ := os.ReadFile(n.layout.Host(n.layout.Unit("dash")))
	if !strings.Contains(string(unit), "POSTGRES_USER=postgres") || n.userOf("dash") != "471:0" {
		t.Errorf("unit:\n%s", unit)
	}
	n.converged()
}
