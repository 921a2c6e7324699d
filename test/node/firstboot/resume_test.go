package firstboot_test

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/test/node"
)

// three are apps that are made quickly, one of them with a derived file and one that is built.
const three = "first_boot:\n  apps: [bitcoin-knots, bitcoin-ui, filebrowser]\n"

// random is a source whose seed is printed; ARCHY_TEST_SEED repeats a run.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("ARCHY_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("ARCHY_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// TestKilled: first boot is killed at random moments and starts again; it ends complete, with the secrets that were
// written first, and its child never outlives it.
func TestKilled(t *testing.T) {
	m, r := bare(t, three), random(t)
	kept := map[string]string{}
	for range 6 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		p, err := m.Start(ctx, cmd("archy", "first-boot"))
		m.must(err)
		// The kill follows the work done, not the clock: it comes when that much of the run is reached.
		at := 1 + r.IntN(98)
		m.until("the moment of the kill", func() bool { _, percent := m.step(); return percent >= at || m.Exists(marker) })
		time.Sleep(time.Duration(r.Int64N(int64(300 * time.Millisecond))))
		_ = p.Kill() // it may have ended
		res := p.Wait()
		cancel()
		step, _ := m.step()
		t.Logf("killed at %d %%, in step %s", at, step)
		if res.Code == 5 {
			t.Fatalf("the lock of a killed run was held: %s", res.Stderr)
		}
		m.until("the end of the child", func() bool { return m.sh("pgrep -x archy || true") == "" })
		m.unchanged(kept)
		kept = m.secrets()
		if m.Exists(marker) {
			m.sh("rm " + marker) // killed after the end: start over, as if the marker had not been written
		}
	}
	unfinished := !strings.Contains(m.read(dataDir+"/state/first-boot.json"), `"result": "ok"`)
	res := m.want(0, "first-boot")
	if strings.Contains(res.Stderr, "resuming after an interrupted run at step ") != unfinished {
		t.Errorf("the run before was killed (%v), and this is told:\n%s", unfinished, res.Stderr)
	}
	m.unchanged(kept)
	m.complete()
}

// complete wants a node: the three apps up, once each, the marker, and nothing left to do.
func (m *machine) complete() {
	m.t.Helper()
	got := m.running()
	slices.Sort(got)
	if want := []string{"archy-bitcoin-ui", "bitcoin-knots", "filebrowser"}; !slices.Equal(got, want) {
		m.t.Errorf("running: %q", got)
	}
	if !m.Exists(marker) {
		m.t.Error("no marker")
	}
	if res := m.run("first-boot", "--check"); res.Code != 0 || res.Stdout != "nothing to do\n" {
		m.t.Errorf("left to do:\n%s", res.Stdout)
	}
	if left := m.sh(`find /etc /opt /home /var/lib/archipelago /var/log/archipelago -xdev -path /var/lib/archipelago/containers -prune -o \( -name '*.archy-new' -o -name '*.archy-check' -o -name '*.drawn' \) -print`); left != "" {
		m.t.Errorf("half files: %s", left)
	}
}

// TestPowerCut: the power goes at a random moment of a first boot that systemd started; the next power-on completes it
// without anybody, and the one after leaves the node alone.
func TestPowerCut(t *testing.T) {
	m, r := bare(t, three), random(t)
	m.units()
	m.sh("systemctl start --no-block archy-first-boot.service")
	at := 1 + r.IntN(94)
	m.until("the moment of the cut", func() bool { _, percent := m.step(); return percent >= at })
	kept := m.secrets()
	m.Cut()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m.must(m.Boot(ctx))
	m.until("the marker", func() bool { return m.Exists(marker) })
	t.Logf("the power was cut at %d %%", at)
	m.until("the end of the unit", func() bool { return strings.TrimSpace(m.sh("systemctl show -P SubState archy-first-boot")) == "exited" })
	if journal := m.sh("journalctl -b -u archy-first-boot -o cat"); !strings.Contains(journal, "resuming after an interrupted run at step ") || !strings.Contains(journal, "the node's page: http://archy.local/") {
		t.Errorf("the journal:\n%s", journal)
	}
	m.unchanged(kept)
	if m.complete(); t.Failed() {
		t.Logf("the journal of first boot:\n%s", m.sh("journalctl -u archy-first-boot -o short-precise --no-pager"))
	}
	m.must(m.Reboot(ctx))
	if got := strings.TrimSpace(m.sh("systemctl show -P ConditionResult archy-first-boot")); got != "no" {
		t.Errorf("at the next boot the condition is %q", got)
	}
	m.until("the apps", func() bool { return len(m.running()) == 3 })
}

func cmd(args ...string) node.Cmd { return node.Cmd{Args: args} }
