package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

// Room is what a pass does about a data disk that is full, and remembers of it.
type Room interface {
	// DiskFull gives up what is set aside, so that state can be written. The first time of several is told.
	DiskFull(now time.Time) (first bool, err error)
	// DiskFullSince is zero when the disk is not, or no longer, known as full.
	DiskFullSince() time.Time
	// DiskRecovered sets aside again, and forgets.
	DiskRecovered() error
}

// measure notes how much room the data disk has. Where that cannot be told there is enough.
func (w *World) measure(f node.Facts) {
	w.Free = f.DataFree
	known := f.DataDisk > 0 || f.DataFree > 0
	w.Full, w.Short = known && f.DataFree < node.SpaceFull, known && f.DataFree < node.SpaceNeeded
}

func (w *World) freeWords() string {
	return fmt.Sprintf("%d MiB are free on the data disk", w.Free>>20)
}

// room looks at a data disk that was full: until it has 2 GiB again it counts as full. Once it has, what failed meanwhile is no
// fault of the apps, and again is true.
func (p *Pass) room(w *World) (again bool) {
	switch {
	case p.Room == nil || p.Room.DiskFullSince().IsZero():
		return false
	case w.Short:
		w.Full = true
		return false
	}
	for _, a := range w.Apps {
		a.History.Close()
		a.History.AutoRestarts = a.Service.NRestarts
	}
	return true
}

// spare keeps a verdict from what the data disk has no room for. Running apps go on; what makes room is always done.
func (p *planner) spare(a *App, v *Verdict) *Verdict {
	const hint = "make room below the data directory; archy prune removes the images that nothing needs"
	makesRoom := func(s step) bool { return s == stepStop || s == stepRemove || s == stepUnpause || s == stepPurge }
	switch {
	case !p.w.Short || v == nil || !slices.ContainsFunc(v.Steps, func(s step) bool { return !makesRoom(s) }):
		return v
	case p.w.Full:
		return human(v.Row, observedState(a), "disk-full", fmt.Sprintf("%s: it was full, and nothing is written or started until %d GiB are free (%s)", p.w.freeWords(), node.SpaceNeeded>>30, v.Cause), hint)
	case a.Upgrading, slices.Contains(v.Steps, stepMigrate), slices.Contains(v.Steps, stepPrepare) && p.imageAbsent(a):
		return failed(v.Row, observedState(a), "space", fmt.Sprintf("%s: below %d GiB no image is fetched or built, and nothing is upgraded or migrated (%s)",
			p.w.freeWords(), node.SpaceNeeded>>30, v.Cause), hint)
	}
	return v
}

// makeRoom gives up what is set aside for this, and cuts the journal the first time. What it did is told as warnings.
func (p *Pass) makeRoom(ctx context.Context, w *World) []string {
	text := fmt.Sprintf("%s: no app is restarted for it, and nothing is written but what archy must remember", w.freeWords())
	first, err := p.Room.DiskFull(w.Now)
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
