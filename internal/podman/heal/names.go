package heal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"git.tx1138.com/lfg2025/archy/internal/command"
	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/node"
)

// DropStale takes away what still answers for containers that podman does not know, or works for them: their lines in the name
// server's files, since a name that has a dead and a live address answers with either, and the timers of their health checks, which podman
// starts and only podman stops. It is the last step of rung 4; nothing is done when podman cannot list its containers.
//
// The timers are listed, and netavark's own lock is taken, before podman lists: whoever is there by then is in podman's database too.
func (h *Healer) DropStale(ctx context.Context) error {
	timers, timersErr := h.checkTimers(ctx)
	unlock, err := h.lockNames(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	l := &look{Healer: h, limits: h.Limits.orDefault()}
	res, finding := l.podman(ctx, "ps", "--all", "--no-trunc", "--format", listFormat)
	if finding != nil {
		return fmt.Errorf("what is left of gone containers stays: %s", finding.Evidence)
	}
	known := map[string]bool{}
	for _, c := range parseList(res.Stdout) {
		known[c.id] = true
	}
	for _, p := range Monitors(h.proc(), h.User.UID) {
		known[p.Container] = true // it answers, whatever podman thinks
	}
	return errors.Join(h.dropNames(known), timersErr, h.stopTimers(ctx, timers, known))
}

// lockNames keeps netavark out of the name server's files, where there are any.
func (h *Healer) lockNames(ctx context.Context) (unlock func(), err error) {
	if len(h.nameFiles()) == 0 {
		return func() {}, nil
	}
	lock := flock.New(filepath.Join(filepath.Dir(h.host(h.nameServer())), "aardvark.lock"))
	limited, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	if ok, err := lock.TryLockContext(limited, 50*time.Millisecond); !ok {
		return nil, fmt.Errorf("the name server's files are being written: %w", err)
	}
	return func() { _ = lock.Unlock() }, nil
}

// checkTimer is the transient unit that podman makes for a container with a health check; its service has the same name.
var checkTimer = regexp.MustCompile(`^([0-9a-f]{64})-[0-9a-f]+\.timer$`)

// checkTimers lists the timers of health checks.
func (h *Healer) checkTimers(ctx context.Context) ([]string, error) {
	res, err := h.Runner.Run(ctx, command.Cmd{Argv: []string{"systemctl", "--user", "list-units", "--type=timer", "--plain", "--no-legend"}, Limit: quick})
	if err != nil {
		return nil, fmt.Errorf("list the timers of health checks: %w", err)
	}
	var timers []string
	for line := range strings.Lines(string(res.Stdout)) {
		if f := strings.Fields(line); len(f) > 0 && checkTimer.MatchString(f[0]) {
			timers = append(timers, f[0])
		}
	}
	return timers, nil
}

// stopTimers ends the health checks of containers that are not among the known ones.
func (h *Healer) stopTimers(ctx context.Context, timers []string, known map[string]bool) error {
	stale := slices.DeleteFunc(timers, func(t string) bool { return known[checkTimer.FindStringSubmatch(t)[1]] })
	if len(stale) == 0 {
		return nil
	}
	if _, err := h.Runner.Run(ctx, command.Cmd{Argv: append([]string{"systemctl", "--user", "stop"}, stale...), Limit: quick}); err != nil {
		return fmt.Errorf("stop the health checks of gone containers: %w", err)
	}
	// Their last checks have failed, and systemd keeps such a unit until somebody takes note of it. One that has not is no error.
	reset := []string{"systemctl", "--user", "reset-failed"}
	for _, t := range stale {
		reset = append(reset, strings.TrimSuffix(t, ".timer")+".service")
	}
	_, _ = h.Runner.Run(ctx, command.Cmd{Argv: reset, Limit: quick})
	return nil
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
	return failpoint.Write("replace "+file, func() error { return os.Rename(temp, h.host(file)) })
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
