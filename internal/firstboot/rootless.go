package firstboot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/node"
)

// rootless makes podman of the service user work: ids, lingering, storage, the user's manager.
func (h *Host) rootless(ctx context.Context, p *Plan) error {
	for _, name := range []string{"/etc/subuid", "/etc/subgid"} {
		if err := h.subordinate(p, name); err != nil {
			return err
		}
	}
	podmanChanged, err := h.podmanFiles(p)
	if err != nil {
		return err
	}
	if err := h.systemFiles(ctx, p); err != nil {
		return err
	}
	h.linger(p)
	return h.engine(ctx, p, podmanChanged)
}

// podmanFiles plans the directories and files that podman reads, and tells whether its storage changes.
func (h *Host) podmanFiles(p *Plan) (changed bool, err error) {
	var errs []error
	for _, d := range StorageDirectories(h.Layout, h.service()) {
		errs = append(errs, h.dirChange(p, d))
	}
	for _, d := range UserDirectories(h.Layout, h.service()) {
		errs = append(errs, h.absentDir(p, d))
	}
	if err := errors.Join(errs...); err != nil {
		return false, err
	}
	if err := h.otherStorage(); err != nil {
		return false, err
	}
	storage, err1 := h.fileChange(p, StorageConf(h.Layout, h.service()))
	containers, err2 := h.fileChange(p, ContainersConf(h.Layout, h.service()))
	return storage || containers, errors.Join(err1, err2, h.storageLink(p))
}

// subordinate plans the user's line in subuid(5). One that is there is kept, whatever its range: data may have been made
// with its numbers.
func (h *Host) subordinate(p *Plan, name string) error {
	text, _, err := h.readFile(name)
	if err != nil {
		return err
	}
	var others [][2]int // first, and the one after the last
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 3 {
			continue
		}
		first, err1 := strconv.Atoi(f[1])
		count, err2 := strconv.Atoi(f[2])
		switch mine := f[0] == h.User.Name || f[0] == strconv.Itoa(h.User.UID); {
		case err1 != nil || err2 != nil:
		case mine && count >= subordinateCount:
			return nil
		case mine:
			return &HumanError{fmt.Sprintf("%s: the range of %s has %d ids, %d are needed", name, h.User.Name, count, subordinateCount),
				"data may have been made with its numbers; without any, remove the line and start again"}
		default:
			others = append(others, [2]int{first, first + count})
		}
	}
	// Somebody else's numbers: their containers must not own our files.
	start := subordinateStart
	slices.SortFunc(others, func(a, b [2]int) int { return a[0] - b[0] })
	for _, o := range others {
		if o[0] < start+subordinateCount && start < o[1] {
			start = o[1]
		}
	}
	line := fmt.Sprintf("%s:%d:%d", h.User.Name, start, subordinateCount)
	p.add(does(func() error { return h.appendLine(name, line) }), "add %s to %s", line, name)
	return nil
}

// appendLine adds a line to a file of the system and keeps the rest.
func (h *Host) appendLine(name, line string) error {
	text, _, err := h.readFile(name)
	if err != nil {
		return err
	}
	if len(text) > 0 && !strings.HasSuffix(string(text), "\n") {
		text = append(text, '\n')
	}
	return h.writeFile(File{name, 0o644, h.System, append(text, line+"\n"...)})
}

// otherStorage refuses to point podman away from images and containers that are somewhere else.
func (h *Host) otherStorage() error {
	from, root, err := h.configuredStorage()
	if err != nil {
		return err
	}
	holds := "data"
	switch {
	case root == "":
		// Any call of podman leaves something in its default storage. Containers there are another matter: podman would lose
		// sight of them while they run, and others would be made over the same data.
		root, holds = h.defaultStorage(), "containers"
		if root == Graphroot(h.Layout) || len(h.storedIn(root)) == 0 {
			return nil
		}
	case !filepath.IsAbs(root) || strings.Contains(root, "$"):
		return &HumanError{fmt.Sprintf("%s: podman's storage is %s, and archy cannot tell which directory that is", from, root),
			"nothing was changed; write the directory itself, or remove the line if nothing in that storage is needed"}
	case root == Graphroot(h.Layout) || !h.hasData(root):
		return nil
	}
	return &HumanError{fmt.Sprintf("%s: podman's storage is %s and holds %s; archy's would be %s", from, root, holds, Graphroot(h.Layout)),
		"nothing was changed; move the storage there with all containers stopped, or remove it if nothing in it is needed"}
}

// defaultStorage is where podman's storage is without a storage.conf that says it; a link may lead on.
func (h *Host) defaultStorage() string {
	name := StorageLink(h.Layout)
	if target, err := os.Readlink(h.Layout.Host(name)); err == nil && filepath.IsAbs(target) {
		return filepath.Clean(target)
	}
	return name
}

// configuredStorage is where a storage.conf lets the service user's podman have its storage, and which file; "" where none does. The order is that of
// containers-storage.conf(5): the user's file, then rootless_storage_path of the system's.
func (h *Host) configuredStorage() (from, root string, err error) {
	user := StorageConf(h.Layout, h.service()).Path
	for _, c := range []struct{ file, key string }{
		{user, "graphroot"}, {user, "rootless_storage_path"},
		{"/etc/containers/storage.conf", "rootless_storage_path"}, {"/usr/share/containers/storage.conf", "rootless_storage_path"},
	} {
		text, _, err := h.readFile(c.file)
		if err != nil {
			return c.file, "", err
		}
		if root := storageValue(string(text), c.key); root != "" {
			return c.file, h.expand(root), nil
		}
	}
	return user, "", nil
}

// expand puts in what podman does in the path of a storage. A variable of another name stays.
func (h *Host) expand(path string) string {
	return os.Expand(path, func(name string) string {
		switch name {
		case "HOME":
			return h.User.Home
		case "USER":
			return h.User.Name
		case "UID":
			return strconv.Itoa(h.User.UID)
		}
		return "$" + name
	})
}

// storageValue reads one text out of a storage.conf.
func storageValue(text, name string) string {
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && strings.TrimSpace(key) == name {
			return tomlText(strings.TrimSpace(value))
		}
	}
	return ""
}

// tomlText is what a text of TOML says, without its quotes and the comment behind it.
func tomlText(value string) string {
	if value == "" || !strings.ContainsAny(value[:1], `"'`) {
		return ""
	}
	text, _, _ := strings.Cut(value[1:], value[:1])
	if text == "" {
		return ""
	}
	return filepath.Clean(text)
}

// hasData tells whether a directory holds anything. What cannot be read counts as data.
func (h *Host) hasData(dir string) bool {
	entries, err := os.ReadDir(h.Layout.Host(dir))
	return len(entries) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist)
}

// storageLink plans the link from where podman's storage is by default to where it is.
func (h *Host) storageLink(p *Plan) error {
	name, want := StorageLink(h.Layout), Graphroot(h.Layout)
	st, found, err := h.stat(name)
	if err != nil {
		return err
	}
	switch target, _ := os.Readlink(h.Layout.Host(name)); {
	case found && target == want:
		return nil
	case found && st.Mode&unix.S_IFMT == unix.S_IFLNK && h.hasData(target), found && st.Mode&unix.S_IFMT == unix.S_IFDIR && h.hasData(name):
		p.warn("%s holds data of another storage and was left; podman does not use it", name)
		return nil
	case found && st.Mode&unix.S_IFMT == unix.S_IFREG:
		return &errKind{name, "a file", "a link or a directory"}
	}
	p.add(does(func() error { return h.makeLink(name, want, found) }), "link %s to %s", name, want)
	return nil
}

// StorageLink is where podman's storage is by default.
func StorageLink(l node.Layout) string {
	return filepath.Join(l.Home, ".local/share/containers/storage")
}

// makeLink puts a link in place of an empty directory or another link.
func (h *Host) makeLink(name, target string, replace bool) error {
	dir, base, err := h.parent(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	if replace {
		err := failpoint.Write("unlink "+name, func() error {
			if unix.Unlinkat(int(dir.Fd()), base, 0) == nil {
				return nil
			}
			return unix.Unlinkat(int(dir.Fd()), base, unix.AT_REMOVEDIR)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := failpoint.Write("link "+name, func() error { return unix.Symlinkat(target, int(dir.Fd()), base) }); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	o := h.service()
	if err := unix.Fchownat(int(dir.Fd()), base, o.UID, o.GID, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return dir.Sync()
}

// systemFiles plans the drop-ins, and what makes systemd read them. Whether it has read them is asked of systemd: a run
// that was killed between the two is completed.
func (h *Host) systemFiles(ctx context.Context, p *Plan) error {
	for _, d := range SystemDirectories(h.System) {
		if err := h.absentDir(p, d); err != nil {
			return err
		}
	}
	return errors.Join(h.userManager(ctx, p), h.journal(ctx, p), h.ephemeral(p))
}

// userManager plans the drop-in that holds the service user's manager back until the data volume is mounted.
func (h *Host) userManager(ctx context.Context, p *Plan) error {
	changed, err := h.fileChange(p, UserManagerDropIn(h.System))
	if err != nil {
		return err
	}
	// What cannot be asked, as on a disk that is only looked at, says nothing.
	stale, _ := h.run(ctx, "systemctl", "show", "-P", "NeedDaemonReload", fmt.Sprintf("user@%d.service", h.User.UID))
	if changed || strings.TrimSpace(stale) == "yes" {
		p.add(func(ctx context.Context) error { _, err := h.run(ctx, "systemctl", "daemon-reload"); return err }, "reload systemd")
	}
	return nil
}

// journal plans the configuration of the journal.
func (h *Host) journal(ctx context.Context, p *Plan) error {
	conf := JournalConf(h.System)
	changed, err := h.fileChange(p, conf)
	if err != nil {
		return err
	}
	started, ok := h.since(ctx, "ExecMainStartTimestamp", "systemd-journald.service")
	if changed || ok && h.writtenSince(started, conf.Path) {
		p.add(func(ctx context.Context) error {
			_, err := h.run(ctx, "systemctl", "restart", "systemd-journald")
			return err
		}, "restart systemd-journald")
	}
	return nil
}

// writtenSince tells whether one of the files was written after somebody read it, in seconds of the Unix epoch. A time that is yet to come, because
// the clock was set back, says nothing: whoever reads the file then has read it before that time too.
func (h *Host) writtenSince(read int64, paths ...string) bool {
	return slices.ContainsFunc(paths, func(name string) bool {
		st, found, err := h.stat(name)
		return err == nil && found && st.Mtim.Sec > read && st.Mtim.Sec <= h.Now().Unix()
	})
}

// since asks systemd for one of a unit's times, in seconds of the Unix epoch.
func (h *Host) since(ctx context.Context, property, unit string) (seconds int64, ok bool) {
	text, err := h.run(ctx, "systemctl", "show", "--timestamp=unix", "-P", property, unit)
	if err != nil {
		return 0, false
	}
	seconds, err = strconv.ParseInt(strings.TrimPrefix(strings.TrimSpace(text), "@"), 10, 64)
	return seconds, err == nil
}

// busWait is how long the user's manager may take to come up.
const busWait = 30 * time.Second

// LingerPath is the file by which systemd keeps a user's manager running without anybody logged in; see loginctl(1).
func LingerPath(u node.User) string { return "/var/lib/systemd/linger/" + u.Name }

// linger plans that the service user's manager runs without anybody logged in.
func (h *Host) linger(p *Plan) {
	_, enabled, err := h.stat(LingerPath(h.User))
	if err != nil || !enabled {
		p.add(func(ctx context.Context) error { return h.startUser(ctx, "loginctl", "enable-linger", h.User.Name) }, "enable lingering of %s", h.User.Name)
		return
	}
	if !h.busAnswers() {
		unit := fmt.Sprintf("user@%d.service", h.User.UID)
		p.add(func(ctx context.Context) error { return h.startUser(ctx, "systemctl", "start", unit) }, "start %s", unit)
	}
}

func (h *Host) startUser(ctx context.Context, argv ...string) error {
	if _, err := h.run(ctx, argv...); err != nil {
		return err
	}
	const look = 100 * time.Millisecond
	for range busWait / look {
		if h.busAnswers() {
			return nil
		}
		if !h.Pause(ctx, look) {
			return ctx.Err()
		}
	}
	return fmt.Errorf("%s does not answer within %s", h.Layout.UserBus(), busWait)
}

func (h *Host) busAnswers() bool {
	conn, err := net.DialTimeout("unix", h.Layout.Host(h.Layout.UserBus()), time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// engine plans the socket of podman and asks podman through it. Without the user's bus it cannot be asked yet.
func (h *Host) engine(ctx context.Context, p *Plan, changed bool) error {
	if (changed || h.podmanOlder()) && len(h.containerNames()) == 0 {
		p.add(h.migrate, "let podman take its configuration over")
	}
	if !h.busAnswers() {
		p.add(h.enableSocket, "enable podman.socket of %s", h.User.Name)
		return nil
	}
	if err := h.runtimeDir(); err != nil {
		return err
	}
	if _, err := h.asUser(ctx, "systemctl", "--user", "is-enabled", "--quiet", "podman.socket"); err != nil {
		p.add(h.enableSocket, "enable podman.socket of %s", h.User.Name)
		return nil
	}
	if _, err := h.asUser(ctx, "systemctl", "--user", "is-active", "--quiet", "podman.socket"); err != nil {
		p.add(h.enableSocket, "start podman.socket of %s", h.User.Name)
		return nil
	}
	return h.podmanAnswers(ctx, p)
}

// podmanOlder tells whether podman's user namespace is older than what it is made by: each podman of the user joins the process that keeps it, until
// podman system migrate ends that. A run may have been killed before. Where there is none podman starts afresh.
func (h *Host) podmanOlder() bool {
	st, found, err := h.stat(filepath.Join(h.Layout.RuntimeDir, "libpod/tmp/pause.pid"))
	return err == nil && found && h.writtenSince(st.Mtim.Sec, StorageConf(h.Layout, h.service()).Path, ContainersConf(h.Layout, h.service()).Path, "/etc/subuid", "/etc/subgid")
}

// podmanAnswers asks podman where its storage is. Before its configuration is in place the answer is no news.
func (h *Host) podmanAnswers(ctx context.Context, p *Plan) error {
	if len(p.Changes) > 0 {
		return nil
	}
	info, err := h.Engine.Info(ctx)
	if err != nil {
		return fmt.Errorf("podman of %s does not answer: %w", h.User.Name, err)
	}
	if info.GraphRoot != Graphroot(h.Layout) {
		return fmt.Errorf("podman's storage is %s and not %s: something overrides %s", info.GraphRoot, Graphroot(h.Layout), StorageConf(h.Layout, h.service()).Path)
	}
	return nil
}

func (h *Host) enableSocket(ctx context.Context) error {
	_, err := h.asUser(ctx, "systemctl", "--user", "enable", "--now", "podman.socket")
	return err
}

// migrate runs in a unit of the user's manager: podman's first process must not belong to this service.
func (h *Host) migrate(ctx context.Context) error {
	if !h.busAnswers() {
		return nil // podman starts afresh with its user
	}
	_, err := h.asUser(ctx, "systemd-run", "--user", "--quiet", "--wait", "--collect", "--", "podman", "system", "migrate")
	return err
}

// runtimeDir wants the service user's runtime directory to be private.
func (h *Host) runtimeDir() error {
	st, found, err := h.stat(h.Layout.RuntimeDir)
	switch {
	case err != nil:
		return err
	case !found || !right(st, 0o700, h.service()):
		return fmt.Errorf("%s is not a private directory of %s: systemctl restart user@%d.service when nothing of theirs runs",
			h.Layout.RuntimeDir, h.User.Name, h.User.UID)
	}
	return nil
}

// containerNames reads the names of the containers from podman's storage without starting podman, whose first process
// would be a child of this service.
func (h *Host) containerNames() (names []string) {
	for _, c := range h.stored() {
		names = append(names, c.Names...)
	}
	return names
}

// storedContainer is a container in podman's storage.
type storedContainer struct {
	ID    string   `json:"id"`
	Names []string `json:"names"`
}

func (h *Host) stored() []storedContainer { return h.storedIn(Graphroot(h.Layout)) }

// storedIn reads both lists of containers/storage: those of units (--rm) are in the second.
func (h *Host) storedIn(root string) (list []storedContainer) {
	for _, file := range []string{"containers.json", "volatile-containers.json"} {
		text, err := os.ReadFile(h.Layout.Host(filepath.Join(root, "overlay-containers", file)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var some []storedContainer
		if err != nil || json.Unmarshal(text, &some) != nil {
			some = []storedContainer{{Names: []string{""}}} // there is something, and it cannot be read
		}
		list = append(list, some...)
	}
	return list
}
