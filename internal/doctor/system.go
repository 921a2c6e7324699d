package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/dist"
	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/update"
)

func firewall(ctx context.Context, n *Node) []Finding {
	if !n.Config.Firewall.Manage {
		return skip("firewall.manage is false")
	}
	return append(reportOnly(part(ctx, n, firstboot.PartFirewall, Warning, "")), closedPorts(ctx, n)...)
}

// closedPorts, incident 21: an adopted container keeps its ports, and the rules are those of the manifest. Root cannot ask podman: the last pass has told.
func closedPorts(ctx context.Context, n *Node) (list []Finding) {
	var last reconcile.Result
	if found, err := n.State.ReadLast("reconcile", &last); err != nil || !found {
		return nil
	}
	closed, err := n.Host.Closed(ctx)
	if err != nil {
		return nil // the rules of the manifests have told
	}
	for _, a := range last.Apps {
		if a.Owner != state.Legacy || a.Desired != reconcile.WantRunning {
			continue
		}
		for _, text := range a.Ports {
			if ip, port, protocol := published(text); port > 0 && !firstboot.Loopback(ip) && closed(port, protocol) {
				list = append(list, warning(a.App, "its container, which was adopted, publishes port %d/%s, and no rule of ufw lets anybody in", port, protocol).
					by("archy adopt --migrate %s, which keeps the port and opens it; or: sudo ufw allow %d/%s", a.App, port, protocol))
			}
		}
	}
	return list
}

// published reads a port of a result: 18080:8080, or 127.0.0.1:53:53/udp.
func published(text string) (ip string, port int, protocol string) {
	text, protocol, _ = strings.Cut(text, "/")
	host := text[:max(strings.LastIndex(text, ":"), 0)]
	at := strings.LastIndex(host, ":")
	port, _ = strconv.Atoi(host[at+1:])
	return host[:max(at, 0)], port, orElse(protocol, "tcp")
}

// tor mends at the level safe: a name that Tor has made since first boot is copied to where everybody may read it.
func tor(ctx context.Context, n *Node) []Finding {
	if _, err := n.Host.CheckPart(ctx, firstboot.PartTor); errors.Is(err, firstboot.ErrUnmanaged) {
		return mendBy(asSafe(part(ctx, n, firstboot.PartTorNames, Warning, "")), "sudo archy doctor --fix")
	}
	list := reportOnly(part(ctx, n, firstboot.PartTor, Warning, firstboot.Torrc))
	return append(list, mendBy(asSafe(part(ctx, n, firstboot.PartTorNames, Warning, "")), "sudo archy doctor --fix")...)
}

// Units that an installation lays down, and those of them that must be on.
const unitDir = "/etc/systemd/system"

var running = []string{"archy-doctor.timer", "archy-reconcile.timer", "archy-update-verify.path"}

func timers(ctx context.Context, n *Node) []Finding {
	const install = "sudo archy iso install --root /; sudo systemctl daemon-reload"
	var list []Finding
	units, _ := fs.Glob(dist.FS, "systemd/archy-*")
	for _, name := range units {
		path := filepath.Join(unitDir, filepath.Base(name))
		have, err := os.ReadFile(n.Layout.Host(path))
		switch {
		case err != nil:
			list = append(list, warning(path, "the unit is not there").by(install))
		case !bytes.Equal(have, dist.Text(name)):
			list = append(list, warning(path, "it is not the unit of this archy").by(install))
		}
	}
	for _, name := range running {
		if !n.exists(filepath.Join(unitDir, name)) {
			continue
		}
		// Only systemd's own answer counts: that it is late says nothing about the timer.
		var inactive *command.ExitError
		if state, err := n.run(ctx, "systemctl", "is-active", name); errors.As(err, &inactive) {
			list = append(list, warning(name, "it is %s: nobody looks at the node by itself", orElse(state, "off")).by("sudo systemctl enable --now %s", name))
		}
	}
	return append(list, n.lastRuns(ctx)...)
}

// lastRuns tells of a pass or a verification that ended badly. The doctor's own last run is no news to the doctor.
func (n *Node) lastRuns(ctx context.Context) []Finding {
	var list []Finding
	for _, unit := range []string{"archy-first-boot.service", "archy-reconcile.service", "archy-update-verify.service"} {
		text, err := n.run(ctx, "systemctl", "show", "-p", "Result", "-p", "ExecMainStatus", "-p", "LoadState", unit)
		p := properties(text)
		if err != nil || p["LoadState"] != "loaded" || p["Result"] == "success" || p["Result"] == "" {
			continue
		}
		list = append(list, warning(unit, "its last run ended with %s (exit code %s)", p["Result"], p["ExecMainStatus"]).by("journalctl -u %s -n 50", unit))
	}
	return list
}

// staleUpdate is the age from which nobody judges an update any more.
const staleUpdate = 10 * time.Minute

func updates(_ context.Context, n *Node) []Finding {
	if n.Updates == nil {
		return skip("the marker of an update cannot be looked at")
	}
	pending, err1 := n.Updates.Pending()
	last, err2 := n.Updates.Last()
	var list []Finding
	for _, err := range joined(errors.Join(err1, err2)) {
		var bad *update.BadMarker
		if !errors.As(err, &bad) {
			list = append(list, warning("", "%v", err).by("sudo archy update status"))
			continue
		}
		list = append(list, failure(bad.Path, "%v: no update can be confirmed or undone by it", bad.Err).by("sudo mv %s %s.broken", bad.Path, bad.Path))
	}
	if pending != nil {
		list = append(list, pendingUpdate(pending, n.Now()))
	}
	return append(list, lastUpdate(last)...)
}

func pendingUpdate(m *update.Marker, now time.Time) Finding {
	where := fmt.Sprintf("update %s -> %s", m.OldVersion, m.NewVersion)
	switch age := now.Sub(m.MarkedAt); {
	case m.State == update.RollingBack:
		return failure(where, "its rollback stopped at step %d", m.Step).by("sudo archy update verify")
	case age > staleUpdate || age < -staleUpdate:
		return warning(where, "it is %s since %s and nobody has judged it", m.State, stamp(m.MarkedAt)).by("sudo archy update verify")
	}
	return info(where, "it waits for its verdict (%s)", m.State).by("archy update status")
}

func lastUpdate(m *update.Marker) []Finding {
	if m == nil {
		return nil
	}
	where := fmt.Sprintf("update %s -> %s", m.OldVersion, m.NewVersion)
	switch m.State {
	case update.RollbackFailed:
		return []Finding{failure(where, "the old version could not be put back: %s; %s", m.Reason, m.Failure).by("archy update status").human()}
	case update.RolledBack:
		return []Finding{info(where, "it was undone on %s: %s", stamp(m.FinishedAt), m.Reason).by("archy update status")}
	}
	return nil
}

// webUIDir is where the web server reads the pages; mostPages is where a walk ends.
const (
	webUIDir  = "/opt/archipelago/web-ui"
	mostPages = 50000
)

// webUI, incident 4: an archive root of mode 0700 is error 500 on every page.
func webUI(ctx context.Context, n *Node) []Finding {
	top, err := os.Lstat(n.Layout.Host(webUIDir))
	if errors.Is(err, fs.ErrNotExist) {
		return skip("%s is not there", webUIDir)
	}
	if err != nil {
		return []Finding{failure(webUIDir, "%v", err)}
	}
	var list []Finding
	add := func(object, format string, args ...any) {
		f := failure(object, format, args...).by("sudo archy doctor --heal=full")
		if n.Publish != nil {
			f = f.fixable(Full, func(context.Context) error { return n.Publish(webUIDir) })
		}
		list = append(list, f)
	}
	if mode := top.Mode().Perm(); mode != 0o755 {
		add(webUIDir, "E_ROOT_MODE: mode %04o, want 0755: every page is error 500", mode)
	}
	if path, mode, count := n.unreadable(ctx, webUIDir); count > 0 {
		add(path, "mode %04o: the web server cannot read it (%d such entries)", mode, count)
	}
	return list
}

// unreadable finds what others may not read below a directory: the first such entry, and how many.
func (n *Node) unreadable(ctx context.Context, dir string) (path string, mode fs.FileMode, count int) {
	seen := 0
	_ = filepath.WalkDir(n.Layout.Host(dir), func(p string, d fs.DirEntry, err error) error {
		if seen++; err != nil || ctx.Err() != nil || seen > mostPages {
			return fs.SkipAll
		}
		info, err := d.Info()
		if err != nil || p == n.Layout.Host(dir) {
			return nil
		}
		need := fs.FileMode(0o004)
		if d.IsDir() {
			need = 0o005
		}
		if perm := info.Mode().Perm(); info.Mode()&fs.ModeSymlink == 0 && perm&need != need {
			if count++; count == 1 {
				rel, _ := filepath.Rel(n.Layout.Host(dir), p)
				path, mode = filepath.Join(dir, rel), perm
			}
		}
		return nil
	})
	return path, mode, count
}

// testedPodman is the version whose behaviour archy knows.
const testedPodman = "5.4."

const installPodman = "sudo apt install podman uidmap passt netavark aardvark-dns conmon crun"

func versions(ctx context.Context, n *Node) []Finding {
	list := []Finding{}
	podman, err := n.run(ctx, "podman", "--version")
	podman = strings.TrimPrefix(podman, "podman version ")
	var late *command.LimitError
	switch {
	case errors.Is(err, errElsewhere):
	case errors.As(err, &late):
		list = append(list, warning("podman", "it did not say its version within %s", late.Limit).by("podman --version"))
	case err != nil:
		return []Finding{failure("podman", "it cannot be started: %v", err).by("%s", installPodman)}
	case !strings.HasPrefix(podman, testedPodman):
		list = append(list, warning("podman", "version %s; this archy was made for %sx", podman, testedPodman).by("apt policy podman"))
	}
	if missing := missingTools(n); len(missing) > 0 {
		list = append(list, failure(strings.Join(missing, ", "), "podman needs it, and it is not there").by("%s", installPodman))
	}
	if n.exists(node.VolumeIDPath) && n.firstBootDone() && !slices.ContainsFunc(archyPaths, n.exists) {
		list = append(list, warning("/usr/local/bin/archy", "archy is not installed: the units of this node start nothing").by("sudo archy iso install --root /"))
	}
	return append(append(list, archyVersions(ctx, n)...), releaseVersion(n)...)
}

// archyPaths are where an installation and the package put archy.
var archyPaths = []string{"/usr/local/bin/archy", "/usr/bin/archy"}

// archyVersions compares this archy with those that the units and people start, and with the one that makes the passes: a watch goes on with the
// program that it was started with.
func archyVersions(ctx context.Context, n *Node) (list []Finding) {
	for _, path := range archyPaths {
		if !n.exists(path) {
			continue
		}
		var is struct {
			Version string `json:"version"`
		}
		text, err := n.run(ctx, path, "version", "--json")
		if errors.Is(err, errElsewhere) {
			return nil
		}
		if err == nil {
			err = json.Unmarshal([]byte(text), &is)
		}
		switch {
		case err != nil:
			list = append(list, warning(path, "it does not say its version: %v", err).by("%s version", path))
		case is.Version != n.Version:
			list = append(list, warning(path, "it is version %s, and this archy is %s", is.Version, n.Version).by("sudo install -m 0755 ARCHY %s, with the newer of the two", path))
		}
	}
	var last struct {
		Version string `json:"version"`
	}
	if found, err := n.State.ReadLast("reconcile", &last); err == nil && found && last.Version != "" && last.Version != n.Version {
		list = append(list, warning("", "the last pass was made by archy %s, and this is %s", last.Version, n.Version).by("sudo systemctl restart archy-reconcile.service"))
	}
	return list
}

// releaseVersion compares what is in place with what the last update left, unless one is under way.
func releaseVersion(n *Node) (list []Finding) {
	if n.Updates == nil {
		return nil
	}
	pending, err1 := n.Updates.Pending()
	last, err2 := n.Updates.Last()
	if err1 != nil || err2 != nil || pending != nil || last == nil {
		return nil // D_UPDATE tells
	}
	for _, text := range last.Differs(n.Layout) {
		where := fmt.Sprintf("update %s -> %s", last.OldVersion, last.NewVersion)
		list = append(list, warning(where, "%s: it is half applied, or something else has replaced it since", text).by("archy update status; then update again"))
	}
	return list
}

func missingTools(n *Node) (missing []string) {
	dirs := []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/lib/podman", "/usr/libexec/podman", "/usr/local/lib/podman", "/usr/local/libexec/podman"}
	for _, tool := range firstboot.Tools {
		if !slices.ContainsFunc(dirs, func(dir string) bool { return n.exists(filepath.Join(dir, tool)) }) {
			missing = append(missing, tool)
		}
	}
	return missing
}
