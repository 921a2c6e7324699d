package reconcile

import (
	"slices"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/stage"
)

// Said is what an app that does not answer said of itself last, and when.
type Said struct {
	Stage string    `json:"stage"`
	At    time.Time `json:"at"`
}

// remember tells of the apps that do not answer what they said last: a bitcoin in its first sync answers nobody for seconds again and again, and
// whoever looks just then wants to know how far it was. Nothing is decided by it: the plan has been made, and carried out.
func (p *Pass) remember(r *Result) {
	silent := func(a AppResult) bool { return a.Stage == stage.Silent }
	if p.Last == nil || !slices.ContainsFunc(r.Apps, silent) {
		return
	}
	last := p.Last()
	for i, a := range r.Apps {
		if silent(a) {
			r.Apps[i].Said = last.said(a.App)
		}
	}
}

// said is the last word of an app that a result has: its own, or of one that was silent then what it had said before.
func (r Result) said(app string) *Said {
	at := slices.IndexFunc(r.Apps, func(a AppResult) bool { return a.App == app })
	switch {
	case at < 0 || r.Apps[at].Stage == "":
		return nil
	case r.Apps[at].Stage == stage.Silent:
		return r.Apps[at].Said
	}
	return &Said{r.Apps[at].Stage, r.StartedAt}
}
