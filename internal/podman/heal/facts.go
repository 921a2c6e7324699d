package heal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/wait"
)

// sqliteMagic is how every SQLite 3 file begins.
const sqliteMagic = "SQLite format 3\x00"

func knock(path string, limit time.Duration) error {
	conn, err := net.DialTimeout("unix", path, limit)
	if err == nil {
		conn.Close()
	}
	return err
}

// refuses tells that a socket is not there or has nobody behind it. One that is silent may only be slow.
func refuses(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

func cause(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// databaseGone is asked before podman is, because podman makes an empty database without a word.
func (l *look) databaseGone() []Finding {
	names := l.expected()
	for _, file := range l.databases() {
		if info, err := os.Stat(l.host(file)); err == nil && info.Size() > 0 {
			return l.headless(file)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []Finding{{State: DBMissing, Source: l.databases()[0], Names: names, Paths: l.databases()[:1],
		Evidence: fmt.Sprintf("%s is missing or empty, and %s should be in it", l.databases()[0], strings.Join(names, ", "))}}
}

// GoneDatabase tells of a service of podman's that has a database open which is not there any more, or in whose place another one lies. It goes on
// answering from it and lists every container, while podman itself, which starts and ends them, has lost them all. "": there is none.
func GoneDatabase(l node.Layout, uid int) string {
	h := Healer{Layout: l, User: node.User{UID: uid}}
	for _, pid := range h.podmanServices() {
		fds := filepath.Join(h.proc(), pid, "fd")
		entries, _ := os.ReadDir(fds)
		for _, e := range entries {
			fd := filepath.Join(fds, e.Name())
			target, _ := os.Readlink(fd)
			for _, file := range h.databases() {
				if h.holdsGone(fd, target, file) {
					return fmt.Sprintf("podman's service (pid %s) answers from a %s that is not there any more", pid, file)
				}
			}
		}
	}
	return ""
}

// holdsGone tells that an open file was podman's database and is not any more: it is deleted, or renamed in its directory.
func (h *Healer) holdsGone(fd, target, file string) bool {
	was := h.host(file)
	if dir, err := filepath.EvalSymlinks(filepath.Dir(was)); err == nil {
		was = filepath.Join(dir, filepath.Base(was))
	}
	end, ours := strings.CutPrefix(target, was)
	switch {
	case !ours || strings.HasPrefix(end, "-"): // its journals come and go
		return false
	case end == deleted:
		return true
	}
	open, err := os.Stat(fd)
	if err != nil {
		return false
	}
	now, err := os.Stat(was)
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(open, now)
}

// deleted is what /proc adds to the name of an open file that has none any more.
const deleted = " (deleted)"

// podmanServices are the pids of podman's services: "podman system service". There may be two, podman's own parent and child.
func (h *Healer) podmanServices() []string {
	dirs, _ := os.ReadDir(h.proc())
	var pids []string
	buf := make([]byte, 4<<10) // of a conmon's kilobytes of arguments the beginning will do
	for _, d := range dirs {
		if number(d.Name()) == 0 {
			continue
		}
		info, err := d.Info()
		if err != nil || ownerOf(info) != h.User.UID {
			continue
		}
		name, rest, _ := bytes.Cut(beginning(filepath.Join(h.proc(), d.Name(), "cmdline"), buf), []byte{0})
		if filepath.Base(string(name)) == "podman" && slices.Contains(strings.Split(string(rest), "\x00"), "service") {
			pids = append(pids, d.Name())
		}
	}
	return pids
}

// beginning is as much of a file as goes into buf, nothing of one that cannot be read.
func beginning(file string, buf []byte) []byte {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	n, _ := io.ReadFull(f, buf)
	return buf[:n]
}

// headless: a database whose first bytes are gone need not be opened to know it. podman with a warm cache may still go on with it for
// a while.
func (l *look) headless(file string) []Finding {
	if filepath.Base(file) != "db.sql" {
		return nil
	}
	f, err := os.Open(l.host(file))
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, len(sqliteMagic))
	if _, err := io.ReadFull(f, head); err == nil && string(head) == sqliteMagic {
		return nil
	}
	return []Finding{{State: DBCorrupt, Source: file, Paths: []string{file}, Evidence: file + " does not begin like a database (" + strconv.Quote(string(head)) + ")"}}
}

// expected are the containers that a database must have: those of the storage layer, and of archy's records whose monitors live.
func (l *look) expected() []string {
	stored := l.stored()
	var names []string
	live := Monitors(l.proc(), l.User.UID)
	for _, a := range l.Apps {
		lives := slices.ContainsFunc(live, func(p Process) bool { return p.Name == a.Name })
		if _, ok := stored[a.Name]; ok || a.Installed || lives {
			names = append(names, a.Name)
		}
	}
	return names
}

// Stored is the container of a name in podman's storage layer.
func Stored(l node.Layout, name string) (c InStorage, ok bool) {
	c, ok = (&Healer{Layout: l}).stored()[name]
	return c, ok
}

// stored are the containers of the storage layer by name. Those of units (--rm) are in the second file.
func (h *Healer) stored() map[string]InStorage {
	out := map[string]InStorage{}
	for _, file := range []string{"containers.json", "volatile-containers.json"} {
		text, err := os.ReadFile(h.host(filepath.Join(h.graphRoot(), "overlay-containers", file)))
		if err != nil {
			continue
		}
		var list []struct {
			ID    string   `json:"id"`
			Names []string `json:"names"`
			Layer string   `json:"layer"`
		}
		if json.Unmarshal(text, &list) != nil {
			continue
		}
		for _, c := range list {
			for _, name := range c.Names {
				out[name] = InStorage{ID: c.ID, Layer: filepath.Join(h.graphRoot(), "overlay", c.Layer, "diff"),
					config: h.host(filepath.Join(h.graphRoot(), "overlay-containers", c.ID, "userdata/config.json"))}
			}
		}
	}
	return out
}

// facts compares what podman lists with what is. What is amiss is looked at a second time: a container that is just being made or
// taken away looks the same for a moment.
func (l *look) facts(ctx context.Context) []Finding {
	first := l.amiss()
	if len(first) == 0 {
		return l.gone
	}
	if wait.For(ctx, l.limits.Again) != nil {
		return l.gone
	}
	text, finding := l.podman(ctx, "ps", "--all", "--no-trunc", "--format", listFormat)
	if finding != nil {
		return append(l.gone, *finding)
	}
	l.list = parseList(text.Stdout)
	var found []Finding
	for _, f := range l.amiss() {
		i := slices.IndexFunc(first, func(old Finding) bool { return old.State == f.State })
		if i < 0 || f.State == DBMissing && len(l.gone) > 0 {
			continue
		}
		f.Names = slices.DeleteFunc(f.Names, func(name string) bool { return !slices.Contains(first[i].Names, name) })
		if len(f.Names) > 0 {
			found = append(found, f)
		}
	}
	return append(l.gone, found...)
}

func (l *look) amiss() []Finding {
	live := Monitors(l.proc(), l.User.UID)
	lost := l.lost(live)
	stored := l.onlyStored(live)
	var found []Finding
	if len(lost) > 0 {
		found = append(found, Finding{State: LostTrack, Source: "/proc", Names: lost,
			Evidence: "live processes that podman does not list as running: " + strings.Join(lost, ", ")})
	}
	switch {
	case len(stored) > 0 && len(l.list) == 0:
		found = append(found, Finding{State: DBMissing, Source: l.databases()[0], Names: stored, Paths: l.databases()[:1],
			Evidence: "podman lists no container, its storage has " + strings.Join(stored, ", ")})
	case len(stored) > 0:
		found = append(found, Finding{State: NameInStorage, Source: "podman ps", Names: stored,
			Evidence: "only podman's storage has " + strings.Join(stored, ", ") + "; its list does not"})
	}
	if ids := l.unknownIDs(); len(ids) > 0 {
		found = append(found, Finding{State: StaleDNS, Source: l.nameServer(), Names: ids,
			Evidence: "the name server still answers for containers that are gone: " + strings.Join(ids, ", ")})
	}
	return found
}

// lost are the containers that live and that podman does not list, or lists as ended: after a wipe of the runtime directory it says
// "exited" of every container that it did not make with --rm.
func (l *look) lost(live []Process) []string {
	var names []string
	for _, p := range live {
		i := slices.IndexFunc(l.list, func(c listed) bool { return c.id == p.Container })
		if i < 0 || !slices.Contains([]string{"running", "paused", "stopping", "initialized"}, l.list[i].state) {
			names = append(names, p.Name)
		}
	}
	return names
}

// onlyStored are the names of manifests that the storage layer has and the list has not, and of which nothing lives.
func (l *look) onlyStored(live []Process) []string {
	stored := l.stored()
	var names []string
	for _, a := range l.Apps {
		in, ok := stored[a.Name]
		known := slices.ContainsFunc(l.list, func(c listed) bool { return c.id == in.ID || c.name == a.Name })
		lives := slices.ContainsFunc(live, func(p Process) bool { return p.Container == in.ID })
		if ok && !known && (!lives || len(l.list) == 0) {
			names = append(names, a.Name)
		}
	}
	return names
}

// unknownIDs are the containers in the name server's files that podman does not list.
func (l *look) unknownIDs() []string {
	return l.staleNames(func(id string) bool { return slices.ContainsFunc(l.list, func(c listed) bool { return c.id == id }) })
}

// nameFiles are the files of the name server, one a network.
func (h *Healer) nameFiles() []string {
	entries, _ := os.ReadDir(h.host(h.nameServer()))
	var files []string
	for _, e := range entries {
		if e.Type().IsRegular() && e.Name() != "aardvark.pid" {
			files = append(files, filepath.Join(h.nameServer(), e.Name()))
		}
	}
	return files
}

// live are the containers' processes that live, each with the service that it is the main process of. Without a bus nothing is ours.
func (h *Healer) live(ctx context.Context) []Process {
	list := append([]Process{}, Monitors(h.proc(), h.User.UID)...)
	list = slices.DeleteFunc(list, isProbe)
	units, err := h.Units(ctx)
	if err != nil {
		return list
	}
	for i, p := range list {
		a, ok := h.app(p.Name)
		if !ok || !a.Managed {
			continue
		}
		service := p.Name + ".service"
		if d, err := units.Detail(ctx, service); err == nil && d.MainPID == p.PID && slices.Contains([]string{"active", "activating", "reloading"}, d.ActiveState) {
			list[i].Service = service
		}
	}
	return list
}
