package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Plan is what a run does.
type Plan struct {
	Config
	Seed   uint64
	Rounds int
	// First is the number of the first round, to repeat one of an earlier run.
	First int
	// Only strikes this app alone, where the scenario hits single apps.
	Only string
	// Scenarios are those to run.
	Scenarios []Scenario
	// Each hears of a round when it is over.
	Each func(Outcome)
}

// Run strikes round after round, each with one round of every scenario. Scenarios share a node unless they need one of their own, and a node that did not come
// back is replaced. The error is about the run itself; what failed is in the outcomes.
func (p Plan) Run(ctx context.Context) error {
	var rig *Rig
	defer func() {
		if rig != nil {
			_ = rig.Close()
		}
	}()
	for _, small := range []bool{false, true} {
		for number := p.First; number < p.First+p.Rounds; number++ {
			for _, s := range p.Scenarios {
				if s.SmallDisk != small {
					continue
				}
				var err error
				if rig, err = p.node(ctx, rig, s); err != nil {
					return err
				}
				o := p.strike(ctx, rig, s, number)
				if ctx.Err() != nil {
					return ctx.Err() // cut short: this round is none
				}
				p.Each(o)
				if len(o.Failures) == 0 || rig.sound(ctx) {
					continue
				}
				err, rig = rig.Close(), nil
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// sound tells that a node on which a round failed is right again and can take the next one.
func (r *Rig) sound(ctx context.Context) bool {
	return r.settle(ctx) == nil && len(r.counted(ctx)) == 0 && len(r.torn(ctx)) == 0 && r.plant(ctx) == nil
}

// node is the one that there is when it fits the scenario, else a new one.
func (p Plan) node(ctx context.Context, rig *Rig, s Scenario) (*Rig, error) {
	if rig != nil && rig.config.SmallDisk == s.SmallDisk {
		return rig, nil
	}
	if rig != nil {
		if err := rig.Close(); err != nil {
			return nil, err
		}
	}
	c := p.Config
	c.SmallDisk = s.SmallDisk
	began := time.Now()
	rig, err := NewRig(ctx, c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("a node with the group %s", c.Group), err)
	}
	if c.Talk != nil {
		fmt.Fprintf(c.Talk, "a node with %d apps is up after %.0f s\n", len(rig.Fleet), time.Since(began).Seconds())
	}
	return rig, nil
}

func (p Plan) strike(ctx context.Context, rig *Rig, s Scenario, number int) Outcome {
	r := newRound(rig, s, number, p.Seed, p.Only)
	began := time.Now()
	r.run(ctx)
	return r.outcome(p, time.Since(began))
}

// outcome is what is kept of a round.
func (r *Round) outcome(p Plan, took time.Duration) Outcome {
	o := Outcome{Scenario: r.Scenario.Number, Fault: r.Fault.Name, Group: p.Group, Run: r.Number, Seed: p.Seed, Apps: map[string]float64{},
		Seconds: seconds(took), Exits: r.exits, Failures: r.failures, Late: r.late}
	for _, a := range r.hit {
		if t, back := r.times[a.ID]; back {
			o.Apps[a.ID] = seconds(t)
		} else {
			o.Apps[a.ID] = -1
		}
	}
	if len(o.Failures) > 0 {
		o.Log = r.log()
	}
	return o
}

func seconds(d time.Duration) float64 {
	return float64(d.Round(100*time.Millisecond)) / float64(time.Second)
}
