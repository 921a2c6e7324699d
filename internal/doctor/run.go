package doctor

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

// defaultLimit is how long a check may take that names no limit. A check that does not mind the end of its time gets
// lateness more and is then left behind.
const (
	defaultLimit = 30 * time.Second
	lateness     = 2 * time.Second
	sideBySide   = 8
	fixLimit     = 60 * time.Second
)

// Run makes the checks that one of the roles may make, side by side, and returns their results in the order of the list.
// Afterwards it mends what this level allows, one after the other, and looks again.
func Run(ctx context.Context, n *Node, checks []Check, level Repair, roles ...Who) []Result {
	results := make([]Result, len(checks))
	volume := node.FindVolume(n.Layout)
	var wg sync.WaitGroup
	slots := make(chan struct{}, sideBySide)
	for i, c := range checks {
		if why := notFor(c, roles, volume); why != "" {
			results[i] = skipped(c, why)
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			results[i] = n.look(ctx, c)
		})
	}
	wg.Wait()
	if level > Report {
		n.mend(ctx, checks, results, level)
	}
	return results
}

// reasons are why the checks of a role that is not at hand are skipped.
var reasons = map[Who]string{
	Root:        "only root can see this: sudo archy doctor",
	ServiceUser: "there is no service user whose podman could be asked",
}

// notFor is why a check is not made at all.
func notFor(c Check, roles []Who, volume error) string {
	switch {
	case !slices.Contains(roles, c.Who):
		return reasons[c.Who]
	case c.OnVolume && volume != nil:
		return "the data volume is not there, see D_VOLUME"
	}
	return ""
}

func skipped(c Check, why string) Result {
	return Result{Code: c.Code, Looks: c.Looks, Status: Skipped, Reason: why, Findings: []Finding{}}
}

// look makes one check within its time.
func (n *Node) look(ctx context.Context, c Check) Result {
	began := time.Now()
	limit := c.Limit
	if limit == 0 {
		limit = defaultLimit
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan []Finding, 1)
	go func() { done <- n.guarded(limited, c) }()
	late := time.NewTimer(limit + n.lateness())
	defer late.Stop()
	var list []Finding
	select {
	case list = <-done:
	case <-late.C:
		list = []Finding{failure("", "the check did not end within %s and was left behind", limit).by("sudo dmesg | tail; ps -eo pid,stat,wchan,args | grep ' D'")}
	}
	return n.result(c, list, time.Since(began))
}

func (n *Node) lateness() time.Duration {
	if n.Lateness > 0 {
		return n.Lateness
	}
	return lateness
}

// guarded makes a fault of a check a finding of that check.
func (n *Node) guarded(ctx context.Context, c Check) (list []Finding) {
	defer func() {
		if cause := recover(); cause != nil {
			list = []Finding{failure("", "the check itself failed: %v", cause).by("archy doctor --bundle report.tar.gz, and send it to archy's authors")}
			n.fault(c.Code, debug.Stack())
		}
	}()
	return c.Run(ctx, n)
}

func (n *Node) fault(code string, stack []byte) {
	if n.Fault != nil {
		n.Fault(code, stack)
	}
}

// result sorts the findings into a result. No text of it holds a secret.
func (n *Node) result(c Check, list []Finding, took time.Duration) Result {
	r := Result{Code: c.Code, Looks: c.Looks, Status: worst(list), Findings: []Finding{}, DurationMS: took.Milliseconds()}
	for _, f := range list {
		f.Text, f.Object, f.Mend = n.clean(f.Text), n.clean(f.Object), n.clean(f.Mend)
		if f.Severity == Skipped {
			r.Reason = f.Text
			continue
		}
		r.Findings = append(r.Findings, f)
	}
	return r
}

func (n *Node) clean(text string) string {
	if n.Mask == nil {
		return text
	}
	return n.Mask(text)
}

// mend repairs what the level allows. Nothing is written while the data volume is not what it should be (incident 17), or read-only.
func (n *Node) mend(ctx context.Context, checks []Check, results []Result, level Repair) {
	volume := node.CheckVolume(n.Layout)
	for i, c := range checks {
		before := results[i].Findings
		switch {
		case !mendable(before, level):
		case volume != nil:
			results[i] = n.withheld(results[i], level, "nothing is mended: "+volume.Error())
		case ctx.Err() == nil:
			errs := n.apply(ctx, before, level)
			took := results[i].DurationMS
			results[i] = n.look(ctx, c)
			results[i].DurationMS += took
			settle(&results[i], before, errs)
		}
	}
}

func mendable(list []Finding, level Repair) bool {
	for _, f := range list {
		if f.fix != nil && f.level > Report && f.level <= level {
			return true
		}
	}
	return false
}

func (n *Node) withheld(r Result, level Repair, why string) Result {
	for i, f := range r.Findings {
		if f.fix != nil && f.level <= level {
			r.Findings[i].NotMended = n.clean(why)
		}
	}
	return r
}

// apply makes the repairs of a check in order and ends with the first that fails.
func (n *Node) apply(ctx context.Context, list []Finding, level Repair) map[string]string {
	errs := map[string]string{}
	for _, f := range list {
		if f.fix == nil || f.level == Report || f.level > level {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, fixLimit)
		err := f.fix(limited)
		cancel()
		if err != nil {
			errs[key(f)] = n.clean(err.Error())
			break
		}
	}
	return errs
}

func key(f Finding) string { return fmt.Sprintf("%s|%s|%s", f.Severity, f.Object, f.Text) }

// settle notes which findings are gone, and why others are still there.
func settle(r *Result, before []Finding, errs map[string]string) {
	left := map[string]bool{}
	for i, f := range r.Findings {
		left[key(f)] = true
		r.Findings[i].NotMended = errs[key(f)]
	}
	for _, f := range before {
		if f.fix != nil && f.level > Report && !left[key(f)] {
			r.Mended = append(r.Mended, f.Text)
		}
	}
}
