package heal_test

import (
	"bufio"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/test/node"
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
		{"slow and hung", n.slow},                                                     // rung 0
		{"socket down", n.socketDown},                                                 // rung 2
		{"stale pause process", n.stalePause},                                         // rung 3
		{"locks exhausted", n.locks},                                                  // rung 8, apps stopped for it
		{"locks of another number", n.locksBroken},                                    // rung 8
		{"database vanished while running", n.vanished},                               // rung 4
		{"database of zeros while running", n.corrupt},                                // rung 5, 4
		{"database of zeros with a foreign container", n.foreign},                     // rung 5 refused
		{"database of zeros with a foreign container, all stopped first", n.stopApps}, // rung 5, 4, apps stopped for it
		{"runtime directory wiped", n.wiped},                                          // no rung: a pass moves over
		{"database that believes what the runtime directory has lost", n.believes},    // rung 3, 4
		{"podman that lists and can start nothing", n.unsound},                        // no rung: nothing is touched
		{"database vanished while down", n.vanishedDown},                              // no rung: a pass starts them
		{"another boot id", n.bootID},                                                 // rung 7
		{"name in storage only", n.nameInStorage},                                     // rung 6
		{"user manager gone", n.noManager},                                            // rung 1
		{"every rung was climbed", n.everyRung},
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

// Incident 5: what is slow is not broken, and what is hung is left to a person; time heals it. Every podman answers after 20 s, later after 90 s: archy's, that of
// the socket, and those that systemd and conmon start.
func (n machine) slow(t *testing.T) {
	before := n.look(t)
	n.idle(t)
	n.MustRoot(t, "sh", "-ec", "mkdir /usr/lib/fast; cp /usr/bin/podman /usr/lib/fast/podman; printf '#!/bin/sh\\nsleep 20\\nexec /usr/lib/fast/podman \"$@\"\\n' >/tmp/slow; chmod 755 /tmp/slow; mv /tmp/slow /usr/bin/podman")
	if d := n.check(t, heal.Slow); d.AnswerMS < 20_000 || len(d.Also) > 0 {
		t.Errorf("%+v", d)
	}
	if r := n.heal(t, 0, nil); r.State != heal.Slow || r.Result != heal.Nothing || len(r.Rungs)+len(r.Renamed)+len(r.Stopped) > 0 {
		t.Errorf("%+v", r)
	}
	if r := n.pass(t, 0, heal.OK); r.Podman.Heal != nil {
		t.Errorf("%+v", r.Podman)
	}
	// The machine under the test may be busy, which would explain every silence of podman. No container can be started meanwhile: the kernel gives
	// a user namespace no /proc of its own while a part of it is covered.
	n.write(t, "/tmp/loadavg", "0.10 0.10 0.10 1/100 1\n")
	n.MustRoot(t, "mount", "--bind", "/tmp/loadavg", "/proc/loadavg")
	for range 4 {
		n.check(t, heal.Slow, "--limit=1s") // proves nothing, and counts for nothing
	}
	n.MustRoot(t, "sed", "-i", "s/sleep 20/sleep 90/", "/usr/bin/podman")
	n.check(t, heal.Slow)
	n.check(t, heal.Slow)
	if r := n.heal(t, heal.ExitHuman, nil, "--dry-run"); r.State != heal.Hung || len(r.Rungs) != 1 || r.Rungs[0].N != 0 || r.Human == nil {
		t.Errorf("%+v", r)
	}
	fast := sync.OnceFunc(func() {
		n.MustRoot(t, "sh", "-ec", "umount /proc/loadavg; cp /usr/lib/fast/podman /usr/bin/podman.new; mv /usr/bin/podman.new /usr/bin/podman")
	})
	res := n.Run(t.Context(), node.Cmd{User: true, Args: []string{"archy", "podman", "heal", "--json"}, Stderr: sees("rung 0", fast)})
	var r heal.Report
	if document(t, res, &r); res.Code != 0 || r.State != heal.Hung || r.Result != heal.Healed || len(r.Rungs) != 1 || !r.Rungs[0].Done || len(r.Renamed)+len(r.Stopped) > 0 {
		t.Errorf("exit code %d: %+v", res.Code, r)
	}
	n.counts(r)
	n.healed(t, before, 0)
}

// sees is a place to write to that does something as soon as a text comes.
func sees(text string, do func()) io.Writer {
	r, w := io.Pipe()
	go func() {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			if strings.Contains(lines.Text(), text) {
				do()
			}
		}
	}()
	return w
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

// Locks can only be numbered anew while nothing lives: the apps keep serving, until somebody decides that they may be down. Here they belong to volumes that
// podman has forgotten.
func (n machine) locks(t *testing.T) {
	n.idle(t)
	n.user(t, "cp "+storage+"/db.sql /tmp/db.sql; i=0; while podman volume create full-$i >/dev/null 2>&1; do i=$((i+1)); done")
	n.idle(t)
	n.user(t, "cp /tmp/db.sql "+storage+"/db.sql; rm -rf "+storage+"/volumes/full-*")
	n.check(t, heal.LocksExhausted)
	for _, args := range [][]string{nil, {"--full"}} {
		if r := n.heal(t, heal.ExitHuman, nil, args...); !strings.Contains(r.Rungs[0].Reason, "containers live") {
			t.Errorf("%+v", r)
		}
	}
	n.brokenOff(t)
	before := n.look(t)
	if r := n.heal(t, 0, []int{8}, "--full", "--stop-apps"); r.Result != heal.Healed || len(r.Stopped) != len(containers) || len(r.Renamed) > 0 {
		t.Errorf("%+v", r)
	}
	n.healed(t, before, 1)
}

// brokenOff interrupts a climb that has told its first app to stop: the app runs again when archy ends, and nobody else was asked.
func (n machine) brokenOff(t *testing.T) {
	before := n.look(t)
	interrupt := sync.OnceFunc(func() { n.MustRoot(t, "pkill", "-INT", "-x", "archy") })
	res := n.Run(t.Context(), node.Cmd{User: true, Args: []string{"archy", "podman", "heal", "--full", "--stop-apps", "--json"}, Stderr: sees("stopping", interrupt)})
	var r heal.Report
	if document(t, res, &r); res.Code != 130 || r.Result != heal.Interrupted || len(r.Stopped) != 1 || len(r.Renamed) > 0 {
		t.Errorf("exit code %d: %+v", res.Code, r)
	}
	after := n.look(t)
	for _, c := range containers {
		want := 0
		if slices.Contains(r.Stopped, c) {
			want = 1
		}
		if started := after.starts[c] - before.starts[c]; started != want || n.user(t, "systemctl --user is-active "+c) != "active\n" {
			t.Errorf("%s was started %d times, want %d", c, started, want)
		}
	}
}

// Somebody has changed how many locks there are, which podman takes up only when they are numbered anew.
func (n machine) locksBroken(t *testing.T) {
	before := n.look(t)
	n.user(t, stop)
	n.write(t, "/etc/containers/containers.conf.d/60-locks.conf", "[engine]\nnum_locks = 64\n")
	n.check(t, heal.LocksBroken)
	if r := n.heal(t, 0, []int{8}); r.Result != heal.Healed || len(r.Renamed) != 1 {
		t.Errorf("%+v", r)
	}
	n.archy(t, 0, "reconcile", "--wait")
	n.healed(t, before, 1)
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

// Somebody has ended the user's manager, every app with it, and lingering is off. The runtime directory stays: the test's own session is in it.
func (n machine) noManager(t *testing.T) {
	before := n.look(t)
	n.MustRoot(t, "sh", "-ec", "loginctl disable-linger archipelago; systemctl stop user@1000.service")
	n.check(t, heal.NoUserBus)
	if r := n.heal(t, 0, []int{1}); r.Result != heal.Healed || len(r.Renamed) > 0 {
		t.Errorf("%+v", r)
	}
	if !n.Exists("/var/lib/systemd/linger/archipelago") {
		t.Error("the user does not linger")
	}
	n.archy(t, 0, "reconcile", "--wait")
	n.healed(t, before, 1)
}

// everyRung: no rung is shown by fakes alone.
func (n machine) everyRung(t *testing.T) {
	for rung := range 9 {
		if !n.climbed[rung] {
			t.Errorf("no case has climbed rung %d", rung)
		}
	}
}
