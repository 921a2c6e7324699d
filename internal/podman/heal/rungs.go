package heal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/durable"
	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/wait"
)

// Limits of what a rung runs.
const (
	quick     = 30 * time.Second
	perChange = 120 * time.Second
	// roomForDatabase must be free before the database is put aside.
	roomForDatabase = 1 << 30
	// longestGrace is given to what no manifest names, and stopMargin to every stop beyond its grace.
	longestGrace = 600 * time.Second
	stopMargin   = 15 * time.Second
)

// refusal says why a rung is not climbed with what lives; "" when nothing is in its way.
func (c *climb) refusal(n int) string {
	foreign := slices.DeleteFunc(slices.Clone(c.d.Live), Process.Ours)
	switch {
	case n == 4 && c.d.State == LostTrack && !slices.ContainsFunc(c.d.Live, func(p Process) bool { return p.Ours() && slices.Contains(c.d.Names, p.Name) }):
		return "no service owns what podman has lost: " + strings.Join(c.d.Names, ", ")
	case n == 5 && len(foreign) > 0:
		return "foreign containers live, and podman would lose them: " + words(foreign)
	case (n == 7 || n == 8) && len(c.d.Live) > 0:
		return "containers live: " + words(c.d.Live)
	}
	return ""
}

// lacks says what keeps a rung from being climbed whatever lives, so that nothing is stopped for it in vain; "" when nothing does.
func (c *climb) lacks(n int) string {
	var err error
	switch n {
	case 5:
		err = c.mayPutDatabaseAside()
	case 7:
		err = c.mayPutRuntimeAside()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func words(list []Process) string {
	var out []string
	for _, p := range list {
		out = append(out, fmt.Sprintf("%s (pid %d)", p.Name, p.PID))
	}
	return strings.Join(out, ", ")
}

func (c *climb) act(ctx context.Context, n int) error {
	switch n {
	case 0:
		return c.wait(ctx)
	case 1:
		return c.startManager(ctx)
	case 2:
		return c.restartSocket(ctx)
	case 3:
		return c.pauseAside()
	case 4:
		return c.moveOver(ctx)
	case 5:
		return c.databaseAside(ctx)
	case 6:
		return c.freeNames(ctx)
	case 7:
		return c.runtimeAside(ctx)
	}
	return c.renumber(ctx)
}

func (c *climb) run(ctx context.Context, limit time.Duration, argv ...string) error {
	_, err := c.Runner.Run(ctx, command.Cmd{Argv: argv, Env: []string{"LC_ALL=C"}, Limit: limit})
	return err
}

// wait, rung 0: time heals what is only slow. It ends with the first answer.
func (c *climb) wait(ctx context.Context) error {
	for _, d := range c.limits.Waits {
		if err := wait.For(ctx, d); err != nil {
			return err
		}
		if c.Check(ctx).State.Fine() {
			return nil
		}
	}
	return nil
}

// startManager, rung 1.
func (c *climb) startManager(ctx context.Context) error {
	linger := c.run(ctx, quick, "sudo", "-n", "loginctl", "enable-linger", c.User.Name)
	start := c.run(ctx, quick, "sudo", "-n", "systemctl", "start", "user@"+strconv.Itoa(c.User.UID)+".service")
	if err := errors.Join(linger, start); err != nil {
		return err
	}
	for end := time.Now().Add(c.limits.Bus); time.Now().Before(end); {
		if knock(c.host(c.Layout.UserBus()), c.limits.Ping) == nil {
			return nil
		}
		if err := wait.For(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s does not answer %s after the user manager was started", c.Layout.UserBus(), c.limits.Bus)
}

// restartSocket, rung 2. A service that ended again and again has used up the socket's starts (systemd.socket(5), TriggerLimitBurst=: 20 within 2 s). They
// are counted on through a restart, so the first question after one would take the socket down again.
func (c *climb) restartSocket(ctx context.Context) error {
	err := c.run(ctx, quick, "systemctl", "--user", "stop", "podman.socket")
	if err == nil {
		err = wait.For(ctx, c.limits.Trigger)
	}
	// Whoever ends the climb here does not want to be left without a socket.
	return errors.Join(err, c.run(context.WithoutCancel(ctx), quick, "systemctl", "--user", "start", "podman.socket"))
}

// lostMonitors is podman's word that no monitor's file of the containers that it believes to run is there.
var lostMonitors = regexp.MustCompile(`invalid internal status.*conmon\.pid: no such file`)

// pauseAside, rung 3. Without a pause file podman joins the namespace of a container that its database says runs, and says that it cannot when the
// runtime directory has none of them any more: it has lost them all, and begins anew once its mark of this boot is aside. What lives goes on.
func (c *climb) pauseAside() error {
	file := c.pauseFile()
	text, err := os.ReadFile(c.host(file))
	if errors.Is(err, fs.ErrNotExist) && lostMonitors.MatchString(c.d.Evidence) {
		return c.aside(c.aliveFile(), c.beside(c.aliveFile()))
	}
	if err != nil {
		return err
	}
	if pid := number(strings.TrimSpace(string(text))); pid > 0 && holdsNamespace(c.proc(), pid, c.User.UID) {
		return fmt.Errorf("%s names a live podman process (pid %d); it is left", file, pid)
	}
	return c.aside(file, c.beside(file))
}

// beside is a free name for what is put aside where it is. The last climb may have taken the name of this second: podman makes anew at once
// what it misses.
func (c *climb) beside(file string) string {
	for at := c.Now(); ; at = at.Add(time.Second) {
		name := file + ".archy-" + at.UTC().Format(stampForm)
		if _, err := os.Lstat(c.host(name)); err != nil {
			return name
		}
	}
}

// aside renames, and never over something.
func (c *climb) aside(from, to string) error {
	if _, err := os.Lstat(c.host(to)); err == nil {
		return fmt.Errorf("%s is there already", to)
	}
	if err := failpoint.Write("put aside "+from, func() error { return os.Rename(c.host(from), c.host(to)) }); err != nil {
		var le *os.LinkError
		if errors.As(err, &le) {
			err = le.Err
		}
		return fmt.Errorf("put %s aside: %w", from, err)
	}
	c.r.Renamed = append(c.r.Renamed, Renamed{from, to})
	return durable.SyncDir(filepath.Dir(c.host(to)))
}

// moveOver, rung 4. podman's service may still answer from a database that is gone, and would list all that podman itself has lost; the next question
// starts it anew.
func (c *climb) moveOver(ctx context.Context) error {
	if c.d.State != StaleDNS {
		if err := c.run(ctx, quick, "systemctl", "--user", "stop", "podman.service"); err != nil {
			return err
		}
		return errors.Join(c.MoveOver(ctx), c.DropStale(ctx)) // an app that is not healthy keeps no name alive that is gone
	}
	return c.DropStale(ctx)
}

// DatabaseParts are the ends of the names of a database's files, in the order in which they are moved. The database comes last: killed before
// that, podman is as broken as it was, and no new database meets the parts of the old one.
var DatabaseParts = []string{"-journal", "-wal", "-shm", ""}

// mayPutDatabaseAside: there is room, and the database can be read.
func (c *climb) mayPutDatabaseAside() error {
	free, err := node.FreeSpace(c.host(c.Layout.DataDir))
	if err != nil {
		return fmt.Errorf("the free space on %s cannot be told: %w", c.Layout.DataDir, err)
	}
	if free < roomForDatabase {
		return fmt.Errorf("%d MiB are free on %s, %d are needed before the database is put aside", free>>20, c.Layout.DataDir, roomForDatabase>>20)
	}
	file := c.database()
	if err := readable(c.host(file)); err != nil {
		return fmt.Errorf("%s cannot be read, so it is left where it is: %w", file, err)
	}
	return nil
}

// databaseAside, rung 5: the database and what belongs to it go to the quarantine; podman makes a new one.
func (c *climb) databaseAside(ctx context.Context) error {
	file, dir := c.database(), c.Layout.State("quarantine")
	if err := os.MkdirAll(c.host(dir), 0o700); err != nil {
		return err
	}
	// podman's service would go on writing into what is put aside. It ends by itself after five seconds without a question.
	if err := c.run(ctx, quick, "systemctl", "--user", "stop", "podman.service"); err != nil {
		return err
	}
	stamp := cmp.Or(c.halfMoved(dir, file), c.stamp())
	for _, end := range DatabaseParts {
		if _, err := os.Lstat(c.host(file + end)); err != nil && end != "" {
			continue
		}
		if err := c.aside(file+end, filepath.Join(dir, filepath.Base(file)+end+"."+stamp)); err != nil {
			return err
		}
	}
	return durable.SyncDir(filepath.Dir(c.host(file)))
}

// halfMoved is the time in the names of a set that an earlier heal was killed over: parts of the database are aside, and what is still in its
// place was not written since. What is put back together one day must belong together.
func (c *climb) halfMoved(dir, file string) string {
	stamp, base := "", filepath.Base(file)
	list, _ := os.ReadDir(c.host(dir))
	for _, e := range list {
		for _, end := range DatabaseParts {
			if at, ok := strings.CutPrefix(e.Name(), base+end+"."); ok {
				stamp = max(stamp, at)
			}
		}
	}
	at, err := time.Parse(stampForm, stamp)
	if err != nil {
		return ""
	}
	for _, end := range DatabaseParts {
		info, err := os.Lstat(c.host(file + end))
		_, taken := os.Lstat(c.host(filepath.Join(dir, base+end+"."+stamp)))
		if err == nil && (taken == nil || info.ModTime().After(at)) {
			return ""
		}
	}
	return stamp
}

func (c *climb) database() string {
	if len(c.d.Paths) == 1 && slices.Contains(c.databases(), c.d.Paths[0]) {
		return c.d.Paths[0]
	}
	for _, file := range c.databases() {
		if _, err := os.Lstat(c.host(file)); err == nil {
			return file
		}
	}
	return c.databases()[0]
}

// readable reads a file to its end: one that the disk cannot give back is not moved about.
func readable(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}

// freeNames, rung 6.
func (c *climb) freeNames(ctx context.Context) error {
	var errs []error
	for _, name := range c.d.Names {
		if err := c.mayTake(name); err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, c.run(ctx, perChange, "podman", "rm", "--force", "--time", "0", name))
	}
	return errors.Join(errs...)
}

// mayTake: only the name of a manifest, of which nothing lives and whose data lie in directories of the host.
func (c *climb) mayTake(name string) error {
	a, ok := c.app(name)
	in := c.stored()[name]
	switch {
	case !ok:
		return fmt.Errorf("%s is no app's container; it is left", name)
	case slices.ContainsFunc(Monitors(c.proc(), c.User.UID), func(p Process) bool { return p.Name == name || p.Container == in.ID }):
		return fmt.Errorf("a process of %s lives; it is left", name)
	case !a.BindsOnly || !c.onlyBinds(in):
		return fmt.Errorf("%s has a volume of podman's; it is left", name)
	}
	for _, target := range a.Targets {
		if dir := filepath.Join(in.Layer, target); !in.Mounted(target) && holds(c.host(dir)) {
			return fmt.Errorf("%s has data at %s in itself, in %s; it is left", name, target, dir)
		}
	}
	return nil
}

// holds tells that a directory has something in it; one that nobody can look into counts as full.
func holds(dir string) bool {
	entries, err := os.ReadDir(dir)
	return len(entries) > 0 || errors.Is(err, fs.ErrPermission)
}

// onlyBinds: nothing that the container was made of may lie among podman's volumes.
func (c *climb) onlyBinds(in InStorage) bool {
	mounts, err := in.mounts()
	volumes := filepath.Join(c.graphRoot(), "volumes") + "/"
	return err == nil && !slices.ContainsFunc(mounts, func(m storedMount) bool { return strings.HasPrefix(m.Source, volumes) })
}

// mayPutRuntimeAside: exactly the two directories that podman names, and only below the user's runtime directory. The socket's directory
// and the runtime directory itself stay.
func (c *climb) mayPutRuntimeAside() error {
	if len(c.d.Paths) != 2 {
		return fmt.Errorf("podman names %d directories, not two; none is touched", len(c.d.Paths))
	}
	for _, dir := range c.d.Paths {
		inside, err := filepath.Rel(c.Layout.RuntimeDir, filepath.Clean(dir))
		if err != nil || inside == "." || strings.HasPrefix(inside, "..") || inside == "podman" || strings.HasPrefix(inside, "podman/") {
			return fmt.Errorf("%s is not below %s; nothing is touched", dir, c.Layout.RuntimeDir)
		}
	}
	return nil
}

// runtimeAside, rung 7: the two directories that podman names.
func (c *climb) runtimeAside(ctx context.Context) error {
	// podman's service has the directories open. It is started again by the next question.
	if err := c.run(ctx, quick, "systemctl", "--user", "stop", "podman.service"); err != nil {
		return err
	}
	for _, dir := range c.d.Paths {
		if _, err := os.Lstat(c.host(dir)); err != nil {
			continue
		}
		if err := c.aside(filepath.Clean(dir), c.beside(filepath.Clean(dir))); err != nil {
			return err
		}
	}
	return nil
}

// renumber, rung 8.
func (c *climb) renumber(ctx context.Context) error {
	if err := c.run(ctx, quick, "systemctl", "--user", "stop", "podman.service"); err != nil {
		return err
	}
	for _, t := range readTasks(c.proc()) {
		if t.uid == c.User.UID && filepath.Base(t.args[0]) == "podman" && len(t.args) > 1 && t.args[1] != "" {
			return fmt.Errorf("another podman runs (pid %d: podman %s); the locks are left", t.pid, t.args[1])
		}
	}
	if err := c.locksAside(); err != nil {
		return err
	}
	return c.run(ctx, perChange, "podman", "system", "renumber")
}

// unopened is podman's word that it cannot use the file of its locks, as after a change of num_locks.
var unopened = regexp.MustCompile(`failed to open \d+ locks in (/[^:/]+):`)

// locksAside: podman 5.4.2 opens the file of its locks before it knows that it is asked to number them anew, and ends there. Without one it makes one. Nothing lives
// that would hold a lock.
func (c *climb) locksAside() error {
	m := unopened.FindStringSubmatch(c.d.Evidence)
	if m == nil {
		return nil
	}
	if m[1] != "/libpod_rootless_lock_"+strconv.Itoa(c.User.UID) {
		return fmt.Errorf("%s is not the file of %s's locks; it is left", m[1], c.User.Name)
	}
	return c.aside("/dev/shm"+m[1], c.beside("/dev/shm"+m[1]))
}

// stop ends one container: that of a service through systemd, which passes the signal on and gives it its grace; any other one by a
// SIGTERM to its own first process. No conmon is signalled, and nothing is killed.
func (c *climb) stop(ctx context.Context, p Process) error {
	grace := longestGrace
	if a, ok := c.app(p.Name); ok {
		grace = a.Grace
	}
	if p.Ours() {
		units, err := c.Units(ctx)
		if err != nil {
			return err
		}
		return units.Stop(ctx, p.Service, grace+2*stopMargin)
	}
	return c.endPayload(ctx, p, grace)
}

// endPayload asks the first process of a container that no service owns to end, and waits for its grace.
func (c *climb) endPayload(ctx context.Context, p Process, grace time.Duration) error {
	if p.Payload <= 1 || !c.lives(p) {
		return fmt.Errorf("the first process of %s is not found; stop it by hand", p.Name)
	}
	if err := syscall.Kill(p.Payload, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("ask %s (pid %d) to end: %w", p.Name, p.Payload, err)
	}
	for end := time.Now().Add(grace + stopMargin); time.Now().Before(end); {
		if !c.lives(p) {
			return nil
		}
		if err := wait.For(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s (pid %d) has not ended within %s", p.Name, p.Payload, grace)
}

// lives tells that the container is still the one that was found.
func (c *climb) lives(p Process) bool {
	return slices.ContainsFunc(Monitors(c.proc(), c.User.UID), func(q Process) bool { return q.Container == p.Container && q.PID == p.PID })
}
