//go:build failpoints

package points_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/test/node"
	"git.tx1138.com/lfg2025/archy/test/node/points"
)

// scenario is one change of a node that is broken off at an external call, and the run that must repair that.
type scenario struct {
	name string
	// start makes the node; one that is nil for a scenario whose every round has a node of its own.
	start func(t *testing.T) *machine
	// prepare makes the change due again, args makes it, after is the next run.
	prepare     func(m *machine)
	args, after []string
	// few is the number of points where nobody says how many.
	few int
}

var scenarios = []scenario{
	{"create", converged, gone, []string{"reconcile"}, []string{"reconcile"}, 1},
	{"replace", converged, changed, []string{"reconcile"}, []string{"reconcile"}, 2},
	{"upgrade", converged, nextImage, []string{"upgrade", "filebrowser", "--to", "v2.27.0-next"}, []string{"reconcile"}, 1},
	{"migrate", converged, scripted, []string{"adopt", "--migrate", "filebrowser"}, []string{"adopt", "--migrate", "filebrowser"}, 1},
	{"heal", converged, corrupted, []string{"podman", "heal"}, []string{"podman", "heal", "--full"}, 1},
	{"heal: pause file", converged, strayPause, []string{"podman", "heal"}, []string{"podman", "heal", "--full"}, 1},
	{"heal: names", converged, staleName, []string{"podman", "heal"}, []string{"podman", "heal", "--full"}, 1},
	{"first boot", bare, nothing, []string{"first-boot"}, []string{"first-boot"}, 1},
}

// TestPoints breaks archy off at its external calls, one a run, and wants the next run to put the node right. points.Choose
// tells how many.
func TestPoints(t *testing.T) {
	seed := node.Seed(t)
	for i, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t, rand.New(rand.NewPCG(seed, uint64(i))))
		})
	}
}

func (s scenario) run(t *testing.T, r *rand.Rand) {
	m := s.start(t)
	s.prepare(m)
	m.broken(s.args, points.Fault{}, "")
	calls := points.Points(t, m.Node)
	t.Logf("%s has %d points:\n%s", s.name, len(calls), strings.Join(calls, "\n"))
	m.settled()
	faults := points.Choose(t, r, calls, s.few)
	done, never := 0, 0
	for _, f := range faults {
		if s.ownNode() {
			m.Cut()
			m = s.start(t)
		}
		point := f.In(calls)
		t.Logf("%s at %s", f, point)
		m.hourPasses()
		s.prepare(m)
		kept := m.secrets()
		m.broken(s.args, f, point)
		if now := f.In(points.Points(t, m.Node)); now == "" {
			never++ // this run waited less often than the first
		} else if now != point {
			t.Logf("which was %s", now)
		}
		m.unharmed(kept)
		m.again(m.next(s.after))
		if m.settled(); t.Failed() {
			t.Fatalf("%s did not converge after %s at %s\n%s", s.name, f, point, m.said.String())
		}
		done++
	}
	t.Logf("%s: %d points, %d runs, %d of them ended before their point, all converged", s.name, len(calls), done, never)
}

// ownNode tells that a first boot happens once on a node.
func (s scenario) ownNode() bool { return s.args[0] == "first-boot" }

// next is the run after the break. When a first boot is done, an app that failed in it is the timer's. It has warned of the steps that are not
// fatal and failed; what doctor names then, begins them again.
func (m *machine) next(args []string) []string {
	if args[0] != "first-boot" || !m.Exists(dataDir+"/.first-boot-containers-done") {
		return args
	}
	if res := m.try("first-boot", "--check"); res.Code == 0 {
		return []string{"reconcile", "--as-service-user"}
	}
	if res := m.try("doctor"); !strings.Contains(res.Stdout, "archy first-boot --again") {
		m.t.Errorf("first boot has left something to do, and doctor does not say so:\n%s", res.Stdout)
	}
	return append(slices.Clone(args), "--again")
}

// gone takes the unit and so the app away, as a person in a hurry would.
func gone(m *machine) {
	m.user("systemctl --user stop filebrowser; rm " + unitDir + "/filebrowser.container; systemctl --user daemon-reload; podman secret rm archy.filebrowser.FB_PASSWORD")
}

// changed gives the app's manifest another value.
func changed(m *machine) {
	m.serial++
	text := strings.Replace(manifest(m.t), "    - FB_USERNAME=admin\n", fmt.Sprintf("    - FB_USERNAME=admin\n    - ROUND=%d\n", m.serial), 1)
	m.must(m.WriteFile("/etc/archipelago/apps/filebrowser/manifest.yml", []byte(text), 0o644))
}

// nextImage goes back to the image from which the upgrade starts.
func nextImage(m *machine) {
	m.archy("upgrade", "filebrowser", "--to", "v2.27.0", "--allow-downgrade")
	m.user("podman rmi docker.io/filebrowser/filebrowser:v2.27.0-next || true")
}

// scripted puts an old script's container in the place of the unit, adopted.
func scripted(m *machine) {
	m.user(`systemctl --user stop filebrowser || true
		rm -f ` + unitDir + `/filebrowser.container ` + dataDir + `/state/apps/filebrowser.json
		systemctl --user daemon-reload
		for old in $(podman ps -aq --filter name=filebrowser); do podman rm -f $old; done
		podman run -q -d --name filebrowser --restart unless-stopped -p 8083:80 --user 0:0 \
			-v ` + dataDir + `/filebrowser/files:/srv -v ` + dataDir + `/filebrowser/db:/database \
			-e FB_PORT=80 -e FB_ADDRESS=0.0.0.0 -e FB_ROOT=/srv -e FB_DATABASE=/database/filebrowser.db -e FB_USERNAME=admin \
			-e FB_PASSWORD="$(cat ` + dataDir + `/secrets/filebrowser-admin-hash)" docker.io/filebrowser/filebrowser:v2.27.0`)
	m.archy("adopt")
}

// corrupted puts zeros in podman's database.
func corrupted(m *machine) {
	m.user("systemctl --user stop podman.service; systemctl --user reset-failed; " +
		"dd if=/dev/zero of=" + dataDir + "/containers/storage/db.sql bs=4096 count=1 conv=notrunc status=none")
}

// strayPause lets podman's pause file name a process that is no podman.
func strayPause(m *machine) {
	m.user("systemctl --user stop podman.service; systemctl --user reset-failed; systemctl --user stop other 2>/dev/null || true; " +
		"systemd-run --user --quiet --collect --unit=other sleep 3600; systemctl --user show -P MainPID other | tr -d '\\n' >/run/user/1000/libpod/tmp/pause.pid")
}

// staleName lets a name server answer for a container that is gone.
func staleName(m *machine) {
	m.user("cd /run/user/1000/containers/networks; mkdir -p aardvark-dns; printf '10.89.9.1\\n%064d 10.89.9.2  gone\\n' 7 >aardvark-dns/other-net")
}

func nothing(*machine) {}
