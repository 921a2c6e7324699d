package heal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Explain says what a person needs to decide who meets this state.
func (h *Healer) Explain(ctx context.Context, s State, evidence string) *Human {
	return h.human(Diagnosis{State: s, Evidence: evidence, Live: h.live(ctx)})
}

// advice is what a person needs to decide, by what has become of the first rung. tried is "" where nothing was tried. What archy does by itself as soon as
// it is asked needs no other way, and no climb is named that would be refused within the hour.
func (c *climb) advice(tried Result) *Human {
	m := c.human(c.d)
	if c.d.FirstRung > 0 {
		c.advise(m, tried)
		m.Commands = c.within(m.Commands)
	}
	return m
}

func (c *climb) advise(m *Human, tried Result) {
	n := c.d.FirstRung
	lacks, soon, failed := c.lacks(n), "", c.failed(n)
	if tried == TooSoon || tried == "" {
		soon = c.tooSoon(c.mode)
	}
	heal := Command{safeClimb, costs[n]}
	switch {
	case lacks != "":
		m.WillNot = lacks
		m.Commands = []Command{{safeClimb, "once that is mended: " + costs[n]}}
	case failed != "" && n >= 5 && n != 6:
		m.WillNot = fmt.Sprintf("rung %d failed: %s", n, failed)
		m.Commands = []Command{{fullClimb, "once that is mended: " + costs[n]}}
	case c.refusal(n) != "" && !c.stops(n):
	case soon != "":
		m.WillNot = soon
		if n == 5 || n > 6 || n > 3 && c.open(Full) {
			m.Commands = nil // those ways are for what stands in a rung's way, and nothing does
		}
		m.Commands = append([]Command{heal}, m.Commands...)
	case tried == "", tried == Planned:
		m.WillNot = fmt.Sprintf("nothing was tried yet: rung %d, %s", n, does[n])
		m.Commands, m.ByArchy = []Command{c.command(heal)}, true
	}
}

// The climbs that a person is told of.
const (
	safeClimb = "archy podman heal"
	fullClimb = safeClimb + " --full"
)

// open tells whether a climb would be made now, after this one.
func (c *climb) open(mode Mode) bool {
	justDone := c.r.climbed() && !c.r.DryRun && (mode == Safe || mode == c.mode)
	return !justDone && c.tooSoon(mode) == ""
}

// within the hour each climb that would be refused gives way to the next one that asks for more; after the last one stands what a person can do without.
func (c *climb) within(ways []Command) []Command {
	var out []Command
	for _, w := range ways {
		if w.Command == safeClimb && !c.open(Safe) {
			w.Command = fullClimb
		}
		if w.Command == fullClimb && !c.open(Full) {
			switch n := c.d.FirstRung; {
			case n == 4:
				w.Command = "archy reconcile" // its plan has the rung
			case n < 4 || n == 6:
				continue // the other ways do the same
			default:
				w = stopAll
			}
		}
		if w == stopAll && !c.open(StopApps) {
			w = Command{"sudo systemctl reboot", "every app is down for the reboot; then archy podman heal can go on"}
		}
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// command is the climb that was asked for.
func (c *climb) command(heal Command) Command {
	switch c.mode {
	case Full:
		heal.Command = fullClimb
	case StopApps:
		return stopAll
	}
	return heal
}

// failed is why a rung that was climbed has not done what it does.
func (c *climb) failed(n int) string {
	for _, s := range c.r.Rungs {
		if s.N == n && s.Error != "" {
			return s.Error
		}
	}
	return ""
}

// stopAll is the way that is always left where live containers stand in the way.
var stopAll = Command{fullClimb + " --stop-apps", "every app is down while it is healed, each with its grace; they are started again afterwards"}

// human says what a person needs to decide: what was seen, what still works, what archy will not do and why, and the commands that would
// do it.
func (h *Healer) human(d Diagnosis) *Human {
	m := &Human{Seen: d.Evidence, StillWorks: stillWorks(d)}
	switch d.State {
	case DBCorrupt:
		m.WillNot = "the database is not put aside while foreign containers live: podman would lose them for good"
		m.Commands = []Command{{"archy adopt --migrate", "each adopted container is restarted once, as a service; then archy podman heal can go on"}, stopAll}
	case BootID:
		m.WillNot = "the directories " + strings.Join(d.Paths, " and ") + " are not put aside while containers live: podman would start second copies on the same data"
		m.Commands = []Command{stopAll, {"sudo systemctl reboot", "every app is down for the reboot"}}
	case LocksExhausted, LocksBroken:
		m.WillNot = "locks are not numbered anew while containers live: two containers could get the same one"
		m.Commands = []Command{stopAll}
	case LostTrack, DBMissing, StaleDNS:
		m.WillNot = "a container that podman has lost is not started a second time, and one that no service owns is not stopped"
		m.Commands = []Command{{safeClimb, "each managed app that podman has lost is restarted once, one at a time"}}
		for _, p := range d.Live {
			if !p.Ours() && slices.Contains(d.Names, p.Name) {
				m.Commands = append(m.Commands, Command{fmt.Sprintf("kill -TERM %d", p.Payload), p.Name + " ends, with its grace; then: archy reconcile"})
			}
		}
	case NameInStorage:
		m.WillNot = "a container in podman's storage that has a volume of podman's, or of which something lives, is not removed"
		m.Commands = each(d.Names, "podman rm --force %s", "what %s has outside its mounted directories is gone; its data are not touched")
	case DiskFull:
		m.WillNot = "nothing is deleted that archy has not made, and no app is restarted because it cannot write"
		m.Commands = []Command{{"sudo du -xh --max-depth=2 " + h.Layout.DataDir + " | sort -h | tail", "reads only"}, {"archy prune", "images that nothing needs are pulled again when they are wanted"}}
	case ReadOnly:
		m.WillNot = "a file system that the kernel has made read-only after an error of the disk is not mounted for writing: a failing disk could lose more"
		m.Commands = []Command{{"sudo journalctl -k", "reads only"}, {"sudo systemctl reboot", "every app is down for the reboot, in which fsck checks the disk where fstab asks for it"},
			{"sudo mount -o remount,rw $(findmnt -nT " + h.Layout.DataDir + " -o TARGET)", "on a disk that fails, what is written from then on"}}
	default:
		h.others(d, m)
	}
	return m
}

// others are the states that archy never repairs, and those whose rung did not help.
func (h *Healer) others(d Diagnosis, m *Human) {
	unit := fmt.Sprintf("user@%d.service", h.User.UID)
	switch d.State {
	case Hung:
		m.WillNot = "nothing is put aside or restarted because podman is silent: that is no proof that something is broken"
		m.Commands = []Command{{"ps -u " + h.User.Name + " -o pid,stat,wchan:20,etime,args | grep podman", "reads only"},
			{"systemctl --user restart podman.service", "questions under way fail; containers go on"}}
	case NoRuntimeDir, NoUserBus:
		m.WillNot = "the user manager is not restarted while it may run: every app would be stopped"
		m.Commands = []Command{{"sudo systemctl start " + unit, "nothing, if it does not run"}, {"sudo systemctl restart " + unit, "every app is stopped and started"}}
	case SocketDown:
		m.WillNot = "restarting podman.socket did not help, and nothing further is proved"
		m.Commands = []Command{{"systemctl --user restart podman.socket podman.service", "questions under way fail; containers go on"}}
	case StalePause:
		file, costs := h.pauseFile(), "podman makes a new one; containers go on"
		m.WillNot = "the pause file is not put aside while the process that it names is a podman of " + h.User.Name
		if _, err := os.Lstat(h.host(file)); errors.Is(err, fs.ErrNotExist) {
			file, costs = h.aliveFile(), "podman forgets what runs, which goes on; then archy podman heal --full restarts each managed app once"
			m.WillNot = "there is no pause file, and podman's mark of this boot is not put aside while podman may know its containers"
		}
		m.Commands = []Command{{"mv " + file + " " + file + ".bak", costs}}
	case DBConfig:
		m.WillNot = "podman's database was made with other paths than its configuration has now; neither is changed"
		m.Commands = []Command{{"podman info --format '{{.Store.GraphRoot}} {{.Store.RunRoot}}'", "reads only"},
			{"sudo archy first-boot --again", "lays archy's storage.conf down, if no other storage holds data"}}
	case SubUID:
		m.WillNot = "subordinate ids are not given out on a node with data: the owners of the data depend on them"
		m.Commands = []Command{{"grep " + h.User.Name + " /etc/subuid /etc/subgid", "reads only"}}
	case Namespace:
		caller, show := h.caller()
		m.WillNot = "the kernel or the unit that called, " + caller + ", refuses user namespaces; archy does not loosen a unit"
		m.Commands = []Command{{show, "reads only: the unit must not set NoNewPrivileges=, RestrictNamespaces= or PrivateUsers="},
			{"sudo sysctl kernel.unprivileged_userns_clone", "reads only"}}
	default:
		m.WillNot = "this is not known, and what is not known is not repaired by guessing"
		m.Commands = []Command{{"podman --log-level=debug info", "reads only"}, {"journalctl --user -u podman -n 50", "reads only"}}
	}
}

// caller is the unit that this process runs in, and the command that shows it.
func (h *Healer) caller() (unit, show string) {
	group := unified(filepath.Join(h.proc(), "self/cgroup"))
	for at := group; len(at) > 1; at = path.Dir(at) {
		unit := path.Base(at)
		if ext := path.Ext(unit); ext != ".service" && ext != ".scope" {
			continue
		}
		if strings.Contains(path.Dir(at), "/user@") {
			return unit + " of " + h.User.Name, "systemctl --user cat " + unit
		}
		return unit, "systemctl cat " + unit
	}
	return "which is not known", "cat /proc/self/cgroup"
}

func each(names []string, command, costs string) []Command {
	var out []Command
	for _, n := range names {
		out = append(out, Command{fmt.Sprintf(command, n), fmt.Sprintf(costs, n)})
	}
	return out
}

func stillWorks(d Diagnosis) string {
	if len(d.Live) == 0 {
		return "no container lives"
	}
	var names []string
	for _, p := range d.Live {
		whose := "foreign"
		if p.Ours() {
			whose = cmp.Or(p.Service, "ours")
		}
		names = append(names, fmt.Sprintf("%s (pid %d, %s)", p.Name, p.PID, whose))
	}
	return "the containers that live go on serving: " + strings.Join(names, ", ")
}
