package reconcile

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/images"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/wait"
)

// doubts looks closer at every app that is not simply as it should be. A node where all is well costs nothing here.
func (ob *observation) doubts(ctx context.Context) error {
	ob.deadProcesses(ctx)
	doubtful := ob.Detailed
	for _, a := range ob.w.Apps {
		if !a.Selected || a.Manifest == nil || a.Want == WantNone {
			continue
		}
		if a.Want == WantAbsent {
			if a.C == nil && (a.Unit != nil || a.Removing) {
				_, a.Conmon = ob.monitorOf(a)
			}
			ob.spareHeld(ctx, a)
			continue
		}
		ob.peers(ctx, a)
		if ob.settled(a) {
			continue
		}
		doubtful = true
		ob.closer(ctx, a)
	}
	ob.staleNames(ctx)
	if !doubtful {
		return nil
	}
	return ob.stock(ctx)
}

// settled tells that an app needs no closer look: it runs, it is the wanted one, its unit and files are right.
func (ob *observation) settled(a *App) bool {
	if a.Want == WantStopped {
		return a.C == nil && !a.unitDiffers()
	}
	return a.Running() && a.inSync() && !a.unitDiffers() && !a.filesDiffer() && len(a.staleSecrets(ob.w)) == 0 && !a.staleNetwork() && !a.Force && !a.Anew && a.PeersChanged == ""
}

// deadProcesses, row 5: the pid is looked up twice, two seconds apart. Any doubt means alive.
func (ob *observation) deadProcesses(ctx context.Context) {
	gone := ob.withoutProcess(ob.w.Apps)
	if len(gone) == 0 || wait.For(ctx, 2*time.Second) != nil {
		return
	}
	for _, a := range ob.withoutProcess(gone) {
		// podman may have noticed meanwhile.
		if got, err := ob.Engine.Inspect(ctx, a.liveName()); err == nil && got.State.Running && got.State.Pid == a.C.Pid {
			a.Dead = true
		}
	}
}

func (ob *observation) withoutProcess(apps []*App) []*App {
	var gone []*App
	for _, a := range apps {
		if a.C == nil || a.C.State != podman.StateRunning || a.C.Pid <= 0 {
			continue
		}
		if _, err := os.Stat(ob.Layout.Host("/proc/" + strconv.Itoa(a.C.Pid))); errors.Is(err, fs.ErrNotExist) {
			gone = append(gone, a)
		}
	}
	return gone
}

// peer is where a peer of an app is, since which start of its container.
type peer struct{ address, start string }

func startOf(id string, at time.Time) string { return id + "@" + strconv.FormatInt(at.Unix(), 10) }

// peers, row 38: a peer has one address from its start to its end; only one that was started anew is asked.
func (ob *observation) peers(ctx context.Context, a *App) {
	if a.Record == nil || !a.Running() {
		return
	}
	for _, id := range a.Peers {
		d := ob.w.app(id)
		known := a.Record.Peers[id]
		if d == nil || d.C == nil || a.Record.PeerStarts[id] == startOf(d.C.ID, d.C.StartedAt) || !d.Running() {
			continue
		}
		got, err := ob.Engine.Inspect(ctx, d.liveName())
		switch {
		case err != nil || address(got) == "":
		case known != "" && address(got) != known && !ob.startedAfter(a.C.Pid, got.State.Pid):
			a.PeersChanged = id
		default:
			if a.PeersNow == nil {
				a.PeersNow = map[string]peer{}
			}
			a.PeersNow[id] = peer{address(got), startOf(got.ID, got.State.StartedAt)}
		}
	}
}

// startedAfter tells that a process began after another one, as after a boot, when systemd starts an app after its peer: it cannot know an address that the
// other had before. The kernel counts from the boot, whatever the clock says; what it does not tell is no.
func (ob *observation) startedAfter(pid, other int) bool {
	later, earlier := ob.ticks(pid), ob.ticks(other)
	return earlier > 0 && later > earlier
}

// ticks is when a process began, in clock ticks since the boot (proc_pid_stat(5), starttime); 0 if that is not known.
func (ob *observation) ticks(pid int) int64 {
	text, _ := os.ReadFile(ob.Layout.Host("/proc/" + strconv.Itoa(pid) + "/stat"))
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // the name before may have spaces
	if len(fields) < 20 {
		return 0
	}
	began, _ := strconv.ParseInt(fields[19], 10, 64)
	return began
}

// closer looks at what a start or a change of the app would meet.
func (ob *observation) closer(ctx context.Context, a *App) {
	if a.Want != WantNone && (a.C == nil || a.ended()) {
		ob.lostTrack(ctx, a)
	}
	if a.Fault != nil {
		return
	}
	if a.LeftBehind == nil {
		a.LeftBehind = ob.movedAway(ctx, a)
	}
	if a.LeftBehind == nil && a.Wallet != nil {
		a.LeftBehind = a.Wallet.Lost
	}
	if a.LeftBehind == nil {
		a.LeftBehind = ob.dataGone(a)
	}
	ob.directories(ctx, a)
	ob.loadedUnit(ctx, a)
	if !a.Running() {
		a.GateUnmet = ob.startGate(ctx, a)
		a.NoSpace = ob.noSpace(ctx, a)
	}
	if !a.Running() {
		a.Twin = ob.twin(ctx, a)
	}
	a.PortHolder = ob.portHolder(a)
	if a.PortHolder != "" && autoRestarting(a) && !ob.stillRestarting(ctx, a) {
		a.PortHolder = "" // it has come up meanwhile: the port may be its own
	}
	a.Guard = ob.guard(ctx, a)
}

// twin finds a container that archy did not make, runs under another name, and has a directory of the app at the place where the app would have it: two databases
// over the same files spoil them, and each sees only its own processes. Who has the directory somewhere else in it, as a tool beside lnd, is none.
func (ob *observation) twin(ctx context.Context, a *App) string {
	for _, name := range sortedKeys(ob.containers) {
		c := ob.containers[name]
		if name == a.Container || name == a.liveName() || c.Labels[spec.LabelManaged] == "true" || c.State != podman.StateRunning && c.State != podman.StatePaused {
			continue
		}
		got, err := ob.Engine.Inspect(ctx, name)
		if err != nil {
			continue
		}
		for _, m := range a.Spec.Mounts {
			same := func(x podman.Mount) bool {
				return x.Type == "bind" && x.RW && path.Clean(x.Source) == m.Source && path.Clean(x.Target) == path.Clean(m.Target)
			}
			if m.Own && !readOnly(m) && slices.ContainsFunc(got.Mounts, same) {
				return name
			}
		}
	}
	return ""
}

// secondLook is what there is two seconds after the first look.
type secondLook struct {
	conmons map[string]int
	list    []podman.Container
}

// lookAgain takes the second look, once for all apps: podman may have lost every one of them. It is empty when podman does not answer.
func (ob *observation) lookAgain(ctx context.Context) *secondLook {
	if ob.again != nil {
		return ob.again
	}
	ob.again = &secondLook{}
	if wait.For(ctx, 2*time.Second) != nil {
		return ob.again
	}
	if list, err := ob.Engine.List(ctx); err == nil {
		ob.again.list, ob.again.conmons = list, monitors(ob.Layout.Host("/proc"), ob.Facts.UID)
	}
	return ob.again
}

// lostTrack, row 12a: a monitor without a container in podman's list is looked at twice, because a container that is just being
// started looks the same for a moment.
func (ob *observation) lostTrack(ctx context.Context, a *App) {
	name, pid := ob.monitorOf(a)
	if pid == 0 || activating(a) {
		return
	}
	again := ob.lookAgain(ctx)
	if again.conmons[name] != pid {
		return
	}
	for _, c := range again.list {
		if c.Name != name {
			continue
		}
		a.C = &c
		if !a.ended() || heal.Payload(ob.Layout.Host("/proc"), pid) == 0 {
			return
		}
	}
	a.Conmon = pid
	_, a.Stored = heal.Stored(ob.Layout, name)
}

// ended tells that podman lists the container as one that does not run. After its runtime directory was wiped it says so
// also of those that live, of every one that it did not make with --rm.
func (a *App) ended() bool {
	return a.C != nil && slices.Contains([]string{podman.StateExited, podman.StateStopped, podman.StateCreated}, a.C.State)
}

// staleNames are the containers that the name server answers for and podman does not list, looked at twice.
func (ob *observation) staleNames(ctx context.Context) {
	stale := heal.StaleNames(ob.Layout, idsOf(ob.containers))
	if len(stale) == 0 || wait.For(ctx, 2*time.Second) != nil {
		return
	}
	list, err := ob.Engine.List(ctx)
	if err != nil {
		return
	}
	now := map[string]podman.Container{}
	for _, c := range list {
		now[c.ID] = c
	}
	again := heal.StaleNames(ob.Layout, idsOf(now))
	ob.w.StaleNames = slices.DeleteFunc(stale, func(id string) bool { return !slices.Contains(again, id) })
}

func idsOf(list map[string]podman.Container) map[string]bool {
	out := make(map[string]bool, len(list))
	for _, c := range list {
		out[c.ID] = true
	}
	return out
}

// loadedUnit asks whether systemd has read the unit as it is on disk: a run that was killed between writing a unit and
// the daemon-reload leaves an older one loaded.
func (ob *observation) loadedUnit(ctx context.Context, a *App) {
	if a.Unit == nil || a.Legacy() || a.Service.LoadState == "not-found" || a.Service.SourcePath != "" {
		return
	}
	if d, err := ob.Units.Detail(ctx, a.Container+".service"); err == nil {
		a.Service.NeedReload = d.NeedReload
	}
}

// conmon finds the live monitor of a container that podman does not list: podman lost track of it, and a second copy
// would write to the same data.
func (ob *observation) conmon(container string) int {
	if ob.conmons == nil {
		ob.conmons = monitors(ob.Layout.Host("/proc"), ob.Facts.UID)
	}
	return ob.conmons[container]
}

// monitorOf finds the live monitor of an app's container, which may bear a name that older releases gave it (row 22).
func (ob *observation) monitorOf(a *App) (name string, pid int) {
	if a.C != nil {
		return a.C.Name, ob.conmon(a.C.Name)
	}
	names := []string{a.Container}
	if a.Manifest != nil && (a.Record == nil || a.Record.Owner == state.Legacy) {
		names = append(names, legacyNames(a.Manifest)...)
	}
	for _, name := range names {
		if pid := ob.conmon(name); pid != 0 {
			return name, pid
		}
	}
	return a.Container, 0
}

// monitors are the containers whose monitor lives, with its pid.
func monitors(proc string, user int) map[string]int {
	out := map[string]int{}
	for _, p := range heal.Monitors(proc, user) {
		if p.Name != "" {
			out[p.Name] = p.PID
		}
	}
	return out
}

// directories finds the app's own directories that are absent, and the two kinds of existing ones that may be given
// another owner.
func (ob *observation) directories(ctx context.Context, a *App) {
	uid, gid := spec.HostOwner(a.Manifest.Container.DataUID, ob.Facts)
	for _, m := range a.Spec.Mounts {
		if !m.Own || m.File || m.Type != "bind" {
			continue
		}
		if cause := ob.directoryFault(m.Source, uid); cause != "" {
			a.Dirs = append(a.Dirs, Dir{Path: m.Source, Owner: fmt.Sprintf("%d:%d", uid, gid), Cause: cause})
		}
	}
}

func (ob *observation) directoryFault(dir string, uid int) string {
	info, err := os.Stat(ob.Layout.Host(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return "absent"
	}
	if err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return ""
	case st.Uid == 0 && uid != 0:
		return "owned by root"
	case ob.notYetGiven(dir, info, uid):
		return "empty and not yet given to its app"
	}
	return ""
}

// notYetGiven tells that a directory is an empty one of the service user's, and its app another user's.
func (ob *observation) notYetGiven(dir string, info os.FileInfo, uid int) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == ob.Facts.UID && uid != ob.Facts.UID && !holds(ob.Layout.Host(dir))
}

// startGate, row 29: any one of the gate's conditions suffices.
func (ob *observation) startGate(ctx context.Context, a *App) string {
	var missing []string
	for _, g := range a.Manifest.StartGate {
		if g.Secret != "" {
			if _, err := ob.Secrets.Read(g.Secret); err == nil {
				return ""
			}
			missing = append(missing, "secret "+g.Secret)
			continue
		}
		file := g.Path
		if !path.IsAbs(file) {
			file = path.Join(a.DataDir(ob.Layout.DataDir), file)
		}
		if ob.exists(ctx, file) {
			return ""
		}
		missing = append(missing, file)
	}
	if len(missing) == 0 {
		return ""
	}
	return "waits for " + strings.Join(missing, " or ")
}

// noSpace: what an app says it needs is asked for before its first start only; later its own data fill it, also when it was removed, or somebody
// else's container made them.
func (ob *observation) noSpace(ctx context.Context, a *App) string {
	if a.Record != nil && a.Record.SpecHash != "" || ob.Facts.DataFree == 0 {
		return ""
	}
	for _, d := range a.Manifest.Dependencies {
		if d.Storage > 0 && ob.Facts.DataFree < int64(d.Storage) && !ob.holdsMapped(ctx, a.DataDir(ob.Layout.DataDir)) {
			return fmt.Sprintf("needs %s of free space, there are %d GiB", d.Storage, ob.Facts.DataFree>>30)
		}
	}
	return ""
}

// stock lists images and networks: only a pass that has something to do needs them.
func (ob *observation) stock(ctx context.Context) error {
	list, err := ob.Engine.Images(ctx)
	if err != nil {
		return err
	}
	ob.w.Images = map[string]string{}
	for ref, i := range list {
		ob.w.Images[ref] = i.ID
	}
	ob.withoutWrong(list)
	networks, err := ob.Engine.Networks(ctx)
	if err != nil {
		return err
	}
	ob.w.Networks = map[string]bool{}
	for _, n := range networks {
		ob.w.Networks[n.Name] = true
	}
	return nil
}

// withoutWrong takes images away that are not those which a manifest pins by digest: they count as absent.
func (ob *observation) withoutWrong(list map[string]podman.Image) {
	for _, a := range ob.w.Apps {
		if image, ok := list[a.Spec.Image]; ok && !images.HasDigest(image, a.Spec.ImageDigest) {
			delete(ob.w.Images, a.Spec.Image)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// portKey is a listening socket of the host.
type portKey struct {
	protocol string
	port     int
}

// portHolder, row 32: a port of an app is held by somebody else; of a running app, one that it does not publish yet.
// While its service is on its way the port may well be its own; while systemd waits to try again it is not.
func (ob *observation) portHolder(a *App) string {
	if !a.Running() && (activating(a) && !autoRestarting(a) || a.Service.ActiveState == "deactivating" || a.Service.ActiveState == "active" || a.Conmon != 0) {
		return ""
	}
	if ob.listening == nil {
		ob.listening = listeners(ob.Layout.Host("/proc"))
	}
	for _, p := range a.takes() {
		if !ob.listening[portKey{p.Protocol, p.Host}] || a.publishes(p.Host) {
			continue
		}
		return fmt.Sprintf("port %d is held by %s", p.Host, holder(ob.Layout.Host("/proc"), p.Host))
	}
	return ""
}

// takes are the ports of the host that a start would take. On the host's network they are those of the manifest, and its own as
// long as the container has not ended.
func (a *App) takes() []spec.Port {
	switch {
	case a.Spec.Network != "host":
		return a.Spec.Ports
	case a.C != nil && !a.ended():
		return nil
	}
	var list []spec.Port
	for _, p := range a.Manifest.Ports {
		list = append(list, spec.Port{HostIP: p.Bind, Host: p.Host, Protocol: p.Protocol})
	}
	return list
}

// stillRestarting asks whether systemd still waits to try the app again.
func (ob *observation) stillRestarting(ctx context.Context, a *App) bool {
	d, err := ob.Units.Detail(ctx, a.Container+".service")
	return err == nil && d.NRestarts == a.Service.NRestarts && autoRestarting(&App{Service: d})
}

// publishes tells that the app's own container has the port.
func (a *App) publishes(port int) bool {
	return a.C != nil && slices.ContainsFunc(a.C.Ports, func(p podman.Port) bool { return p.HostPort == port })
}

func listeners(proc string) map[portKey]bool {
	out := map[portKey]bool{}
	for file, protocol := range map[string]string{"tcp": "tcp", "tcp6": "tcp", "udp": "udp", "udp6": "udp"} {
		eachSocket(filepath.Join(proc, "net", file), func(port int, listening bool, _ string) {
			if listening {
				out[portKey{protocol, port}] = true
			}
		})
	}
	return out
}

// eachSocket reads a table of proc_net_tcp(5): state 0A is listening, 07 an open UDP socket.
func eachSocket(file string, f func(port int, listening bool, inode string)) {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 10 {
			continue
		}
		_, hex, ok := strings.Cut(fields[1], ":")
		port, err := strconv.ParseInt(hex, 16, 32)
		if ok && err == nil {
			f(int(port), fields[3] == "0A" || fields[3] == "07", fields[9])
		}
	}
}

// holder names the process that has a port, as far as this user may see.
func holder(proc string, port int) string {
	inodes := map[string]bool{}
	for _, file := range []string{"tcp", "tcp6", "udp", "udp6"} {
		eachSocket(filepath.Join(proc, "net", file), func(p int, listening bool, inode string) {
			if p == port && listening {
				inodes["socket:["+inode+"]"] = true
			}
		})
	}
	dirs, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*"))
	for _, fd := range dirs {
		if target, err := os.Readlink(fd); err == nil && inodes[target] {
			pid := filepath.Base(filepath.Dir(filepath.Dir(fd)))
			name, _ := os.ReadFile(filepath.Join(proc, pid, "comm"))
			return "pid " + pid + " " + cmp.Or(strings.TrimSpace(string(name)), "?")
		}
	}
	return "a process of another user"
}

// ownerIDs are the numbers of a file's owner.
func ownerIDs(info fs.FileInfo) (uid, gid int) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, -1
	}
	return int(st.Uid), int(st.Gid)
}
