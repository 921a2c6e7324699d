package firstboot

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/state"
)

// newNode is a machine whose firewall is on and whose Tor runs, both as a first boot of lnd has left them.
func newNode(t *testing.T) *fakeHost {
	f := newHost(t)
	f.Chosen = nil
	f.install("lnd")
	f.must(f.State.WriteRecord(state.Record{App: "of-another-version", Installed: true}))
	f.must(f.State.WriteRecord(state.Record{App: "grafana", Container: "grafana", Owner: state.Legacy, Installed: true}))
	f.must(f.State.WriteFollowed(map[string][]string{"of-another-version": {"firewall in proto tcp to any port 7000"}}))
	f.write("/etc/ufw/ufw.conf", "ENABLED=yes\nLOGLEVEL=low\n", 0o644)
	f.ufwActive = true
	f.ufwRules = []string{"ufw allow 7000/tcp comment 'archy:of-another-version'"}
	f.ssh = "LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:((\"sshd\",pid=1,fd=3))\n"
	f.write("/var/lib/archipelago/tor-hostnames/x", "", 0o644)
	f.write("/opt/archipelago/scripts/x", "", 0o644)
	f.must(errors.Join(f.apply(f.tor), f.apply(f.record)))
	if ids := f.Pending(); len(ids) > 0 {
		t.Fatalf("after a first boot %q are pending", ids)
	}
	f.calls = nil
	return f
}

func (f *fakeHost) remove(id string) {
	f.must(f.State.WriteRecord(state.Record{App: id, Container: f.Set.Apps[id].Unit(), Owner: state.Quadlet, RemovedAt: f.Now()}))
}

// follow lets the machine follow, wants these apps to have been pending, and gives what was told.
func (f *fakeHost) follow(want ...string) (told []string, err error) {
	f.t.Helper()
	if ids := f.Pending(); !slices.Equal(ids, want) {
		f.t.Errorf("%q are pending, want %q", ids, want)
	}
	err = f.Follow(f.t.Context(), func(text string) { told = append(told, text) })
	return told, err
}

func TestFollow(t *testing.T) {
	f := newNode(t)
	// A rule of the node and one of another app that somebody deleted stay deleted.
	f.ufwRules = slices.DeleteFunc(f.ufwRules, func(r string) bool {
		return strings.Contains(r, "'archy:mdns'") || strings.Contains(r, "fe80::/10 to any port 8080")
	})
	before := slices.Clone(f.ufwRules)
	f.install("mempool", "filebrowser", "archy-mempool-db")
	told, err := f.follow("filebrowser", "mempool")
	f.must(err)
	added := f.ufwRules[len(before):]
	if !slices.Equal(f.ufwRules[:len(before)], before) || len(added) != 12 || !slices.Contains(added, "ufw allow from 192.168.0.0/16 to any port 4080 proto tcp comment 'archy:mempool'") ||
		!slices.Contains(added, "ufw allow from fc00::/7 to any port 8083 proto tcp comment 'archy:filebrowser'") {
		t.Errorf("rules added:\n%s", strings.Join(added, "\n"))
	}
	if text := f.read(Torrc); !strings.Contains(text, "HiddenServicePort 80 127.0.0.1:4080\n") || !strings.Contains(text, "HiddenServicePort 9735") {
		t.Errorf("torrc:\n%s", text)
	}
	if name := f.read("/var/lib/archipelago/tor-hostnames/mempool"); name != "archy_mempool.onion\n" {
		t.Errorf("the name of mempool: %q", name)
	}
	if len(told) != 14 {
		t.Errorf("told %q", told)
	}
	if told, err = f.follow(); err != nil || len(told) > 0 {
		t.Errorf("a second time: %q, %v", told, err)
	}
	f.remove("mempool")
	_, err = f.follow("mempool")
	f.must(err)
	if all := strings.Join(f.ufwRules, "\n"); strings.Contains(all, "mempool") || !strings.Contains(all, "filebrowser") || !slices.Equal(f.ufwRules[:len(before)], before) {
		t.Errorf("rules:\n%s", all)
	}
	if text := f.read(Torrc); strings.Contains(text, "4080") || f.read("/var/lib/tor/archy_mempool/hostname") != "archy_mempool.onion\n" {
		t.Errorf("mempool's service is to go, and its key to stay; torrc:\n%s", text)
	}
}

// TestFollowAfterUfwWasKilled: its file has the app's rule, and the kernel has not. What was not made to its end is still pending, and is completed.
func TestFollowAfterUfwWasKilled(t *testing.T) {
	f := newNode(t)
	f.install("filebrowser")
	f.ufwDies = "allow in proto tcp from fc00::/7 to any port 8083"
	_, err := f.follow("filebrowser")
	wantError(t, err, "killed")
	f.ufwDies = ""
	if told, err := f.follow("filebrowser"); err != nil || len(told) != 1 || !strings.Contains(told[0], "into the kernel") || !f.called(ufwInit) {
		t.Errorf("%v, told %q", err, told)
	}
	if ids := f.Pending(); len(ids) > 0 {
		t.Errorf("%q are pending", ids)
	}
}

// TestFollowAdopted: what something else made has what it always had, until it moves to a unit; what a first boot gave it goes with it.
func TestFollowAdopted(t *testing.T) {
	f := newNode(t)
	if !strings.Contains(strings.Join(f.ufwRules, "\n"), "archy:grafana") {
		t.Fatalf("rules:\n%s", strings.Join(f.ufwRules, "\n"))
	}
	f.remove("grafana")
	if _, err := f.follow("grafana"); err != nil || strings.Contains(strings.Join(f.ufwRules, "\n"), "archy:grafana") {
		t.Errorf("removed: %v, rules:\n%s", err, strings.Join(f.ufwRules, "\n"))
	}
	adopted := state.Record{App: "filebrowser", Container: "filebrowser", Owner: state.Legacy, Installed: true}
	f.must(f.State.WriteRecord(adopted))
	if told, err := f.follow(); err != nil || len(told) > 0 {
		t.Errorf("adopted: %q, %v", told, err)
	}
	adopted.Owner = state.Quadlet
	adopted.Pinned.ExtraPorts = []state.PinnedPort{{Host: 18083, Container: 80, Protocol: "tcp"}, {HostIP: "127.0.0.1", Host: 18084, Container: 80, Protocol: "tcp"}}
	f.must(f.State.WriteRecord(adopted))
	_, err := f.follow("filebrowser")
	f.must(err)
	all := strings.Join(f.ufwRules, "\n")
	for _, want := range []string{"from 10.0.0.0/8 to any port 8083 proto tcp", "from 10.0.0.0/8 to any port 18083 proto tcp"} {
		if !strings.Contains(all, want) {
			t.Errorf("moved to a unit: no rule %s in\n%s", want, all)
		}
	}
	if strings.Contains(all, "18084") {
		t.Errorf("a port of the machine itself is open:\n%s", all)
	}
}

// TestFollowAnUnreadableRecord: an app of which nothing can be told keeps what it has.
func TestFollowAnUnreadableRecord(t *testing.T) {
	f := newNode(t)
	f.write("/var/lib/archipelago/state/apps/lnd.json", "{\"schema\":9}", 0o600)
	f.install("mempool")
	_, err := f.follow("mempool")
	f.must(errors.Join(err, f.apply(f.firewall), f.apply(f.tor)))
	if all := strings.Join(f.ufwRules, "\n"); !strings.Contains(all, "archy:lnd") || !strings.Contains(all, "archy:of-another-version") || !strings.Contains(f.read(Torrc), "9735") {
		t.Errorf("rules:\n%s\ntorrc:\n%s", all, f.read(Torrc))
	}
}

// TestFollowAlternative: both kinds of bitcoin have the same ports, and a rule changes its owner with them.
func TestFollowAlternative(t *testing.T) {
	f := newNode(t)
	f.install("bitcoin-core")
	_, err := f.follow("bitcoin-core")
	f.must(err)
	f.remove("bitcoin-core")
	f.install("bitcoin-knots")
	_, err = f.follow("bitcoin-core", "bitcoin-knots")
	f.must(err)
	if !slices.Contains(f.ufwRules, "ufw allow 8333/tcp comment 'archy:bitcoin-knots'") || !strings.Contains(f.read(Torrc), "HiddenServicePort 8333") {
		t.Errorf("rules:\n%s", strings.Join(f.ufwRules, "\n"))
	}
}

// TestFollowsWhatIsOn: what is off stays off, and follows when it is on.
func TestFollowsWhatIsOn(t *testing.T) {
	on := "ENABLED=yes\n"
	for name, tt := range map[string]struct{ off, on func(*fakeHost) }{
		"switched off": {
			func(f *fakeHost) {
				f.write("/etc/ufw/ufw.conf", "ENABLED=no\n", 0o644)
				f.must(os.Rename(f.at(Torrc), f.at(Torrc+".off")))
			},
			func(f *fakeHost) {
				f.write("/etc/ufw/ufw.conf", on, 0o644)
				f.must(os.Rename(f.at(Torrc+".off"), f.at(Torrc)))
			},
		},
		"left to an owner": {
			func(f *fakeHost) { f.Config.Firewall.Manage, f.Config.Tor.Manage = false, false },
			func(f *fakeHost) { f.Config.Firewall.Manage, f.Config.Tor.Manage = true, true },
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newNode(t)
			f.install("mempool")
			tt.off(f)
			before := f.tree()
			if told, err := f.follow(); err != nil || len(told) > 0 || len(f.calls) > 0 || f.tree() != before {
				t.Errorf("%v, told %q, calls %q", err, told, f.calls)
			}
			tt.on(f)
			if _, err := f.follow("mempool"); err != nil || !strings.Contains(strings.Join(f.ufwRules, "\n"), "mempool") || !strings.Contains(f.read(Torrc), "4080") {
				t.Errorf("on again: %v", err)
			}
		})
	}
}

// TestFollowFails: one that fails does not keep the other from it, and is tried again alone.
func TestFollowFails(t *testing.T) {
	f := newNode(t)
	f.install("mempool")
	f.ufwActive = false
	_, err := f.follow("mempool")
	wantError(t, err, "not loaded")
	if !strings.Contains(f.read(Torrc), "4080") {
		t.Error("Tor did not follow")
	}
	f.ufwActive, f.active[torUnit] = true, false
	f.fail["ufw allow"] = errors.New("could not acquire lock")
	_, err = f.follow("mempool")
	wantError(t, err, "could not acquire lock", "tor does not run")
	if f.active[torUnit] {
		t.Error("a Tor that its owner stopped was started")
	}
	delete(f.fail, "ufw allow")
	_, err = f.follow("mempool")
	wantError(t, err, "tor does not run")
	f.ufwRules = slices.DeleteFunc(f.ufwRules, func(r string) bool { return strings.Contains(r, "4080") })
	f.active[torUnit] = true
	if _, err := f.follow(); err != nil || strings.Contains(strings.Join(f.ufwRules, "\n"), "4080") {
		t.Errorf("%v, rules:\n%s", err, strings.Join(f.ufwRules, "\n"))
	}
}

// TestFollowOfATornFile: what is remembered cannot be read, and is kept beside what the rules say.
func TestFollowOfATornFile(t *testing.T) {
	f := newNode(t)
	const torn = "{\"schema\":1,\"apps"
	f.write("/var/lib/archipelago/state/host.json", torn, 0o600)
	if told, err := f.follow("lnd"); err != nil || len(told) > 0 {
		t.Errorf("%q, %v", told, err)
	}
	aside, _ := filepath.Glob(f.at("/var/lib/archipelago/state/host.json.unreadable-*"))
	if text, err := os.ReadFile(strings.Join(aside, "")); err != nil || string(text) != torn {
		t.Errorf("%v: %q", err, text)
	}
	if all := strings.Join(f.ufwRules, "\n"); !strings.Contains(all, "of-another-version") || len(f.Pending()) > 0 {
		t.Errorf("%q are pending, rules:\n%s", f.Pending(), all)
	}
}

// TestFirewallFailsAtFirstBoot: passes let it follow later, and the rest of the record is written.
func TestFirewallFailsAtFirstBoot(t *testing.T) {
	f := newHost(t)
	f.write("/etc/ufw/ufw.conf", "ENABLED=yes\n", 0o644)
	f.ufwActive = true
	f.ssh = "LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:((\"sshd\",pid=1,fd=3))\n"
	f.fail["ufw allow in proto tcp from"] = errors.New("ufw: broken")
	var events []Event
	r, _ := f.runner(&events)
	p, err := r.Run(t.Context())
	if err != nil || p.Result != ResultOK || f.read("/var/lib/archipelago/user-stopped.json") != "[]\n" {
		t.Errorf("%+v, %v", p, err)
	}
	clear(f.fail)
	f.Chosen = nil
	if _, err := f.follow("bitcoin-knots", "lnd"); err != nil || !slices.Contains(f.ufwRules, "ufw allow from fc00::/7 to any port 10009 proto tcp comment 'archy:lnd'") {
		t.Errorf("%v, rules:\n%s", err, strings.Join(f.ufwRules, "\n"))
	}
}
