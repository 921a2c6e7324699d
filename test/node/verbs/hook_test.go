package verbs_test

import (
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

// TestHookMakesADatabaseOnce: the hook of btcpay's database makes the other one in its first container, and finds it in the
// second. podman keeps what ran the hook for minutes: the app is installed again meanwhile all the same.
func TestHookMakesADatabaseOnce(t *testing.T) {
	t.Parallel()
	const id = "archy-btcpay-db"
	n := freshWith(t, id)
	seen := map[string]bool{}
	for range 2 {
		a := n.verb(t, 0, id, "install", id)
		if a.Action != reconcile.Installed || strings.Contains(a.Detail, "hook") {
			t.Errorf("%s: %s, %s", a.Action, a.Cause, a.Detail)
		}
		if made := n.sh(t, "cat "+dataDir+"/postgres-btcpay/databases"); made != "nbxplorer\n" {
			t.Errorf("the databases beside btcpay's: %q", made)
		}
		seen[n.record(t, id).Hooks.ContainerID] = true
		n.verb(t, 0, id, "remove", id)
	}
	if len(seen) != 2 || seen[""] {
		t.Errorf("the hook ran in the containers %v", seen)
	}
}
