package metrics

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

var noon = time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)

func pass() Pass {
	r := &reconcile.Result{ExitCode: 3, Podman: reconcile.PodmanState{Reachable: true, State: "ok"},
		Summary: reconcile.Summary{OK: 1, Failed: 1, Waiting: 1},
		Apps: []reconcile.AppResult{
			{App: "lnd", Desired: reconcile.WantRunning, Class: reconcile.ClassFailed, State: "failed", Breaker: reconcile.BreakerState{Open: true, Count: 5}},
			{App: "bitcoin-knots", Desired: reconcile.WantRunning, Class: reconcile.ClassOK, State: "syncing 43.1 %", Stage: "syncing 43.1 %",
				Running: true, Health: podman.HealthHealthy, Since: noon},
			{App: "web", Desired: reconcile.WantStopped, Class: reconcile.ClassWaiting, State: "starting", Running: true, Health: podman.HealthStarting, Stage: "needs wallet"},
		}}
	return Pass{Version: `0.1"\x`, At: noon, Duration: 1500 * time.Millisecond, ExitCode: 3, Result: r, Asked: true, DiskFree: 5 << 30, DiskSize: 100 << 30, Goroutines: 12,
		Certificates: map[string]time.Time{"/d/lnd/tls.cert": noon.Add(time.Hour)}}
}

func TestText(t *testing.T) {
	text := pass().Text()
	for _, want := range []string{
		`archy_build_info{version="0.1\"\\x"} 1`, "archy_pass_time_seconds 1768046400", "archy_pass_duration_seconds 1.5", "archy_pass_exit_code 3",
		"archy_podman_up 1", `archy_apps{class="failed"} 1`, `archy_apps{class="needs_human"} 0`,
		`archy_app_wanted{app="lnd"} 1`, `archy_app_up{app="lnd"} 0`, `archy_app_breaker_open{app="lnd"} 1`, `archy_app_recent_failures{app="lnd"} 5`,
		`archy_app_healthy{app="bitcoin-knots"} 1`, `archy_app_healthy{app="web"} 0`, `archy_app_wanted{app="web"} 0`,
		`archy_app_stage{app="bitcoin-knots",stage="syncing"} 1`, `archy_app_sync_percent{app="bitcoin-knots"} 43.1`, `archy_app_stage{app="web",stage="needs wallet"} 1`,
		`archy_app_class{app="lnd",class="failed"} 1`, `archy_app_start_time_seconds{app="bitcoin-knots"} 1768046400`, "archy_data_free_bytes 5368709120", "archy_goroutines 12",
		`archy_certificate_expires_seconds{file="/d/lnd/tls.cert"} 1768050000`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if again := pass().Text(); again != text {
		t.Error("the same pass gives other bytes")
	}
}

// A pass that could not look says so, and says nothing about apps that it has not seen.
func TestAPassThatCouldNotLook(t *testing.T) {
	text := Pass{Version: "1", At: noon, ExitCode: 1, Asked: true}.Text()
	if !strings.Contains(text, "archy_podman_up 0\n") || !strings.Contains(text, "archy_pass_exit_code 1\n") || strings.Contains(text, "archy_app") {
		t.Error(text)
	}
}

// A pass that met a lock has not asked podman: a long first boot does not mean that podman is down.
func TestAPassThatMetALock(t *testing.T) {
	text := Pass{Version: "1", At: noon, ExitCode: 5}.Text()
	if strings.Contains(text, "archy_podman") || !strings.Contains(text, "archy_pass_exit_code 5\n") {
		t.Error(text)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "archy.prom")
	for range 2 {
		if err := pass().Write(file); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(file)
	entries, _ := os.ReadDir(dir)
	if err != nil || info.Mode().Perm() != 0o644 || len(entries) != 1 {
		t.Errorf("%v %v %v", info, entries, err)
	}
	if err := pass().Write(filepath.Join(dir, "none/archy.prom")); err == nil || !strings.Contains(err.Error(), "metrics: ") {
		t.Errorf("%v", err)
	}
}

// promtool, of Debian's package prometheus, takes the figures and the alerts.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("skipped: it needs promtool, of Debian's package prometheus")
	}
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(pass().Text())
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("metrics: %v\n%s", err, out)
	}
	if out, err := exec.Command(promtool, "check", "rules", "../../dist/prometheus/archy.rules.yml").CombinedOutput(); err != nil {
		t.Errorf("rules: %v\n%s", err, out)
	}
	if out, err := exec.Command(promtool, "test", "rules", "testdata/alerts.yml").CombinedOutput(); err != nil {
		t.Errorf("alerts: %v\n%s", err, out)
	}
}
