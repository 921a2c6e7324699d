package reconcile

import (
	"strings"
	"testing"
	"time"
)

// TestPortainerOnNewerData: two starts that end because of the version of the data are enough; each further one would find the same.
func TestPortainerOnNewerData(t *testing.T) {
	// Each start that ends counts, and so does systemd's decision to try again: two starts are three failures.
	for says, failures := range map[string]int{"FTL The database schema version does not align with the server version": 3, "out of cheese": 5} {
		n := newNode(t, map[string]string{"portainer": manifestOf("portainer", 3)}).firstBootDone()
		n.behave["docker.io/example/portainer:v1.0"] = behaviour{dies: 1, says: says}
		for range 8 {
			n.pass()
			if n.history("portainer").IsOpen() {
				break
			}
			n.later(time.Minute)
		}
		if h := n.history("portainer"); !h.IsOpen() || len(h.Events) != failures || strings.Contains(h.Reason, schemaMessage) != (failures == 3) {
			t.Errorf("%s: %+v after %d failures", says, h, len(h.Events))
		}
		n.pass()
		tries := n.services["portainer.service"].tries
		for range 3 {
			n.later(time.Minute)
			last := n.result(n.pass(), "portainer")
			if reason := n.history("portainer").Reason; last.Row != "25" || !strings.Contains(last.Cause, reason) || reason == "" {
				t.Errorf("%s: %+v", says, last)
			}
		}
		if got := n.services["portainer.service"].tries; failures == 3 && got != tries {
			t.Errorf("%s: systemd has gone on trying: %d times, then %d", says, tries, got)
		}
		n.later(time.Hour)
		n.behave["docker.io/example/portainer:v1.0"] = behaviour{} // the owner has put the version back that made them
		n.mustVerb(0, Request{Verb: VerbStart, Apps: []string{"portainer"}})
		n.converged()
	}
}
