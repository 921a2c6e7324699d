package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// Room is what a pass does about a data disk that is full, and remembers of it.
type Room interface {
	// DiskFull gives up what is set aside, so that state can be written. measured: the figures of the disk say so, and not only a write that
	// found no room. The first time of several is told.
	DiskFull(now time.Time, measured bool) (first bool, err error)
	// DiskFullSince is zero when the disk is not, or no longer, known as full. told: only a write said so.
	DiskFullSince() (since time.Time, told bool)
	// DiskRecovered sets aside again, and forgets.
	DiskRecovered() error
}

// measure notes how much room the data disk has. Where that cannot be told there is enough.
func (w *World) measure(f node.Facts) {
	w.Free, w.fewInodes = f.DataFree, f.FewInodes
	known := f.DataDisk > 0 || f.DataFree > 0
	w.Full, w.Short = f.FewInodes || known && f.DataFree < node.SpaceFull, f.FewInodes || known && f.DataFree < node.SpaceNeeded
}

func (w *World) freeWords() string {
	if w.fewInodes {
		return fmt.Sprintf("fewer than %d inodes are free on the data disk", node.InodesFull)
	}
	return fmt.Sprintf("%d MiB are free on the data disk", w.Free>>20)
}

// room looks at a data disk that was full: until it has 2 GiB again it counts as full. Once it has, what failed meanwhile is no
// fault of the apps, and again is true. Where it had space all the time, and a write found none all the same, nothing tells that there is room
// again: what failed is forgiven half an hour later, so that a breaker holds an app back as it does for other reasons.
func (p *Pass) room(w *World) (again bool) {
	if p.Room == nil {
		return false
	}
	since, told := p.Room.DiskFullSince()
	switch {
	case since.IsZero():
		return false
	case w.Short:
		w.Full = true
		return false
	case since.After(w.Now): // the clock was set back: nobody knows how long ago
		since = time.Time{}
	case told && w.Now.Sub(since) < state.BreakerWindow:
		return false
	}
	for _, a := range w.Apps {
		a.History.Forgive(since)
		a.History.AutoRestarts = a.Service.NRestarts
	}
	return true
}

// noRoom is a line that says that a write of archy or of podman found no room, "" without one. What an app says of its own writes counts for
// nothing: it may mean a file system inside its container. Nor does crun's word that a user has no keyring left (keyrings(7)): the disk has nothing to do with it.
func noRoom(apps []AppResult) string {
	for _, a := range apps {
		if a.Error == nil {
			continue
		}
		lines := append(strings.Split(a.Error.Message, "\n"), slices.DeleteFunc(slices.Clone(a.Error.LogTail), func(l string) bool { return !strings.HasPrefix(l, "Error: ") })...)
		for _, line := range lines {
			l := strings.ToLower(line)
			if strings.Contains(l, "no space left on device") || strings.Contains(l, "disk quota exceeded") && !strings.Contains(l, "create keyring") {
				return a.App + ": " + line
			}
		}
	}
	return ""
}

// ranOut makes room when a write of this pass found none although the figures say that there is some.
func (p *Pass) ranOut(ctx context.Context, w *World, r *Result) (full bool) {
	line := noRoom(r.Apps)
	if w.Full || p.Room == nil || line == "" {
		return false
	}
	r.Podman.State = string(heal.DiskFull)
	r.Podman.Evidence = fmt.Sprintf("a write found no room although %d MiB are free on %s: space was short for a moment, or its inodes, a quota or another file system ran out (%s)",
		w.Free>>20, p.Observer.Layout.DataDir, line)
	r.Warnings = append(r.Warnings, p.makeRoom(ctx, w.Now, false, r.Podman.Evidence)...)
	return true
}

func (w *World) enough() string {
	if w.fewInodes {
		return "there are more"
	}
	return fmt.Sprintf("%d GiB are free", node.SpaceNeeded>>30)
}

// spare keeps a verdict from what the data disk has no room for. Running apps go on; what makes room is always done.
func (p *planner) spare(a *App, v *Verdict) *Verdict {
	const hint = "make room below the data directory; archy prune removes the images that nothing needs"
	makesRoom := func(s step) bool { return s == stepStop || s == stepRemove || s == stepUnpause || s == stepPurge }
	switch {
	case !p.w.Short || v == nil || !slices.ContainsFunc(v.Steps, func(s step) bool { return !makesRoom(s) }):
		return v
	case p.w.Full:
		return human(v.Row, observedState(a), "disk-full", fmt.Sprintf("%s: it was full, and nothing is written or started until %s (%s)", p.w.freeWords(), p.w.enough(), v.Cause), hint)
	case a.Upgrading, a.Running() && slices.Contains(v.Steps, stepReplace), slices.Contains(v.Steps, stepMigrate), slices.Contains(v.Steps, stepPrepare) && p.imageAbsent(a):
		return failed(v.Row, observedState(a), "space", fmt.Sprintf("%s: below %d GiB no image is fetched or built, and nothing is upgraded, replaced or migrated (%s)",
			p.w.freeWords(), node.SpaceNeeded>>30, v.Cause), hint)
	}
	return v
}

// makeRoom gives up what is set aside for this, and cuts the journal the first time. What it did is told as warnings.
func (p *Pass) makeRoom(ctx context.Context, now time.Time, measured bool, text string) []string {
	first, err := p.Room.DiskFull(now, measured)
	told := []string{text}
	if err != nil {
		told = append(told, err.Error())
	}
	if !first || p.Vacuum == nil {
		return told
	}
	if err := p.Vacuum(ctx); err != nil {
		return append(told, "the journal could not be cut to 100 MB: "+err.Error())
	}
	return append(told, "the journal was cut to 100 MB")
}
