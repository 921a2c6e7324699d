package firstboot_test

import (
	"context"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/dist"
)

// TestTwoAtOnce: of three first boots at once one works. The script of the old name waits for it and finds all done; one that
// does not wait ends with 5 and names who is at work.
func TestTwoAtOnce(t *testing.T) {
	const script = "/opt/archipelago/scripts/first-boot-containers.sh"
	m := bare(t, "first_boot:\n  apps: [filebrowser]\n")
	m.must(m.WriteFile(script, dist.Text("scripts/first-boot-containers.sh"), 0o755))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	first, err := m.Start(ctx, cmd("archy", "first-boot"))
	m.must(err)
	m.until("the lock", func() bool {
		return m.Exists("/run/archy/node.lock") && m.sh("flock -n -s /run/archy/node.lock true && echo free || true") == ""
	})
	second, err := m.Start(ctx, cmd("sh", script))
	m.must(err)
	if res := m.want(5, "first-boot"); !strings.Contains(res.Stderr, `locked by "archy first-boot" (pid `) {
		t.Errorf("the third says\n%s", res.Stderr)
	}
	if res := first.Wait(); res.Code != 0 || !strings.Contains(res.Stdout, "first boot done in ") {
		t.Errorf("the first: exit %d\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
	if res := second.Wait(); res.Code != 0 || res.Stdout != "already done\n" || !strings.Contains(res.Stderr, "waiting at most 2h0m0s") {
		t.Errorf("the second: exit %d\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
	if got := m.running(); len(got) != 1 || got[0] != "filebrowser" {
		t.Errorf("running: %q", got)
	}
}
