package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"git.tx1138.com/lfg2025/archy/internal/durable"
	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

const quarantineTime = "20060102T150405Z"

// set aside: db.sql.20260102T030405Z in archy's directory, pause.pid.archy-20260102T030405Z beside where it was.
var quarantineName = regexp.MustCompile(`^(.+?)\.(?:archy-)?([0-9]{8}T[0-9]{6}Z)$`)

func quarantinedAt(path string, otherwise time.Time) time.Time {
	if m := quarantineName.FindStringSubmatch(filepath.Base(path)); m != nil {
		if at, err := time.Parse(quarantineTime, m[2]); err == nil {
			return at
		}
	}
	return otherwise
}

// Restorer puts back what a heal has set aside. The operator asks for it; nothing does it by itself.
type Restorer struct {
	Layout node.Layout
	Now    func() time.Time
	// Live are the containers' processes that live, in words.
	Live func() []string
	// Quiet ends podman's service and keeps its socket closed; the function it returns opens it again.
	Quiet func(ctx context.Context) (resume func(), err error)
}

// NotFoundError says that nothing of that name is in quarantine.
type NotFoundError struct {
	Name string
	Have []string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("nothing called %q is in quarantine", e.Name)
}

// LiveError says that containers live: podman would lose track of them.
type LiveError struct{ Live []string }

func (e *LiveError) Error() string {
	return "containers live, and podman would lose track of them: " + strings.Join(e.Live, ", ")
}

// Restore renames what is in quarantine back to where it was, and sets aside what is there now. It returns what it
// renamed, in words. The parts of a database go together.
func (r Restorer) Restore(ctx context.Context, name string) ([]string, error) {
	from, to, err := r.find(name)
	if err != nil {
		return nil, err
	}
	if live := r.Live(); len(live) > 0 {
		return nil, &LiveError{live}
	}
	resume, err := r.Quiet(ctx)
	if err != nil {
		return nil, err
	}
	defer resume()
	if live := r.Live(); len(live) > 0 { // somebody was faster
		return nil, &LiveError{live}
	}
	return r.swap(from, to)
}

// find says where something was before it was set aside.
func (r Restorer) find(name string) (from, to string, err error) {
	var have []string
	for _, path := range reconcile.Quarantine(r.Layout) {
		m := quarantineName.FindStringSubmatch(filepath.Base(path))
		if m == nil {
			continue
		}
		have = append(have, filepath.Base(path))
		if filepath.Base(path) != name {
			continue
		}
		if filepath.Dir(path) != r.Layout.State("quarantine") {
			return path, filepath.Join(filepath.Dir(path), m[1]), nil
		}
		return path, filepath.Join(firstboot.Graphroot(r.Layout), databasePlace(m[1])), nil
	}
	slices.Sort(have)
	return "", "", &NotFoundError{name, have}
}

// databasePlace is where a file of podman's database lies below its storage.
func databasePlace(name string) string {
	if name == "bolt_state.db" {
		return filepath.Join("libpod", name)
	}
	return name
}

// swap renames a file and, for a database, the parts that were set aside with it. What is there now goes first.
func (r Restorer) swap(from, to string) ([]string, error) {
	stamp := r.Now().UTC().Format(quarantineTime)
	var said []string
	for _, suffix := range heal.DatabaseParts {
		kept := r.aside(to+suffix, stamp)
		if done, err := r.rename(to+suffix, kept); err != nil {
			return said, err
		} else if done {
			said = append(said, fmt.Sprintf("%s is now %s", to+suffix, kept))
		}
	}
	m := quarantineName.FindStringSubmatch(from)
	tail := strings.TrimPrefix(from, m[1])
	for _, suffix := range heal.DatabaseParts {
		if done, err := r.rename(m[1]+suffix+tail, to+suffix); err != nil {
			return said, err
		} else if done {
			said = append(said, fmt.Sprintf("%s is back", to+suffix))
		}
	}
	return said, nil
}

// aside is the quarantined name of a path.
func (r Restorer) aside(path, stamp string) string {
	if strings.HasPrefix(path, firstboot.Graphroot(r.Layout)+"/") {
		return r.Layout.State("quarantine", filepath.Base(path)+"."+stamp)
	}
	return path + ".archy-" + stamp
}

// rename never replaces anything; an absent file is fine.
func (r Restorer) rename(from, to string) (done bool, err error) {
	a, b := r.Layout.Host(from), r.Layout.Host(to)
	err = failpoint.Write("rename "+from, func() error { return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_NOREPLACE) })
	switch {
	case errors.Is(err, unix.ENOENT) && !there(a):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("rename %s to %s: %w", from, to, err)
	}
	return true, errors.Join(durable.SyncDir(filepath.Dir(b)), durable.SyncDir(filepath.Dir(a)))
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// quarantined are the files that a heal has renamed, with their size and age.
func quarantined(_ context.Context, n *Node) []Finding {
	var list []Finding
	for _, path := range reconcile.Quarantine(n.Layout) {
		info0, err := os.Lstat(n.Layout.Host(path))
		if errors.Is(err, fs.ErrNotExist) || err != nil {
			continue
		}
		list = append(list, info(path, "set aside by a heal %s ago, %s", ago(n.Now(), quarantinedAt(path, info0.ModTime())), size(treeSize(n.Layout.Host(path)))).
			by("archy prune removes it after 7 days; archy doctor --restore-quarantine %s puts it back", filepath.Base(path)))
	}
	return list
}

func treeSize(path string) (sum int64) {
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
				sum += info.Size()
			}
		}
		return nil
	})
	return sum
}
