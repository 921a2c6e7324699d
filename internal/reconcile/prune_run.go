package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/quadlet"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// PruneEngine is what prune needs of podman beside what a pass does.
type PruneEngine interface {
	Engine
	RemoveNetwork(ctx context.Context, name string) error
	RemoveImage(ctx context.Context, ref string) error
}

// PruneState is what prune reads and writes of archy's own state.
type PruneState interface {
	ReadRecords() (map[string]state.Record, []state.Problem)
	ReadRecord(app string) (state.Record, bool, error)
	WriteRecord(r state.Record) error
	ReadLedger() (state.Ledger, error)
	KeepLedgerAside(err error) error
	DropImage(ref, id string) error
}

// Pruner removes what nobody needs any more.
type Pruner struct {
	Observer Observer
	Engine   PruneEngine
	Units    Units
	State    PruneState
	Layout   node.Layout
	Locks    PassLocks
	WaitLock time.Duration
	// Held tells that the caller has the locks of a full pass, from HoldFull.
	Held bool
	// DeleteTree deletes a directory of mapped users.
	DeleteTree func(ctx context.Context, path string) error
}

// Pruned is one thing that was removed, or would be.
type Pruned struct {
	Kind   Kind   `json:"kind"`
	Object string `json:"object"`
	App    string `json:"app,omitempty"`
	Cause  string `json:"cause"`
	// Error is why it is still there.
	Error string `json:"error,omitempty"`
}

// Run removes what may go. It holds the locks of a full pass: an image that a pass has just pulled is in no record yet.
func (p Pruner) Run(ctx context.Context, checkOnly bool) ([]Pruned, error) {
	if !checkOnly && !p.Held {
		release, err := HoldFull(ctx, p.Locks, p.WaitLock)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	litter, err := p.look(ctx)
	if err != nil {
		return nil, err
	}
	return p.carryOut(ctx, litter, PlanPrune(litter), checkOnly)
}

// Images removes the images that archy has brought and that nothing needs, and nothing else: that is what a pass does when the data
// disk gets short. Where the ledger names none, podman is not asked.
func (p Pruner) Images(ctx context.Context) ([]Pruned, error) {
	ledger, err := p.State.ReadLedger()
	if err != nil {
		aside := &pruner{Litter: Litter{LedgerErr: err}}
		aside.images()
		return p.carryOut(ctx, aside.Litter, aside.ops, false)
	}
	records, problems := p.State.ReadRecords()
	named := &pruner{Litter: Litter{World: &World{}, Records: records}}
	for _, app := range p.Observer.Set.Apps {
		named.Apps = append(named.Apps, &App{ID: app.ID, Manifest: app})
	}
	spare := func(i state.Image) bool { return !named.wanted(i) }
	if len(problems) > 0 || !slices.ContainsFunc(ledger.Images, spare) {
		return nil, nil
	}
	litter, err := p.look(ctx)
	if err != nil {
		return nil, err
	}
	images := slices.DeleteFunc(PlanPrune(litter), func(op Operation) bool { return op.Kind != RemoveImage })
	return p.carryOut(ctx, litter, images, false)
}

func (p Pruner) carryOut(ctx context.Context, litter Litter, plan []Operation, checkOnly bool) ([]Pruned, error) {
	list, reload := []Pruned{}, false
	busy := map[string]error{} // an app that was waited for in vain is not waited for again with all that it has
	for _, op := range plan {
		done := Pruned{Kind: op.Kind, Object: op.Object, App: op.App, Cause: op.Cause}
		if !checkOnly {
			err := busy[op.App]
			if err == nil {
				err = p.do(ctx, litter, op)
			}
			if err != nil {
				done.Error = err.Error()
			}
			if errors.As(err, new(state.ErrLocked)) {
				busy[op.App] = err
			}
			reload = reload || op.Kind == RemoveUnit && done.Error == ""
		}
		list = append(list, done)
		if ctx.Err() != nil {
			break
		}
	}
	if reload { // no later prune would see that it is due
		return list, errors.Join(ctx.Err(), p.Units.Reload(context.WithoutCancel(ctx)))
	}
	return list, ctx.Err()
}

// look reads everything among which there may be litter.
func (p Pruner) look(ctx context.Context) (l Litter, err error) {
	if l.World, err = p.Observer.Observe(ctx); err != nil {
		return l, err
	}
	if l.Containers, err = p.Engine.List(ctx); err != nil {
		return l, err
	}
	if l.Images, err = p.Engine.Images(ctx); err != nil {
		return l, err
	}
	if l.Networks, err = p.Engine.Networks(ctx); err != nil {
		return l, err
	}
	if l.Secrets, err = p.Engine.Secrets(ctx); err != nil {
		return l, err
	}
	var problems []state.Problem
	if l.Records, problems = p.State.ReadRecords(); len(problems) > 0 {
		return l, fmt.Errorf("what cannot be read may name what is to be removed: %w", problems[0])
	}
	l.Ledger, l.LedgerErr = p.State.ReadLedger()
	l.Units = p.units()
	l.Trash, l.Quarantine = trash(p.Layout), Quarantine(p.Layout)
	return l, nil
}

// units reads the unit directory, drop-ins included.
func (p Pruner) units() map[string][]byte {
	out := map[string][]byte{}
	dir := p.Layout.Host(p.Layout.UnitDir())
	_ = filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if text, err := os.ReadFile(file); err == nil {
			name, _ := filepath.Rel(dir, file)
			out[name] = text
		}
		return nil
	})
	return out
}

// trash lists what lies in the trash.
func trash(l node.Layout) []string { return entries(l, l.State("trash")) }

// Quarantine lists what a heal of podman has renamed: in archy's own directory, and beside where it was.
func Quarantine(l node.Layout) []string {
	list := entries(l, l.State("quarantine"))
	for _, dir := range []string{"", "libpod", "libpod/tmp", "containers"} {
		for _, file := range entries(l, path.Join(l.RuntimeDir, dir)) {
			if strings.Contains(path.Base(file), ".archy-") {
				list = append(list, file)
			}
		}
	}
	for _, file := range entries(l, "/dev/shm") {
		if strings.HasPrefix(path.Base(file), "libpod_rootless_lock_"+path.Base(l.RuntimeDir)+".archy-") {
			list = append(list, file)
		}
	}
	return list
}

// entries are the paths, as the node sees them, of what is in a directory.
func entries(l node.Layout, dir string) []string {
	list, _ := os.ReadDir(l.Host(dir))
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = path.Join(dir, e.Name())
	}
	return out
}

// do removes one thing, under the lock of its app. An app that somebody is at work on, or has installed meanwhile, is left.
func (p Pruner) do(ctx context.Context, l Litter, op Operation) error {
	if op.App != "" {
		lock, err := p.Locks.App(ctx, op.App, p.WaitLock)
		if err != nil {
			return err
		}
		defer lock.Release()
		now, _, err := p.State.ReadRecord(op.App)
		if err != nil {
			return err
		}
		if now.Installed != l.Records[op.App].Installed {
			return errors.New("its app was changed meanwhile; left")
		}
	}
	err := p.remove(ctx, l, op)
	if errors.Is(err, podman.ErrNotFound) || errors.Is(err, systemd.ErrNoUnit) {
		return nil
	}
	return err
}

func (p Pruner) remove(ctx context.Context, l Litter, op Operation) error {
	switch op.Kind {
	case RemoveOld:
		return p.oldContainer(ctx, op)
	case Stop:
		return p.Units.Stop(ctx, op.Object, longestGrace*time.Second+2*stopMargin)
	case RemoveUnit:
		return p.removeFile(path.Join(p.Layout.UnitDir(), op.Object))
	case RemoveSecret:
		return p.Engine.RemoveSecret(ctx, op.Object)
	case RemoveNetwork:
		return p.network(ctx, op.Object)
	case RemoveImage:
		if err := p.Engine.RemoveImage(ctx, op.Object); err != nil && !errors.Is(err, podman.ErrNotFound) {
			return err
		}
		return p.State.DropImage(op.Object, l.Images[op.Object].ID)
	case KeepAside:
		return p.State.KeepLedgerAside(l.LedgerErr)
	case Delete:
		// A mount moves with the directory that it lies in, and what is bound there from the same file system would be deleted where it is.
		if at := node.ReadDisks(p.Layout).In(op.Path); len(at) > 0 {
			return fmt.Errorf("%s is a mount point; left until it is unmounted: sudo umount %[1]s", at[0])
		}
		return p.DeleteTree(ctx, p.Layout.Host(op.Path))
	}
	return fmt.Errorf("operation %q is not known", op.Kind)
}

func (p Pruner) oldContainer(ctx context.Context, op Operation) error {
	if err := p.Engine.Remove(ctx, op.Object, false); err != nil && !errors.Is(err, podman.ErrNotFound) {
		return err
	}
	r, found, err := p.State.ReadRecord(op.App)
	if err != nil || !found {
		return err
	}
	kept := []state.OldContainer{}
	for _, old := range r.OldContainers {
		if old.Name != op.Object {
			kept = append(kept, old)
		}
	}
	r.OldContainers = kept
	return p.State.WriteRecord(r)
}

func (p Pruner) removeFile(file string) error {
	return failpoint.Write("remove "+file, func() error { return os.Remove(p.Layout.Host(file)) })
}

// network takes the bridge and archy's unit of it away.
func (p Pruner) network(ctx context.Context, name string) error {
	unit := path.Join(p.Layout.UnitDir(), name+".network")
	text, err := os.ReadFile(p.Layout.Host(unit))
	if err == nil && strings.HasPrefix(string(text), quadlet.NetworkHeader+"\n") {
		if err := p.removeFile(unit); err != nil {
			return err
		}
	}
	return p.Engine.RemoveNetwork(ctx, name)
}
