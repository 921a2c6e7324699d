// Package metrics writes what a pass found as figures for Prometheus, in the text format that node_exporter's textfile
// collector reads.
package metrics

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/failpoint"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/reconcile"
)

// Pass is one pass and the node that it was made on.
type Pass struct {
	Version  string
	At       time.Time
	Duration time.Duration
	ExitCode int
	// Result is nil when the pass could not look.
	Result *reconcile.Result
	// Asked tells that podman was asked, with or without an answer. A pass that met another run's lock has not.
	Asked bool
	// DiskFree and DiskSize are of the data directory, in bytes; 0 is not known.
	DiskFree, DiskSize int64
	// Goroutines are those of the process that made the pass; 0 is not known. In a watch they must not grow.
	Goroutines int
	// Certificates are the ends of those that could be read, by file.
	Certificates map[string]time.Time
}

// family is one metric with its samples.
type family struct {
	name, kind, help string
	samples          []string
}

type labels [][2]string

func (f *family) add(l labels, value float64) {
	var pairs []string
	for _, pair := range l {
		pairs = append(pairs, pair[0]+`="`+escaper.Replace(pair[1])+`"`)
	}
	text := f.name
	if len(pairs) > 0 {
		text += "{" + strings.Join(pairs, ",") + "}"
	}
	f.samples = append(f.samples, text+" "+strconv.FormatFloat(value, 'f', -1, 64))
}

var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func gauge(name, help string) *family { return &family{name: name, kind: "gauge", help: help} }

func one(name, help string, value float64) *family {
	f := gauge(name, help)
	f.add(nil, value)
	return f
}

// Text is the whole file. The same pass gives the same bytes.
func (p Pass) Text() string {
	info := gauge("archy_build_info", "The version of archy that made the last pass.")
	info.add(labels{{"version", p.Version}}, 1)
	list := []*family{info,
		one("archy_pass_time_seconds", "When the last pass began, as a Unix time.", seconds(p.At)),
		one("archy_pass_duration_seconds", "How long the last pass took.", p.Duration.Seconds()),
		one("archy_pass_exit_code", "The exit code of the last pass: 0 as desired, 1 nothing could be done, 3 some apps failed, 5 locked, 6 a person must decide.", float64(p.ExitCode)),
	}
	if p.Asked {
		list = append(list, one("archy_podman_up", "1 when podman answered the last pass.", number(p.Result != nil && p.Result.Podman.Reachable)))
	}
	if p.DiskSize > 0 {
		list = append(list, one("archy_data_free_bytes", "Free space of the data directory.", float64(p.DiskFree)),
			one("archy_data_size_bytes", "Size of the file system of the data directory.", float64(p.DiskSize)))
	}
	if p.Goroutines > 0 {
		list = append(list, one("archy_goroutines", "Goroutines of the process that made the last pass.", float64(p.Goroutines)))
	}
	list = append(list, certificates(p.Certificates))
	if p.Result != nil {
		list = append(list, podmanState(*p.Result), classes(p.Result.Summary))
		list = append(list, apps(p.Result.Apps)...)
	}
	var b strings.Builder
	for _, f := range list {
		if len(f.samples) > 0 {
			fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n%s\n", f.name, f.help, f.name, f.kind, strings.Join(f.samples, "\n"))
		}
	}
	return b.String()
}

func certificates(ends map[string]time.Time) *family {
	f := gauge("archy_certificate_expires_seconds", "When a certificate ends, as a Unix time.")
	for _, file := range slices.Sorted(maps.Keys(ends)) {
		f.add(labels{{"file", file}}, seconds(ends[file]))
	}
	return f
}

func podmanState(r reconcile.Result) *family {
	f := gauge("archy_podman_state", "What the last pass found podman to be: ok, slow, lost-track ...")
	f.add(labels{{"state", r.Podman.State}}, 1)
	return f
}

func classes(s reconcile.Summary) *family {
	f := gauge("archy_apps", "Apps by what the last pass made of them.")
	for _, c := range []struct {
		class reconcile.Class
		n     int
	}{{reconcile.ClassOK, s.OK}, {reconcile.ClassWaiting, s.Waiting}, {reconcile.ClassBlocked, s.Blocked},
		{reconcile.ClassNeedsConfig, s.NeedsConfig}, {reconcile.ClassFailed, s.Failed}, {reconcile.ClassNeedsHuman, s.NeedsHuman}} {
		f.add(labels{{"class", string(c.class)}}, float64(c.n))
	}
	return f
}

func apps(list []reconcile.AppResult) []*family {
	wanted := gauge("archy_app_wanted", "1 when the app is to run.")
	up := gauge("archy_app_up", "1 when the app's container runs.")
	healthy := gauge("archy_app_healthy", "1 when the app runs and its health check, if it has one, passes.")
	class := gauge("archy_app_class", "1 for the class that the last pass gave the app.")
	stage := gauge("archy_app_stage", "1 for the stage that the app says it is in: syncing, indexing, locked ...")
	percent := gauge("archy_app_sync_percent", "How far the app says that it is.")
	breaker := gauge("archy_app_breaker_open", "1 when archy has given up starting the app after 5 failures in 30 minutes.")
	failures := gauge("archy_app_recent_failures", "Counted failures of the app within 30 minutes.")
	began := gauge("archy_app_start_time_seconds", "When the app's container was started, as a Unix time; its changes are the restarts.")
	drift := gauge("archy_app_drift", "Differences between the app and its manifest that are left alone.")
	upgrade := gauge("archy_app_upgrade_available", "1 when the manifest has a newer image than the app runs.")
	for _, a := range slices.SortedFunc(slices.Values(list), func(a, b reconcile.AppResult) int { return strings.Compare(a.App, b.App) }) {
		l := labels{{"app", a.App}}
		wanted.add(l, number(a.Desired == reconcile.WantRunning))
		up.add(l, number(a.Running))
		healthy.add(l, number(a.Running && (a.Health == "" || a.Health == podman.HealthHealthy)))
		class.add(append(slices.Clone(l), [2]string{"class", string(a.Class)}), 1)
		breaker.add(l, number(a.Breaker.Open))
		failures.add(l, float64(a.Breaker.Count))
		drift.add(l, float64(len(a.Drift)))
		upgrade.add(l, number(a.UpgradeAvailable != ""))
		if a.Running && !a.Since.IsZero() {
			began.add(l, seconds(a.Since))
		}
		if word, far, ok := stageOf(a.Stage); ok {
			stage.add(append(slices.Clone(l), [2]string{"stage", word}), 1)
			if far >= 0 {
				percent.add(l, far)
			}
		}
	}
	return []*family{wanted, up, healthy, class, stage, percent, breaker, failures, began, drift, upgrade}
}

// stageOf splits "syncing 43.1 %": a label that changes at each pass would be a new series each time.
func stageOf(text string) (word string, percent float64, ok bool) {
	word, rest, _ := strings.Cut(text, " ")
	if word == "" {
		return "", 0, false
	}
	number, isPercent := strings.CutSuffix(rest, "%")
	if far, err := strconv.ParseFloat(strings.TrimSpace(number), 64); isPercent && err == nil {
		return word, far, true
	}
	return text, -1, true
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// Write replaces a file by the figures, as a whole. It is not synced: the next pass writes it anew. The collector reads
// only names that end with .prom, so it never sees the new file before its time.
func (p Pass) Write(path string) error {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+strconv.Itoa(os.Getpid())+".new")
	err := os.WriteFile(temp, []byte(p.Text()), 0o644)
	if err == nil {
		err = os.Chmod(temp, 0o644)
	}
	if err == nil {
		err = failpoint.Write("replace "+path, func() error { return os.Rename(temp, path) })
	}
	if err != nil {
		_ = os.Remove(temp)
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}
