package firstboot

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
)

// plan checks one step, without doing anything.
func (f *fakeHost) plan(check func(context.Context, *Plan) error) (Plan, error) {
	var p Plan
	err := check(context.Background(), &p)
	return p, err
}

// apply does one step to its end.
func (f *fakeHost) apply(check func(context.Context, *Plan) error) error {
	r := Runner{Host: f.Host, Report: func(Event) {}}
	_, err := r.do(context.Background(), Task{"test", check})
	return err
}

func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("error %v does not say %q", err, w)
		}
	}
}

// What archy cannot make itself is said all at once.
func TestPreflightSaysEverythingAtOnce(t *testing.T) {
	f := newHost(t)
	f.WantUID = f.User.UID + 1
	f.version["podman"], f.version["systemctl"] = "podman version 4.9.4", "systemd 252 (252.1)"
	for _, name := range []string{"pasta", "crun"} {
		f.must(os.Remove(f.at("/usr/bin/" + name)))
	}
	f.Facts.DataFree = 4 << 30
	f.Findings = []manifest.Finding{{File: "/etc/archipelago/apps/x/manifest.yml", Line: 7, Severity: manifest.Error, Message: "no image"},
		{File: "/etc/archipelago/apps/y/manifest.yml", Line: 3, Severity: manifest.Error, Message: "no id"}}
	before := f.tree()
	p, err := f.plan(f.preflight)
	wantError(t, err, "uid", "podman 4 is too old", "systemd 252 is too old", "missing programs: pasta, crun", "4.0 GiB free, at least 5 GiB",
		"/etc/archipelago/apps/x/manifest.yml:7: no image", "/etc/archipelago/apps/y/manifest.yml:3: no id")
	if f.tree() != before {
		t.Errorf("something was changed: %+v", p.Changes)
	}
}

func TestPreflightWarns(t *testing.T) {
	f := newHost(t)
	f.listen() // the user's manager is up
	f.Facts.DataFree, f.Facts.MemTotal, f.Facts.Delegated = 6<<30, 2<<30, node.Controllers{CPU: true, Pids: true}
	f.Facts.DataDisk = 60e9
	f.write("/proc/net/tcp", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"+
		"   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  4242        0 1 1\n", 0o644)
	p, err := f.plan(f.preflight)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(p.Warnings, "\n")
	for _, w := range []string{"6.0 GiB free, 20 GiB are advised", "2.0 GiB of memory", "bitcoin gets 1536 MiB of memory", "a disk of 60 GB is small: the chain is pruned to 5000 MiB", "not delegated to archipelago: memory", "lnd: port 8080/tcp is held by a process of uid 4242"} {
		if !strings.Contains(all, w) {
			t.Errorf("no warning %q in\n%s", w, all)
		}
	}
	f.write("/var/lib/archipelago/bitcoin/blocks/blk00000.dat", "x", 0o600) // the mode is decided: the disk changes nothing any more
	if p, err := f.plan(f.preflight); err != nil || strings.Contains(strings.Join(p.Warnings, "\n"), "pruned") {
		t.Errorf("%v\n%s", err, strings.Join(p.Warnings, "\n"))
	}
}

// A UDP port of an app that somebody else has is told too; one that is only sent from to a peer is not listened on, and the same number with TCP is another port.
func TestPreflightWarnsOfUDPPorts(t *testing.T) {
	const head = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
	f := newHost(t)
	f.Chosen = []string{"fedimint"}
	f.write("/proc/net/udp", head+"  100: 00000000:1FEE 0100007F:0035 01 00000000:00000000 00:00000000 00000000  4242        0 1 2 0 0\n", 0o644)
	f.write("/proc/net/udp6", head+"  101: 00000000000000000000000000000000:1FED 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000  4242        0 1 2 0 0\n", 0o644)
	p, err := f.plan(f.preflight)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, w := range p.Warnings {
		if strings.Contains(w, "is held by") {
			told = append(told, w)
		}
	}
	if want := []string{"fedimint: port 8173/udp is held by a process of uid 4242; the app cannot start before it is free"}; !slices.Equal(told, want) {
		t.Errorf("%q", told)
	}
}

// A run that was killed while it named the volume is completed; it is not taken for a node without its disk.
func TestNamingTheVolumeIsResumed(t *testing.T) {
	for name, left := range map[string][]string{"drawn": {node.VolumeIDPath + node.VolumeDrawn},
		"marked": {node.VolumeIDPath + node.VolumeDrawn, "/var/lib/archipelago/.archy-volume"}} {
		t.Run(name, func(t *testing.T) {
			f := newHost(t)
			for _, p := range left {
				f.write(p, "first\n", 0o644)
			}
			if err := f.apply(f.preflight); err != nil {
				t.Fatal(err)
			}
			if f.read(node.VolumeIDPath) != "first\n" || f.read(f.Layout.VolumeMark()) != "first\n" {
				t.Error("the volume has another name than the one drawn first")
			}
			if _, err := os.Stat(f.at(node.VolumeIDPath + node.VolumeDrawn)); err == nil {
				t.Error("the drawn name is still there")
			}
		})
	}
}

// Root follows no link in a directory that the service user can write.
func TestLinksAreNotFollowed(t *testing.T) {
	tests := map[string]struct {
		link, target string
		check        func(*Host) func(context.Context, *Plan) error
	}{
		"a directory":            {"/var/lib/archipelago/config", "/etc/wireguard", func(h *Host) func(context.Context, *Plan) error { return h.directories }},
		"state":                  {"/var/lib/archipelago/state", "/etc/wireguard", func(h *Host) func(context.Context, *Plan) error { return h.directories }},
		"the reserve":            {"/var/lib/archipelago/state/.reserve", "/etc/precious", func(h *Host) func(context.Context, *Plan) error { return h.directories }},
		"the log":                {InstallLog, "/etc/precious", func(h *Host) func(context.Context, *Plan) error { return h.directories }},
		"podman's configuration": {"/home/archipelago/.config", "/etc/wireguard", func(h *Host) func(context.Context, *Plan) error { return h.rootless }},
		"storage.conf":           {"/home/archipelago/.config/containers/storage.conf", "/etc/precious", func(h *Host) func(context.Context, *Plan) error { return h.rootless }},
		"a name of Tor":          {"/var/lib/archipelago/tor-hostnames/web", "/etc/precious", func(h *Host) func(context.Context, *Plan) error { return h.tor }},
		"the list of stops":      {"/var/lib/archipelago/user-stopped.json", "/etc/precious", func(h *Host) func(context.Context, *Plan) error { return h.record }},
		"nostr":                  {"/var/lib/archipelago/nostr-relay", "/etc/wireguard", func(h *Host) func(context.Context, *Plan) error { return h.nostr }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newHost(t)
			f.write("/etc/precious", "untouched", 0o640)
			f.must(os.MkdirAll(filepath.Dir(f.at(tt.link)), 0o755))
			f.must(os.Symlink(f.at(tt.target), f.at(tt.link)))
			stat := func() string {
				a, err1 := os.Stat(f.at("/etc/precious"))
				b, err2 := os.Stat(f.at("/etc/wireguard"))
				f.must(errors.Join(err1, err2))
				entries, err := os.ReadDir(f.at("/etc/wireguard"))
				f.must(err)
				return a.Mode().String() + b.Mode().String() + f.read("/etc/precious") + a.ModTime().String() + strings.Repeat("+", len(entries))
			}
			before := stat()
			err := f.apply(tt.check(f.Host))
			if name != "the list of stops" { // one that is there is the owner's, whatever it is
				wantError(t, err, tt.link+" is a symbolic link")
			}
			if stat() != before {
				t.Error("what the link leads to was changed")
			}
		})
	}
}

func TestAFileInPlaceOfADirectory(t *testing.T) {
	f := newHost(t)
	f.write("/var/lib/archipelago/data", "x", 0o644)
	f.write("/opt/archipelago/bin", "x", 0o644)
	_, err := f.plan(f.directories)
	wantError(t, err, "/var/lib/archipelago/data is a file, not a directory", "/opt/archipelago/bin is a file, not a directory")
}

func TestModesAreCorrectedAndNothingBelow(t *testing.T) {
	f := newHost(t)
	f.boot()
	f.write("/var/lib/archipelago/secrets/theirs", "x", 0o644)
	f.must(os.Chmod(f.at("/var/lib/archipelago/secrets"), 0o755))
	f.must(os.Chmod(f.at("/etc/archipelago"), 0o700))
	if err := f.apply(f.directories); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]os.FileMode{"/var/lib/archipelago/secrets": 0o700, "/etc/archipelago": 0o755, "/var/lib/archipelago/secrets/theirs": 0o644} {
		if info, err := os.Stat(f.at(p)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", p, info.Mode(), err)
		}
	}
}

// TestNoDirectoryIsHalfMade: a directory has its mode before its name, whatever a killed run has left, and one that is there stays as it is.
func TestNoDirectoryIsHalfMade(t *testing.T) {
	f := newHost(t)
	f.must(os.MkdirAll(f.at("/var/lib/archipelago"), 0o755))
	f.must(os.Mkdir(f.at("/var/lib/archipelago/.nostr-relay.archy-new"), 0o700))
	f.must(f.apply(f.nostr))
	if info, err := os.Stat(f.at("/var/lib/archipelago/nostr-relay")); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := os.Lstat(f.at("/var/lib/archipelago/.nostr-relay.archy-new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what the killed run left is still there: %v", err)
	}
	f.must(os.Chmod(f.at("/var/lib/archipelago/nostr-relay"), 0o700))
	f.must(f.apply(f.nostr))
	if info, err := os.Stat(f.at("/var/lib/archipelago/nostr-relay")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
}

func TestSubordinateIDs(t *testing.T) {
	tests := map[string]struct{ have, want string }{
		"none":              {"", "archipelago:100000:65536\n"},
		"another user":      {"me:165536:65536\n", "me:165536:65536\narchipelago:100000:65536\n"},
		"no last newline":   {"me:300000:65536", "me:300000:65536\narchipelago:100000:65536\n"},
		"kept":              {"archipelago:200000:70000\n", "archipelago:200000:70000\n"},
		"not sorted":        {"bob:165536:65536\ncarol:100000:65536\n", "bob:165536:65536\ncarol:100000:65536\narchipelago:231072:65536\n"},
		"somebody has them": {"me:100000:65536\n", "me:100000:65536\narchipelago:165536:65536\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newHost(t)
			f.write("/etc/subuid", tt.have, 0o644)
			if err := f.apply(f.rootless); err != nil {
				t.Fatal(err)
			}
			if got := f.read("/etc/subuid"); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	f := newHost(t)
	f.write("/etc/subgid", "archipelago:100000:1000\n", 0o644)
	_, err := f.plan(f.rootless)
	var human *HumanError
	if !errors.As(err, &human) {
		t.Errorf("a short range: %v", err)
	}
}

// Podman is never pointed away from data.
func TestOtherStorage(t *testing.T) {
	conf := "[storage]\ngraphroot = \"/srv/storage\"\n"
	const name = "/home/archipelago/.config/containers/storage.conf"
	f := newHost(t)
	f.write(name, conf, 0o600)
	f.write("/srv/storage/overlay/x", "data", 0o644)
	var human *HumanError
	for _, conf := range []string{conf, "[storage]\ngraphroot = '/srv/storage/' # on the big disk\n"} {
		f.write(name, conf, 0o600)
		err := f.apply(f.rootless)
		if !errors.As(err, &human) || !strings.Contains(err.Error(), "storage is /srv/storage and holds data") || f.read(name) != conf {
			t.Errorf("%v", err)
		}
	}
	for other, text := range map[string]string{
		name:                           "[storage]\nrootless_storage_path = \"/srv/storage\"\n",
		"/etc/containers/storage.conf": "[storage]\ngraphroot = \"/var/lib/containers\"\nrootless_storage_path = \"/srv/storage\"\n",
	} {
		f.must(os.Remove(f.at(name)))
		f.write(other, text, 0o644)
		if err := f.apply(f.rootless); !errors.As(err, &human) || !strings.Contains(err.Error(), other+": podman's storage is /srv/storage and holds data") || f.read(other) != text {
			t.Errorf("%s: %v", other, err)
		}
		f.write(name, "", 0o600)
	}
	f.must(os.Remove(f.at("/etc/containers/storage.conf")))
	f.write("/home/archipelago/pod/x", "data", 0o644)
	for path, word := range map[string]string{"$HOME/pod": "/home/archipelago/pod and holds data", "${HOME}/pod": "/home/archipelago/pod and holds data",
		"/home/$USER/pod": "/home/archipelago/pod and holds data", "$DISK/pod": "$DISK/pod, and archy cannot tell", "pod": "pod, and archy cannot tell"} {
		conf := "[storage]\ngraphroot = \"" + path + "\"\n"
		f.write(name, conf, 0o600)
		if err := f.apply(f.rootless); !errors.As(err, &human) || !strings.Contains(err.Error(), word) || f.read(name) != conf {
			t.Errorf("%s: %v", path, err)
		}
	}
	f.write(name, conf, 0o600)
	f.must(os.RemoveAll(f.at("/srv/storage/overlay")))
	if err := f.apply(f.rootless); err != nil || f.read(name) == conf {
		t.Errorf("an empty storage: %v", err)
	}

	f = newHost(t)
	f.write("/home/archipelago/.local/share/containers/storage/overlay/x", "data", 0o644)
	if err := f.apply(f.rootless); err != nil {
		t.Fatal(err)
	}
	p, _ := f.plan(f.rootless)
	if info, err := os.Lstat(f.at(StorageLink(f.Layout))); err != nil || !info.IsDir() || len(p.Warnings) != 1 {
		t.Errorf("a default storage with data: %v, %q", err, p.Warnings)
	}
}

// Containers in podman's default storage, as on a node from before archy, run on when podman is pointed away from them, and others would be made
// over their data.
func TestContainersInTheDefaultStorage(t *testing.T) {
	const name, storage = "/home/archipelago/.config/containers/storage.conf", "/home/archipelago/.local/share/containers/storage"
	const one, none = `[{"id":"x","names":["bitcoin-knots"],"layer":"y"}]`, "[]"
	tests := map[string]struct {
		conf, at, list string
		human          bool
		file           string
	}{
		"those of units":              {conf: "", at: storage, list: one, human: true, file: "volatile-containers.json"},
		"no storage.conf":             {"", storage, one, true, ""},
		"one without a graphroot":     {"[storage]\ndriver = \"overlay\"\n", storage, one, true, ""},
		"behind a link":               {"", "/srv/storage", one, true, ""},
		"podman was called once":      {"", storage, none, false, ""},
		"the link that is archy's":    {"", "/var/lib/archipelago/containers/storage", one, false, ""},
		"left there, and archy's own": {string(StorageConf(newHost(t).Layout, Owner{}).Text), storage, one, false, ""},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			f := newHost(t)
			if tt.conf != "" {
				f.write(name, tt.conf, 0o644)
			}
			f.write(tt.at+"/overlay-containers/"+cmp.Or(tt.file, "containers.json"), tt.list, 0o600)
			if tt.at != storage {
				f.must(os.MkdirAll(filepath.Dir(f.at(storage)), 0o755))
				f.must(os.Symlink(tt.at, f.at(storage)))
			}
			_, err := f.plan(f.rootless)
			var human *HumanError
			if errors.As(err, &human) != tt.human || !tt.human && err != nil {
				t.Errorf("%v", err)
			}
			if tt.human && !strings.Contains(err.Error(), "podman's storage is "+tt.at+" and holds containers") {
				t.Errorf("%v", err)
			}
		})
	}
}

// podman takes a new configuration over only where it has no container, none of a unit's either: podman system migrate stops them all.
func TestMigrateOnlyWithoutContainers(t *testing.T) {
	const one = `[{"id":"x","names":["bitcoin-core"],"layer":"y"}]`
	for _, tt := range []struct{ file, containers string }{{"", ""}, {"containers", "[]"}, {"containers", one}, {"volatile-containers", "[]"}, {"volatile-containers", one}} {
		containers := tt.containers
		f := newHost(t)
		f.listen()
		f.write("/var/lib/systemd/linger/archipelago", "", 0o644)
		if containers != "" {
			f.write(Graphroot(f.Layout)+"/overlay-containers/"+tt.file+".json", containers, 0o600)
		}
		if err := f.apply(f.rootless); err != nil {
			t.Fatal(err)
		}
		if got, want := f.called("systemd-run --user --quiet --wait --collect -- podman system migrate"), len(containers) < 3; got != want {
			t.Errorf("%s %q: migrate called %v", tt.file, containers, got)
		}
	}
}

// Each is asked whether it has read its file: a run may have been killed in between. The doctor sees it too. These never do.
func TestConfigurationIsReadByItsDaemon(t *testing.T) {
	tests := map[string]struct {
		part Part
		call string
		old  func(f *fakeHost)
	}{
		"journal":      {PartJournal, "systemctl restart systemd-journald", func(f *fakeHost) { f.journal = "@1" }},
		"user manager": {PartUserManager, "systemctl daemon-reload", func(f *fakeHost) { f.stale = "yes" }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newHost(t)
			f.boot()
			f.Now = time.Now
			tt.old(f)
			f.calls = nil
			if p, err := f.CheckPart(t.Context(), tt.part); err != nil || len(p.Changes) != 1 {
				t.Errorf("the doctor sees %+v, %v", p.Changes, err)
			}
			if err := f.apply(f.rootless); err == nil || !f.called(tt.call) || slices.ContainsFunc(f.calls, func(argv []string) bool { return strings.Join(argv, " ") != tt.call }) {
				t.Errorf("%v, %q", err, f.calls)
			}
		})
	}
	// The clock was set back: when the file was written tells nothing, and a daemon that has read it is not started for ever.
	f := newHost(t)
	f.boot()
	f.calls, f.journal = nil, "@1"
	if err := f.apply(f.rootless); err != nil || len(f.calls) > 0 {
		t.Errorf("a file of tomorrow: %v, %q", err, f.calls)
	}
}

// A connection that happens to have the port of an app keeps the app from starting: electrumx's and its page's lie in the kernel's range.
func TestNoConnectionTakesThePortOfAnApp(t *testing.T) {
	f := newHost(t)
	step := func(_ context.Context, p *Plan) error { return f.ephemeral(p) }
	f.must(os.MkdirAll(f.at("/etc/sysctl.d"), 0o755))
	f.write(reservedPorts, "8080,40000-40010\n", 0o644)
	f.must(f.apply(step))
	if got := f.read(reservedPorts); got != "8080,40000-40010,50001,50002\n" {
		t.Errorf("the kernel's list: %q", got)
	}
	if got := f.read("/etc/sysctl.d/10-archipelago.conf"); !strings.HasSuffix(got, "\nnet.ipv4.ip_local_reserved_ports = 50001,50002\n") {
		t.Errorf("at the next boot: %q", got)
	}
	for _, have := range []string{"8080,40000-40010,50001,50002\n", "50001-50002\n"} {
		f.write(reservedPorts, have, 0o644)
		if p, err := f.plan(step); err != nil || len(p.Changes)+len(p.Warnings) > 0 {
			t.Errorf("%q: %+v, %v", have, p, err)
		}
	}
	for _, have := range []string{"50001\n", "50000-50001\n", "\n"} {
		f.write(reservedPorts, have, 0o644)
		if p, err := f.plan(step); err != nil || len(p.Changes) != 1 || p.Changes[0].Text != "reserve the ports 50001,50002" {
			t.Errorf("%q: %+v, %v", have, p, err)
		}
	}
	// The operator's list is never written back but whole.
	many := make([]int, 200)
	for i := range many {
		many[i] = 30001 + 2*i
	}
	f.write(reservedPorts, portList(many)+"\n", 0o644)
	f.must(f.apply(step))
	if got := f.read(reservedPorts); got != portList(many)+",50001,50002\n" {
		t.Errorf("a long list: %q", got)
	}
	for i := range 600 {
		many = append(many, 31001+2*i)
	}
	f.write(reservedPorts, portList(many)+"\n", 0o644)
	if p, err := f.plan(step); err != nil || len(p.Changes) > 0 || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "too long to add to") {
		t.Errorf("a list that the kernel takes no longer in one write: %+v, %v", p, err)
	}
	f.must(os.Remove(f.at(reservedPorts)))
	if p, err := f.plan(step); err != nil || len(p.Changes)+len(p.Warnings) > 0 {
		t.Errorf("a kernel without the list: %+v, %v", p, err)
	}
}

// TestMigrateThatAKilledRunLeftOut: the configuration is written, and the process that all of podman joins is of before.
func TestMigrateThatAKilledRunLeftOut(t *testing.T) {
	for name, tt := range map[string]struct {
		made       time.Duration // of the process, before the configuration was written
		containers string
		want       bool
	}{
		"made before":                  {made: time.Minute, want: true},
		"made after":                   {made: -time.Minute},
		"made before, with containers": {made: time.Minute, containers: `[{"id":"x","names":["bitcoin-core"],"layer":"y"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newHost(t)
			f.boot()
			f.Now = func() time.Time { return time.Now().Add(time.Hour) }
			pause, at := f.Layout.RuntimeDir+"/libpod/tmp/pause.pid", time.Now().Add(-tt.made)
			f.write(pause, "1", 0o644)
			f.must(os.Chtimes(f.at(pause), at, at))
			if tt.containers != "" {
				f.write(Graphroot(f.Layout)+"/overlay-containers/containers.json", tt.containers, 0o600)
			}
			f.calls = nil
			if err := f.apply(f.rootless); err != nil || f.called("systemd-run --user --quiet --wait --collect -- podman system migrate") != tt.want || !tt.want && len(f.calls) > 0 {
				t.Errorf("%v, %q", err, f.calls)
			}
		})
	}
}

func TestSecretsAreNeverReplaced(t *testing.T) {
	f := newHost(t)
	f.boot()
	name := f.Secrets.Path("btcpay-db-password")
	f.must(os.WriteFile(name, []byte("the owner's"), 0o600))
	f.must(os.Chmod(name, 0o644))
	if err := f.apply(f.Host.secrets); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	info, err2 := os.Stat(name)
	if err != nil || err2 != nil || string(text) != "the owner's" || info.Mode().Perm() != 0o600 {
		t.Errorf("%q %v", text, info.Mode())
	}

	// A database password whose database is there cannot be made again: its apps fail when they are made, and nothing else does.
	f.must(os.Remove(name))
	f.must(os.MkdirAll(f.at("/var/lib/archipelago/postgres-btcpay"), 0o750))
	kept := f.secretTexts()
	p, err := f.plan(f.Host.secrets)
	if err != nil || len(p.Changes) > 0 || !strings.Contains(strings.Join(p.Warnings, "\n"), "btcpay-db-password is missing although its app has data") {
		t.Errorf("%+v, %v", p, err)
	}

	// Without any of them the data have lost their keys.
	for name := range kept {
		f.must(os.Remove(f.Secrets.Path(name)))
	}
	kept = f.secretTexts()
	err = f.apply(f.Host.secrets)
	var human *HumanError
	if !errors.As(err, &human) || !strings.Contains(human.Text, "btcpay-db-password") || human.Hint == "" || len(f.secretTexts()) != len(kept) {
		t.Errorf("%v", err)
	}
}

func TestTorKeepsTheOperatorsText(t *testing.T) {
	f := newHost(t)
	const mine = "# mine\nSocksPort 9150\nHiddenServiceDir /var/lib/tor/mine/\nHiddenServicePort 22 127.0.0.1:22"
	f.write(Torrc, mine, 0o640)
	f.must(os.MkdirAll(f.at("/var/lib/archipelago/tor-hostnames"), 0o755))
	if err := f.apply(f.tor); err != nil {
		t.Fatal(err)
	}
	want := mine + "\n" + TorBlock(f.onions())
	if got := f.read(Torrc); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	f.write(Torrc, f.read(Torrc)+"# below\n", 0o640)
	f.Chosen = append(f.Chosen, "mempool")
	if err := f.apply(f.tor); err != nil {
		t.Fatal(err)
	}
	got := f.read(Torrc)
	if !strings.HasPrefix(got, mine+"\n"+blockBegin) || !strings.HasSuffix(got, blockEnd+"\n# below\n") || !strings.Contains(got, "HiddenServicePort 80 127.0.0.1:4080\n") {
		t.Errorf("got\n%s", got)
	}
	if info, err := os.Stat(f.at(Torrc)); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mode changed: %v", info.Mode())
	}
	if name := f.read("/var/lib/archipelago/tor-hostnames/lnd-rest"); name != "archy_lnd-rest.onion\n" {
		t.Errorf("name %q", name)
	}
	f.write(Torrc, blockBegin+"\nSocksPort 1\n", 0o644)
	_, err := f.plan(f.tor)
	wantError(t, err, "mend them by hand")
}

func TestTorRefusesOrDies(t *testing.T) {
	for tool, words := range map[string]string{"tor --defaults-torrc": "left as it was", "systemctl reload-or-restart tor": "the old configuration was put back"} {
		f := newHost(t)
		before := f.read(Torrc)
		f.fail[tool] = errors.New("refused")
		wantError(t, f.apply(f.tor), "refused", words)
		if f.read(Torrc) != before {
			t.Errorf("%s: the configuration is\n%s", tool, f.read(Torrc))
		}
	}
}

// TestTorInterruptedWhilePuttingBack: the reload was killed first and archy a moment later, in the middle of putting the former text back.
func TestTorInterruptedWhilePuttingBack(t *testing.T) {
	f := newHost(t)
	f.must(os.MkdirAll(f.at("/var/lib/archipelago/tor-hostnames"), 0o755))
	if err := f.apply(f.tor); err != nil {
		t.Fatal(err)
	}
	right := f.read(Torrc)
	f.write("/etc/tor/.torrc.archy-new", "half of the former", 0o600)
	if err := f.apply(f.tor); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(f.at("/etc/tor/.torrc.archy-new")); !errors.Is(err, os.ErrNotExist) || f.read(Torrc) != right {
		t.Errorf("%v, torrc:\n%s", err, f.read(Torrc))
	}
}

// TestTorReadsItsConfiguration: a run was killed after torrc was written and before Tor was told.
func TestTorReadsItsConfiguration(t *testing.T) {
	f := newHost(t)
	f.must(os.MkdirAll(f.at("/var/lib/archipelago/tor-hostnames"), 0o755))
	f.must(f.apply(f.tor))
	f.calls, f.torRead, f.Now = nil, "@1", time.Now
	if err := f.apply(f.tor); err != nil || !f.called("systemctl reload-or-restart tor@default.service") {
		t.Errorf("%v, %q", err, f.calls)
	}
	// Its owner has written what Tor would end with.
	f.calls, f.torRead = nil, "@1"
	f.fail["tor --defaults-torrc"] = errors.New("exit code 1")
	f.says = "Nov 28 20:00:00.000 [notice] Tor is running\nNov 28 20:00:00.000 [warn] Failed to parse/validate config: Unknown option 'SocksPrt'.  Failing.\n"
	wantError(t, f.apply(f.tor), "tor refuses its configuration", "SocksPrt")
	if f.called("systemctl reload-or-restart tor@default.service") {
		t.Error("a Tor that runs was told to read it")
	}
}

// TestFirewallIPv6: as ufw reads its file.
func TestFirewallIPv6(t *testing.T) {
	f := newHost(t)
	for text, want := range map[string]bool{"": true, "IPV6=yes\n": true, "IPV6=\"YES\"\n": true, "IPV6=no\n": false, "IPV6='no'\n": false, "IPV6=No\n": false,
		"# was IPV6=no\nIPV6=yes\n": true, "IPV6=yes\nIPV6=no\n": false} {
		f.write("/etc/default/ufw", text, 0o644)
		if got := f.firewallIPv6(); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestNoServiceOfWhatIsNotThere: an app that its owner removed gets none, and one that was chosen and not made loses it.
func TestNoServiceOfWhatIsNotThere(t *testing.T) {
	f := newHost(t)
	f.Chosen = []string{"lnd", "mempool"}
	f.remove("mempool")
	f.must(os.MkdirAll(f.at("/var/lib/archipelago/tor-hostnames"), 0o755))
	f.must(os.MkdirAll(f.at("/opt/archipelago/scripts"), 0o755))
	f.must(f.apply(f.tor))
	if text := f.read(Torrc); strings.Contains(text, "4080") || !strings.Contains(text, "9735") {
		t.Errorf("before the apps are made:\n%s", text)
	}
	f.must(f.apply(f.record))
	if text := f.read(Torrc); strings.Contains(text, "9735") {
		t.Errorf("lnd was not made:\n%s", text)
	}
}

func TestAnotherSetUpOfTorIsLeftAlone(t *testing.T) {
	f := newHost(t)
	f.write("/etc/systemd/system/archipelago-setup-tor.service", "", 0o644)
	f.write("/var/lib/tor/hidden_service_web/hostname", "x.onion\n", 0o600)
	f.must(os.MkdirAll(f.at("/var/lib/archipelago/tor-hostnames"), 0o755))
	before := f.read(Torrc)
	if err := f.apply(f.tor); err != nil {
		t.Fatal(err)
	}
	if f.read(Torrc) != before || f.read("/var/lib/archipelago/tor-hostnames/web") != "x.onion\n" || len(f.calls) > 0 {
		t.Errorf("%q", f.calls)
	}
}

func TestFirewallOfTheOperator(t *testing.T) {
	f := newHost(t)
	f.ufwActive = true
	f.write("/etc/default/ufw", "IPV6=yes\nDEFAULT_INPUT_POLICY=\"ACCEPT\"\n", 0o644)
	f.ufwRules = []string{"ufw limit 22/tcp", "ufw allow 9735/tcp comment 'mine'", "ufw allow 2222/tcp", "ufw allow OpenSSH", "ufw deny in on eth0 from 10.0.0.1",
		"ufw allow 3000/tcp comment 'archy:grafana'", "ufw allow from fe80::/10 to any port 3000 proto tcp comment 'archy:grafana'"}
	f.install("lnd")
	if err := f.apply(f.firewall); err != nil {
		t.Fatal(err)
	}
	for _, rule := range f.ufwRules[:5] {
		if strings.Contains(rule, "grafana") {
			t.Errorf("the order of the operator's rules: %q", f.ufwRules)
		}
	}
	all := strings.Join(f.ufwRules, "\n")
	if strings.Contains(all, "grafana") || strings.Contains(all, "allow 22/tcp") || strings.Contains(all, "9735/tcp comment 'archy") ||
		!strings.Contains(all, "ufw limit 22/tcp\nufw allow 9735/tcp comment 'mine'\nufw allow 2222/tcp\nufw allow OpenSSH\nufw deny in on eth0 from 10.0.0.1\n") ||
		!strings.Contains(all, "ufw allow from fc00::/7 to any port 10009 proto tcp comment 'archy:lnd'") {
		t.Errorf("rules:\n%s", all)
	}
	if f.called("ufw default") || f.called("ufw --force enable") {
		t.Errorf("an active firewall keeps its policies: %q", f.calls)
	}
}

// Nobody is shut out of the node.
func TestFirewallIsNotEnabledOverTheSSHPort(t *testing.T) {
	f := newHost(t)
	f.ssh = "LISTEN 0 128 0.0.0.0:2222 0.0.0.0:* users:((\"sshd\",pid=1,fd=3))\nLISTEN 0 128 [::]:2222 [::]:* users:((\"sshd\",pid=1,fd=4))\n"
	wantError(t, f.apply(f.firewall), "firewall not enabled: sshd listens on port 2222", "ufw allow 2222/tcp")
	if f.ufwActive {
		t.Error("the firewall is on")
	}
	f.ufwRules = append(f.ufwRules, "ufw limit 2222/tcp")
	if err := f.apply(f.firewall); err != nil || !f.ufwActive {
		t.Errorf("with a rule for it: %v", err)
	}
}

// TestTheKernelHasTheRulesOfUfw: ufw was killed between its file and the kernel. Its own answers do not show that, and the next run finds it.
func TestTheKernelHasTheRulesOfUfw(t *testing.T) {
	f := newHost(t)
	f.install("lnd")
	f.must(f.apply(f.firewall))
	for name, breaks := range map[string]struct {
		call   string
		before func()
	}{
		"a rule for everybody is added": {"allow in proto tcp to any port 443", func() { f.unrule("443/tcp") }},
		"a rule for IPv6 is added":      {"allow in proto tcp from fc00::/7 to any port 10009", func() { f.unrule("from fc00::/7 to any port 10009") }},
		"a rule is taken away":          {"--force delete allow in proto tcp from 10.0.0.0/8 to any port 3000", func() { f.rule("ufw allow from 10.0.0.0/8 to any port 3000 proto tcp comment 'archy:grafana'") }},
	} {
		t.Run(name, func(t *testing.T) {
			breaks.before()
			f.ufwDies = breaks.call
			wantError(t, f.apply(f.firewall), "killed")
			f.calls, f.ufwDies = nil, ""
			if p, err := f.CheckPart(t.Context(), PartFirewall); err != nil || len(p.Changes) != 1 || !strings.Contains(p.Changes[0].Text, "into the kernel") {
				t.Errorf("the doctor sees %+v, %v", p.Changes, err)
			}
			if err := f.apply(f.firewall); err != nil || len(f.calls) != 1 || f.calls[0][0] != ufwInit {
				t.Errorf("%v, %q", err, f.calls)
			}
			if p, err := f.plan(f.firewall); err != nil || len(p.Changes) > 0 {
				t.Errorf("something is left to do: %+v, %v", p.Changes, err)
			}
		})
	}
	// What somebody gave the kernel alone may be how he comes in.
	f.kernel["iptables"] += "-A ufw-user-input -p tcp -m tcp --dport 2222 -j ACCEPT\n"
	f.ssh, f.calls = "LISTEN 0 128 0.0.0.0:2222 0.0.0.0:* users:((\"sshd\",pid=1,fd=3))\n", nil
	if wantError(t, f.apply(f.firewall), "not loaded: sshd listens on port 2222"); f.called(ufwInit) {
		t.Errorf("%q", f.calls)
	}
	f.loadRules()
	// ufw gives a kernel without IPv6 no such rules.
	f.must(os.Remove(f.at("/proc/sys/net/ipv6")))
	f.fail["ip6tables"] = errors.New("no such table")
	if p, err := f.plan(f.firewall); err != nil || slices.ContainsFunc(p.Changes, func(c Change) bool { return strings.Contains(c.Text, "kernel") }) {
		t.Errorf("%+v, %v", p.Changes, err)
	}
}

// rule and unrule change ufw's rules as ufw does: file and kernel.
func (f *fakeHost) rule(text string) {
	f.ufwRules = append(f.ufwRules, text)
	f.writeRules()
	f.loadRules()
}

func (f *fakeHost) unrule(part string) {
	f.ufwRules = slices.DeleteFunc(f.ufwRules, func(r string) bool { return strings.Contains(r, part) })
	f.writeRules()
	f.loadRules()
}

func TestParseRule(t *testing.T) {
	for text, want := range map[string]found{
		"allow 5353/udp comment 'archy:mdns'":                            {Rule{"udp", "", 5353, "archy:mdns"}, "allow", false},
		"allow from 10.0.0.0/8 to any port 8080 proto tcp comment 'a b'": {Rule{"tcp", "10.0.0.0/8", 8080, "a b"}, "allow", false},
		"limit 22":                        {Rule{"", "", 22, ""}, "limit", false},
		"allow OpenSSH":                   {Rule{"", "", 0, ""}, "allow", true},
		"allow in on eth0 to any port 80": {Rule{"", "", 80, ""}, "allow", true},
		"allow 6000:6007/tcp":             {Rule{"tcp", "", 0, ""}, "allow", true},
		"allow to 10.0.0.1 port 80":       {Rule{"", "", 80, ""}, "allow", true},
	} {
		if got := parseRule(text); got.Rule.Port != want.Port || got.From != want.From || got.Comment != want.Comment || got.action != want.action || got.other != want.other {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

func TestWireGuard(t *testing.T) {
	f := newHost(t)
	f.Config.WireGuard.Enabled = true
	f.write("/etc/wireguard/wg-archy.peers.d/20-b.conf", "[Peer]\nPublicKey = B\n", 0o600)
	f.write("/etc/wireguard/wg-archy.peers.d/10-a.conf", "[Peer]\nPublicKey = A\n", 0o600)
	f.write("/etc/wireguard/wg-archy.peers.d/notes.txt", "no peer", 0o600)
	if err := f.apply(f.wireguard); err != nil {
		t.Fatal(err)
	}
	conf := f.read(WireGuardConf)
	key := strings.TrimSpace(f.read(WireGuardKey))
	if !strings.Contains(conf, "Address = 10.77.0.1/24\nListenPort = 51820\nPrivateKey = "+key+"\n") ||
		strings.Index(conf, "= A") > strings.Index(conf, "= B") || strings.Contains(conf, "no peer") {
		t.Errorf("%s", conf)
	}
	for _, p := range []string{WireGuardKey, WireGuardConf} {
		if info, err := os.Stat(f.at(p)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", p, info.Mode())
		}
	}
	f.write("/etc/wireguard/wg-archy.peers.d/30-c.conf", "[Peer]\nPublicKey = C\n", 0o600)
	if err := f.apply(f.wireguard); err != nil || !f.called("wg syncconf wg-archy /dev/stdin") || f.stdin == "" || strings.TrimSpace(f.read(WireGuardKey)) != key {
		t.Errorf("a new peer: %v, %q", err, f.calls)
	}
	if slices.ContainsFunc(f.calls, func(argv []string) bool { return strings.Contains(strings.Join(argv, " "), key) }) {
		t.Error("the key is on a command line")
	}
	f.tunnelIsToldFirst(key)
	f.tunnelFollowsItsAddress()
	// A kernel without such interfaces is a warning, not the end.
	f = newHost(t)
	f.Config.WireGuard.Enabled = true
	f.fail["systemctl enable --now wg-quick"] = errors.New("unknown device type")
	p, _ := f.boot()
	if p.Result != ResultOK || !strings.Contains(strings.Join(p.Warnings, "\n"), "wireguard: unknown device type") {
		t.Errorf("%+v", p)
	}
}

// tunnelIsToldFirst: a run is killed before the interface has its configuration, or wg refuses that, and the next run does not take it for done.
func (f *fakeHost) tunnelIsToldFirst(key string) {
	before := f.read(WireGuardConf)
	f.write("/etc/wireguard/wg-archy.peers.d/40-d.conf", "[Peer]\nPublicKey = D\n", 0o600)
	f.fail["wg syncconf"] = &command.ExitError{Argv: []string{"wg", "syncconf"}, Code: 1, Stderr: "Key is not the correct length or format: `" + key + "'"}
	for range 2 {
		if err := f.apply(f.wireguard); err == nil || !strings.Contains(err.Error(), "Key is not the correct length") || strings.Contains(err.Error(), key) {
			f.t.Errorf("the interface refuses: %v", err)
		}
		if f.read(WireGuardConf) != before {
			f.t.Error("the configuration was written, and the interface does not have it")
		}
	}
	delete(f.fail, "wg syncconf")
	f.write(wireGuardNew, "of a killed run", 0o600)
	f.calls, f.enabled[wireGuardUnit] = nil, false
	if err := f.apply(f.wireguard); err != nil || !f.called("wg syncconf wg-archy") || !f.called("systemctl enable") || !strings.Contains(f.read(WireGuardConf), "= D") {
		f.t.Errorf("after a killed run: %v, %q", err, f.calls)
	}
	// The owner takes the change back after a run was killed.
	f.write(wireGuardNew, "of a killed run", 0o600)
	f.calls = nil
	if err := f.apply(f.wireguard); err != nil || len(f.calls) > 0 {
		f.t.Errorf("nothing to do: %v, %q", err, f.calls)
	}
	if _, err := os.Lstat(f.at(wireGuardNew)); !errors.Is(err, os.ErrNotExist) {
		f.t.Errorf("%s: %v", wireGuardNew, err)
	}
}

// tunnelFollowsItsAddress: wg takes no address, so the interface is asked for those that it has. The old one goes last, and only then is the file
// written that says which it was; what somebody else gave the interface stays.
func (f *fakeHost) tunnelFollowsItsAddress() {
	const mine = "192.0.2.9/32"
	want := func(what string, addresses ...string) {
		f.t.Helper()
		slices.Sort(f.tunnel)
		if !slices.Equal(f.tunnel, addresses) {
			f.t.Errorf("%s: the interface has %q, want %q", what, f.tunnel, addresses)
		}
	}
	want("as it was started", "10.77.0.1/24")
	f.tunnel = append(f.tunnel, mine)
	f.Config.WireGuard.Address = "10.78.0.1/24"
	before := f.read(WireGuardConf)
	for _, call := range []string{"ip address replace", "ip address del"} {
		f.fail[call] = errors.New("killed")
		wantError(f.t, f.apply(f.wireguard), "killed")
		delete(f.fail, call)
		if f.read(WireGuardConf) != before {
			f.t.Fatalf("%s failed, and the file that names the old address is gone", call)
		}
	}
	want("killed before the old one went", "10.77.0.1/24", "10.78.0.1/24", mine)
	f.calls = nil
	if err := f.apply(f.wireguard); err != nil || !f.called("wg syncconf") || !strings.Contains(f.read(WireGuardConf), "Address = 10.78.0.1/24\n") {
		f.t.Errorf("%v, %q", err, f.calls)
	}
	want("a new address", "10.78.0.1/24", mine)

	// An older archy wrote the file and left the interface as it was.
	f.tunnel, f.calls = []string{"10.77.0.1/24"}, nil
	if err := f.apply(f.wireguard); err != nil || f.called("wg syncconf") {
		f.t.Errorf("%v, %q", err, f.calls)
	}
	want("the file is right and the interface is not", "10.77.0.1/24", "10.78.0.1/24")

	f.Config.WireGuard.Address, f.tunnel, f.calls = "10.78.0.1/16", []string{"10.78.0.1/24"}, nil
	f.must(f.apply(f.wireguard))
	want("another length", "10.78.0.1/16")
	if at := slices.IndexFunc(f.calls, func(argv []string) bool { return argv[0] == "ip" }); at < 0 || f.calls[at][2] != "del" {
		f.t.Errorf("%q", f.calls)
	}
	f.calls = nil
	if f.must(f.apply(f.wireguard)); len(f.calls) > 0 {
		f.t.Errorf("nothing to do: %q", f.calls)
	}
}

func TestAddressesOfATunnel(t *testing.T) {
	conf := "# Address = 1.2.3.4/5\n[Interface]\nAddress = 10.77.0.1/24, fd00::1/64 # both\naddress=192.0.2.1\nListenPort = 1\n[Peer]\nAllowedIPs = 10.77.0.2/32\n"
	if got := joined(addresses([]byte(conf))); got != "10.77.0.1/24, fd00::1/64, 192.0.2.1/32" {
		t.Errorf("%s", got)
	}
}
