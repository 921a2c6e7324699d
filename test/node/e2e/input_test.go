package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/test/node"
)

const (
	socket   = "/run/user/1000/podman/podman.sock"
	dbUnit   = unitDir + "/archy-mempool-db.container"
	database = "archy-mempool-db"
)

// TestBadInput: whatever archy is given, it says what is wrong and what to do, within its time limit, and touches nothing.
func TestBadInput(t *testing.T) {
	t.Parallel()
	n := fresh(t)
	n.pass(t, 0, "--wait")
	n.pass(t, 0, "--create-missing", "--container="+database)
	n.healthy(t, "filebrowser", database)
	t.Run("podman", func(t *testing.T) { badPodman(t, n) })
	t.Run("user manager", func(t *testing.T) { noBus(t, n) })
	t.Run("data volume", func(t *testing.T) { noVolume(t, n) })
	t.Run("manifests", func(t *testing.T) { badManifests(t, n) })
	t.Run("command line", func(t *testing.T) { badCommands(t, n) })
	t.Run("full disk", func(t *testing.T) { fullDisk(t, n) })
}

// refused: archy exits with code, with an error of that class and a hint, and nothing is touched.
func (n *machine) refused(t *testing.T, code int, class string, limit time.Duration, args ...string) {
	t.Helper()
	files := forget(n.files(t), "/run/archy")
	start := time.Now()
	res := n.must(t, code, args...)
	if !strings.Contains(res.Stderr, "error: ") || !strings.Contains(res.Stderr, "hint: ") || res.Stdout != "" {
		t.Errorf("it says on stdout:\n%s\non stderr:\n%s", res.Stdout, res.Stderr)
	}
	// A busy machine may take a while: what counts is that a limit of archy's own ended it, and not the test's.
	if took := time.Since(start); took > 4*limit {
		t.Errorf("it took %s, want about %s at most", took, limit)
	}
	var doc struct {
		ExitCode int `json:"exit_code"`
		Error    struct{ Code, Message, Hint string }
	}
	if limit < 20*time.Second {
		out := n.must(t, code, append(args, "--json")...).Stdout
		if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Error.Code != class || doc.ExitCode != code || doc.Error.Hint == "" {
			t.Errorf("with --json: %v, %s", err, out)
		}
	}
	if got := difference(files, forget(n.files(t), "/run/archy")); got != "" {
		t.Errorf("files changed:\n%s", got)
	}
}

// forAPerson: archy exits with code 6, names podman's state, and says what would mend it and what that costs. It touches nothing but the
// record of what it found.
func (n *machine) forAPerson(t *testing.T, state heal.State) {
	t.Helper()
	records := []string{"/run/archy", "/var/lib/archipelago/state/reconcile-last.json", "/var/lib/archipelago/state d"}
	files := forget(n.files(t), records...)
	res := n.must(t, 6, "reconcile")
	told(t, res.Stdout, []string{"could not be asked", string(state)})
	told(t, res.Stderr, []string{"error: podman is " + string(state) + ": ", "still works: ", database, "filebrowser", "not done: ", "costs: "})
	var doc reconcile.Result
	out := n.must(t, 6, "reconcile", "--json").Stdout
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.ExitCode != 6 || doc.Podman.State != string(state) || doc.Podman.Human == nil {
		t.Errorf("with --json: %v, %s", err, out)
	}
	if got := difference(files, forget(n.files(t), records...)); got != "" {
		t.Errorf("files changed:\n%s", got)
	}
}

// badPodman: what archy may mend by itself it mends, once an hour; everything else is told.
func badPodman(t *testing.T, n *machine) {
	before := n.containers(t)
	n.user(t, "systemctl --user stop podman.socket podman.service; rm -f "+socket)
	t.Run("absent", func(t *testing.T) {
		n.refused(t, 1, "podman-unreachable", 15*time.Second, "status")
		told(t, n.must(t, 0, "reconcile").Stderr, []string{"rung 2: restart podman.socket: done"})
	})
	t.Run("nobody listens", func(t *testing.T) {
		n.user(t, "systemctl --user stop podman.socket podman.service; rm -f "+socket)
		n.fake(t, nil)()
		n.forAPerson(t, heal.SocketDown)
	})
	t.Run("hangs", func(t *testing.T) {
		defer n.fake(t, func(c net.Conn) { time.Sleep(2 * time.Minute) })()
		n.refused(t, 1, "podman-unreachable", 45*time.Second, "reconcile")
	})
	for name, a := range map[string]struct{ class, answer string }{
		"something else": {"podman-unreachable", "SSH-2.0-OpenSSH_10.0\r\n"},
		"not JSON":       {"podman-unreachable", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n<html>it works</html>"},
		"half of it":     {"podman-unreachable", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n[{\"Id\":"},
		"an error":       {"podman", "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\n{\"message\":\"database is locked\"}"},
	} {
		t.Run("answers with "+name, func(t *testing.T) {
			defer n.fake(t, func(c net.Conn) {
				_, _ = c.Read(make([]byte, 4096))
				fmt.Fprint(c, a.answer)
			})()
			n.refused(t, 1, a.class, 15*time.Second, "reconcile")
		})
	}
	n.user(t, "rm -f "+socket+"; systemctl --user start podman.socket")
	n.pass(t, 0)
	onlyChanged(t, before, n.containers(t))
}

// fake puts a server in podman's place; the function it returns ends it and leaves the socket as it is.
func (n *machine) fake(t *testing.T, serve func(net.Conn)) (end func()) {
	t.Helper()
	path := fmt.Sprintf("/proc/%d/root%s", n.PID(), socket)
	_ = os.Remove(path)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chown(path, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return func() { l.Close() }
}

func noBus(t *testing.T, n *machine) {
	before := n.containers(t)
	n.sh(t, "mv /run/user/1000/bus /run/user/1000/bus.off")
	n.forAPerson(t, heal.NoUserBus)
	n.refused(t, 1, "user-bus-unreachable", 15*time.Second, "status")
	n.sh(t, "mv /run/user/1000/bus.off /run/user/1000/bus")
	n.pass(t, 0)
	onlyChanged(t, before, n.containers(t))
}

// noVolume: incident 17, a data disk that was not mounted.
func noVolume(t *testing.T, n *machine) {
	before := n.containers(t)
	n.write(t, "/etc/archipelago/volume-id", "a-1\n")
	n.refused(t, 6, "data-volume", 15*time.Second, "reconcile")
	n.refused(t, 6, "data-volume", 15*time.Second, "secrets", "gen")
	t.Run("an empty mount point", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for _, args := range []string{"reconcile --create-missing", "secrets gen", "adopt"} {
			res := n.Run(ctx, node.Cmd{Args: []string{"unshare", "-m", "sh", "-c", `mount -t tmpfs -o uid=1000,gid=1000 tmpfs /var/lib/archipelago
				archy --as-service-user ` + args + ` >&2; echo "exit code $?"; find /var/lib/archipelago -mindepth 1`}})
			if res.Stdout != "exit code 6\n" || !strings.Contains(res.Stderr, "hint: ") {
				t.Errorf("archy %s: %s%s", args, res.Stdout, res.Stderr)
			}
		}
	})
	n.sh(t, "rm /etc/archipelago/volume-id")
	n.pass(t, 0)
	onlyChanged(t, before, n.containers(t))
}

// fault is something wrong in a manifest, and how it is told.
type fault struct {
	name, old, new string
	want           []string
}

var faults = []fault{
	{"a duplicate key", "  id: archy-mempool-db\n", "  id: archy-mempool-db\n  id: archy-mempool-db\n", []string{"manifest.yml:3", "id"}},
	{"a clash of ports", "  volumes:\n", "  ports:\n    - host: 8083\n      container: 3306\n      auth: gated\n  volumes:\n", []string{"8083", "filebrowser"}},
	{"a dependency cycle", "  resources:\n", "  dependencies:\n    - app_id: mempool-api\n      condition: started\n  resources:\n",
		[]string{"archy-mempool-db -> mempool-api -> archy-mempool-db"}},
	{"a bind mount outside the data directory", "/var/lib/archipelago/mysql-mempool", "/etc/mysql", []string{"manifest.yml:", "/etc/mysql"}},
	{"an image without a tag", "mariadb:10.11", "mariadb", []string{"manifest.yml:", "mariadb", "tag"}},
	{"no YAML at all", "app:", "app: [", []string{"manifest.yml"}},
}

// badManifests: a fault is found by lint and by a pass, before anything is changed; the other apps still converge.
func badManifests(t *testing.T, n *machine) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			before := n.containers(t)
			unit := n.read(t, dbUnit)
			n.local(t, database, f.old, f.new)
			n.user(t, "rm "+filebrowserUnit)
			told(t, n.must(t, 1, "apps", "lint").Stdout, f.want)
			res := n.must(t, 3, "reconcile", "--json")
			told(t, res.Stderr, f.want)
			r := parse(t, res)
			if a := app(t, r, database); a.Class != reconcile.ClassFailed || a.Changed || a.Error == nil {
				t.Errorf("the broken app: %+v", a)
			}
			if a := app(t, r, "filebrowser"); a.Action != reconcile.Updated {
				t.Errorf("the other app: %s (%s)", a.Action, a.Cause)
			}
			onlyChanged(t, before, n.containers(t))
			if !n.Exists(filebrowserUnit) || n.read(t, dbUnit) != unit {
				t.Error("the units are not as they should be")
			}
			n.shipped(t, database)
			n.must(t, 0, "reconcile", "--check-only", "--exit-code")
		})
	}
	t.Run("a limit that does not parse", func(t *testing.T) {
		// An error to lint. A pass goes on without the limit: a node whose backend takes the file must not lose the app.
		n.local(t, database, "1Gi", "1Gigabyte")
		told(t, n.must(t, 1, "apps", "lint").Stdout, []string{"manifest.yml:30: app.resources.memory_limit", "1Gigabyte"})
		told(t, n.must(t, 0, "reconcile", "--verbose").Stderr, []string{"manifest.yml:30: warning:", "1Gigabyte"})
		n.shipped(t, database)
		n.pass(t, 0)
	})
	t.Run("an unknown field is a warning", func(t *testing.T) {
		before := n.containers(t)
		n.local(t, database, "  name: Mempool database\n", "  name: Mempool database\n  colour: blue\n")
		told(t, n.must(t, 0, "apps", "lint").Stdout, []string{"warning", "colour", "manifest.yml:4"})
		n.must(t, 1, "apps", "lint", "--strict")
		if r := n.pass(t, 0); app(t, r, database).Class != reconcile.ClassOK {
			t.Errorf("%+v", app(t, r, database))
		}
		onlyChanged(t, before, n.containers(t))
		n.shipped(t, database)
		n.pass(t, 0)
	})
}

func told(t *testing.T, text string, want []string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("it does not say %q:\n%s", w, text)
		}
	}
}

func badCommands(t *testing.T, n *machine) {
	before, files := n.containers(t), n.files(t)
	for _, args := range [][]string{{"reconcile", "--container=nobody"}, {"reconcile", "--interval=1s"}, {"reconcile", "extra"},
		{"adopt", "nobody"}, {"reconcile", "--no-such-flag"}, {"recncile"}} {
		res := n.must(t, 2, args...)
		if !strings.Contains(res.Stderr, "error: ") || res.Stdout != "" {
			t.Errorf("archy %s says:\n%s%s", strings.Join(args, " "), res.Stdout, res.Stderr)
		}
	}
	for _, text := range []string{"bitcoin:\n  prune: a lot\n", "no_such_key: 1\n", "bitcoin: [\n"} {
		n.write(t, "/etc/archipelago/archy.yaml", text)
		if res := n.must(t, 2, "reconcile"); !strings.Contains(res.Stderr, "archy.yaml") {
			t.Errorf("the configuration %q: %s", text, res.Stderr)
		}
	}
	n.write(t, "/etc/archipelago/archy.yaml", "bitcoin:\n  prune: 0\n")
	res := n.Root(context.Background(), "archy", "reconcile")
	if res.Code != 2 || !strings.Contains(res.Stderr, "archipelago") {
		t.Errorf("as root: %d, %s", res.Code, res.Stderr)
	}
	if got := difference(forget(files, "archy.yaml"), forget(n.files(t), "archy.yaml")); got != "" {
		t.Errorf("files changed:\n%s", got)
	}
	onlyChanged(t, before, n.containers(t))
}

// fullDisk: a write that finds no room leaves the old content, the app goes on, and with room the next pass converges.
func fullDisk(t *testing.T, n *machine) {
	for name, dir := range map[string]string{"of the units": unitDir, "of archy's state": dataDir + "/state"} {
		t.Run(name, func(t *testing.T) {
			mark := "FULL=" + name[len(name)-5:]
			n.sh(t, fmt.Sprintf(`cp -a %[1]s /var/tmp/kept; mount -t tmpfs -o size=256k,uid=1000,gid=1000,mode=700 tmpfs %[1]s; cp -a /var/tmp/kept/. %[1]s/
				dd if=/dev/zero of=%[1]s/filler bs=4k 2>/dev/null || true; chown archipelago: %[1]s/filler`, dir))
			defer n.sh(t, "umount -l "+dir+" 2>/dev/null || true; rm -rf /var/tmp/kept")
			before, unit := n.containers(t), n.read(t, filebrowserUnit)
			n.local(t, "filebrowser", "    - FB_USERNAME=admin\n", "    - FB_USERNAME=admin\n    - "+strings.TrimSpace(mark)+"\n")
			res := n.archy("reconcile")
			if res.Code != 6 || !strings.Contains(res.Stderr, "no space left") || !strings.Contains(res.Stderr, dataDir) {
				t.Errorf("exit code %d\n%s%s", res.Code, res.Stdout, res.Stderr)
			}
			onlyChanged(t, before, n.containers(t))
			if now := n.read(t, filebrowserUnit); now != unit {
				t.Errorf("the unit is\n%s", now)
			}
			k := killer{machine: n}
			k.whole(t)
			n.sh(t, "rm "+dir+"/filler")
			n.pass(t, 0)
			n.must(t, 0, "reconcile", "--check-only", "--exit-code")
			onlyChanged(t, before, n.containers(t), "filebrowser")
			n.sh(t, fmt.Sprintf("rm -rf /var/tmp/kept; cp -a %[1]s /var/tmp/kept; umount %[1]s; cp -a /var/tmp/kept/. %[1]s/", dir))
		})
	}
}
