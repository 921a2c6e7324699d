package reconcile

import (
	"fmt"
	"math"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/spec"
)

// observedState is the word for how an app is, before a pass does anything.
func observedState(a *App) string {
	switch {
	case a.C == nil && autoRestarting(a):
		return "restarting"
	case a.C == nil && activating(a):
		return "starting"
	case a.C == nil && a.Service.ActiveState == "failed" && a.Want == WantRunning:
		return "failed"
	case a.C == nil && a.Unit == nil:
		return "absent"
	case a.C == nil:
		return "stopped"
	case a.Dead:
		return "dead"
	case a.C.State != podman.StateRunning:
		return a.C.State
	}
	return runningState(a)
}

func runningState(a *App) string {
	switch {
	case a.C.Health == podman.HealthUnhealthy:
		return "unhealthy"
	case a.C.Health == podman.HealthStarting:
		return "starting"
	case a.Stage.Text != "":
		return a.Stage.Text
	}
	return "ready"
}

func autoRestarting(a *App) bool {
	return a.Service.ActiveState == "activating" && strings.HasPrefix(a.Service.SubState, "auto-restart")
}

// activating tells that systemd is starting the service, or will by itself.
func activating(a *App) bool {
	return a.Service.ActiveState == "activating" || a.Service.ActiveState == "reloading"
}

func startLimitHit(a *App) bool {
	return a.Service.ActiveState == "failed" && (a.Service.StartLimitHit || a.Service.Result == "start-limit-hit")
}

// inStartPeriod: a failing check does not count while the app is younger than its start period.
func inStartPeriod(a *App, now time.Time) bool {
	if a.Spec.Health == nil || a.C == nil || a.C.StartedAt.IsZero() {
		return false
	}
	return age(a.C.StartedAt, now) < time.Duration(a.Spec.Health.StartPeriod)*time.Second
}

// clockSlack is how far a start may lie in the future: a pass reads the clock before podman answers.
const clockSlack = time.Minute

// age is how long ago a container was started. A start in the future is one from before the clock was set back: how long ago it was
// nobody knows, so it is longer ago than anything waits for.
func age(started, now time.Time) time.Duration {
	switch d := now.Sub(started); {
	case d >= 0:
		return d
	case d > -clockSlack:
		return 0
	}
	return math.MaxInt64
}

func startingCause(a *App) string {
	if a.Spec.Health == nil {
		return "starting"
	}
	return fmt.Sprintf("health check has not passed yet (start period %d s)", a.Spec.Health.StartPeriod)
}

// exitCause is how a container that ended ended, in words. podman says "out of memory" of one in which any process was killed for it, so one that
// ended well has not ended of that.
func exitCause(a *App) string {
	return exitWords(a.C.ExitCode, oom(a.Inspect != nil && a.Inspect.State.OOMKilled && a.C.ExitCode != 0))
}

// exitNote is the same of a service, as an addition to another cause.
func exitNote(a *App) string {
	d := a.Service
	if d.Result == "" || d.Result == "success" || (d.ExecMainCode == 0 && d.Result == "") {
		return ""
	}
	if d.Result == "start-limit-hit" {
		return ""
	}
	code := d.ExecMainStatus
	if d.ExecMainCode == 2 || d.ExecMainCode == 3 { // killed, dumped: ExecMainStatus is the signal
		code += 128
	}
	return "; last run: " + exitWords(code, d.Result)
}

// exitWords says what an exit code means; 128 + n is the signal n, as sh(1) reports it.
func exitWords(code int, result string) string {
	switch {
	case result == "oom-kill":
		return "killed, out of memory"
	case result == "timeout":
		return "did not start in time"
	case code == 0:
		return "exited 0"
	case code == 125:
		return "exited 125: podman could not make or run the container"
	case code == 126:
		return "exited 126: its command cannot be executed"
	case code == 127:
		return "exited 127: its command is not in the image"
	case code == 137:
		return "killed (137)"
	case code == 143:
		return "terminated (143)"
	case code > 128 && code < 160:
		return fmt.Sprintf("ended by signal %d", code-128)
	}
	return fmt.Sprintf("exited %d", code)
}

// onlyConfig tells that the container was made from the wanted spec but for the content of its derived files.
func onlyConfig(a *App) bool {
	if a.C.Labels[spec.LabelConfigDigest] == a.Spec.ConfigDigest {
		return false
	}
	older := a.Spec
	older.ConfigDigest = a.C.Labels[spec.LabelConfigDigest]
	same, _ := spec.SameSpec(a.C.Labels[spec.LabelSpecHash], older)
	return same
}

func pendingRestart(a *App) bool {
	return a.Record != nil && a.Record.PendingRestart != "" && !a.Legacy()
}

// cutOff tells that a change of the app was begun, and that nobody wrote down its end.
func cutOff(a *App) bool { return a.Record != nil && a.Record.Op != nil || pendingRestart(a) }

// fileCause names the derived files that differ.
func fileCause(a *App) string {
	var list []string
	for _, f := range a.Files {
		if f.differs() && !f.CompareOnly {
			list = append(list, f.Name+" "+f.Cause)
		}
	}
	switch {
	case len(list) > 0:
		return strings.Join(list, ", ")
	case pendingRestart(a):
		return a.Record.PendingRestart
	}
	return "started with an older configuration file"
}

func upgradeCause(a *App) string {
	if a.Record != nil && a.Record.Image != "" && a.Record.Image != a.Spec.Image {
		return "image " + a.Record.Image + " -> " + a.Spec.Image
	}
	return ""
}

func upgradeNote(a *App) string {
	switch {
	case a.Upgrade != "" && a.UpgradeBlocked != "":
		return "upgrade to " + a.Upgrade + " needs a person: " + a.UpgradeBlocked
	case a.Upgrade != "" && a.Record.FailedHash != "" && a.Record.FailedHash == a.upgraded().Hash():
		return "upgrade available: " + a.Upgrade + " (it did not come up when it was tried)"
	case a.Upgrade != "":
		return "upgrade available: " + a.Upgrade
	}
	return ""
}

// shippedNewer is the shipped image that has moved on beyond the one in the owner's own manifest.
func shippedNewer(m *manifest.App) string {
	if m == nil || m.Shipped == "" || repository(m.Shipped) != repository(m.Container.Image) || !lowerVersion(m.Container.Image, m.Shipped) {
		return ""
	}
	return m.Shipped
}

func newCause(a *App) string {
	switch a.By {
	case "install":
		return "install asked for"
	case "dependency":
		return "needed by another app"
	case "companion":
		return "page of another app"
	case "create-missing":
		return "not installed, --create-missing"
	}
	return "not installed yet"
}

func hooksDue(a *App) bool {
	hooks := a.Manifest.Hooks
	if len(hooks.PostInstall)+len(hooks.PostStart) == 0 || a.C == nil || a.Record == nil {
		return false
	}
	return a.Record.Hooks.ContainerID != a.C.ID
}

// cause joins what is not empty.
func cause(parts ...string) string {
	var list []string
	for _, p := range parts {
		if p != "" {
			list = append(list, p)
		}
	}
	return strings.Join(list, ", ")
}

func orElse(list []Drift, text string) string {
	if len(list) > 0 {
		return ""
	}
	return text
}
