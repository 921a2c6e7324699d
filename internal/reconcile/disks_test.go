package reconcile

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// mount makes these the mount points of disks of their own, beside the root's and the data volume's. The directory below a mount point is
// empty; what lies on the disk is kept beside it meanwhile.
func (n *fakeNode) mount(points ...string) {
	n.t.Helper()
	text := "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 21 8:2 / " + n.layout.DataDir + " rw - ext4 /dev/sda2 rw\n"
	for i, point := range points {
		text += fmt.Sprintf("%d 21 8:%d / %s rw - ext4 /dev/sdb rw\n", 30+i, 17+i, point)
		n.swapDisk(point+".disk", point)
	}
	n.lay("/proc/self/mountinfo", text)
}

// unmount is mount without that disk; what runs goes on.
func (n *fakeNode) unmount(point string) {
	n.t.Helper()
	n.mount()
	n.swapDisk(point, point+".disk")
	if err := os.Mkdir(n.layout.Host(point), 0o755); err != nil {
		n.t.Fatal(err)
	}
}

func (n *fakeNode) swapDisk(from, to string) {
	if _, err := os.Stat(n.layout.Host(from)); err != nil {
		return
	}
	if err := os.RemoveAll(n.layout.Host(to)); err != nil {
		n.t.Fatal(err)
	}
	if err := os.Rename(n.layout.Host(from), n.layout.Host(to)); err != nil {
		n.t.Fatal(err)
	}
}

// powerCycle ends everything, takes a disk away, and lets systemd start what it can before archy runs.
func (n *fakeNode) powerCycle(without string) {
	n.t.Helper()
	for _, c := range n.containers {
		if c.AutoRemove {
			n.drop(c)
		} else {
			n.downed(c, 137)
		}
	}
	n.unmount(without)
	for name, s := range n.services {
		s.Detail = systemd.Detail{Unit: systemd.Unit{Name: s.Name, LoadState: s.LoadState, ActiveState: "inactive", SubState: "dead"}, SourcePath: s.SourcePath}
		_ = n.run(name, s)
	}
	n.bootID = n.bootID + "+"
	n.later(time.Minute)
}

const soloDisk = "/var/lib/archipelago/solo"

// onADisk is an app whose data lie on a disk of their own.
func onADisk(t *testing.T) *fakeNode {
	n := newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
	n.mount(soloDisk)
	if err := os.MkdirAll(n.layout.Host(soloDisk), 0o755); err != nil {
		t.Fatal(err)
	}
	n.pass()
	n.converged()
	n.lay(soloDisk+"/wallet", "the owner's")
	return n
}

// A disk that no pass has seen mounted is known from fstab: an app is neither installed nor started over the empty directory.
func TestADiskThatNobodyHasSeenYet(t *testing.T) {
	for what, made := range map[string]bool{"a new app": false, "one that ran": true} {
		t.Run(what, func(t *testing.T) {
			n := newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
			n.mount()
			if made { // by an archy that did not know of disks
				n.pass()
				n.down("solo", 0)
			}
			if err := os.RemoveAll(n.layout.Host(soloDisk)); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(n.layout.Host(soloDisk), 0o755); err != nil {
				t.Fatal(err)
			}
			n.lay("/etc/fstab", "UUID=b "+soloDisk+" ext4 nofail 0 2\n")
			n.awaitsDisk(soloDisk)
			n.mount(soloDisk)
			n.lay(soloDisk+"/wallet", "the owner's")
			n.pass()
			n.converged()
			if !strings.Contains(n.unit("solo"), "AssertPathIsMountPoint="+soloDisk) {
				t.Error("its unit does not ask for the disk")
			}
		})
	}
}

// Who wants to begin without the disk of fstab says so.
func TestADiskOfFstabIsDropped(t *testing.T) {
	n := newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
	n.mount()
	n.lay("/etc/fstab", "UUID=b "+soloDisk+" ext4 nofail 0 2\n")
	n.pass()
	n.mustVerb(0, Request{Verb: VerbInstall, Apps: []string{"solo"}, DropDisks: []string{soloDisk}})
	n.lay(soloDisk+"/wallet", "a new one")
	if got := n.result(n.pass(), "solo"); got.Row == "39" || !n.runs("solo") {
		t.Errorf("%+v", got)
	}
}

// awaitsDisk asks that a pass and whatever its owner may type start nothing and write nothing.
func (n *fakeNode) awaitsDisk(disk string) {
	n.t.Helper()
	n.calls = nil
	for range 2 {
		r := n.pass()
		got := n.result(r, "solo")
		if got.Row != "39" || got.Action != NeedsHuman || r.ExitCode != ExitNeedsHuman || !strings.Contains(got.Cause, disk+", which is not mounted") ||
			!strings.Contains(got.Error.Hint, "sudo mount "+disk+", then: archy reconcile") || !strings.Contains(got.Error.Hint, "archy start solo --drop-disk "+disk) {
			n.t.Errorf("%+v %+v", got, got.Error)
		}
		n.later(time.Hour)
	}
	for _, verb := range []string{VerbStart, VerbRestart, VerbInstall} {
		n.mustVerb(6, Request{Verb: verb, Apps: []string{"solo"}})
	}
	n.mustVerb(6, Request{Verb: VerbStart, Apps: []string{"solo"}, DropDisks: []string{"/mnt/another"}})
	for _, way := range []func(*Options){func(o *Options) { o.Force = true }, migrateAll} {
		n.pass(way)
	}
	if got := n.touched(); len(got) > 0 {
		n.t.Errorf("touched %q", got)
	}
	if list, _ := os.ReadDir(n.layout.Host(disk)); len(list) > 0 {
		n.t.Errorf("written below the mount point: %v", list)
	}
}

// An app is not started over the empty directory below a mount point: not by a pass, not by a command, not by systemd at boot. When the disk
// is there again it comes up by itself.
func TestADiskThatIsNotMounted(t *testing.T) {
	n := onADisk(t)
	if unit := n.text(n.layout.Unit("solo")); !strings.Contains(unit, "\nAssertPathIsMountPoint="+soloDisk+"\n") {
		t.Errorf("unit:\n%s", unit)
	}
	n.powerCycle(soloDisk)
	n.awaitsDisk(soloDisk)
	n.mount(soloDisk)
	if got := n.result(n.pass(), "solo"); got.Action != Started || n.text(soloDisk+"/wallet") == "" {
		t.Errorf("%+v", got)
	}
	n.converged()
}

// An app whose disk is taken away while it runs is left alone, whatever ails it: it may have its files open still. Stopping it works.
func TestADiskThatIsTakenAway(t *testing.T) {
	n := onADisk(t)
	n.unmount(soloDisk)
	n.containers["solo"].Health.Status = podman.HealthUnhealthy
	n.awaitsDisk(soloDisk)
	if !n.runs("solo") {
		t.Error("it does not run any more")
	}
	n.mustVerb(0, Request{Verb: VerbStop, Apps: []string{"solo"}})
	if n.runs("solo") {
		t.Error("it was not stopped")
	}
	n.later(time.Minute)
	n.load(map[string]string{"solo": changedTo(five()["solo"] + fmt.Sprintf(dataOf, "solo"))})
	n.calls = nil
	if got := n.result(n.pass(), "solo"); got.Action != Left || !strings.Contains(got.Cause, "not mounted") || len(n.Calls("write unit", "reload", "make directory")) > 0 {
		t.Errorf("%+v, calls %q", got, n.calls)
	}
}

// The owner has copied the data, and takes the disk away for good.
func TestADiskThatIsGivenUp(t *testing.T) {
	for _, running := range []bool{false, true} {
		n := onADisk(t)
		if running {
			n.unmount(soloDisk)
		} else {
			n.powerCycle(soloDisk)
		}
		n.pass()
		n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"solo"}, DropDisks: []string{soloDisk}})
		if unit := n.text(n.layout.Unit("solo")); strings.Contains(unit, "AssertPath") || !n.runs("solo") || n.record("solo").Disks != nil {
			t.Errorf("running %v: disks %q\n%s", n.runs("solo"), n.record("solo").Disks, unit)
		}
		n.converged()
	}
}

// A node of an older archy learns on which disks data lie in its first pass, and restarts nothing for it. A removal does not forget it.
func TestDisksAreLearntWithoutARestart(t *testing.T) {
	n := newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
	n.pass()
	n.converged()
	n.mount(soloDisk)
	n.calls = nil
	if got := n.result(n.pass(), "solo"); got.Row != "19" || len(n.touched()) > 0 || !slices.Equal(n.record("solo").Disks, []string{soloDisk}) {
		t.Errorf("%+v, touched %q, disks %q", got, n.touched(), n.record("solo").Disks)
	}
	n.converged()
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"solo"}})
	n.unmount(soloDisk)
	n.mustVerb(6, Request{Verb: VerbInstall, Apps: []string{"solo"}})
	if n.runs("solo") || n.text(n.layout.Unit("solo")) != "" {
		t.Error("installed without its disk")
	}
	n.mustVerb(0, Request{Verb: VerbInstall, Apps: []string{"solo"}, DropDisks: []string{soloDisk}})
	n.converged()
}

// What an adopted container had on a disk stays there: for the container itself, which has no unit, and after its migration.
func TestAnAdoptedContainerOnADisk(t *testing.T) {
	for _, migrated := range []bool{false, true} {
		n := newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
		n.mount("/mnt/disk")
		n.lay("/mnt/disk/old/solo/wallet", "the owner's")
		n.script("solo", oldImage, binds("/mnt/disk/old/solo", "/data"))
		n.pass()
		if migrated {
			n.pass(migrateAll)
		}
		if got := n.record("solo").Disks; !slices.Equal(got, []string{"/mnt/disk"}) {
			t.Fatalf("disks %q", got)
		}
		n.powerCycle("/mnt/disk")
		n.awaitsDisk("/mnt/disk")
		n.mount("/mnt/disk")
		if got := n.result(n.pass(), "solo"); got.Action != Started {
			t.Errorf("%+v", got)
		}
		n.powerCycle("/mnt/disk")
		n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"solo"}, DropDisks: []string{"/mnt/disk"}})
		n.later(time.Minute)
		if got := n.result(n.pass(), "solo"); got.Action != NoOp || n.record("solo").Disks != nil {
			t.Errorf("given up: %+v", got)
		}
	}
}

// A vanished adopted container, a lost record, a manifest that names another directory, and a lost password: none of them leads over an empty
// directory, or to a new password, while the disk is away.
func TestADiskThatIsAwayHoldsData(t *testing.T) {
	t.Run("vanished", func(t *testing.T) {
		n := newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
		n.mount("/mnt/disk")
		n.lay("/mnt/disk/solo/wallet", "the owner's")
		n.script("solo", oldImage, binds("/mnt/disk/solo", "/data"))
		n.pass()
		n.drop(n.containers["solo"])
		n.unmount("/mnt/disk")
		n.later(time.Hour)
		n.awaitsDisk("/mnt/disk")
	})
	t.Run("lost record", func(t *testing.T) {
		n := onADisk(t)
		n.powerCycle(soloDisk)
		if err := os.Remove(n.layout.Host(n.layout.State("apps", "solo.json"))); err != nil {
			t.Fatal(err)
		}
		n.awaitsDisk(soloDisk)
	})
	t.Run("another directory", func(t *testing.T) {
		n := onADisk(t)
		n.powerCycle(soloDisk)
		n.load(map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "bigger")})
		if got := n.result(n.pass(), "solo"); got.Action != NeedsHuman || !strings.Contains(got.Cause, "its data are in "+soloDisk) || n.runs("solo") {
			t.Errorf("%+v", got)
		}
	})
	t.Run("lost password", func(t *testing.T) {
		n := newNode(t, five()).firstBootDone()
		disk := "/var/lib/archipelago/pgdb"
		if err := os.MkdirAll(n.layout.Host(disk), 0o755); err != nil {
			t.Fatal(err)
		}
		n.mount(disk)
		n.pass()
		n.converged()
		n.lay(disk+"/PG_VERSION", "15")
		n.pass()
		n.powerCycle(disk)
		n.lose("db-password")
		n.calls = nil
		n.pass()
		if got := n.Calls("write secret"); len(got) > 0 {
			t.Errorf("%q", got)
		}
	})
}

// The one who takes an alternative's directory over, and the one who reads it, need its disk too.
func TestADiskOfAnotherApp(t *testing.T) {
	n := bitcoinNode(t)
	disk := "/var/lib/archipelago/bitcoin"
	n.mount(disk)
	n.lay(disk+"/blocks/blk00000.dat", "block")
	n.pass()
	n.later(time.Minute)
	n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"bitcoin-knots"}})
	n.later(time.Minute)
	n.unmount(disk)
	n.mustVerb(6, Request{Verb: VerbInstall, Apps: []string{"bitcoin-core"}})
	if n.runs("bitcoin-core") {
		t.Error("a new chain is begun")
	}

	reads := fmt.Sprintf(dataOf, "gateway") + "    - {type: bind, source: /var/lib/archipelago/lnd, target: /lnd, options: [ro]}\n"
	n = newNode(t, map[string]string{"lnd": manifestOf("lnd", 2, fmt.Sprintf(dataOf, "lnd")), "gateway": manifestOf("gateway", 3, reads)}).firstBootDone()
	n.mount("/mnt/disk")
	n.lay("/mnt/disk/lnd/admin.macaroon", "m")
	n.script("lnd", "docker.io/example/lnd:v0.9", binds("/mnt/disk/lnd", "/data"))
	n.pass(migrateAll)
	n.pass()
	n.powerCycle("/mnt/disk")
	for _, id := range []string{"lnd", "gateway"} {
		if got := n.result(n.pass(), id); got.Row != "39" || n.runs(id) {
			t.Errorf("%+v", got)
		}
	}
}

// A purge moves nothing that lies elsewhere, and says where that is: as long as the adopted container is there, after it is gone, and later.
func TestAPurgeTellsWhatItLeaves(t *testing.T) {
	purge := func(n *fakeNode) AppResult {
		t.Helper()
		got := n.result(n.mustVerb(0, Request{Verb: VerbRemove, Apps: []string{"solo"}, Purge: true}), "solo")
		if len(got.DataLeft) > 0 && !strings.HasSuffix(got.Cause, "data that stay: "+strings.Join(got.DataLeft, ", ")) {
			t.Errorf("cause %q, left %q", got.Cause, got.DataLeft)
		}
		return got
	}
	volumes := fmt.Sprintf(dataOf, "solo") + "    - {type: volume, source: solo-cache, target: /cache}\n    - {type: bind, source: /var/lib/archipelago/lnd, target: /lnd, options: [ro]}\n"
	for _, migrated := range []bool{false, true} {
		n := newNode(t, map[string]string{"solo": five()["solo"] + volumes}).firstBootDone()
		n.lay("/mnt/old/solo/file", "data")
		n.script("solo", oldImage, binds("/mnt/old/solo", "/data"), func(i *podman.Inspect) {
			i.Mounts = append(i.Mounts, podman.Mount{Type: "volume", Name: "solo-extra", Source: "/volumes/solo-extra/_data", Target: "/extra"})
		})
		n.pass()
		want := []string{"/mnt/old/solo", "volume solo-cache", "volume solo-extra"}
		if migrated {
			n.pass(migrateAll, func(o *Options) { o.DropMounts = []string{"/extra"} })
			want = want[:2]
		}
		for range 2 {
			if got := purge(n).DataLeft; !slices.Equal(got, want) {
				t.Errorf("migrated %v: left %q", migrated, got)
			}
			n.later(time.Hour)
		}
		if n.text("/mnt/old/solo/file") == "" {
			t.Error("it is gone")
		}
	}
	n := onADisk(t)
	n.unmount(soloDisk)
	if got := purge(n).DataLeft; !slices.Equal(got, []string{soloDisk}) || n.text(soloDisk+".disk/wallet") == "" {
		t.Errorf("left %q", got)
	}
	if _, err := os.Stat(n.layout.Host(soloDisk)); err != nil {
		t.Errorf("the mount point was moved: %v", err)
	}
	n = newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
	if err := os.MkdirAll(n.layout.Host("/mnt/disk/solo"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../mnt/disk/solo", n.layout.Host(soloDisk)); err != nil {
		t.Fatal(err)
	}
	n.pass()
	if got := purge(n).DataLeft; !slices.Equal(got, []string{soloDisk + " -> ../../../mnt/disk/solo"}) {
		t.Errorf("left %q", got)
	}
	n = newNode(t, map[string]string{"solo": five()["solo"] + fmt.Sprintf(dataOf, "solo")}).firstBootDone()
	n.pass()
	if got := purge(n).DataLeft; got != nil {
		t.Errorf("left %q", got)
	}
}
