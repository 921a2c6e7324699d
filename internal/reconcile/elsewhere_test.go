package reconcile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// binds gives a script's container a directory of the host.
func binds(source, target string) func(*podman.Inspect) {
	return func(c *podman.Inspect) {
		c.Mounts = append(c.Mounts, podman.Mount{Type: "bind", Source: source, Target: target})
	}
}

// An lnd whose data lie somewhere else keeps them there after its migration: archy's files go there, and its wallet is seen.
func TestTheWalletOfAnLndElsewhere(t *testing.T) {
	n := walletNode(t)
	n.pass(func(o *Options) { o.Only = []string{"bitcoin-knots"} })
	n.later(3 * time.Minute)
	n.lay("/mnt/old/lnd/data/chain/bitcoin/mainnet/wallet.db", "the owner's")
	n.script("lnd", "docker.io/example/lnd:v0.9", binds("/mnt/old/lnd", "/data"))
	n.pass(func(o *Options) { o.AdoptOnly = true })
	p := n.passOf(migrateAll)
	w, err := p.Observer.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a := w.app("lnd"); !a.Wallet.Exists || len(a.Fresh) > 0 || a.DataDir(n.layout.DataDir) != "/mnt/old/lnd" {
		t.Errorf("wallet seen %v, made %v, directory %s", a.Wallet.Exists, a.Fresh, a.DataDir(n.layout.DataDir))
	}
	if got := n.result(n.pass(migrateAll), "lnd"); got.Action != Migrated {
		t.Fatalf("%+v", got)
	}
	for range 2 { // the second pass knows it from the record
		if n.text("/mnt/old/lnd/lnd.conf") == "" || n.text("/var/lib/archipelago/lnd/lnd.conf") != "" || len(n.Calls("write secret lnd-wallet-password")) > 0 {
			t.Errorf("calls %q", n.calls)
		}
		n.later(time.Minute)
		n.pass()
	}
	if a := n.observed("lnd"); !a.Wallet.Exists || a.DataDir(n.layout.DataDir) != "/mnt/old/lnd" {
		t.Errorf("after the migration: wallet seen %v, directory %s", a.Wallet.Exists, a.DataDir(n.layout.DataDir))
	}
}

// An adopted lnd that vanishes is made anew over the data that it had, also after a migration that was undone.
func TestAnLndElsewhereThatVanishes(t *testing.T) {
	for _, undone := range []bool{false, true} {
		n := walletNode(t)
		n.pass(func(o *Options) { o.Only = []string{"bitcoin-knots"} })
		n.later(3 * time.Minute)
		n.lay("/mnt/old/lnd/data/chain/bitcoin/mainnet/wallet.db", "the owner's")
		n.script("lnd", "docker.io/example/lnd:v0.9", binds("/mnt/old/lnd", "/data"))
		n.pass()
		if undone {
			n.onCall = nil
			n.behave[lndImage] = behaviour{dies: 1}
			if got := n.result(n.pass(migrateAll), "lnd"); got.Action != RolledBack {
				t.Fatalf("%+v", got)
			}
			n.behave = map[string]behaviour{}
		}
		n.drop(n.containers["lnd"])
		n.later(10 * time.Minute)
		n.pass()
		unit := n.text(n.layout.Unit("lnd"))
		if !strings.Contains(unit, "Volume=/mnt/old/lnd:/data") || len(n.Calls("write secret lnd-wallet-password")) > 0 || !n.runs("lnd") {
			t.Errorf("undone %v: calls %q\n%s", undone, n.Calls("write secret"), unit)
		}
	}
}

func (n *fakeNode) observed(id string) *App {
	n.t.Helper()
	w, err := n.passOf().Observer.Observe(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	return w.app(id)
}

// The chain of a bitcoin elsewhere says how much of it is kept.
func TestTheChainOfABitcoinElsewhere(t *testing.T) {
	n := bitcoinNode(t)
	n.lay("/mnt/old/bitcoin/bitcoin.conf", "txindex=1\n")
	n.script("bitcoin-knots", "docker.io/example/bitcoin-knots:v0.9", binds("/mnt/old/bitcoin", "/data"))
	for range 2 {
		n.pass(migrateAll)
		n.later(time.Minute)
	}
	if conf := n.text("/mnt/old/bitcoin/bitcoin.conf"); !strings.Contains(conf, "\nprune=0\ntxindex=1\n") || n.text("/var/lib/archipelago/bitcoin/bitcoin.conf") != "" {
		t.Errorf("%s", conf)
	}
	if p := n.record("bitcoin-knots").Pinned; *p.Prune != 0 || !*p.TxIndex {
		t.Errorf("pinned %+v", p)
	}
}

// The disk that counts is the one that the chain lies on, for how much of it is kept and for what manifests are told.
func TestTheDiskOfABitcoinElsewhere(t *testing.T) {
	n := bitcoinNode(t)
	apps := bitcoins()
	apps["solo"] = strings.Replace(five()["solo"], "    network: archy-net\n", "    network: archy-net\n    derived_env: [{key: DISK, template: \"{{DISK_GB}}\"}]\n", 1)
	n.load(apps)
	n.facts.DataDisk = 1 << 60
	n.lay("/mnt/old/bitcoin/.lock", "")
	size, err := node.DiskSize(n.layout.Host("/mnt/old/bitcoin"))
	if err != nil {
		t.Fatal(err)
	}
	n.script("bitcoin-knots", "docker.io/example/bitcoin-knots:v0.9", binds("/mnt/old/bitcoin", "/data"))
	n.pass()
	for range 2 {
		if unit := n.text(n.layout.Unit("solo")); !strings.Contains(unit, fmt.Sprintf("Environment=DISK=%d\n", size/1e9)) {
			t.Errorf("the disk has %d bytes:\n%s", size, unit)
		}
		n.pass(migrateAll)
		n.pass()
		n.later(time.Hour)
	}
}

// Guards look at the data where they lie, and so does the rule about lost passwords.
func TestGuardsLookElsewhere(t *testing.T) {
	n := newNode(t, map[string]string{"immich-postgres": strings.Replace(shared(manifestOf("immich-postgres", 0, fmt.Sprintf(dataOf, "immich-db")), true), ":v1.0", ":14-alpine", 1)}).firstBootDone()
	n.lay("/mnt/old/db/PG_VERSION", "13\n")
	n.script("immich-postgres", "docker.io/example/immich-postgres:13", binds("/mnt/old/db", "/data"))
	if _, _, err := n.vault.Generate("db-password", secrets.Hex32); err != nil {
		t.Fatal(err)
	}
	if got := n.result(n.pass(migrateAll), "immich-postgres"); got.Action != NeedsHuman || !strings.Contains(got.Cause, "data of PostgreSQL 13, image of 14") {
		t.Errorf("%+v", got)
	}
	n.lay("/mnt/old/db/PG_VERSION", "14\n")
	if got := n.result(n.pass(migrateAll), "immich-postgres"); got.Action != Migrated {
		t.Fatalf("%+v", got)
	}
	n.lose("db-password")
	if got := n.result(n.pass(), "immich-postgres"); got.Action != NeedsHuman || got.Row != "27" {
		t.Errorf("%+v", got)
	}
}

// An adopted container that vanishes, also after a migration that was undone, leaves its data and ports to its unit. Before it does, they
// are told as differences.
func TestVanishedDataStayWhereTheyLie(t *testing.T) {
	for _, undone := range []bool{false, true} {
		n := newNode(t, map[string]string{"pgdb": five()["pgdb"]}).firstBootDone()
		n.script("pgdb", "docker.io/example/pgdb:v1.0", binds("/var/lib/archipelago/old-db", "/data"), func(i *podman.Inspect) {
			i.Ports = []podman.Port{{HostPort: 18080, ContainerPort: 8080, Protocol: "tcp"}}
			i.Env = podman.Env{"DB=" + marker}
		})
		n.pass()
		if undone {
			n.fault = fault{kind: "fail", match: "start pgdb.service"}
			if got := n.result(n.pass(migrateAll), "pgdb"); got.Action != RolledBack {
				t.Fatalf("%+v", got)
			}
			n.revive()
		}
		if words := n.result(n.pass(), "pgdb").DriftWords(); !strings.Contains(words, "+/var/lib/archipelago/old-db:/data") || !strings.Contains(words, "+18080:8080") {
			t.Errorf("drift %q", words)
		}
		n.drop(n.containers["pgdb"])
		n.later(time.Hour)
		if err := os.WriteFile(n.vault.Path("db-password"), []byte(marker), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := n.result(n.pass(), "pgdb"); got.Row != "22" || got.Action != Installed {
			t.Fatalf("%+v", got)
		}
		if unit := n.text(n.layout.Unit("pgdb")); !strings.Contains(unit, "Volume=/var/lib/archipelago/old-db:/data") || !strings.Contains(unit, "PublishPort=18080:8080") {
			t.Errorf("unit:\n%s", unit)
		}
		n.converged()
	}
}

// The record of an adopted container that an older version wrote is brought up to date while the container is there.
func TestAnOlderRecordLearnsWhereDataLie(t *testing.T) {
	n := newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
	n.script("solo", oldImage, binds("/mnt/old/solo", "/data"))
	n.pass()
	r := n.record("solo")
	r.Pinned = state.Pinned{}
	if err := n.store.WriteRecord(r); err != nil {
		t.Fatal(err)
	}
	n.pass(func(o *Options) { o.CheckOnly = true })
	if got := n.record("solo").Pinned.Volumes; got != nil {
		t.Fatalf("looked at only: %v", got)
	}
	n.pass()
	if got := n.record("solo").Pinned.Volumes; len(got) != 1 || got[0].Source != "/mnt/old/solo" {
		t.Fatalf("%v", got)
	}
	n.drop(n.containers["solo"])
	n.later(time.Hour)
	n.pass()
	if unit := n.text(n.layout.Unit("solo")); !strings.Contains(unit, "Volume=/mnt/old/solo:/data") {
		t.Errorf("unit:\n%s", unit)
	}
}

// The data of a volume are not where a unit would look for them: nothing is started in the place of a container that had them there and
// is gone, nor after its removal, before its owner has copied them, given them up or named the volume in a manifest.
func TestAVanishedContainerLeavesItsVolume(t *testing.T) {
	named := podman.Mount{Type: "volume", Name: "solo-data", Source: "/volumes/solo-data/_data", Target: "/data"}
	anonymous := podman.Mount{Type: "volume", Name: strings.Repeat("ab", 32), Source: "/volumes/ab/_data", Target: "/data"}
	extra := podman.Mount{Type: "bind", Source: "/srv/extra", Target: "/extra", RW: true}
	for _, m := range []podman.Mount{named, anonymous, extra} {
		for _, removed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s at %s, removed %v", m.Type, m.Target, removed), func(t *testing.T) {
				n := newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
				n.script("solo", oldImage, func(i *podman.Inspect) {
					i.Mounts = []podman.Mount{m, {Type: "bind", Source: "/etc/localtime", Target: "/etc/localtime"}}
				})
				try := func(o *Options) {}
				n.pass()
				if removed {
					n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"solo"}})
					try = func(o *Options) {
						o.Install, o.Owner, o.Only = map[string]string{"solo": state.ByInstall}, true, []string{"solo"}
					}
				} else {
					n.drop(n.containers["solo"])
				}
				n.later(time.Hour)
				for range 2 {
					got := n.result(n.pass(try), "solo")
					if got.Action != NeedsHuman || !strings.Contains(got.Cause, "is gone, mounted") || !strings.Contains(got.Error.Hint, "--drop-mount "+m.Target) || n.text(n.layout.Unit("solo")) != "" {
						t.Fatalf("%+v %+v", got, got.Error)
					}
					if hint := "podman unshare cp -a " + m.Source + "/. /var/lib/archipelago/solo/"; m.Type == "volume" && !strings.Contains(got.Error.Hint, hint) {
						t.Errorf("hint %q", got.Error.Hint)
					}
				}
				if got := n.result(n.pass(try, func(o *Options) { o.DropMounts = []string{m.Target} }), "solo"); got.Action != Installed || !n.runs("solo") {
					t.Fatalf("given up: %+v", got)
				}
				n.converged()
			})
		}
	}
}

// A vanished container of an app that its owner stopped: not even the unit is written. A manifest that names the volume has its data.
func TestAVolumeNamedInAManifest(t *testing.T) {
	manifest := five()["solo"] + fmt.Sprintf(dataOf, "solo")
	n := newNode(t, map[string]string{"solo": manifest}).firstBootDone()
	n.script("solo", oldImage, func(i *podman.Inspect) {
		i.Mounts = []podman.Mount{{Type: "volume", Name: "solo-data", Source: "/volumes/solo-data/_data", Target: "/data"}}
	})
	n.pass()
	n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{"solo"}})
	n.drop(n.containers["solo"])
	n.later(time.Hour)
	if got := n.result(n.pass(), "solo"); got.Action != Left || !strings.Contains(got.Cause, "volume solo-data") || n.text(n.layout.Unit("solo")) != "" {
		t.Fatalf("%+v", got)
	}
	n.load(map[string]string{"solo": five()["solo"] + "  volumes:\n    - {type: volume, source: solo-data, target: /data}\n"})
	n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"solo"}})
	if unit := n.text(n.layout.Unit("solo")); !strings.Contains(unit, "Volume=solo-data:/data") || !n.runs("solo") {
		t.Errorf("unit:\n%s", unit)
	}
}

// Who reads the directory of another app reads it where that app has it: before and after its migration, and without being able to write.
func TestAMountOfAnotherAppsDirectoryFollows(t *testing.T) {
	reads := fmt.Sprintf(dataOf, "gateway") + "    - {type: bind, source: /var/lib/archipelago/lnd/data, target: /lnd, options: [ro]}\n"
	n := newNode(t, map[string]string{
		"lnd":     manifestOf("lnd", 2, fmt.Sprintf(dataOf, "lnd")),
		"gateway": manifestOf("gateway", 3, reads, dependsOn("lnd")),
	}).firstBootDone()
	n.lay("/mnt/old/lnd/data/admin.macaroon", "m")
	n.script("lnd", "docker.io/example/lnd:v0.9", binds("/mnt/old/lnd", "/data"))
	follows := func(when string) {
		t.Helper()
		if unit := n.text(n.layout.Unit("gateway")); !strings.Contains(unit, "Volume=/mnt/old/lnd/data:/lnd:ro") || !strings.Contains(unit, "Volume=/var/lib/archipelago/gateway:/data") {
			t.Errorf("%s:\n%s", when, unit)
		}
	}
	n.pass()
	follows("adopted")
	if got := n.result(n.pass(migrateAll), "lnd"); got.Action != Migrated {
		t.Fatalf("%+v", got)
	}
	follows("migrated")
	n.converged()
	if p := n.record("gateway").Pinned.Volumes; len(p) > 0 {
		t.Errorf("it keeps %v, and would stay there if lnd moved", p)
	}
}

// The bitcoin that takes the directory of the other over has it from where that one had it, also back again, and at its own target.
func TestTheOtherBitcoinTakesTheDirectoryOver(t *testing.T) {
	apps := bitcoins()
	apps["bitcoin-core"] = strings.Replace(apps["bitcoin-core"], "target: /data", "target: /home/bitcoin", 1)
	swap := func(n *fakeNode, old, id string) AppResult {
		n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{old}})
		n.later(time.Hour)
		r, err := n.verb(Request{Verb: VerbInstall, Apps: []string{id}})
		if err != nil {
			t.Fatal(err)
		}
		return n.result(r, id)
	}
	start := func(mount podman.Mount) *fakeNode {
		n := bitcoinNode(t)
		n.load(apps)
		n.lay("/mnt/old/bitcoin/blocks/blk00000.dat", "block")
		n.script("bitcoin-knots", "docker.io/example/bitcoin-knots:v0.9", func(i *podman.Inspect) { i.Mounts = []podman.Mount{mount} })
		n.pass()
		return n
	}
	n := start(podman.Mount{Type: "bind", Source: "/mnt/old/bitcoin", Target: "/data", RW: true})
	n.pass(migrateAll)
	for _, c := range []struct{ old, id, target string }{{"bitcoin-knots", "bitcoin-core", "/home/bitcoin"}, {"bitcoin-core", "bitcoin-knots", "/data"}} {
		got := swap(n, c.old, c.id)
		unit := n.text(n.layout.Unit(c.id))
		if got.Action != Installed || !strings.Contains(unit, "Volume=/mnt/old/bitcoin:"+c.target+"\n") || strings.Count(unit, "Volume=") != 1 {
			t.Errorf("%+v\n%s", got, unit)
		}
		if *n.record(c.id).Pinned.Prune != 0 || !n.runs(c.id) {
			t.Errorf("%s: runs %v, keeps %d MiB", c.id, n.runs(c.id), *n.record(c.id).Pinned.Prune)
		}
	}
	for _, name := range []string{"bitcoin-data", strings.Repeat("ab", 32)} {
		n = start(podman.Mount{Type: "volume", Name: name, Source: "/volumes/b/_data", Target: "/data"})
		if got := swap(n, "bitcoin-knots", "bitcoin-core"); got.Action != NeedsHuman || !strings.Contains(got.Error.Hint, "archy install bitcoin-core --drop-mount /home/bitcoin") {
			t.Errorf("%+v %+v", got, got.Error)
		}
	}
}

// An app whose record is lost has its data where its unit says, also when it is installed again.
func TestALostRecordLosesNoData(t *testing.T) {
	n := newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
	n.script("solo", oldImage, binds("/mnt/old/solo", "/data"))
	n.pass(migrateAll)
	n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{"solo"}})
	if err := os.WriteFile(n.layout.Host(n.layout.State("apps", "solo.json")), []byte("{\"sche"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.mustVerb(3, Request{Verb: VerbInstall, Apps: []string{"solo"}}) // the record is told, and kept aside
	for range 2 {
		if unit := n.text(n.layout.Unit("solo")); !strings.Contains(unit, "Volume=/mnt/old/solo:/data") || !n.runs("solo") {
			t.Errorf("runs %v\n%s", n.runs("solo"), unit)
		}
		n.later(time.Hour)
		n.pass()
	}
	if p := n.record("solo").Pinned.Volumes; len(p) != 1 || p[0].Source != "/mnt/old/solo" {
		t.Errorf("pinned %v", p)
	}
}

// A manifest that names another directory does not take an app away from its data, which nobody has copied: it serves on, and is not
// started over the empty one, until they are there or it was removed.
func TestAManifestMovesNoData(t *testing.T) {
	app := func(dir string) map[string]string {
		return map[string]string{"solo": five()["solo"] + strings.Replace(fmt.Sprintf(dataOf, "solo"), "/var/lib/archipelago/solo", dir, 1)}
	}
	start := func() *fakeNode {
		n := newNode(t, app("/var/lib/archipelago/solo")).firstBootDone()
		n.pass()
		n.lay("/var/lib/archipelago/solo/file", "data")
		n.load(app("/var/lib/archipelago/bigger/solo"))
		n.later(time.Hour)
		return n
	}
	at := func(n *fakeNode, dir string) {
		t.Helper()
		if unit := n.text(n.layout.Unit("solo")); !strings.Contains(unit, "Volume="+dir+":/data") || !n.runs("solo") {
			t.Errorf("runs %v\n%s", n.runs("solo"), unit)
		}
	}
	n := start()
	for _, way := range []func(*Options){func(o *Options) {}, func(o *Options) { o.Force = true }} {
		if got := n.result(n.pass(way), "solo"); got.Action != NeedsHuman || !strings.Contains(got.Error.Hint, "cp -a /var/lib/archipelago/solo/. /var/lib/archipelago/bigger/solo/") {
			t.Errorf("%+v %+v", got, got.Error)
		}
		at(n, "/var/lib/archipelago/solo")
	}
	n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{"solo"}})
	n.pass()
	n.mustVerb(6, Request{Verb: VerbStart, Apps: []string{"solo"}})
	n.lay("/var/lib/archipelago/bigger/solo/file", "data")
	n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"solo"}})
	at(n, "/var/lib/archipelago/bigger/solo")
	n = start()
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"solo"}})
	n.mustVerb(0, Request{Verb: VerbInstall, Apps: []string{"solo"}})
	at(n, "/var/lib/archipelago/bigger/solo")
}

// A record that is lost, or cut short, is made anew from the app's unit, whoever else has forgotten the app: it stays installed, with
// its image and its data where they were, and nothing is restarted. Nobody has to ask for it.
func TestALostRecordIsMadeAnew(t *testing.T) {
	text := strings.Replace(manifestOf("solo", 3, fmt.Sprintf(dataOf, "solo"), "  environment: [POSTGRES_DB=solo]\n"), "optional: false", "optional: true", 1)
	for name, lose := range map[string]func(file string) error{
		"gone":      os.Remove,
		"cut short": func(file string) error { return os.WriteFile(file, []byte("{\"sche"), 0o600) },
		"empty":     func(file string) error { return os.WriteFile(file, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, map[string]string{"solo": text}).firstBootDone()
			n.script("solo", oldImage, binds("/mnt/old/solo", "/data"), func(i *podman.Inspect) {
				i.Env = append(i.Env, "POSTGRES_DB=older")
				i.Ports = append(i.Ports, podman.Port{HostIP: "127.0.0.1", HostPort: 18080, ContainerPort: 80, Protocol: "tcp"},
					podman.Port{HostPort: 18081, ContainerPort: 81, Protocol: "udp"})
			})
			n.pass(migrateAll)
			n.later(time.Hour)
			n.pass()
			before, was := n.record("solo"), n.containers["solo"].ID
			n.load(map[string]string{"solo": upgraded(text, "v2.0")})
			if err := lose(n.layout.Host(n.layout.State("apps", "solo.json"))); err != nil {
				t.Fatal(err)
			}
			r := n.result(n.pass(), "solo")
			if r.Action != Adopted || !strings.Contains(r.Cause, "record was lost") || n.containers["solo"].ID != was {
				t.Errorf("%s (%s)", r.Action, r.Cause)
			}
			now := n.record("solo")
			if !now.Installed || now.Owner != state.Quadlet || now.Image != before.Image || len(before.Pinned.ExtraPorts) != 2 || !reflect.DeepEqual(now.Pinned, before.Pinned) {
				t.Errorf("the record was\n%+v\nand is\n%+v", before, now)
			}
			n.later(time.Hour)
			if r := n.result(n.pass(), "solo"); r.Action != NoOp || n.containers["solo"].ID != was {
				t.Errorf("afterwards: %s (%s)", r.Action, r.Cause)
			}
			n.mustVerb(0, Request{Verb: VerbRestart, Apps: []string{"solo"}})
		})
	}
}

// What a newer archy wrote may be whole: it is left as it is, and said, until the owner installs the app.
func TestARecordOfANewerArchyIsLeft(t *testing.T) {
	n := newNode(t, map[string]string{"solo": strings.Replace(manifestOf("solo", 3), "optional: false", "optional: true", 1)}).firstBootDone()
	n.mustVerb(0, Request{Verb: VerbInstall, Apps: []string{"solo"}})
	file := n.layout.Host(n.layout.State("apps", "solo.json"))
	const newer = `{"schema": 9, "app": "solo"}`
	if err := os.WriteFile(file, []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}
	n.later(time.Hour)
	r := n.result(n.pass(), "solo")
	if text, _ := os.ReadFile(file); r.Action != Left || !strings.Contains(r.Cause, "newer archy") || !strings.Contains(r.Cause, "archy install solo") || string(text) != newer {
		t.Errorf("%s (%s), the record is %s", r.Action, r.Cause, text)
	}
	n.mustVerb(3, Request{Verb: VerbInstall, Apps: []string{"solo"}})
	if !n.record("solo").Installed {
		t.Error("it is not installed")
	}
	if kept, _ := filepath.Glob(file + ".unreadable-*"); len(kept) != 1 {
		t.Errorf("kept aside: %q", kept)
	}
}

// A manifest that has its data at another place inside finds them; one that mounts them no more, or pinned ones where it does not look, leads
// away from them: what runs goes on, until the data are where the manifest looks, or are given up.
func TestAManifestThatDropsAMount(t *testing.T) {
	const dir = "/var/lib/archipelago/solo"
	volumes := func(lines ...string) map[string]string {
		return map[string]string{"solo": five()["solo"] + "  volumes:\n    - {" + strings.Join(lines, "}\n    - {") + "}\n"}
	}
	data, cache := "type: bind, source: "+dir+"/data, target: /data", "type: bind, source: "+dir+"/cache, target: /cache"
	for _, c := range []struct {
		name          string
		before, after []string
		held          string // part of the cause; "": it is replaced
		copyTo        string
	}{
		{"another target", []string{data, cache}, []string{cache, "type: bind, source: " + dir + "/data, target: /elsewhere"}, "", ""},
		{"a directory above", []string{data}, []string{"type: bind, source: " + dir + ", target: /all"}, "", ""},
		{"a directory in it", []string{data}, []string{"type: bind, source: " + dir + "/data/sub, target: /sub"}, "", ""},
		{"dropped and read-only", []string{data, "type: bind, source: " + dir + "/shared, target: /shared, options: [ro]"}, []string{data}, "", ""},
		{"dropped and empty", []string{data, cache}, []string{data}, "", ""},
		{"dropped", []string{data, cache}, []string{cache}, "its data are in " + dir + "/data, which was mounted at /data, and its manifest does not mount that any more", ""},
		{"a tmpfs in its place", []string{data}, []string{"type: tmpfs, target: /data"}, "its data are in " + dir + "/data, which was mounted at /data", ""},
		{"only to read", []string{data}, []string{"type: bind, source: " + dir + "/data, target: /old, options: [ro]", "type: bind, source: " + dir + "/new, target: /data"},
			"its data are in " + dir + "/data and its manifest mounts " + dir + "/new, which is empty, at /data", dir + "/new"},
		{"another directory elsewhere", []string{data}, []string{"type: bind, source: " + dir + "/new, target: /new"}, "mounts " + dir + "/new, which is empty, at /new", dir + "/new"},
		{"a volume", []string{"type: volume, source: solo-data, target: /data"}, []string{data}, "its data are in volume solo-data and its manifest mounts " + dir + "/data", dir + "/data"},
		{"a volume at another target", []string{"type: volume, source: solo-data, target: /data"}, []string{"type: volume, source: solo-data, target: /elsewhere"}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := func() *fakeNode {
				n := newNode(t, volumes(c.before...)).firstBootDone()
				n.pass()
				if strings.Contains(c.before[0], "/data, target") {
					n.lay(dir+"/data/sub/file", "data")
				}
				n.later(time.Hour)
				n.load(volumes(c.after...))
				return n
			}
			n := start()
			before := n.text(n.layout.Unit("solo"))
			got := n.result(n.pass(), "solo")
			if c.held == "" {
				if got.Action != Recreated {
					t.Errorf("%+v %+v", got, got.Error)
				}
				n.converged()
				return
			}
			if got.Action != NeedsHuman || !strings.Contains(got.Cause, c.held) || !n.runs("solo") || n.text(n.layout.Unit("solo")) != before {
				t.Errorf("%+v", got)
			}
			n.mustVerb(6, Request{Verb: VerbStart, Apps: []string{"solo"}, DropMounts: []string{"/another"}})
			n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"solo"}, DropMounts: []string{"/data"}})
			n.converged()
			if c.copyTo != "" {
				n = start()
				n.lay(c.copyTo+"/file", "data")
				n.pass()
				n.converged()
			}
		})
	}
}

// What is pinned where an adopted container had it does not follow a manifest to another target: it is not left behind for an empty directory.
func TestAPinnedMountThatTheManifestMoves(t *testing.T) {
	n := newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
	n.lay("/mnt/old/solo/file", "data")
	n.script("solo", oldImage, binds("/mnt/old/solo", "/data"))
	n.pass(migrateAll)
	n.later(time.Hour)
	n.load(map[string]string{"solo": five()["solo"] + strings.Replace(fmt.Sprintf(dataOf, "solo"), "target: /data", "target: /new", 1)})
	if got := n.result(n.pass(), "solo"); got.Action != NeedsHuman || !strings.Contains(got.Cause, "its data are in /mnt/old/solo and its manifest mounts /var/lib/archipelago/solo, which is empty, at /new") {
		t.Errorf("%+v", got)
	}
	n.lay("/var/lib/archipelago/solo/file", "data")
	if got := n.result(n.pass(), "solo"); got.Action != Recreated {
		t.Errorf("copied: %+v", got)
	}
}

// Records that cannot be listed are not lost: none is made anew, and they count again when the directory can be read.
func TestRecordsThatCannotBeListedAreNotLost(t *testing.T) {
	n := fiveRunning(t)
	dir := n.layout.Host(n.layout.State("apps"))
	if err := errors.Join(os.Rename(dir, dir+".away"), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, op := range n.plan().Ops {
		if op.Kind == Adopt {
			t.Errorf("%s: %s", op.App, op.Cause)
		}
	}
	n.pass()
	if err := errors.Join(os.Remove(dir), os.Rename(dir+".away", dir)); err != nil {
		t.Fatal(err)
	}
	n.converged()
}

// A database that somebody runs under a name of his own, over the directory of an app, is not joined by a second one.
func TestNoSecondCopyOverTheSameData(t *testing.T) {
	begin := func(target string, rw bool) *fakeNode {
		n := newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
		n.script("my-postgres", oldImage, binds(n.layout.Data("solo"), target), func(c *podman.Inspect) { c.Mounts[0].RW = rw })
		return n
	}
	n := begin("/data", true)
	for range 2 {
		if got := n.result(n.pass(), "solo"); got.Action != NeedsHuman || got.Error.Code != "second-copy" || !strings.Contains(got.Cause, "my-postgres") || n.containers["solo"] != nil {
			t.Fatalf("%+v", got)
		}
		n.later(time.Minute)
	}
	n.downed(n.containers["my-postgres"], 0)
	n.pass()
	n.converged()
	for _, n := range []*fakeNode{begin("/lnd", true), begin("/data", false)} { // a tool beside it, a backup
		n.pass()
		n.converged()
	}
}
