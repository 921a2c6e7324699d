package verbs_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

// TestTheDayOfAnOwner shares one node, one step after the other. Most of both tests is waiting, so they run side by side.
func TestTheDayOfAnOwner(t *testing.T) {
	t.Parallel()
	n := fresh(t)
	n.archy(t, 0, "install", "filebrowser", "archy-mempool-db")
	t.Run("a slow app is given its grace", func(t *testing.T) { slowStop(t, n) })
	t.Run("upgrade to another image that works", func(t *testing.T) { upgradeNext(t, n) })
	t.Run("upgrade to an image that ends at once", func(t *testing.T) { upgradeBad(t, n) })
	t.Run("upgrade of a stopped app", func(t *testing.T) { upgradeStopped(t, n) })
	t.Run("logs without secrets, a hundred thousand lines", func(t *testing.T) { longLog(t, n) })
	t.Run("data go to the trash and come to an end there", func(t *testing.T) { purge(t, n) })
	t.Run("prune removes what bears archy's mark and nobody needs", func(t *testing.T) { prune(t, n) })
	t.Run("what was stopped and what was removed stay so over a reboot", func(t *testing.T) { reboot(t, n) })
}

const fileBrowser = "docker.io/filebrowser/filebrowser:v2.27.0"

// slowStop, incident 8: the app needs fifteen seconds to end, podman would give it ten, and it has thirty.
func slowStop(t *testing.T, n machine) {
	fault := dataDir + "/filebrowser/db/standin.fault"
	n.sh(t, "echo STANDIN_STOP=15s > "+fault)
	time.Sleep(4 * time.Second) // it reads the file once a second
	a := n.verb(t, 0, "filebrowser", "stop", "filebrowser")
	if a.Action != reconcile.Stopped || a.DurationMS < 15000 {
		t.Errorf("%s after %d ms", a.Action, a.DurationMS)
	}
	n.sh(t, "rm "+fault)
	if n.Exists(dataDir + "/filebrowser/db/running") {
		t.Error("it was killed before it had ended")
	}
	n.verb(t, 0, "filebrowser", "start", "filebrowser")
	if n.Exists(dataDir + "/filebrowser/db/unclean") {
		t.Error("the next start found traces of an unclean end")
	}
}

func upgradeNext(t *testing.T, n machine) {
	other := n.container(t, "archy-mempool-db")
	if a := n.verb(t, 0, "filebrowser", "upgrade", "filebrowser", "--to", "v2.27.0-next"); a.Action != reconcile.Recreated {
		t.Errorf("%s: %s", a.Action, a.Cause)
	}
	c, r := n.container(t, "filebrowser"), n.record(t, "filebrowser")
	if c.Image != fileBrowser+"-next" || r.Image != c.Image || r.PreviousImages[0] != fileBrowser {
		t.Errorf("container %+v, record %+v", c, r)
	}
	if n.container(t, "archy-mempool-db") != other {
		t.Error("another app was touched")
	}
	n.quiet(t)
}

// upgradeBad, incident 2: the previous image runs again, and no pass tries the bad one.
func upgradeBad(t *testing.T, n machine) {
	a := n.verb(t, 3, "filebrowser", "upgrade", "filebrowser", "--to", "v2.27.0-bad")
	if a.Action != reconcile.RolledBack || a.Error == nil || a.Error.Hint == "" {
		t.Errorf("%s: %+v", a.Action, a.Error)
	}
	c, r := n.container(t, "filebrowser"), n.record(t, "filebrowser")
	if c.Image != fileBrowser+"-next" || !c.Running || r.Image != c.Image {
		t.Errorf("container %+v, record %+v", c, r)
	}
	n.archy(t, 0, "health", "filebrowser")
	n.quiet(t)
}

func upgradeStopped(t *testing.T, n machine) {
	n.verb(t, 0, "filebrowser", "stop", "filebrowser")
	n.verb(t, 0, "filebrowser", "upgrade", "filebrowser", "--to", fileBrowser)
	if c, r := n.container(t, "filebrowser"), n.record(t, "filebrowser"); c.Running || r.Image != fileBrowser {
		t.Errorf("container %+v, record %+v", c, r)
	}
	n.quiet(t)
	n.verb(t, 0, "filebrowser", "start", "filebrowser")
	if c := n.container(t, "filebrowser"); c.Image != fileBrowser || !c.Running {
		t.Errorf("container %+v", c)
	}
}

// longLog: the journal of a service of the app's name holds a secret in each of a hundred thousand lines.
func longLog(t *testing.T, n machine) {
	const lines = 100000
	secret := strings.TrimSpace(n.sh(t, "cat "+dataDir+"/secrets/mempool-db-password"))
	n.sh(t, "mkdir -p /etc/systemd/journald.conf.d; printf '[Journal]\\nRateLimitIntervalSec=0\\n' > /etc/systemd/journald.conf.d/no-limit.conf; systemctl restart systemd-journald")
	n.user(t, fmt.Sprintf(`systemd-run --user --quiet --wait --unit=archy-mempool-web.service -p ExitType=cgroup sh -c 'p=$(cat %s/secrets/mempool-db-password); seq %d | sed "s/$/ password=$p end/"'`, dataDir, lines))
	n.sh(t, "journalctl --sync")
	out := n.user(t, fmt.Sprintf("archy logs -n all mempool > /tmp/log; grep -c 'password=hidden end' /tmp/log; grep -c %q /tmp/log || true; tail -1 /tmp/log", secret))
	got := strings.Split(strings.TrimSpace(out), "\n")
	if len(got) != 3 || got[0] != fmt.Sprint(lines) || got[1] != "0" || !strings.Contains(got[2], fmt.Sprint(lines)) && !strings.Contains(got[2], "archy-mempool-web") {
		t.Errorf("lines without the secret, lines with it, the last line: %q", got)
	}
	if res := n.archy(t, 0, "logs", "-n", "2", "mempool", "--json"); strings.Count(res.Stdout, `"app":"mempool"`) != 2 {
		t.Errorf("--json prints\n%s", res.Stdout)
	}
	followed(t, n, secret)
}

// followed: with -f the lines come as they are said, masked, and the process stays small.
func followed(t *testing.T, n machine, secret string) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	p, err := n.UserStart(ctx, "sh", "-c", "exec archy logs -f -n all mempool > /tmp/followed")
	if err != nil {
		t.Fatal(err)
	}
	// The journal learns which unit a line is of from its process: one that has ended meanwhile is of none (systemd-journald
	// reads /proc/PID/cgroup), so this one stays.
	n.user(t, fmt.Sprintf(`systemd-run --user --quiet --unit=archy-mempool-web.service sh -c 'echo a new line with $(cat %s/secrets/mempool-db-password); exec sleep infinity'`, dataDir))
	defer n.user(t, "systemctl --user stop archy-mempool-web.service")
	eventually(t, "the new line is there", func() bool {
		return strings.TrimSpace(n.user(t, "grep -c 'a new line with hidden' /tmp/followed || true")) == "1"
	})
	if out := n.user(t, fmt.Sprintf("grep -c %q /tmp/followed || true", secret)); strings.TrimSpace(out) != "0" {
		t.Errorf("%s lines show the secret", strings.TrimSpace(out))
	}
	peak := n.sh(t, fmt.Sprintf("sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/%s/status", strings.TrimSpace(n.sh(t, "pgrep -u archipelago -f 'archy logs -f'"))))
	var kib int
	if _, err := fmt.Sscan(peak, &kib); err != nil || kib > 80<<10 {
		t.Errorf("it takes %s KiB after a hundred thousand lines (%v)", strings.TrimSpace(peak), err)
	}
	if err := p.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if res := p.Wait(); res.Code != 0 {
		t.Errorf("^C: exit code %d: %s", res.Code, res.Stderr)
	}
}

// purge: the directory belongs to a user of the container, and only a rename can have kept that.
func purge(t *testing.T, n machine) {
	owner := n.sh(t, "stat -c '%u:%g %i' "+dataDir+"/mysql-mempool")
	res := n.archy(t, 2, "remove", "archy-mempool-db", "--purge-data")
	if !strings.Contains(res.Stderr, "--confirm archy-mempool-db") || !n.container(t, "archy-mempool-db").Running {
		t.Errorf("without --confirm: %s", res.Stderr)
	}
	n.verb(t, 0, "archy-mempool-db", "remove", "archy-mempool-db", "--purge-data", "--confirm", "archy-mempool-db")
	if n.Exists(dataDir + "/mysql-mempool") {
		t.Error("the data are still there")
	}
	if !n.Exists(dataDir + "/secrets/mempool-db-password") {
		t.Error("the secret file is gone")
	}
	if now := n.sh(t, "stat -c '%u:%g %i' "+dataDir+"/state/trash/mysql-mempool-*"); now != owner {
		t.Errorf("owner and inode %s, before %s", now, owner)
	}
	n.archy(t, 0, "prune")
	if !n.Exists(dataDir+"/state/trash") || strings.TrimSpace(n.sh(t, "ls "+dataDir+"/state/trash")) == "" {
		t.Error("prune has deleted what is a minute old")
	}
	n.sh(t, "cd "+dataDir+"/state/trash; mv mysql-mempool-* mysql-mempool-20260101T000000Z")
	if res := n.archy(t, 0, "prune"); !strings.Contains(res.Stdout, "mysql-mempool-20260101T000000Z") {
		t.Errorf("prune says\n%s", res.Stdout)
	}
	if got := strings.TrimSpace(n.sh(t, "ls "+dataDir+"/state/trash")); got != "" {
		t.Errorf("still in the trash: %s", got)
	}
}

// prune: the image that did not come up, and a key that the app has no more.
func prune(t *testing.T, n machine) {
	n.sh(t, `sed -i 's/"at": "[^"]*"/"at": "2026-01-01T00:00:00Z"/' `+dataDir+`/state/images.json`)
	n.user(t, "echo x | podman secret create --label io.archipelago.managed=true archy.filebrowser.OLD -; echo x | podman secret create archy.filebrowser.MINE -; podman network create mine")
	before := n.user(t, "podman ps -aq --no-trunc; podman volume ls -q")
	plan := n.archy(t, 0, "prune", "--check-only").Stdout
	if now := n.user(t, "podman secret ls --format {{.Name}}"); !strings.Contains(now, "archy.filebrowser.OLD") {
		t.Error("--check-only has removed something")
	}
	done := n.archy(t, 0, "prune").Stdout
	if plan != done {
		t.Errorf("planned\n%s\ndone\n%s", plan, done)
	}
	for _, want := range []string{fileBrowser + "-bad", "archy.filebrowser.OLD"} {
		if !strings.Contains(done, want) {
			t.Errorf("%s was not removed:\n%s", want, done)
		}
	}
	images, secrets := n.user(t, "podman images --format '{{.Repository}}:{{.Tag}}'"), n.user(t, "podman secret ls --format {{.Name}}; podman network ls --format {{.Name}}")
	if strings.Contains(images, "-bad") || !strings.Contains(images, fileBrowser+"-next") || !strings.Contains(images, fileBrowser+"\n") {
		t.Errorf("images now:\n%s", images)
	}
	for _, kept := range []string{"archy.filebrowser.MINE", "archy.filebrowser.FB_PASSWORD", "mine", "archy-net"} {
		if !strings.Contains(secrets, kept) {
			t.Errorf("%s is gone", kept)
		}
	}
	if after := n.user(t, "podman ps -aq --no-trunc; podman volume ls -q"); after != before {
		t.Errorf("containers and volumes before\n%s\nnow\n%s", before, after)
	}
	if out := n.archy(t, 0, "prune").Stdout; out != "nothing to remove\n" {
		t.Errorf("the second time:\n%s", out)
	}
}

// reboot, incidents 8 and 9.
func reboot(t *testing.T, n machine) {
	n.verb(t, 0, "archy-mempool-db", "install", "archy-mempool-db")
	n.verb(t, 0, "filebrowser", "stop", "filebrowser")
	n.verb(t, 0, "archy-mempool-db", "remove", "archy-mempool-db")
	n.archy(t, 0, "reconcile")
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if err := n.Reboot(ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if c := n.container(t, "filebrowser"); c.Running {
			t.Errorf("what was stopped runs: %+v", c)
		}
		if c := n.container(t, "archy-mempool-db"); c.ID != "" || n.hasUnit(t, "archy-mempool-db") {
			t.Errorf("what was removed is there: %+v", c)
		}
		n.archy(t, 0, "reconcile")
	}
	n.verb(t, 0, "filebrowser", "start", "filebrowser")
	n.quiet(t)
}
