// Package reconcile compares what should run with what runs and repairs the difference: Observe reads
// everything, Plan is a pure function from it to a list of operations, Apply executes that list.
package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/derived"
	"git.tx1138.com/lfg2025/archy/internal/manifest"
	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/podman/heal"
	"git.tx1138.com/lfg2025/archy/internal/quadlet"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/systemd"
)

// Want is what the owner wants of an app.
type Want string

// The four desires. None is an optional app that nobody asked for, Absent one that was removed.
const (
	WantRunning Want = "running"
	WantStopped Want = "stopped"
	WantAbsent  Want = "absent"
	WantNone    Want = "none"
)

// World is everything that one pass has read. Nothing in it changes while a plan is made or applied.
type World struct {
	Now    time.Time
	BootID string
	// Apps are in the order of starts: by dependency, then tier, then id.
	Apps []*App
	// Images, Networks and Secrets are what podman has. Images and Networks are nil when no app needs them.
	Images   map[string]string
	Networks map[string]bool
	Secrets  map[string]string // name -> hash label, "" for one without
	// Unknown are containers that are not ours, Orphans ours without a manifest, and such units; orphans of them have a container.
	Unknown, Orphans []string
	orphans          int
	// Warnings concern the node as a whole.
	Warnings []string
	// Partial is set when something that archy remembers could not be read: the pass cannot call itself whole.
	Partial bool
	// Free is the free space of the data directory's file system, in bytes. Full and Short tell that it is less than 200 MiB, than 2 GiB.
	Free        int64
	Full, Short bool
	fewInodes   bool
	// Podman is the version of the engine.
	Podman string
	// StaleNames are the containers that are gone and that the name server still answers for, by the first digits of their ids.
	StaleNames []string
}

// podmanState is how podman is, as far as a pass sees it that could list the containers: see package heal.
func (w *World) podmanState() heal.State {
	lost := func(a *App) bool { return a.Conmon != 0 && a.Want != WantNone }
	stored := func(a *App) bool { return lost(a) && a.Stored }
	listed := func(a *App) bool { return a.C != nil }
	switch {
	case w.Full:
		return heal.DiskFull
	case slices.ContainsFunc(w.Apps, stored) && !slices.ContainsFunc(w.Apps, listed) && len(w.Unknown)+w.orphans == 0:
		return heal.DBMissing
	case slices.ContainsFunc(w.Apps, lost):
		return heal.LostTrack
	case len(w.StaleNames) > 0:
		return heal.StaleDNS
	}
	return heal.OK
}

// App is everything known of one app: what is wanted, and what is.
type App struct {
	ID, Container string
	Tier          int
	// Manifest is nil when it cannot be used; Broken says why, or what is wrong with the manifest of an app that this one needs.
	Manifest *manifest.App
	Broken   []manifest.Finding
	// Nowhere tells of an app without a manifest that nothing of it is on the node.
	Nowhere bool

	Want     Want
	Selected bool
	Force    bool
	// Asked, Anew, Removing, Upgrading and New are what a command of the owner wants of the app: to act on it, to restart
	// it, to take it away, to give it another image, to install it for the first time.
	Asked, Anew, Removing, Upgrading, New bool
	// Freed tells that the app lacked something and that it is back: what it failed at meanwhile holds it no more.
	Freed bool
	// Downgrade lets the image of Upgrading be an older one.
	Downgrade bool
	// Data are the app's own directories that go to the trash with it, Shared those that stay because another app has them too.
	Data, Shared []string
	// DataLeft is where more of the data of such an app are, that nobody moves.
	DataLeft []string
	// By is how an app without a record comes to be wanted: first-boot, create-missing, dependency, companion.
	By      string
	Record  *state.Record
	History state.History
	// RecordLost tells that Record is what the app's unit says, and on no disk. Unread is why there is no record although its file is there.
	RecordLost bool
	Unread     error

	Spec     spec.Container
	Hash     string
	UnitText []byte
	// Fault is why the wanted container cannot be known: a missing secret, a unit that does not render.
	Fault *Fault
	// Masked are further secrets that must not appear in a log line of the app.
	Masked []secrets.Value
	// Fresh are secrets that do not exist yet, with the values they will get.
	Fresh []Secret
	// Files are the derived files of the app.
	Files []File
	// Dirs are the app's own data directories that do not exist yet.
	Dirs []Dir
	// Needs are the apps that must be in some condition before a start.
	Needs []Need
	// Missing is a network that must be created, with its unit.
	Network *Network
	// Upgrade is the manifest's image when the record pins another one.
	Upgrade string
	// UpgradeBlocked is why reconcile --force may not apply Upgrade, and a migration the manifest's image (another repository, a lower version).
	UpgradeBlocked string

	// What is observed.
	C       *podman.Container
	Inspect *podman.Inspect // legacy containers only
	Drift   []Drift         // of a legacy container
	// Service is the unit's state in systemd; more than its first lines only when it is not simply active.
	Service systemd.Detail
	Unit    *UnitFile
	// MigrationFault is why an adopted container cannot be moved to a unit, Pins what a move would take over from it; its User is
	// that of data of any app that were there before it.
	MigrationFault *Fault
	Pins           state.Pinned
	// InItself is why an adopted container cannot be taken away: it has data in itself, where the manifest mounts a directory.
	InItself *Fault
	// plain is Spec without what is kept of an adopted container.
	plain spec.Container
	// LeftBehind is why a start would not find the data that the app had in a container which is gone, by its unit, or on a disk.
	LeftBehind *Fault
	// Disks are the mount points of disks of their own on which its data lie, mounted or not.
	Disks []string
	// Elsewhere are the targets for which the app's container has another source than the manifest.
	Elsewhere []state.PinnedVolume
	// Peers are the apps whose addresses this one keeps.
	Peers []string
	// Held tells that the wanted spec failed before: UnitText is the previous unit then.
	Held bool
	Prev []byte // the saved previous unit of a change under way
	// Dead: podman says running, twice, but the process is gone.
	Dead bool
	// Conmon is the pid of a live monitor that carries the name while podman does not list it.
	Conmon int
	// Stored tells that podman's storage still has a container that podman has lost: its database is what is missing.
	Stored bool
	// Renamed is the legacy container that a migration has set aside.
	Renamed *podman.Container
	// PortHolder names a foreign process on one of the app's ports.
	PortHolder string
	// Twin is a running container of somebody else's that has the app's data where the app would have them.
	Twin string
	// PeersChanged names a peer whose address moved since the app started.
	PeersChanged string
	// PeersNow are peers that were started anew and of which the app has no older address: to be noted, by app id.
	PeersNow map[string]peer
	// GateUnmet says which file or secret the start gate misses.
	GateUnmet string
	// NoSpace says that the free space an app wants before its first start is not there.
	NoSpace string
	// Guard is a violated data-format guard.
	Guard string
	// Stage is what the app says of itself: syncing 43.1 %, locked, indexing.
	Stage Stage
	// Mode is what a bitcoin keeps of the chain; it is frozen in the install record.
	Mode *derived.Mode
	// ModeRefused says that the owner asks for another mode than the chain has.
	ModeRefused string
	// Wallet is what is known of the app's wallet, nil for an app without one.
	Wallet *Wallet
	// Archival tells, for a bitcoin, that it keeps the whole chain with its index.
	Archival bool
}

// Fault is why an app cannot be brought up, in the terms of a result.
type Fault struct {
	Class  Class
	State  string
	Code   string
	Text   string
	Hint   string
	Action Action
}

// UnitFile is a unit as it lies on disk.
type UnitFile struct {
	Content []byte
	ModTime time.Time
}

// File is a derived file: what it must hold and what it holds.
type File struct {
	Name, Path string
	Content    []byte
	Have       []byte
	Exists     bool
	Mode       fs.FileMode
	Owner      string
	// Mapped files lie in a directory that only the user namespace may enter.
	Mapped  bool
	KeepOld bool
	// Cause says in words what differs.
	Cause string
	// Only is set for an adopted app: the file is compared and never written.
	CompareOnly bool
}

// Dir is a data directory that must be made.
type Dir struct{ Path, Owner, Cause string }

// Stage is an app's own word on how far it is. Ready is false while it is syncing, indexing or locked.
type Stage struct {
	Text  string
	Ready bool
}

// Drift is one difference between what runs and what is wanted. Secrets read "hidden".
type Drift struct {
	Dimension string `json:"dimension"`
	Have      string `json:"have"`
	Want      string `json:"want"`
}

// app finds an app by id.
func (w *World) app(id string) *App {
	for _, a := range w.Apps {
		if a.ID == id {
			return a
		}
	}
	return nil
}

// noImage tells that the app's image is absent and may not be fetched.
func (w *World) noImage(a *App, o Options) bool {
	never := a.Manifest != nil && a.Manifest.Container.PullPolicy == "never"
	_, tried := o.Absent[a.Spec.Image]
	return (o.NoPull || never || tried) && w.lacksImage(a)
}

// unmet is why a need is not met as observed, "" when it is.
func (w *World) unmet(n Need) string {
	d := w.app(n.App)
	switch {
	case d == nil:
		return "not known"
	case d.Want == WantStopped:
		return "stopped by the owner"
	case d.Want != WantRunning:
		return "not installed"
	case satisfied(d, n.Condition, w.Now):
		return ""
	}
	return observedState(d)
}

// lacks names what an app that is to run cannot run without and does not have: an app that it needs, its disk, its port, its image.
func (w *World) lacks(a *App) string {
	if a.Want != WantRunning {
		return ""
	}
	for _, n := range a.Needs {
		if w.unmet(n) != "" {
			return "dependency " + n.App
		}
	}
	switch {
	case a.Running():
		return ""
	case a.diskAway():
		return "disk"
	case a.PortHolder != "":
		return "port"
	case w.lacksImage(a):
		return "image"
	}
	return ""
}

// lacksImage tells that podman does not have the app's image.
func (w *World) lacksImage(a *App) bool { return w.Images != nil && w.Images[a.Spec.Image] == "" }

// Managed tells that the container is one of archy's units.
func (a *App) Managed() bool { return a.C != nil && a.C.Labels[spec.LabelManaged] == "true" }

// NotKept are the directories in which the image keeps data and for which the manifest has none: podman gives each a volume without a name, which
// the unit takes away with the container at every stop. Of the shipped apps, whose images the release gate compares with their manifests, such a path is
// left on purpose: this is of an owner's manifest or image.
func (a *App) NotKept() (targets []string) {
	if !a.Managed() || a.Manifest == nil || !a.Manifest.Local && (a.Spec.Build != nil || a.C.Image == a.Manifest.Container.Image) {
		return nil
	}
	has := map[string]bool{}
	for _, m := range a.Spec.Mounts {
		has[path.Clean(m.Target)] = true
	}
	for _, t := range a.Spec.Tmpfs {
		has[path.Clean(t.Target)] = true
	}
	for _, target := range a.C.Mounts {
		if !has[path.Clean(target)] {
			targets = append(targets, target)
		}
	}
	return targets
}

// Legacy tells that the container was made by something else.
func (a *App) Legacy() bool { return a.C != nil && !a.Managed() }

// liveName is what the container is called: an adopted one may bear a name that older releases gave it.
func (a *App) liveName() string {
	if a.Legacy() {
		return a.C.Name
	}
	return a.Container
}

// Running tells that podman lists the container as running and its process is there.
func (a *App) Running() bool { return a.C != nil && a.C.State == podman.StateRunning && !a.Dead }

// inSync tells that the running container is the wanted one.
func (a *App) inSync() bool {
	if !a.Managed() {
		return false
	}
	label := a.C.Labels[spec.LabelSpecHash]
	if a.Held || label == a.Hash && label != "" {
		return label == a.Hash
	}
	same, _ := spec.SameSpec(label, a.Spec)
	return same
}

// unitDiffers tells that the unit on disk is not the one wanted.
func (a *App) unitDiffers() bool {
	return a.Unit == nil || string(a.Unit.Content) != string(a.UnitText)
}

// unitChanges are the directives that differ, in words.
func (a *App) unitChanges() []Drift {
	if a.Unit == nil {
		return nil
	}
	var list []Drift
	for _, c := range quadlet.Diff(a.Unit.Content, a.UnitText) {
		list = append(list, Drift{Dimension: c.Key, Have: c.Have, Want: c.Want})
	}
	return list
}

// specOnDisk is the spec hash that the unit on disk carries, "" without one.
func (a *App) specOnDisk() string {
	if a.Unit == nil {
		return ""
	}
	return labelIn(a.Unit.Content, spec.LabelSpecHash)
}

// labelIn reads a label from the text of a unit.
func labelIn(unit []byte, label string) string {
	for line := range strings.Lines(string(unit)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "Label="+label+"="); ok {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// editedUnit tells that somebody else changed the unit and the container was created from that. After the clock was set back nothing says
// which of the two came first.
func (a *App) editedUnit(now time.Time) bool {
	return a.Unit != nil && a.unitDiffers() && a.Record != nil && len(a.Record.UnitDigests) > 0 &&
		!slices.Contains(a.Record.UnitDigests, digest(a.Unit.Content)) && a.C != nil && a.C.Created.After(a.Unit.ModTime) && !a.C.Created.After(now.Add(clockSlack))
}

// staleSecrets are the podman secrets that must be set: absent, or not what their file says.
func (a *App) staleSecrets(w *World) []Secret {
	var list []Secret
	for _, s := range WantedSecrets(a.Spec) {
		if label, ok := w.Secrets[s.Name]; !ok || label != s.Label {
			list = append(list, s)
		}
	}
	return list
}

// upgraded is the wanted container with the manifest's newer image.
func (a *App) upgraded() spec.Container {
	c := a.Spec
	c.Image = a.Upgrade
	return c
}

// staleNetwork tells that the unit of the app's bridge must be written.
func (a *App) staleNetwork() bool { return a.Network != nil && a.Network.Stale }

// filesDiffer tells that a derived file must be written.
func (a *App) filesDiffer() bool {
	for _, f := range a.Files {
		if !f.CompareOnly && f.differs() {
			return true
		}
	}
	return false
}

func (f File) differs() bool { return !f.Exists || string(f.Have) != string(f.Content) }

// digest names a content without showing it.
func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:8])
}
