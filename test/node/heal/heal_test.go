package heal_test

import (
	"slices"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

const (
	zeros  = "dd if=/dev/zero of=" + storage + "/db.sql bs=4096 count=1 conv=notrunc 2>/dev/null"
	legacy = "podman run -d --name stranger --network none --entrypoint '[\"/archy\",\"internal\",\"pause\"]' -v /usr/local/bin/archy:/archy:ro docker.io/filebrowser/filebrowser:v2.27.0"
	stop   = "systemctl --user stop archy-mempool-db bitcoin-knots filebrowser podman.service"
)

// TestHeal goes through what really happened to nodes, on one of them.
func TestHeal(t *testing.T) {
	n := converged(t)
	for _, c := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"run as root", n.asRoot},
		{"slow and hung", n.slow},
		{"socket down", n.socketDown},
		{"stale pause process", n.stalePause},
		{"locks exhausted", n.locks},
		{"database vanished while running", n.vanished},
		{"database of zeros while running", n.corrupt},
		{"database of zeros with a foreign container", n.foreign},
		{"database of zeros with a foreign container, all stopped first", n.stopApps},
		{"runtime directory wiped", n.wiped},
		{"database that believes what the runtime directory has lost", n.believes},
		{"podman that lists and can start nothing", n.unsound},
		{"database vanished while down", n.vanishedDown},
		{"another boot id", n.bootID},
		{"name in storage only", n.nameInStorage},
	} {
		if !t.Run(c.name, c.run) {
			return // the next case would begin on a broken node
		}
	}
}

// Incident 22.
func (n machine) asRoot(t *testing.T) {
	for _, verb := range []string{"check", "heal"} {
		res := n.Root(t.Context(), "archy", "podman", verb)
		if res.Code != 2 || !strings.Contains(res.Stderr, "not as root") {
			t.Errorf("archy podman %s as root: exit code %d\n%s", verb, res.Code, res.Stderr)
		}
	}
	if n.Exists("/var/lib/containers/storage/db.sql") {
		t.Error("root's own podman was asked")
	}
}

// Incident 5: what is slow is not broken, and what is hung is left to a person.
func (n machine) slow(t *testing.T) {
	before := n.look(t)
	n.write(t, "/usr/local/bin/podman", "#!/bin/sh\nsleep 6\nexec /usr/bin/podman \"$@\"\n")
	n.MustRoot(t, "chmod", "755", "/usr/local/bin/podman")
	n.check(t, heal.Slow)
	// The machine under the test may be busy, which would explain every silence of podman. No container can be started meanwhile: the kernel gives
	// a user namespace no /proc of its own while a part of it is covered.
	n.write(t, "/tmp/loadavg", "0.10 0.10 0.10 1/100 1\n")
	n.MustRoot(t, "mount", "--bind", "/tmp/loadavg", "/proc/loadavg")
	for _, want := range []heal.State{heal.Slow, heal.Slow, heal.Hung} {
		n.check(t, want, "--limit=1s")
	}
	// The climb itself would wait for more than a minute; that it does nothing else is shown without a node.
	if r := n.heal(t, heal.ExitHuman, nil, "--limit=1s", "--dry-run"); len(r.Rungs) != 1 || r.Rungs[0].N != 0 || r.Human == nil {
		t.Errorf("%+v", r)
	}
	n.MustRoot(t, "sh", "-ec", "rm /usr/local/bin/podman; umount /proc/loadavg")
	n.healed(t, before, 0)
}

func (n machine) socketDown(t *testing.T) {
	before := n.look(t)
	n.user(t, "systemctl --user stop podman.socket podman.service")
	n.check(t, heal.SocketDown)
	if r := n.pass(t, 0, heal.OK); r.Podman.Heal == nil || r.Podman.Heal.State != heal.SocketDown {
		t.Errorf("%+v", r.Podman)
	}
	n.healed(t, before, 0)
}

func (n machine) stalePause(t *testing.T) {
	before := n.look(t)
	n.idle(t)
	n.user(t, "systemd-run --user --quiet --unit=other sleep 600; systemctl --user show -P MainPID other | tr -d '\\n' >"+runtime+"/libpod/tmp/pause.pid")
	n.check(t, heal.StalePause)
	if r := n.heal(t, 0, []int{3}); len(r.Renamed) != 1 || r.Result != heal.Healed {
		t.Errorf("%+v", r)
	}
	n.user(t, "systemctl --user stop other")
	n.healed(t, before, 0)
}

// Locks can only be numbered anew while nothing lives: the apps keep serving.
func (n machine) locks(t *testing.T) {
	before := n.look(t)
	n.user(t, "i=0; while podman volume create full-$i >/dev/null 2>&1; do i=$((i+1)); done")
	n.check(t, heal.LocksExhausted)
	if r := n.heal(t, heal.ExitHuman, nil, "--full"); !strings.Contains(r.Rungs[0].Reason, "containers live") {
		t.Errorf("%+v", r)
	}
	n.user(t, "podman volume ls -q | grep ^full- | xargs podman volume rm >/dev/null")
	n.healed(t, before, 0)
}

// podman's service runs all the time, has the deleted file open and lists every container from it. A look says what a pass would do, a pass does it, and
// so does a climb; each restarts every app once.
func (n machine) vanished(t *testing.T) {
	for _, heals := range []bool{false, true} {
		before := n.look(t)
		done := n.keepBusy(t)
		n.user(t, "rm "+storage+"/db.sql")
		n.check(t, heal.DBMissing)
		var r reconcile.Result
		document(t, n.archy(t, reconcile.ExitDrift, "reconcile", "--check-only", "--exit-code", "--json"), &r)
		if r.Podman.State != string(heal.DBMissing) || !strings.Contains(r.Podman.Evidence, "podman's service") {
			t.Errorf("a look sees %+v", r.Podman)
		}
		if heals {
			if r := n.heal(t, 0, []int{4}); r.Result != heal.Healed {
				t.Errorf("%+v", r)
			}
		} else {
			n.pass(t, 0, heal.DBMissing)
		}
		done()
		n.healed(t, before, 1)
	}
}

func (n machine) corrupt(t *testing.T) {
	before := n.look(t)
	n.idle(t)
	n.user(t, zeros)
	if d := n.check(t, heal.DBCorrupt); d.FirstRung != 5 {
		t.Errorf("first rung %d", d.FirstRung)
	}
	r := n.heal(t, 0, []int{5, 4})
	if len(r.Renamed) == 0 || !n.Exists(r.Renamed[len(r.Renamed)-1].To) || r.Result != heal.Healed {
		t.Errorf("%+v", r)
	}
	n.healed(t, before, 1)
}

// With a container alive that no service owns, nothing is renamed, and everything goes on serving.
func (n machine) foreign(t *testing.T) {
	before := n.look(t)
	n.user(t, legacy)
	n.idle(t)
	n.user(t, "cp "+storage+"/db.sql /tmp/db.sql; "+zeros)
	for _, args := range [][]string{nil, {"--full"}} {
		if r := n.heal(t, heal.ExitHuman, nil, args...); len(r.Renamed) > 0 || !strings.Contains(r.Rungs[0].Reason, "stranger") {
			t.Errorf("%+v", r)
		}
	}
	if r := n.pass(t, heal.ExitHuman, heal.DBCorrupt); r.Podman.Human == nil {
		t.Errorf("%+v", r.Podman)
	}
	n.idle(t)
	n.user(t, "cp /tmp/db.sql "+storage+"/db.sql; test \"$(podman ps --format '{{.Names}}' --filter name=stranger)\" = stranger; podman rm -f -t 2 stranger")
	n.archy(t, 0, "reconcile") // a podman.service that ended again and again may have taken podman.socket with it
	n.healed(t, before, 0)
}

// The one who decides that everything may be down for a while has it healed in spite of the foreign container.
func (n machine) stopApps(t *testing.T) {
	before := n.look(t)
	n.user(t, legacy)
	n.idle(t)
	n.user(t, zeros)
	r := n.heal(t, 0, []int{5, 4}, "--full", "--stop-apps")
	if r.Result != heal.Healed || len(r.Renamed) == 0 || !slices.Contains(r.Stopped, "stranger") || len(r.Stopped) != len(containers)+1 {
		t.Errorf("%+v", r)
	}
	n.healed(t, before, 1)
}

func (n machine) wiped(t *testing.T) {
	before := n.look(t)
	n.idle(t)
	n.user(t, "rm -rf "+runtime+"/containers/* "+runtime+"/libpod/*")
	n.check(t, heal.LostTrack)
	n.pass(t, 0, heal.LostTrack)
	n.healed(t, before, 1)
}

// A podman that was under way while the directory was wiped has written down that its containers run.
func (n machine) believes(t *testing.T) {
	before := n.look(t)
	n.idle(t)
	n.user(t, "rm -rf "+runtime+"/containers/* "+runtime+"/libpod/tmp/pause.pid "+runtime+"/libpod/tmp/persist "+runtime+"/libpod/tmp/exits")
	n.check(t, heal.StalePause)
	if r := n.heal(t, 0, []int{3, 4}); r.Result != heal.Healed || len(r.Renamed) != 1 {
		t.Errorf("%+v", r)
	}
	n.healed(t, before, 1)
}

// podman's service answers, while every command of podman's fails: what it has lost is up, would stay down after a restart, and is left alone.
func (n machine) unsound(t *testing.T) {
	before := n.look(t)
	n.idle(t)
	n.user(t, "rm -rf "+runtime+"/containers/* "+runtime+"/libpod/*")
	n.write(t, "/usr/local/bin/podman", "#!/bin/sh\necho 'Error: invalid internal status, try resetting the pause process with \"podman system migrate\": "+
		"open /run/user/1000/x/conmon.pid: no such file or directory' >&2\nexit 125\n")
	n.MustRoot(t, "chmod", "755", "/usr/local/bin/podman")
	for _, args := range [][]string{{"reconcile"}, {"reconcile"}, {"reconcile", "--container=filebrowser"}, {"restart", "filebrowser"}} {
		if res := n.archy(t, 6, args...); !strings.Contains(res.Stderr, "podman is stale-pause") {
			t.Errorf("archy %s does not say why:\n%s%s", strings.Join(args, " "), res.Stdout, res.Stderr)
		}
	}
	if up := n.user(t, "systemctl --user is-active "+strings.Join(containers, " ")); strings.Count(up, "active\n") != len(containers) || strings.Contains(up, "inactive") {
		t.Errorf("an app was taken down:\n%s", up)
	}
	n.MustRoot(t, "rm", "/usr/local/bin/podman")
	n.pass(t, 0, heal.LostTrack)
	n.healed(t, before, 1)
}

func (n machine) vanishedDown(t *testing.T) {
	before := n.look(t)
	n.user(t, stop+"; rm "+storage+"/db.sql")
	n.pass(t, 0, heal.OK)
	n.healed(t, before, 1)
}

func (n machine) bootID(t *testing.T) {
	before := n.look(t)
	n.user(t, stop+"; printf 11111111-2222-3333-4444-555555555555 >"+runtime+"/libpod/tmp/alive")
	if d := n.check(t, heal.BootID); d.FirstRung != 7 || len(d.Paths) != 2 {
		t.Errorf("%+v", d)
	}
	if r := n.heal(t, 0, []int{7}); len(r.Renamed) != 2 || r.Result != heal.Healed {
		t.Errorf("%+v", r)
	}
	n.archy(t, 0, "reconcile", "--wait")
	n.healed(t, before, 1)
}

func (n machine) nameInStorage(t *testing.T) {
	before := n.look(t)
	n.user(t, "systemctl --user stop filebrowser podman.service; cp "+storage+"/db.sql /tmp/db.sql; podman create --name filebrowser docker.io/filebrowser/filebrowser:v2.27.0; cp /tmp/db.sql "+storage+"/db.sql")
	n.check(t, heal.NameInStorage)
	if r := n.heal(t, 0, []int{6}); r.Result != heal.Healed {
		t.Errorf("%+v", r)
	}
	n.archy(t, 0, "reconcile", "--wait")
	before.starts["archy-mempool-db"]-- // only the one whose name it was is started
	before.starts["bitcoin-knots"]--
	n.healed(t, before, 1)
}
