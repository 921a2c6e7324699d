package update

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/node"
)

// Where an update's pieces lie, as the node sees them.
const (
	webUI  = "/opt/archipelago/web-ui"
	binary = "/usr/local/bin/archipelago"
	backup = ".bak"
)

// State is how far an update is.
type State string

// The states of a marker. The last four are final: nothing leaves them, and no marker in them is probed or rolled back.
const (
	Pending        State = "pending"
	Verifying      State = "verifying"
	RollingBack    State = "rolling-back"
	Committed      State = "committed"
	Stale          State = "stale"
	RolledBack     State = "rolled-back"
	RollbackFailed State = "rollback-failed"
)

func (s State) final() bool {
	return s == Committed || s == Stale || s == RolledBack || s == RollbackFailed
}

func (s State) known() bool {
	return s.final() || s == Pending || s == Verifying || s == RollingBack
}

// Phases of a probe.
const (
	phaseUpdate   = "update"
	phaseRollback = "rollback"
)

// unknownInvocation stands in a marker whose writer could not ask systemd.
const unknownInvocation = "unknown"

// maxProbes bounds what the marker remembers: reboots in a row make the windows start anew.
const maxProbes = 100

// Probe is one look at the node.
type Probe struct {
	Time time.Time `json:"time"`
	// Phase is "update" before the verdict, "rollback" after the old version is back.
	Phase  string `json:"phase"`
	Result string `json:"result"` // pass or fail
	Detail string `json:"detail,omitempty"`
}

// Moment is a point on the monotonic clock of a boot.
type Moment struct {
	BootID      string `json:"boot_id"`
	MonotonicMS int64  `json:"monotonic_ms"`
}

func (m Moment) at() time.Duration { return time.Duration(m.MonotonicMS) * time.Millisecond }

// Marker is one update: state/update-pending.json until it is decided, then state/update-last.json.
type Marker struct {
	Schema     int       `json:"schema"`
	OldVersion string    `json:"old_version"`
	NewVersion string    `json:"new_version"`
	MarkedAt   time.Time `json:"marked_at"`
	Deadline   time.Time `json:"deadline"`
	Moment
	BackendInvocation  string `json:"backend_invocation"`
	WebUI              string `json:"web_ui"`
	WebUIBackup        string `json:"web_ui_backup"`
	Binary             string `json:"binary"`
	BinaryBackup       string `json:"binary_backup"`
	BinaryBackupSHA256 string `json:"binary_backup_sha256"`
	AppsBackup         string `json:"apps_backup,omitempty"`
	VersionFile        string `json:"version_file,omitempty"`
	VersionBefore      string `json:"version_before,omitempty"`
	State              State  `json:"state"`
	// Step is the last finished step of the rollback.
	Step   int     `json:"step"`
	Probes []Probe `json:"probes"`

	// Reason is why the old version was put back; Failure what went wrong with that.
	Reason  string `json:"reason,omitempty"`
	Failure string `json:"failure,omitempty"`
	// Began is when the windows of the present boot began.
	Began *Moment `json:"verify_began,omitempty"`
	// RollbackAt names what is put aside; it stays the same when a rollback is resumed.
	RollbackAt time.Time `json:"rollback_at,omitzero"`
	// RestartFrom is the backend's invocation before the rollback restarted it; "-" when it had none.
	RestartFrom string    `json:"restart_from,omitempty"`
	FinishedAt  time.Time `json:"finished_at,omitzero"`
}

// place fills in where things lie on this node.
func (m *Marker) place() {
	m.WebUI, m.WebUIBackup = webUI, webUI+backup
	m.Binary, m.BinaryBackup = binary, binary+backup
}

// failed is the name under which a rollback keeps what it replaces.
func (m *Marker) failed(path string) string {
	return path + failedInfix + m.RollbackAt.UTC().Format(stampLayout)
}

// note adds a probe.
func (m *Marker) note(p Probe) {
	m.Probes = append(m.Probes, p)
	if extra := len(m.Probes) - maxProbes; extra > 0 {
		m.Probes = m.Probes[extra:]
	}
}

// check refuses a marker that names other places than this node's. Root acts on what it says, and it lies in a directory
// of the service user.
func (m *Marker) check(l node.Layout) error {
	want := Marker{}
	want.place()
	switch {
	case !m.State.known():
		return fmt.Errorf("it has the unknown state %q", m.State)
	case m.WebUI != want.WebUI || m.WebUIBackup != want.WebUIBackup || m.Binary != want.Binary || m.BinaryBackup != want.BinaryBackup:
		return fmt.Errorf("it names other places than %s, %s and their backups", webUI, binary)
	case m.AppsBackup != "" && m.AppsBackup != l.ManifestDir+backup:
		return fmt.Errorf("it names %s as the apps' backup, not %s", m.AppsBackup, l.ManifestDir+backup)
	case m.VersionFile != "" && !versionPlace(l, m.VersionFile):
		return fmt.Errorf("it names %s as the version file", m.VersionFile)
	case m.VersionFile != "" && checkVersion(m.VersionBefore) != nil:
		return fmt.Errorf("it records %q as a version", m.VersionBefore)
	}
	return nil
}

// versionPlace tells whether a file is one that a rollback may write a version into.
func versionPlace(l node.Layout, path string) bool {
	if filepath.Clean(path) != path {
		return false
	}
	for _, dir := range []string{l.DataDir, "/opt/archipelago", "/etc/archipelago"} {
		if strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}
