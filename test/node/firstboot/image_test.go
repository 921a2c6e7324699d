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
	"git.tx1138.com/lfg2025/archy/internal/firstboot"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	nodes "git.tx1138.com/lfg2025/archy/internal/node"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/test/node"
)

// coreApps are the core profile.
var coreApps = []string{"archy-mempool-db", "bitcoin-knots", "bitcoin-ui", "electrs-ui", "electrumx", "fedimint-clientd", "filebrowser", "lnd", "lnd-ui", "mempool", "mempool-api"}

// TestFromAnImageToANode: archy is laid down on a disk, the power is switched on, and nobody logs in. All apps that the image's builder chose come
// up, and no other; the next start brings them back by itself, and what was made once is made once.
func TestFromAnImageToANode(t *testing.T) {
	t.Parallel()
	set, _ := manifest.LoadFS(apps.FS, "apps")
	full := without(set.Order(), "bitcoin-core")
	other := without(set.Order(), "bitcoin-knots")
	for name, c := range map[string]struct {
		config, profile string
		apps            []string
	}{
		"full": {"  profile: full\n", "full", full},
		"core": {"  profile: core\n", "core", coreApps},
		// No profile has bitcoin-core: who wants it names the apps.
		"bitcoin-core": {"  apps: [" + strings.Join(other, ", ") + "]\n", firstboot.ProfileApps, other},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fromAnImage(t, "bitcoin:\n  prune: 0\nfirst_boot:\n"+c.config, c.profile, slices.Sorted(slices.Values(c.apps)))
		})
	}
}

func without(ids []string, id string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(other string) bool { return other == id })
}

func fromAnImage(t *testing.T, config, profile string, ids []string) {
	m := &machine{Node: node.UpT(t, node.Options{FirstBoot: true}), t: t}
	m.must(m.Put(node.Archy(t), "/var/tmp/archy", 0o755))
	m.sh("/var/tmp/archy iso install --root / && rm /var/tmp/archy && archy iso check --root /")
	m.must(m.WriteFile(configPath, []byte(config), 0o644))
	m.Cut()
	m.powerOn(m.Boot)
	if text := m.read(marker); !strings.Contains(text, `"profile":"`+profile+`"`) || !strings.Contains(text, `"result":"ok"`) {
		failed := m.sh("journalctl -u archy-first-boot -o cat --no-pager | grep -iE 'fail|died|not up' | head -n 5 || true")
		t.Errorf("the marker says %s, and first boot said: %s", text, strings.ReplaceAll(failed, "\n", "; "))
		t.Logf("all that it said:\n%s", m.sh("journalctl -u archy-first-boot -o cat --no-pager | tail -n 150"))
	}
	m.everyAppIsRight(ids)
	m.portsAreKept()
	m.sh("archy iso check --root /")
	compareDataDirectories(t, m, ids)
	secrets, data := m.secrets(), m.born()
	m.powerOn(m.Reboot)
	m.everyAppIsRight(ids)
	m.portsAreKept()
	m.unchanged(secrets)
	if now := m.born(); now != data {
		t.Errorf("data were made anew:\n%s", difference(data, now))
	}
	if said := m.sh("journalctl -o cat _SYSTEMD_UNIT=archy-reconcile.service"); strings.Contains(said, "address of") {
		t.Errorf("an app that started after its peer was restarted for the peer's address:\n%s", said)
	}
	if again := m.sh("systemctl show -P ConditionResult archy-first-boot"); again != "no\n" {
		t.Errorf("first boot began again: ConditionResult=%s", again)
	}
}

// portsAreKept: the kernel gives no connection the port of electrumx or of its page.
func (m *machine) portsAreKept() {
	m.t.Helper()
	if got := strings.TrimSpace(m.sh("cat /proc/sys/net/ipv4/ip_local_reserved_ports")); got != "50001-50002" {
		m.t.Errorf("the kernel keeps the ports %q", got)
	}
}

func (m *machine) powerOn(on func(context.Context) error) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m.must(on(ctx))
	m.until("first boot is done", func() bool { return m.Exists(marker) })
}

// everyAppIsRight waits until these apps run as they should, and wants no other: the timer's passes do what is left to do.
func (m *machine) everyAppIsRight(ids []string) {
	m.t.Helper()
	var last reconcile.Result
	m.until("every app is as it should be", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		res := m.User(ctx, "archy", "status", "--json")
		last = reconcile.Result{}
		return json.Unmarshal([]byte(res.Stdout), &last) == nil && last.Summary.OK+last.Summary.NeedsConfig >= len(ids)
	})
	var are, needy []string
	for _, a := range last.Apps {
		are = append(are, a.App)
		if a.State == "needs-config" {
			needy = append(needy, a.App)
		}
	}
	if slices.Sort(are); !slices.Equal(are, ids) || len(last.Unknown) > 0 {
		m.t.Errorf("apps: %q, want %q; unknown: %q", are, ids, last.Unknown)
	}
	if !slices.Equal(needy, []string{"fedimint-clientd"}) { // the only one that waits for its owner
		m.t.Errorf("need their owner: %v", needy)
	}
	if state := strings.TrimSpace(m.sh("systemctl is-active archy-reconcile.timer")); state != "active" {
		m.t.Errorf("the timer is %s", state)
	}
	m.until("the timer has started a pass", func() bool {
		return m.sh("systemctl show -P ExecMainExitTimestampMonotonic archy-reconcile.service") != "0\n"
	})
}

// compareDataDirectories: the own directories of the apps that were made have the mode and the owner of the contract, also those that a unit with its umask has made.
func compareDataDirectories(t *testing.T, m *machine, ids []string) {
	set, _ := manifest.LoadFS(apps.FS, "apps")
	facts := nodes.Facts{UID: 1000, GID: 1000, SubUID: nodes.SubRange{Start: 100000, Count: 65536}, SubGID: nodes.SubRange{Start: 100000, Count: 65536}}
	seen := 0
	for id, app := range set.Apps {
		uid, gid := spec.HostOwner(app.Container.DataUID, facts)
		for _, v := range app.Volumes {
			if !slices.Contains(ids, id) || id == "fedimint-clientd" || v.Type != "bind" || filepath.Dir(v.Source) != dataDir || slices.Contains(v.Options, "ro") {
				continue
			}
			seen++
			if got, want := m.stat(v.Source), fmt.Sprintf("directory 750 %d %d", uid, gid); got != want {
				t.Errorf("%s of %s: %s, want %s", v.Source, id, got, want)
			}
		}
	}
	if seen < len(ids)/2 {
		t.Errorf("only %d directories were compared", seen)
	}
}

// born are the ids that the apps' data got when they were made.
func (m *machine) born() string {
	return m.sh("cd " + dataDir + " && find . -maxdepth 3 -name born -not -path './containers/*' | sort | xargs grep -H .")
}
