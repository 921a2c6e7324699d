package reconcile

import (
	"encoding/json"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/stage"
)

// TestASilentAppIsShownWithItsLastWord: a bitcoin in its first sync often does not answer in time. How far it was is told with its time, as long as
// it is silent; and who answers is not asked for it.
func TestASilentAppIsShownWithItsLastWord(t *testing.T) {
	n := walletNode(t)
	n.pass()
	var last Result
	read := 0
	pass := func(text string) AppResult {
		t.Helper()
		n.later(30 * time.Second)
		n.wallets.says = map[string]Stage{"bitcoin-knots": {Text: text, Ready: text != stage.Silent}}
		p := n.passOf()
		p.Last = func() Result { read++; return last }
		r, err := p.Run(t.Context())
		if err != nil || r.ExitCode != 0 {
			t.Fatalf("exit %d, %v", r.ExitCode, err)
		}
		kept, err := json.Marshal(r)
		if err == nil {
			last = Result{}
			err = json.Unmarshal(kept, &last)
		}
		if err != nil {
			t.Fatal(err)
		}
		return n.result(r, "bitcoin-knots")
	}
	if got := pass(stage.Silent); got.Said != nil {
		t.Errorf("it never said anything: %+v", got.Said)
	}
	read = 0
	if got := pass("syncing 43.1 %"); got.Said != nil || read != 0 {
		t.Errorf("it answers: %+v, and the last result was read %d times", got.Said, read)
	}
	at := last.StartedAt
	for range 3 {
		got := pass(stage.Silent)
		if got.State != stage.Silent || got.Class != ClassOK || got.Said == nil || got.Said.Stage != "syncing 43.1 %" || !got.Said.At.Equal(at) {
			t.Errorf("state %q, %s, said %+v; want what it said at %s", got.State, got.Class, got.Said, at)
		}
	}
	if got := pass("ready"); got.State != "ready" || got.Said != nil {
		t.Errorf("it answers again: %+v", got)
	}
}

// TestNoGateIsPassedByALastWord: who needs an open wallet waits for an lnd that is silent now, whatever it said before.
func TestNoGateIsPassedByALastWord(t *testing.T) {
	n := walletNode(t)
	n.pass()
	n.converged()
	n.wallets.says = map[string]Stage{"lnd": {Text: stage.Silent}}
	n.drop(n.containers["page"])
	n.services["page.service"].ActiveState = "inactive"
	n.later(10 * time.Minute) // no pass waits for what has been up for so long
	p := n.passOf()
	p.Last = func() Result {
		return Result{StartedAt: n.peek().Add(-time.Second), Apps: []AppResult{{App: "lnd", Stage: "ready", State: "ready"}}}
	}
	r, err := p.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if lnd := n.result(r, "lnd"); lnd.State != stage.Silent || lnd.Said == nil || lnd.Said.Stage != "ready" {
		t.Errorf("lnd: %+v", lnd)
	}
	if page := n.result(r, "page"); page.Action != Waiting || page.Class != ClassWaiting {
		t.Errorf("page: %+v", page)
	}
	if n.containers["page"] != nil {
		t.Error("page was started")
	}
}
