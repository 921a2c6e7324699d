package heal

import (
	"cmp"
	"context"
	"slices"
)

// climb is one way up the ladder.
type climb struct {
	*Healer
	limits Limits
	mode   Mode
	r      Report
	d      Diagnosis
	tried  map[int]bool
}

// Climb heals podman as far as the mode allows, the least invasive rung first, and looks again after each. It remembers what it did. Whoever asks for
// a full climb has a throw-away container started first, where podman answers well.
func (h *Healer) Climb(ctx context.Context, mode Mode) Report {
	if mode != Safe {
		return h.ClimbFrom(ctx, mode, h.CheckStarts(ctx))
	}
	return h.ClimbFrom(ctx, mode, h.Check(ctx))
}

// ClimbFrom is Climb for a state that was just found out.
func (h *Healer) ClimbFrom(ctx context.Context, mode Mode, d Diagnosis) Report {
	c := h.climbOf(mode, d)
	if d.State.Fine() {
		return c.end(Nothing)
	}
	if why := h.tooSoon(mode); why != "" {
		c.r.Rungs = append(c.r.Rungs, Rung{N: d.FirstRung, Does: c.does(), Reason: why})
		return c.end(TooSoon)
	}
	c.up(ctx)
	if ctx.Err() != nil && c.r.Result != Healed {
		c.end(Interrupted)
	}
	h.keep(c.r)
	return c.r
}

// Plan is what a climb would begin with. Nothing is changed.
func (h *Healer) Plan(mode Mode, d Diagnosis) Report {
	c := h.climbOf(mode, d)
	c.r.DryRun = true
	if d.State.Fine() {
		return c.end(Nothing)
	}
	if d.FirstRung < 0 {
		return c.end(Refused)
	}
	step := Rung{N: d.FirstRung, Does: c.does(), Reason: c.lacks(d.FirstRung)}
	if step.Reason == "" && !c.stops(d.FirstRung) {
		step.Reason = c.refusal(d.FirstRung)
	}
	soon := h.tooSoon(mode)
	step.Reason = cmp.Or(soon, step.Reason)
	c.r.Rungs = append(c.r.Rungs, step)
	if step.N == 5 && step.Reason == "" {
		c.r.Rungs = append(c.r.Rungs, Rung{N: 4, Does: does[4]})
	}
	if step.Reason == "" && c.stops(step.N) {
		for _, p := range c.stopOrder() {
			c.r.Stopped = append(c.r.Stopped, p.Name)
		}
	}
	switch {
	case soon != "":
		return c.end(TooSoon)
	case step.Reason != "":
		return c.end(Refused)
	}
	return c.end(Planned)
}

func (h *Healer) climbOf(mode Mode, d Diagnosis) *climb {
	return &climb{Healer: h, limits: h.Limits.orDefault(), mode: mode, d: d, tried: map[int]bool{}, r: Report{At: h.Now().UTC(), BootID: h.BootID, Mode: mode,
		State: d.State, Evidence: d.Evidence, Source: d.Source, Rungs: []Rung{}, Renamed: []Renamed{}, After: d.State}}
}

func (c *climb) does() string {
	if c.d.FirstRung < 0 {
		return "nothing that archy does by itself"
	}
	return does[c.d.FirstRung]
}

func (c *climb) end(result Result) Report {
	c.r.Result, c.r.After = result, c.d.State
	if !c.d.State.Fine() {
		c.r.Human = c.advice(result)
	}
	return c.r
}

// up goes on until podman is well, a rung is refused, or what would come next was tried already.
func (c *climb) up(ctx context.Context) {
	for ctx.Err() == nil {
		if c.d.State.Fine() { // what a throw-away container meets may be a rung's
			c.d = c.try(ctx, c.d)
			if ctx.Err() != nil {
				break
			}
			if c.d.State.Fine() {
				c.end(Healed)
				return
			}
		}
		n := c.d.FirstRung
		if n < 0 || c.tried[n] {
			c.end(Refused)
			return
		}
		if n == 4 && c.MoveOver == nil {
			c.end(GoesOn)
			return
		}
		if !c.rung(ctx, n) {
			c.end(Refused)
			return
		}
		c.d = c.Check(ctx)
	}
	c.end(Refused)
}

// rung does one rung. False: it was refused, and nothing was changed by it.
func (c *climb) rung(ctx context.Context, n int) bool {
	c.tried[n] = true
	step := Rung{N: n, Does: does[n]}
	c.say("rung %d: %s (%s: %s)", n, does[n], c.d.State, c.d.Evidence)
	var err error
	if step.Reason = c.lacks(n); step.Reason == "" {
		if err = c.makeRoom(ctx, n); err == nil {
			step.Reason = c.refusal(n)
		}
	}
	if step.Reason != "" {
		c.r.Rungs = append(c.r.Rungs, step)
		return false
	}
	if err == nil {
		err = c.probeEnds(ctx)
	}
	if err == nil {
		err = c.act(ctx, n)
	}
	step.Done = err == nil
	if err != nil {
		step.Error = err.Error()
		c.say("rung %d: %v", n, err)
	}
	c.r.Rungs = append(c.r.Rungs, step)
	return true
}

// stops tells that what lives is stopped for a rung: the operator has asked for that, and the rung needs it.
func (c *climb) stops(n int) bool {
	return c.mode == StopApps && n >= 5 && n != 6 && c.refusal(n) != ""
}

// makeRoom stops what lives, where the rung needs that.
func (c *climb) makeRoom(ctx context.Context, n int) error {
	if !c.stops(n) {
		return nil
	}
	for _, p := range c.stopOrder() {
		c.say("stopping %s", p.Name)
		c.r.Stopped = append(c.r.Stopped, p.Name) // it ends, whether or not anybody waits for that
		if err := c.stop(ctx, p); err != nil {
			return err
		}
	}
	c.d.Live = c.live(ctx)
	return nil
}

// stopOrder is the reverse of the order of starts; what no manifest names goes first.
func (c *climb) stopOrder() []Process {
	place := func(p Process) int { return slices.IndexFunc(c.Apps, func(a App) bool { return a.Name == p.Name }) }
	list := slices.Clone(c.d.Live)
	slices.SortStableFunc(list, func(a, b Process) int {
		x, y := place(a), place(b)
		if x < 0 || y < 0 {
			return x - y
		}
		return y - x
	})
	return list
}
