package images_test

import (
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
	if r := n.reconcile(t, 0, "--check-only"); len(r.Plan) > 0 {
		t.Errorf("after a first boot there is left to do: %q", r.Plan)
	}
	if got := strings.Count(n.MustRoot(t, "cat", "/var/log/archipelago/container-installs.log"), " Done 100\n"); got != 32 {
		t.Errorf("the log of installations says Done %d times, want 32", got)
	}
	allComeBack(t, n)
}

// allComeBack takes unit and container of every installed app away (incident 10): one pass makes each anew, over the data that it had.
func allComeBack(t *testing.T, n machine) {
	t.Helper()
	marks := func() string {
		return n.MustRoot(t, "sh", "-ec", "cd /var/lib/archipelago; find . -path ./containers -prune -o -name born -print | sort | while read f; do echo $f; cat $f; done")
	}
	before := marks()
	if !strings.Contains(before, "born") {
		t.Fatal("no app has left a mark of its first start")
	}
	n.MustUser(t, "sh", "-ec", `cd ~/.config/containers/systemd; systemctl --user stop $(ls | sed -n 's/\.container$/.service/p')
rm *.container; systemctl --user daemon-reload; podman rm -fa -t 5 >/dev/null; test -z "$(podman ps -aq)"`)
	r := n.reconcile(t, 0)
	made := 0
	for _, a := range r.Apps {
		if a.Action != reconcile.Installed {
			t.Errorf("%s: %s (%s), want it made anew", a.App, a.Action, a.Summary())
			continue
		}
		made++
	}
	if made != 32 {
		t.Errorf("%d apps were made anew, want 32", made)
	}
	if r := n.reconcile(t, 0, "--check-only"); len(r.Plan) > 0 {
		t.Errorf("there is left to do: %q", r.Plan)
	}
	if now := marks(); now != before {
		t.Errorf("data were\n%sand are\n%s", before, now)
	}
}
