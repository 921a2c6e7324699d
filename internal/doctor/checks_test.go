package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
	"git.tx1138.com/lfg2025/archy/internal/update"
)

// ailment is something wrong with a node, and what the doctor says of it.
type ailment struct {
	name, code string
	breaks     func(f *fake)
	severity   Severity
	// text and mend stand in the first finding; human: a person must decide.
	text, mend string
	human      bool
}

var filebrowserUnit = "/home/archipelago/.config/containers/systemd/filebrowser.container"

// running gives the node a running container of archy's.
func (f *fake) running(id string) *reconcile.App {
	app := f.Set.Apps[id]
	a := &reconcile.App{ID: id, Container: app.Unit(), Manifest: app, Want: reconcile.WantRunning, Selected: true,
		C: &podman.Container{ID: "cid", Name: app.Unit(), State: podman.StateRunning, Labels: map[string]string{spec.LabelManaged: "true"}}}
	f.apps = append(f.apps, a)
	return a
}

func (f *fake) planned(kind reconcile.Kind, app, object, cause string) {
	f.plan.Ops = append(f.plan.Ops, reconcile.Operation{Kind: kind, App: app, Object: object, Cause: cause})
}

var ailments = []ailment{
	{"a configuration that does not load", "D_CONFIG", func(f *fake) { f.ConfigErr = errors.New("archy.yaml:2: unknown key") }, Error, "unknown key", "sudoedit /etc/archipelago/archy.yaml", false},
	{"no service user", "D_USER", func(f *fake) { f.UserErr = node.ErrNoUser }, Error, "no such user", "sudo useradd --create-home --uid 1000", false},
	{"no home", "D_USER", func(f *fake) { f.User.Home = "/home/nobody" }, Error, "is not there", "mkhomedir_helper", false},
	{"a bare mount point", "D_VOLUME", func(f *fake) { f.remove(f.Layout.VolumeMark()) }, Error, "no data volume", "sudo mount /var/lib/archipelago", true},
	{"a disk that the kernel has made read-only", "D_VOLUME", func(f *fake) { f.write("/proc/self/mounts", "/dev/sda1 / ext4 ro 0 0\n", 0o644) }, Error, "read-only", "sudo journalctl -k", true},
	{"the volume of another node", "D_VOLUME", func(f *fake) { f.write(node.VolumeIDPath, "other\n", 0o644) }, Error, "names other", "sudo mount", true},
	{"a disk that was full", "D_SPACE", func(f *fake) { f.remove(f.Layout.State(".reserve")) }, Warning, "was full", again, false},
	{"little memory", "D_MEMORY", func(f *fake) { f.write("/proc/meminfo", "MemTotal: 2000000 kB\nMemAvailable: 1000000 kB\n", 0o644) }, Warning, "4 GiB are advised", "", false},
	{"no memory left", "D_MEMORY", func(f *fake) { f.write("/proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 100000 kB\n", 0o644) }, Warning, "are available", "archy stop APP", false},
	{"programs that wait for memory", "D_MEMORY", func(f *fake) { f.write("/proc/pressure/memory", "full avg10=1 avg60=1 avg300=42.10 total=1\n", 0o644) }, Warning, "42 %", "archy stop APP", false},
	{"a clock of the past", "D_CLOCK", func(f *fake) { f.Now = func() time.Time { return time.Unix(0, 0) } }, Error, "1970-01-01", "systemd-timesyncd", false},
	{"a clock that jumped back", "D_CLOCK", func(f *fake) { f.Now = func() time.Time { return now.Add(-48 * time.Hour) } }, Warning, "jumped back", "timedatectl", false},
	{"a clock that nothing sets", "D_CLOCK", func(f *fake) { f.says["timedatectl"] = "NTP=no\nNTPSynchronized=no\n" }, Warning, "nothing synchronises", "timedatectl set-ntp true", false},
	{"a clock that is not set yet", "D_CLOCK", func(f *fake) { f.says["timedatectl"] = "NTP=yes\nNTPSynchronized=no\n" }, Warning, "not synchronised yet", "timedatectl", false},
	{"names that do not resolve", "D_DNS", func(f *fake) { f.Resolve = func(context.Context, string) error { return errors.New("no such host") } }, Warning, "no such host", "resolvectl", false},
	{"a node that is offline", "D_DNS", func(f *fake) {
		f.Facts.HostIP = ""
		f.Resolve = func(context.Context, string) error { return errors.New("no such host") }
	}, Warning, "offline", "ip route", false},
	{"a journal without a cap", "D_JOURNAL", func(f *fake) { f.remove("/etc/systemd/journald.conf.d/50-archipelago.conf") }, Warning, "write /etc/systemd/journald.conf.d", again, false},
	{"a directory with another mode", "D_DIRECTORY", func(f *fake) { f.must(os.Chmod(f.at(f.Layout.State()), 0o755)) }, Warning, "correct 0755", again, false},

	{"no subordinate ids", "D_SUBID", func(f *fake) { f.write("/etc/subuid", "", 0o644) }, Error, "add archipelago:100000:65536 to /etc/subuid", again, false},
	{"a range that is too short", "D_SUBID", func(f *fake) { f.write("/etc/subuid", "archipelago:100000:1000\n", 0o644) }, Error, "has 1000 ids, 65536 are needed", "remove the line", true},
	{"no lingering", "D_LINGER", func(f *fake) { f.remove("/var/lib/systemd/linger/archipelago") }, Error, "enable lingering", "sudo loginctl enable-linger archipelago", false},
	{"ports that a connection may take", "D_SYSCTL", func(f *fake) { f.remove("/etc/sysctl.d/10-archipelago.conf") }, Warning, "write /etc/sysctl.d/10-archipelago.conf", again, false},
	{"no drop-in", "D_DROPIN", func(f *fake) { f.remove("/etc/systemd/system/user@1000.service.d/10-archipelago.conf") }, Warning, "10-archipelago.conf", "sudo archy doctor --fix", false},
	{"control groups of version 1", "D_CGROUP", func(f *fake) { f.remove("/sys/fs/cgroup/cgroup.controllers") }, Error, "no control groups of version 2", "kernel's command line", false},
	{"limits in force", "D_CGROUP", func(f *fake) {
		uid := itoa(f.User.UID)
		group := "/sys/fs/cgroup/user.slice/user-" + uid + ".slice/user@" + uid + ".service/app.slice/filebrowser.service/"
		f.write(group+"memory.max", "max\n", 0o644)
		f.write(group+"libpod-payload-abc/memory.max", "268435456\n", 0o644)
		f.write(group+"libpod-payload-abc/cpu.max", "150000 100000\n", 0o644)
		f.write(group+"libpod-payload-abc/pids.max", "2048\n", 0o644)
	}, Info, "delegated: cpu, memory, pids; limits in force: filebrowser 256 MiB, 1.5 cpu, 2048 pids", "", false},
	{"no delegation", "D_CGROUP", func(f *fake) { f.Facts.Delegated.Memory = false }, Warning, "not delegated: memory", again, false},
	{"a runtime directory that all may read", "D_RUNTIME_DIR", func(f *fake) { f.must(os.Chmod(f.at(f.Layout.RuntimeDir), 0o755)) }, Error, "not a private directory", "sudo systemctl start user@", false},
	{"no user bus", "D_RUNTIME_DIR", func(f *fake) { f.remove(f.Layout.UserBus()) }, Error, "bus does not answer", "sudo systemctl start user@", false},
	{"no podman socket", "D_RUNTIME_DIR", func(f *fake) { f.remove(f.Layout.PodmanSocket()) }, Error, "podman's socket does not answer", "restart podman.socket", false},
	{"a storage elsewhere", "D_GRAPHROOT", func(f *fake) { f.write("/home/archipelago/.config/containers/storage.conf", "[storage]\n", 0o644) }, Error, "write /home/archipelago/.config/containers/storage.conf", again, false},
	{"a storage elsewhere that holds data", "D_GRAPHROOT", func(f *fake) {
		f.write("/srv/x/y", "", 0o644)
		f.write("/home/archipelago/.config/containers/storage.conf", "[storage]\ngraphroot = \"/srv/x\"\n", 0o644)
	}, Error, "podman's storage is /srv/x and holds data", "move the storage", true},
	{"podman uses another storage", "D_PODMAN", func(f *fake) { f.info.GraphRoot = "/srv/x" }, Error, "something overrides", "podman info", true},
	{"a foreign containers.conf", "D_CONTAINERS_CONF", func(f *fake) {
		f.write("/home/archipelago/.config/containers/containers.conf.d/50-archipelago.conf", "[network]\n", 0o644)
	}, Warning, "50-archipelago.conf", again, false},
	{"podman is late", "D_PODMAN", func(f *fake) { f.diagnosis(heal.Diagnosis{State: heal.Slow, Evidence: "12 s"}) }, Warning, "12 s", "podman check", false},
	{"podman is broken", "D_PODMAN", func(f *fake) {
		f.diagnosis(heal.Diagnosis{State: heal.DBCorrupt, Evidence: "database disk image is malformed", Source: "podman info", Human: &heal.Human{ByArchy: true, Commands: []heal.Command{{Command: "archy podman heal"}}}})
	}, Error, "malformed (podman info)", "archy podman heal", false},
	{"podman needs a person", "D_PODMAN", func(f *fake) {
		f.diagnosis(heal.Diagnosis{State: heal.DBConfig, Evidence: "database configuration mismatch", Human: &heal.Human{Commands: []heal.Command{{Command: "do this"}}}})
	}, Error, "mismatch", "do this", true},
	{"a record that is cut short", "D_STATE", func(f *fake) { f.write(f.Layout.State("apps/lnd.json"), `{"schema":1,"app":"ln`, 0o600) }, Error, "not a whole JSON document", "sudo mv", false},
	{"a record of a newer archy", "D_STATE", func(f *fake) { f.write(f.Layout.State("apps/lnd.json"), `{"schema":9}`, 0o600) }, Error, "newer archy (schema 9", "install that archy again", false},
	{"a last result that is cut short", "D_STATE", func(f *fake) { f.write(f.Layout.State("reconcile-last.json"), `{`, 0o600) }, Info, "the next pass writes it anew", "archy reconcile", false},
	{"a last result of a newer archy", "D_STATE", func(f *fake) { f.write(f.Layout.State("follow-last.json"), `{"schema":9}`, 0o600) }, Info, "the next pass writes it anew", "archy reconcile", false},
	{"a list of images that was written anew", "D_STATE", func(f *fake) { f.write(f.Layout.State("images.json")+state.Aside+"20260101T000000Z", `{`, 0o600) }, Info, "archy could not read it", "sudo rm /var/lib/archipelago/state/images.json.unreadable-20260101T000000Z", false},
	{"a history that was written anew", "D_STATE", func(f *fake) { f.write(f.Layout.State("restarts/lnd.json")+state.Aside+"20260101T000000Z", `{`, 0o600) }, Info, "archy could not read it", "sudo rm /var/lib/archipelago/state/restarts/lnd.json.unreadable-", false},
	{"an owner's list that does not read", "D_STATE", func(f *fake) { f.write(f.Layout.UserStopped(), `[`, 0o644) }, Error, "user-stopped.json", "sudo mv", false},
	{"a broken manifest", "D_MANIFEST", func(f *fake) {
		f.Findings = []manifest.Finding{{File: "x/manifest.yml", Severity: manifest.Error, Message: "bad"}}
	}, Error, "bad", "archy apps lint", false},

	{"a secret that all may read", "D_SECRET_MODE", func(f *fake) { f.must(os.Chmod(f.at(f.Layout.Data("secrets/bitcoin-rpc-password")), 0o644)) }, Error, "mode 0644 instead of 0600", "sudo archy doctor --fix", false},
	{"secrets that all may list", "D_SECRET_MODE", func(f *fake) { f.must(os.Chmod(f.at(f.Layout.Secrets()), 0o755)) }, Error, "mode 0755 instead of 0700", "sudo archy doctor --fix", false},
	{"a missing secret", "D_SECRET", func(f *fake) { f.remove(f.Layout.Data("secrets/mempool-db-password")) }, Error, "mempool-db-password", "archy secrets gen", false},
	{"an empty secret", "D_SECRET", func(f *fake) { f.write(f.Layout.Data("secrets/fmcd-password"), "", 0o600) }, Error, "is empty", "archy secrets gen", false},
	{"no secrets at all", "D_SECRET", func(f *fake) { f.remove(f.Layout.Secrets()) }, Error, "", "", true},
	{"a podman secret that differs", "D_SECRET_DRIFT", func(f *fake) { f.planned(reconcile.SetSecret, "lnd", "archy.lnd.X", "differs from its file") }, Warning, "lnd: differs from its file", "archy reconcile --container=lnd", false},
	{"a container with an older secret", "D_SECRET_DRIFT", func(f *fake) { f.running("filebrowser").Spec.SecretEnvHash = "new" }, Warning, "other values", "archy reconcile --container=filebrowser", false},
	{"a foreign unit", "D_UNIT_FOREIGN", func(f *fake) { f.write(filebrowserUnit, "[Container]\nImage=x\n", 0o644) }, Warning, "not archy's", "archy install filebrowser", false},
	{"a foreign unit of an installed app", "D_UNIT_FOREIGN", func(f *fake) {
		f.install("filebrowser")
		f.write(filebrowserUnit, "[Container]\nImage=x\n", 0o644)
	}, Warning, "the next pass keeps it as filebrowser.container.pre-archy-", "archy reconcile --container=filebrowser", false},
	{"an edited unit", "D_UNIT_EDITED", func(f *fake) { f.planned(reconcile.WriteUnit, "lnd", "lnd.container", "Image= changed") }, Warning, "Image= changed", "archy reconcile --container=lnd", false},
	{"a unit that podman refuses", "D_UNIT_REJECTED", func(f *fake) { f.write(filebrowserUnit, "[Container]\nNonsense=1\nImage=x\n", 0o644) }, Error, "unsupported key 'Nonsense'", "mend or remove it", false},
	{"a unit that systemd does not have", "D_UNIT_REJECTED", func(f *fake) {
		a := f.running("filebrowser")
		a.Unit, a.Service = &reconcile.UnitFile{}, systemd.Detail{Unit: systemd.Unit{LoadState: "not-found"}}
	}, Error, "systemd does not know it", "daemon-reload", false},
	{"a derived file that differs", "D_FILE", func(f *fake) { f.planned(reconcile.WriteFile, "lnd", "lnd.conf", "rpcpass differs") }, Warning, "rpcpass differs", "archy reconcile --container=lnd", false},
	{"an image that is gone", "D_IMAGE", func(f *fake) { f.planned(reconcile.PullImage, "lnd", "lnd:v1", "image is absent") }, Warning, "image is absent", "archy reconcile --container=lnd", false},
	{"an app that failed", "D_APP", func(f *fake) {
		f.plan.Apps = append(f.plan.Apps, reconcile.AppPlan{App: f.running("lnd"), Verdict: reconcile.Verdict{Class: reconcile.ClassFailed, State: "failed", Cause: "exited 1"}})
	}, Error, "failed: exited 1", "archy logs lnd", false},
	{"an app that needs a person", "D_APP", func(f *fake) {
		f.plan.Apps = append(f.plan.Apps, reconcile.AppPlan{App: f.running("lnd"), Verdict: reconcile.Verdict{Class: reconcile.ClassNeedsHuman, Cause: "another data format", Hint: "do this"}})
	}, Error, "another data format", "do this", true},
	{"an image that keeps data where nothing is mounted", "D_APP", func(f *fake) {
		a := f.running("lnd")
		own := *a.Manifest
		own.Local = true
		a.Manifest, a.C.Mounts = &own, []string{"/root/.lnd", "/keep"}
		a.Spec.Mounts = []spec.Mount{{Type: "bind", Target: "/root/.lnd"}}
		f.plan.Apps = append(f.plan.Apps, reconcile.AppPlan{App: a})
	}, Warning, "keeps data at /keep", "podman cp lnd:/keep DIR", false},
	{"a port of somebody else's", "D_PORT", func(f *fake) { f.running("filebrowser").PortHolder = "port 8083 is held by pid 7 nc" }, Error, "port 8083 is held by pid 7 nc", "archy start filebrowser", false},
	{"two bitcoins", "D_CONFLICT", func(f *fake) { f.install("bitcoin-knots", "bitcoin-core") }, Warning, "bitcoin-knots are alternatives", "archy remove bitcoin-core", false},
	{"two bitcoins that run", "D_CONFLICT", func(f *fake) {
		f.install("bitcoin-knots")
		f.monitor(4711, "bitcoin-knots")
		f.monitor(4712, "bitcoin-core")
	}, Warning, "both run", "archy stop bitcoin-core", false},
	{"an open breaker", "D_BREAKER", func(f *fake) {
		f.must(f.State.WriteHistory(state.History{App: "lnd", OpenSince: now.Add(-3 * time.Hour), Reason: "exited 1", Events: []state.Event{{At: now, Kind: state.EventDied}}}))
	}, Warning, "3 h): exited 1", "archy start lnd", false},
	{"an operation that was left", "D_STALE_OP", func(f *fake) {
		f.must(f.State.WriteRecord(state.Record{App: "lnd", Container: "lnd", Installed: true, Op: &state.Op{Kind: state.OpReplace, Step: 5, StartedAt: now.Add(-2 * time.Hour)}}))
	}, Warning, "replace is at step 5 since 2 h", "archy reconcile --container=lnd", false},
	{"a container in another service", "D_LEGACY_CGROUP", func(f *fake) {
		a := f.running("lnd")
		a.C.Labels, a.C.Pid = nil, 4242
		f.write("/proc/4242/cgroup", "0::/system.slice/archipelago.service\n", 0o644)
	}, Warning, "archipelago.service and ends with it", "archy adopt --migrate lnd", false},

	{"no bridge", "D_NETWORK", func(f *fake) { f.running("lnd").Network = &reconcile.Network{Name: "archy-net"} }, Error, "is not there", "archy reconcile", false},
	{"a bridge without names", "D_NETWORK", func(f *fake) {
		f.running("lnd").Network = &reconcile.Network{Name: "archy-net", Subnet: "10.89.0.0/24"}
		f.networks = []podman.Network{{Name: "archy-net", Subnet: "10.89.0.0/24"}}
	}, Error, "name resolution is off", "podman network rm archy-net", false},
	{"the router in the host's place", "D_HOST_GATEWAY", func(f *fake) { f.hosts("192.0.2.1") }, Error, "192.0.2.1 for the host, and that is the router", "archy reconcile --force --container=lnd", false},
	{"another machine in the host's place", "D_HOST_GATEWAY", func(f *fake) { f.hosts("198.51.100.7") }, Warning, "the host does not have that address", "archy reconcile --force --container=lnd", false},
	{"bridges without a route", "D_NETNS_STALE", func(f *fake) { f.bridges("Iface\n") }, Warning, "the network of the bridges has none", "archy stop and archy start", false},
	{"bridges without a way out", "D_NETNS_STALE", func(f *fake) {
		f.bridges(f.read("/proc/net/route"))
		f.write("/run/user/"+itoa(f.User.UID)+"/containers/networks/rootless-netns/rootless-netns-conn.pid", "77777", 0o644)
	}, Warning, "(pid 77777) is gone", "archy stop", false},
	{"a long wait at boot", "D_BOOT_WAIT", func(f *fake) {
		f.says["systemctl --user show"] = "InactiveExitTimestampMonotonic=5000000\nActiveEnterTimestampMonotonic=95000000\n"
	}, Info, "waited 90 s", "networkctl", false},
	{"a firewall that is off", "D_FIREWALL", func(f *fake) { f.says["ufw status"] = "Status: inactive\n" }, Warning, "enable ufw", again, false},
	{"no firewall", "D_FIREWALL", func(f *fake) { f.remove("/usr/bin/ufw") }, Warning, "ufw is not installed", again, false},
	{"a firewall without the rules of an app", "D_FIREWALL", func(f *fake) { f.install("filebrowser") }, Warning, "archy:filebrowser", again, false},
	{"a port of an adopted container that nobody reaches", "D_FIREWALL", func(f *fake) { f.adopted("18080:8080", "18080:8080/udp") }, Warning,
		"publishes port 18080/tcp, and no rule", "archy adopt --migrate lnd", false},
	{"Tor is off", "D_TOR", func(f *fake) { f.fails["systemctl is-active --quiet tor@default"] = errors.New("exit code 3") }, Warning, "start Tor", again, false},
	{"no Tor", "D_TOR", func(f *fake) { f.remove("/usr/bin/tor") }, Warning, "tor is not installed", again, false},
	{"a foreign torrc", "D_TOR", func(f *fake) { f.write(firstboot.Torrc, "# mine\n", 0o644) }, Warning, "archy's block", again, false},
	{"a host name that is not copied", "D_TOR", func(f *fake) { f.remove(f.Layout.Data("tor-hostnames/web")) }, Warning, "tor-hostnames/web", "sudo archy doctor --fix", false},
	{"a certificate that ended", "D_CERT", func(f *fake) { f.certificate(-time.Hour, "lnd") }, Error, "it ended", "archy start lnd", false},
	{"a certificate that ends soon", "D_CERT", func(f *fake) { f.certificate(3*24*time.Hour, "lnd") }, Warning, "it ends", "archy start lnd", false},
	{"a certificate without the name", "D_CERT", func(f *fake) { f.certificate(365*24*time.Hour, "other") }, Warning, "lacks the name lnd", "archy start lnd", false},
	{"a certificate where lnd's data lie", "D_CERT", func(f *fake) {
		f.certificate(-time.Hour, "lnd")
		f.must(os.MkdirAll(f.at("/mnt/old/lnd"), 0o755))
		f.must(os.Rename(f.at("/var/lib/archipelago/lnd/tls.cert"), f.at("/mnt/old/lnd/tls.cert")))
		f.must(f.State.WriteRecord(state.Record{App: "lnd", Container: "lnd", Owner: state.Quadlet, Installed: true,
			Pinned: state.Pinned{Volumes: []state.PinnedVolume{{Source: "/mnt/old/lnd", Target: f.Set.Apps["lnd"].Volumes[0].Target}}}}))
	}, Error, "it ended", "sudo rm /mnt/old/lnd/tls.cert /mnt/old/lnd/tls.key;", false},
	{"a certificate that is none", "D_CERT", func(f *fake) { f.write("/etc/archipelago/ssl/node.crt", "x", 0o644) }, Error, "no certificate", "reload nginx", false},

	{"a unit that is not there", "D_TIMER", func(f *fake) { f.remove("/etc/systemd/system/archy-reconcile.timer") }, Warning, "the unit is not there", "archy iso install", false},
	{"a unit of somebody else", "D_TIMER", func(f *fake) { f.write("/etc/systemd/system/archy-doctor.timer", "[Timer]\n", 0o644) }, Warning, "not the unit of this archy", "archy iso install", false},
	{"a timer that is off", "D_TIMER", func(f *fake) {
		f.says["systemctl is-active archy-reconcile.timer"] = "inactive\n"
		f.fails["systemctl is-active archy-reconcile.timer"] = &command.ExitError{Code: 3}
	}, Warning, "it is inactive", "sudo systemctl enable --now archy-reconcile.timer", false},
	{"a pass that failed", "D_TIMER", func(f *fake) {
		f.says["systemctl show -p Result -p ExecMainStatus -p LoadState archy-reconcile.service"] = "LoadState=loaded\nResult=exit-code\nExecMainStatus=6\n"
	}, Warning, "exit-code (exit code 6)", "journalctl -u archy-reconcile.service", false},
	{"an update that nobody judged", "D_UPDATE", func(f *fake) { f.pending = &update.Marker{State: update.Pending, MarkedAt: now.Add(-time.Hour)} }, Warning, "nobody has judged it", "sudo archy update verify", false},
	{"a rollback that stopped", "D_UPDATE", func(f *fake) { f.pending = &update.Marker{State: update.RollingBack, Step: 3, MarkedAt: now} }, Error, "stopped at step 3", "sudo archy update verify", false},
	{"a rollback that failed", "D_UPDATE", func(f *fake) { f.last = &update.Marker{State: update.RollbackFailed, Reason: "GET / → 500"} }, Error, "GET / → 500", "archy update status", true},
	{"a marker that does not read", "D_UPDATE", func(f *fake) { f.markErr = &update.BadMarker{Path: "/m", Err: errors.New("it is a link")} }, Error, "it is a link", "sudo mv /m /m.broken", false},
	{"pages of mode 0700", "D_WEBUI_MODE", func(f *fake) { f.must(os.Chmod(f.at(webUIDir), 0o700)) }, Error, "E_ROOT_MODE", "sudo archy doctor --heal=full", false},
	{"a page that nobody may read", "D_WEBUI_MODE", func(f *fake) { f.must(os.Chmod(f.at(webUIDir+"/index.html"), 0o600)) }, Error, "mode 0600", "--heal=full", false},
	{"another podman", "D_VERSION", func(f *fake) { f.says["podman --version"] = "podman version 4.3.1\n" }, Warning, "version 4.3.1", "apt policy podman", false},
	{"no podman", "D_VERSION", func(f *fake) { f.fails["podman --version"] = errors.New("not found") }, Error, "cannot be started", "sudo apt install podman", false},
	{"a podman that says nothing", "D_VERSION", func(f *fake) { f.fails["podman --version"] = &command.LimitError{Limit: time.Second} }, Warning, "within 1s", "podman --version", false},
	{"another archy where the units look", "D_VERSION", func(f *fake) { f.says["/usr/local/bin/archy version"] = `{"version":"old"}` }, Warning, "it is version old, and this archy is test", "sudo install", false},
	{"an archy that does not start", "D_VERSION", func(f *fake) { f.fails["/usr/local/bin/archy version"] = errors.New("exec format error") }, Warning, "exec format error", "archy version", false},
	{"a watch of before the update", "D_VERSION", func(f *fake) {
		f.write(f.Layout.State("reconcile-last.json"), `{"schema":1,"version":"old"}`, 0o600)
	}, Warning, "made by archy old", "restart archy-reconcile", false},
	{"a release that was half applied", "D_VERSION", func(f *fake) {
		f.write("/opt/archipelago/version", "1.4.1\n", 0o644)
		f.last = &update.Marker{State: update.Committed, OldVersion: "1.4.1", NewVersion: "1.5.0", VersionFile: "/opt/archipelago/version", VersionBefore: "1.4.1"}
	}, Warning, "says 1.4.1, the last update left 1.5.0", "archy update status", false},
	{"new pages and the old program", "D_VERSION", func(f *fake) {
		f.write("/usr/local/bin/archipelago", "the old one", 0o755)
		f.write("/usr/local/bin/archipelago.bak", "the old one", 0o755)
		f.last = &update.Marker{State: update.Committed, NewVersion: "1.5.0", Binary: "/usr/local/bin/archipelago", BinaryBackup: "/usr/local/bin/archipelago.bak"}
	}, Warning, "still the program of before the update to 1.5.0", "archy update status", false},
	{"a missing program", "D_VERSION", func(f *fake) { f.remove("/usr/bin/pasta") }, Error, "not there", "sudo apt install podman", false},
	{"something in quarantine", "D_QUARANTINE", func(f *fake) {
		f.write(f.Layout.State("quarantine/db.sql."+now.Add(-50*time.Hour).UTC().Format(quarantineTime)), "x", 0o600)
	}, Info, "2 days ago", "--restore-quarantine db.sql.", false},
}

// TestAilments: each is found by its check, with its severity, which is none that the check does not promise, and with what mends it.
func TestAilments(t *testing.T) {
	found, promised := map[string]bool{}, map[string]Severity{}
	for _, c := range Checks() {
		promised[c.Code] = c.Worst
	}
	for _, a := range ailments {
		found[a.code] = true
		if least := promised[a.code]; worst([]Finding{{Severity: a.severity}, {Severity: least}}) != least {
			t.Errorf("%s: %s, and the worst of %s is said to be %s", a.name, a.severity, a.code, least)
		}
		t.Run(a.name, func(t *testing.T) {
			f := newNode(t)
			a.breaks(f)
			r := f.one(a.code, Report)
			if r.Status != a.severity || len(r.Findings) == 0 {
				t.Fatalf("%s: %s %q, want %s\n%+v", a.code, r.Status, r.Reason, a.severity, r.Findings)
			}
			first := r.Findings[0]
			if all := first.Object + ": " + first.Text; !strings.Contains(all, a.text) || !strings.Contains(first.Mend, a.mend) || first.Human != a.human {
				t.Errorf("it says %q, mend %q, human %v\nwant %q, %q, %v", all, first.Mend, first.Human, a.text, a.mend, a.human)
			}
			if first.Severity != Info && first.Mend == "" && a.mend != "" {
				t.Error("nothing mends it")
			}
		})
	}
	for _, c := range Checks() {
		if !found[c.Code] {
			t.Errorf("no ailment of %s is tested", c.Code)
		}
	}
}

func (f *fake) diagnosis(d heal.Diagnosis) {
	f.Podman = func(context.Context) (heal.Diagnosis, error) { return d, nil }
}

// monitor lets the container of that name live.
func (f *fake) monitor(pid int, name string) {
	f.write("/proc/"+itoa(pid)+"/cmdline", strings.Join([]string{"/usr/bin/conmon", "-c", name, "-n", name}, "\x00")+"\x00", 0o644)
	f.must(os.Chown(f.at("/proc/"+itoa(pid)), f.User.UID, -1))
}

// hosts gives a running app this address of the host.
func (f *fake) hosts(address string) {
	f.running("lnd").Network = &reconcile.Network{Name: "archy-net"}
	f.write(f.Layout.RuntimeDir+"/containers/overlay-containers/cid/userdata/hosts", address+"\thost.containers.internal\n", 0o644)
}

// bridges gives the network of the bridges these routes.
func (f *fake) bridges(routes string) {
	f.must(os.MkdirAll(f.at(f.Layout.RuntimeDir+"/containers/networks/rootless-netns"), 0o700))
	f.write("/proc/4711/comm", "aardvark-dns\n", 0o644)
	f.write("/proc/4711/net/route", routes, 0o644)
}

// certificate gives lnd one that ends after a time and bears a name.
func (f *fake) certificate(left time.Duration, name string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.must(err)
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour * 24), NotAfter: now.Add(left), DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	f.must(err)
	f.write(f.Layout.Data("lnd/tls.cert"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
}

func TestSpace(t *testing.T) {
	for free, want := range map[int64]string{100 << 20: "error human", 1 << 30: "error", 5 << 30: "warning", 50 << 30: ""} {
		got := ""
		for _, found := range spaceFindings("/d", free) {
			got = string(found.Severity)
			if found.Human {
				got += " human"
			}
		}
		if got != want {
			t.Errorf("%d bytes free: %q, want %q", free, got, want)
		}
	}
}

// TestFewInodes: a disk without inodes is full, whatever space it has, and the ladder of podman says so too.
func TestFewInodes(t *testing.T) {
	f := newNode(t)
	dir := f.at(f.Layout.DataDir)
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=20g,nr_inodes=500"); err != nil {
		t.Skipf("no file system with few inodes can be made: %v", err)
	}
	t.Cleanup(func() { f.must(unix.Unmount(dir, 0)) })
	f.must(os.MkdirAll(filepath.Dir(f.at(f.Layout.VolumeMark())), 0o755))
	f.write(f.Layout.VolumeMark(), "an-id\n", 0o644)
	if r := f.one("D_SPACE", Report); len(r.Findings) == 0 || !r.Findings[0].Human || !strings.Contains(r.Findings[0].Text, "inodes are left") {
		t.Errorf("%+v", r)
	}
	h := heal.Healer{Layout: f.Layout, User: f.User, Runner: f, Now: f.Now, Units: func(context.Context) (heal.Units, error) { return nil, errors.New("no bus") }}
	if d := h.Check(t.Context()); d.State != heal.DiskFull || d.ExitCode() != heal.ExitHuman || !strings.Contains(d.Evidence, "fewer than 1000 inodes") {
		t.Errorf("%+v", d)
	}
}

// TestRepairs: what says safe is mended by --fix and nothing else is; full mends the pages too.
func TestRepairs(t *testing.T) {
	for _, c := range []struct {
		name, code string
		level      Repair
		breaks     func(f *fake)
		mended     bool
	}{
		{"a secret's mode", "D_SECRET_MODE", Safe, func(f *fake) { f.must(os.Chmod(f.at(f.Layout.Data("secrets/bitcoin-rpc-password")), 0o644)) }, true},
		{"the drop-in", "D_DROPIN", Safe, func(f *fake) { f.remove("/etc/systemd/system/user@1000.service.d") }, true},
		{"a host name of Tor", "D_TOR", Safe, func(f *fake) { f.remove(f.Layout.Data("tor-hostnames/web")) }, true},
		{"the pages, by safe", "D_WEBUI_MODE", Safe, func(f *fake) { f.must(os.Chmod(f.at(webUIDir), 0o700)) }, false},
		{"the pages, by full", "D_WEBUI_MODE", Full, func(f *fake) { f.must(os.Chmod(f.at(webUIDir), 0o700)) }, true},
		{"a directory's mode", "D_DIRECTORY", Full, func(f *fake) { f.must(os.Chmod(f.at(f.Layout.State()), 0o755)) }, false},
		{"the storage", "D_GRAPHROOT", Full, func(f *fake) { f.remove("/home/archipelago/.config/containers/storage.conf") }, false},
		{"subordinate ids", "D_SUBID", Full, func(f *fake) { f.write("/etc/subuid", "", 0o644) }, false},
		{"the firewall", "D_FIREWALL", Full, func(f *fake) { f.says["ufw status"] = "Status: inactive\n" }, false},
		{"Tor's configuration", "D_TOR", Full, func(f *fake) { f.write(firstboot.Torrc, "# mine\n", 0o644) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newNode(t)
			c.breaks(f)
			before := f.tree()
			r := f.one(c.code, c.level)
			if !c.mended {
				if len(r.Mended) > 0 || len(r.Findings) == 0 || f.tree() != before {
					t.Errorf("it was touched: %+v", r)
				}
				return
			}
			if len(r.Mended) == 0 || r.Status != OK {
				t.Errorf("it was not mended: %+v", r)
			}
			if again := f.one(c.code, c.level); again.Status != OK || len(again.Mended) > 0 {
				t.Errorf("it does not hold: %+v", again)
			}
		})
	}
}

// adopted is an lnd that was adopted, whose ports the last pass has told.
func (f *fake) adopted(ports ...string) {
	f.must(f.State.WriteLast("reconcile", reconcile.Result{Schema: 1, Version: "test", Apps: []reconcile.AppResult{
		{App: "lnd", Owner: state.Legacy, Desired: reconcile.WantRunning, Ports: ports}, {App: "web", Owner: state.Quadlet, Desired: reconcile.WantRunning, Ports: []string{"1:1"}}}}))
}

// TestPortsOfAdoptedContainers: only a port that somebody could reach, and that no rule of anybody's is about, is worth a word.
func TestPortsOfAdoptedContainers(t *testing.T) {
	for rule, want := range map[string]int{
		"": 1, "allow 18080/tcp": 0, "allow in proto tcp from 10.0.0.0/8 to any port 18080": 0, "limit 18080": 0, "allow from 192.168.0.0/16": 0, "allow 18000:18100/tcp": 0,
		"deny 18080/tcp": 1, "allow 18080/udp": 1, "allow 18081/tcp": 1,
	} {
		f := newNode(t)
		f.adopted("127.0.0.1:18079:8079", "::1:18078:8078", "18080:8080", "8332:8332", "443:443")
		f.says["ufw show added"] += "ufw " + rule + "\n"
		if r := f.one("D_FIREWALL", Report); len(r.Findings) != want {
			t.Errorf("%q: %+v", rule, r.Findings)
		}
		f.write("/etc/default/ufw", "IPV6=yes\nDEFAULT_INPUT_POLICY=\"ACCEPT\"\n", 0o644)
		if r := f.one("D_FIREWALL", Report); len(r.Findings) > 0 {
			t.Errorf("%q, where everything is let in: %+v", rule, r.Findings)
		}
	}
}

// TestLateSystemd: a systemd that is late proves nothing about a timer.
func TestLateSystemd(t *testing.T) {
	f := newNode(t)
	f.fails["systemctl"] = &command.LimitError{Limit: time.Second}
	if r := f.one("D_TIMER", Report); r.Status != OK {
		t.Errorf("%+v", r)
	}
}

// TestLinger: the repair is loginctl's.
func TestLinger(t *testing.T) {
	f := newNode(t)
	f.remove("/var/lib/systemd/linger/archipelago")
	f.one("D_LINGER", Safe)
	if !f.called("loginctl enable-linger archipelago") {
		t.Errorf("%v", f.calls)
	}
}

// TestNothingOnABareMountPoint, incident 17: without its volume nothing is mended, however safe.
func TestNothingOnABareMountPoint(t *testing.T) {
	f := newNode(t)
	f.remove(f.Layout.VolumeMark())
	f.must(os.Chmod(f.at(f.Layout.Data("secrets/bitcoin-rpc-password")), 0o644))
	f.remove("/etc/systemd/system/user@1000.service.d")
	before := f.tree()
	results := f.everybody(Full)
	if f.tree() != before {
		t.Error("something was written")
	}
	for _, r := range results {
		switch r.Code {
		case "D_SECRET_MODE", "D_APP":
			if r.Status != Skipped || !strings.Contains(r.Reason, "D_VOLUME") {
				t.Errorf("%+v", r)
			}
		case "D_DROPIN":
			if !strings.Contains(r.Findings[0].NotMended, "nothing is mended") {
				t.Errorf("%+v", r)
			}
		}
	}
}

// TestNothingOnAReadOnlyDisk: nothing is mended there, and what can be read is looked at as ever.
func TestNothingOnAReadOnlyDisk(t *testing.T) {
	f := newNode(t)
	f.write("/proc/self/mounts", "/dev/sda1 / ext4 ro,relatime 0 0\n", 0o644)
	f.must(os.Chmod(f.at(f.Layout.Data("secrets/bitcoin-rpc-password")), 0o644))
	before := f.tree()
	results := f.everybody(Full)
	if f.tree() != before {
		t.Error("something was written")
	}
	for _, r := range results {
		switch r.Code {
		case "D_SECRET_MODE":
			if r.Status == Skipped || !strings.Contains(r.Findings[0].NotMended, "read-only") {
				t.Errorf("%+v", r)
			}
		case "D_STATE", "D_APP":
			if r.Status != OK {
				t.Errorf("%+v", r)
			}
		}
	}
}

// TestRepairFails: what cannot be mended says why and stays a finding.
func TestRepairFails(t *testing.T) {
	f := newNode(t)
	f.Publish = func(string) error { return errors.New("read-only file system") }
	f.must(os.Chmod(f.at(webUIDir), 0o700))
	r := f.one("D_WEBUI_MODE", Full)
	if r.Status != Error || r.Findings[0].NotMended != "read-only file system" || len(r.Mended) > 0 {
		t.Errorf("%+v", r)
	}
}

// TestNotANode: an empty directory gets a report, too.
func TestNotANode(t *testing.T) {
	f := newNode(t)
	entries, err := os.ReadDir(f.root)
	f.must(err)
	for _, e := range entries {
		f.remove(e.Name())
	}
	f.UserErr, f.Observe, f.Podman, f.Runner, f.Resolve = node.ErrNoUser, nil, nil, Elsewhere{}, nil
	f.Host.Runner = Elsewhere{}
	results := f.everybody(Report)
	if len(results) != len(Checks()) {
		t.Fatalf("%d results", len(results))
	}
	for _, r := range results {
		for _, found := range r.Findings {
			if strings.Contains(found.Text, "the check itself failed") {
				t.Errorf("%s: %s", r.Code, found.Text)
			}
		}
	}
	if entries, _ := os.ReadDir(f.root); len(entries) != 0 {
		t.Errorf("something was made: %v", entries)
	}
}

// TestStateOfAnotherUser: the mend names the configured user, and no app's data (incident 13: the directory of user-stopped.json is that of all of them).
func TestStateOfAnotherUser(t *testing.T) {
	n := &Node{User: node.User{Name: "keeper"}, Layout: node.Layout{DataDir: "/srv/node"}}
	for path, want := range map[string]string{
		n.Layout.UserStopped():        "sudo chown keeper: /srv/node /srv/node/user-stopped.json",
		n.Layout.State("heal.json"):   "sudo chown keeper: /srv/node/state /srv/node/state/heal.json",
		n.Layout.State("apps/a.json"): "sudo chown keeper: /srv/node/state/apps /srv/node/state/apps/a.json",
	} {
		if got := n.stateFinding(path, fs.ErrPermission).Mend; got != want {
			t.Errorf("%s: mend %q, want %q", path, got, want)
		}
	}
}
