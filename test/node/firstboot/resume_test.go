package firstboot_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
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
	return rand.New(rand.NewPCG(node.Seed(t), 0))
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
// without anybody, and the one after leaves the node alone. ARCHY_CUTS=100 does so a hundred times, each on a bare machine.
func TestPowerCut(t *testing.T) {
	r := random(t)
	for i := range cuts(t) {
		ok := t.Run(strconv.Itoa(i+1), func(t *testing.T) { powerCut(t, 1+r.IntN(94), time.Duration(r.Int64N(int64(300*time.Millisecond)))) })
		if !ok {
			t.FailNow() // what is found first is looked at first
		}
	}
}

// cuts is how often the power is cut: once, or as ARCHY_CUTS says.
func cuts(t *testing.T) int {
	text := os.Getenv("ARCHY_CUTS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("ARCHY_CUTS=%s is no number of cuts", text)
	}
	return n
}

// powerCut cuts the power a moment after so many percent are done.
func powerCut(t *testing.T, at int, later time.Duration) {
	m := bare(t, three)
	m.units()
	m.sh("systemctl start --no-block archy-first-boot.service")
	m.until("the moment of the cut", func() bool { _, percent := m.step(); return percent >= at })
	time.Sleep(later)
	kept := m.secrets()
	m.Cut()
	told, err := os.ReadFile(filepath.Join(m.Dir, "data/archipelago/state/first-boot.json"))
	m.must(err)
	unfinished := !strings.Contains(string(told), `"result": "ok"`)
	t.Logf("the power was cut %s after %d %%, unfinished: %v", later.Round(time.Millisecond), at, unfinished)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m.must(m.Boot(ctx))
	m.until("the marker", func() bool { return m.Exists(marker) })
	if unfinished {
		m.resumed()
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

// resumed wants the unit to have gone on with the run before, and to have said so. A cut ends systemd a moment before archy, which may
// then say that a step has failed because systemd no longer answers.
func (m *machine) resumed() {
	m.t.Helper()
	m.until("the end of the unit", func() bool { return strings.TrimSpace(m.sh("systemctl show -P SubState archy-first-boot")) == "exited" })
	journal := m.sh("journalctl -b -u archy-first-boot -o cat")
	goesOn := strings.Contains(journal, "resuming after an interrupted run at step ") || strings.Contains(journal, "trying again after a run that failed at step ")
	if !goesOn || !strings.Contains(journal, "the node's page: http://archy.local/") {
		m.t.Errorf("the journal:\n%s", journal)
	}
}

func cmd(args ...string) node.Cmd { return node.Cmd{Args: args} }
