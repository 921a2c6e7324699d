package heal

import (
	"fmt"
	"slices"
	"time"
)

// kept is how many climbs are remembered; between two lies an hour, or a boot.
const (
	kept      = 20
	betweenUs = time.Hour
	hungSpan  = 10 * time.Minute
)

// history is state/heal.json.
type history struct {
	Schema  int      `json:"schema"`
	Reports []Report `json:"reports"`
}

// past reads what is remembered; nothing, where the file cannot be understood.
func (h *Healer) past() (history, error) {
	past := history{}
	_, err := h.History.ReadHeal(&past)
	if err != nil {
		past = history{}
	}
	past.Schema = 1
	if past.Reports == nil {
		past.Reports = []Report{}
	}
	return past, err
}

// silence is state/podman-silent-last.json: when podman was asked in vain and nothing explained it. Looks keep it, which hold no lock, so it is no part of
// heal.json; one that is lost costs one look more, so it is worth no sync and no reserve.
type silence struct {
	Schema     int         `json:"schema"`
	Unanswered []time.Time `json:"unanswered"`
}

const silenceKind = "podman-silent"

// remember counts a question that podman did not answer, and gives how many there were within ten minutes.
func (h *Healer) remember() int {
	var s silence
	if _, err := h.History.ReadLast(silenceKind, &s); err != nil {
		s = silence{}
	}
	now := h.Now().UTC()
	s.Schema = 1
	s.Unanswered = append(slices.DeleteFunc(s.Unanswered, func(t time.Time) bool { return t.After(now) || now.Sub(t) > hungSpan }), now)
	if err := h.History.WriteLastUnsynced(silenceKind, s); err != nil {
		h.say("warning: %v", err)
	}
	return len(s.Unanswered)
}

// keep remembers a climb. A file that cannot be understood is kept aside. One that was refused as the last one was takes its place, unless that one changed something: a pass
// every half minute must not push the others out.
func (h *Healer) keep(r Report) {
	past, err := h.past()
	if err != nil {
		h.say("warning: %v", err)
		if err := h.History.KeepHealAside(err); err != nil {
			h.say("warning: %v", err)
		}
	}
	if n := len(past.Reports); n > 0 && r.Result == Refused && past.Reports[n-1].Result == Refused && past.Reports[n-1].State == r.State && !past.Reports[n-1].climbed() {
		past.Reports = past.Reports[:n-1]
	}
	past.Reports = append(past.Reports, r)
	past.Reports = past.Reports[max(0, len(past.Reports)-kept):]
	if err := h.History.WriteHeal(past); err != nil {
		h.say("warning: %v", err)
	}
}

// tooSoon tells why no climb is made now: one an hour and boot. What the operator asks for himself waits for no safe climb, which may
// just have told him to.
func (h *Healer) tooSoon(mode Mode) string {
	now := h.Now()
	past, _ := h.past()
	for _, r := range past.Reports {
		if r.BootID != h.BootID || mode != Safe && r.Mode != mode || !r.climbed() || r.Result == Interrupted {
			continue
		}
		if since := now.Sub(r.At); since >= 0 && since < betweenUs {
			return fmt.Sprintf("the last climb was %s ago (%s: %s); one an hour and boot", since.Round(time.Second), r.State, r.Result)
		}
	}
	return ""
}

// climbed tells that a rung was really tried: a climb that was refused at once has changed nothing.
func (r Report) climbed() bool {
	return slices.ContainsFunc(r.Rungs, func(s Rung) bool { return s.N > 0 && s.Reason == "" })
}
