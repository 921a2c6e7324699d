package main

import (
	"context"
	"errors"
	"fmt"

	"git.tx1138.com/lfg2025/archy/internal/doctor"
	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// diagnose finds out how podman is, and changes nothing.
func (e *examiner) diagnose(ctx context.Context) (heal.Diagnosis, error) {
	h, done := e.healer()
	defer done()
	return h.Check(ctx), nil
}

// climb climbs the ladder of repairs as far as was asked. What keeps it from that is a note of the report: a report there
// is in any case.
func (o *doctorOptions) climb(ctx context.Context, e *examiner, d *doctor.Document) {
	if why := o.mayNotClimb(e); why != "" {
		d.Notes = append(d.Notes, "podman was not healed: "+why)
		return
	}
	// The node's lock is held already, by this run or by that of root which started it.
	lock, err := e.Locks.Reconcile(ctx, o.waitLock)
	if err != nil {
		d.Notes = append(d.Notes, "podman was not healed: "+err.Error())
		return
	}
	defer lock.Release()
	h, done := e.healer()
	defer done()
	report := e.env.climb(ctx, h, o.healMode())
	d.Heal = &report
}

// mayNotClimb is why the ladder stays untouched.
func (o *doctorOptions) mayNotClimb(e *examiner) string {
	if err := node.CheckVolume(e.Layout); err != nil {
		return err.Error()
	}
	if e.byTimer() && e.Config.Doctor.AutoHeal == "off" {
		return "doctor.auto_heal is off, and nobody but the timer asked for it"
	}
	return ""
}

func (o *doctorOptions) healMode() heal.Mode {
	switch {
	case o.stopApps:
		return heal.StopApps
	case o.heal == "full":
		return heal.Full
	}
	return heal.Safe
}

// lockFault tells whether a lock is held by another run, which ends this one, or cannot be made at all.
func lockFault(err error) (held bool, note string) {
	var locked state.ErrLocked
	if err == nil || errors.As(err, &locked) {
		return err != nil, ""
	}
	return false, fmt.Sprintf("nothing is mended: %v", err)
}
