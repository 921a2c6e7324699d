package heal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

// DropStaleNames takes the lines of containers that podman does not know out of the name server's files: a name that has a dead and a
// live address answers with either. It is the last step of rung 4; nothing is done when podman cannot list its containers.
//
// netavark's own lock is taken before podman lists: whoever is in the files by then is in podman's database too.
func (h *Healer) DropStaleNames(ctx context.Context) error {
	if len(h.nameFiles()) == 0 {
		return nil
	}
	lock := flock.New(filepath.Join(filepath.Dir(h.host(h.nameServer())), "aardvark.lock"))
	limited, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	if ok, err := lock.TryLockContext(limited, 50*time.Millisecond); !ok {
		return fmt.Errorf("the name server's files are being written: %w", err)
	}
	defer func() { _ = lock.Unlock() }()
	l := &look{Healer: h, limits: h.Limits.orDefault()}
	res, finding := l.podman(ctx, "ps", "--all", "--no-trunc", "--format", listFormat)
	if finding != nil {
		return fmt.Errorf("the name server's lines are left: %s", finding.Evidence)
	}
	known := map[string]bool{}
	for _, c := range parseList(res.Stdout) {
		known[c.id] = true
	}
	for _, p := range Monitors(h.proc(), h.User.UID) {
		known[p.Container] = true // it answers, whatever podman thinks
	}
	return h.dropNames(known)
}

// dropNames rewrites the files that have stale lines, and lets the name server read them.
func (h *Healer) dropNames(known map[string]bool) error {
	changed := false
	for _, file := range h.nameFiles() {
		text, err := os.ReadFile(h.host(file))
		if err != nil {
			return err
		}
		kept := withoutStale(string(text), known)
		if kept == string(text) {
			continue
		}
		if err := h.replaceNames(file, kept); err != nil {
			return err
		}
		changed = true
	}
	if !changed {
		return nil
	}
	return h.rereadNames()
}

// withoutStale leaves the first line, which holds the server's own addresses.
func withoutStale(text string, known map[string]bool) string {
	var out strings.Builder
	first := true
	for line := range strings.Lines(text) {
		id, _, _ := strings.Cut(line, " ")
		if first || len(id) != 64 || known[id] {
			out.WriteString(line)
		}
		first = false
	}
	return out.String()
}

// replaceNames writes beside the directory and renames into it: the server takes every file in it for a network.
func (h *Healer) replaceNames(file, text string) error {
	temp := h.host(filepath.Join(filepath.Dir(h.nameServer()), ".archy-names"))
	if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
		return err
	}
	if info, err := os.Stat(h.host(file)); err == nil {
		if err := os.Chmod(temp, info.Mode().Perm()); err != nil {
			return err
		}
	}
	return os.Rename(temp, h.host(file))
}

// rereadNames tells the name server, and nobody else who may have its old pid by now.
func (h *Healer) rereadNames() error {
	text, err := os.ReadFile(h.host(filepath.Join(h.nameServer(), "aardvark.pid")))
	if err != nil {
		return nil // nobody answers for a name now; who starts next reads the files
	}
	pid := number(strings.TrimSpace(string(text)))
	t, ok := readTask(filepath.Join(h.proc(), fmt.Sprint(pid)), pid)
	if pid <= 1 || !ok || t.uid != h.User.UID || filepath.Base(t.args[0]) != "aardvark-dns" {
		return nil
	}
	return syscall.Kill(pid, syscall.SIGHUP)
}

// StaleNames are the containers, by the first digits of their ids, that the name server answers for and that are not among the known ones.
func StaleNames(l node.Layout, known map[string]bool) []string {
	h := Healer{Layout: l}
	return h.staleNames(func(id string) bool { return known[id] })
}

func (h *Healer) staleNames(known func(id string) bool) []string {
	var ids []string
	for _, file := range h.nameFiles() {
		text, _ := os.ReadFile(h.host(file))
		for i, line := range strings.Split(string(text), "\n") {
			id, _, ok := strings.Cut(line, " ")
			if i > 0 && ok && len(id) == 64 && !known(id) {
				ids = append(ids, id[:12])
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
