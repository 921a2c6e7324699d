package chaos

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/apps"
)

// lifecycle: an app from its installation to its removal, each verb as its owner types it, with the names of all apps of the node. Nothing is broken here:
// the faults are the states of the contract's table, and each counts by itself. An app is back when its probe succeeds and when its page and its ports
// answer from the host as its manifest publishes them.
var lifecycle = Scenario{
	Number: 9, Name: "lifecycle", Whole: true, Opens: true, EachFault: true, Limit: lifeLimit,
	Faults: []Fault{
		{"install", installAnew},
		{"open UI", openAll},
		{"stop", stopAll},
		{"start", startAll},
		{"restart", restartAll},
		{"reinstall", reinstallAll},
		{"upgrade", upgradeAll},
		{"survive reboot", rebootAll},
		{"survive manager restart", restartManagers},
		{"remove", removeAll},
	},
}

// lifeLimit: the contract gives none. A verb for a whole node has ten minutes, and half a minute more for each turn of an app, which an upgrade takes one by one.
func lifeLimit(a App) time.Duration { return 10*time.Minute + time.Duration(a.turn)*30*time.Second }

// all runs a verb of archy for every app of the node.
func (r *Round) all(ctx context.Context, verb string, flags ...string) {
	r.Want(ctx, []int{0}, slices.Concat([]string{verb}, flags, r.Fleet.IDs())...)
}

// installAnew: on a node that has had each app once its data are in the trash now, and the apps begin with none. The secrets are those they had.
func installAnew(ctx context.Context, r *Round) error {
	r.Hit(r.Fleet...)
	flags := []string{"--purge-data"}
	for _, a := range r.Fleet {
		flags = append(flags, "--confirm", a.ID)
	}
	r.all(ctx, "remove", flags...)
	r.trashed = true
	for _, a := range r.Fleet {
		if a.Data != "" && r.Exists(a.Data+"/"+plantedFile) {
			r.Fail("the data of %s were to go into the trash and are in their place", a.ID)
		}
	}
	r.Struck()
	r.all(ctx, "install")
	r.undo = r.plant // the next rounds want files in the new data
	return nil
}

// openAll: the recovery opens each page and port, and nobody may stop for it.
func openAll(_ context.Context, r *Round) error {
	r.hit = r.Fleet
	r.Struck()
	return nil
}

// stopAll: what its owner stopped stays stopped over a pass, which finds nothing to do.
func stopAll(ctx context.Context, r *Round) error {
	r.Hit(r.Fleet...)
	r.all(ctx, "stop")
	r.nothingRuns(ctx, "stopped")
	r.Struck()
	r.all(ctx, "start")
	return nil
}

// startAll: a start of apps that run changes nothing, a start of stopped ones brings each back in one container.
func startAll(ctx context.Context, r *Round) error {
	r.all(ctx, "start")
	r.Hit(r.Fleet...)
	r.all(ctx, "stop")
	r.Struck()
	r.all(ctx, "start")
	r.startedOnce("start")
	return nil
}

func restartAll(ctx context.Context, r *Round) error {
	r.Hit(r.Fleet...)
	r.Struck()
	r.all(ctx, "restart")
	r.startedOnce("restart")
	return nil
}

// reinstallAll: the data stay when an app is removed, and the app comes back over them.
func reinstallAll(ctx context.Context, r *Round) error {
	r.Hit(r.Fleet...)
	r.all(ctx, "remove")
	r.Struck()
	r.all(ctx, "install")
	r.startedOnce("reinstall")
	return nil
}

// removeAll: nothing is left of the apps but their data and secrets, and no pass brings them back.
func removeAll(ctx context.Context, r *Round) error {
	r.Hit(r.Fleet...)
	r.all(ctx, "remove")
	r.nothingRuns(ctx, "removed")
	containers := strings.Fields(r.user(ctx, `podman ps -a --format '{{.Names}}'`).Stdout)
	for _, a := range r.Fleet {
		if slices.Contains(containers, a.Container) {
			r.Fail("%s was removed and has a container", a.ID)
		}
		if r.Exists(unitDir + "/" + a.Container + ".container") {
			r.Fail("%s was removed and has a unit", a.ID)
		}
	}
	r.Struck()
	r.all(ctx, "install")
	return nil
}

// rebootAll: an orderly power-off. Whoever logs in afterwards: nobody. The pass is the one that a node makes at its boot.
func rebootAll(ctx context.Context, r *Round) error {
	r.HitAll()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := r.Reboot(limited); err != nil {
		return err
	}
	r.Struck()
	r.Want(ctx, []int{0}, "reconcile")
	return nil
}

// managed is what a service that manages the apps does: at its first start it starts them all anew, as incident 1 had it, and it never ends.
const managed = `systemd-run -q --unit=manager-of-chaos --uid=archipelago -E XDG_RUNTIME_DIR=/run/user/1000 -E DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus \
sh -c '[ -e /run/user/1000/managed ] || { archy restart %s >/run/user/1000/managed.log 2>&1; echo $? >/run/user/1000/managed; }; exec sleep infinity'
until [ -e /run/user/1000/managed ]; do systemctl -q is-active manager-of-chaos; sleep 1; done
cat /run/user/1000/managed.log; exit $(cat /run/user/1000/managed)`

// restartManagers, incident 1: a service whose archy has started every container is restarted with its whole control group, and no container stops. Then the
// user's systemd is restarted, which ends all containers: each comes back.
func restartManagers(ctx context.Context, r *Round) error {
	r.hit = r.Fleet
	began := r.fleetNow()
	for _, a := range r.Fleet {
		r.sampler.allow(a.Container)
	}
	if err := r.sh(ctx, fmt.Sprintf(managed, strings.Join(r.Fleet.IDs(), " "))).Error(); err != nil {
		return fmt.Errorf("the manager has not started the apps: %w", err)
	}
	before := r.fleetNow()
	for name, c := range began {
		if before[name].ID == c.ID {
			r.Fail("%s was not started by the manager", name)
		}
	}
	if err := r.sh(ctx, "systemctl restart manager-of-chaos").Error(); err != nil {
		return err
	}
	time.Sleep(settledFor)
	if now := r.fleetNow(); !maps.Equal(before, now) {
		r.Fail("the manager was restarted, and its containers with it: there were %v and are %v", before, now)
	}
	if err := r.sh(ctx, "systemctl stop manager-of-chaos; rm /run/user/1000/managed*").Error(); err != nil {
		return err
	}
	r.HitAll()
	if err := r.sh(ctx, "systemctl restart user@1000.service").Error(); err != nil {
		return err
	}
	r.Struck()
	r.Want(ctx, []int{0}, "reconcile")
	return nil
}

// fleetNow are the containers of the apps that live now, by name, with their monitors. A payload is left out: it is the lowest number in its cgroup, which a
// probe can have for a moment; and when it ends, so does its monitor.
func (r *Round) fleetNow() map[string]container {
	out := map[string]container{}
	for _, c := range r.sampler.look() {
		if _, ours := r.Fleet.Get(c.Name); ours {
			c.Payload = 0
			out[c.Name] = c
		}
	}
	return out
}

// nothingRuns wants a pass to leave the apps as they are, and none of them to run.
func (r *Round) nothingRuns(ctx context.Context, how string) {
	r.Want(ctx, []int{0}, "reconcile")
	r.Want(ctx, []int{0}, "reconcile", "--check-only", "--exit-code")
	for name := range r.fleetNow() {
		r.Fail("%s was %s and runs", name, how)
	}
}

// startedOnce wants each app to have run in two containers since the round began: that of before and the new one.
func (r *Round) startedOnce(verb string) {
	for _, a := range r.Fleet {
		if n := r.sampler.started(a.Container); n != 2 {
			r.Fail("%s: %s ran in %d containers, want the old one and a new one", verb, a.ID, n)
		}
	}
}

// upgradeAll: the manifests name another image of the same version, the pages have another context. When all are back, the other way round.
func upgradeAll(ctx context.Context, r *Round) error {
	r.Hit(r.Fleet...)
	before := r.images(ctx)
	if err := r.offer(ctx); err != nil {
		return err
	}
	r.Struck()
	r.all(ctx, "upgrade")
	now := r.images(ctx)
	for _, a := range r.Fleet {
		if now[a.Container] == before[a.Container] || a.Image != "" && now[a.Container] != a.Image+"-next" {
			r.Fail("%s was upgraded and has the image %s", a.ID, now[a.Container])
		}
	}
	r.undo = func(ctx context.Context) error {
		if err := r.sh(ctx, "rm -rf /etc/archipelago/apps/* /opt/archipelago/docker/*").Error(); err != nil {
			return err
		}
		r.all(ctx, "upgrade", "--allow-downgrade")
		if now := r.images(ctx); !maps.Equal(now, before) {
			r.Fail("the images after the way back are %v, and were %v", now, before)
		}
		return nil
	}
	return nil
}

// offer lays down a manifest with another tag for each app with an image, and for each page that is built here another context.
func (r *Round) offer(ctx context.Context) error {
	for _, a := range r.Fleet {
		if a.Image == "" {
			dir := "/opt/archipelago/docker/" + a.ID
			page, err := apps.Context(a.ID)
			if err != nil {
				return err
			}
			if err := r.CopyFS(dir, page); err != nil {
				return err
			}
			if err := r.sh(ctx, "echo LABEL of.chaos=next >>"+dir+"/Dockerfile").Error(); err != nil {
				return err
			}
			continue
		}
		text, err := fs.ReadFile(apps.FS, a.ID+"/manifest.yml")
		if err != nil {
			return err
		}
		next := strings.Replace(string(text), "image: "+a.Image+"\n", "image: "+a.Image+"-next\n", 1)
		if err := r.WriteFile("/etc/archipelago/apps/"+a.ID+"/manifest.yml", []byte(next), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// images are the images of the apps' containers.
func (r *Round) images(ctx context.Context) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(r.user(ctx, `podman ps -a --format '{{.Names}} {{.Image}}'`).Stdout) {
		name, image, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, ours := r.Fleet.Get(name); ours {
			out[name] = image
		}
	}
	return out
}

// opens tells whether the app's ports take a connection from the host and its pages answer: a page for people with 200, an interface for programs with
// anything but an error of its own. An app without either has its probe alone.
func (r *Round) opens(ctx context.Context, a App) error {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	for _, port := range a.Ports {
		conn, err := r.Dial(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return err
		}
		conn.Close()
	}
	for _, page := range a.Pages {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, page.url, nil)
		if err != nil {
			return err
		}
		res, err := r.HTTP().Do(req)
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode >= 500 || page.forPeople && res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", page.url, res.Status)
		}
	}
	return nil
}
