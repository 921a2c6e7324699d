package node_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node"
	"git.tx1138.com/lfg2025/archy/test/node/registry"
)

const (
	mariadb = "docker.io/library/mariadb:10.11"
	data    = "/var/lib/archipelago"
)

// within gives a test's calls a limit.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits for something that the node does by itself.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Since(start) > 30*time.Second {
			t.Fatalf("after 30 s still not: %s", what)
		}
	}
}

// database runs the database's stand-in with its data on the node's disk.
func database(t *testing.T, n *node.Node, extra ...string) {
	t.Helper()
	args := []string{"podman", "run", "-d", "--name", "db", "-v", data + "/db:/var/lib/mysql",
		"-e", "MARIADB_USER=mempool", "-e", "MARIADB_PASSWORD=one", "-e", "MARIADB_ROOT_PASSWORD=two",
		"--health-cmd", "mariadb-admin ping -h 127.0.0.1 --protocol=tcp", "--health-interval", "1s", "--health-retries", "2"}
	n.MustUser(t, "mkdir", "-p", data+"/db")
	n.MustUser(t, append(append(args, extra...), mariadb)...)
}

func health(n *node.Node, name string) string {
	res := n.User(context.Background(), "podman", "inspect", "-f", "{{.State.Health.Status}}", name)
	return strings.TrimSpace(res.Stdout)
}

func kept(t *testing.T, n *node.Node, file string) string {
	t.Helper()
	text, err := n.ReadFile(data + "/db/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func TestDataSurvivesAPowerCut(t *testing.T) {
	n := node.UpT(t, node.Options{})
	ctx := within(t, time.Minute)
	database(t, n)
	eventually(t, "db healthy", func() bool { return health(n, "db") == "healthy" })
	born := kept(t, n, "born")

	n.Cut()
	if res := n.User(ctx, "true"); res.Err == nil {
		t.Error("a command ran in a node without power")
	}
	if err := n.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	if got := kept(t, n, "born"); got != born {
		t.Errorf("born is %q after the cut, was %q", got, born)
	}
	n.MustUser(t, "podman", "start", "db")
	eventually(t, "db healthy again", func() bool { return health(n, "db") == "healthy" })
	if got := kept(t, n, "unclean"); got != "1" {
		t.Errorf("the server noticed %s unclean ends, want 1", got)
	}

	n.MustUser(t, "podman", "stop", "db")
	if n.Exists(data + "/db/running") {
		t.Error("an orderly stop left the server's running marker")
	}
	if err := n.Reboot(ctx); err != nil {
		t.Fatal(err)
	}
	if got := kept(t, n, "born"); got != born {
		t.Errorf("born is %q after the reboot, was %q", got, born)
	}
}

func TestHealthFollowsTheServer(t *testing.T) {
	n := node.UpT(t, node.Options{})
	database(t, n)
	eventually(t, "healthy", func() bool { return health(n, "db") == "healthy" })
	fault := data + "/db/standin.fault"
	if err := n.WriteFile(fault, []byte("STANDIN_UNHEALTHY=1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "unhealthy", func() bool { return health(n, "db") == "unhealthy" })
	n.MustRoot(t, "rm", fault)
	eventually(t, "healthy again", func() bool { return health(n, "db") == "healthy" })

	if err := n.WriteFile(fault, []byte("STANDIN_CRASH_AFTER=1s\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code := strings.TrimSpace(n.MustUser(t, "podman", "wait", "db")); code != "139" {
		t.Errorf("the server crashed with %s, want 139", code)
	}
}

func TestEveryVariantDoesWhatItsTagSays(t *testing.T) {
	n := node.UpT(t, node.Options{})
	env := []string{"-e", "MARIADB_USER=mempool", "-e", "MARIADB_PASSWORD=one", "-e", "MARIADB_ROOT_PASSWORD=two"}
	ctx := within(t, time.Minute)
	run := append([]string{"podman", "run", "--name", "bad"}, env...)
	res := n.User(ctx, append(run, mariadb+registry.Bad)...)
	if res.Code != 1 || !strings.Contains(res.Stderr, "mariadbd: fatal: cannot start") {
		t.Errorf("the bad variant ended with %d and said:\n%s", res.Code, res.Stderr)
	}
	for suffix, want := range map[string]int{registry.Sick: 1, registry.Next: 0} {
		name := "db" + suffix
		run := append([]string{"podman", "run", "-d", "--name", name}, env...)
		n.MustUser(t, append(run, mariadb+suffix)...)
		ping := func() int {
			return n.User(ctx, "podman", "exec", name, "mariadb-admin", "ping", "-h", "127.0.0.1", "--protocol=tcp").Code
		}
		if want == 0 {
			eventually(t, name+" answers", func() bool { return ping() == 0 })
			continue
		}
		time.Sleep(time.Second)
		if ping() == 0 {
			t.Errorf("%s answers its health check", name)
		}
	}
}

// TestQuadletWaitsForHealth: Notify=healthy holds the start job until the first good check.
func TestQuadletWaitsForHealth(t *testing.T) {
	n := node.UpT(t, node.Options{})
	unit := "[Container]\nContainerName=web\nImage=docker.io/filebrowser/filebrowser:v2.27.0\n" +
		"Environment=STANDIN_SLOW=2s FB_DATABASE=/srv/db\nHealthCmd=wget -q -O /dev/null http://127.0.0.1:80/health\n" +
		"HealthInterval=1s\nNotify=healthy\n[Service]\nTimeoutStartSec=60\n"
	if err := n.WriteFile("/home/archipelago/.config/containers/systemd/web.container", []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	n.MustUser(t, "podman", "pull", "-q", "docker.io/filebrowser/filebrowser:v2.27.0")
	n.MustUser(t, "systemctl", "--user", "daemon-reload")
	start := time.Now()
	n.MustUser(t, "systemctl", "--user", "start", "web.service")
	if took := time.Since(start); took < 2*time.Second {
		t.Errorf("the start job was done after %s, before the server served", took)
	}
	if got := health(n, "web"); got != "healthy" {
		t.Errorf("web is %q after its start job", got)
	}
}

func TestUserHasASession(t *testing.T) {
	n := node.UpT(t, node.Options{})
	if got := n.MustUser(t, "sh", "-c", "id -un; sudo -n id -un; echo $XDG_RUNTIME_DIR $HOME; pwd"); got !=
		"archipelago\nroot\n/run/user/1000 /home/archipelago\n/home/archipelago\n" {
		t.Errorf("the session says:\n%s", got)
	}
	n.MustUser(t, "busctl", "--user", "status")
	if got := n.MustUser(t, "curl", "-sf", "--unix-socket", "/run/user/1000/podman/podman.sock", "http://podman/_ping"); got != "OK" {
		t.Errorf("the podman socket says %q", got)
	}
	if got := n.MustRoot(t, "stat", "-c", "%U %a", "/run/archy"); got != "archipelago 755\n" {
		t.Errorf("/run/archy is %s", got)
	}
	info := n.MustUser(t, "podman", "info", "-f", "{{.Store.GraphRoot}} {{.Store.GraphDriverName}} {{.Host.Security.Rootless}}")
	if want := data + "/containers/storage overlay true\n"; info != want {
		t.Errorf("podman says %q, want %q", info, want)
	}
}

func TestKillMinusNine(t *testing.T) {
	n := node.UpT(t, node.Options{})
	p, err := n.UserStart(within(t, time.Minute), "sleep", "1000")
	if err != nil {
		t.Fatal(err)
	}
	comm := fmt.Sprintf("/proc/%d/comm", p.PID())
	eventually(t, "the PID is the program's", func() bool {
		name, _ := os.ReadFile(comm)
		return string(name) == "sleep\n"
	})
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if res := p.Wait(); res.Code != 128+9 || res.Err != nil {
		t.Errorf("ended with %d (%v), want 137", res.Code, res.Err)
	}
	if got := strings.TrimSpace(n.MustRoot(t, "sh", "-c", "pgrep -x -a sleep || true")); strings.Contains(got, "1000") {
		t.Errorf("still there: %s", got)
	}
}

// TestNobodyWaited: a program that was started and forgotten, as by a test that failed meanwhile, does not keep the node
// from being switched off.
func TestNobodyWaited(t *testing.T) {
	n := node.UpT(t, node.Options{})
	for range 2 {
		if _, err := n.UserStart(t.Context(), "sleep", "1000"); err != nil {
			t.Fatal(err)
		}
	}
	gone := make(chan struct{})
	go func() { n.Cut(); close(gone) }()
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Fatal("the node is still there a minute after its power was cut")
	}
}

// TestFilesStayInTheNode: a link in the node to an absolute path leads into the node, not to this machine.
func TestFilesStayInTheNode(t *testing.T) {
	n := node.UpT(t, node.Options{})
	n.MustRoot(t, "ln", "-s", "/etc/archy-test-link-target", "/etc/link")
	if err := n.WriteFile("/etc/link", []byte("text"), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat("/etc/archy-test-link-target"); err == nil {
		t.Fatal("the file was written on this machine")
	}
	if got := n.MustRoot(t, "stat", "-c", "%U %a %s", "/etc/archy-test-link-target"); got != "root 640 4\n" {
		t.Errorf("in the node it is %s", got)
	}
	if err := n.WriteFile(data+"/a/b/c", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := n.MustRoot(t, "stat", "-c", "%U %a", data+"/a", data+"/a/b/c"); got != "archipelago 755\narchipelago 600\n" {
		t.Errorf("below the data directory: %s", got)
	}
}

func TestLAN(t *testing.T) {
	n := node.UpT(t, node.Options{LAN: true})
	if got := n.MustUser(t, "ip", "-4", "route", "get", "198.51.100.1"); !strings.Contains(got, "dev lan0 src "+node.LANAddr) {
		t.Errorf("the route out: %s", got)
	}
	want := registry.Wanted{Name: "x", Ref: "docker.io/example/x:1", Ports: []string{"80"}, Data: "/data"}
	if err := n.StandIn(within(t, time.Minute), want); err != nil {
		t.Fatal(err)
	}
	n.MustUser(t, "podman", "run", "-d", "--network", "pasta", "-p", "8083:80", "-v", data+":/data", want.Ref)
	for _, addr := range []string{"127.0.0.1", node.LANAddr} {
		eventually(t, "x answers at "+addr, func() bool {
			res, err := n.HTTP().Get("http://" + addr + ":8083/")
			if err != nil {
				return false
			}
			return res.Body.Close() == nil
		})
	}
	if !n.Exists(data + "/born") {
		t.Error("the server left nothing in its data directory")
	}
}

func TestTwoNodesDoNotMeet(t *testing.T) {
	one, two := node.UpT(t, node.Options{}), node.UpT(t, node.Options{})
	for _, n := range []*node.Node{one, two} {
		database(t, n)
		eventually(t, "the database has begun", func() bool { return health(n, "db") == "healthy" })
	}
	if kept(t, one, "born") == kept(t, two, "born") {
		t.Error("they share a disk")
	}
	one.Cut()
	eventually(t, "two goes on", func() bool { return health(two, "db") == "healthy" })
	eventually(t, "two is whole", func() bool {
		return two.Root(context.Background(), "systemctl", "is-system-running").Stdout == "running\n"
	})
}

// TestNodeDiesWithItsProcess boots a node from another process and kills that one.
func TestNodeDiesWithItsProcess(t *testing.T) {
	node.Need(t)
	if dir := os.Getenv("ARCHY_TEST_HOLD"); dir != "" {
		if _, err := node.Up(context.Background(), node.Options{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		select {}
	}
	cache, err := node.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "nodes", strconv.Itoa(os.Getpid())+"-held")
	t.Cleanup(func() { os.RemoveAll(dir) })
	holder := exec.Command(os.Args[0], "-test.run=^TestNodeDiesWithItsProcess$")
	holder.Env = append(os.Environ(), "ARCHY_TEST_HOLD="+dir)
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	var n *node.Node
	eventually(t, "the node is up", func() bool {
		n, err = node.Attach(dir)
		return err == nil
	})
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	gone := make(chan struct{})
	go func() { n.Wait(); close(gone) }()
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		n.Cut()
		t.Error("the node lives on")
	}
}
