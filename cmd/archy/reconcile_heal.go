package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/state"
)

// healing makes a pass on a podman that may be ill, or on a disk that is full. A pass that finds podman well costs nothing here. Where podman cannot be asked, or an app
// could not be started for a reason that may be podman's, podman is looked at; a full pass then climbs once (doctor.auto_heal: safe)
// and goes on, or ends for a person.
func (e *env) healing(ctx context.Context, mayClimb bool, pass func() (reconcile.Result, error)) (reconcile.Result, error) {
	began := time.Now()
	result, err := pass()
	full := err == nil && result.Podman.State == string(heal.DiskFull)
	if state.NoRoom(err) {
		return e.noRoom(ctx, began, err), nil
	}
	if ctx.Err() != nil || !podmanAsked(err) || err == nil && !full && !podmanFailed(result, false) {
		return result, err
	}
	h, done := e.healer()
	defer done()
	if full {
		result.Podman.Human = h.Explain(ctx, heal.DiskFull, result.Podman.Evidence)
		return result, nil
	}
	look := h.Check
	if err == nil && mayClimb && podmanFailed(result, true) {
		look = h.CheckStarts // once a try: a container that is made is an event, and with --watch the next pass follows
	}
	d := look(ctx)
	if err != nil && ctx.Err() != nil {
		return result, ctx.Err() // what was seen by then is not how podman is
	}
	if d.State == heal.OK || d.State == heal.Slow && err == nil {
		return result, err // what podman says of itself does not explain it: nothing is proved, and nothing is repaired
	}
	var climb *heal.Report
	if !d.State.GoesOn() && d.FirstRung >= 0 && mayClimb && e.Config.Doctor.AutoHeal != "off" {
		r := h.ClimbFrom(ctx, heal.Safe, d)
		climb = &r
		if r.Result == heal.Healed || r.Result == heal.GoesOn {
			d = h.Check(ctx)
		} else if r.Human != nil {
			d.State, d.Evidence, d.Human = r.After, r.Human.Seen, r.Human
		}
	}
	if mayClimb && d.State.GoesOn() {
		e.asked = nil
		again, failed := pass()
		again.Podman.Heal = climb
		if failed == nil {
			return again, nil
		}
		err = failed
	}
	if d.State.Fine() {
		return result, err
	}
	result = unhealed(result, d, climb, began, err)
	if ctx.Err() != nil {
		result.ExitCode = reconcile.ExitInterrupted // the next pass may climb again at once
	}
	return result, nil
}

// noRoom is the result of a pass that ended because a write of its own found no room; the error names the file.
func (e *env) noRoom(ctx context.Context, began time.Time, err error) reconcile.Result {
	h, done := e.healer()
	defer done()
	free, _ := node.FreeSpace(e.Layout.Host(e.Layout.DataDir))
	d := heal.Diagnosis{State: heal.DiskFull, Evidence: fmt.Sprintf("%v (%d MiB are free on %s)", err, free>>20, e.Layout.DataDir)}
	d.Human = h.Explain(ctx, d.State, d.Evidence)
	if _, failed := e.State.DiskFull(time.Now(), free < node.SpaceFull); failed != nil {
		fmt.Fprintln(e.err, "warning:", failed)
	}
	return unhealed(reconcile.Result{}, d, nil, began, err)
}

// podmanUnsound is the class of the error of sound.
const podmanUnsound = "podman-unsound"

// sound tells whether podman can start what it has lost track of. Its service may go on answering for a podman of which every
// command fails.
func (e *env) sound(ctx context.Context) error {
	h, done := e.healer()
	defer done()
	d := h.Check(ctx)
	if d.State.GoesOn() {
		return nil
	}
	return &exitError{exitHuman, podmanUnsound, fmt.Errorf("podman is %s, so nothing was restarted: %s", d.State, d.Evidence), "archy podman heal"}
}

// renew ends a service of podman's that answers from a database which is gone; the next question starts it anew. A look lets it be, and sees the empty list of
// podman itself.
func (c *connected) renew(ctx context.Context, change bool) (string, error) {
	gone := heal.GoneDatabase(c.Layout, c.User.UID)
	if gone == "" {
		return "", nil
	}
	c.Engine.forget(!change)
	if !change {
		return gone, nil
	}
	return gone, c.Systemd.Stop(ctx, "podman.service", 30*time.Second)
}

// podmanAsked tells that a pass ended as one does whose podman or user manager cannot be asked.
func podmanAsked(err error) bool {
	var exit *exitError
	var answer *podman.APIError
	var late *podman.LimitError
	switch {
	case err == nil, errors.Is(err, podman.ErrUnreachable), errors.Is(err, podman.ErrGarbage), errors.As(err, &answer), errors.As(err, &late):
		return true
	}
	return errors.As(err, &exit) && (exit.Class == "user-bus-unreachable" || exit.Class == podmanUnsound)
}

// podmanFailed tells that an app failed with a text which may be podman's own. It may as well be the app's: many have a database like podman's, so it
// proves nothing, and podman is asked. now: one that this pass has tried.
func podmanFailed(r reconcile.Result, now bool) bool {
	return slices.ContainsFunc(r.Apps, func(a reconcile.AppResult) bool {
		if a.Error == nil || a.Class != reconcile.ClassFailed || now && !a.Changed {
			return false
		}
		f, known := heal.Read(strings.Join(append(slices.Clone(a.Error.LogTail), a.Error.Message), "\n"), a.App)
		return known && f.State != heal.LostTrack
	})
}

// unhealed is the result of a pass that podman stands in the way of.
func unhealed(r reconcile.Result, d heal.Diagnosis, climb *heal.Report, began time.Time, err error) reconcile.Result {
	if err != nil {
		r = reconcile.Result{Schema: 1, Version: version, StartedAt: began.UTC(), Apps: []reconcile.AppResult{}, Unknown: []string{}, Orphans: []string{}}
		r.Podman.Reachable = false
		r.Warnings = []string{err.Error()}
	}
	r.Podman.State, r.Podman.Evidence, r.Podman.Heal, r.Podman.Human = string(d.State), d.Evidence, climb, d.Human
	r.DurationMS = time.Since(began).Milliseconds()
	r.ExitCode = reconcile.ExitNeedsHuman
	return r
}

// explainPodman says what was done about podman, and what a person needs to decide.
func (e *env) explainPodman(p reconcile.PodmanState) {
	if p.Heal != nil {
		for _, s := range p.Heal.Rungs {
			fmt.Fprintln(e.err, "podman was "+string(p.Heal.State)+": "+rungLine(s, false))
		}
		for _, f := range p.Heal.Renamed {
			fmt.Fprintf(e.err, "  renamed %s to %s\n", f.From, f.To)
		}
	}
	if p.Human != nil {
		fmt.Fprintf(e.err, "\nerror: podman is %s: %s\n", p.State, p.Evidence)
		e.explainHuman(p.Human)
	}
}
