package images_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/test/node"
)

// test that the apps stage of a first boot brings all apps up on a node that has none, and that reconcile finds nothing left
// to do afterwards
func TestFirstBootOfAllApps(t *testing.T) {
	n := freshWith(t, node.Options{FirstBoot: true}, "")
	n.MustRoot(t, "sh", "-ec", "mkdir -p /var/log/archipelago && chown archipelago: /var/log/archipelago")
	n.MustUser(t, "sh", "-ec", "printf fed1 >/var/lib/archipelago/secrets/fmcd-invite-code && chmod 600 /var/lib/archipelago/secrets/fmcd-invite-code")
	out := n.RunTests(t, "git.tx1138.com/lfg2025/archy/cmd/archy", "-test.run=TestRealAppsStage", "-test.v")
	t.Log(out)
	if !strings.Contains(out, "--- PASS: TestRealAppsStage") {
		t.Fatal("the stage did not run")
	}
	n.MustRoot(t, "sh", "-ec", "echo {} >/var/lib/archipelago/.first-boot-containers-done")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res := n.User(ctx, "archy", "reconcile", "--json", "--check-only")
	var r reconcile.Result
	if err := json.Unmarshal([]byte(res.Stdout), &r); err != nil || res.Code != 0 || len(r.Plan) > 0 {
		t.Errorf("reconcile after a first boot: exit code %d (%v), plan %q\n%s", res.Code, err, r.Plan, res.Stderr)
	}
	if got := strings.Count(n.MustRoot(t, "cat", "/var/log/archipelago/container-installs.log"), " Done 100\n"); got != 32 {
		t.Errorf("the log of installations says Done %d times, want 32", got)
	}
}
