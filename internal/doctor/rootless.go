package doctor

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
)

// subid: the ranges decide who owns what the containers wrote, so nobody but a person changes them.
func subid(ctx context.Context, n *Node) []Finding {
	if n.UserErr != nil {
		return skip("there is no service user")
	}
	list := reportOnly(part(ctx, n, firstboot.PartSubordinate, Error, ""))
	if len(list) > 0 {
		return list
	}
	for _, dir := range n.strangeOwners() {
		list = append(list, failure(dir.path, "it belongs to uid %d, which is none of %d to %d: the data was made with another range in /etc/subuid",
			dir.uid, n.Facts.SubUID.Start, n.Facts.SubUID.Start+n.Facts.SubUID.Count-1).
			by("put the old line of %s back into /etc/subuid and /etc/subgid, with all apps stopped", n.User.Name).human())
	}
	return list
}

type ownedDir struct {
	path string
	uid  int
}

// strangeOwners are the directories of apps whose owner is neither on this machine nor in the range.
func (n *Node) strangeOwners() (list []ownedDir) {
	r := n.Facts.SubUID
	entries, _ := os.ReadDir(n.Layout.Host(n.Layout.DataDir))
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || r.Count == 0 {
			continue
		}
		uid := int(info.Sys().(*syscall.Stat_t).Uid)
		if uid >= 65536 && uid != n.User.UID && (uid < r.Start || uid >= r.Start+r.Count) {
			list = append(list, ownedDir{filepath.Join(n.Layout.DataDir, e.Name()), uid})
		}
	}
	return list
}

func linger(ctx context.Context, n *Node) []Finding {
	if n.UserErr != nil {
		return skip("there is no service user")
	}
	return mendBy(asSafe(part(ctx, n, firstboot.PartLinger, Error, n.User.Name)), "sudo loginctl enable-linger "+n.User.Name)
}

func dropIn(ctx context.Context, n *Node) []Finding {
	list := part(ctx, n, firstboot.PartUserManager, Warning, firstboot.UserManagerDropIn(firstboot.Owner{}).Path)
	return mendBy(asSafe(list), "sudo archy doctor --fix")
}

func cgroup(_ context.Context, n *Node) []Finding {
	const top = "/sys/fs/cgroup/cgroup.controllers"
	if !n.exists(top) {
		return []Finding{failure(top, "no control groups of version 2: no limit of an app can hold").
			by("remove systemd.unified_cgroup_hierarchy=0 from the kernel's command line and start the machine again")}
	}
	manager := "user@" + itoa(n.User.UID) + ".service"
	missing := n.Facts.Delegated.Missing()
	var list []Finding
	if len(missing) > 0 {
		list = append(list, warning(manager, "not delegated: %s; apps run without these limits. The machine has: %s",
			strings.Join(missing, ", "), n.text(top)).by("%s, then start the machine again; if it stays so, the kernel has them switched off", again))
	}
	if limits := n.limitsInForce(); len(limits) > 0 {
		given := slices.DeleteFunc([]string{"cpu", "memory", "pids"}, func(c string) bool { return slices.Contains(missing, c) })
		list = append(list, info(manager, "delegated: %s; limits in force: %s", strings.Join(given, ", "), strings.Join(limits, "; ")))
	}
	return list
}

// limitsInForce are the limits that the kernel holds the services of the apps to, in words.
func (n *Node) limitsInForce() []string {
	uid := itoa(n.User.UID)
	var list []string
	for _, id := range n.Set.Order() {
		group := n.Layout.Host("/sys/fs/cgroup/user.slice/user-" + uid + ".slice/user@" + uid + ".service/app.slice/" + n.Set.Apps[id].Unit() + ".service")
		var words []string
		if bytes := tightest(group, "memory.max"); bytes > 0 {
			words = append(words, size(int64(bytes)))
		}
		if cores := tightest(group, "cpu.max"); cores > 0 {
			words = append(words, strconv.FormatFloat(cores, 'g', 3, 64)+" cpu")
		}
		if pids := tightest(group, "pids.max"); pids > 0 {
			words = append(words, strconv.Itoa(int(pids))+" pids")
		}
		if len(words) > 0 {
			list = append(list, id+" "+strings.Join(words, ", "))
		}
	}
	return list
}

// tightest is the smallest value of a limit in a control group and in those below it, where podman sets it; 0 without one. A share of the
// processors is a quota and its period (cgroup v2, "Interface Files").
func tightest(group, file string) (least float64) {
	files, _ := filepath.Glob(filepath.Join(group, file))
	for _, below := range []string{"*", "*/*"} {
		more, _ := filepath.Glob(filepath.Join(group, below, file))
		files = append(files, more...)
	}
	for _, f := range files {
		text, _ := os.ReadFile(f)
		quota, period, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
		value, err := strconv.ParseFloat(quota, 64) // "max" is none
		if p, perr := strconv.ParseFloat(period, 64); perr == nil && p > 0 {
			value /= p
		}
		if err == nil && value > 0 && (least == 0 || value < least) {
			least = value
		}
	}
	return least
}

func runtimeDir(ctx context.Context, n *Node) []Finding {
	if n.UserErr != nil {
		return skip("there is no service user")
	}
	start := "sudo systemctl start user@" + itoa(n.User.UID)
	list := mendBy(part(ctx, n, firstboot.PartRuntimeDir, Error, n.Layout.RuntimeDir), start)
	if len(list) > 0 {
		return list
	}
	if err := n.answers(n.Layout.UserBus()); err != nil {
		list = append(list, failure(n.Layout.UserBus(), "the user's bus does not answer: %v", err).by("%s", start))
	}
	if err := n.answers(n.Layout.PodmanSocket()); err != nil {
		list = append(list, failure(n.Layout.PodmanSocket(), "podman's socket does not answer: %v", err).
			by("sudo -u %s XDG_RUNTIME_DIR=%s systemctl --user restart podman.socket", n.User.Name, n.Layout.RuntimeDir))
	}
	return list
}

// answers tells whether somebody takes connections at a socket.
func (n *Node) answers(socket string) error {
	conn, err := net.DialTimeout("unix", n.Layout.Host(socket), time.Second)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return err
	}
	return conn.Close()
}

func graphRoot(ctx context.Context, n *Node) []Finding {
	return reportOnly(part(ctx, n, firstboot.PartStorage, Error, firstboot.Graphroot(n.Layout)))
}

func containersConf(ctx context.Context, n *Node) []Finding {
	return reportOnly(part(ctx, n, firstboot.PartContainers, Warning, ""))
}

func podmanState(ctx context.Context, n *Node) []Finding {
	if n.Podman == nil {
		return skip("nobody can ask podman here")
	}
	d, err := n.Podman(ctx)
	switch {
	case err != nil:
		return []Finding{failure("", "podman could not be examined: %v", err).by("archy podman check")}
	case d.State == heal.OK:
		return n.otherGraphRoot(ctx)
	case d.State == heal.Slow:
		return []Finding{warning(string(d.State), "podman answers late: %s", d.Evidence).by("archy podman check, again in some minutes")}
	}
	return []Finding{podmanFinding(d)}
}

// podmanFinding names the climb that begins with this state, or what a person has to decide.
func podmanFinding(d heal.Diagnosis) Finding {
	f := failure(string(d.State), "%s (%s)", d.Evidence, d.Source).by("archy podman heal")
	if d.Human == nil || d.Human.ByArchy {
		return f
	}
	var ways []string
	for _, c := range d.Human.Commands {
		ways = append(ways, c.Command)
	}
	f.Mend = strings.Join(ways, ", or: ")
	return f.human()
}

// otherGraphRoot: what podman really uses counts, whatever its configuration says.
func (n *Node) otherGraphRoot(ctx context.Context) []Finding {
	info, err := n.Engine.Info(ctx)
	if err != nil {
		return []Finding{failure("", "podman info: %v", err).by("systemctl --user restart podman.socket")}
	}
	if want := firstboot.Graphroot(n.Layout); info.GraphRoot != want {
		return []Finding{failure(info.GraphRoot, "podman's storage is there and not in %s: something overrides its configuration", want).
			by("podman info --format '{{.Store.ConfigFile}}'").human()}
	}
	return nil
}
