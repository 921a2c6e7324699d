package chaos

import (
	"context"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node"
)

// shortSeed is where the short form's choices come from.
const shortSeed = 20

// TestShortForm strikes a node with an app of every tier once with each scenario. Times are in the report and decide nothing
// here: a machine that is busy is slow.
func TestShortForm(t *testing.T) {
	node.Need(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	p := Plan{Config: Config{Archy: node.Breakable(t), Group: "five"}, Seed: shortSeed, Rounds: 1, First: 1,
		Each: func(o Outcome) {
			t.Log(o)
			if len(o.Failures) > 0 {
				t.Errorf("%d.%d failed: %s\n%s", o.Scenario, o.Run, strings.Join(o.Failures, "\n"), o.Log)
			}
		}}
	var err error
	if p.Scenarios, err = Choose(""); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(ctx); err != nil {
		t.Error(err)
	}
}
