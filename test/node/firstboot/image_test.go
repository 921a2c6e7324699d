package firstboot_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"git.tx1138.com/lfg2025/archy/apps"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	nodes "git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/test/node"
)

// TestFromAnImageToANode: archy is laid down on a disk, the power is switched on, and nobody logs in. All apps of the full
// profile come up; the next start brings them back by itself, and what was made once is made once.
func TestFromAnImageToANode(t *testing.T) {
	t.Parallel()
	m := &machine{Node: node.UpT(t, node.Options{FirstBoot: true}), t: t}
	m.must(m.Put(node.Archy(t), "/var/tmp/archy", 0o755))
	m.sh("/var/tmp/archy iso install --root / && rm /var/tmp/archy && archy iso check --root /")
	m.must(m.WriteFile(configPath, []byte("bitcoin:\n  prune: 0\nfirst_boot:\n  profile: full\n"), 0o644))
	m.Cut()
	m.powerOn(m.Boot)
	if text := m.read(marker); !strings.Contains(text, `"profile":"full"`) || !strings.Contains(text, `"result":"ok"`) {
		t.Errorf("the marker says %s", text)
	}
	m.everyAppIsRight(32)
	m.sh("archy iso check --root /")
	compareDataDirectories(t, m)
	secrets, data := m.secrets(), m.born()
	m.powerOn(m.Reboot)
	m.everyAppIsRight(32)
	m.unchanged(secrets)
	if now := m.born(); now != data {
		t.Errorf("data were made anew:\n%s", difference(data, now))
	}
	if again := m.sh("systemctl show -P ConditionResult archy-first-boot"); again != "no\n" {
		t.Errorf("first boot began again: ConditionResult=%s", again)
	}
}

func (m *machine) powerOn(on func(context.Context) error) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m.must(on(ctx))
	m.until("first boot is done", func() bool { return m.Exists(marker) })
}

// everyAppIsRight waits until so many apps run as they should: the timer's passes do what is left to do.
func (m *machine) everyAppIsRight(count int) {
	m.t.Helper()
	var last reconcile.Result
	m.until("every app is as it should be", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		res := m.User(ctx, "archy", "status", "--json")
		last = reconcile.Result{}
		return json.Unmarshal([]byte(res.Stdout), &last) == nil && last.Summary.OK+last.Summary.NeedsConfig >= count
	})
	var needy []string
	for _, a := range last.Apps {
		if a.State == "needs-config" {
			needy = append(needy, a.App)
		}
	}
	if !slices.Equal(needy, []string{"fedimint-clientd"}) { // the only one that waits for its owner
		m.t.Errorf("need their owner: %v", needy)
	}
	if state := strings.TrimSpace(m.sh("systemctl is-active archy-reconcile.timer")); state != "active" {
		m.t.Errorf("the timer is %s", state)
	}
}

// compareDataDirectories: the own directories of the apps that were made have the mode and the owner of the contract, also those that a unit with its umask has made.
func compareDataDirectories(t *testing.T, m *machine) {
	set, _ := manifest.LoadFS(apps.FS, "apps")
	facts := nodes.Facts{UID: 1000, GID: 1000, SubUID: nodes.SubRange{Start: 100000, Count: 65536}, SubGID: nodes.SubRange{Start: 100000, Count: 65536}}
	seen := 0
	for id, app := range set.Apps {
		uid, gid := spec.HostOwner(app.Container.DataUID, facts)
		for _, v := range app.Volumes {
			if id == "bitcoin-core" || id == "fedimint-clientd" || v.Type != "bind" || filepath.Dir(v.Source) != dataDir || slices.Contains(v.Options, "ro") {
				continue
			}
			seen++
			if got, want := m.stat(v.Source), fmt.Sprintf("directory 750 %d %d", uid, gid); got != want {
				t.Errorf("%s of %s: %s, want %s", v.Source, id, got, want)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d directories were compared", seen)
	}
}

// born are the ids that the apps' data got when they were made.
func (m *machine) born() string {
	return m.sh("cd " + dataDir + " && find . -maxdepth 3 -name born -not -path './containers/*' | sort | xargs grep -H .")
}
