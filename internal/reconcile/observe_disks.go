package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/quadlet"
)

// codeDiskAway is the code of an app whose data lie on a disk that is not mounted.
const codeDiskAway = "disk-not-mounted"

// diskAway tells that the app's data lie on a disk that is not mounted.
func (a *App) diskAway() bool { return a.LeftBehind != nil && a.LeftBehind.Code == codeDiskAway }

// leftRow is the row of an app whose data a start would not find.
func (a *App) leftRow(other string) string {
	if a.diskAway() {
		return "39"
	}
	return other
}

// findDisks finds the disks that the app's data lie on: those that are mounted, those that its record remembers, and those that the node's
// set-up wants there. In the empty directory below a mount point it would begin anew.
func (ob *observation) findDisks(a *App) {
	var disks []string
	for _, m := range a.Spec.Mounts {
		if m.Type == "bind" {
			disks = append(append(disks, ob.disks.Of(m.Source)...), ob.rememberedUnder(a.Manifest, m.Source)...)
		}
	}
	slices.Sort(disks)
	a.Disks = slices.Compact(disks)
	a.Spec.Unit.Disks = a.Disks
	for _, disk := range a.Disks {
		if !ob.disks.Mounted(disk) {
			a.LeftBehind = &Fault{Code: codeDiskAway, Text: "its data lie on the disk at " + disk + ", which is not mounted",
				Hint: fmt.Sprintf("sudo mount %[1]s, then: archy reconcile; if its data lie elsewhere now and it needs that disk no more: archy start %[2]s --drop-disk %[1]s", disk, a.ID)}
			return
		}
	}
}

// rememberedUnder are the disks of an app that a directory lies on, or that lie in it, as the record says of who had its data last. Of an
// app whose record cannot be read, its unit says it. One that no pass has seen mounted yet is known from fstab(5) or its mount unit.
func (ob *observation) rememberedUnder(app *manifest.App, dir string) (disks []string) {
	remembered := ob.lastOf(app).Disks
	if _, found := ob.records[app.ID]; !found {
		remembered = append(slices.Clone(remembered), assertedDisks(ob.unitText(app))...)
	}
	for _, disk := range append(slices.Clone(remembered), ob.disks.Due(dir)...) {
		if ob.disks.Lies(dir, disk) && !ob.dropped(app, disk) {
			disks = append(disks, disk)
		}
	}
	return disks
}

func (ob *observation) dropped(app *manifest.App, disk string) bool {
	return slices.Contains(ob.Options.DropDisks, disk) && slices.Contains(ob.Options.Only, app.ID)
}

// assertedDisks are those without which a unit does not start.
func assertedDisks(unit []byte) (disks []string) {
	for _, disk := range unitValues(unit, quadlet.AssertDisk) {
		disks = append(disks, strings.ReplaceAll(disk, "%%", "%"))
	}
	return disks
}

// awayFrom is the disk of an app that a directory lies on and that is not mounted, "" when there is none.
func (ob *observation) awayFrom(app *manifest.App, dir string) string {
	for _, disk := range ob.rememberedUnder(app, dir) {
		if !ob.disks.Mounted(disk) {
			return disk
		}
	}
	return ""
}

// held is holdsMapped for a directory of an app; one on a disk that is not mounted counts as full.
func (ob *observation) held(ctx context.Context, app *manifest.App, dir string) bool {
	return ob.holdsMapped(ctx, dir) || ob.awayFrom(app, dir) != ""
}

// diskMissing, row 39: nothing is done to an app whose disk is not mounted, also not to one that runs: it may have its files open still, and
// would be started anew over an empty directory.
func diskMissing(a *App, _ *World, _ Options) *Verdict {
	if !a.diskAway() {
		return nil
	}
	text := a.LeftBehind.Text + ": it is not started, since it would begin anew"
	if a.Running() {
		text = a.LeftBehind.Text + ": what runs is left alone, and would not be started again"
	}
	return human(a.leftRow(""), observedState(a), codeDiskAway, text, a.LeftBehind.Hint)
}
