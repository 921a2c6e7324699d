package e2e_test

import (
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/test/node"
)

// TestADiskThatIsNotMounted: an app whose data lie on a disk of its own is not started over the empty directory below the mount point: not by
// systemd at boot, not by a pass, not by its owner. It comes up when the disk is there, and outlives its being taken away.
func TestADiskThatIsNotMounted(t *testing.T) {
	t.Parallel()
	const (
		dir     = dataDir + "/filebrowser"
		mount   = "mount -t tmpfs -o mode=755,uid=1000,gid=1000 disk " + dir + "\n"
		service = "filebrowser.service"
	)
	n := blank(t, node.Options{Apps: []string{"filebrowser"}})
	n.must(t, 0, "secrets", "gen")
	n.sh(t, "install -d -o archipelago -g archipelago "+dir+"\n"+mount)
	n.must(t, 0, "reconcile", "--container=filebrowser", "--create-missing")
	n.pass(t, 0)
	n.user(t, "echo mine >"+dir+"/files/note")
	if unit := n.user(t, "systemctl --user cat "+service); !strings.Contains(unit, "\nAssertPathIsMountPoint="+dir+"\n") {
		t.Errorf("the unit asserts no disk:\n%s", unit)
	}
	reads := func() string { return n.user(t, "podman exec filebrowser cat /srv/note") }
	waits := func(when string) {
		t.Helper()
		a := app(t, n.pass(t, 6), "filebrowser")
		if a.Row != "39" || a.Action != reconcile.NeedsHuman || !strings.Contains(a.Cause, dir+", which is not mounted") || a.Changed {
			t.Errorf("%s: %+v", when, a)
		}
	}

	n.sh(t, "cp -a "+dir+" "+dataDir+"/kept") // a tmpfs is empty after a power cut, a disk is not
	n.Cut()
	if err := n.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := n.user(t, "systemctl --user show -P AssertResult "+service+"; systemctl --user show -P ActiveState "+service); got != "no\ninactive\n" {
		t.Errorf("systemd started it at boot: %q", got)
	}
	waits("after a boot without the disk")
	for _, verb := range []string{"start", "restart", "upgrade"} {
		if res := n.must(t, 6, verb, "filebrowser"); !strings.Contains(res.Stderr, "sudo mount "+dir) {
			t.Errorf("%s does not say what to do:\n%s", verb, res.Stderr)
		}
	}
	if left := n.sh(t, "ls -A "+dir) + n.user(t, "podman ps -aq"); left != "" {
		t.Errorf("below the mount point, and containers: %q", left)
	}

	n.sh(t, mount+"cp -a "+dataDir+"/kept/. "+dir)
	if a := app(t, n.pass(t, 0), "filebrowser"); a.Action != reconcile.Started {
		t.Errorf("with the disk: %+v", a)
	}
	n.healthy(t, "filebrowser")
	if got := reads(); got != "mine\n" {
		t.Errorf("its data: %q", got)
	}

	before := n.containers(t)
	n.sh(t, "umount -l "+dir)
	waits("with the disk taken away")
	onlyChanged(t, before, n.containers(t))
	if got := reads(); got != "mine\n" {
		t.Errorf("what runs has lost its data: %q", got)
	}
	n.user(t, "podman kill filebrowser; systemctl --user restart "+service+" && exit 1; true")
	waits("after its end")
	n.must(t, 0, "start", "filebrowser", "--drop-disk", dir)
	n.healthy(t, "filebrowser")
	n.pass(t, 0)
}
